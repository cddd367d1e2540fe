//! Two ideal rings merge: how long that takes, and what it costs.
//!
//! A node joins one of the rings and remembers a member of the other. At the *first contact* first successors lead from
//! one ring into the other and make one ring of both. From then on this counts the mean number of messages per node
//! until all lists and predecessors are right, and the time until all fingers are right, too.

pub mod plot;

use std::fmt;
use std::ops::ControlFlow;
use std::time::Duration;

use serde_json::{Value, json};

use super::nodes::hashed;
use super::oracle::Survey;
use super::tables::Tables;
use super::world::World;
use crate::protocol::id::Bits;
use crate::protocol::peer::Peer;

/// The length of the successor lists.
const R: usize = 4;

/// The mean time of a call and its answer: messages take 1 to 20 ms.
const ROUND_TRIP: Duration = Duration::from_millis(21);

/// A node that remembers another ring asks for it within this time.
const CONTACT: Duration = Duration::from_secs(50);

/// The longest wait from then on.
const LIMIT: Duration = Duration::from_secs(120);

/// Two rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// How many nodes they have, at least 2 each.
    pub nodes: (u32, u32),
    /// Whether each ring has a part of the circle to itself; else the nodes of both are mixed.
    pub apart: bool,
    /// Decides the delay of each message and every other random number.
    pub seed: u64,
}

/// The course of one merge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Merged {
    /// The rings before the merge.
    pub pair: Pair,
    /// From the first contact until all successor lists and predecessors were right.
    pub lists: Duration,
    /// The same for all fingers.
    pub ideal: Duration,
    /// How many messages each node sent until lists were right, on average.
    pub messages: f64,
}

/// Merges all pairs, unless `go_on` says to stop.
pub fn run(pairs: &[Pair], mut go_on: impl FnMut() -> ControlFlow<()>) -> Result<Report, String> {
    let mut merged = Vec::new();
    for pair in pairs {
        merged.push(merge(*pair)?);
        if go_on().is_break() {
            break;
        }
    }
    Ok(Report { merged })
}

/// Merges two rings. An error says what was not right in time.
pub fn merge(pair: Pair) -> Result<Merged, String> {
    let Pair { nodes: (one, other), apart, seed } = pair;
    let mut world = World::new(seed, Bits::FULL, R);
    let mut peers: Vec<Peer> = (0..one + other).map(hashed).collect();
    if apart {
        peers.sort();
    }
    let (ring, other_ring) = peers.split_at(one as usize);
    for ring in [ring, other_ring] {
        world.settle(&Tables::by_definition(ring.to_vec(), Bits::FULL, R), &[]);
    }
    world.start(hashed(one + other), &[ring[0], other_ring[0]]);
    world.run_until(CONTACT, |world| match Survey::of(world).rings().len() {
        1 => Ok(()),
        rings => Err(format!("there are {rings} rings")),
    })?;
    let before = world.env.tally.messages;
    let lists = world.run_until(LIMIT, World::ideal_neighbors)?;
    let messages = (world.env.tally.messages - before) as f64 / f64::from(one + other + 1);
    let ideal = lists + world.run_until(LIMIT, World::ideal)?;
    Ok(Merged { pair, lists, ideal, messages })
}

/// The course of several merges.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// In the order in which they were run; fewer than asked for if the run was stopped.
    pub merged: Vec<Merged>,
}

impl Merged {
    /// The nodes of both rings.
    pub fn nodes(&self) -> u32 {
        self.pair.nodes.0 + self.pair.nodes.1
    }

    /// The logarithm (base 2) of that number.
    pub fn log(&self) -> f64 {
        f64::from(self.nodes()).log2()
    }

    /// How many calls and answers, one after the other, fit into the time until lists were right.
    pub fn rounds(&self) -> f64 {
        self.lists.as_secs_f64() / ROUND_TRIP.as_secs_f64()
    }
}

impl Report {
    /// The same as data.
    pub fn to_json(&self) -> Value {
        let one = |merged: &Merged| {
            json!({
                "nodes": [merged.pair.nodes.0, merged.pair.nodes.1],
                "apart": merged.pair.apart,
                "seed": merged.pair.seed,
                "lists_s": merged.lists.as_secs_f64(),
                "ideal_s": merged.ideal.as_secs_f64(),
                "round_trips": merged.rounds(),
                "messages_per_node": merged.messages,
            })
        };
        self.merged.iter().map(one).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "    nodes            lists   round trips   / log N   messages/node   / log² N     ideal")?;
        for merged in &self.merged {
            let Pair { nodes: (one, other), apart, .. } = merged.pair;
            let (log, rounds, messages) = (merged.log(), merged.rounds(), merged.messages);
            writeln!(
                f,
                "{one:>5} + {other:<5} {:<6} {:>4.2} s {rounds:>12.0} {:>9.1} {messages:>15.0} {:>10.2} {:>7.2} s",
                if apart { "apart" } else { "mixed" },
                merged.lists.as_secs_f64(),
                rounds / log,
                messages / (log * log),
                merged.ideal.as_secs_f64(),
            )?;
        }
        Ok(())
    }
}
