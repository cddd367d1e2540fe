//! Checking a known owner instead of looking its key up: whether a finger is still right.
//!
//! The node that is assumed to be the owner is asked for its predecessor: one call, where a lookup takes one for each
//! hop. If the predecessor is at or after the key, it is nearer and is asked the same, for a few steps at most, since
//! many nodes may have joined in between. If a node can't tell, the key is looked up.
//!
//! The result is as good as that of a lookup, which would have ended at the node before the key and taken its
//! successor. The same rounds of stabilize set both pointers right.

use super::{Finding, Lookup};
use crate::protocol::neighbors::Owner;
use crate::protocol::peer::Peer;
use crate::protocol::procedure::{Answer, Procedure, Step};
use crate::protocol::rpc::{Request, Response};

/// The node that is assumed to be the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Guess {
    owner: Peer,
    /// How many nodes may still be asked.
    left: u8,
}

/// At most this many nodes are asked before the key is looked up.
const MAX_GUESSES: u8 = 3;

impl Lookup {
    /// The same lookup, by a node that assumes this one to be the owner, if any.
    pub fn guessing(self, owner: Option<Peer>) -> Lookup {
        Lookup { guess: owner.map(|owner| Guess { owner, left: MAX_GUESSES }), ..self }
    }

    /// Asks the assumed owner, if that may spare a lookup.
    pub(super) fn try_guess(&mut self) -> Option<Step<Finding>> {
        let guess = self.guess.as_mut()?;
        if guess.left == 0 || self.neighbors.owner(self.query.key) != Owner::Beyond {
            self.guess = None;
            return None;
        }
        guess.left -= 1;
        let owner = guess.owner;
        Some(self.ask(owner, Request::GetPredecessor))
    }

    /// The assumed owner has answered.
    pub(super) fn guessed(&mut self, guess: Guess, answer: Answer) -> Step<Finding> {
        match answer {
            answer if answer.is_dead() => return self.found_dead(guess.owner),
            // A node that is its own predecessor is in no ring.
            Answer::Reply(Response::Predecessor { predecessor: Some(before), successors, .. })
                if before != guess.owner && successors.as_ref().is_none_or(|list| !list.is_empty()) =>
            {
                if self.query.key.in_half_open(before.id, guess.owner.id) {
                    return self.found(guess.owner, Vec::new());
                }
                self.guess = Some(Guess { owner: before, ..guess });
            }
            _ => {}
        }
        self.start()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::lookup::Query;
    use crate::protocol::neighbors::Neighbors;
    use crate::protocol::rpc::{Code, Memory};
    use crate::protocol::testing::{peer, peers};

    const GET: Request = Request::GetPredecessor;

    /// Node 8 looks for 42, and assumes this node to own it.
    fn guessing(owner: u8) -> Lookup {
        let mut neighbors = Neighbors::alone(peer(8), 2);
        neighbors.adopt(peers(&[14, 21]));
        let query = Query::begun(peer(42).id, false);
        Lookup::new(query, neighbors, peers(&[14, 32])).guessing(Some(peer(owner)))
    }

    fn before(node: u8) -> Answer {
        let successors = Some(peers(&[1]));
        Answer::Reply(Response::Predecessor { predecessor: Some(peer(node)), successors, memory: Memory::default() })
    }

    fn is_found(step: Step<Finding>, owner: u8) -> bool {
        matches!(step, Step::Done(finding) if finding.clone().owner().is_ok_and(|found| found.owner == peer(owner)))
    }

    fn is_looked_up(step: Step<Finding>) -> bool {
        matches!(step, Step::Ask(next, Request::FindSuccessor { hops: 1, .. }) if next == peer(32).into())
    }

    #[test]
    fn right_guess_costs_one_call() {
        for (owner, predecessor) in [(48, 38), (42, 38), (48, 8)] {
            let mut lookup = guessing(owner);
            assert_eq!(lookup.start(), Step::Ask(peer(owner).into(), GET));
            assert!(is_found(lookup.resume(before(predecessor)), owner), "{owner} behind {predecessor}");
        }
    }

    #[test]
    fn node_that_has_come_between_is_asked_before_it_is_believed() {
        let mut lookup = guessing(51);
        lookup.start();
        assert_eq!(lookup.resume(before(48)), Step::Ask(peer(48).into(), GET));
        assert_eq!(lookup.resume(before(42)), Step::Ask(peer(42).into(), GET), "it begins at the key");
        assert!(is_found(lookup.resume(before(38)), 42));
    }

    #[test]
    fn key_is_looked_up_when_too_many_have_come_between() {
        let mut lookup = guessing(56);
        lookup.start();
        lookup.resume(before(54));
        lookup.resume(before(51));
        assert!(is_looked_up(lookup.resume(before(48))));
    }

    #[test]
    fn key_is_looked_up_when_the_guess_can_not_tell() {
        let alone =
            Response::Predecessor { predecessor: Some(peer(38)), successors: Some(vec![]), memory: Memory::default() };
        let itself = Response::Predecessor { predecessor: Some(peer(48)), successors: None, memory: Memory::default() };
        let unknown = Response::Predecessor { predecessor: None, successors: None, memory: Memory::default() };
        let refused = Answer::Refused(Code::Retry);
        let replies = [alone, itself, unknown].map(Answer::Reply);
        for answer in [Answer::Silent, refused, Answer::Unasked].into_iter().chain(replies) {
            let mut lookup = guessing(48);
            lookup.start();
            assert!(is_looked_up(lookup.resume(answer.clone())), "{answer:?}");
            assert_eq!(lookup.take_dead(), []);
        }
    }

    #[test]
    fn guess_that_is_dead_is_told_of_and_looked_up_past() {
        let mut lookup = guessing(48);
        lookup.start();
        assert!(is_looked_up(lookup.resume(Answer::Gone)));
        assert_eq!(lookup.take_dead(), peers(&[48]));
    }

    #[test]
    fn nobody_is_asked_where_the_neighbours_name_the_owner() {
        let mut neighbors = Neighbors::alone(peer(8), 2);
        neighbors.adopt(peers(&[14, 21]));
        let query = Query::begun(peer(12).id, false);
        let mut lookup = Lookup::new(query, neighbors, Vec::new()).guessing(Some(peer(21)));
        assert!(is_found(lookup.start(), 14));
    }
}
