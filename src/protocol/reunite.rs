//! Finding the ring again after a partition or a restart.
//!
//! Partitions long enough to purge both sides leave two ideal rings, and a node that lost all others is a ring of one;
//! stabilization can't join them. So each node now and then asks a remembered peer for the successor of its own
//! identifier: in one ring that is the node itself.
//!
//! If it is another node, then this node has a place in that ring, right before the node that was named. It tells the
//! member before that place (ring unification; Shafaat, Ghodsi, Haridi, "Dealing with network partitions in structured
//! overlay networks", 2009), and adopts the node that was named if that one lies before its own successor. Both are
//! only hints: a node adopts a successor only after that has answered, in a round of stabilize. One such adoption is
//! enough for the rings to become one (docs/correctness.md says why).
//!
//! The answer alone is not enough. Fingers outlive a partition, and where they lead from one ring into the other, a
//! question that began in one is answered in the other, so that each node is named for its own identifier for ever. So
//! the question is also put the other way round: a node asks its own ring for the acquaintance. And each node that was
//! asked on the way is a member of some ring: if it lies between this node and its successor, then that ring is another
//! one.

use super::addr::Addr;
use super::neighbors::Neighbors;
use super::peer::Peer;
use super::procedure::{Answer, Procedure, Step, Target};
use super::rpc::{Dialect, Request, Response};

/// Asks one acquaintance whether it belongs to another ring, and finds the places where the two rings
/// touch: of this node in the other ring, and of a node of the other ring in this one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reunite {
    me: Peer,
    successor: Option<Peer>,
    predecessor: Option<Peer>,
    acquaintance: Addr,
    /// Whether a peer has said that this is another ring; then this node's own ring is not asked.
    told: bool,
    stage: Stage,
    found: Touch,
    /// The outcome if this node's own ring knows the acquaintance.
    same: Option<Reunion>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// The acquaintance was asked for the successor of this node's identifier.
    Locating,
    /// The node that it named was asked for its neighbours: the place of this node is right before that one, and right
    /// behind the second node, which has named that one.
    Naming(Peer, Option<Peer>),
    /// The member before that place was asked for its list.
    Placing(Peer, Peer),
    /// This node's own ring was asked for this node of the other ring.
    Recognizing(Peer),
    /// The member of the own ring behind the place of the first node was asked for its neighbours.
    Fitting(Peer, Peer),
    /// The member of the own ring before the place of the first node was asked for its list.
    Handing(Peer, Peer),
}

/// How this node's ring relates to that of an acquaintance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reunion {
    /// No node answered, or its ring can't be told from this one.
    Nothing,
    /// The acquaintance belongs to this ring; so does this other member, which was asked on the way.
    Same(Addr, Option<Peer>),
    /// This node is alone: it is to join the ring of this acquaintance.
    JoinThrough(Addr),
    /// A node that is alone and is to be invited.
    Alone(Peer),
    /// There may be another ring.
    Touch(Touch),
}

/// Where two rings touch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Touch {
    /// A node that lies between this node and its successor.
    pub candidate: Option<Peer>,
    /// Members to be told of a node that belongs right behind them.
    pub hints: Vec<(Peer, Peer)>,
    /// A member of the other ring, if this node's own ring does not know it: then all are to hear of it.
    pub other: Option<Peer>,
}

impl Reunite {
    /// Asks `acquaintance`, of which it is not known whether it belongs to this ring.
    pub fn new(neighbors: &Neighbors, acquaintance: Addr) -> Reunite {
        Reunite {
            me: neighbors.me(),
            successor: neighbors.successor(),
            predecessor: neighbors.predecessor(),
            acquaintance,
            told: false,
            stage: Stage::Locating,
            found: Touch::default(),
            same: None,
        }
    }

    /// The same when a peer has said that this is another ring.
    pub fn told(neighbors: &Neighbors, acquaintance: Addr) -> Reunite {
        Reunite { told: true, ..Reunite::new(neighbors, acquaintance) }
    }

    fn ask(&mut self, stage: Stage, target: Peer, request: Request) -> Step<Reunion> {
        self.stage = stage;
        Step::Ask(target.into(), request)
    }

