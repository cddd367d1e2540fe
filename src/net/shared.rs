//! What all connections of a node share.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use crate::actors::messages::{Severed, Slept};
use crate::net::channel::services::Services;
use crate::net::events::LinkEvent;
use crate::net::limits::drops::DropCounters;
use crate::net::limits::inbound::Limits;
use crate::net::routes::Routes;
use crate::net::serving::Serves;
use crate::net::traffic::Counters;
use crate::net::transport::Transport;
use crate::protocol::peer::Peer;
use crate::wire::Ids;
use actix::Recipient;

/// What all connections of a node share.
pub struct Shared {
    pub me: Peer,
    /// The length of the successor lists that are served.
    pub r: usize,
    /// Identifies this run of the program.
    pub incarnation: u64,
    /// How long to wait for an answer before the peer is suspected.
    pub rpc_timeout: Duration,
    /// How many connections there may be.
    pub limits: Limits,
    /// How many accepted connections are open now.
    pub accepted: Cell<usize>,
    /// What connections run over.
    pub transport: Transport,
    /// How identifiers on the wire are checked.
    pub ids: Ids,
    pub serves: Box<dyn Serves>,
    pub severed: Recipient<Severed>,
    pub slept: Recipient<Slept>,
    /// Where connections are kept.
    pub routes: Routes,
    pub events: Recipient<LinkEvent>,
    pub drops: DropCounters,
    /// What applications offer here.
    pub services: Arc<Services>,
    pub counters: Arc<Counters>,
}
