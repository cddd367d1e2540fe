//! Hops at which lookups get stuck.
//!
//! A node that answers pings but no lookups is alive, and every lookup that it is sent waits out its time. Only few
//! may: a hop at which lookups are *overdue* while none comes back gets only a trial now and then until one does; the
//! others go round it, or are told at once that it is busy. So one stuck hop holds a small share of what a thread may
//! have in flight, no matter which clients send lookups there, and how many.

use std::collections::BTreeMap;
use std::time::Duration;

use super::addr::Addr;
use super::admission::MAX_LOOKUPS;

/// Lookups that may be overdue at a hop that has answered none for a while.
const MAX_OVERDUE: u32 = 64;

/// Lookups that may be overdue at a hop, though it answers others: a quarter of all that a thread may have in flight.
const MAX_OVERDUE_ANSWERING: u32 = MAX_LOOKUPS as u32 / 4;

/// A hop that has answered a lookup within this time is slow, not stuck.
const ANSWERING_FOR: Duration = Duration::from_secs(1);

/// One lookup is sent to a stuck hop each time that this has passed.
const TRIAL_EVERY: Duration = Duration::from_millis(100);

/// A hop at which nothing is overdue any more is remembered for this long: if it was stuck, it is most likely stuck
/// again.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// Hops that are recorded; beyond, others are not watched.
const MAX_HOPS: usize = 1024;

/// The hops of a thread at which lookups are overdue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bulkhead {
    hops: BTreeMap<Addr, Hop>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hop {
    overdue: u32,
    /// When it last answered a lookup, or when lookups began to be overdue there.
    answered: Duration,
    /// When the last lookup was sent there on trial; none if it is not stuck.
    trial: Option<Duration>,
}

impl Bulkhead {
    /// Whether another lookup may be sent there now.
    pub fn admits(&mut self, hop: Addr, now: Duration) -> bool {
        if self.hops.is_empty() {
            return true;
        }
        let Some(hop) = self.hops.get_mut(&hop) else { return true };
        if hop.overdue >= MAX_OVERDUE_ANSWERING {
            return false;
        }
        let answers = now.saturating_sub(hop.answered) < ANSWERING_FOR;
        if answers || (hop.trial.is_none() && hop.overdue < MAX_OVERDUE) {
            return true;
        }
        let due = hop.trial.is_none_or(|last| now.saturating_sub(last) >= TRIAL_EVERY);
        if due {
            hop.trial = Some(now);
        }
        due
    }

    /// A lookup has waited there longer than it should.
    pub fn overdue(&mut self, hop: Addr, now: Duration) {
        if self.hops.len() >= MAX_HOPS {
            let old = |hop: &Hop| now.saturating_sub(hop.answered) >= REMEMBERED_FOR;
            self.hops.retain(|_, hop| hop.overdue > 0 || !old(hop));
        }
        if self.hops.len() < MAX_HOPS || self.hops.contains_key(&hop) {
            let hop = self.hops.entry(hop).or_insert(Hop { overdue: 0, answered: now, trial: None });
            hop.overdue += 1;
        }
    }

    /// An overdue lookup waits there no longer.
    pub fn settled(&mut self, hop: Addr) {
        if let Some(entry) = self.hops.get_mut(&hop) {
            entry.overdue = entry.overdue.saturating_sub(1);
            if entry.overdue == 0 && entry.trial.is_none() {
                self.hops.remove(&hop);
            }
        }
    }

    /// The hop has answered a lookup.
    pub fn answered(&mut self, hop: Addr, now: Duration) {
        if !self.hops.is_empty()
            && let Some(entry) = self.hops.get_mut(&hop)
        {
            (entry.answered, entry.trial) = (now, None);
            if entry.overdue == 0 {
                self.hops.remove(&hop);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::testing::peer;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn stuck(overdue: u32) -> Bulkhead {
        let mut bulkhead = Bulkhead::default();
        (0..overdue).for_each(|_| bulkhead.overdue(peer(1).addr, at(0)));
        bulkhead
    }

    #[test]
    fn hop_that_answers_no_lookup_gets_a_trial_now_and_then() {
        let mut bulkhead = stuck(MAX_OVERDUE);
        assert!(bulkhead.admits(peer(1).addr, at(999)), "it may only be slow");
        let sent = (1000..2000).filter(|ms| bulkhead.admits(peer(1).addr, at(*ms))).count();
        assert_eq!(sent, 10);
        assert!(bulkhead.admits(peer(2).addr, at(2000)), "another hop");
    }

    /// Lookups that were given up made room for as many new ones as could come before these were overdue, too.
    #[test]
    fn hop_stays_stuck_when_its_lookups_have_been_given_up() {
        let mut bulkhead = stuck(MAX_OVERDUE);
        bulkhead.admits(peer(1).addr, at(1000));
        (0..MAX_OVERDUE).for_each(|_| bulkhead.settled(peer(1).addr));
        let sent = (5000..6000).filter(|ms| bulkhead.admits(peer(1).addr, at(*ms))).count();
        assert_eq!(sent, 10);
        bulkhead.answered(peer(1).addr, at(6000));
        assert_eq!(bulkhead, Bulkhead::default());
    }

    #[test]
    fn one_answer_opens_the_way_again() {
        let mut bulkhead = stuck(MAX_OVERDUE);
        bulkhead.admits(peer(1).addr, at(1500));
        assert!(!bulkhead.admits(peer(1).addr, at(1501)));
        bulkhead.answered(peer(1).addr, at(1502));
        assert!((0..900).all(|ms| bulkhead.admits(peer(1).addr, at(1502 + ms))));
    }

    #[test]
    fn hop_that_answers_some_and_sits_on_many_is_bounded_too() {
        let mut bulkhead = stuck(MAX_OVERDUE_ANSWERING);
        bulkhead.answered(peer(1).addr, at(500));
        assert!((501..1500).all(|ms| !bulkhead.admits(peer(1).addr, at(ms))));
        bulkhead.settled(peer(1).addr);
        assert!(bulkhead.admits(peer(1).addr, at(501)));
    }

    #[test]
    fn hop_is_forgotten_when_nothing_is_overdue_there() {
        let mut bulkhead = stuck(2);
        (0..3).for_each(|_| bulkhead.settled(peer(1).addr));
        assert_eq!(bulkhead, Bulkhead::default());
    }

    #[test]
    fn hops_are_bounded_and_those_of_long_ago_make_room() {
        let hop = |n: usize| Addr::new([10, 0, 0, 1], n as u16);
        let mut bulkhead = Bulkhead::default();
        for n in 0..2 * MAX_HOPS {
            bulkhead.overdue(hop(n), at(0));
        }
        assert_eq!(bulkhead.hops.len(), MAX_HOPS);
        for n in 0..2 * MAX_HOPS {
            (0..MAX_OVERDUE).for_each(|_| bulkhead.overdue(hop(n), at(0)));
            bulkhead.admits(hop(n), at(5000));
            (0..=MAX_OVERDUE).for_each(|_| bulkhead.settled(hop(n)));
        }
        assert_eq!(bulkhead.hops.len(), MAX_HOPS, "they are stuck");
        bulkhead.overdue(hop(3 * MAX_HOPS), at(60_000));
        assert_eq!(bulkhead.hops.len(), 1);
    }
}
