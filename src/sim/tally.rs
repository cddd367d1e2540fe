//! What happened in a history, in numbers. A history in which nothing happened proves nothing.

/// Counts of what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Things that happened at some node: messages, timers, time limits.
    pub events: u64,
    pub messages: u64,
    /// In frames that were sent.
    pub bytes: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub held: u64,
    /// Frames that could not be decoded.
    pub garbled: u64,
    /// Answers to calls that were over.
    pub stale: u64,
    /// Calls that were put again after their connection had broken.
    pub repeated: u64,
    /// Events that waited for a paused node.
    pub postponed: u64,
    /// Questions that nobody answered in time.
    pub timeouts: u64,
    /// Targets that stayed silent to a probe, too: taken for dead.
    pub given_up: u64,
    /// Questions that went on from node to node.
    pub forwarded: u64,
    /// Attempts to join that ended with membership.
    pub joins: u64,
    /// Programs that ended because they could not join.
    pub unjoined: u64,
    pub starts: u64,
    pub restarts: u64,
    pub crashes: u64,
    /// Nodes that have left their ring by themselves.
    pub leaves: u64,
    pub vanished: u64,
    pub pauses: u64,
    pub severed: u64,
    /// Lookups of finger entries and of joiners are not among these.
    pub lookups: u64,
    /// Nodes that lookups asked on their way to an answer.
    pub hops: u64,
}
