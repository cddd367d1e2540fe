//! What can go wrong, and what a caller can do about it.

use std::io;

use actix::MailboxError;

use crate::net::seed::Seed;
use crate::node::config::ConfigError;
use crate::protocol::addr::Addr;
use crate::protocol::lookup::LookupFailure;
use crate::protocol::peer::Peer;
use crate::protocol::service::CallError;

/// Why a node did not start. Each variant says what to do: retry later, or give up until something is changed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Give up: no node can run with this configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Give up: another program has the port, or the address is not one of this machine. A port is free again as soon
    /// as the program that had it has ended.
    // Not as the source of the error: a program that prints sources, too, would print it twice.
    #[error("can't listen on {addr}: {why}")]
    Listen {
        /// The address to listen on: that of the configuration; port 0 stands for any free port.
        addr: Addr,
        /// The error of the operating system.
        why: io::Error,
    },
    /// Retry later: the system has no more threads, files or memory just now.
    #[error("can't start a thread for the node: {0}")]
    Thread(io::Error),
    /// Retry later: none of the seeds answered while the joiner tried
    /// ([`Config::join_timeout`](crate::Config::join_timeout)).
    #[error("no answer from {}: is a node running there?", join(.0))]
    NoAnswer(Vec<Seed>),
    /// Retry later, if the name is right: it did not resolve within that time.
    #[error("{} has no address: does the name resolve?", join(.0))]
    NoAddress(Vec<Seed>),
    /// Retry later: the seeds are joining a ring themselves.
    #[error("{} answers, but has not joined a ring itself", join(.0))]
    NotJoined(Vec<Seed>),
    /// Give up, unless that node is about to stop: another member of the ring has this identifier.
    #[error("identifier {} is taken by the node at {}", .0.id, .0.addr)]
    IdTaken(Peer),
    /// Give up: the node's thread has ended.
    #[error("the node was stopped")]
    Stopped,
}

fn join(seeds: &[Seed]) -> String {
    seeds.iter().map(Seed::to_string).collect::<Vec<_>>().join(", ")
}

/// Why a lookup has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// No node could name the owner; each [`LookupFailure`] says when to try again.
    #[error(transparent)]
    Failed(#[from] LookupFailure),
    /// Give up: the node was stopped, or has left its ring.
    #[error("the node was stopped")]
    Stopped,
}

/// Why a node does not look for another ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// Give up: the node was stopped.
    #[error("the node was stopped")]
    Stopped,
    /// Give up: that is the node itself.
    #[error("that is this node itself")]
    Itself,
    /// Give up: it has been told of 64 others already, and goes on asking all of them.
    #[error("this node asks 64 others already")]
    TooMany,
}

/// Why a service is not offered. Give up: the program has to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServeError {
    /// There is no runtime to answer on.
    #[error("there is no tokio runtime to answer on: offer services within one")]
    NoRuntime,
    /// The name is too long to be sent, or empty.
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
