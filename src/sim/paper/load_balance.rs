//! V.B: how evenly keys are spread over nodes, and how much more evenly with virtual nodes.
//!
//! Nodes and keys are hashed as on a network; the owner of a key follows from the definition, so no lookup is needed.

use rand::Rng;

use super::chapter::{Panel, Printed, Reading, Reason, rows};
use super::stats::Sorted;
use super::{Chapter, Experiment, Extent, Job, Study, at, chance};
use crate::protocol::id::{Bits, Id};
use crate::sim::plot::Count;

/// Keys per node, by the number of keys.
const BY_KEYS: &str = "one identifier a node";
/// The same with the largest number of keys and several identifiers per node.
const BY_VIRTUAL_NODES: &str = "virtual nodes";
/// How many nodes have how many keys, at half the largest number of keys (figure 8b).
const DENSITY: &str = "nodes with so many keys";

const LOW: &str = "1st percentile";
const HIGH: &str = "99th percentile";
const MOST: &str = "most keys on a node";
const LOW_SHARE: &str = "1st percentile / mean";
const HIGH_SHARE: &str = "99th percentile / mean";
const MOST_SHARE: &str = "most / mean";
const PART: &str = "part of the nodes";

/// How many keys make one bar of the density.
const BAR: f64 = 10.0;

pub(super) fn study(extent: Extent) -> Study {
    let (nodes, step) = extent.pick((10_000, 100_000), (1_000, 10_000));
    let seeds = extent.pick(20, 4);
    let mut jobs = Vec::new();
    for seed in 0..seeds {
        jobs.push(Job::new(extent.pick(700, 10), move || by_keys(seed, nodes, step)));
        for virtual_nodes in [1, 2, 5, 10, 20] {
            jobs.push(Job::new(extent.pick(800, 10), move || by_virtual_nodes(seed, nodes, 10 * step, virtual_nodes)));
        }
    }
    Study { jobs, conclude }
}

/// Points with their owners, in the order of the circle.
struct Circle(Vec<(Id, u32)>);

impl Circle {
    /// `nodes` nodes with `identifiers` identifiers each.
    fn new(rng: &mut impl Rng, nodes: u32, identifiers: u32) -> Circle {
        let points = (0..nodes).flat_map(|node| (0..identifiers).map(move |_| node));
        let mut points: Vec<(Id, u32)> = points.map(|node| (hashed(rng), node)).collect();
        points.sort_unstable();
        Circle(points)
    }

    fn owner(&self, key: Id) -> usize {
        self.0[self.0.partition_point(|(id, _)| *id < key) % self.0.len()].1 as usize
    }
}

/// The hash of a unique name.
fn hashed(rng: &mut impl Rng) -> Id {
    Id::of_key(&rng.next_u64().to_be_bytes(), Bits::FULL)
}

fn by_keys(seed: u64, nodes: u32, step: u32) -> Vec<Reading> {
    let mut rng = chance(seed);
    let circle = Circle::new(&mut rng, nodes, 1);
    let mut keys = vec![0.0; nodes as usize];
    let mut readings = Vec::new();
    for tenth in 1..=10 {
        (0..step).for_each(|_| keys[circle.owner(hashed(&mut rng))] += 1.0);
        let load = Sorted::new(keys.clone());
        let mut point = at(&mut readings, BY_KEYS, f64::from(tenth * step));
        point.read("mean", load.mean()).read(LOW, load.percentile(1.0)).read(HIGH, load.percentile(99.0));
        point.read(MOST, load.max()).read(MOST_SHARE, load.max() / load.mean());
        point.read(LOW_SHARE, load.percentile(1.0) / load.mean()).read(HIGH_SHARE, load.percentile(99.0) / load.mean());
        if tenth == 5 {
            density(&keys, &mut readings);
        }
    }
    readings
}

fn density(keys: &[f64], readings: &mut Vec<Reading>) {
    let bars = Sorted::new(keys.iter().map(|keys| (keys / BAR).floor()).collect());
    for bar in (0u8..).map(f64::from).take_while(|bar| *bar <= 50.0) {
        at(readings, DENSITY, bar * BAR).read(PART, bars.part_of(bar));
    }
}

fn by_virtual_nodes(seed: u64, nodes: u32, keys: u32, virtual_nodes: u32) -> Vec<Reading> {
    let mut rng = chance(seed);
    rng.set_stream(virtual_nodes.into());
    let circle = Circle::new(&mut rng, nodes, virtual_nodes);
    let mut load = vec![0.0; nodes as usize];
    (0..keys).for_each(|_| load[circle.owner(hashed(&mut rng))] += 1.0);
    let load = Sorted::new(load);
    let mut readings = Vec::new();
    let mut point = at(&mut readings, BY_VIRTUAL_NODES, virtual_nodes.into());
    point.read(LOW_SHARE, load.percentile(1.0) / load.mean()).read(HIGH_SHARE, load.percentile(99.0) / load.mean());
    readings
}

/// What the paper prints in its text; the rest of its figures 8 and 9 is only drawn.
fn paper(series: &str, x: f64, measure: &str) -> Option<Printed> {
    let (value, decimals) = match (series, x as u32, measure) {
        (BY_KEYS, 500_000, MOST) => (457.0, 0),
        (BY_KEYS, 500_000, MOST_SHARE) => (9.1, 1),
        (BY_KEYS, 500_000, HIGH_SHARE) => (4.6, 1),
        (BY_KEYS, 500_000, LOW) => (0.0, 0),
        (BY_VIRTUAL_NODES, 1, HIGH_SHARE) => (4.8, 1),
        (BY_VIRTUAL_NODES, 20, HIGH_SHARE) => (1.6, 1),
        (BY_VIRTUAL_NODES, 1, LOW_SHARE) => (0.0, 0),
        (BY_VIRTUAL_NODES, 20, LOW_SHARE) => (0.5, 1),
        _ => return None,
    };
    Some(Printed { value, decimals })
}

/// The plots.
pub(super) const PANELS: &[Panel] = &[
    Panel {
        title: "Keys per node",
        x: ("keys in all", Count::Linear),
        y: ("keys on a node", Count::Linear),
        measures: &["mean", LOW, HIGH, MOST],
        series: &[],
        names: &[],
    },
    Panel {
        title: "How many nodes have how many keys",
        x: ("keys on a node", Count::Linear),
        y: ("part of the nodes", Count::Linear),
        measures: &[PART],
        series: &[],
        names: &[],
    },
];

fn conclude(readings: Vec<Reading>) -> Chapter {
    Chapter {
        experiment: Experiment::LoadBalance,
        about: "10,000 nodes; 100,000 to 1,000,000 keys; then 1,000,000 keys on 1 to 20 virtual nodes a node; 20 rings \
                each. Nodes and keys are hashed with SHA-1.",
        x: "keys, or virtual nodes",
        table: &[LOW, HIGH, MOST, LOW_SHARE, HIGH_SHARE, MOST_SHARE],
        rows: rows(readings, paper),
        notes: Vec::new(),
        reasons: Vec::<Reason>::new(),
    }
}