    fn done(&mut self) -> Step<Reunion> {
        let found = std::mem::take(&mut self.found);
        Step::Done(if found == Touch::default() { Reunion::Nothing } else { Reunion::Touch(found) })
    }

    /// The acquaintance has named the successor of this node's identifier.
    fn located(&mut self, owner: Peer, path: Vec<Peer>) -> Step<Reunion> {
        let Some(successor) = self.successor else {
            return Step::Done(if owner.id == self.me.id {
                Reunion::Nothing
            } else {
                Reunion::JoinThrough(self.acquaintance)
            });
        };
        let between = path.iter().copied().chain([owner]).filter(|peer| peer.id.in_open(self.me.id, successor.id));
        // The node that was asked last has said that the owner follows it: so it does, no matter which predecessor the
        // owner has.
        let last = path.last().copied().filter(|last| last.id != owner.id && self.me.id.in_open(last.id, owner.id));
        match between.min_by_key(|peer| peer.id.clockwise_from(self.me.id)) {
            Some(nearest) => self.ask(Stage::Naming(nearest, last), nearest, Request::GetPredecessor),
            // A successor that does not know this node will hear of it by notify.
            None if owner == successor && last.is_none_or(|last| Some(last) == self.predecessor) => {
                Step::Done(Reunion::Nothing)
            }
            None if owner.id != self.me.id => self.ask(Stage::Naming(owner, last), owner, Request::GetPredecessor),
            None => {
                let same = Reunion::Same(self.acquaintance, path.get(1).copied());
                match path.first() {
                    Some(first) if first.id != self.me.id && *first != successor && !self.told => {
                        self.same = Some(same);
                        self.recognize(*first)
                    }
                    _ => Step::Done(same),
                }
            }
        }
    }

    /// Asks this node's own ring for a node that may be of another one.
    fn recognize(&mut self, stranger: Peer) -> Step<Reunion> {
        match self.successor {
            Some(successor) if !self.told => {
                let question = Request::FindSuccessor { key: stranger.id, hops: 0, want_path: false };
                self.ask(Stage::Recognizing(stranger), successor, question)
            }
            _ => self.done(),
        }
    }

    /// The place of a stranger in this node's own ring is right before `behind`, if no node lies between.
    fn fit(&mut self, stranger: Peer, behind: Peer, predecessor: Option<Peer>) -> Step<Reunion> {
        match predecessor.filter(|before| stranger.id.in_open(before.id, behind.id)) {
            Some(before) if before.id != self.me.id => {
                self.ask(Stage::Handing(stranger, before), before, Request::GetSuccessorList { joiner: None })
            }
            _ => {
                if self.is_candidate(stranger) {
                    self.found.candidate = self.found.candidate.or(Some(stranger));
                }
                self.done()
            }
        }
    }

    fn is_candidate(&self, peer: Peer) -> bool {
        self.successor.is_some_and(|successor| peer.id.in_open(self.me.id, successor.id))
    }

    /// A member is to be told of a node that belongs right behind it. Plain peers don't know the call.
    fn hand(&mut self, before: Peer, successors: &[Peer], dialect: Dialect, node: Peer) {
        let belongs = successors.first().is_some_and(|head| node.id.in_open(before.id, head.id));
        if belongs && dialect == Dialect::Ours {
            self.found.hints.push((before, node));
        }
    }
}

impl Procedure for Reunite {
    type Output = Reunion;

    fn start(&mut self) -> Step<Reunion> {
        let question = Request::FindSuccessor { key: self.me.id, hops: 0, want_path: true };
        Step::Ask(Target::Address(self.acquaintance), question)
    }

