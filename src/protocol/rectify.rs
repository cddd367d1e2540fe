//! Keeping the predecessor right when a node notifies (Zave's `rectify`).

use super::neighbors::Neighbors;
use super::peer::Peer;
use super::procedure::{Answer, Procedure, Step};
use super::rpc::Request;

/// Finds out whether a notifier is to be the predecessor: it is if it comes closer, or if the old
/// predecessor does not answer; and if it answers a probe at the address that it advertises.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rectify {
    notifier: Peer,
    closer: bool,
    old: Option<Peer>,
    /// Whether a notifier that loses is probed, too.
    tells: bool,
    probing: bool,
    dead: Option<Peer>,
}

/// The outcome of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rectified {
    /// The node that was judged.
    pub notifier: Peer,
    /// Whether the notifier has answered: then it is to be the predecessor if it is closer, else to look for that one.
    pub answered: bool,
    /// The old predecessor, if it turned out dead.
    pub dead: Option<Peer>,
}

impl Rectify {
    /// Judges `notifier` from these neighbours.
    pub fn new(neighbors: &Neighbors, notifier: Peer) -> Rectify {
        Rectify {
            notifier,
            closer: neighbors.is_closer_predecessor(notifier),
            old: neighbors.predecessor().filter(|old| notifier != *old && notifier.id != neighbors.me().id),
            tells: false,
            probing: false,
            dead: None,
        }
    }

    /// The same; if that is wanted, a notifier that loses is probed, too: only a node that has answered can be told
    /// that it has lost.
    pub fn telling(self, tells: bool) -> Rectify {
        Rectify { tells, ..self }
    }

    fn done(&self, answered: bool) -> Step<Rectified> {
        Step::Done(Rectified { notifier: self.notifier, answered, dead: self.dead })
    }

    fn probe(&mut self) -> Step<Rectified> {
        self.probing = true;
        Step::Probe(self.notifier.into())
    }
}

impl Procedure for Rectify {
    type Output = Rectified;

    fn start(&mut self) -> Step<Rectified> {
        match self.old {
            _ if self.closer => self.probe(),
            Some(old) => Step::Ask(old.into(), Request::CheckPredecessor),
            None => self.done(false),
        }
    }

    fn resume(&mut self, answer: Answer) -> Step<Rectified> {
        if self.probing {
            self.done(matches!(answer, Answer::Alive | Answer::Reply(_)))
        } else if answer.is_dead() {
            self.dead = self.old;
            self.probe()
        } else if self.tells {
            self.probe()
        } else {
            self.done(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::rpc::Response;
    use crate::protocol::testing::peer;

    fn node_32(predecessor: Option<u8>) -> Neighbors {
        let mut neighbors = Neighbors::alone(peer(32), 3);
        if let Some(predecessor) = predecessor {
            neighbors.set_predecessor(peer(predecessor));
        }
        neighbors
    }

    fn taken(n: u8) -> Rectified {
        Rectified { notifier: peer(n), answered: true, dead: None }
    }

    fn kept(n: u8) -> Rectified {
        Rectified { answered: false, ..taken(n) }
    }

    #[test]
    fn notifier_that_could_not_be_asked_is_not_taken() {
        let mut rectify = Rectify::new(&node_32(None), peer(26));
        assert_eq!(rectify.start(), Step::Probe(peer(26).into()));
        let verdict = Rectified { notifier: peer(26), answered: false, dead: None };
        assert_eq!(rectify.resume(Answer::Unasked), Step::Done(verdict));
    }

    #[test]
    fn first_notifier_is_taken_once_it_has_answered() {
        let mut rectify = Rectify::new(&node_32(None), peer(8));
        assert_eq!(rectify.start(), Step::Probe(peer(8).into()));
        assert_eq!(rectify.resume(Answer::Alive), Step::Done(taken(8)));
    }

    #[test]
    fn closer_notifier_is_taken_without_a_word_to_the_old_one() {
        let mut rectify = Rectify::new(&node_32(Some(21)), peer(26));
        assert_eq!(rectify.start(), Step::Probe(peer(26).into()));
        assert_eq!(rectify.resume(Answer::Alive), Step::Done(taken(26)));
    }

    #[test]
    fn notifier_that_does_not_answer_is_not_taken() {
        for answer in [Answer::Gone, Answer::Silent] {
            let mut rectify = Rectify::new(&node_32(Some(21)), peer(26));
            rectify.start();
            assert_eq!(rectify.resume(answer), Step::Done(kept(26)));
        }
    }

    #[test]
    fn farther_notifier_is_taken_when_the_old_predecessor_is_dead() {
        let mut rectify = Rectify::new(&node_32(Some(26)), peer(21));
        assert_eq!(rectify.start(), Step::Ask(peer(26).into(), Request::CheckPredecessor));
        assert_eq!(rectify.resume(Answer::Gone), Step::Probe(peer(21).into()));
        let verdict = Rectified { dead: Some(peer(26)), ..taken(21) };
        assert_eq!(rectify.resume(Answer::Alive), Step::Done(verdict));
    }

    #[test]
    fn farther_notifier_that_is_to_be_told_so_is_probed_when_the_old_predecessor_lives() {
        let pong = Answer::Reply(Response::Alive { plain: false, alone: false });
        let mut rectify = Rectify::new(&node_32(Some(26)), peer(21)).telling(true);
        assert_eq!(rectify.start(), Step::Ask(peer(26).into(), Request::CheckPredecessor));
        assert_eq!(rectify.resume(pong), Step::Probe(peer(21).into()));
        assert_eq!(rectify.resume(Answer::Alive), Step::Done(taken(21)));
    }

    #[test]
    fn living_predecessor_is_kept_against_a_farther_notifier() {
        for answer in [Answer::Reply(Response::Alive { plain: false, alone: false }), Answer::Silent] {
            let mut rectify = Rectify::new(&node_32(Some(26)), peer(21));
            rectify.start();
            assert_eq!(rectify.resume(answer), Step::Done(kept(21)));
        }
    }

    #[test]
    fn the_predecessor_itself_and_oneself_need_no_question() {
        assert_eq!(Rectify::new(&node_32(Some(26)), peer(26)).start(), Step::Done(kept(26)));
        assert_eq!(Rectify::new(&node_32(Some(26)), peer(32)).start(), Step::Done(kept(32)));
        assert_eq!(Rectify::new(&node_32(None), peer(32)).start(), Step::Done(kept(32)));
    }
}
