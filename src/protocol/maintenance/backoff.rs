//! How long to wait before what failed is tried again.

use std::time::Duration;

/// The pause before another attempt to join when the ring said "not now": a few round trips, and longer by as much each
/// time. Nodes that join at once come in one after the other: doubled pauses would be as long as all earlier ones
/// together, while places are free.
pub(super) const NOT_NOW: Backoff = Backoff { first: Duration::from_millis(10), most: Duration::from_millis(500) };

/// The same when the seed is joining, too: a chain of nodes that start together must not add up long
/// pauses.
pub(super) const NOT_JOINED: Backoff = Backoff { first: Duration::from_millis(10), most: Duration::from_millis(100) };

/// The same when the seed did not answer: it may be starting.
pub(super) const NO_ANSWER: Backoff = Backoff { first: Duration::from_millis(50), most: Duration::from_millis(500) };

/// The pause between questions to acquaintances: short after a loss, since the lost node may be back soon; then longer
/// and longer, since in a healthy ring the questions find nothing. Each is a lookup: where rounds of stabilize are far
/// apart, these are as well, or they would be most of the traffic.
pub(super) fn reunite(stabilize_every: Duration) -> Backoff {
    Backoff {
        first: stabilize_every.max(Duration::from_secs(1)),
        most: stabilize_every.saturating_mul(4).max(Duration::from_secs(32)),
    }
}

/// The same in a ring of one, which has nothing better to do.
pub(super) const REUNITE_ALONE: Duration = Duration::from_secs(2);

/// An isolated node makes this many rounds of attempts to join, of at most [`ISOLATED_ROUND`] each, before it believes
/// that it is alone.
pub(super) const ISOLATED_ROUNDS: u32 = 3;
pub(super) const ISOLATED_ROUND: usize = 4;

pub(super) struct Backoff {
    pub first: Duration,
    pub most: Duration,
}

impl Backoff {
    /// The pause after `failures` in a row.
    pub(super) fn after(&self, failures: u32) -> Duration {
        let doubled = 2u32.saturating_pow(failures.saturating_sub(1));
        self.first.saturating_mul(doubled).min(self.most)
    }

    /// The same if it is longer by the first one each time.
    pub(super) fn stepwise(&self, failures: u32) -> Duration {
        self.first.saturating_mul(failures).min(self.most)
    }
}
