//! What a node knows of the nodes that it has talked to.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

/// What the node at each address is. Clones are the same.
#[derive(Clone, Default)]
pub struct Known(Rc<RefCell<HashMap<SocketAddrV4, Nature>>>);

#[derive(Clone, Copy, Debug)]
enum Nature {
    /// It knows the extensions; this is the run of its program that was reached last.
    Ours { incarnation: u64 },
    /// It was a plain peer at this time.
    Plain { since: Instant },
}

/// Nodes that something is known of; beyond, somebody is forgotten, and learned anew.
const MAX_KNOWN: usize = 4096;

/// A plain peer is believed to be one for this long: it may be upgraded.
const PLAIN_FOR: Duration = Duration::from_secs(60);

impl Known {
    /// Whether it was ever reached, as far as is remembered.
    pub fn contains(&self, addr: SocketAddrV4) -> bool {
        self.0.borrow().contains_key(&addr)
    }

    /// The run of its program that was reached last, if it is of our own kind.
    pub fn incarnation(&self, addr: SocketAddrV4) -> Option<u64> {
        match self.0.borrow().get(&addr) {
            Some(Nature::Ours { incarnation }) => Some(*incarnation),
            Some(Nature::Plain { .. }) | None => None,
        }
    }

    /// Whether it is a plain peer.
    pub fn is_plain(&self, addr: SocketAddrV4) -> bool {
        matches!(self.0.borrow().get(&addr), Some(Nature::Plain { since }) if since.elapsed() < PLAIN_FOR)
    }

    /// It is of our own kind, in this run of its program.
    pub fn learn_ours(&self, addr: SocketAddrV4, incarnation: u64) {
        self.learn(addr, Nature::Ours { incarnation });
    }

    /// It is a plain peer.
    pub fn learn_plain(&self, addr: SocketAddrV4) {
        self.learn(addr, Nature::Plain { since: Instant::now() });
    }

    fn learn(&self, addr: SocketAddrV4, nature: Nature) {
        let mut known = self.0.borrow_mut();
        if known.len() >= MAX_KNOWN
            && !known.contains_key(&addr)
            && let Some(forgotten) = known.keys().next().copied()
        {
            known.remove(&forgotten);
        }
        known.insert(addr, nature);
    }
}
