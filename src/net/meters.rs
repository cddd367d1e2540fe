//! What the nodes of one thread do, counted call by call, for monitoring: the nodes share the counts, since a thousand
//! of them would otherwise take megabytes.

use std::sync::Arc;
use std::time::Duration;

use crate::net::gate::Gate;
use crate::net::limits::drops::REASONS;
use crate::net::traffic::Counter;
use crate::protocol::conversation::Conversation;
use crate::protocol::lookup::LookupFailure;
use crate::protocol::rpc::{Code, Request};

/// The calls, as labels.
pub const CALLS: [&str; 11] = [
    "find_successor",
    "closest_preceding_node",
    "check_predecessor",
    "get_predecessor",
    "notify",
    "get_successor_list",
    "nudge",
    "invite",
    "meet",
    "leave",
    "open_channel",
];

/// What came of a call to another node: answered, refused, or neither, since the caller gave up or the connection broke.
pub const RESULTS: [&str; 3] = ["answered", "refused", "unanswered"];

/// What was done with a call of another node: answered, refused for want of room, or refused for another reason.
pub const DECISIONS: [&str; 3] = ["answered", "busy", "refused"];

/// The conversations that keep a node in its ring, as labels.
pub const CONVERSATIONS: [&str; 6] = ["join", "rectify", "stabilize", "awaken", "check_predecessor", "reunite"];

/// Why a lookup of the node's own program found no owner.
pub const FAILURES: [&str; 7] = ["not_joined", "isolated", "no_route", "too_many_hops", "timeout", "busy", "unsure"];

/// Counts durations by powers of two microseconds.
#[derive(Debug, Default)]
pub struct Durations {
    counts: [Counter; Durations::BOUNDS + 1],
    micros: Counter,
}

impl Durations {
    /// The first bound is 32 microseconds.
    const FIRST: u32 = 5;
    /// The last is 16.8 seconds.
    const BOUNDS: usize = 20;

    /// Counts one on the only thread that counts.
    fn add(&self, took: Duration) {
        let micros = micros(took);
        self.counts[Durations::bucket(micros)].add(1);
        self.micros.add(micros);
    }

    fn bucket(micros: u64) -> usize {
        let bound = (u64::BITS - micros.saturating_sub(1).leading_zeros()).saturating_sub(Durations::FIRST);
        (bound as usize).min(Durations::BOUNDS)
    }

