//! The counts of a history. A history in which nothing happened proves nothing.

/// Counts of what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events that nodes handled: messages, timers, time limits.
    pub events: u64,
    /// What nodes handed to the network, lost or not; a broken connection counts as one message to either end.
    pub messages: u64,
    /// In frames that were sent.
    pub bytes: u64,
    /// Messages that the network dropped, by chance or on a link that was cut.
    pub lost: u64,
    /// Messages that arrived twice.
    pub duplicated: u64,
    /// Messages that waited on a link until it was released.
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
    /// Programs that began to run, those at an address where one had run before included.
    pub starts: u64,
    /// Programs that began to run at an address where one had run before.
    pub restarts: u64,
    /// Programs that were ended without notice.
    pub crashes: u64,
    /// Nodes that left their ring voluntarily.
    pub leaves: u64,
    /// Nodes that were paused for ever.
    pub vanished: u64,
    /// Pauses that have an end.
    pub pauses: u64,
    /// How often the connection between two nodes was to break, whether they had one or not.
    pub severed: u64,
    /// Lookups from outside; those of fingers and of joiners are not counted.
    pub lookups: u64,
    /// Nodes that lookups asked on their way to an answer.
    pub hops: u64,
}
