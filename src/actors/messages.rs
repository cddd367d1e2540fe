//! The messages between actors, and to links.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::Message;

use crate::net::gate::Pass;
use crate::net::seed::Seed;
use crate::node::events::Watched;
use crate::protocol::addr::Addr;
use crate::protocol::admission::Class;
use crate::protocol::lookup::iterative::Style;
use crate::protocol::lookup::{Found, LookupFailure, Query};
use crate::protocol::neighbors::Neighbors;
use crate::protocol::peer::Peer;
use crate::protocol::procedure::{Answer, Target};
use crate::protocol::rpc::{Code, Request, Response};

/// Put a question to another node.
///
/// The caller bounds how long it waits. The answer is [`Answer::Silent`] when it is certain that no reply will come.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer")]
pub struct Call {
    pub target: Target,
    pub request: Request,
    pub way: Way,
    /// For a forwarded question: how long its caller still waits.
    pub patience: Option<Duration>,
}

/// Which connection a [`Call`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The kept connection, or a new one.
    Kept,
    /// The same, for a call that was lost with a closing connection: it is not repeated once more.
    Again,
    /// A new connection made for this call, which proves that the target can be reached now.
    Fresh,
}

/// Answer the question of a peer.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Response, CallRefusal>")]
pub struct Serve {
    pub request: Request,
    /// Whether the caller is a plain peer.
    pub plain: bool,
    /// How long the peer waits, if it said so.
    pub patience: Option<Duration>,
}

/// Why a question was not answered: a code for programs, a text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRefusal {
    pub code: Code,
    pub why: String,
}

impl From<Code> for CallRefusal {
    fn from(code: Code) -> CallRefusal {
        CallRefusal { code, why: code.to_string() }
    }
}

impl From<LookupFailure> for CallRefusal {
    fn from(lost: LookupFailure) -> CallRefusal {
        CallRefusal { code: lost.into(), why: lost.to_string() }
    }
}

/// Find the owner of a key.
#[derive(Debug, Message)]
#[rtype(result = "Result<Found, LookupFailure>")]
pub struct Resolve {
    pub query: Query,
    /// The expected owner.
    pub guess: Option<Peer>,
    pub style: Style,
    /// When it was asked for, for the meters: the message may wait for a busy thread. Not of the clock of tokio, which the
    /// tests of an embedding program may have stopped.
    pub asked: Instant,
    pub patience: Duration,
    /// Its class for admission: lookups of fingers are maintenance.
    pub class: Class,
    /// If it had to pass the [gate](crate::net::gate): given back once it is admitted or refused.
    pub pass: Option<Pass>,
}

/// These nodes are dead. Both tables hear of it.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Forget(pub Vec<Peer>);

/// The neighbours changed, so fingers may have changed, too; with `everywhere`, the whole ring is about to change.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Disturbed {
    pub everywhere: bool,
}

/// A kept connection broke: the nodes at these addresses may have died.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Severed(pub Arc<BTreeSet<Addr>>);

/// The thread of the node has slept long enough for others to have given the node up.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Slept;

/// The neighbours as they are, for people to look at.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Neighbors")]
pub struct ShowNeighbors;

/// Subscribe to changes.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Watched")]
pub struct Watch;

/// All fingers as they are, for people to look at.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Vec<Peer>")]
pub struct ShowFingers;

/// Become one ring with that of this node, which is a seed from now on. False if there are too many seeds.
#[derive(Clone, Debug, Message)]
#[rtype(result = "bool")]
pub struct Join(pub Seed);

/// Leave the ring: tell the neighbours, and wait a moment for them to hear it.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Leave;

/// Stop. An actor with children answers once these have stopped, too.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Stop;