    fn resume(&mut self, answer: Answer) -> Step<Reunion> {
        let stage = std::mem::replace(&mut self.stage, Stage::Locating);
        let Answer::Reply(response) = answer else {
            // What was found so far holds.
            return match stage {
                Stage::Placing(named, _) => self.recognize(named),
                _ => self.done(),
            };
        };
        match (stage, response) {
            (Stage::Locating, Response::Successor { owner, path }) => {
                self.located(owner, path.into_iter().map(|hop| hop.node).collect())
            }
            (Stage::Naming(named, last), Response::Predecessor { predecessor, successors, .. }) => {
                if predecessor.is_none() && successors.is_some_and(|list| list.is_empty()) {
                    return Step::Done(Reunion::Alone(named));
                }
                if self.is_candidate(named) {
                    self.found.candidate = Some(named);
                }
                let before = predecessor.filter(|before| self.me.id.in_open(before.id, named.id));
                match last.or(before) {
                    Some(before) if before.id != self.me.id => {
                        self.ask(Stage::Placing(named, before), before, Request::GetSuccessorList { joiner: None })
                    }
                    _ => self.recognize(named),
                }
            }
            (Stage::Placing(named, before), Response::SuccessorList { successors, dialect, .. }) => {
                self.hand(before, &successors, dialect, self.me);
                self.recognize(named)
            }
            (Stage::Recognizing(stranger), Response::Successor { owner, .. }) => {
                if owner.id == stranger.id {
                    return self.same.take().map_or_else(|| self.done(), Step::Done);
                }
                self.found.other = Some(stranger);
                if owner.id == self.me.id {
                    return self.fit(stranger, owner, self.predecessor);
                }
                self.ask(Stage::Fitting(stranger, owner), owner, Request::GetPredecessor)
            }
            (Stage::Fitting(stranger, behind), Response::Predecessor { predecessor, .. }) => {
                self.fit(stranger, behind, predecessor)
            }
            (Stage::Handing(stranger, before), Response::SuccessorList { successors, dialect, .. }) => {
                self.hand(before, &successors, dialect, stranger);
                self.done()
            }
            _ => self.done(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::rpc::{Hop, Memory};
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
        Answer::Reply(Response::Predecessor {
            predecessor: predecessor.map(peer),
            successors: Some(peers(list)),
            memory: Memory::default(),
        })
    }

    fn list(successors: &[u8]) -> Answer {
        Answer::Reply(Response::SuccessorList {
            successors: peers(successors),
            predecessor: None,
            dialect: Dialect::Ours,
        })
    }

    fn by_way_of(owner: u8, path: &[u8]) -> Answer {
        let path = path.iter().map(|n| Hop { node: peer(*n), took: Duration::ZERO }).collect();
        Answer::Reply(Response::Successor { owner: peer(owner), path })
    }

    fn asks_list(n: u8) -> Step<Reunion> {
        Step::Ask(peer(n).into(), Request::GetSuccessorList { joiner: None })
    }

    /// The successor, 32, is asked for another node.
    fn asks_ring(n: u8) -> Step<Reunion> {
        Step::Ask(peer(32).into(), Request::FindSuccessor { key: peer(n).id, hops: 0, want_path: false })
    }

    fn hint(before: u8, node: u8) -> (Peer, Peer) {
        (peer(before), peer(node))
    }

    #[test]
    fn node_that_is_named_for_its_own_identifier_asks_its_ring_for_the_acquaintance() {
        let question = Request::FindSuccessor { key: peer(21).id, hops: 0, want_path: true };
        assert_eq!(reunite(&[32]).start(), Step::Ask(Target::Address(peer(8).addr), question));
        let mut reunite = reunite(&[32]);
        assert_eq!(reunite.resume(by_way_of(21, &[8, 14])), asks_ring(8));
        assert_eq!(reunite.resume(named(8)), Step::Done(Reunion::Same(peer(8).addr, Some(peer(14)))));
    }

    #[test]
    fn node_between_oneself_and_ones_successor_is_a_candidate() {
        let mut reunite = reunite(&[32]);
        assert_eq!(reunite.resume(named(26)), Step::Ask(peer(26).into(), Request::GetPredecessor));
        assert_eq!(reunite.resume(neighbors(Some(8), &[42])), asks_list(8));
        assert_eq!(reunite.resume(list(&[26, 42])), asks_ring(26));
        let touch = Touch { candidate: Some(peer(26)), hints: vec![hint(8, 21)], other: None };
        assert_eq!(reunite.resume(named(26)), Step::Done(Reunion::Touch(touch)), "this node's own ring knows it");
    }

    /// {21, 32} and {42, 8}: no node of the other ring lies between 21 and 32.
    #[test]
    fn node_tells_who_comes_before_it_in_the_other_ring_wherever_that_lies() {
        let mut reunite = reunite(&[32]);
        assert_eq!(reunite.resume(named(42)), Step::Ask(peer(42).into(), Request::GetPredecessor));
        assert_eq!(reunite.resume(neighbors(Some(8), &[8])), asks_list(8));
        assert_eq!(reunite.resume(list(&[42])), asks_ring(42));
        assert_eq!(
            reunite.resume(named(21)),
            Step::Done(Reunion::Touch(Touch { candidate: None, hints: vec![hint(8, 21)], other: Some(peer(42)) }))
        );
    }

    /// {42, 8} has heard of node 14 already: 42 believes that 14 comes before it, and 8 does not know it yet.
    #[test]
    fn member_that_names_a_node_is_told_whoever_that_node_believes_to_come_before_it() {
        let mut reunite = reunite(&[32]);
        assert_eq!(reunite.resume(by_way_of(42, &[42, 8])), Step::Ask(peer(42).into(), Request::GetPredecessor));
        assert_eq!(reunite.resume(neighbors(Some(14), &[8])), asks_list(8));
        assert_eq!(reunite.resume(list(&[42])), asks_ring(42));
        let touch = Touch { candidate: None, hints: vec![hint(8, 21)], other: None };
        assert_eq!(reunite.resume(named(42)), Step::Done(Reunion::Touch(touch)));
    }

    #[test]
    fn stranger_is_handed_to_the_member_that_it_belongs_behind() {
        let mut reunite = reunite(&[32]);
        assert_eq!(reunite.resume(by_way_of(21, &[40])), asks_ring(40));
        assert_eq!(reunite.resume(named(48)), Step::Ask(peer(48).into(), Request::GetPredecessor));
        assert_eq!(reunite.resume(neighbors(Some(38), &[1])), asks_list(38));
        let touch = Touch { candidate: None, hints: vec![hint(38, 40)], other: Some(peer(40)) };
        assert_eq!(reunite.resume(list(&[48])), Step::Done(Reunion::Touch(touch)));
    }

    #[test]
    fn nobody_is_told_of_a_node_that_does_not_belong_behind_it_and_no_plain_peer() {
        for answer in [
            list(&[14]),
            Answer::Reply(Response::SuccessorList {
                successors: peers(&[42]),
                predecessor: None,
                dialect: Dialect::Plain,
            }),
            Answer::Gone,
        ] {
            let mut reunite = reunite(&[32]);
            reunite.resume(named(42));
            reunite.resume(neighbors(Some(8), &[8]));
            assert_eq!(reunite.resume(answer), asks_ring(42));
            assert_eq!(reunite.resume(named(42)), Step::Done(Reunion::Nothing));
        }
    }

    #[test]
    fn node_that_was_told_of_the_other_ring_does_not_ask_its_own() {
        let mut neighbors_of_21 = Neighbors::alone(peer(21), 3);
        neighbors_of_21.adopt(peers(&[32]));
        let mut reunite = Reunite::told(&neighbors_of_21, peer(8).addr);
        reunite.resume(named(42));
        reunite.resume(neighbors(Some(8), &[8]));
        let touch = Touch { candidate: None, hints: vec![hint(8, 21)], other: None };
        assert_eq!(reunite.resume(list(&[42])), Step::Done(Reunion::Touch(touch)));
    }

    /// Fingers lead from the other ring into this one: node 28 passes the question on.
    #[test]
    fn who_was_asked_on_the_way_and_lies_between_is_of_another_ring() {
        let step = reunite(&[32]).resume(by_way_of(21, &[28, 26, 8]));
        assert_eq!(step, Step::Ask(peer(26).into(), Request::GetPredecessor));
    }

    #[test]
    fn successor_that_does_not_know_this_node_will_be_notified() {
        assert_eq!(reunite(&[32]).resume(named(32)), Step::Done(Reunion::Nothing));
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
