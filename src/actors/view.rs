//! What a node knows of its ring, where its lookups can read it.
//!
//! The two actors that own the tables publish them here whenever they change, and nobody else writes. It is
//! the one place where state is shared instead of asked for: a lookup would wait for two mailboxes at each
//! hop, which is more than everything else that a hop does.

use std::cell::RefCell;
use std::rc::Rc;

use crate::protocol::fingers::FingerTable;
use crate::protocol::lookup::{Lookup, Lost, Question};
use crate::protocol::maintenance::Maintenance;
use crate::protocol::neighbors::Neighbors;

/// The tables of a node, as their owners have published them last. Clones are the same.
#[derive(Clone)]
pub struct View(Rc<RefCell<Tables>>);

struct Tables {
    neighbors: Result<Neighbors, Lost>,
    fingers: FingerTable,
}

impl View {
    /// A node that has not joined a ring yet, with this finger table.
    pub fn new(fingers: FingerTable) -> View {
        View(Rc::new(RefCell::new(Tables { neighbors: Err(Lost::NotJoined), fingers })))
    }

    /// The neighbours are these now.
    pub fn publish_neighbors(&self, maintenance: &Maintenance) {
        let now = maintenance.vantage();
        let mut tables = self.0.borrow_mut();
        if tables.neighbors.as_ref() != now.as_ref().map(|neighbors| *neighbors) {
            tables.neighbors = now.cloned();
        }
    }

    /// The node has stopped: nothing is to begin here any more.
    pub fn withdraw(&self) {
        self.0.borrow_mut().neighbors = Err(Lost::NotJoined);
    }

    /// The fingers are these now.
    pub fn publish_fingers(&self, fingers: &FingerTable) {
        let mut tables = self.0.borrow_mut();
        if tables.fingers != *fingers {
            tables.fingers = fingers.clone();
        }
    }

    /// The neighbours from which a lookup may begin.
    pub fn vantage(&self) -> Result<Neighbors, Lost> {
        self.0.borrow().neighbors.clone()
    }

    /// A lookup that begins here and now.
    pub fn lookup(&self, question: Question) -> Result<Lookup, Lost> {
        let tables = self.0.borrow();
        let neighbors = tables.neighbors.clone()?;
        Ok(Lookup::new(question, neighbors, tables.fingers.preceding(question.key)))
    }
}
