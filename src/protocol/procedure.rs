//! Conversations as values.
//!
//! A [`Procedure`] is plain data: it names the next question and digests each answer, and does nothing else. Its runner
//! supplies network and time: actors over TCP, a simulator on a virtual clock, a model checker that tries every order
//! of events.
//!
//! Ask, then apply: a procedure copies what it needs when it is made; its output is applied to
//! the state as it is then, and assumes nothing about what happened meanwhile.

use super::addr::Addr;
use super::id::Id;
use super::peer::Peer;
use super::rpc::{Code, Request, Response};

/// A conversation with other nodes.
pub trait Procedure {
    /// What the conversation finds out.
    type Output;

    /// The first step.
    fn start(&mut self) -> Step<Self::Output>;

    /// The step after `answer`.
    fn resume(&mut self, answer: Answer) -> Step<Self::Output>;

    /// Takes the nodes that turned out dead since the last call. The runner reports them after each step: at the end of
    /// a long conversation such news may be about an earlier run of a node that is back.
    fn take_dead(&mut self) -> Vec<Peer> {
        Vec::new()
    }

    /// How many more times to wait for the answer to a forwarded question, after the first, while the node that was
    /// asked lives. The runner of a lookup has a time limit of its own, usually shorter; this number ends a joiner's
    /// question to its seed.
    fn waits(&self) -> u8 {
        16
    }
}

/// What a procedure wants next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step<T> {
    /// Put a question. One that is still open is given up.
    Ask(Target, Request),
    /// Find out whether the target can be reached now, at the address that it advertises: `CheckPredecessor` on a
    /// connection made for it. A question that is open stays open. Comes back: a reply, [`Answer::Silent`] or
    /// [`Answer::Gone`], to the probe or to the open question, whichever is first.
    Probe(Target),
    /// The target stays silent: find out whether it lives, from its recent answers to others, else by a probe that is
    /// shared with all nodes that suspect it ([`failure_detector`](super::failure_detector)). Comes back: the same as
    /// for [`Probe`](Step::Probe).
    Suspect(Target),
    /// A node was busy: wait a moment before the next question, if more retries may be made
    /// ([`retry_budget`](super::retry_budget)). Comes back: [`Answer::Rested`], or [`Answer::Unasked`] if not.
    Rest {
        /// How often this conversation has rested before.
        rests: u32,
    },
    /// Go on waiting for the open question.
    Wait,
    /// The conversation is over.
    Done(T),
}

impl<T> Step<T> {
    /// The same step of a conversation whose output is wrapped.
    pub fn map<U>(self, wrap: impl FnOnce(T) -> U) -> Step<U> {
        match self {
            Step::Ask(target, request) => Step::Ask(target, request),
            Step::Probe(target) => Step::Probe(target),
            Step::Suspect(target) => Step::Suspect(target),
            Step::Rest { rests } => Step::Rest { rests },
            Step::Wait => Step::Wait,
            Step::Done(output) => Step::Done(wrap(output)),
        }
    }
}

/// Whom to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// This very node: if another one answers at its address, it is gone.
    Peer(Peer),
    /// Any node at this address: a joiner does not know the identifier of its seed.
    Address(Addr),
}

impl Target {
    /// Where to call.
    pub fn addr(self) -> Addr {
        match self {
            Target::Peer(peer) => peer.addr,
            Target::Address(addr) => addr,
        }
    }
}

impl From<Peer> for Target {
    fn from(peer: Peer) -> Target {
        Target::Peer(peer)
    }
}

/// The outcome of a question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The target answered the open question.
    Reply(Response),
    /// The target refused to answer.
    Refused(Code),
    /// The target answered a probe; the open question is still open.
    Alive,
    /// Nothing came in time; the open question is still open.
    Silent,
    /// Nothing came, not to a probe either, but the target is a plain peer that may be unable to answer while it asks
    /// ([`excuses`](super::excuses)): it is not taken for dead yet, and is not to be waited for.
    Excused,
    /// The target is not there: the connection was refused, or another node answered.
    Gone,
    /// This node could not put the question: it is overloaded. That says nothing about the target.
    Unasked,
    /// The rest is over.
    Rested,
}

