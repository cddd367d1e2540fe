//! Lookups whose asker goes from node to node itself (paper, V.B: the iterative style).
//!
//! Each node on the way is asked for the owner, or for the closest nodes before the key that *it* knows; the asker goes
//! on to the closest of them. The asker keeps what it learned earlier, so a dead node costs one query: the next best
//! is asked, which may come from an earlier answer, or be the node that named the dead one. That node is told which
//! nodes its asker could not reach, finds out for itself whether they live, and names the next.
//!
//! Each answer must bring a new node that is closer to the key than the node that gave the answer; else that node
//! counts among those that can't help. So a lookup ends, no matter what it is told.

use std::cmp::Reverse;

use super::{Finding, Lookup, Outcome, Query, Scope};
use crate::protocol::peer::Peer;
use crate::protocol::procedure::{Answer, Step};
use crate::protocol::rpc::{Hop, Request, Response};

/// How a lookup goes on where its node can't name the owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Style {
    /// The closest node before the key passes the query on, and the answer comes back the same
    /// way: fewer messages, over connections that are open already.
    #[default]
    Recursive,
    /// The asker puts the query to each node on the way itself: it sees where a lookup is, and other nodes do no
    /// work for it but to look into their own tables.
    Iterative,
}

/// At most this many nodes are named to an iterative lookup, closest to the key first: the next one, and others in case
/// it is dead.
pub const MAX_ALTERNATIVES: usize = 8;

/// At most this many nodes that could not be reached are told to the node that may have named them.
pub const MAX_DOUBTED: usize = 16;

impl Lookup {
    /// The same lookup in this style.
    pub fn in_style(self, style: Style) -> Lookup {
        Lookup { style, ..self }
    }

    /// The same lookup, which pings these nodes before it sends another node to them.
    pub fn doubting(self, doubted: Vec<Peer>) -> Lookup {
        Lookup { doubted, ..self }
    }

    /// The closest node before the key, if it is to be pinged.
    fn closest_doubted(&self) -> Option<Peer> {
        self.closest_preceding_node().filter(|next| self.doubted.contains(next))
    }

    /// A node that was doubted lives. If it is a ring of one, it blocks the way: see `resume`.
    pub(super) fn found_alive(&mut self, doubted: Peer, answer: &Answer) -> Step<Finding> {
        let alone = matches!(answer, Answer::Reply(Response::Alive { alone: true, .. }));
        if alone && self.knows_others(doubted) {
            self.leave_out(doubted);
            self.bent = true;
        }
        self.doubted.retain(|other| *other != doubted);
        self.decide()
    }

    /// Ends, and names the nodes that this one would ask next; the closest of them is pinged before if it is doubted.
    pub(super) fn point_on(&mut self) -> Step<Finding> {
        if let Some(doubted) = self.closest_doubted() {
            return self.ask(doubted, Request::CheckPredecessor);
        }
        let me = self.neighbors.me().id;
        let known = self.candidates.known().iter().chain(self.neighbors.successors());
        let mut preceding: Vec<Peer> = known.filter(|node| node.id.in_open(me, self.query.key)).copied().collect();
        preceding.sort_by_key(|node| Reverse(node.id.clockwise_from(me)));
        preceding.dedup();
        preceding.truncate(MAX_ALTERNATIVES);
        self.finish(Outcome::Preceding(preceding))
    }

    /// Goes on to a node before the key, after this many hops.
    pub(super) fn go_to(&mut self, next: Peer, hops: u32) -> Step<Finding> {
        let Query { key, want_path, .. } = self.query;
        let request = match self.style {
            Style::Recursive => Request::FindSuccessor { key, hops: hops + 1, want_path },
            Style::Iterative => {
                self.query.scope = Scope::Ring { hops: hops + 1 };
                let beyond = |dead: &Peer| dead.id.in_open(next.id, key);
                let doubted = self.candidates.left_out().filter(beyond).take(MAX_DOUBTED).collect();
                Request::ClosestPrecedingNode { key, doubted, want_path }
            }
        };
        self.ask(next, request)
    }

