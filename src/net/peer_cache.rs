//! What a node knows of the nodes that it has talked to.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use foldhash::HashMap;
use tokio::time::Instant;

use crate::protocol::addr::Addr;

/// What is known of the node at each address. All clones are the same.
#[derive(Clone, Default)]
pub struct PeerCache(Rc<RefCell<Inner>>);

#[derive(Default)]
struct Inner {
    /// Nodes that know the extensions, with the incarnation that was reached last, as bytes: each node has such a table,
    /// and an aligned number would make its entries larger by a quarter.
    ours: HashMap<Addr, [u8; 8]>,
    /// Plain peers, and when they last proved to be plain.
    plain: HashMap<Addr, Instant>,
}

/// At most this many nodes of either kind are remembered; beyond, an arbitrary one is forgotten and learned anew.
const MAX_KNOWN: usize = 4096;

/// A plain peer is believed to be plain for this long: it may be upgraded.
const PLAIN_FOR: Duration = Duration::from_secs(60);

impl PeerCache {
    /// Whether the node was ever reached, as far as is remembered.
    pub fn contains(&self, addr: Addr) -> bool {
        let Inner { ours, plain } = &*self.0.borrow();
        ours.contains_key(&addr) || plain.contains_key(&addr)
    }

    /// The incarnation that was reached last, if the node is of our own kind.
    pub fn incarnation(&self, addr: Addr) -> Option<u64> {
        self.0.borrow().ours.get(&addr).copied().map(u64::from_ne_bytes)
    }

    /// Whether the node is a plain peer.
    pub fn is_plain(&self, addr: Addr) -> bool {
        self.0.borrow().plain.get(&addr).is_some_and(|since| since.elapsed() < PLAIN_FOR)
    }

    /// Whether the node is a plain peer or was one when it was last reached: the next answer renews an expired belief.
    pub fn was_plain(&self, addr: Addr) -> bool {
        self.0.borrow().plain.contains_key(&addr)
    }

    /// The node is of our own kind, with this incarnation.
    pub fn learn_ours(&self, addr: Addr, incarnation: u64) {
        let Inner { ours, plain } = &mut *self.0.borrow_mut();
        plain.remove(&addr);
        remember(ours, addr, incarnation.to_ne_bytes());
    }

    /// The node is a plain peer.
    pub fn learn_plain(&self, addr: Addr) {
        let Inner { ours, plain } = &mut *self.0.borrow_mut();
        ours.remove(&addr);
        remember(plain, addr, Instant::now());
    }
}

fn remember<T>(nodes: &mut HashMap<Addr, T>, addr: Addr, what: T) {
    if nodes.len() >= MAX_KNOWN
        && !nodes.contains_key(&addr)
        && let Some(forgotten) = nodes.keys().next().copied()
    {
        nodes.remove(&forgotten);
    }
    nodes.insert(addr, what);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After the belief has expired and before the next answer, the silence of the peer still counts as a plain peer's.
    #[actix_rt::test]
    async fn peer_that_was_plain_is_remembered_until_it_answers_as_another() {
        tokio::time::pause();
        let (known, addr) = (PeerCache::default(), Addr::new([127, 0, 0, 2], 7));
        known.learn_plain(addr);
        assert!(known.is_plain(addr) && known.was_plain(addr));
        tokio::time::advance(PLAIN_FOR).await;
        assert!(!known.is_plain(addr) && known.was_plain(addr));
        known.learn_ours(addr, 7);
        assert!(!known.was_plain(addr));
    }
}
