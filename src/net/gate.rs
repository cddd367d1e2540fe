//! Whether a thread would refuse another lookup of its own program, for callers on any thread.
//!
//! A refusal that the thread itself has to give takes a sixth of the time of a lookup: a message, an answer, and two
//! wake-ups. Under three times the load that it can serve it would spend a third of its time on them. So a thread that
//! refuses lookups guards its gate: it says there how many more it would take on, and the other callers turn away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::net::traffic::Counter;

/// The gate of one thread.
#[derive(Debug, Default)]
pub struct Gate {
    guarded: AtomicBool,
    /// How many lookups the thread would take on.
    room: AtomicUsize,
    /// How many have passed, and were not taken on or refused yet.
    inside: AtomicUsize,
    /// How many were turned away.
    pub turned_away: Counter,
}

/// A lookup on its way to a thread whose gate is guarded, until this is dropped.
#[derive(Debug)]
pub struct Pass(Arc<Gate>);

/// The thread would refuse the lookup.
#[derive(Debug, PartialEq, Eq)]
pub struct TurnedAway;

impl Gate {
    /// Whether the thread refuses lookups.
    pub fn is_guarded(&self) -> bool {
        self.guarded.load(Ordering::Relaxed)
    }

    /// Whether the thread refuses lookups, and how many it would take on now. Only the thread says so.
    pub fn guard(&self, guarded: bool, room: usize) {
        if guarded {
            self.room.store(room, Ordering::Relaxed);
        }
        // Callers on all threads read it: it is not written without need.
        if self.is_guarded() != guarded {
            self.guarded.store(guarded, Ordering::Relaxed);
        }
    }

    /// A caller asks to pass. Where the gate is not guarded, it needs no pass.
    pub fn enter(self: &Arc<Gate>) -> Result<Option<Pass>, TurnedAway> {
        if !self.is_guarded() {
            return Ok(None);
        }
        // Callers that do so at once may all pass: the thread itself refuses those for which there is no room.
        if self.inside.load(Ordering::Relaxed) >= self.room.load(Ordering::Relaxed) {
            self.turned_away.add_anywhere(1);
            return Err(TurnedAway);
        }
        self.inside.fetch_add(1, Ordering::Relaxed);
        Ok(Some(Pass(self.clone())))
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_pass_as_there_is_room_for_and_all_where_nothing_is_refused() {
        let gate = Arc::new(Gate::default());
        assert!(gate.enter().is_ok_and(|pass| pass.is_none()));
        gate.guard(true, 2);
        let (first, second) = (gate.enter().unwrap(), gate.enter().unwrap());
        assert_eq!(gate.enter().unwrap_err(), TurnedAway);
        gate.guard(true, 1);
        drop(first);
        assert_eq!(gate.enter().unwrap_err(), TurnedAway, "the second is still on its way");
        drop(second);
        assert!(gate.enter().is_ok_and(|pass| pass.is_some()));
        gate.guard(false, 0);
        assert!(gate.enter().is_ok_and(|pass| pass.is_none()));
        assert_eq!((gate.turned_away.get(), gate.inside.load(Ordering::Relaxed)), (2, 0));
    }
}
