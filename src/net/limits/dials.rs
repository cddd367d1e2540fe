//! How often a node dials addresses that have never answered it.
//!
//! A peer can make a node call such addresses by naming them: in lists, as predecessors, as owners. Each conversation
//! bounds how many it follows; this limit bounds all of them together, so that a ring can't be turned into a weapon
//! against others.

use std::time::Duration;

use tokio::time::Instant;

/// Dials allowed at once: a new member meets its successors and fingers, at most 32 and 160.
const BURST: u32 = 256;

/// One more dial is allowed each time this has passed: a node meets others no faster in the long run.
const ONE_EVERY: Duration = Duration::from_millis(20);

/// A token bucket: how many dials are left.
#[derive(Clone, Copy, Debug)]
pub struct DialLimiter {
    left: u32,
    /// The time up to which the allowance has grown.
    since: Instant,
}

impl DialLimiter {
    pub fn new(now: Instant) -> DialLimiter {
        DialLimiter { left: BURST, since: now }
    }

    /// Whether one more may be dialled now.
    pub fn may_dial(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since);
        let more = u32::try_from(passed.as_millis() / ONE_EVERY.as_millis()).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(more).min(BURST);
        // Growth beyond the burst is lost; the started part of the next dial is kept.
        self.since = if self.left == BURST { now } else { self.since + ONE_EVERY * more };
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `n` dials in these seconds are allowed.
    fn allowed(strangers: &mut DialLimiter, from: Instant, seconds: u64, n: u32) -> usize {
        let step = Duration::from_secs(seconds) / n;
        (1..=n).filter(|i| strangers.may_dial(from + step * *i)).count()
    }

    #[test]
    fn a_burst_is_allowed_and_then_some_per_second() {
        let now = Instant::now();
        let mut strangers = DialLimiter::new(now);
        assert_eq!((0..1000).filter(|_| strangers.may_dial(now)).count(), 256);
        let ten = allowed(&mut strangers, now, 10, 100_000);
        assert!((499..=500).contains(&ten), "50 a second: {ten}");
    }

    #[test]
    fn rest_does_not_save_up_more_than_a_burst() {
        let now = Instant::now();
        let mut strangers = DialLimiter::new(now);
        let later = now + Duration::from_secs(365 * 24 * 3600);
        assert_eq!((0..1000).filter(|_| strangers.may_dial(later)).count(), 256);
        assert!(strangers.may_dial(later + ONE_EVERY));
        assert!(!strangers.may_dial(later + ONE_EVERY));
        assert!(!strangers.may_dial(now), "a clock that goes back gives nothing");
    }
}
