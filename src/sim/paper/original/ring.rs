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
use crate::sim::recording::{Hop, Lookup, Recorder, Why};

/// All nodes, and the events under way between them.
pub(super) struct Ring {
    r: usize,
    rng: ChaCha8Rng,
    now: Duration,
    queue: Queue<Event>,
    up: BTreeMap<Peer, Node>,
    lookups: u64,
    recorder: Option<Recorder>,
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
        Ring { r, rng: chance(seed), now: Duration::ZERO, queue, up, lookups: 0, recorder: None }
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
                Some(node) if node.joined || matches!(say, Say::Found { .. }) => {
                    if let Some(recorder) = &mut self.recorder {
                        recorder.hear(self.now, from.addr, to.id, say.name());
                    }
                    (to, node.hear(from, say))
                }
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
        self.show(who);
        self.send(who, letters);
    }
}

/// What is recorded.
impl Ring {
    /// Records what happens from now on.
    pub(super) fn record(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
        let peers: Vec<Peer> = self.up.keys().copied().collect();
        peers.into_iter().for_each(|peer| self.show(peer));
    }

    pub(super) fn recorder(&mut self) -> Option<&mut Recorder> {
        self.recorder.as_mut()
    }

    pub(super) fn take_recorder(&mut self) -> Option<Recorder> {
        self.recorder.take()
    }

    pub(super) fn say(&mut self, text: &str) {
        if let Some(recorder) = &mut self.recorder {
            recorder.say(self.now, text);
        }
    }

    /// Records a lookup that has ended. Nodes don't say whom a question went through.
    pub(super) fn record_lookup(&mut self, from: Peer, key: Id, begun: Duration, owner: Peer) {
        let Some(recorder) = &mut self.recorder else { return };
        let wrong = !recorder.owns(owner.id, key);
        let path = vec![Hop { node: from.id, why: None, took: None }];
        recorder
            .lookup(self.now, &Lookup { text: None, key, path, found: Ok(owner), took: Some(self.now - begun), wrong });
    }

    fn show(&mut self, peer: Peer) {
        if let (Some(recorder), Some(node)) = (&mut self.recorder, self.up.get(&peer)) {
            recorder.see(self.now, node.view());
        }
    }
}

impl System for Ring {
    fn start(&mut self, me: Peer, seed: Option<Peer>) {
        self.up.insert(me, Node::new(me, self.r, seed.is_none()));
        self.show(me);
        self.queue.push(self.now, Event::Period(me));
        if let Some(seed) = seed {
            self.send(me, vec![(seed, Say::FindSuccessor { key: me.id, asker: me, purpose: Purpose::Join })]);
        }
    }

    fn fail(&mut self, peer: Peer) {
        self.up.remove(&peer);
        if let Some(recorder) = &mut self.recorder {
            recorder.gone(self.now, peer, Why::Died);
        }
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
