//! The tables of a whole ring, by definition: the state that every ring of the protocol should reach, and a ring for
//! lookups without messages, as large as memory allows.
//!
//! The types are those of nodes, and a lookup decides at each node as a node does. But there are no messages: all nodes
//! live, and a lookup continues directly at the tables of the next node.

use rayon::prelude::*;

use crate::protocol::fingers::FingerTable;
use crate::protocol::id::{Bits, Id};
use crate::protocol::lookup::closest_preceding_node;
use crate::protocol::neighbors::{Neighbors, Owner, cut};
use crate::protocol::peer::Peer;

/// The tables of a ring.
#[derive(Debug)]
pub struct Tables {
    bits: Bits,
    r: usize,
    ring: Ring,
    /// Of each node, in the order of the ring.
    neighbors: Vec<Neighbors>,
    fingers: Vec<FingerTable>,
}

/// The course of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// The nodes asked, in order, without the node that began. The last of them named the owner; if the path is empty,
    /// the node that began knew the owner.
    pub path: Vec<Peer>,
    /// The node that the last one named.
    pub owner: Peer,
}

impl Tables {
    /// The tables of these nodes, by definition. No two of them may have the same identifier.
    pub fn by_definition(peers: Vec<Peer>, bits: Bits, r: usize) -> Tables {
        Tables::fill(peers, bits, r, || ())
    }

    /// The same, and calls `told` after the tables of each node are filled.
    pub fn fill(peers: Vec<Peer>, bits: Bits, r: usize, told: impl Fn() + Sync) -> Tables {
        let ring = Ring::new(peers);
        let neighbors = (0..ring.peers.len()).into_par_iter().map(|at| neighbors(&ring.peers, at, r)).collect();
        // Nearly all of the work.
        let fill = |me: &Peer| {
            let fingers = fingers(&ring, *me, bits);
            told();
            fingers
        };
        let fingers = ring.peers.par_iter().map(fill).collect();
        Tables { bits, r, ring, neighbors, fingers }
    }

    /// The identifiers of this ring.
    pub fn bits(&self) -> Bits {
        self.bits
    }

    /// The length of a full successor list.
    pub fn r(&self) -> usize {
        self.r
    }

    /// The nodes in the order of the circle.
    pub fn ring(&self) -> &[Peer] {
        &self.ring.peers
    }

    /// The place of a node in [`ring`](Self::ring).
    pub fn position(&self, peer: Peer) -> Option<usize> {
        let at = self.ring.first_at_or_after(peer.id);
        (self.ring.peers.get(at) == Some(&peer)).then_some(at)
    }

    /// The neighbours of the node at this place in the ring.
    pub fn neighbors(&self, at: usize) -> &Neighbors {
        &self.neighbors[at]
    }

    /// The finger table of the node at this place in the ring.
    pub fn fingers(&self, at: usize) -> &FingerTable {
        &self.fingers[at]
    }

    /// The first node at or after a key. The ring is not empty.
    pub fn owner(&self, key: Id) -> Peer {
        self.ring.owner(key)
    }

    /// Looks a key up from the node at this place in the ring.
    pub fn lookup(&self, from: usize, key: Id) -> Walk {
        let (mut at, mut path) = (from, Vec::new());
        loop {
            let neighbors = &self.neighbors[at];
            match neighbors.owner(key) {
                Owner::Me => return Walk { path, owner: neighbors.me() },
                Owner::Successor(owner) => return Walk { path, owner },
                Owner::Beyond => {
                    let successors = neighbors.successors().iter().copied();
                    let next = closest_preceding_node(neighbors.me().id, key, self.fingers[at].distinct(), successors);
                    let Some((next, position)) = next.and_then(|next| Some((next, self.position(next)?))) else {
                        unreachable!("{key} is beyond the successor of {:?}, but no node precedes it", neighbors.me());
                    };
                    path.push(next);
                    at = position;
                }
            }
        }
    }
}

/// The nodes, with an index.
#[derive(Debug)]
struct Ring {
    /// In the order of the circle; no two have the same identifier.
    peers: Vec<Peer>,
    /// The circle is cut into about as many arcs as there are nodes. For each arc, and for the end, this is the number
    /// of nodes before it. A binary search among a million nodes would wait for memory twenty times; with this index it
    /// waits twice.
    before: Vec<u32>,
    /// The arc of an identifier is its first 32 bits without this many of the last.
    dropped: u32,
}

