//! V.F: how much longer a lookup takes than a direct question to the owner.
//!
//! On tables by definition; nodes are points in a cube, and a message takes as long as its way is. The next node is the
//! nearest in that space of s nodes in a row on the circle, of which the finger is the first. This rule is the paper's
//! and is used only here, since our nodes know no distances.

use rand::{Rng, RngExt};

use super::chapter::{Panel, Printed, Reading, Reason, rows};
use super::stats::Sorted;
use super::{Chapter, Experiment, Extent, Job, Study, at, chance};
use crate::protocol::id::{Bits, Id};
use crate::protocol::neighbors::Owner;
use crate::sim::hashed;
use crate::sim::plot::Count;
use crate::sim::tables::Tables;

const ITERATIVE: &str = "iterative";
const RECURSIVE: &str = "recursive";
/// The way in which this program's own recursive lookups are answered.
const RETRACED: &str = "recursive and answered along the path";

/// What the paper leaves open, varied.
#[derive(Clone, Copy)]
struct Variant {
    /// Appended to the names of the series.
    name: &'static str,
    /// The dimensions of space: 3, or 2 for a square.
    axes: usize,
    /// Whether a node names the owner from its own s successors, not from the first alone.
    names_from_list: bool,
    /// How many nodes there are to choose from, in addition to s.
    extra: usize,
}

const CUBE: Variant = Variant { name: "", axes: 3, names_from_list: false, extra: 0 };
const VARIANTS: [Variant; 4] = [
    CUBE,
    Variant { name: " in a square", axes: 2, ..CUBE },
    Variant { name: " owner named from s successors", names_from_list: true, ..CUBE },
    Variant { name: " finger not counted", extra: 1, ..CUBE },
];

const LOW: &str = "10th percentile";
const MEDIAN: &str = "median";
const HIGH: &str = "90th percentile";

const SUCCESSORS: [usize; 5] = [1, 2, 4, 8, 16];

pub(super) fn study(extent: Extent) -> Study {
    let (nodes, lookups) = extent.pick((1 << 16, 20_000), (1 << 10, 2_000));
    let job = |seed| Job::new(extent.pick(6000, 100), move || stretch(seed, nodes, lookups));
    Study { jobs: (0..extent.pick(10, 4)).map(job).collect(), conclude }
}

/// A ring whose nodes are points in space.
struct Space {
    tables: Tables,
    places: Vec<[f64; 3]>,
}

impl Space {
    fn new(seed: u64, nodes: u32, rng: &mut impl Rng) -> Space {
        let tables =
            Tables::by_definition((0..nodes).map(|n| hashed((seed as u32) << 20 | n)).collect(), Bits::FULL, 1);
        Space { tables, places: (0..nodes).map(|_| rng.random()).collect() }
    }

    /// The nodes that are asked for a key, in order, without the node that begins.
    fn path(&self, from: usize, key: Id, s: usize, variant: Variant) -> Vec<usize> {
        let (mut at, mut path) = (from, Vec::new());
        while !self.knows_owner(at, key, if variant.names_from_list { s } else { 1 }) {
            let Some(next) = self.next(at, key, s + variant.extra, variant.axes) else { break };
            path.push(next);
            at = next;
        }
        path
    }

    /// Whether the node at `at` owns the key, or one of its first `successors` successors does.
    fn knows_owner(&self, at: usize, key: Id, successors: usize) -> bool {
        let ring = self.tables.ring();
        let last = ring[(at + successors) % ring.len()];
        self.tables.neighbors(at).owner(key) != Owner::Beyond || key.in_half_open(ring[at].id, last.id)
    }

    /// Of the `choice` nodes from the closest preceding finger on, the one that is nearest in space; nodes that do not
    /// precede the key are left out.
    fn next(&self, at: usize, key: Id, choice: usize, axes: usize) -> Option<usize> {
        let (ring, me) = (self.tables.ring(), self.tables.ring()[at]);
        let finger = self.tables.fingers(at).distinct().filter(|node| node.id.in_open(me.id, key)).last()?;
        let finger = self.tables.position(finger)?;
        let candidates = (finger..finger + choice).map(|candidate| candidate % ring.len());
        let preceding = candidates.take_while(|candidate| ring[*candidate].id.in_open(me.id, key));
        preceding.min_by(|one, other| self.way(at, *one, axes).total_cmp(&self.way(at, *other, axes)))
    }

    fn way(&self, one: usize, other: usize, axes: usize) -> f64 {
        let (one, other) = (self.places[one], self.places[other]);
        (0..axes).map(|axis| (one[axis] - other[axis]).powi(2)).sum::<f64>().sqrt()
    }
}

