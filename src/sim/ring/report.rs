//! A ring in numbers.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::measure::{Measured, Spread};
use super::members::{Collision, label};
use crate::protocol::id::Bits;
use crate::sim::tally::Tally;

/// At most this many collisions are listed.
const LISTED: usize = 20;

/// The figures of a ring.
#[derive(Clone, Debug)]
pub struct Report {
    /// How many are in the ring, without those that were refused.
    pub nodes: usize,
    /// The size of the circle.
    pub bits: Bits,
    /// The length of a full successor list.
    pub r: usize,
    /// Decides which nodes and which keys were drawn.
    pub seed: u64,
    /// The nodes that were refused, each with the member that has its identifier.
    pub collisions: Vec<Collision>,
    /// What lookups of random keys cost, and how keys are spread.
    pub measured: Measured,
    /// How the protocol made it; `None` if its tables were filled by definition.
    pub growth: Option<Growth>,
}

/// What it took to make a ring as defined.
#[derive(Clone, Debug)]
pub struct Growth {
    /// The counts until all tables were right.
    pub tally: Tally,
    /// The virtual time until the last node had joined, and until all tables were right.
    pub joined: Duration,
    /// On the virtual clock, like `joined`, and not before it.
    pub ideal: Duration,
}

impl Report {
    /// The same as data. Identifiers are strings, as they are printed.
    pub fn to_json(&self) -> Value {
        let id = |peer: crate::Peer| label(peer.id, self.bits);
        let collision = |collision: &Collision| {
            let Collision { refused, holder } = collision;
            json!({ "id": id(*holder), "holder": holder.addr.to_string(), "refused": refused.addr.to_string() })
        };
        let spread = |spread: &Spread| {
            let (low, high) = (spread.percentile(1), spread.percentile(99));
            json!({ "mean": spread.mean(), "percentile_1": low, "percentile_99": high, "most": spread.most() })
        };
        json!({
            "nodes": self.nodes,
            "bits": self.bits.count(),
            "r": self.r,
            "seed": self.seed,
            "static": self.growth.is_none(),
            "fingers": self.fingers(),
            "collisions": self.collisions.iter().map(collision).collect::<Vec<_>>(),
            "lookups": self.measured.lookups,
            "lookups_wrong": self.measured.wrong,
            "path_length": spread(&self.measured.path),
            "keys_per_host": spread(&self.measured.keys),
            "growth": self.growth.as_ref().map(|growth| json!({
                "messages": growth.tally.messages,
                "bytes": growth.tally.bytes,
                "events": growth.tally.events,
                "virtual_seconds_joined": growth.joined.as_secs_f64(),
                "virtual_seconds_ideal": growth.ideal.as_secs_f64(),
            })),
        })
    }

    fn fingers(&self) -> u64 {
        self.nodes as u64 * u64::from(self.bits.count())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { nodes, bits, r, seed, collisions, measured, .. } = self;
        let spread = |spread: &Spread| {
            let (low, high) = (spread.percentile(1), spread.percentile(99));
            format!("mean {:.2}, 1st percentile {low}, 99th {high}, most {}", spread.mean(), spread.most())
        };
        writeln!(f, "nodes          {nodes} (m = {}, r = {r}, seed {seed})", bits.count())?;
        writeln!(f, "collisions     {}", collisions.len())?;
        for Collision { refused, holder } in &collisions[..collisions.len().min(LISTED)] {
            writeln!(f, "  {} left out: {} has identifier {}", refused.addr, holder.addr, label(holder.id, *bits))?;
        }
        if collisions.len() > LISTED {
            writeln!(f, "  and {} more (--json names all)", collisions.len() - LISTED)?;
        }
        let origin =
            if self.growth.is_some() { "made by the protocol, all as defined" } else { "filled by definition" };
        writeln!(f, "tables         {nodes} successor lists and predecessors, {} fingers: {origin}", self.fingers())?;
        if let Some(Growth { tally, joined, ideal }) = &self.growth {
            writeln!(f, "messages       {}, {} bytes in frames", tally.messages, tally.bytes)?;
            let seconds = |time: &Duration| format!("{:.1} s", time.as_secs_f64());
            writeln!(f, "virtual time   {} until all had joined, {} until ideal", seconds(joined), seconds(ideal))?;
        }
        let wrong = if measured.wrong > 0 { format!("{} WRONG", measured.wrong) } else { "all right".into() };
        writeln!(f, "lookups        {}, {wrong}", measured.lookups)?;
        writeln!(f, "path length    {}", spread(&measured.path))?;
        write!(f, "keys per host  {}", spread(&measured.keys))
    }
}