impl Answer {
    /// Whether the answer shows that the target is no member of the ring any more.
    pub fn is_dead(&self) -> bool {
        matches!(self, Answer::Gone | Answer::Refused(Code::NotJoined))
    }

    /// What the answer to a probe says about its target: any answer of a member is a sign of life.
    pub fn to_probe(self) -> Answer {
        match self {
            Answer::Reply(_) => Answer::Alive,
            Answer::Refused(code) if code != Code::NotJoined => Answer::Alive,
            other => other,
        }
    }

    /// What the answer to `request` means if the program of `responder` was restarted since it was last reached.
    ///
    /// A node that has come back and belongs to a ring again is a member like any other: the pointer to it may have
    /// been learned since, and to drop it would be to take a living node for dead. But a ring of one is not the member
    /// that it was, and names itself for every key; and a node that is just growing into the ring that it has left
    /// names the few nodes that it knows. A node that passes questions on to it talks to it often: it distrusts the
    /// first answer, and accepts the second if there is no alternative left. An iterative lookup reaches nodes that
    /// were not called for long, and has no other way to their keys.
    pub fn after_restart(self, request: &Request, responder: Id) -> Answer {
        let iterative = matches!(request, Request::ClosestPrecedingNode { .. });
        match self {
            Answer::Reply(
                Response::Predecessor { successors: Some(list), .. } | Response::SuccessorList { successors: list, .. },
            ) if list.is_empty() => Answer::Gone,
            Answer::Reply(Response::Successor { owner, .. }) if !iterative || owner.id == responder => {
                Answer::Refused(Code::Retry)
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::rpc::{Dialect, Memory};
    use crate::protocol::testing::{peer, peers};

    fn list(successors: &[u8]) -> Answer {
        let successors = peers(successors);
        Answer::Reply(Response::SuccessorList { successors, predecessor: None, dialect: Dialect::Ours })
    }

    fn neighbors(successors: &[u8]) -> Answer {
        Answer::Reply(Response::Predecessor {
            predecessor: None,
            successors: Some(peers(successors)),
            memory: Memory::default(),
        })
    }

    #[test]
    fn node_that_is_back_in_a_ring_is_a_member_like_any_other() {
        for answer in [list(&[8]), neighbors(&[8]), Answer::Reply(Response::Alive { plain: false, alone: false })] {
            assert_eq!(answer.clone().after_restart(&Request::GetPredecessor, peer(1).id), answer);
        }
    }

    #[test]
    fn node_that_is_back_as_a_ring_of_one_or_has_yet_to_join_is_dead() {
        for answer in [list(&[]), neighbors(&[]), Answer::Refused(Code::NotJoined)] {
            assert!(answer.after_restart(&Request::GetPredecessor, peer(1).id).is_dead());
        }
    }

    #[test]
    fn owner_is_not_taken_at_once_from_a_node_that_questions_are_passed_on_to() {
        let named = Answer::Reply(Response::Successor { owner: peer(8), path: vec![] });
        let request = Request::FindSuccessor { key: peer(5).id, hops: 1, want_path: false };
        assert_eq!(named.after_restart(&request, peer(1).id), Answer::Refused(Code::Retry));
    }

    #[test]
    fn iterative_lookup_takes_an_owner_from_a_node_that_does_not_name_itself() {
        let named = Answer::Reply(Response::Successor { owner: peer(8), path: vec![] });
        let request = Request::ClosestPrecedingNode { key: peer(5).id, doubted: vec![], want_path: false };
        assert_eq!(named.clone().after_restart(&request, peer(1).id), named);
        assert_eq!(named.after_restart(&request, peer(8).id), Answer::Refused(Code::Retry));
    }
}
