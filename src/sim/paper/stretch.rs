//! V.F: how much longer a lookup takes than a question to the owner would.
//!
//! On tables by definition; nodes are points in a cube, and messages take as long as the way between
//! two. The next node is the nearest in that space among a finger and its s immediate successors: that
//! rule is the paper's and stands here alone, since a node knows no distances.

use rand::{Rng, RngExt};

use super::chapter::{Count, Panel, Printed, Reading, Reason, rows};
use super::stats::Sorted;
use super::{Chapter, Experiment, Extent, Job, Study, at, chance};
use crate::protocol::id::{Bits, Id};
use crate::protocol::neighbors::Owner;
use crate::sim::hashed;
use crate::sim::tables::Tables;

const ITERATIVE: &str = "iterative";
const RECURSIVE: &str = "recursive";
/// As this program's own recursive lookups are answered.
const RETRACED: &str = "recursive and answered along the path";

const LOW: &str = "10th percentile";
const MEDIAN: &str = "median";
const HIGH: &str = "90th percentile";

const SUCCESSORS: [usize; 5] = [1, 2, 4, 8, 16];

pub(super) fn study(extent: Extent) -> Study {
    let (nodes, lookups) = extent.pick((1 << 16, 20_000), (1 << 10, 2_000));
    let job = |seed| Job::new(extent.pick(6000, 100), move || stretch(seed, nodes, lookups));
    Study { jobs: (0..extent.pick(10, 4)).map(job).collect(), conclude }
}

type Place = [f64; 3];

fn way(one: Place, other: Place) -> f64 {
    (0..3).map(|axis| (one[axis] - other[axis]).powi(2)).sum::<f64>().sqrt()
}

/// A ring in space.
struct Space {
    tables: Tables,
    places: Vec<Place>,
}

impl Space {
    fn new(seed: u64, nodes: u32, rng: &mut impl Rng) -> Space {
        let tables =
            Tables::by_definition((0..nodes).map(|n| hashed((seed as u32) << 20 | n)).collect(), Bits::FULL, 1);
        Space { tables, places: (0..nodes).map(|_| rng.random()).collect() }
    }

    /// Who is asked for a key, in turn, without the node that begins.
    fn path(&self, from: usize, key: Id, s: usize) -> Vec<usize> {
        let (mut at, mut path) = (from, Vec::new());
        while self.tables.neighbors(at).owner(key) == Owner::Beyond {
            let Some(next) = self.next(at, key, s) else { break };
            path.push(next);
            at = next;
        }
        path
    }

    /// The nearest node in space among the closest preceding finger and its s successors, as far as they
    /// precede the key.
    fn next(&self, at: usize, key: Id, s: usize) -> Option<usize> {
        let (ring, me) = (self.tables.ring(), self.tables.ring()[at]);
        let finger = self.tables.fingers(at).distinct().filter(|node| node.id.in_open(me.id, key)).last()?;
        let finger = self.tables.position(finger)?;
        let candidates = (finger..=finger + s).map(|candidate| candidate % ring.len());
        let preceding = candidates.take_while(|candidate| ring[*candidate].id.in_open(me.id, key));
        preceding.min_by(|one, other| self.way(at, *one).total_cmp(&self.way(at, *other)))
    }

    fn way(&self, one: usize, other: usize) -> f64 {
        way(self.places[one], self.places[other])
    }
}

fn stretch(seed: u64, nodes: u32, lookups: usize) -> Vec<Reading> {
    let mut rng = chance(seed);
    let space = Space::new(seed, nodes, &mut rng);
    let questions: Vec<(usize, Id)> =
        (0..lookups).map(|_| (rng.random_range(0..nodes as usize), Id::from_bytes(rng.random()))).collect();
    let mut readings = Vec::new();
    for s in SUCCESSORS {
        let [mut iterative, mut recursive, mut retraced] = [const { Vec::new() }; 3];
        for (from, key) in &questions {
            let owner = space.tables.position(space.tables.owner(*key)).filter(|owner| owner != from);
            let Some(owner) = owner else { continue };
            let (path, direct) = (space.path(*from, *key, s), 2.0 * space.way(*from, owner));
            let forth: f64 =
                std::iter::once(from).chain(&path).zip(&path).map(|(one, next)| space.way(*one, *next)).sum();
            let back = path.last().map_or(0.0, |last| space.way(*last, *from));
            iterative.push(path.iter().map(|node| 2.0 * space.way(*from, *node)).sum::<f64>() / direct);
            recursive.push((forth + back) / direct);
            retraced.push(2.0 * forth / direct);
        }
        for (series, ratios) in [(ITERATIVE, iterative), (RECURSIVE, recursive), (RETRACED, retraced)] {
            let ratios = Sorted::new(ratios);
            let mut point = at(&mut readings, series, s as f64);
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

fn conclude(readings: Vec<Reading>) -> Chapter {
    Chapter {
        experiment: Experiment::Stretch,
        about: "2^16 nodes at random points of a cube; latency is distance; the time until a node has been told the \
                owner, divided by the time of a question to that owner. Ten rings with 20,000 lookups each. The \
                transit-stub networks of the paper are not repeated.",
        x: "successors of each finger",
        table: &[MEDIAN, LOW, HIGH],
        panels: vec![Panel {
            title: "Latency of a lookup / of a question to the owner",
            x: ("immediate successors known of each finger", Count::Logarithmic),
            y: ("stretch, median", Count::Linear),
            measures: &[MEDIAN],
        }],
        rows: rows(readings, paper),
        reasons: Vec::<Reason>::new(),
    }
}
