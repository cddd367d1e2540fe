//! I: our protocol and the protocol of the paper's pseudocode, under the same joins and failures.
//!
//! Both run through the same histories. In the first part nodes join and crash silently; in the second nothing happens
//! any more, and each ring has time to heal. The rules hold: the ring is always larger than r + 1, and of r nodes in a
//! row at least one stays up for long enough to repair the lists.

mod history;
mod lesson;
mod pseudocode;
mod ring;

use std::collections::BTreeMap;
use std::time::Duration;

use super::chapter::{Panel, Reading, rows};
use super::{Chapter, Experiment, Extent, Job, Study, at};
use crate::protocol::id::{Bits, Id};
use crate::protocol::peer::Peer;
use crate::sim::World;
use crate::sim::oracle::cycles;
use crate::sim::plot::Count;
use history::History;
pub(in crate::sim) use lesson::lesson;
use ring::Ring;

const OURS: &str = "ours";
const PSEUDOCODE: &str = "the paper's pseudocode";

const LOST: &str = "lookups without an answer of 10,000";
const WRONG: &str = "lookups with a wrong answer of 10,000";
const SPLIT: &str = "part of the rings that are split for good";
const CUT_OFF: &str = "nodes cut off for good, of 100";

/// The mean time between two rounds of each kind, for both protocols.
const PERIOD: Duration = Duration::from_secs(1);

/// The length of successor lists.
const R: usize = 3;

/// Joins in a hundred seconds; there are as many crashes.
const RATES: [u32; 4] = [10, 20, 50, 100];

pub(super) fn study(extent: Extent) -> Study {
    let mut jobs = Vec::new();
    for rate in RATES {
        let job = move |batch| Job::new(extent.pick(4000, 200), move || compare(batch, rate, extent.pick(20, 2)));
        jobs.extend((0..extent.pick(5, 2)).map(job));
    }
    Study { jobs, conclude }
}

/// A ring that a history can act on.
trait System {
    fn start(&mut self, me: Peer, seed: Option<Peer>);
    fn fail(&mut self, peer: Peer);
    fn look_up(&mut self, from: Peer, key: Id) -> Option<u64>;
    /// The owner that a lookup of that node named; `None` if the lookup was lost or has not ended.
    fn found(&mut self, from: Peer, number: u64) -> Option<Peer>;
    fn run(&mut self, time: Duration);
    /// All nodes that are up, with their successor lists.
    fn lists(&self) -> BTreeMap<Peer, Vec<Peer>>;
}

impl System for World {
    fn start(&mut self, me: Peer, seed: Option<Peer>) {
        World::start(self, me, seed.as_slice());
    }

    fn fail(&mut self, peer: Peer) {
        self.crash(peer);
    }

    fn look_up(&mut self, from: Peer, key: Id) -> Option<u64> {
        self.lookup(from, key)
    }

    fn found(&mut self, _: Peer, number: u64) -> Option<Peer> {
        self.take_found(number).and_then(Result::ok).map(|found| found.owner)
    }

    fn run(&mut self, time: Duration) {
        World::run(self, time);
    }

    fn lists(&self) -> BTreeMap<Peer, Vec<Peer>> {
        self.hosts().map(|host| (host.me, host.maintenance.neighbors().successors().to_vec())).collect()
    }
}

/// The rings that the first living entries of all lists form: their number, and how many nodes are not on the largest.
fn rings(lists: &BTreeMap<Peer, Vec<Peer>>) -> (usize, usize) {
    let places: BTreeMap<Peer, usize> = lists.keys().copied().zip(0..).collect();
    let next = |(at, list): (usize, &Vec<Peer>)| list.iter().find_map(|node| places.get(node).copied()).unwrap_or(at);
    let cycles = cycles(&lists.values().enumerate().map(next).collect::<Vec<_>>());
    let largest = cycles.iter().map(Vec::len).max().unwrap_or(0);
    (cycles.len(), lists.len() - largest)
}

fn compare(batch: u64, rate: u32, histories: u64) -> Vec<Reading> {
    let mut readings = Vec::new();
    for series in [OURS, PSEUDOCODE] {
        let (mut asked, mut lost, mut wrong, mut split, mut cut_off, mut nodes) = (0, 0, 0, 0, 0, 0);
        for number in 0..histories {
            let seed = batch << 16 | u64::from(rate) << 8 | number;
            let history = History::new(seed, rate);
            let outcome = match series {
                OURS => history.live(&mut World::new(seed, Bits::FULL, R)),
                _ => history.live(&mut Ring::new(seed, R)),
            };
            (asked, lost, wrong) = (asked + outcome.asked, lost + outcome.lost, wrong + outcome.wrong);
            let (count, outside) = rings(&outcome.lists);
            split += usize::from(count > 1);
            (cut_off, nodes) = (cut_off + outside, nodes + outcome.lists.len());
        }
        let of = |count: usize, all: usize| count as f64 / all.max(1) as f64;
        let mut point = at(&mut readings, series, f64::from(rate) / 100.0);
        point.read(LOST, 10_000.0 * of(lost, asked)).read(WRONG, 10_000.0 * of(wrong, asked));
        point.read(SPLIT, of(split, histories as usize)).read(CUT_OFF, 100.0 * of(cut_off, nodes));
    }
    readings
}

/// The plots.
pub(super) const PANELS: &[Panel] = &[
    Panel {
        title: "Lookups without an answer",
        x: ("joins, and crashes, per second", Count::Linear),
        y: ("of 10,000", Count::Linear),
        measures: &[LOST],
        series: &[],
        names: &[],
    },
    Panel {
        title: "Lookups with a wrong answer",
        x: ("joins, and crashes, per second", Count::Linear),
        y: ("of 10,000", Count::Linear),
        measures: &[WRONG],
        series: &[],
        names: &[],
    },
    Panel {
        title: "Rings that are split for good",
        x: ("joins, and crashes, per second", Count::Linear),
        y: ("part of the rings", Count::Linear),
        measures: &[SPLIT],
        series: &[],
        names: &[],
    },
    Panel {
        title: "Nodes that are cut off for good",
        x: ("joins, and crashes, per second", Count::Linear),
        y: ("of 100", Count::Linear),
        measures: &[CUT_OFF],
        series: &[],
        names: &[],
    },
];

fn conclude(readings: Vec<Reading>) -> Chapter {
    Chapter {
        experiment: Experiment::Original,
        about: "48 nodes at first, r = 3, rounds about every second, messages take 1 to 20 ms; for two minutes nodes \
                join and crash, each at a rate of R a second, while ten lookups a second run; then nothing happens for \
                two minutes. Of r nodes in a row never all crash within ten seconds. A hundred histories for each rate, \
                in five batches, the same for both. The pseudocode: figures 5 and 6 and the successor lists of section \
                IV.E.3 of the paper. An answer is wrong if its node is dead, or if a node that has been up for ten \
                seconds lies between it and the key. Not in the paper.",
        x: "R",
        table: &[LOST, WRONG, SPLIT, CUT_OFF],
        rows: rows(readings, |_, _, _| None),
        notes: Vec::new(),
        reasons: Vec::new(),
    }
}
