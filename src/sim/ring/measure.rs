//! The cost of lookups in a ring, and how its keys are spread over nodes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::protocol::id::{Bits, Id};
use crate::protocol::peer::Peer;
use crate::sim::tables::Tables;

/// How many items there are of each size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spread(BTreeMap<u64, u64>);

impl Spread {
    /// Adds `count` items of one size.
    pub fn add(&mut self, size: u64, count: u64) {
        *self.0.entry(size).or_default() += count;
    }

    fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// The mean size; 0 without items.
    pub fn mean(&self) -> f64 {
        let sum: f64 = self.0.iter().map(|(size, count)| *size as f64 * *count as f64).sum();
        sum / self.count().max(1) as f64
    }

    /// The smallest size that `percent` % of the items do not exceed (nearest rank); 0 without items.
    pub fn percentile(&self, percent: u64) -> u64 {
        let rank = (self.count() * percent).div_ceil(100).max(1);
        let mut passed = 0;
        let reached = self.0.iter().find(|(_, count)| {
            passed += *count;
            passed >= rank
        });
        reached.map_or(0, |(size, _)| *size)
    }

    /// The largest size; 0 without items.
    pub fn most(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(size, _)| *size)
    }
}

/// The outcome of many lookups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// How many were made, `wrong` ones included.
    pub lookups: u64,
    /// Nodes asked until the predecessor of the key named the owner.
    pub path: Spread,
    /// How many of the keys looked up each host has, all of its nodes together.
    pub keys: Spread,
    /// Lookups that did not name the first node at or after the key.
    pub wrong: u64,
}

/// How many lookups share one stream of random numbers.
const CHUNK: u64 = 4096;

/// Looks random keys up from random nodes, on all processors; the seed alone decides which ones. Now and then calls
/// `told` with the number of lookups done since the last call.
pub fn measure(tables: &Tables, lookups: u64, seed: u64, told: impl Fn(u64) + Sync) -> Measured {
    let keys: Vec<AtomicU64> = tables.ring().iter().map(|_| AtomicU64::new(0)).collect();
    let chunk = |chunk: u64| {
        let (mut rng, mut sum) = (ChaCha8Rng::seed_from_u64(seed), Measured::default());
        // The first streams decide which nodes are in the ring and what happens in it.
        rng.set_stream(chunk + 2);
        sum.lookups = CHUNK.min(lookups - chunk * CHUNK);
        for _ in 0..sum.lookups {
            let (from, key) = (rng.random_range(0..tables.ring().len()), random_key(&mut rng, tables.bits()));
            let (walk, owner) = (tables.lookup(from, key), tables.owner(key));
            sum.path.add(walk.path.len() as u64, 1);
            sum.wrong += u64::from(walk.owner != owner);
            if let Some(at) = tables.position(owner) {
                keys[at].fetch_add(1, Ordering::Relaxed);
            }
        }
        told(sum.lookups);
        sum
    };
    let chunks = (0..lookups.div_ceil(CHUNK)).into_par_iter().map(chunk);
    let mut measured = chunks.reduce(Measured::default, Measured::with);
    let ip_and_keys = |(peer, keys): (&Peer, AtomicU64)| (peer.addr.ip(), keys.into_inner());
    let mut of_nodes: Vec<_> = tables.ring().iter().zip(keys).map(ip_and_keys).collect();
    of_nodes.par_sort_unstable();
    for of_host in of_nodes.chunk_by(|one, other| one.0 == other.0) {
        measured.keys.add(of_host.iter().map(|(_, keys)| keys).sum(), 1);
    }
    measured
}

impl Measured {
    fn with(mut self, other: Measured) -> Measured {
        self.lookups += other.lookups;
        self.wrong += other.wrong;
        other.path.0.into_iter().for_each(|(size, count)| self.path.add(size, count));
        self
    }
}

/// A random key of this many bits.
fn random_key(rng: &mut ChaCha8Rng, bits: Bits) -> Id {
    Id::from_bytes(rng.random()).truncated(bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::ring::members;

    #[test]
    fn percentiles_are_the_nearest_ranks() {
        let mut spread = Spread::default();
        (1..=200).for_each(|size| spread.add(size, 1));
        assert_eq!((spread.percentile(1), spread.percentile(50), spread.percentile(99)), (2, 100, 198));
        assert_eq!((spread.mean(), spread.most()), (100.5, 200));
        assert_eq!((Spread::default().percentile(99), Spread::default().mean()), (0, 0.0));
    }

    #[test]
    fn keys_of_all_nodes_of_a_host_are_counted_together() {
        let bits = Bits::new(32).unwrap();
        let measured = |virtual_nodes| {
            let tables = Tables::by_definition(members::draw(100, virtual_nodes, bits, 1), bits, 4);
            measure(&tables, 20_000, 1, |_| {})
        };
        let (one, twenty) = (measured(1), measured(20));
        for each in [&one, &twenty] {
            assert_eq!((each.lookups, each.path.count(), each.keys.count(), each.wrong), (20_000, 20_000, 100, 0));
            assert_eq!(each.keys.mean(), 200.0);
        }
        assert!(twenty.keys.most() < one.keys.most(), "virtual nodes even the load out (paper, V.B)");
        assert!(twenty.keys.percentile(1) > one.keys.percentile(1));
    }
}
