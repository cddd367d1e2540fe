//! What can go wrong, and what a caller can do about it.

use std::io;

use actix::MailboxError;

use crate::net::channel::error::CallError;
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

impl From<LookupError> for CallError {
    fn from(error: LookupError) -> CallError {
        match error {
            LookupError::Failed(why) => CallError::Lookup(why),
            LookupError::Stopped => CallError::Stopped,
        }
    }
}

impl From<MailboxError> for LookupError {
    fn from(_: MailboxError) -> LookupError {
        LookupError::Stopped
    }
}
