//! A node of this thread, as its own connections and the other nodes of the thread see it.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use actix::Recipient;

use crate::actors::messages::{Severed, Slept};
use crate::net::events::LinkEvent;
use crate::net::limits::drops::{DropCounters, DropReason};
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
    /// Counts what was dropped. Returns whether it deserves a line in the log of its own.
    pub(crate) fn dropped(&self, reason: DropReason) -> bool {
        self.counters.meters.dropped[reason as usize].add(1);
        self.drops.count(reason)
    }

    /// Whether to answer this call. Programs that only ask, and name neither a ring nor themselves, are answered by all
    /// rings.
    pub(crate) fn admits(&self, question: &Question) -> bool {
        match (&question.ring, &self.ring) {
            _ if question.call_id.is_none() => self.plain_peers,
            (None, None) => true,
            (None, Some(_)) => question.caller.is_none(),
            (theirs, ours) => theirs == ours,
        }
    }

    /// Whether the first reply on a connection, of a node of our own kind or not, may come from a member of this node's
    /// ring.
    pub(crate) fn accepts(&self, reply: &Reply, ours: bool) -> bool {
        if ours { reply.ring == self.ring } else { self.plain_peers }
    }

    /// Why a node of that ring, of our own kind or not, is no member of this one; as much of its name as an acceptable
    /// one may have.
    #[cold]
    pub(crate) fn differs(&self, theirs: Option<&str>, ours: bool) -> String {
        if !ours {
            return "it is a plain peer, and these are not admitted".into();
        }
        let named = |ring: Option<&str>| match ring {
            Some(name) => format!("the ring {:?}", name.chars().take(MAX_RING).collect::<String>()),
            None => "a ring without a name".into(),
        };
        format!("it is of {}, and this node of {}", named(theirs), named(self.ring.as_deref()))
    }
}
