//! What a node knows of its ring, where its lookups read it.
//!
//! The two actors that own the tables publish them here whenever they change. This is the only place where state is
//! shared instead of asked for: otherwise a lookup would wait for two mailboxes at each hop, which takes longer than
//! everything else that a hop does. But a lookup must not overtake the messages on their way to the owners: code that
//! sends them a message that a node may have died also records it here.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::actors::messages::Severed;
use crate::protocol::addr::Addr;
use crate::protocol::fingers::FingerTable;
use crate::protocol::lookup::{Lookup, LookupFailure, Query};
use crate::protocol::maintenance::Maintenance;
use crate::protocol::neighbors::Neighbors;
use crate::protocol::peer::Peer;

/// The tables of a node, as last published by their owners. All clones are the same.
#[derive(Clone)]
pub struct Snapshot(Rc<RefCell<Tables>>);

struct Tables {
    neighbors: Result<Neighbors, LookupFailure>,
    fingers: FingerTable,
    /// Addresses of nodes that may have died, once for each message about it that the owner of the neighbours has yet
    /// to read.
    doubted: Vec<Addr>,
    /// The same for connections that broke: one to a front may have led to many nodes.
    severed: Vec<Severed>,
    /// How many messages that the node has slept are on their way.
    slept: u32,
}

impl Snapshot {
    /// A node that has not joined a ring yet, with this finger table.
    pub fn new(fingers: FingerTable) -> Snapshot {
        Snapshot(Rc::new(RefCell::new(Tables {
            neighbors: Err(LookupFailure::NotJoined),
            fingers,
            doubted: Vec::new(),
            severed: Vec::new(),
            slept: 0,
        })))
    }

    /// Publishes the neighbours.
    pub fn publish_neighbors(&self, maintenance: &Maintenance) {
        let now = maintenance.vantage();
        let mut tables = self.0.borrow_mut();
        if tables.neighbors.as_ref() != now.as_ref().map(|neighbors| *neighbors) {
            tables.neighbors = now.cloned();
        }
    }

    /// The node has stopped: no lookup begins here any more.
    pub fn withdraw(&self) {
        self.0.borrow_mut().neighbors = Err(LookupFailure::NotJoined);
    }

    /// Publishes the fingers.
    pub fn publish_fingers(&self, fingers: &FingerTable) {
        let mut tables = self.0.borrow_mut();
        if tables.fingers != *fingers {
            tables.fingers = fingers.clone();
        }
    }

    /// The nodes that are fingers, nearest first.
    pub fn fingers(&self) -> Vec<Peer> {
        self.0.borrow().fingers.distinct().collect()
    }

    /// All members of the ring that the node knows, fingers and successors.
    pub fn known(&self) -> Vec<Peer> {
        let tables = self.0.borrow();
        let successors = tables.neighbors.iter().flat_map(|neighbors| neighbors.successors());
        tables.fingers.distinct().chain(successors.copied()).collect()
    }

    /// The node at this address may have died. A message tells the owner of the neighbours; until it has read that
    /// message, the node is not named without a ping.
    pub fn doubt(&self, addr: Addr) {
        self.0.borrow_mut().doubted.push(addr);
    }

    /// The owner of the neighbours has read a message that this node may have died.
    pub fn heard(&self, addr: Addr) {
        let doubted = &mut self.0.borrow_mut().doubted;
        if let Some(at) = doubted.iter().position(|other| *other == addr) {
            doubted.swap_remove(at);
        }
    }

    /// A connection broke; a message tells the owner of the neighbours.
    pub fn sever(&self, severed: &Severed) {
        self.0.borrow_mut().severed.push(severed.clone());
    }

    /// The owner of the neighbours has read the message that this connection broke.
    pub fn severed(&self, severed: &Severed) {
        let waiting = &mut self.0.borrow_mut().severed;
        if let Some(at) = waiting.iter().position(|other| Arc::ptr_eq(&other.0, &severed.0)) {
            waiting.swap_remove(at);
        }
    }

    /// The node has slept; a message tells the owner of the neighbours.
    pub fn sleep(&self) {
        self.0.borrow_mut().slept += 1;
    }

    /// The owner of the neighbours has read a message that the node has slept.
    pub fn slept(&self) {
        let mut tables = self.0.borrow_mut();
        tables.slept = tables.slept.saturating_sub(1);
    }

    /// The neighbours from which a lookup may begin.
    pub fn vantage(&self) -> Result<Neighbors, LookupFailure> {
        self.0.borrow().neighbors.clone()
    }

    /// A lookup that begins here and now.
    pub fn lookup(&self, query: Query) -> Result<Lookup, LookupFailure> {
        let tables = self.0.borrow();
        let mut neighbors = tables.neighbors.clone()?;
        let is_doubted = |head: Peer| {
            tables.doubted.contains(&head.addr) || tables.severed.iter().any(|Severed(all)| all.contains(&head.addr))
        };
        if neighbors.successor().is_some_and(is_doubted) {
            neighbors.doubt_successor();
        }
        if tables.slept > 0 {
            neighbors.doubt_all();
        }
        Ok(Lookup::new(query, neighbors, tables.fingers.preceding(query.key)))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::protocol::id::{Bits, Id};
    use crate::protocol::procedure::{Procedure, Step};
    use crate::protocol::rpc::Request;

    fn peer(n: u8) -> Peer {
        Peer { id: Id::from_number(n.into(), Bits::FULL), addr: Addr::new(Ipv4Addr::LOCALHOST, n.into()) }
    }

    /// A node was named as an owner after its death: the question was read before the message that its connection had
    /// broken.
    #[test]
    fn successor_is_pinged_while_a_doubt_about_it_is_on_its_way() {
        let snapshot = Snapshot::new(FingerTable::alone(peer(8), Bits::FULL));
        let mut neighbors = Neighbors::alone(peer(8), 4);
        neighbors.adopt(vec![peer(14), peer(21)]);
        snapshot.0.borrow_mut().neighbors = Ok(neighbors);
        let query = Query::begun(peer(13).id, false);
        let is_named = || match snapshot.lookup(query).unwrap().start() {
            Step::Done(_) => true,
            Step::Ask(_, Request::CheckPredecessor) => false,
            other => panic!("{other:?}"),
        };
        let (head, other) = (peer(14).addr, peer(21).addr);
        assert!(is_named());
        snapshot.doubt(other);
        assert!(is_named(), "the doubt is about another");
        snapshot.doubt(head);
        snapshot.doubt(head);
        assert!(!is_named());
        snapshot.heard(head);
        assert!(!is_named(), "the second message is still on its way");
        snapshot.heard(head);
        assert!(is_named());
    }
}
