//! Answers the questions that a node's links read.

use actix::Recipient;

use crate::actors::lookups::Lookups;
use crate::actors::messages::{Serve, Severed};
use crate::net::serves::{Answered, Serves};

/// The desk of one node. Lookups begin, and mostly end, where their questions are read; the owner of the neighbours
/// answers the other questions.
pub struct Desk {
    pub lookups: Lookups,
    pub neighbors: Recipient<Serve>,
}

impl Serves for Desk {
    fn serve(&self, serve: Serve) -> Answered {
        self.lookups.serve(&serve).unwrap_or_else(|| self.neighbors.serve(serve))
    }

    fn doubt(&self, severed: &Severed) {
        self.lookups.sever(severed);
    }

    fn slept(&self) {
        self.lookups.slept();
    }
}
