//! What all connections of a node share.

use std::rc::Rc;
use std::sync::Arc;

use crate::net::channel::services::Services;
use crate::net::limits::inbound::Limits;
use crate::net::resident::Resident;
use crate::net::routes::Routes;
use crate::net::transport::Transport;
use crate::wire::Ids;

/// What all connections of a node share.
pub struct Shared {
    /// The node itself.
    pub resident: Rc<Resident>,
    /// How many connections there may be.
    pub limits: Limits,
    /// What connections run over.
    pub transport: Transport,
    /// How identifiers on the wire are checked.
    pub ids: Ids,
    /// Where connections are kept.
    pub routes: Routes,
    /// What applications offer here.
    pub services: Arc<Services>,
}
