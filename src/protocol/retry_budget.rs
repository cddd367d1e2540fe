//! How often a thread asks again because a node was busy.
//!
//! Retries keep an overloaded ring overloaded after its trouble is gone (Bronson et al., "Metastable Failures in
//! Distributed Systems", HotOS 2021). So they are a share of the work that is done anyway: at most one in ten calls,
//! and some saved up for a moment.

use std::time::Duration;

/// One retry is earned by this many calls.
const CALLS_PER_RETRY: u32 = 10;

/// At most this many are saved up: what a ring of some hundred lookups under way may need when one of its members
/// stumbles.
const MOST_SAVED: u32 = 256;

/// The first rest of a conversation that met a busy node; each further one is twice as long. To be jittered.
const FIRST_REST: Duration = Duration::from_millis(10);

/// No rest is longer than this many doublings of the first.
const MOST_DOUBLINGS: u32 = 4;

/// How long to rest before asking again, after this many rests.
pub fn rest(rests: u32) -> Duration {
    FIRST_REST * (1 << rests.min(MOST_DOUBLINGS))
}

/// The retries that a thread may make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryBudget {
    /// In calls; a retry takes [`CALLS_PER_RETRY`].
    saved: u32,
}

impl Default for RetryBudget {
    fn default() -> RetryBudget {
        RetryBudget { saved: MOST_SAVED * CALLS_PER_RETRY }
    }
}

impl RetryBudget {
    /// A call was made that is no retry.
    pub fn earn(&mut self) {
        self.saved = (self.saved + 1).min(MOST_SAVED * CALLS_PER_RETRY);
    }

    /// Whether one more retry may be made.
    pub fn spend(&mut self) -> bool {
        let left = self.saved.checked_sub(CALLS_PER_RETRY);
        self.saved = left.unwrap_or(self.saved);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_a_tenth_of_the_calls_are_retries() {
        let mut budget = RetryBudget::default();
        let mut retries = 0;
        for _ in 0..100_000 {
            budget.earn();
            while budget.spend() {
                retries += 1;
            }
        }
        assert_eq!(retries, 256 + 100_000 / 10 - 1, "the first call found nothing to save");
    }

    #[test]
    fn rests_grow_and_are_bounded() {
        assert_eq!([0, 1, 4, 5, u32::MAX].map(|n| rest(n).as_millis()), [10, 20, 160, 160, 160]);
    }

    #[test]
    fn a_long_rest_saves_up_no_more_than_some() {
        let mut budget = RetryBudget::default();
        (0..1_000_000).for_each(|_| budget.earn());
        assert_eq!((0..1000).filter(|_| budget.spend()).count(), 256);
    }
}
