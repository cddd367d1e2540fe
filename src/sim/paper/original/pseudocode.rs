//! One node that follows the paper's pseudocode: figures 5 and 6, and the successor lists of section IV.E.3.
//!
//! The pseudocode is not repaired: a node believes what it is told without a check, and a joiner knows only its
//! successor. What the paper leaves open is read in its favour: a dead node is dropped from all tables as soon as a
//! question to it is refused, and a lookup then goes on past it.

use crate::protocol::fingers::FingerTable;
use crate::protocol::id::{Bits, Id};
use crate::protocol::maintenance::Standing;
use crate::protocol::neighbors::cut;
use crate::protocol::peer::Peer;
use crate::sim::recording::View;

/// The messages between nodes.
#[derive(Clone, Debug)]
pub(super) enum Say {
    /// `n.find_successor(id)`: the answer goes to the node that asked first.
    FindSuccessor {
        key: Id,
        asker: Peer,
        purpose: Purpose,
    },
    Found {
        owner: Peer,
        purpose: Purpose,
    },
    /// `successor.predecessor`, together with the successor's list.
    GetPredecessor,
    Predecessor {
        predecessor: Option<Peer>,
        successors: Vec<Peer>,
    },
    Notify,
    Ping,
}

impl Say {
    /// The name of the message in a recording.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Say::FindSuccessor { .. } => "find_successor",
            Say::Found { .. } | Say::Predecessor { .. } => "answer",
            Say::GetPredecessor => "get predecessor",
            Say::Notify => "notify",
            Say::Ping => "check_predecessor",
        }
    }
}

/// The purpose of a lookup.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Join,
    Finger(u8),
    /// To answer a caller outside, under this number.
    Outside(u64),
}

/// Messages to send, each with its receiver.
pub(super) type Letters = Vec<(Peer, Say)>;

/// A node that follows the pseudocode.
pub(super) struct Node {
    pub me: Peer,
    /// Nearest first, at most r; only `me` if no other node is known.
    successors: Vec<Peer>,
    predecessor: Option<Peer>,
    fingers: FingerTable,
    next: u8,
    r: usize,
    pub joined: bool,
    /// The answers to lookups from outside.
    pub found: Vec<(u64, Peer)>,
}

impl Node {
    /// `n.create()`, or a joiner that has yet to learn its successor.
    pub(super) fn new(me: Peer, r: usize, joined: bool) -> Node {
        let fingers = FingerTable::alone(me, Bits::FULL);
        Node { me, successors: vec![me], predecessor: None, fingers, next: 1, r, joined, found: Vec::new() }
    }

    /// The successor list, nearest first.
    pub(super) fn successors(&self) -> &[Peer] {
        &self.successors
    }

    /// The node as a recording shows it.
    pub(super) fn view(&self) -> View {
        let others = self.successors.iter().filter(|node| **node != self.me);
        let view = View {
            me: self.me,
            standing: if self.joined { Standing::Member } else { Standing::Joining },
            predecessor: self.predecessor.map(|node| node.id),
            successors: others.map(|node| node.id).collect(),
            fingers: Vec::new(),
        };
        view.with_fingers(&self.fingers, Bits::FULL)
    }

    fn successor(&self) -> Peer {
        self.successors.first().copied().unwrap_or(self.me)
    }

    /// `n.find_successor(id)`.
    pub(super) fn find_successor(&mut self, key: Id, asker: Peer, purpose: Purpose) -> Letters {
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

    /// The work of every period: `stabilize`, `fix_fingers` and `check_predecessor`.
    pub(super) fn period(&mut self) -> Letters {
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

    /// Handles a message.
    pub(super) fn hear(&mut self, from: Peer, say: Say) -> Letters {
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

    /// The second half of `stabilize`; the new list is the successor's, shifted.
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

    /// A message was refused: its receiver is dead.
    pub(super) fn refused(&mut self, dead: Peer, say: Say) -> Letters {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::numbered;

    const SIX: Bits = Bits::new(6).unwrap();

    fn peer(n: u32) -> Peer {
        numbered(n, SIX)
    }

    fn node(n: u32, successors: &[u32]) -> Node {
        let mut node = Node::new(peer(n), 3, true);
        node.adopt(successors.iter().map(|n| peer(*n)));
        node
    }

    fn told(node: &mut Node, predecessor: u32, successors: &[u32]) -> Letters {
        let successors = successors.iter().map(|n| peer(*n)).collect();
        node.hear(node.successor(), Say::Predecessor { predecessor: Some(peer(predecessor)), successors })
    }

    #[test]
    fn node_before_a_key_names_its_successor_to_who_asked_first() {
        let letters = node(51, &[56, 1]).find_successor(peer(54).id, peer(8), Purpose::Outside(7));
        assert!(matches!(letters[..], [(to, Say::Found { owner, .. })] if (to, owner) == (peer(8), peer(56))));
        let letters = node(8, &[14, 21]).find_successor(peer(54).id, peer(8), Purpose::Outside(7));
        assert!(matches!(letters[..], [(to, Say::FindSuccessor { .. })] if to == peer(21)));
    }

    #[test]
    fn stabilize_believes_in_a_predecessor_that_nobody_has_heard() {
        let mut node = node(21, &[32, 38, 42]);
        let letters = told(&mut node, 26, &[38, 42, 48]);
        assert_eq!(node.successors(), [peer(26), peer(32), peer(38)]);
        assert!(matches!(letters[..], [(to, Say::Notify)] if to == peer(26)));
    }

    #[test]
    fn joiner_knows_its_successor_only_and_is_alone_when_that_dies() {
        let mut joiner = Node::new(peer(26), 3, false);
        joiner.hear(peer(8), Say::Found { owner: peer(32), purpose: Purpose::Join });
        assert_eq!(joiner.successors(), [peer(32)]);
        joiner.refused(peer(32), Say::GetPredecessor);
        assert_eq!(joiner.successors(), [peer(26)]);
    }

    #[test]
    fn dead_node_is_dropped_and_the_question_goes_past_it() {
        let mut node = node(8, &[14, 21, 32]);
        let say = Say::FindSuccessor { key: peer(54).id, asker: peer(8), purpose: Purpose::Outside(7) };
        let letters = node.refused(peer(32), say);
        assert!(matches!(letters[..], [(to, Say::FindSuccessor { .. })] if to == peer(21)));
        assert_eq!(node.successors(), [peer(14), peer(21)]);
    }

    #[test]
    fn notified_node_takes_a_closer_predecessor_and_forgets_a_dead_one() {
        let mut node = node(32, &[38]);
        node.hear(peer(21), Say::Notify);
        node.hear(peer(26), Say::Notify);
        node.hear(peer(8), Say::Notify);
        assert_eq!(node.predecessor, Some(peer(26)));
        node.refused(peer(26), Say::Ping);
        assert_eq!(node.predecessor, None);
    }
}