impl Ring {
    fn new(mut peers: Vec<Peer>) -> Ring {
        peers.par_sort_unstable();
        debug_assert!(peers.windows(2).all(|pair| pair[0].id != pair[1].id), "two nodes with one identifier");
        let dropped = 31 - peers.len().max(1).ilog2().min(30);
        let arcs = 1u32 << (32 - dropped);
        let mut before = Vec::with_capacity(arcs as usize + 1);
        let mut passed = 0;
        for arc in 0..arcs {
            passed += peers[passed..].iter().take_while(|peer| first_bits(peer.id) >> dropped < arc).count();
            before.push(passed as u32);
        }
        before.push(peers.len() as u32);
        Ring { peers, before, dropped }
    }

    /// The place of the first node at or after a key; the number of nodes if none follows before zero.
    fn first_at_or_after(&self, key: Id) -> usize {
        let arc = (first_bits(key) >> self.dropped) as usize;
        let (begin, end) = (self.before[arc] as usize, self.before[arc + 1] as usize);
        begin + self.peers[begin..end].partition_point(|peer| peer.id < key)
    }

    fn owner(&self, key: Id) -> Peer {
        self.peers[self.first_at_or_after(key) % self.peers.len()]
    }
}

fn first_bits(id: Id) -> u32 {
    let [a, b, c, d, ..] = *id.as_bytes();
    u32::from_be_bytes([a, b, c, d])
}

fn neighbors(ring: &[Peer], at: usize, r: usize) -> Neighbors {
    let (n, me) = (ring.len(), ring[at]);
    let mut neighbors = Neighbors::alone(me, r);
    if n > 1 {
        neighbors.adopt(cut(me, r, (1..n).map(|k| ring[(at + k) % n])));
        neighbors.set_predecessor(ring[(at + n - 1) % n]);
    }
    neighbors
}

fn fingers(ring: &Ring, me: Peer, bits: Bits) -> FingerTable {
    let (mut table, mut next) = (FingerTable::alone(me, bits), 1);
    while !table.is_past(next) {
        next = table.set(next, ring.owner(table.start(next))).0 + 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{hashed, numbered};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const SIX: Bits = Bits::new(6).unwrap();

    fn peers(numbers: &[u32]) -> Vec<Peer> {
        numbers.iter().map(|n| numbered(*n, SIX)).collect()
    }

    fn ring_of_ten() -> Tables {
        Tables::by_definition(peers(&[56, 1, 8, 14, 21, 32, 38, 42, 48, 51]), SIX, 3)
    }

    fn mean_path(n: u32, r: usize, lookups: u32) -> f64 {
        let tables = Tables::by_definition((0..n).map(hashed).collect(), Bits::FULL, r);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut asked = 0;
        for _ in 0..lookups {
            let (from, key) = (rng.random_range(0..n as usize), Id::from_bytes(rng.random()));
            let walk = tables.lookup(from, key);
            assert_eq!(walk.owner, tables.owner(key));
            asked += walk.path.len();
        }
        asked as f64 / f64::from(lookups)
    }

    #[test]
    fn lookup_of_54_from_node_8_asks_42_and_51() {
        let tables = ring_of_ten();
        let walk = tables.lookup(1, numbered(54, SIX).id);
        assert_eq!((walk.path, walk.owner), (peers(&[42, 51]), numbered(56, SIX)));
    }

    #[test]
    fn every_node_finds_every_key() {
        let tables = ring_of_ten();
        for (from, key) in (0..10).flat_map(|from| (0..64).map(move |key| (from, numbered(key, SIX).id))) {
            assert_eq!(tables.lookup(from, key).owner, tables.owner(key));
        }
    }

    #[test]
    fn fingers_that_start_at_a_node_are_that_node() {
        let tables = Tables::by_definition(peers(&[0, 1, 2, 4, 8, 16, 32]), SIX, 3);
        assert_eq!(tables.fingers(0).nodes().collect::<Vec<_>>(), peers(&[1, 2, 4, 8, 16, 32]));
    }

    #[test]
    fn it_is_told_of_each_node_when_its_tables_are_filled() {
        let filled = std::sync::atomic::AtomicU32::new(0);
        Tables::fill((0..300).map(hashed).collect(), Bits::FULL, 4, || {
            filled.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(filled.into_inner(), 300);
    }

    #[test]
    fn a_ring_of_one_owns_all_keys() {
        let tables = Tables::by_definition(peers(&[8]), SIX, 3);
        for key in 0..64 {
            let walk = tables.lookup(0, numbered(key, SIX).id);
            assert_eq!(walk, Walk { path: vec![], owner: numbered(8, SIX) });
        }
    }

    #[test]
    fn a_lookup_asks_half_of_log_n_and_longer_lists_save_half_of_log_r() {
        let short = mean_path(4096, 1, 20_000);
        assert!((short - 6.0).abs() < 0.25, "{short}");
        let long = mean_path(4096, 16, 20_000);
        assert!((long - (6.0 - 2.0 + 1.0)).abs() < 0.25, "{long}");
    }
}
