//! Calls of applications to each other: what they ask, why they have no answer, and when a call to the owner of a key is
//! repeated.

use std::time::Duration;

use bytes::Bytes;

use super::id::Id;
use super::lookup::LookupFailure;
use super::peer::Peer;

/// What one application asks another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCall {
    /// The calling node, by its own claim: it is not checked.
    pub from: Option<Peer>,
    /// For calls of [`Node::call_owner`](crate::Node::call_owner): the key that the caller believes this node owns. The
    /// owner may have changed since the caller's lookup: ask [`Node::ownership`](crate::Node::ownership).
    pub key: Option<Id>,
    /// At most 4 MiB.
    pub body: Bytes,
}

/// Why a service refuses a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The key belongs to another node: [`Node::call_owner`](crate::Node::call_owner) looks it up again.
    NotOwner,
    /// For a reason of the service's own, which the caller receives: at most 255 bytes of it.
    Failed(String),
}

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

/// The first rest of a call to the owner of a key before it is looked up again; each further one is twice as long, up to
/// [`MOST_REST`]. About ten lookups in all, in which a ring has noticed a death.
const FIRST_REST: Duration = Duration::from_millis(10);
const MOST_REST: Duration = Duration::from_secs(1);

/// How long a call to the owner of a key rests before the key is looked up again, after this many rests. To be jittered.
pub(crate) fn rest(rests: u32) -> Duration {
    (FIRST_REST * 2u32.saturating_pow(rests)).min(MOST_REST)
}
