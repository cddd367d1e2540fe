//! Telling the slow from the dead.

use std::time::Duration;

use super::peer::Peer;
use super::procedure::{Answer, Procedure, Step, Target};
use super::rpc::Request;

/// Runs a procedure so that it receives [`Answer::Gone`] only for dead targets and never has to judge silence itself.
///
/// A target that stays silent is suspected; if it gives no sign of life then, it is dead. A living target may take long
/// over a `find_successor`, which depends on other nodes: that is no evidence against it. A target whose silence is
/// excused is not waited for. To any other question the inner procedure receives [`Answer::Silent`]: alive, but no
/// answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Patient<P> {
    inner: P,
    asked: Option<Asked>,
    probing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Asked {
    target: Target,
    /// How many more times to go on waiting while the target lives.
    waits: u8,
}

/// How long to wait for an answer before the target is suspected, where a call that depends on no other node has
/// `rpc_timeout`. A forwarded question may take long, so the hop is pinged early instead: that costs little, finds dead
/// hops soon, and leaves time to ask the next best.
pub fn patience(request: &Request, rpc_timeout: Duration) -> Duration {
    match request {
        forwarded if forwarded.depends_on_others() => rpc_timeout / 4,
        _ => rpc_timeout,
    }
}

/// How long to wait next for a target that has shown that it lives: it is probed less and less often.
pub fn longer(wait: Duration, rpc_timeout: Duration) -> Duration {
    (wait * 2).min(rpc_timeout)
}

impl<P: Procedure> Patient<P> {
    /// `inner`, with patience.
    pub fn new(inner: P) -> Patient<P> {
        Patient { inner, asked: None, probing: false }
    }

    fn follow(&mut self, step: Step<P::Output>) -> Step<P::Output> {
        self.probing = false;
        self.asked = match &step {
            Step::Ask(target, request) if request.depends_on_others() => {
                Some(Asked { target: *target, waits: self.inner.waits() })
            }
            Step::Ask(target, _) => Some(Asked { target: *target, waits: 0 }),
            _ => None,
        };
        step
    }

    fn tell(&mut self, answer: Answer) -> Step<P::Output> {
        let step = self.inner.resume(answer);
        self.follow(step)
    }
}

impl<P: Procedure> Procedure for Patient<P> {
    type Output = P::Output;

    fn start(&mut self) -> Step<P::Output> {
        let step = self.inner.start();
        self.follow(step)
    }

    fn resume(&mut self, answer: Answer) -> Step<P::Output> {
        let Some(asked) = &mut self.asked else {
            return self.tell(answer);
        };
        // A probe that could not be made is no evidence against the target.
        let answer = if self.probing && answer == Answer::Unasked { Answer::Alive } else { answer };
        match answer {
            Answer::Silent if self.probing => self.tell(Answer::Gone),
            Answer::Silent => {
                self.probing = true;
                Step::Suspect(asked.target)
            }
            Answer::Alive if asked.waits > 0 => {
                asked.waits -= 1;
                self.probing = false;
                Step::Wait
            }
            Answer::Alive => self.tell(Answer::Silent),
            Answer::Excused
            | Answer::Reply(_)
            | Answer::Refused(_)
            | Answer::Gone
            | Answer::Unasked
            | Answer::Rested => self.tell(answer),
        }
    }

    fn take_dead(&mut self) -> Vec<Peer> {
        self.inner.take_dead()
    }

    fn waits(&self) -> u8 {
        self.inner.waits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::id::{Bits, Id};

    /// Asks one question and reports what it hears.
    struct One(Request);

    impl Procedure for One {
        type Output = Answer;

        fn start(&mut self) -> Step<Answer> {
            Step::Ask(peer().into(), self.0.clone())
        }

        fn resume(&mut self, answer: Answer) -> Step<Answer> {
            Step::Done(answer)
        }
    }

    fn peer() -> Peer {
        Peer { id: Id::from_number(7, Bits::FULL), addr: "127.0.0.7:7".parse().unwrap() }
    }

    fn lookup() -> Request {
        Request::FindSuccessor { key: peer().id, hops: 0, want_path: false }
    }

    #[test]
    fn one_silence_is_answered_with_a_probe() {
        let mut one = Patient::new(One(Request::GetPredecessor));
        one.start();
        assert_eq!(one.resume(Answer::Silent), Step::Suspect(peer().into()));
    }

    #[test]
    fn two_silences_are_death() {
        let mut one = Patient::new(One(Request::GetPredecessor));
        one.start();
        one.resume(Answer::Silent);
        assert_eq!(one.resume(Answer::Silent), Step::Done(Answer::Gone));
    }

    #[test]
    fn a_living_peer_that_does_not_answer_is_silent() {
        let mut one = Patient::new(One(Request::GetPredecessor));
        one.start();
        one.resume(Answer::Silent);
        assert_eq!(one.resume(Answer::Alive), Step::Done(Answer::Silent));
    }

    #[test]
    fn a_probe_that_can_not_be_made_is_no_evidence() {
        let mut one = Patient::new(One(Request::GetPredecessor));
        one.start();
        assert_eq!(one.resume(Answer::Unasked), Step::Done(Answer::Unasked), "nor is a question that was not put");
        let mut one = Patient::new(One(lookup()));
        one.start();
        assert_eq!(one.resume(Answer::Silent), Step::Suspect(peer().into()));
        assert_eq!(one.resume(Answer::Unasked), Step::Wait);
    }

    #[test]
    fn a_slow_lookup_is_no_evidence_against_a_living_hop() {
        let mut one = Patient::new(One(lookup()));
        one.start();
        for _ in 0..one.waits() {
            assert_eq!(one.resume(Answer::Silent), Step::Suspect(peer().into()));
            assert_eq!(one.resume(Answer::Alive), Step::Wait);
        }
        one.resume(Answer::Silent);
        assert_eq!(one.resume(Answer::Alive), Step::Done(Answer::Silent), "but not for ever");
    }

    #[test]
    fn nobody_waits_for_a_hop_that_may_be_waiting_for_this_node() {
        let mut one = Patient::new(One(lookup()));
        one.start();
        one.resume(Answer::Silent);
        assert_eq!(one.resume(Answer::Excused), Step::Done(Answer::Excused));
    }

    #[test]
    fn a_hop_that_dies_while_it_is_waited_for_is_gone() {
        let mut one = Patient::new(One(lookup()));
        one.start();
        one.resume(Answer::Silent);
        one.resume(Answer::Alive);
        assert_eq!(one.resume(Answer::Silent), Step::Suspect(peer().into()));
        assert_eq!(one.resume(Answer::Silent), Step::Done(Answer::Gone));
    }
}
