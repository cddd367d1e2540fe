//! How far a thread of nodes may trust its own clock when it judges others.
//!
//! A node that is silent is either dead, or slow, or *we* were: a process that was stopped, swapped out or starved
//! finds, when it goes on, that all its time limits have passed while it read nothing. So a thread watches itself (the
//! idea of Lifeguard; Dadgar, Phillips, Currey: "Lifeguard: Local Health Awareness for More Accurate Failure
//! Detection", 2017). It looks at the clock every [`BEAT`]; if much more time than that has passed, it has slept. From
//! then on:
//!
//! - a wait during which it slept begins again: what has arrived is read before any node is judged;
//! - while it is late it waits longer for others, by a multiple of its own lateness;
//! - questions that it finds waiting may be older than their deadlines say.

use std::time::Duration;

/// A thread looks at the clock this often, no matter what else it does.
pub const BEAT: Duration = Duration::from_millis(100);

/// A thread that did not look at the clock for this long was not just busy with one task: it slept.
const ASLEEP: Duration = Duration::from_millis(250);

/// A thread waits for others longer than agreed by this multiple of its own lateness: the question and the answer each
/// wait in its queues, and in those of the other end, which may share its processors.
const WIDENING: u32 = 4;

/// But no longer than this multiple of what was agreed: a thread that is always late still finds the dead.
const WIDEST: u32 = 8;

/// Within this time after a sleep, a thread has read what had arrived meanwhile.
const CATCHING_UP: Duration = Duration::from_millis(50);

/// The health of one thread. Times are those since it began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalHealth {
    /// When it last looked at the clock; none before it first did.
    seen: Option<Duration>,
    /// How late it was lately: the latest lateness, or an older and larger one that fades away.
    late: Duration,
    /// The end and the length of its last sleep.
    slept: Option<(Duration, Duration)>,
}

/// What to do when a wait for an answer is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ripe {
    /// The other end has had its time: it may be judged.
    Yes,
    /// It has not: wait this much longer, from now on, and begin to count anew if `again`.
    NotYet {
        /// Not zero; widened by how late this thread was lately.
        more: Duration,
        /// Set if this thread slept during the wait: the time waited so far does not count.
        again: bool,
    },
}

impl LocalHealth {
    /// A thread that looks at the clock from now on.
    pub fn new(now: Duration) -> LocalHealth {
        LocalHealth { seen: Some(now), ..LocalHealth::default() }
    }

    /// The thread looks at the clock. Returns how long it has slept, if it has: its nodes are then to doubt what they
    /// knew.
    pub fn look(&mut self, now: Duration) -> Option<Duration> {
        let unseen = self.unseen(now);
        self.seen = Some(now);
        (unseen >= ASLEEP).then(|| self.wake(now, unseen))
    }

    /// When the thread last looked at the clock.
    pub fn seen(&self) -> Duration {
        self.seen.unwrap_or_default()
    }

    fn unseen(&self, now: Duration) -> Duration {
        self.seen.map_or(Duration::ZERO, |seen| now.saturating_sub(seen))
    }

    /// The whole machine was suspended for this long, which its clock does not count.
    pub fn suspended(&mut self, now: Duration, length: Duration) -> Option<Duration> {
        (length >= ASLEEP).then(|| self.wake(now, length))
    }

    fn wake(&mut self, now: Duration, length: Duration) -> Duration {
        self.slept = Some((now, length));
        length
    }

    /// The thread was to beat at `due` and does so now.
    pub fn beat(&mut self, due: Duration, now: Duration) {
        // A sleep is no lateness: it is over, and has ended the waits that it fell into.
        let slept = self.unseen(now) >= ASLEEP || self.slept.is_some_and(|(end, _)| end > due);
        let late = if slept { Duration::ZERO } else { now.saturating_sub(due) };
        self.late = late.max(self.late * 3 / 4);
    }

    /// How long to wait for others where `agreed` was agreed.
    pub fn patience(&self, agreed: Duration) -> Duration {
        agreed + (self.late * WIDENING).min(agreed * (WIDEST - 1))
    }

