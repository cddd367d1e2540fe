//! Two ideal rings become one: how long that takes, and what it costs.
//!
//! A node joins one of the rings and remembers a member of the other. From the *first contact*, after which first successors
//! lead from one ring into the other and make one ring of both, it is counted what each node sends on average until all
//! lists and predecessors are right, and looked when all fingers are, too.

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

/// What a question and its answer take on average: messages take 1 to 20 ms.
const ROUND_TRIP: Duration = Duration::from_millis(21);

/// Whoever remembers another ring asks after it within this time.
const CONTACT: Duration = Duration::from_secs(50);

/// From then on nobody waits for longer.
const LIMIT: Duration = Duration::from_secs(120);

/// Two rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// How many nodes they have, at least 2 each.
    pub nodes: (u32, u32),
    /// Whether each has a part of the circle to itself; else their nodes lie anywhere.
    pub apart: bool,
    pub seed: u64,
}

/// How they became one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Merged {
    pub pair: Pair,
    /// From the first contact until all successor lists and predecessors were right.
    pub lists: Duration,
    /// The same of all fingers.
    pub ideal: Duration,
    /// What each node sent until its lists were right, on average.
    pub messages: f64,
}

/// All pairs, as far as somebody wants to go on.
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

/// Has two rings become one. An error says what was not right in time.
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

/// How pairs of rings became one.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub merged: Vec<Merged>,
}

impl Merged {
    /// The nodes of both rings.
    pub fn nodes(&self) -> u32 {
        self.pair.nodes.0 + self.pair.nodes.1
    }

    /// The logarithm of their number.
    pub fn log(&self) -> f64 {
        f64::from(self.nodes()).log2()
    }

    /// For how many questions and answers, one after the other, there was time until lists were right.
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
