//! What became of lookups, in short slots of time: whether a swarm that stumbles gets up again can't be seen in
//! the figures of the whole.

use std::time::Duration;

use serde_json::{Value, json};

/// How long a slot is: short against the second within which a swarm is to be back.
pub const SLOT: Duration = Duration::from_millis(100);

/// How a lookup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Right,
    /// It found no owner, or could not be begun.
    Failed,
    /// It found another than the owner.
    Wrong,
}

impl Fate {
    /// Of a lookup that found the owner, or another, or nobody.
    pub fn of(right: Option<bool>) -> Fate {
        match right {
            Some(true) => Fate::Right,
            Some(false) => Fate::Wrong,
            None => Fate::Failed,
        }
    }
}

/// How many lookups ended in each slot, the first of which begins with the load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    slots: Vec<[u64; 3]>,
}

impl Timeline {
    /// One has ended, so long after the load began.
    pub fn add(&mut self, at: Duration, fate: Fate) {
        // A load lasts a day at most, and a slot takes 24 bytes.
        let slot = usize::try_from(at.as_millis() / SLOT.as_millis()).unwrap_or(usize::MAX);
        self.reach(slot + 1);
        self.slots[slot][fate as usize] += 1;
    }

    /// Adds what another thread counted.
    pub fn join(&mut self, other: Timeline) {
        self.reach(other.slots.len());
        for (slot, theirs) in self.slots.iter_mut().zip(other.slots) {
            slot.iter_mut().zip(theirs).for_each(|(count, theirs)| *count += theirs);
        }
    }

    fn reach(&mut self, slots: usize) {
        if self.slots.len() < slots {
            self.slots.resize(slots, [0; 3]);
        }
    }

    /// How many ended so in each slot.
    pub fn counts(&self, fate: Fate) -> impl Iterator<Item = u64> {
        self.slots.iter().map(move |slot| slot[fate as usize])
    }

    /// The same as data.
    pub fn to_json(&self) -> Value {
        let counts = |fate| self.counts(fate).collect::<Vec<_>>();
        json!({
            "slot_seconds": SLOT.as_secs_f64(),
            "right": counts(Fate::Right),
            "failed": counts(Fate::Failed),
            "wrong": counts(Fate::Wrong),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_count_in_the_slot_in_which_they_end() {
        let [mut one, mut other] = [Timeline::default(), Timeline::default()];
        one.add(SLOT / 2, Fate::Right);
        other.add(SLOT, Fate::Failed);
        other.add(2 * SLOT + SLOT / 2, Fate::Wrong);
        one.join(other);
        let counts = [Fate::Right, Fate::Failed, Fate::Wrong].map(|fate| one.counts(fate).collect::<Vec<_>>());
        assert_eq!(counts, [[1, 0, 0], [0, 1, 0], [0, 0, 1]]);
    }
}