    /// Whether a wait for `agreed` that began at `began` is over now.
    pub fn is_ripe(&self, began: Duration, agreed: Duration, now: Duration) -> Ripe {
        if self.slept.is_some_and(|(end, _)| end > began) || self.unseen(now) >= ASLEEP {
            return Ripe::NotYet { more: self.patience(agreed), again: true };
        }
        match self.patience(agreed).checked_sub(now.saturating_sub(began)) {
            None | Some(Duration::ZERO) => Ripe::Yes,
            Some(more) => Ripe::NotYet { more, again: false },
        }
    }

    /// How long a question that is read now may have waited already: as long as a sleep that has just ended.
    pub fn age_of_arrivals(&self, now: Duration) -> Duration {
        match self.slept {
            Some((end, length)) if now.saturating_sub(end) < CATCHING_UP => length,
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// A thread that beats in time until then.
    fn healthy(until: Duration) -> LocalHealth {
        let mut health = LocalHealth::default();
        let mut now = Duration::ZERO;
        while now + BEAT <= until {
            now += BEAT;
            health.beat(now, now);
            assert_eq!(health.look(now), None);
        }
        health
    }

    #[test]
    fn thread_in_time_waits_as_agreed() {
        let health = healthy(SECOND);
        assert_eq!(health.patience(SECOND), SECOND);
        assert_eq!(health.is_ripe(ms(0), SECOND, SECOND), Ripe::Yes);
        let left = Ripe::NotYet { more: ms(100), again: false };
        assert_eq!(health.is_ripe(ms(100), SECOND, SECOND), left);
    }

    #[test]
    fn wait_that_was_slept_through_begins_again_once() {
        let mut health = healthy(SECOND);
        let woke = ms(1600);
        assert_eq!(health.clone().is_ripe(ms(900), ms(250), woke), Ripe::NotYet { more: ms(250), again: true });
        assert_eq!(health.look(woke), Some(ms(600)));
        assert_eq!(health.is_ripe(ms(900), ms(250), woke), Ripe::NotYet { more: ms(250), again: true });
        assert_eq!(
            health.is_ripe(woke, ms(250), woke + ms(250)),
            Ripe::NotYet { more: ms(250), again: true },
            "unseen"
        );
        assert_eq!(health.look(woke + ms(200)), None);
        assert_eq!(health.is_ripe(woke, ms(250), woke + ms(250)), Ripe::Yes);
    }

    #[test]
    fn machine_that_was_suspended_has_slept_though_its_clock_stood_still() {
        let mut health = healthy(SECOND);
        assert_eq!(health.suspended(SECOND, ms(3)), None, "two clocks are never read at once");
        assert_eq!(health.suspended(SECOND, 100 * SECOND), Some(100 * SECOND));
        assert!(matches!(health.is_ripe(ms(100), ms(250), SECOND), Ripe::NotYet { again: true, .. }));
    }

    #[test]
    fn late_thread_is_patient_until_it_has_caught_up() {
        let mut health = healthy(SECOND);
        health.beat(ms(1100), ms(1150));
        assert_eq!(health.patience(SECOND), ms(1200));
        assert_eq!(health.patience(ms(20)), ms(160), "bounded");
        for n in 0..20 {
            health.beat(ms(1200) + n * BEAT, ms(1200) + n * BEAT);
        }
        assert!(health.patience(SECOND) < ms(1002));
    }

    /// Queues of more than a quarter of a second were taken for a sleep, and the thread waited no longer for others.
    #[test]
    fn thread_that_is_very_late_but_awake_is_patient() {
        let mut health = healthy(SECOND);
        assert_eq!(health.look(ms(1200)), None);
        assert_eq!(health.look(ms(1400)), None, "it reads");
        health.beat(ms(1100), ms(1400));
        assert_eq!(health.patience(SECOND), ms(2200));

        let mut slept = healthy(SECOND);
        slept.beat(ms(1100), ms(1400));
        assert_eq!(slept.patience(SECOND), SECOND, "it saw nothing");
    }

    #[test]
    fn what_is_read_after_a_sleep_may_be_as_old_as_the_sleep_was_long() {
        let mut health = healthy(SECOND);
        assert_eq!(health.age_of_arrivals(SECOND), Duration::ZERO);
        health.look(ms(3000));
        assert_eq!(health.age_of_arrivals(ms(3010)), 2 * SECOND);
        assert_eq!(health.age_of_arrivals(ms(3100)), Duration::ZERO);
    }
}
