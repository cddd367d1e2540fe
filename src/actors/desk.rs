//! Who answers the questions that a node's links read.

use actix::Recipient;

use crate::actors::lookups::Lookups;
use crate::actors::messages::{Serve, Severed};
use crate::net::serving::{Answered, Serves};

/// A node: lookups begin, and most often end, where their questions are read; whoever owns the neighbours
/// answers the others.
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
