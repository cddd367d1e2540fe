//! The kinds of trouble, and their names.

/// Trouble of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    Crash,
    Leave,
    Vanish,
    Restart,
    QuickRestart,
    CreatorRestart,
    Pause,
    Loss,
    Duplication,
    Lateness,
    SlowNode,
    SlowNetwork,
    Partition,
    OneWay,
    Partial,
    Flapping,
    Held,
    Severed,
    Storm,
    /// r neighbours, plus this number, die or leave at once.
    Neighbours(i8),
    FullRestart,
    /// All nodes of a thread die at once; some threads come back.
    Thread,
    /// Many lookups at once; sometimes a thread stumbles under them.
    Load,
}

pub(super) const ALL: [Trouble; 23] = [
    Trouble::Crash,
    Trouble::Leave,
    Trouble::Vanish,
    Trouble::Restart,
    Trouble::QuickRestart,
    Trouble::CreatorRestart,
    Trouble::Pause,
    Trouble::Loss,
    Trouble::Duplication,
    Trouble::Lateness,
    Trouble::SlowNode,
    Trouble::SlowNetwork,
    Trouble::Partition,
    Trouble::OneWay,
    Trouble::Partial,
    Trouble::Flapping,
    Trouble::Held,
    Trouble::Severed,
    Trouble::Storm,
    Trouble::Neighbours(-1),
    Trouble::Neighbours(0),
    Trouble::Neighbours(1),
    Trouble::FullRestart,
];

/// Further kinds for histories in which nodes share threads.
pub(super) const OF_THREADS: [Trouble; 2] = [Trouble::Thread, Trouble::Load];

impl Trouble {
    /// Whether it may end the partition of a torn history early.
    pub(super) fn moves_cuts(self) -> bool {
        matches!(
            self,
            Trouble::Partition | Trouble::OneWay | Trouble::Partial | Trouble::Flapping | Trouble::FullRestart
        )
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Trouble::Crash => "crash",
            Trouble::Leave => "leave",
            Trouble::Vanish => "silent death",
            Trouble::Restart => "restart or join",
            Trouble::QuickRestart => "quick restart",
            Trouble::CreatorRestart => "creator restarts",
            Trouble::Pause => "pause",
            Trouble::Loss => "loss",
            Trouble::Duplication => "duplication",
            Trouble::Lateness => "lateness",
            Trouble::SlowNode => "slow node",
            Trouble::SlowNetwork => "slow network",
            Trouble::Partition => "partition",
            Trouble::OneWay => "one-way cut",
            Trouble::Partial => "partial partition",
            Trouble::Flapping => "flapping",
            Trouble::Held => "links held",
            Trouble::Severed => "broken link",
            Trouble::Storm => "join storm",
            Trouble::Neighbours(..0) => "r-1 neighbours die",
            Trouble::Neighbours(0) => "r neighbours die",
            Trouble::Neighbours(1..) => "r+1 neighbours die",
            Trouble::FullRestart => "full restart",
            Trouble::Thread => "thread dies",
            Trouble::Load => "load",
        }
    }
}

/// The names of all troubles, in the order in which tables show them.
pub(in crate::sim::chaos) fn all_names() -> impl Iterator<Item = &'static str> {
    ALL.into_iter().chain(OF_THREADS).map(Trouble::name)
}
