//! V.C: how many nodes a lookup asks.
//!
//! On tables by definition, where each node decides as on a network. The path is counted as in the paper: the nodes
//! asked until one of them names its successor as the owner.

use rand::RngExt;
use rayon::prelude::*;

use super::chapter::{Panel, Printed, Reading, Reason, rows};
use super::stats::Sorted;
use super::{Chapter, Experiment, Extent, Job, Study, at, chance};
use crate::protocol::id::{Bits, Id};
use crate::sim::plot::Count;
use crate::sim::tables::Tables;
use crate::sim::{hashed, numbered};

const MEAN: &str = "mean";
const LOW: &str = "1st percentile";
const HIGH: &str = "99th percentile";
const PART: &str = "part of the lookups";

/// The lengths of successor lists: only the successor, and the paper's 2 log2 N for N = 1,000.
const SHORT: (&str, usize) = ("r = 1", 1);
const LONG: (&str, usize) = ("r = 20", 20);
/// The same with evenly spaced identifiers.
const SHORT_EVEN: &str = "r = 1 evenly spaced";
const LONG_EVEN: &str = "r = 20 evenly spaced";
/// The rings whose densities are drawn (figure 10b).
const DENSITY: f64 = 4096.0;

/// The number of lookups in rings that are larger than the paper's.
const MOST_LOOKUPS: usize = 1_000_000;
/// The largest ring of the paper, as a power of two.
const PAPERS_LARGEST: u8 = 14;
/// Evenly spaced nodes show nothing new in larger rings.
const LARGEST_EVEN: u8 = 12;

/// Lookups are drawn in this many parts, each with its own random numbers.
const PARTS: usize = 64;

pub(super) fn study(extent: Extent) -> Study {
    let mut jobs = Vec::new();
    for power in 3..=extent.pick(20u8, 10) {
        for (series, r, places) in SERIES {
            let seeds = match places {
                Places::Hashed if power <= PAPERS_LARGEST => 5,
                Places::Even if power > LARGEST_EVEN => 0,
                _ => 3,
            };
            let cost = (16 << power) / 1000 + (lookups(1 << power) / 400) as u64;
            // A million nodes take more than a gigabyte: one such ring at a time.
            let alone = power > PAPERS_LARGEST;
            jobs.extend(
                (0..seeds).map(|seed| Job::new(cost, move || ask(seed, power, (series, r, places))).alone(alone)),
            );
        }
    }
    Study { jobs, conclude }
}

fn lookups(nodes: usize) -> usize {
    if nodes <= 1 << PAPERS_LARGEST { 100 * nodes } else { MOST_LOOKUPS }
}

/// Where nodes lie on the circle.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Places {
    Hashed,
    Even,
}

const SERIES: [(&str, usize, Places); 4] = [
    (SHORT.0, SHORT.1, Places::Hashed),
    (LONG.0, LONG.1, Places::Hashed),
    (SHORT_EVEN, SHORT.1, Places::Even),
    (LONG_EVEN, LONG.1, Places::Even),
];

fn ask(seed: u64, power: u8, (series, r, places): (&str, usize, Places)) -> Vec<Reading> {
    let (nodes, bits) = (1 << power, Bits::new(power).unwrap_or(Bits::FULL));
    let peer = |n| match places {
        // Each seed has its own nodes.
        Places::Hashed => hashed((seed as u32) << 20 | n),
        Places::Even => numbered(n, bits),
    };
    let tables = Tables::by_definition((0..nodes as u32).map(peer).collect(), Bits::FULL, r);
    let count = |part: usize| {
        let mut rng = chance(seed);
        rng.set_stream(1 + part as u64);
        let mine = (part..lookups(nodes)).step_by(PARTS);
        let asked = mine.map(|_| {
            let (from, key) = (rng.random_range(0..nodes), Id::from_bytes(rng.random()));
            tables.lookup(from, key).path.len() as f64
        });
        asked.collect::<Vec<f64>>()
    };
    let paths = Sorted::new((0..PARTS).into_par_iter().flat_map_iter(count).collect());
    let (mut readings, x) = (Vec::new(), nodes as f64);
    let mut point = at(&mut readings, series, x);
    point.read(MEAN, paths.mean()).read(LOW, paths.percentile(1.0)).read(HIGH, paths.percentile(99.0));
    if x == DENSITY && places == Places::Hashed {
        for length in (0u8..=16).map(f64::from) {
            at(&mut readings, series, length).read(PART, paths.part_of(length));
        }
    }
    readings
}

/// The paper's formulas for the mean: half of log2 N; with lists of length r, that minus half of log2 r, plus one. The
/// latter holds while lists are short compared with the ring.
fn paper(series: &str, x: f64, measure: &str) -> Option<Printed> {
    let half = |n: f64| n.log2() / 2.0;
    let value = match (series, measure) {
        (series, MEAN) if series == SHORT.0 => half(x),
        (series, MEAN) if series == LONG.0 && x > 20.0 * LONG.1 as f64 => half(x) - half(LONG.1 as f64) + 1.0,
        _ => return None,
    };
    Some(Printed { value, decimals: 2 })
}

/// The plots.
pub(super) const PANELS: &[Panel] = &[
    Panel {
        title: "Mean path length",
        x: ("nodes", Count::Logarithmic),
        y: ("nodes asked", Count::Linear),
        measures: &[MEAN],
        series: &[],
        names: &[],
    },
    Panel {
        title: "Percentiles of the path length",
        x: ("nodes", Count::Logarithmic),
        y: ("nodes asked", Count::Linear),
        measures: &[LOW, HIGH],
        series: &[SHORT.0, LONG.0],
        names: &[],
    },
    Panel {
        title: "Path lengths among 4,096 nodes",
        x: ("nodes asked", Count::Linear),
        y: ("part of the lookups", Count::Linear),
        measures: &[PART],
        series: &[],
        names: &[],
    },
];

fn conclude(readings: Vec<Reading>) -> Chapter {
    Chapter {
        experiment: Experiment::PathLength,
        about: "N = 2^3 to 2^14 nodes and 100 N lookups in five rings each, as in the paper; then on to 2^20 nodes and \
                1,000,000 lookups in three rings each. The path is counted in nodes asked until one of them names its \
                successor as the owner. The paper's formulas: ½ log2 N for r = 1, and ½ log2 N - ½ log2 r + 1 for \
                longer lists.",
        x: "nodes",
        table: &[MEAN, LOW, HIGH],
        rows: rows(readings, paper),
        notes: Vec::new(),
        reasons: vec![
            Reason {
                explains: |row| row.series == LONG.0,
                text: "the formula counts a last hop through the list for every lookup, and some need none. Among \
                       evenly spaced nodes (\"r = 20 evenly spaced\") that is 1 / r for an r that is a power of two, \
                       and 0.027 for 20: the mean way over the last 32 nodes is 42 / 32 by counting, 1.339 by the \
                       formula. Hashed identifiers save 0.03 more.",
            },
            Reason {
                explains: |_| true,
                text: "½ log2 N is exact for nodes at even distances only, where a finger halves the way exactly: the \
                       series \"r = 1 evenly spaced\" has it. In rings of a few nodes it is lower even there, since a \
                       node answers for its own keys at once, which the formula counts as a way all round the circle.",
            },
        ],
    }
}