    /// Takes the nodes closer to the key that the node that was asked knows.
    pub(super) fn pointed(&mut self, asked: Peer, nodes: Vec<Peer>, path: Vec<Hop>) -> Step<Finding> {
        self.path.extend(path.into_iter().take(1));
        let closer = nodes
            .into_iter()
            .filter(|node| node.id.in_open(asked.id, self.query.key) && !self.candidates.is_useless(*node));
        let closer: Vec<Peer> = closer.take(MAX_ALTERNATIVES).collect();
        if closer.is_empty() {
            self.candidates.refuse(asked);
        }
        self.candidates.add(closer);
        self.decide()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::id::Id;
    use crate::protocol::lookup::{Found, LookupFailure};
    use crate::protocol::neighbors::Neighbors;
    use crate::protocol::procedure::Procedure;
    use crate::protocol::rpc::{Code, MAX_HOPS, Memory};
    use crate::protocol::testing::{peer, peers};

    /// Node 8 between 1 and these successors.
    fn from_8(query: Query, successors: &[u8], fingers: &[u8]) -> Lookup {
        let mut neighbors = Neighbors::alone(peer(8), 4);
        neighbors.adopt(peers(successors));
        neighbors.set_predecessor(peer(1));
        Lookup::new(query, neighbors, peers(fingers))
    }

    fn iterative(key: u8) -> Lookup {
        let query = Query::begun(peer(key).id, false);
        from_8(query, &[14, 21], &[14, 21, 32, 42]).in_style(Style::Iterative)
    }

    fn asks(n: u8, doubted: &[u8], step: &Step<Finding>) -> bool {
        let request = |request: &Request| match request {
            Request::ClosestPrecedingNode { doubted: told, .. } => *told == peers(doubted),
            _ => false,
        };
        matches!(step, Step::Ask(to, asked) if *to == peer(n).into() && request(asked))
    }

    fn points(nodes: &[u8]) -> Answer {
        Answer::Reply(Response::Preceding { nodes: peers(nodes), path: vec![] })
    }

    fn names(n: u8) -> Answer {
        Answer::Reply(Response::Successor { owner: peer(n), path: vec![] })
    }

    fn result(step: Step<Finding>) -> Result<Found, LookupFailure> {
        match step {
            Step::Done(finding) => finding.owner(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn asker_goes_from_node_to_node_until_one_names_the_owner() {
        let mut lookup = iterative(54);
        assert!(asks(42, &[], &lookup.start()));
        assert!(asks(51, &[], &lookup.resume(points(&[51, 48]))));
        assert_eq!(result(lookup.resume(names(56))), Ok(Found { owner: peer(56), path: vec![], timeouts: 0 }));
    }

    #[test]
    fn own_keys_and_those_of_a_heard_successor_need_no_question() {
        assert_eq!(result(iterative(5).start()).map(|found| found.owner), Ok(peer(8)));
        assert_eq!(result(iterative(13).start()).map(|found| found.owner), Ok(peer(14)));
    }

    #[test]
    fn dead_node_costs_one_question_since_others_were_named() {
        let mut lookup = iterative(54);
        lookup.start();
        lookup.resume(points(&[51, 48]));
        assert!(asks(48, &[51], &lookup.resume(Answer::Gone)));
        assert_eq!(lookup.take_dead(), peers(&[51]));
        assert_eq!(result(lookup.resume(names(56))).map(|found| found.timeouts), Ok(1));
    }

    #[test]
    fn who_named_only_the_dead_is_told_so_and_names_the_next() {
        let mut lookup = iterative(54);
        lookup.start();
        lookup.resume(points(&[51, 48]));
        lookup.resume(Answer::Gone);
        assert!(asks(42, &[48, 51], &lookup.resume(Answer::Gone)));
        assert!(asks(50, &[51], &lookup.resume(points(&[51, 50]))));
        assert_eq!(result(lookup.resume(names(56))).map(|found| found.timeouts), Ok(2));
    }

    #[test]
    fn who_names_nobody_closer_is_not_asked_again() {
        for useless in [&[42, 32, 8, 56][..], &[54], &[]] {
            let mut lookup = iterative(54);
            lookup.start();
            assert!(asks(32, &[], &lookup.resume(points(useless))), "{useless:?}");
        }
    }

    #[test]
    fn three_nodes_that_can_not_help_are_enough() {
        let mut lookup = iterative(54);
        lookup.start();
        lookup.resume(points(&[]));
        lookup.resume(Answer::Refused(Code::Unspecified));
        assert_eq!(result(lookup.resume(Answer::Silent)), Err(LookupFailure::NoRoute));
    }

    #[test]
    fn node_that_names_itself_is_left_out() {
        let mut lookup = iterative(54);
        lookup.start();
        lookup.resume(points(&[51, 48]));
        assert!(asks(48, &[51], &lookup.resume(names(51))));
        assert_eq!(lookup.take_dead(), [], "it lives");
    }

    #[test]
    fn keys_of_a_dead_successor_fall_to_the_next() {
        let mut lookup = iterative(20);
        assert!(asks(14, &[], &lookup.start()));
        assert_eq!(lookup.resume(Answer::Gone), Step::Ask(peer(21).into(), Request::GetPredecessor));
    }

    #[test]
    fn lookup_ends_though_a_liar_always_names_somebody_closer() {
        let far = |n: u128| Peer { id: Id::from_number(n, crate::protocol::id::Bits::FULL), addr: peer(1).addr };
        let mut neighbors = Neighbors::alone(far(0), 4);
        neighbors.adopt(vec![far(1)]);
        let query = Query::begun(far(u128::MAX).id, false);
        let mut lookup = Lookup::new(query, neighbors, vec![]).in_style(Style::Iterative);
        let mut step = lookup.start();
        for n in 2.. {
            match step {
                Step::Ask(..) => {
                    let nodes = vec![far(n)];
                    step = lookup.resume(Answer::Reply(Response::Preceding { nodes, path: vec![] }));
                }
                ended => {
                    assert_eq!((result(ended), n), (Err(LookupFailure::TooManyHops), u128::from(MAX_HOPS) + 2));
                    break;
                }
            }
        }
    }

    fn here(key: u8, doubted: &[u8]) -> Lookup {
        from_8(Query::here(peer(key).id, false), &[14, 21], &[14, 21, 32, 42]).doubting(peers(doubted))
    }

    fn pointer(step: Step<Finding>) -> Result<Response, LookupFailure> {
        match step {
            Step::Done(finding) => finding.answer(None),
            other => panic!("{other:?}"),
        }
    }

    fn preceding(nodes: &[u8]) -> Result<Response, LookupFailure> {
        Ok(Response::Preceding { nodes: peers(nodes), path: vec![] })
    }

    fn pong(alone: bool) -> Answer {
        Answer::Reply(Response::Alive { plain: false, alone })
    }

    #[test]
    fn callee_names_the_owner_or_the_closest_nodes_before_the_key() {
        assert_eq!(pointer(here(54, &[]).start()), preceding(&[42, 32, 21, 14]));
        assert_eq!(pointer(here(42, &[]).start()), preceding(&[32, 21, 14]), "strictly before the key");
        let owner = Ok(Response::Successor { owner: peer(14), path: vec![] });
        assert_eq!(pointer(here(13, &[]).start()), owner);
    }

    #[test]
    fn callee_names_no_more_than_are_wanted() {
        let fingers: Vec<u8> = (10..40).collect();
        let lookup = from_8(Query::here(peer(54).id, false), &[9], &fingers);
        let nodes: Vec<u8> = (32..40).rev().collect();
        assert_eq!(pointer({ lookup }.start()), preceding(&nodes));
    }

    #[test]
    fn callee_pings_whom_the_asker_could_not_reach_and_drops_the_dead() {
        let mut lookup = here(54, &[42, 14]);
        assert_eq!(lookup.start(), Step::Ask(peer(42).into(), Request::CheckPredecessor));
        let Step::Done(finding) = lookup.resume(Answer::Gone) else { panic!("no other node is in doubt") };
        assert_eq!(finding.dead, peers(&[42]));
        assert_eq!(finding.answer(None), preceding(&[32, 21, 14]));
    }

    #[test]
    fn callee_goes_on_naming_who_answers_its_ping() {
        for answer in [pong(false), Answer::Silent, Answer::Unasked] {
            let mut lookup = here(54, &[42]);
            lookup.start();
            assert_eq!(pointer(lookup.resume(answer)), preceding(&[42, 32, 21, 14]));
        }
        let mut lookup = here(54, &[42]);
        lookup.start();
        assert_eq!(pointer(lookup.resume(pong(true))), preceding(&[32, 21, 14]), "a ring of one is in the way");
    }

    #[test]
    fn callee_pings_its_successor_before_it_names_it_to_somebody_who_could_not_reach_it() {
        let mut lookup = here(13, &[14]);
        assert_eq!(lookup.start(), Step::Ask(peer(14).into(), Request::CheckPredecessor));
        assert_eq!(lookup.resume(Answer::Gone), Step::Ask(peer(21).into(), Request::GetPredecessor));
        let comes_after = Response::Predecessor {
            predecessor: Some(peer(14)),
            successors: Some(peers(&[32])),
            memory: Memory::default(),
        };
        let owner = Ok(Response::Successor { owner: peer(21), path: vec![] });
        assert_eq!(pointer(lookup.resume(Answer::Reply(comes_after))), owner);
    }

    #[test]
    fn callee_that_knows_nobody_before_the_key_can_not_help() {
        let query = Query::here(peer(20).id, false);
        let mut lookup = from_8(query, &[21], &[]);
        lookup.neighbors.drop_successor(peer(21));
        lookup.neighbors.adopt(peers(&[14]));
        lookup.doubted = peers(&[14]);
        assert_eq!(lookup.start(), Step::Ask(peer(14).into(), Request::CheckPredecessor));
        assert_eq!(pointer(lookup.resume(Answer::Gone)), Err(LookupFailure::Isolated));
    }
}