    /// The upper bound of each bucket in seconds and how many are in it, without those of the buckets before; and the
    /// sum of all in seconds.
    pub fn read(&self) -> (Vec<(f64, u64)>, f64) {
        let bounds = (0..Durations::BOUNDS as i32).map(|bound| 2f64.powi(bound + Durations::FIRST as i32) / 1e6);
        let counts = self.counts.iter().map(Counter::get);
        (bounds.chain([f64::MAX]).zip(counts).collect(), self.micros.get() as f64 / 1e6)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The calls of one name.
#[derive(Debug, Default)]
pub struct Call {
    /// Put on a connection.
    pub asked: Counter,
    /// Those whose end is known, by [`RESULTS`].
    pub ended: [Counter; RESULTS.len()],
    /// How long those took that were answered or refused.
    pub took: Durations,
    /// Calls of other nodes, by [`DECISIONS`].
    pub served: [Counter; DECISIONS.len()],
}

/// All counts of one thread, which only grow, and its gate.
#[derive(Debug, Default)]
pub struct Meters {
    /// By [`CALLS`].
    pub calls: [Call; CALLS.len()],
    /// How long the lookups of the nodes' own programs took that found an owner.
    pub lookups: Durations,
    /// The others, by [`FAILURES`], without those that were turned away at the gate.
    failures: [Counter; FAILURES.len()],
    /// The hops of lookups that ended at a node here, by their number; the last counts all longer ones.
    pub hops: [Counter; 32],
    /// The sum of these hops.
    pub hops_sum: Counter,
    /// By [`CONVERSATIONS`].
    pub conversations: [Counter; CONVERSATIONS.len()],
    /// Changes of a successor list, a predecessor or the standing of a node.
    pub changes: Counter,
    /// Nodes that were probed because they did not answer in time.
    pub suspected: Counter,
    /// By [`REASONS`].
    pub dropped: [Counter; REASONS.len()],
    /// Where callers of the nodes' own programs turn away.
    pub gate: Arc<Gate>,
}

impl Meters {
    /// The place in [`CALLS`] of the call that asks this.
    pub(crate) fn number(request: &Request) -> u8 {
        match request {
            Request::FindSuccessor { .. } => 0,
            Request::ClosestPrecedingNode { .. } => 1,
            Request::CheckPredecessor => 2,
            Request::GetPredecessor => 3,
            Request::Notify { .. } => 4,
            Request::GetSuccessorList { .. } => 5,
            Request::Nudge { .. } => 6,
            Request::Invite { .. } => 7,
            Request::Meet { .. } => 8,
            Request::Leave { .. } => 9,
            Request::OpenChannel => 10,
        }
    }

    /// A call that was put has ended: `took`, if it was answered or refused.
    pub(crate) fn ended(&self, call: u8, took: Option<Duration>, refused: bool) {
        let call = &self.calls[usize::from(call)];
        call.ended[match took {
            Some(_) => usize::from(refused),
            None => 2,
        }]
        .add(1);
        if let Some(took) = took {
            call.took.add(took);
        }
    }

    /// A call of another node was answered, or refused with this code.
    pub(crate) fn served(&self, call: u8, refused: Option<Code>) {
        let decision = match refused {
            None => 0,
            Some(Code::Busy) => 1,
            Some(_) => 2,
        };
        self.calls[usize::from(call)].served[decision].add(1);
    }

    /// A lookup of the node's own program has ended.
    pub(crate) fn looked_up(&self, took: Duration, failed: Option<LookupFailure>) {
        match failed {
            None => self.lookups.add(took),
            Some(why) => self.failures[failure(why)].add(1),
        }
    }

    /// How many lookups of the nodes' own programs failed for that reason of [`FAILURES`].
    pub fn failed(&self, at: usize) -> u64 {
        let turned_away = if at == failure(LookupFailure::Busy) { self.gate.turned_away.get() } else { 0 };
        self.failures[at].get() + turned_away
    }

    /// A lookup that had made this many hops has ended here.
    pub(crate) fn arrived(&self, hops: u32) {
        self.hops[(hops as usize).min(self.hops.len() - 1)].add(1);
        self.hops_sum.add(hops.into());
    }

    /// A conversation has begun.
    pub(crate) fn talks(&self, conversation: &Conversation) {
        self.conversations[match conversation {
            Conversation::Join(_) => 0,
            Conversation::Rectify(_) => 1,
            Conversation::Stabilize(_) => 2,
            Conversation::Awaken(_) => 3,
            Conversation::CheckPredecessor(_) => 4,
            Conversation::Reunite(_) => 5,
        }]
        .add(1);
    }
}

/// The place in [`FAILURES`].
fn failure(why: LookupFailure) -> usize {
    match why {
        LookupFailure::NotJoined => 0,
        LookupFailure::Isolated => 1,
        LookupFailure::NoRoute => 2,
        LookupFailure::TooManyHops => 3,
        LookupFailure::Timeout => 4,
        LookupFailure::Busy => 5,
        LookupFailure::Unsure => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_that_were_turned_away_have_failed_since_the_thread_was_busy() {
        let meters = Meters::default();
        meters.looked_up(Duration::ZERO, Some(LookupFailure::Busy));
        meters.looked_up(Duration::ZERO, Some(LookupFailure::Unsure));
        meters.gate.guard(true, 0);
        assert!(meters.gate.enter().is_err() && meters.gate.enter().is_err());
        let failed = |why| meters.failed(FAILURES.iter().position(|name| *name == why).unwrap());
        assert_eq!(["busy", "unsure", "timeout"].map(failed), [3, 1, 0]);
    }

    #[test]
    fn durations_are_counted_below_the_next_power_of_two() {
        let durations = Durations::default();
        for micros in [0, 1, 32, 33, 64, 65, 1 << 24, (1 << 24) + 1, u64::MAX >> 1] {
            durations.add(Duration::from_micros(micros));
        }
        let (buckets, _) = durations.read();
        let full: Vec<_> = buckets.into_iter().filter(|(_, count)| *count > 0).collect();
        let (last, most) = (16.777216, f64::MAX);
        assert_eq!(full, [(32e-6, 3), (64e-6, 2), (128e-6, 1), (last, 1), (most, 2)]);
    }

    #[test]
    fn sum_is_in_seconds() {
        let durations = Durations::default();
        durations.add(Duration::from_millis(1500));
        assert_eq!(durations.read().1, 1.5);
    }
}
