//! Keeping the finger table right (paper, figure 6: `fix_fingers`).

use std::time::Duration;

use super::fingers::FingerTable;
use super::id::Id;
use super::peer::Peer;

/// Walks round the finger table, one lookup at a time.
///
/// A pass takes about log2 N lookups, since fingers that must have one owner are set together; all but the first pass
/// guess that the owners are still the same, which makes most lookups one call. After a pass that changed something, or
/// a change of the neighbours, another pass follows at once, lookup after lookup; else there is one lookup per period.
///
/// A distant join can change our fingers without any message reaching us. A ring that forms is full of such changes,
/// and the younger a table is, the more of them are still to come. So the table is looked up again each time its age
/// has grown by a quarter, until passes of one lookup per period come as often. A change in a ring that took some time
/// to form is found in a quarter of that time; and the number of passes grows as the logarithm of the age.
///
/// A [`paced`](Self::paced) table hurries in its first pass only: from then on the traffic for it is the same no matter
/// what happens to the ring, and a wrong finger is found when its turn comes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FixFingers {
    table: FingerTable,
    /// The finger to be looked up next.
    next: u8,
    /// Whether this pass has changed the table.
    changed: bool,
    /// Whether this pass goes on without waiting for the period.
    hurried: bool,
    /// Whether something happened since this pass began that calls for another.
    disturbed: bool,
    /// Whether the next lookup is to begin a new pass.
    restart: bool,
    /// Whether it never hurries again after its first pass.
    paced: bool,
    /// The rest before the next hurried pass that no change calls for, until it is [`GROWN`].
    rest: Duration,
    /// Whether it rests.
    resting: bool,
    /// Lookups, in a row, that did not wait for the period.
    in_a_row: u32,
    /// Nodes of the table that were found dead, until a pass has taken its time, a lookup per period; the last
    /// [`MAX_LOST`]. Others may name one of them again, if they don't know yet or can reach it: that is no reason to hurry.
    lost: Vec<Peer>,
}

/// The first rest: a ring of some nodes forms in about that time.
const FIRST_REST: Duration = Duration::from_millis(10);

/// A table is no longer young once its rest would be this long.
const GROWN: Duration = Duration::from_secs(10);

/// The first rest of a table whose ring has heard of another one: the two are one ring after a few such rests.
const MERGED_REST: Duration = Duration::from_millis(500);

/// At most this many lookups follow each other at once: some passes, even if all fingers differ. Then one waits for the period,
/// whatever happens: answers that are never the same twice keep no node busy.
const MAX_IN_A_ROW: u32 = 640;

/// A node has few different fingers, and not many die together.
const MAX_LOST: usize = 16;

/// The rest after this one.
fn longer(rest: Duration) -> Duration {
    rest * 5 / 4
}

/// For how long a table with this period is looked at more often than once a period, if lookups take no time.
pub fn youth(every: Duration) -> Duration {
    let rests = std::iter::successors(Some(FIRST_REST), |rest| Some(longer(*rest)));
    rests.take_while(|rest| *rest < GROWN).map(|rest| rest.min(every)).sum()
}

/// When the next lookup is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pace {
    /// Without a pause: the pass is hurried and the last lookup named an owner.
    AtOnce,
    /// After this time, or with the next period if that is sooner.
    After(Duration),
    /// When the configured period is over.
    NextPeriod,
}

impl FixFingers {
    /// Begins with a table that has yet to be filled.
    pub fn new(table: FingerTable) -> FixFingers {
        FixFingers {
            table,
            next: 1,
            changed: false,
            hurried: true,
            disturbed: false,
            restart: false,
            paced: false,
            rest: FIRST_REST,
            resting: false,
            in_a_row: 0,
            lost: Vec::new(),
        }
    }

    /// Begins with a table that is right.
    pub fn filled(table: FingerTable) -> FixFingers {
        FixFingers { hurried: false, rest: GROWN, ..FixFingers::new(table) }
    }

    /// The same; if `paced`, with one lookup per period and never more once the table is filled.
    pub fn paced(self, paced: bool) -> FixFingers {
        FixFingers { paced, ..self }
    }

    /// The table as it is.
    pub fn table(&self) -> &FingerTable {
        &self.table
    }

    /// Begins the lookup that was due at this pace: the [`key`](Self::key) to look up.
    pub fn begin(&mut self, pace: Pace) -> Id {
        self.in_a_row = if pace == Pace::AtOnce { self.in_a_row + 1 } else { 0 };
        self.key()
    }

    /// The key to look up now: the start of the next finger. Its outcome is to be digested before
    /// the next one is asked for.
    pub fn key(&mut self) -> Id {
        if std::mem::take(&mut self.restart) {
            self.next = 1;
        }
        self.table.start(self.next)
    }

    /// The node that owned that key when it was looked up last: to ask it whether it still does is cheaper. `None` if
    /// no node did, or in a [`paced`](Self::paced) table: there each finger is looked up, as in the paper.
    pub fn guess(&self) -> Option<Peer> {
        Some(self.table.node(self.next)).filter(|node| !self.paced && *node != self.table.me())
    }

