//! The tables of an ideal ring.

use std::collections::BTreeMap;
use std::time::Duration;

use chord::protocol::id::Bits;
use chord::protocol::rpc::{Request, Response};
use chord::{Id, Peer};

use crate::support::process::{Printed, Process, ask_numbered, eventually};

/// How long a node may take to name its neighbours, which it answers from its state; then the test asks again.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// An ideal ring of these nodes.
pub struct Ideal {
    by_id: BTreeMap<Id, Peer>,
}

impl Ideal {
    pub fn of<'a>(processes: impl IntoIterator<Item = &'a Process>) -> Ideal {
        Ideal::of_peers(processes.into_iter().map(|process| process.peer))
    }

    pub fn of_peers(peers: impl IntoIterator<Item = Peer>) -> Ideal {
        Ideal { by_id: peers.into_iter().map(|peer| (peer.id, peer)).collect() }
    }

    pub fn peers(&self) -> impl Iterator<Item = Peer> {
        self.by_id.values().copied()
    }

    /// The nodes from a point of the circle on, each once.
    pub fn clockwise(&self, from: Id) -> impl Iterator<Item = Peer> {
        self.by_id.range(from..).chain(self.by_id.range(..from)).map(|(_, peer)| *peer)
    }

    /// The first node at or after a point of the circle.
    pub fn successor(&self, id: Id) -> Peer {
        *self.by_id.range(id..).chain(self.by_id.iter()).next().expect("a node").1
    }

    /// The owner of a key.
    pub fn owner(&self, key: &str) -> Peer {
        self.successor(Id::of_key(key.as_bytes(), Bits::FULL))
    }

    /// The neighbours of `peer` clockwise, nearest first, `n` of them: itself if there is no other.
    fn successors(&self, peer: Peer, n: usize) -> Vec<Peer> {
        let others = self.by_id.range(peer.id..).chain(self.by_id.range(..peer.id)).skip(1).map(|(_, other)| *other);
        others.chain([peer]).cycle().take(n).collect()
    }

    /// The last node before `peer`: itself if there is no other.
    fn predecessor(&self, peer: Peer) -> Peer {
        *self.by_id.range(..peer.id).next_back().or(self.by_id.last_key_value()).expect("a node").1
    }

    /// Whether a node names the right neighbours on the wire; this works without a console, too.
    pub fn check_told(&self, of: Peer, r: usize) -> Result<(), String> {
        let (predecessor, successors) = match ask_numbered(of, &Request::GetPredecessor, TOLD_WITHIN) {
            Ok(Ok(Response::Predecessor { predecessor, successors: Some(successors), .. })) => {
                (predecessor, successors)
            }
            other => return Err(format!("{of:?} does not tell its neighbours: {other:?}")),
        };
        let r = r.min(self.by_id.len() - 1);
        let expected = (Some(self.predecessor(of)).filter(|peer| *peer != of), self.successors(of, r));
        let told = (predecessor, successors);
        if told == expected { Ok(()) } else { Err(format!("{of:?} tells {told:?}, not {expected:?}")) }
    }

    /// The same for all nodes.
    pub fn check_all_told(&self, r: usize) -> Result<(), String> {
        self.peers().try_for_each(|peer| self.check_told(peer, r))
    }

    /// Whether a node's tables are right.
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
