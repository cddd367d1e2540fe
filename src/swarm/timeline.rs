//! Outcomes of lookups in short time slots: totals can't show whether a swarm recovers after trouble.

use std::time::Duration;

use serde_json::{Value, json};

/// The length of a slot: short against the second within which a swarm has to recover.
pub const SLOT: Duration = Duration::from_millis(100);

/// How a lookup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It found the owner.
    Right,
    /// It found no owner, or could not be begun.
    Failed,
    /// It found another node than the owner.
    Wrong,
}

impl Fate {
    /// The fate of a lookup that found the owner (`Some(true)`), another node (`Some(false)`) or none.
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
    /// A lookup has ended, at this time after the load began.
    pub fn add(&mut self, at: Duration, fate: Fate) {
        // A load lasts at most a day, and a slot takes 24 bytes.
        let slot = usize::try_from(at.as_millis() / SLOT.as_millis()).unwrap_or(usize::MAX);
        self.reach(slot + 1);
        self.slots[slot][fate as usize] += 1;
    }

    /// Adds the counts of another thread.
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

    /// How many lookups ended with this fate in each slot.
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