    /// Digests the outcome of the lookup of [`key`](Self::key); `None` when it failed, which
    /// leaves its fingers as they are and is no reason to hurry.
    pub fn digest(&mut self, owner: Option<Peer>) -> Pace {
        self.resting = false;
        let last = match owner {
            Some(owner) => {
                let (last, changed) = self.table.set(self.next, owner);
                self.changed |= changed && !self.lost.contains(&owner);
                last
            }
            None => self.table.last_of_run(self.next),
        };
        self.next = last + 1;
        if self.table.is_past(self.next) {
            if !self.hurried {
                self.lost.clear();
            }
            self.hurried = !self.paced && (self.changed || self.disturbed || self.restart);
            self.next = 1;
            self.changed = false;
            self.disturbed = false;
            if !self.paced && !self.hurried && self.rest < GROWN {
                let rest = self.rest;
                self.rest = longer(rest);
                (self.hurried, self.resting) = (true, true);
                return if self.in_a_row < MAX_IN_A_ROW { Pace::After(rest) } else { Pace::NextPeriod };
            }
        }
        if self.is_hurried() && owner.is_some() { Pace::AtOnce } else { Pace::NextPeriod }
    }

    /// Whether this pass goes on without waiting for the period.
    pub fn is_hurried(&self) -> bool {
        self.hurried && self.in_a_row < MAX_IN_A_ROW
    }

    /// The neighbours changed: look at all fingers soon.
    pub fn disturb(&mut self) {
        if self.paced {
            return;
        }
        if self.hurried && !self.resting {
            self.disturbed = true;
        } else {
            self.hurried = true;
            self.restart = true;
        }
    }

    /// The ring changes everywhere, since it becomes one with another: the table is young again.
    pub fn grow_young(&mut self) {
        self.rest = self.rest.min(MERGED_REST);
        self.disturb();
    }

