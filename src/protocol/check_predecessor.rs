//! Noticing that the predecessor has died (paper, figure 6: `check_predecessor`).

use super::neighbors::Neighbors;
use super::peer::Peer;
use super::procedure::{Answer, Procedure, Step};
use super::rpc::{Dialect, Request, Response};

/// Pings the predecessor. Of a plain one the list is fetched too, to hear its dialect: what it
/// expects of our list depends on that.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CheckPredecessor {
    predecessor: Peer,
    /// The first successor of the node that checks.
    successor: Option<Peer>,
    /// Whether somebody says that it is joining, so that it has to show that it is a member.
    doubted: bool,
}

/// What a check found out about the predecessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Checked {
    /// It lives, and speaks like this.
    Alive(Peer, Dialect),
    Dead(Peer),
    /// It lives, it seems, but would not say more.
    Unclear,
}

impl CheckPredecessor {
    /// A check of the predecessor of these neighbours, if there is one.
    pub fn new(neighbors: &Neighbors) -> Option<CheckPredecessor> {
        let predecessor = neighbors.predecessor()?;
        Some(CheckPredecessor { predecessor, successor: neighbors.successor(), doubted: false })
    }

    /// The same of a predecessor that is said to be joining. One that knows no successor has been
    /// started again as a ring of one, or fell out: as a predecessor it is dead.
    pub fn in_doubt(self) -> CheckPredecessor {
        CheckPredecessor { doubted: true, ..self }
    }

    /// How a plain predecessor speaks that has this list. One that knows us as its successor begins
    /// its list with us, or with itself in the other dialect; one that begins with our own successor
    /// has copied our list as it was, and so takes ours for one that begins with ourselves.
    fn dialect(&self, told: Dialect, list: &[Peer]) -> Dialect {
        let copied = self.successor.is_some() && list.first() == self.successor.as_ref();
        if told == Dialect::Plain && copied { Dialect::PlainItselfFirst } else { told }
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
            Answer::Reply(Response::Alive { plain }) if plain || self.doubted => {
                Step::Ask(self.predecessor.into(), Request::GetSuccessorList { joiner: None })
            }
            Answer::Reply(Response::Alive { .. }) => Step::Done(Checked::Alive(self.predecessor, Dialect::Ours)),
            Answer::Reply(Response::SuccessorList { dialect: Dialect::Ours, successors, .. })
                if successors.is_empty() =>
            {
                Step::Done(Checked::Dead(self.predecessor))
            }
            Answer::Reply(Response::SuccessorList { dialect, successors, .. }) => {
                Step::Done(Checked::Alive(self.predecessor, self.dialect(dialect, &successors)))
            }
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
        let alive = check().resume(Answer::Reply(Response::Alive { plain: false }));
        assert_eq!(alive, Step::Done(Checked::Alive(peer(8), Dialect::Ours)));
    }

    #[test]
    fn dead_predecessor_is_reported() {
        assert_eq!(check().resume(Answer::Gone), Step::Done(Checked::Dead(peer(8))));
    }

    #[test]
    fn plain_predecessor_shows_its_dialect() {
        let mut check = check();
        let list = Step::Ask(peer(8).into(), Request::GetSuccessorList { joiner: None });
        assert_eq!(check.resume(Answer::Reply(Response::Alive { plain: true })), list);
        let reply =
            Response::SuccessorList { successors: vec![], predecessor: None, dialect: Dialect::PlainItselfFirst };
        let found = Checked::Alive(peer(8), Dialect::PlainItselfFirst);
        assert_eq!(check.resume(Answer::Reply(reply)), Step::Done(found));
    }

    #[test]
    fn plain_predecessor_that_copied_our_list_expects_it_to_begin_with_us() {
        let told = |list: &[u8]| {
            let mut check = check();
            check.resume(Answer::Reply(Response::Alive { plain: true }));
            check.resume(Answer::Reply(Response::SuccessorList {
                successors: peers(list),
                predecessor: None,
                dialect: Dialect::Plain,
            }))
        };
        assert_eq!(told(&[14, 21, 32]), Step::Done(Checked::Alive(peer(8), Dialect::Plain)));
        assert_eq!(told(&[21, 32, 38]), Step::Done(Checked::Alive(peer(8), Dialect::PlainItselfFirst)));
    }

    #[test]
    fn doubted_predecessor_shows_that_it_is_a_member() {
        let told = |successors: &[u8]| {
            let mut check = check().in_doubt();
            let list = Step::Ask(peer(8).into(), Request::GetSuccessorList { joiner: None });
            assert_eq!(check.resume(Answer::Reply(Response::Alive { plain: false })), list);
            check.resume(Answer::Reply(Response::SuccessorList {
                successors: peers(successors),
                predecessor: None,
                dialect: Dialect::Ours,
            }))
        };
        assert_eq!(told(&[14, 21]), Step::Done(Checked::Alive(peer(8), Dialect::Ours)));
        assert_eq!(told(&[]), Step::Done(Checked::Dead(peer(8))), "a ring of one");
    }

    #[test]
    fn slow_predecessor_is_not_dead() {
        assert_eq!(check().resume(Answer::Silent), Step::Done(Checked::Unclear));
    }
}