fn stretch(seed: u64, nodes: u32, lookups: usize) -> Vec<Reading> {
    let mut rng = chance(seed);
    let space = Space::new(seed, nodes, &mut rng);
    let questions: Vec<(usize, Id)> =
        (0..lookups).map(|_| (rng.random_range(0..nodes as usize), Id::from_bytes(rng.random()))).collect();
    let mut readings = Vec::new();
    for (variant, s) in VARIANTS.into_iter().flat_map(|variant| SUCCESSORS.map(|s| (variant, s))) {
        let way = |one, other| space.way(one, other, variant.axes);
        let [mut iterative, mut recursive, mut retraced] = [const { Vec::new() }; 3];
        for (from, key) in &questions {
            let owner = space.tables.position(space.tables.owner(*key)).filter(|owner| owner != from);
            let Some(owner) = owner else { continue };
            let (path, direct) = (space.path(*from, *key, s, variant), 2.0 * way(*from, owner));
            let forth: f64 = std::iter::once(from).chain(&path).zip(&path).map(|(one, next)| way(*one, *next)).sum();
            let back = path.last().map_or(0.0, |last| way(*last, *from));
            iterative.push(path.iter().map(|node| 2.0 * way(*from, *node)).sum::<f64>() / direct);
            recursive.push((forth + back) / direct);
            retraced.push(2.0 * forth / direct);
        }
        let of_all = [(ITERATIVE, iterative), (RECURSIVE, recursive), (RETRACED, retraced)];
        // How answers travel is independent of what the variants change.
        for (style, ratios) in of_all.into_iter().filter(|(style, _)| variant.name.is_empty() || *style != RETRACED) {
            let ratios = Sorted::new(ratios);
            let mut point = at(&mut readings, format!("{style}{}", variant.name), s as f64);
            point.read(MEDIAN, ratios.percentile(50.0));
            point.read(LOW, ratios.percentile(10.0)).read(HIGH, ratios.percentile(90.0));
        }
    }
    readings
}

/// The paper's table II: median, 10th and 90th percentile for each s, in 3-d space.
fn paper(series: &str, x: f64, measure: &str) -> Option<Printed> {
    const TABLE: [(&str, [[f64; 3]; 5]); 2] = [
        (ITERATIVE, [[7.8, 4.4, 19.8], [7.2, 3.8, 18.0], [6.1, 3.1, 15.3], [4.7, 2.4, 11.8], [3.4, 1.9, 8.4]]),
        (RECURSIVE, [[4.5, 2.5, 11.5], [3.5, 2.0, 8.7], [2.7, 1.6, 6.4], [2.1, 1.4, 4.7], [1.7, 1.2, 3.5]]),
    ];
    let (_, lines) = TABLE.into_iter().find(|(name, _)| *name == series)?;
    let line = SUCCESSORS.iter().position(|s| *s as f64 == x)?;
    let column = [MEDIAN, LOW, HIGH].iter().position(|name| *name == measure)?;
    Some(Printed { value: lines[line][column], decimals: 1 })
}

/// The plots.
pub(super) const PANELS: &[Panel] = &[Panel {
    title: "Latency of a lookup / of a question to the owner",
    x: ("s: nodes to choose from at each finger", Count::Logarithmic),
    y: ("stretch, median", Count::Linear),
    measures: &[MEDIAN],
    series: &[ITERATIVE, RECURSIVE, RETRACED, "iterative in a square", "recursive in a square"],
    names: &[],
}];

fn conclude(readings: Vec<Reading>) -> Chapter {
    Chapter {
        experiment: Experiment::Stretch,
        about: "2^16 nodes at random points of a cube, r = 1; the next node is the nearest of s, of which the finger is the first; latency is distance; the time until a node has been told the \
                owner, divided by the time of a question to that owner. Ten rings with 20,000 lookups each. The \
                transit-stub networks of the paper are not repeated.",
        x: "s",
        table: &[MEDIAN, LOW, HIGH],
        rows: rows(readings, paper),
        notes: Vec::new(),
        reasons: vec![
            Reason {
                explains: |row| row.measure == MEDIAN,
                text: "with s = 1 there is no choice, and the medians agree, so that s counts the finger itself; \
                       beside it (\"finger not counted\") we are a tenth too low there. With more to choose from the \
                       paper gains more than points in a cube can: the nearest of s lies s^(-1/3) as far there, and \
                       s^(-1/2) as far in a square. The same lookups \"in a square\" come close to all of the paper's \
                       medians; and in the cube those come close in which a node names the \"owner from s \
                       successors\". So space, or the end of the path, was another in the paper, which says nothing \
                       of either.",
            },
            Reason {
                explains: |_| true,
                text: "the spread around the median is that of the direct ways by which is divided, and so of the \
                       shape of space: \"in a square\" the 90th percentile rises beyond the paper's, in the cube it \
                       stays below.",
            },
        ],
    }
}
