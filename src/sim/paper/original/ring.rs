//! Nodes that follow the pseudocode, and time: the same network as in the simulator of our own nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::pseudocode::{Letters, Node, Purpose, Say};
use super::{PERIOD, System};
use crate::protocol::id::Id;
use crate::protocol::peer::Peer;
use crate::sim::delay::USUAL;
use crate::sim::paper::chance;
use crate::sim::queue::Queue;

/// All nodes, and the events under way between them.
pub(super) struct Ring {
    r: usize,
    rng: ChaCha8Rng,
    now: Duration,
    queue: Queue<Event>,
    up: BTreeMap<Peer, Node>,
    lookups: u64,
}

enum Event {
    Arrives {
        from: Peer,
        to: Peer,
        say: Say,
    },
    /// The receiver is dead or has not joined yet.
    Refused {
        from: Peer,
        to: Peer,
        say: Say,
    },
    Period(Peer),
}

impl Ring {
    pub(super) fn new(seed: u64, r: usize) -> Ring {
        let (queue, up) = (Queue::default(), BTreeMap::new());
        Ring { r, rng: chance(seed), now: Duration::ZERO, queue, up, lookups: 0 }
    }

    fn send(&mut self, from: Peer, letters: Letters) {
        for (to, say) in letters {
            let at = self.now + self.rng.random_range(USUAL);
            self.queue.push(at, Event::Arrives { from, to, say });
        }
    }

    fn happen(&mut self, event: Event) {
        let (who, letters) = match event {
            Event::Arrives { from, to, say } => match self.up.get_mut(&to) {
                Some(node) if node.joined || matches!(say, Say::Found { .. }) => (to, node.hear(from, say)),
                _ => {
                    let at = self.now + self.rng.random_range(USUAL);
                    return self.queue.push(at, Event::Refused { from, to, say });
                }
            },
            Event::Refused { from, to, say } => match self.up.get_mut(&from) {
                Some(node) => (from, node.refused(to, say)),
                None => return,
            },
            Event::Period(peer) => {
                let Some(node) = self.up.get_mut(&peer) else { return };
                let letters = node.period();
                self.queue.push(self.now + PERIOD.mul_f64(self.rng.random_range(0.75..1.25)), Event::Period(peer));
                (peer, letters)
            }
        };
        self.send(who, letters);
    }
}

impl System for Ring {
    fn start(&mut self, me: Peer, seed: Option<Peer>) {
        self.up.insert(me, Node::new(me, self.r, seed.is_none()));
        self.queue.push(self.now, Event::Period(me));
        if let Some(seed) = seed {
            self.send(me, vec![(seed, Say::FindSuccessor { key: me.id, asker: me, purpose: Purpose::Join })]);
        }
    }

    fn fail(&mut self, peer: Peer) {
        self.up.remove(&peer);
    }

    fn look_up(&mut self, from: Peer, key: Id) -> Option<u64> {
        let node = self.up.get_mut(&from).filter(|node| node.joined)?;
        self.lookups += 1;
        let letters = node.find_successor(key, from, Purpose::Outside(self.lookups));
        self.send(from, letters);
        Some(self.lookups)
    }

    fn found(&mut self, from: Peer, number: u64) -> Option<Peer> {
        let found = &self.up.get(&from)?.found;
        found.iter().find(|(other, _)| *other == number).map(|(_, owner)| *owner)
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.queue.next_at().is_some_and(|at| at <= end) {
            let Some((now, event)) = self.queue.pop() else { break };
            self.now = now;
            self.happen(event);
        }
        self.now = end;
    }

    fn lists(&self) -> BTreeMap<Peer, Vec<Peer>> {
        self.up.iter().map(|(peer, node)| (*peer, node.successors().to_vec())).collect()
    }
}
