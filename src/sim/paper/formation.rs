//! H: how long N nodes that start at once, all through one creator, take to form one ideal ring.
//!
//! Message by message on the virtual clock, with the defaults of a node and messages that take 1 to
//! 20 ms.

use std::time::Duration;

use super::chapter::{Panel, Reading, rows};
use super::{Chapter, Experiment, Extent, Job, Study, at};
use crate::protocol::id::Bits;
use crate::sim::plot::Count;
use crate::sim::{World, hashed};

const SERIES: &str = "all through one creator";
const NEIGHBORS: &str = "seconds until lists and predecessors are right";
const FINGERS: &str = "seconds until fingers are right, too";
const MESSAGES: &str = "messages per node";

/// The length of successor lists: the default.
const R: usize = 4;

/// How often to check whether the ring is ideal.
const GLANCE: Duration = Duration::from_millis(50);

/// The longest wait: far beyond what any ring has taken.
const LIMIT: Duration = Duration::from_secs(3600);

pub(super) fn study(extent: Extent) -> Study {
    let largest = extent.pick(12, 7);
    let sizes = (4..=largest).map(|power: u32| 1 << power);
    let seeds = extent.pick(5, 3);
    let jobs =
        sizes.flat_map(|nodes| (0..seeds).map(move |seed| Job::new(8 * u64::from(nodes), move || form(seed, nodes))));
    Study { jobs: jobs.collect(), conclude }
}

fn form(seed: u64, nodes: u32) -> Vec<Reading> {
    let mut world = World::new(seed, Bits::FULL, R);
    // Each seed has its own nodes.
    let peers: Vec<_> = (0..nodes).map(|n| hashed((seed as u32) << 16 | n)).collect();
    world.start(peers[0], &[]);
    world.run(Duration::from_secs(1));
    let (begin, sent) = (world.now(), world.env.tally.messages);
    peers[1..].iter().for_each(|peer| world.start(*peer, &peers[..1]));
    let mut readings = Vec::new();
    let mut until = |world: &mut World, measure, condition: fn(&World) -> Result<(), String>| {
        let mut ideal = condition(world).is_ok();
        while !ideal && world.now() - begin < LIMIT {
            world.run(GLANCE);
            ideal = condition(world).is_ok();
        }
        // A ring that never gets there shows as an obvious gap in the plot.
        let took = if ideal { (world.now() - begin).as_secs_f64() } else { f64::INFINITY };
        at(&mut readings, SERIES, nodes.into()).read(measure, took);
    };
    until(&mut world, NEIGHBORS, World::ideal_neighbors);
    until(&mut world, FINGERS, World::ideal);
    let messages = (world.env.tally.messages - sent) as f64 / f64::from(nodes);
    at(&mut readings, SERIES, nodes.into()).read(MESSAGES, messages);
    readings
}

/// The plots.
pub(super) const PANELS: &[Panel] = &[
    Panel {
        title: "Until the ring is ideal",
        x: ("nodes", Count::Logarithmic),
        y: ("seconds", Count::Linear),
        measures: &[NEIGHBORS, FINGERS],
        series: &[],
        names: &[(NEIGHBORS, "lists and predecessors are right"), (FINGERS, "fingers are right, too")],
    },
    Panel {
        title: "What it costs",
        x: ("nodes", Count::Logarithmic),
        y: ("messages per node", Count::Linear),
        measures: &[MESSAGES],
        series: &[],
        names: &[],
    },
];

fn conclude(readings: Vec<Reading>) -> Chapter {
    Chapter {
        experiment: Experiment::Formation,
        about: "N = 2^4 to 2^12 nodes, all but the creator started at the same moment, all with the creator as their \
                only seed; r = 4, every period 1 s, messages take 1 to 20 ms; five rings each, looked at every 50 ms. \
                Not in the paper, whose protocol needs a round of stabilization for each node that joins between the \
                same two.",
        x: "nodes",
        table: &[NEIGHBORS, FINGERS, MESSAGES],
        rows: rows(readings, |_, _, _| None),
        notes: Vec::new(),
        reasons: Vec::new(),
    }
}
