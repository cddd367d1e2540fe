//! A node of this thread, as its own connections and the other nodes of the thread see it.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use actix::Recipient;

use crate::actors::messages::{Severed, Slept};
use crate::net::events::LinkEvent;
use crate::net::limits::drops::DropCounters;
use crate::net::serves::Serves;
use crate::net::traffic::Counters;
use crate::protocol::peer::Peer;
use crate::wire::{MAX_RING, Question, Reply};

/// A node of this thread.
pub struct Resident {
    pub me: Peer,
    /// The length of the successor lists that are served.
    pub r: usize,
    /// Identifies this run of the program.
    pub incarnation: u64,
    /// The name of its ring, if that has one: it refuses the nodes of all others.
    pub ring: Option<Arc<str>>,
    /// Whether it speaks with plain peers, whose ring has no name.
    pub plain_peers: bool,
    /// How long to wait for an answer before the peer is suspected.
    pub rpc_timeout: Duration,
    /// How many accepted connections are open now.
    pub accepted: Cell<usize>,
    pub serves: Box<dyn Serves>,
    pub severed: Recipient<Severed>,
    pub slept: Recipient<Slept>,
    pub events: Recipient<LinkEvent>,
    pub drops: DropCounters,
    pub counters: Arc<Counters>,
}

impl Resident {
    /// Whether to answer this call, or why not. Programs that only ask, and name neither a ring nor themselves, are
    /// answered by all rings.
    pub(crate) fn admits(&self, question: &Question) -> Result<(), String> {
        match (&question.ring, &self.ring) {
            _ if question.call_id.is_none() => self.speaks_plainly(),
            (None, Some(_)) if question.caller.is_none() => Ok(()),
            (theirs, ours) if theirs == ours => Ok(()),
            (theirs, _) => Err(self.differs(theirs.as_deref())),
        }
    }

    /// Whether the first reply on a connection, of a node of our own kind or not, may come from a member of this node's
    /// ring; or why not.
    pub(crate) fn accepts(&self, reply: &Reply, ours: bool) -> Result<(), String> {
        match ours {
            false => self.speaks_plainly(),
            true if reply.ring == self.ring => Ok(()),
            true => Err(self.differs(reply.ring.as_deref())),
        }
    }

    fn speaks_plainly(&self) -> Result<(), String> {
        if self.plain_peers { Ok(()) } else { Err("it is a plain peer, and these are not admitted".into()) }
    }

    /// How two rings differ, as much of a foreign name as an acceptable one may have.
    fn differs(&self, theirs: Option<&str>) -> String {
        let named = |ring: Option<&str>| match ring {
            Some(name) => format!("the ring {:?}", name.chars().take(MAX_RING).collect::<String>()),
            None => "a ring without a name".into(),
        };
        format!("it is of {}, and this node of {}", named(theirs), named(self.ring.as_deref()))
    }
}
