//! One node as the paper's pseudocode has it: figures 5 and 6, and the successor lists of section IV.E.3.
//!
//! Nothing is mended: what somebody says is believed unseen, and a joiner knows its successor only.
//! What the paper leaves open is read in its favour: a dead node is dropped from everything as soon as
//! a question to it is refused, and a lookup then goes on past it.

use crate::protocol::fingers::FingerTable;
use crate::protocol::id::{Bits, Id};
use crate::protocol::neighbors::cut;
use crate::protocol::peer::Peer;

/// What nodes say to each other.
#[derive(Clone, Debug)]
pub enum Say {
    /// `n.find_successor(id)`: the answer goes to who asked first.
    FindSuccessor {
        key: Id,
        asker: Peer,
        purpose: Purpose,
    },
    Found {
        owner: Peer,
        purpose: Purpose,
    },
    /// `successor.predecessor`, and its list with it.
    GetPredecessor,
    Predecessor {
        predecessor: Option<Peer>,
        successors: Vec<Peer>,
    },
    Notify,
    Ping,
}

/// What somebody looks for a successor for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    Join,
    Finger(u8),
    /// Somebody outside wants to know, under this number.
    Outside(u64),
}

/// What a node has to do to somebody else.
pub type Letters = Vec<(Peer, Say)>;

/// A node.
pub struct Node {
    pub me: Peer,
    /// Nearest first, at most r; only oneself if there is no other.
    successors: Vec<Peer>,
    predecessor: Option<Peer>,
    fingers: FingerTable,
    next: u8,
    r: usize,
    pub joined: bool,
    /// What came of questions from outside.
    pub found: Vec<(u64, Peer)>,
}

impl Node {
    /// `n.create()`; a node that joins is yet to be told its successor.
    pub fn new(me: Peer, r: usize, joined: bool) -> Node {
        let fingers = FingerTable::alone(me, Bits::FULL);
        Node { me, successors: vec![me], predecessor: None, fingers, next: 1, r, joined, found: Vec::new() }
    }

    /// The successor list, nearest first.
    pub fn successors(&self) -> &[Peer] {
        &self.successors
    }

    fn successor(&self) -> Peer {
        self.successors.first().copied().unwrap_or(self.me)
    }

    /// `n.find_successor(id)`.
    pub fn find_successor(&mut self, key: Id, asker: Peer, purpose: Purpose) -> Letters {
        let successor = self.successor();
        let next = self.closest_preceding_node(key);
        if key.in_half_open(self.me.id, successor.id) || next == self.me {
            return vec![(asker, Say::Found { owner: successor, purpose })];
        }
        vec![(next, Say::FindSuccessor { key, asker, purpose })]
    }

    fn closest_preceding_node(&self, key: Id) -> Peer {
        let known = self.fingers.distinct().chain(self.successors.iter().copied());
        let preceding = known.filter(|node| node.id.in_open(self.me.id, key));
        preceding.max_by_key(|node| node.id.clockwise_from(self.me.id)).unwrap_or(self.me)
    }

    /// What is done in every period: `stabilize`, `fix_fingers` and `check_predecessor`.
    pub fn period(&mut self) -> Letters {
        if !self.joined {
            return Vec::new();
        }
        let mut letters = self.stabilize();
        if self.fingers.is_past(self.next) {
            self.next = 1;
        }
        letters.extend(self.find_successor(self.fingers.start(self.next), self.me, Purpose::Finger(self.next)));
        letters.extend(self.predecessor.map(|predecessor| (predecessor, Say::Ping)));
        letters
    }

    fn stabilize(&mut self) -> Letters {
        vec![(self.successor(), Say::GetPredecessor)]
    }

    /// Hears what somebody says.
    pub fn hear(&mut self, from: Peer, say: Say) -> Letters {
        match say {
            Say::FindSuccessor { key, asker, purpose } => self.find_successor(key, asker, purpose),
            Say::Found { owner, purpose } => {
                self.learn(owner, purpose);
                Vec::new()
            }
            Say::GetPredecessor => {
                let (predecessor, successors) = (self.predecessor, self.successors.clone());
                vec![(from, Say::Predecessor { predecessor, successors })]
            }
            Say::Predecessor { predecessor, successors } if from == self.successor() => {
                self.stabilized(predecessor, successors)
            }
            Say::Notify => {
                if from != self.me && self.predecessor.is_none_or(|old| from.id.in_open(old.id, self.me.id)) {
                    self.predecessor = Some(from);
                }
                Vec::new()
            }
            Say::Predecessor { .. } | Say::Ping => Vec::new(),
        }
    }

    /// The second half of `stabilize`; the list is the successor's, shifted.
    fn stabilized(&mut self, predecessor: Option<Peer>, successors: Vec<Peer>) -> Letters {
        let successor = self.successor();
        let between = predecessor.filter(|node| node.id.in_open(self.me.id, successor.id));
        self.adopt(between.into_iter().chain([successor]).chain(successors));
        vec![(self.successor(), Say::Notify)]
    }

    fn adopt(&mut self, list: impl IntoIterator<Item = Peer>) {
        self.successors = cut(self.me, self.r, list);
        if self.successors.is_empty() {
            self.successors.push(self.me);
        }
    }

    fn learn(&mut self, owner: Peer, purpose: Purpose) {
        match purpose {
            Purpose::Join => {
                self.joined = true;
                self.adopt([owner]);
            }
            Purpose::Finger(i) => self.next = self.fingers.set(i, owner).0 + 1,
            Purpose::Outside(number) => self.found.push((number, owner)),
        }
    }

    /// A question was refused: nobody lives there.
    pub fn refused(&mut self, dead: Peer, say: Say) -> Letters {
        let was_successor = self.successor() == dead;
        let rest: Vec<Peer> = self.successors.iter().copied().filter(|node| *node != dead).collect();
        self.adopt(rest);
        self.fingers.forget(dead);
        self.predecessor = self.predecessor.filter(|predecessor| *predecessor != dead);
        match say {
            Say::FindSuccessor { key, asker, purpose } if self.joined => self.find_successor(key, asker, purpose),
            Say::GetPredecessor if was_successor => self.stabilize(),
            _ => Vec::new(),
        }
    }
}
