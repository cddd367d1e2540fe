//! What can go wrong, and what a caller can do about it.

use std::io;

use actix::MailboxError;

use crate::net::seed::Seed;
use crate::node::config::ConfigError;
use crate::protocol::addr::Addr;
use crate::protocol::lookup::LookupFailure;
use crate::protocol::peer::Peer;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    // Not as the source of the error: whoever prints those, too, would say it twice.
    #[error("can't listen on {addr}: {why}")]
    Listen { addr: Addr, why: io::Error },
    #[error("can't start a thread for the node: {0}")]
    Thread(io::Error),
    #[error("no answer from {}: is a node running there?", join(.0))]
    NoAnswer(Vec<Seed>),
    #[error("{} has no address: does the name resolve?", join(.0))]
    NoAddress(Vec<Seed>),
    #[error("{} answers, but has not joined a ring itself", join(.0))]
    NotJoined(Vec<Seed>),
    #[error("identifier {} is taken by the node at {}", .0.id, .0.addr)]
    IdTaken(Peer),
    #[error("the node was stopped")]
    Stopped,
}

fn join(seeds: &[Seed]) -> String {
    seeds.iter().map(Seed::to_string).collect::<Vec<_>>().join(", ")
}

/// Why a lookup has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    #[error(transparent)]
    Failed(#[from] LookupFailure),
    #[error("the node was stopped")]
    Stopped,
}

impl From<MailboxError> for LookupError {
    fn from(_: MailboxError) -> LookupError {
        LookupError::Stopped
    }
}
