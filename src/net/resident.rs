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

/// A node of this thread.
pub struct Resident {
    pub me: Peer,
    /// The length of the successor lists that are served.
    pub r: usize,
    /// Identifies this run of the program.
    pub incarnation: u64,
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
