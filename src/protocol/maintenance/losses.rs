//! Neighbours that are dead, or may be: what a node drops, doubts and remembers of them, until it is alone.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::backoff::{ISOLATED_ROUND, ISOLATED_ROUNDS, REUNITE_ALONE};
use super::{Effect, Maintenance, Standing, Timer};
use crate::protocol::acquaintances::Acquaintances;
use crate::protocol::addr::Addr;
use crate::protocol::neighbors::Neighbors;
use crate::protocol::peer::Peer;
use crate::protocol::rpc::Request;

/// At most this many fingers are remembered when neighbours are lost: half of the room for acquaintances.
pub(super) const MAX_RECALLED: usize = Acquaintances::MAX_MET / 2;

/// The nodes that came into doubt while a conversation was held.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Doubts {
    addrs: BTreeSet<Addr>,
    /// Whether there were too many to remember: then it is all nodes.
    all: bool,
}

/// At most this many are remembered: a connection to a front may lead to thousands.
const MAX_DOUBTS: usize = 256;

impl Doubts {
    fn add(&mut self, addrs: impl IntoIterator<Item = Addr>) {
        for addr in addrs {
            self.all |= self.addrs.len() >= MAX_DOUBTS;
            if self.all {
                self.addrs = BTreeSet::new();
                return;
            }
            self.addrs.insert(addr);
        }
    }

    /// Those about this node, if any.
    pub(super) fn only(&self, addr: Option<Addr>) -> Doubts {
        Doubts { addrs: addr.into_iter().filter(|addr| self.is_of(*addr)).collect(), all: false }
    }

    fn is_of(&self, addr: Addr) -> bool {
        self.all || self.addrs.contains(&addr)
    }
}

impl Maintenance {
    /// Takes the nodes that a lookup found dead.
    pub fn forget(&mut self, dead: &[Peer]) {
        for peer in dead {
            self.mark_dead(*peer);
        }
    }

    /// Kept connections broke: the nodes at those addresses may have died.
    pub fn severed(&mut self, lost: &BTreeSet<Addr>) {
        if self.holding {
            self.doubts.add(lost.iter().copied());
        }
        if self.neighbors.successor().is_some_and(|head| lost.contains(&head.addr)) {
            self.neighbors.doubt_successor();
            self.wishes.stabilize = true;
        }
        if self.neighbors.predecessor().is_some_and(|predecessor| lost.contains(&predecessor.addr)) {
            self.wishes.check_predecessor = true;
        }
    }

    /// Takes the list that a conversation has learned. What its head has answered before it came into doubt is no news.
    pub(super) fn adopt(&mut self, list: Vec<Peer>) {
        self.returned = list.iter().copied().filter(|entry| self.neighbors.has_dropped(*entry)).collect();
        self.neighbors.adopt(list);
        if self.neighbors.successor().is_some_and(|head| self.doubts.is_of(head.addr)) {
            self.neighbors.doubt_successor();
            self.wishes.stabilize = true;
        }
    }

    /// The node slept, and others may have taken it for dead and gone on without it: it claims nothing until its
    /// neighbours have spoken.
    pub fn slept(&mut self) {
        if self.standing == Standing::Member && !self.is_alone() {
            let predecessor = self.neighbors.predecessor();
            self.neighbors.doubt_all();
            self.wishes.stabilize = true;
            self.wishes.rectify.clear();
            // The predecessor need not wait for its round: if this node still is its successor, it says so. If it has
            // found this node dead, only this node's successor could tell it of the return, and that one may fall
            // silent meanwhile.
            if let Some(predecessor) = predecessor {
                self.return_to(predecessor);
            }
        }
    }

    /// Tells a former predecessor that this node is back.
    pub(super) fn return_to(&mut self, predecessor: Peer) {
        self.effects.push(Effect::Tell(predecessor, Request::Meet { node: self.setup.me, until: None }));
    }

    /// Takes a dead node out of the neighbours, and has it taken out of the fingers. The last successor stays until
    /// stabilize itself finds it dead: without it the node falls out of the ring.
    pub(super) fn mark_dead(&mut self, dead: Peer) {
        if self.holding {
            self.doubts.add([dead.addr]);
        }
        let last = self.neighbors.successors() == [dead];
        if last {
            self.neighbors.doubt_successor();
        }
        let head = self.neighbors.successor() == Some(dead);
        let successor = !last && self.neighbors.drop_successor(dead);
        let predecessor = self.neighbors.drop_predecessor(dead);
        // The list that named it once more would do so again.
        self.wishes.stabilize |= head || successor && !self.returned.contains(&dead);
        self.acquaintances.doubt(dead.addr);
        self.effects.push(Effect::Dead(dead));
        if successor || predecessor {
            self.miss(dead);
            self.changed();
        }
    }

    /// A neighbour was lost, and may be back soon.
    pub(super) fn miss(&mut self, lost: Peer) {
        self.acquaintances.lose(lost.addr);
        if !self.effects.contains(&Effect::Recall) {
            self.effects.push(Effect::Recall);
        }
        let first = self.reunite_pause().first;
        if self.reunite_after > first {
            // Many nodes may have died with it, and the ring may be split.
            self.acquaintances.doubt_all();
            self.reunite_after = first;
            self.wake(Timer::Reunite, self.reunite_after);
        }
    }

    /// Takes the fingers as they are when neighbours were lost, nearest first. The nodes that are left may be several
    /// rings that know each other by their fingers only: the farthest fingers are asked as acquaintances are.
    pub fn recall(&mut self, fingers: impl DoubleEndedIterator<Item = Peer>) {
        let farthest: Vec<_> = fingers.rev().take(MAX_RECALLED).collect();
        farthest.iter().rev().for_each(|finger| self.acquaintances.recall(finger.addr));
    }

    pub(super) fn isolate(&mut self) {
        self.standing = Standing::Isolated;
        // If the other node of two has said that it leaves, no node is missing: each remembered peer is asked once.
        let parting = std::mem::take(&mut self.parting);
        let asked = if parting { ISOLATED_ROUNDS - 1 } else { 0 };
        self.former = if parting { VecDeque::new() } else { self.neighbors.dropped().into() };
        self.attempts = asked * self.acquaintances.count().min(ISOLATED_ROUND) as u32;
        self.acquaintances.doubt_all();
        self.wake(Timer::Join, Duration::ZERO);
    }

    /// No peer answers: a ring of one again. A predecessor that has answered lately is kept: it is the first to try as
    /// a successor.
    pub(super) fn be_alone(&mut self) {
        let predecessor = self.neighbors.predecessor();
        self.neighbors = Neighbors::alone(self.setup.me, self.setup.r);
        if let Some(predecessor) = predecessor {
            self.neighbors.set_predecessor(predecessor);
        }
        self.reunite_after = REUNITE_ALONE;
        self.enter();
    }
}
