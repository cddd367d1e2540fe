//! Finding one's ring again after a partition or a restart.
//!
//! Partitions long enough to purge both sides leave two ideal rings, and a node that lost everyone
//! is a ring of one; stabilization can't join them. So each node now and then asks a remembered
//! peer for the successor of its own identifier: in one ring that is the node itself.
//!
//! The answer alone is not enough. Fingers outlive a partition, and where they lead from one ring into
//! the other a question that began in one is answered in the other, so that each node is named for
//! its own identifier for ever. But whoever was asked on the way is a member of some ring, and if it
//! lies between a node and its successor, then that ring is another one.

use std::net::SocketAddrV4;

use super::neighbors::Neighbors;
use super::peer::Peer;
use super::procedure::{Answer, Procedure, Step, Target};
use super::rpc::{Request, Response};

/// Asks one remembered peer whether it belongs to another ring, and which way round to join.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reunite {
    me: Peer,
    successor: Option<Peer>,
    acquaintance: SocketAddrV4,
    found: Option<Peer>,
}

/// How one's ring stands to that of an acquaintance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reunion {
    /// Nothing to do: it is the same ring, nobody answered, or others will see to it.
    Nothing,
    /// This node is alone: it is to join the ring of this acquaintance.
    JoinThrough(SocketAddrV4),
    /// A node of another ring that lies between this node and its successor.
    Candidate(Peer),
    /// A node that is alone and is to be invited.
    Alone(Peer),
}

impl Reunite {
    pub fn new(neighbors: &Neighbors, acquaintance: SocketAddrV4) -> Reunite {
        Reunite { me: neighbors.me(), successor: neighbors.successor(), acquaintance, found: None }
    }
}

impl Procedure for Reunite {
    type Output = Reunion;

    fn start(&mut self) -> Step<Reunion> {
        let question = Request::FindSuccessor { key: self.me.id, hops: 0, want_path: true };
        Step::Ask(Target::Address(self.acquaintance), question)
    }

    fn resume(&mut self, answer: Answer) -> Step<Reunion> {
        match (self.found, self.successor, answer) {
            (None, None, Answer::Reply(Response::Successor { owner, .. })) => Step::Done(if owner.id == self.me.id {
                Reunion::Nothing
            } else {
                Reunion::JoinThrough(self.acquaintance)
            }),
            (None, Some(successor), Answer::Reply(Response::Successor { owner, path })) => {
                let named = path.iter().map(|hop| hop.node).chain([owner]);
                let between = named.filter(|peer| peer.id.in_open(self.me.id, successor.id));
                let nearest = between.min_by_key(|peer| peer.id.clockwise_from(self.me.id));
                match nearest.or((owner != successor && owner.id != self.me.id).then_some(owner)) {
                    Some(found) => {
                        self.found = Some(found);
                        Step::Ask(found.into(), Request::GetPredecessor)
                    }
                    None => Step::Done(Reunion::Nothing),
                }
            }
            (Some(found), Some(successor), Answer::Reply(Response::Predecessor { predecessor, successors })) => {
                let alone = predecessor.is_none() && successors.is_some_and(|list| list.is_empty());
                Step::Done(if alone {
                    Reunion::Alone(found)
                } else if found.id.in_open(self.me.id, successor.id) {
                    Reunion::Candidate(found)
                } else {
                    Reunion::Nothing
                })
            }
            _ => Step::Done(Reunion::Nothing),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::rpc::Hop;
    use crate::protocol::testing::{peer, peers};

    /// Node 21 asks node 8.
    fn reunite(successors: &[u8]) -> Reunite {
        let mut neighbors = Neighbors::alone(peer(21), 3);
        neighbors.adopt(peers(successors));
        Reunite::new(&neighbors, peer(8).addr)
    }

    fn named(n: u8) -> Answer {
        Answer::Reply(Response::Successor { owner: peer(n), path: vec![] })
    }

    fn neighbors(predecessor: Option<u8>, list: &[u8]) -> Answer {
        Answer::Reply(Response::Predecessor { predecessor: predecessor.map(peer), successors: Some(peers(list)) })
    }

    #[test]
    fn node_that_is_named_for_its_own_identifier_is_in_the_same_ring() {
        let question = Request::FindSuccessor { key: peer(21).id, hops: 0, want_path: true };
        assert_eq!(reunite(&[32]).start(), Step::Ask(Target::Address(peer(8).addr), question));
        assert_eq!(reunite(&[32]).resume(named(21)), Step::Done(Reunion::Nothing));
    }

    #[test]
    fn node_between_oneself_and_ones_successor_is_a_candidate() {
        let mut reunite = reunite(&[32]);
        assert_eq!(reunite.resume(named(26)), Step::Ask(peer(26).into(), Request::GetPredecessor));
        assert_eq!(reunite.resume(neighbors(Some(8), &[42])), Step::Done(Reunion::Candidate(peer(26))));
    }

    /// Fingers lead from the other ring into this one: node 28 passes the question on.
    #[test]
    fn who_was_asked_on_the_way_and_lies_between_is_of_another_ring() {
        let hop = |n| Hop { node: peer(n), took: Duration::ZERO };
        let named_by_way_of = |path: &[u8]| {
            let path = path.iter().map(|n| hop(*n)).collect();
            reunite(&[32]).resume(Answer::Reply(Response::Successor { owner: peer(21), path }))
        };
        assert_eq!(named_by_way_of(&[28, 26, 8]), Step::Ask(peer(26).into(), Request::GetPredecessor));
        assert_eq!(named_by_way_of(&[38, 8]), Step::Done(Reunion::Nothing));
    }

    #[test]
    fn node_beyond_ones_successor_is_left_to_others() {
        let mut reunite = reunite(&[32]);
        reunite.resume(named(42));
        assert_eq!(reunite.resume(neighbors(Some(8), &[48])), Step::Done(Reunion::Nothing));
        assert_eq!(self::reunite(&[32]).resume(named(32)), Step::Done(Reunion::Nothing));
    }

    #[test]
    fn node_that_is_alone_is_to_be_invited_wherever_it_lies() {
        for lonely in [26, 42] {
            let mut reunite = reunite(&[32]);
            reunite.resume(named(lonely));
            assert_eq!(reunite.resume(neighbors(None, &[])), Step::Done(Reunion::Alone(peer(lonely))));
        }
    }

    #[test]
    fn ring_of_one_joins_whoever_answers() {
        assert_eq!(reunite(&[]).resume(named(42)), Step::Done(Reunion::JoinThrough(peer(8).addr)));
    }

    #[test]
    fn dead_acquaintance_is_nothing() {
        assert_eq!(reunite(&[32]).resume(Answer::Gone), Step::Done(Reunion::Nothing));
    }
}