    /// A node is dead. Says whether it was in the table.
    pub fn forget(&mut self, dead: Peer) -> bool {
        let known = self.table.forget(dead);
        if known && !self.lost.contains(&dead) {
            if self.lost.len() == MAX_LOST {
                self.lost.remove(0);
            }
            self.lost.push(dead);
            self.disturb();
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::testing::{SIX, peer, peers};

    /// The owner of a key in the paper's ring of ten.
    fn owner(key: Id) -> Peer {
        let ring = peers(&[1, 8, 14, 21, 32, 38, 42, 48, 51, 56]);
        ring.iter().copied().find(|node| node.id >= key).unwrap_or(ring[0])
    }

    fn pass(fingers: &mut FixFingers) -> (usize, Pace) {
        for lookups in 1.. {
            let key = fingers.key();
            let pace = fingers.digest(Some(owner(key)));
            if fingers.key() == peer(9).id {
                return (lookups, pace);
            }
        }
        unreachable!()
    }

    /// A table that is right, and no longer young.
    fn grown() -> FixFingers {
        let mut fingers = FixFingers::new(FingerTable::alone(peer(8), SIX));
        pass(&mut fingers);
        FixFingers::filled(fingers.table().clone())
    }

    #[test]
    fn a_pass_takes_one_lookup_per_distinct_finger() {
        let mut fingers = FixFingers::new(FingerTable::alone(peer(8), SIX));
        assert_eq!(pass(&mut fingers).0, 4);
        assert_eq!(fingers.table().nodes().collect::<Vec<_>>(), peers(&[14, 14, 14, 21, 32, 42]));
    }

    #[test]
    fn table_of_a_ring_that_becomes_one_with_another_is_young_again() {
        let mut fingers = grown();
        assert_eq!(pass(&mut fingers).1, Pace::NextPeriod);
        fingers.grow_young();
        let rests = std::iter::repeat_with(|| pass(&mut fingers).1).take_while(|pace| *pace != Pace::NextPeriod);
        let rests: Vec<Pace> = rests.collect();
        assert_eq!(rests[..2], [Pace::After(MERGED_REST), Pace::After(longer(MERGED_REST))]);
        assert_eq!(rests.len(), 14, "as many as there are until it has grown up");
    }

    #[test]
    fn passes_follow_at_once_until_one_changes_nothing() {
        let mut fingers = FixFingers::new(FingerTable::alone(peer(8), SIX));
        assert_eq!(pass(&mut fingers).1, Pace::AtOnce, "the first changes everything");
        assert_eq!(pass(&mut fingers).1, Pace::After(FIRST_REST), "the second nothing");
    }

    #[test]
    fn a_young_table_is_looked_at_again_and_again_after_longer_and_longer_rests() {
        let mut fingers = FixFingers::new(FingerTable::alone(peer(8), SIX));
        pass(&mut fingers);
        let mut age = Duration::ZERO;
        while let Pace::After(rest) = pass(&mut fingers).1 {
            age += rest;
            assert!(rest >= FIRST_REST && rest >= age.mul_f64(0.2) && rest < GROWN, "{rest:?} at {age:?}");
        }
        assert!(age > GROWN && age == youth(age), "{age:?}");
        assert!(youth(Duration::from_secs(1)) < age / 2, "with a period of a second");
        assert!(!fingers.is_hurried());
        assert_eq!(fingers.digest(Some(peer(14))), Pace::NextPeriod, "then a lookup per period does it");
    }

    #[test]
    fn a_change_of_neighbours_ends_a_rest() {
        let mut fingers = FixFingers::new(FingerTable::alone(peer(8), SIX));
        pass(&mut fingers);
        assert_eq!(pass(&mut fingers).1, Pace::After(FIRST_REST));
        fingers.disturb();
        assert!(fingers.is_hurried());
        assert!(matches!(pass(&mut fingers), (4, Pace::After(_))), "one pass, and no other for the same reason");
    }

    #[test]
    fn a_change_of_neighbours_begins_a_hurried_pass() {
        let mut fingers = grown();
        fingers.digest(Some(peer(14)));
        fingers.disturb();
        assert_eq!(fingers.key(), peer(9).id, "from the first finger");
        assert_eq!(fingers.digest(Some(peer(14))), Pace::AtOnce);
    }

    #[test]
    fn a_change_during_a_lookup_does_not_mistake_its_answer() {
        let mut fingers = grown();
        fingers.digest(Some(peer(14)));
        let answer = owner(fingers.key());
        fingers.disturb();
        fingers.digest(Some(answer));
        assert_eq!(fingers.table().nodes().collect::<Vec<_>>(), peers(&[14, 14, 14, 21, 32, 42]));
        assert_eq!(fingers.key(), peer(9).id, "and then from the first finger");
    }

    #[test]
    fn a_change_during_a_hurried_pass_calls_for_another() {
        let mut fingers = FixFingers::new(FingerTable::alone(peer(8), SIX));
        pass(&mut fingers);
        fingers.disturb();
        assert_eq!(pass(&mut fingers).1, Pace::AtOnce);
        assert_eq!(pass(&mut fingers).1, Pace::After(FIRST_REST));
    }

    #[test]
    fn a_failed_lookup_skips_its_fingers_without_hurry() {
        let mut fingers = FixFingers::new(FingerTable::alone(peer(8), SIX));
        pass(&mut fingers);
        assert_eq!(fingers.digest(None), Pace::NextPeriod);
        assert_eq!(fingers.key(), peer(16).id, "8 + 8 is the next that may differ");
    }

    #[test]
    fn a_paced_table_hurries_until_it_is_filled_and_never_again() {
        let mut fingers = FixFingers::new(FingerTable::alone(peer(8), SIX)).paced(true);
        assert!(fingers.is_hurried());
        assert_eq!(pass(&mut fingers), (4, Pace::NextPeriod), "though everything has changed");
        fingers.digest(Some(peer(14)));
        fingers.disturb();
        assert!(fingers.forget(peer(32)));
        assert!(!fingers.is_hurried());
        assert_eq!(fingers.key(), peer(16).id, "the pass goes on where it was");
        assert_eq!(fingers.digest(Some(peer(21))), Pace::NextPeriod);
    }

    #[test]
    fn owners_are_guessed_once_they_were_found_unless_the_table_is_paced() {
        for (paced, expected) in [(false, Some(peer(14))), (true, None)] {
            let mut fingers = FixFingers::new(FingerTable::alone(peer(8), SIX)).paced(paced);
            assert_eq!(fingers.guess(), None, "no node is known yet");
            pass(&mut fingers);
            assert_eq!((fingers.key(), fingers.guess()), (peer(9).id, expected));
        }
    }

    #[test]
    fn a_table_that_is_right_is_no_reason_to_hurry() {
        let mut fingers = FixFingers::new(FingerTable::alone(peer(8), SIX));
        pass(&mut fingers);
        let mut filled = FixFingers::filled(fingers.table().clone());
        assert_eq!(pass(&mut filled).1, Pace::NextPeriod);
        filled.disturb();
        assert!(filled.is_hurried());
    }

    #[test]
    fn a_dead_finger_is_looked_up_again_soon() {
        let mut fingers = FixFingers::new(FingerTable::alone(peer(8), SIX));
        pass(&mut fingers);
        pass(&mut fingers);
        assert!(fingers.forget(peer(32)));
        let key = fingers.key();
        assert_eq!(fingers.digest(Some(owner(key))), Pace::AtOnce);
        assert!(!fingers.forget(peer(32)));
    }

    #[test]
    fn a_dead_finger_that_others_name_again_is_no_reason_to_hurry() {
        let mut fingers = grown();
        assert!(fingers.forget(peer(14)));
        assert!(fingers.is_hurried());
        assert_eq!(pass(&mut fingers).1, Pace::NextPeriod, "14 is there again, and nothing else is new");
        assert!(fingers.forget(peer(14)));
        assert!(!fingers.is_hurried());
        pass(&mut fingers);
        assert!(fingers.forget(peer(14)));
        assert!(fingers.is_hurried(), "a pass later it counts as one that lived");
    }
}
