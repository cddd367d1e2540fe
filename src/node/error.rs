//! What can go wrong, and what a caller can do about it.

use std::io;

use actix::MailboxError;

use crate::net::channel::services::Refusal;
use crate::net::seed::Seed;
use crate::node::config::ConfigError;
use crate::protocol::addr::Addr;
use crate::protocol::lookup::LookupFailure;
use crate::protocol::peer::Peer;

/// Why a node did not start. Each says what to do: try again later, or give up until somebody changes something.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Give up: no node can run with this configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Give up: another program has the port, or the address is not one of this machine. A port that was in use until just now
    /// is free again at once.
    // Not as the source of the error: whoever prints those, too, would say it twice.
    #[error("can't listen on {addr}: {why}")]
    Listen { addr: Addr, why: io::Error },
    /// Retry later: the system has no more threads, files or memory just now.
    #[error("can't start a thread for the node: {0}")]
    Thread(io::Error),
    /// Retry later: none of the seeds answered, for as long as a joiner tries ([`Config::join_timeout`](crate::Config::join_timeout)).
    #[error("no answer from {}: is a node running there?", join(.0))]
    NoAnswer(Vec<Seed>),
    /// Retry later, if the name is right: it did not resolve in that time.
    #[error("{} has no address: does the name resolve?", join(.0))]
    NoAddress(Vec<Seed>),
    /// Retry later: the seeds are joining a ring themselves.
    #[error("{} answers, but has not joined a ring itself", join(.0))]
    NotJoined(Vec<Seed>),
    /// Give up, unless that node is to end: another member of the ring has this identifier.
    #[error("identifier {} is taken by the node at {}", .0.id, .0.addr)]
    IdTaken(Peer),
    /// Give up: its thread ended meanwhile.
    #[error("the node was stopped")]
    Stopped,
}

fn join(seeds: &[Seed]) -> String {
    seeds.iter().map(Seed::to_string).collect::<Vec<_>>().join(", ")
}

/// Why a lookup has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// Nobody could name an owner; each [`LookupFailure`] says when to try again.
    #[error(transparent)]
    Failed(#[from] LookupFailure),
    /// Give up: the node was stopped, or has left its ring.
    #[error("the node was stopped")]
    Stopped,
}

/// Why a service is not offered. Give up: somebody has to change the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServeError {
    /// It has no runtime to answer on.
    #[error("there is no tokio runtime to answer on: offer services within one")]
    NoRuntime,
    /// Its name is too long to be sent, or empty.
    #[error("a name of {0} bytes: from 1 to 255")]
    Name(usize),
}

/// Why a call of an application has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Later: nobody answers there. The call was not delivered.
    #[error("no answer from the node at {}", .0.addr)]
    Unreachable(Peer),
    /// Now, after another lookup: that node is no member any more, or another one lives there. The call was not delivered.
    #[error("the node at {} is not {} any more", .0.addr, .0.id)]
    Gone(Peer),
    /// Give up: a plain peer has no services.
    #[error("the node at {} is a plain peer, which has no services", .0.addr)]
    Plain(Peer),
    /// Give up: no program offers anything there. The call was not delivered.
    #[error("no service is offered at {}", .0.addr)]
    NothingServed(Peer),
    /// Later: it has as many channels as it may have. The call was not delivered.
    #[error("too many nodes call the one at {} at once", .0.addr)]
    Busy(Peer),
    /// Later: too many calls of this node are being answered there. The call was not delivered.
    #[error("too many calls at once")]
    Overloaded,
    /// Give up: no service has this name there.
    #[error("no service {0:?} is offered there")]
    NoService(String),
    /// Now, after another lookup, as [`Node::call_owner`](super::Node::call_owner) does: the key is somebody else's.
    #[error("the key is not of that node any more")]
    NotOwner,
    /// As the application says.
    #[error("the service failed: {0}")]
    Failed(String),
    /// Give up: the body is larger than 4 MiB.
    #[error("a body of {0} bytes: at most 4 MiB")]
    TooLarge(usize),
    /// Later; what was asked for may have been done.
    #[error("no answer in time")]
    Timeout,
    /// Now, if doing it twice does no harm: the connection broke, and what was asked for may have been done.
    #[error("the connection was lost")]
    Lost,
    /// [`Node::call_owner`](super::Node::call_owner) found no owner.
    #[error(transparent)]
    Lookup(#[from] LookupError),
}

impl CallError {
    /// Whether it is certain that no service has begun to answer, so that the call may be repeated.
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
            | CallError::Lookup(_) => true,
        }
    }
}

impl CallError {
    /// Whether another lookup may name somebody who answers.
    pub(super) fn may_move(&self) -> bool {
        use CallError::{Busy, Gone, NotOwner, NothingServed, Overloaded, Plain, Unreachable};
        matches!(self, Unreachable(_) | Gone(_) | Busy(_) | Overloaded | NotOwner | NothingServed(_) | Plain(_))
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

impl From<MailboxError> for LookupError {
    fn from(_: MailboxError) -> LookupError {
        LookupError::Stopped
    }
}
