//! The counts of a history. A history in which nothing happened proves nothing.

/// Counts of what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events that nodes handled: messages, timers, time limits.
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
    /// Calls that were sent again after their connection had broken.
    pub repeated: u64,
    /// Events that waited for a paused node.
    pub postponed: u64,
    /// Requests that were not answered in time.
    pub timeouts: u64,
    /// Targets that also stayed silent to a probe: taken for dead.
    pub given_up: u64,
    /// Requests that are forwarded from node to node.
    pub forwarded: u64,
    /// Attempts to join that ended with membership.
    pub joins: u64,
    /// Programs that ended because they could not join.
    pub unjoined: u64,
    pub starts: u64,
    pub restarts: u64,
    pub crashes: u64,
    /// Nodes that left their ring voluntarily.
    pub leaves: u64,
    pub vanished: u64,
    pub pauses: u64,
    pub severed: u64,
    /// Lookups from outside; those of fingers and of joiners are not counted.
    pub lookups: u64,
    /// Nodes that lookups asked on their way to an answer.
    pub hops: u64,
}
