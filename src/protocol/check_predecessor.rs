//! Noticing that the predecessor has died (paper, figure 6: `check_predecessor`).

use super::neighbors::Neighbors;
use super::peer::Peer;
use super::procedure::{Answer, Procedure, Step};
use super::rpc::{Dialect, Request, Response};

/// Pings the predecessor. A plain one is also asked for its list, which shows its dialect: what it expects of our list
/// depends on that. A list that names only its owner shows none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CheckPredecessor {
    predecessor: Peer,
    /// The first successor of the node that checks.
    successor: Option<Peer>,
    /// Whether a plain predecessor lives and was asked for its list.
    listing: bool,
}

/// What a check found out about the predecessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Checked {
    /// It lives, and speaks this dialect, if it has shown one.
    Alive(Peer, Option<Dialect>),
    /// It is gone or no member any more, or it is a ring of one; it is to be dropped.
    Dead(Peer),
    /// It lives, but does not tell its list, as each plain member does.
    Mute(Peer),
    /// It lives, it seems, but has not answered clearly.
    Unclear,
}

impl CheckPredecessor {
    /// A check of the predecessor of these neighbours, if there is one.
    pub fn new(neighbors: &Neighbors) -> Option<CheckPredecessor> {
        let predecessor = neighbors.predecessor()?;
        Some(CheckPredecessor { predecessor, successor: neighbors.successor(), listing: false })
    }

    /// The dialect of a plain predecessor that has this list. If it knows us as its successor, its list begins with us,
    /// or with itself in the other dialect. If its list begins with our own successor, it has copied our list as it
    /// was, and so expects ours to begin with ourselves.
    fn dialect(&self, told: Dialect, list: &[Peer]) -> Option<Dialect> {
        let copied = self.successor.is_some() && list.first() == self.successor.as_ref();
        match told {
            Dialect::Plain if list.is_empty() => None,
            Dialect::Plain if copied => Some(Dialect::PlainItselfFirst),
            told => Some(told),
        }
    }
}

impl Procedure for CheckPredecessor {
    type Output = Checked;

    fn start(&mut self) -> Step<Checked> {
        Step::Ask(self.predecessor.into(), Request::CheckPredecessor)
    }

    fn resume(&mut self, answer: Answer) -> Step<Checked> {
        match answer {
            answer if answer.is_dead() => Step::Done(Checked::Dead(self.predecessor)),
            // Restarted as a ring of one, or fell out of the ring.
            Answer::Reply(Response::Alive { alone: true, .. }) => Step::Done(Checked::Dead(self.predecessor)),
            Answer::Reply(Response::Alive { plain: true, .. }) => {
                self.listing = true;
                Step::Ask(self.predecessor.into(), Request::GetSuccessorList { joiner: None })
            }
            Answer::Reply(Response::Alive { .. }) => Step::Done(Checked::Alive(self.predecessor, Some(Dialect::Ours))),
            Answer::Reply(Response::SuccessorList { dialect, successors, .. }) => {
                Step::Done(Checked::Alive(self.predecessor, self.dialect(dialect, &successors)))
            }
            Answer::Unasked | Answer::Excused => Step::Done(Checked::Unclear),
            _ if self.listing => Step::Done(Checked::Mute(self.predecessor)),
            _ => Step::Done(Checked::Unclear),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::testing::{peer, peers};

    /// Node 14 between 8 and 21.
    fn check() -> CheckPredecessor {
        let mut neighbors = Neighbors::alone(peer(14), 3);
        neighbors.adopt(peers(&[21, 32]));
        neighbors.set_predecessor(peer(8));
        CheckPredecessor::new(&neighbors).unwrap()
    }

    #[test]
    fn living_predecessor_answers_one_ping() {
        assert_eq!(check().start(), Step::Ask(peer(8).into(), Request::CheckPredecessor));
        let alive = check().resume(Answer::Reply(Response::Alive { plain: false, alone: false }));
        assert_eq!(alive, Step::Done(Checked::Alive(peer(8), Some(Dialect::Ours))));
    }

    #[test]
    fn dead_predecessor_is_reported() {
        assert_eq!(check().resume(Answer::Gone), Step::Done(Checked::Dead(peer(8))));
    }

    #[test]
    fn plain_predecessor_shows_its_dialect() {
        let mut check = check();
        let list = Step::Ask(peer(8).into(), Request::GetSuccessorList { joiner: None });
        assert_eq!(check.resume(Answer::Reply(Response::Alive { plain: true, alone: false })), list);
        let reply =
            Response::SuccessorList { successors: vec![], predecessor: None, dialect: Dialect::PlainItselfFirst };
        let found = Checked::Alive(peer(8), Some(Dialect::PlainItselfFirst));
        assert_eq!(check.resume(Answer::Reply(reply)), Step::Done(found));
    }

    #[test]
    fn plain_predecessor_that_copied_our_list_expects_it_to_begin_with_us() {
        let told = |list: &[u8]| {
            let mut check = check();
            check.resume(Answer::Reply(Response::Alive { plain: true, alone: false }));
            check.resume(Answer::Reply(Response::SuccessorList {
                successors: peers(list),
                predecessor: None,
                dialect: Dialect::Plain,
            }))
        };
        assert_eq!(told(&[14, 21, 32]), Step::Done(Checked::Alive(peer(8), Some(Dialect::Plain))));
        assert_eq!(told(&[21, 32, 38]), Step::Done(Checked::Alive(peer(8), Some(Dialect::PlainItselfFirst))));
        assert_eq!(told(&[]), Step::Done(Checked::Alive(peer(8), None)), "it knows no other node");
    }

    #[test]
    fn predecessor_that_is_a_ring_of_one_comes_before_nobody() {
        let alone = check().resume(Answer::Reply(Response::Alive { plain: false, alone: true }));
        assert_eq!(alone, Step::Done(Checked::Dead(peer(8))));
    }

    #[test]
    fn slow_predecessor_is_not_dead() {
        assert_eq!(check().resume(Answer::Silent), Step::Done(Checked::Unclear));
    }
}
