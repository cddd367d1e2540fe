//! What a ring should look like.

// Each test file uses its own part.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::time::Duration;

use chord::protocol::id::Bits;
use chord::{Id, Peer};

use crate::process::{Printed, Process, eventually};

/// A ring as it should be.
pub struct Ideal {
    by_id: BTreeMap<Id, Peer>,
}

impl Ideal {
    pub fn of<'a>(processes: impl IntoIterator<Item = &'a Process>) -> Ideal {
        Ideal { by_id: processes.into_iter().map(|process| (process.peer.id, process.peer)).collect() }
    }

    /// The first node at or after a point of the circle.
    pub fn successor(&self, id: Id) -> Peer {
        *self.by_id.range(id..).chain(self.by_id.iter()).next().expect("a node").1
    }

    /// The owner of a key.
    pub fn owner(&self, key: &str) -> Peer {
        self.successor(Id::of_key(key.as_bytes(), Bits::FULL))
    }

    /// The neighbours of `peer` clockwise, nearest first, `n` of them: itself where there is none.
    fn successors(&self, peer: Peer, n: usize) -> Vec<Peer> {
        let others = self.by_id.range(peer.id..).chain(self.by_id.range(..peer.id)).skip(1).map(|(_, other)| *other);
        others.chain(std::iter::repeat(peer)).take(n).collect()
    }

    /// The last node before `peer`: itself if there is no other.
    fn predecessor(&self, peer: Peer) -> Peer {
        *self.by_id.range(..peer.id).next_back().or(self.by_id.last_key_value()).expect("a node").1
    }

    /// Whether a node's tables are what they should be.
    pub fn check(&self, process: &mut Process, r: usize) -> Result<(), String> {
        self.check_printed(&process.state(r))?;
        let (told, expected) = (process.predecessor()?, self.predecessor(process.peer));
        if told == expected { Ok(()) } else { Err(format!("predecessor of {:?}: {told:?}", process.peer)) }
    }

    fn check_printed(&self, state: &Printed) -> Result<(), String> {
        let expected = Printed {
            me: state.me,
            successors: self.successors(state.me, state.successors.len()),
            fingers: (1..=160).map(|i| self.successor(state.me.id.finger_start(i, Bits::FULL))).collect(),
        };
        if state.successors != expected.successors {
            return Err(format!(
                "successors of {:?}:\n{:?}, not\n{:?}",
                state.me, state.successors, expected.successors
            ));
        }
        let wrong = (0..160).filter(|i| state.fingers[*i] != expected.fingers[*i]).count();
        if wrong > 0 { Err(format!("{wrong} wrong fingers of {:?}", state.me)) } else { Ok(()) }
    }
}

/// Waits until every process prints an ideal ring; how long that took.
pub fn await_ideal(processes: &mut [Process], r: usize, limit: Duration) -> Duration {
    let ideal = Ideal::of(processes.iter());
    eventually(limit, || processes.iter_mut().try_for_each(|process| ideal.check(process, r)))
}
