//! Why a call of an application has no answer, and what a caller can do about it.

use super::services::Refusal;
use crate::protocol::lookup::LookupFailure;
use crate::protocol::peer::Peer;

/// Why a call of an application has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Retry later: no node answers at that address. The call was not delivered.
    #[error("no answer from the node at {}", .0.addr)]
    Unreachable(Peer),
    /// Retry now, after another lookup: that node is no longer a member, or another one lives there. The call was not
    /// delivered.
    #[error("the node at {} is not {} any more", .0.addr, .0.id)]
    Gone(Peer),
    /// Give up: a plain peer has no services.
    #[error("the node at {} is a plain peer, which has no services", .0.addr)]
    Plain(Peer),
    /// Retry later, if a program may be starting there: it offers no service yet. The call was not delivered.
    #[error("no service is offered at {}", .0.addr)]
    NothingServed(Peer),
    /// Retry later: the node has as many channels as it may have. The call was not delivered.
    #[error("too many nodes call the one at {} at once", .0.addr)]
    Busy(Peer),
    /// Retry later: too many calls of this node are being answered there. The call was not delivered.
    #[error("too many calls at once")]
    Overloaded,
    /// Give up: no service has this name there.
    #[error("no service {0:?} is offered there")]
    NoService(String),
    /// Retry now, after another lookup, as [`Node::call_owner`](crate::Node::call_owner) does: the key belongs to
    /// another node.
    #[error("the key is not of that node any more")]
    NotOwner,
    /// As the service's own message says.
    #[error("the service failed: {0}")]
    Failed(String),
    /// Give up: the body is larger than 4 MiB.
    #[error("a body of {0} bytes: at most 4 MiB")]
    TooLarge(usize),
    /// Retry later; the service may have carried the call out.
    #[error("no answer in time")]
    Timeout,
    /// Retry now, if the call may be carried out twice: the connection broke, and the service may have carried it out.
    #[error("the connection was lost")]
    Lost,
    /// [`Node::call_owner`](crate::Node::call_owner) found no owner: [`LookupFailure`] says when to try again.
    #[error(transparent)]
    Lookup(LookupFailure),
    /// Give up: this node was stopped, or has left its ring.
    #[error("the node was stopped")]
    Stopped,
}

impl CallError {
    /// Whether it is certain that no service has begun to answer, so that the call may be repeated safely.
    pub fn is_undelivered(&self) -> bool {
        match self {
            CallError::Timeout | CallError::Lost | CallError::Failed(_) => false,
            CallError::Unreachable(_)
            | CallError::Gone(_)
            | CallError::Plain(_)
            | CallError::NothingServed(_)
            | CallError::Busy(_)
            | CallError::Overloaded
            | CallError::NoService(_)
            | CallError::NotOwner
            | CallError::TooLarge(_)
            | CallError::Lookup(_)
            | CallError::Stopped => true,
        }
    }
}

impl CallError {
    /// Whether another lookup may find a node that answers.
    pub(crate) fn may_move(&self) -> bool {
        use CallError::{Busy, Gone, NotOwner, NothingServed, Overloaded, Unreachable};
        matches!(self, Unreachable(_) | Gone(_) | Busy(_) | Overloaded | NotOwner | NothingServed(_))
    }
}

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> CallError {
        match refusal {
            Refusal::NotOwner => CallError::NotOwner,
            Refusal::Failed(why) => CallError::Failed(why),
        }
    }
}
