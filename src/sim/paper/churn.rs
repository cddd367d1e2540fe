//! V.E: lookups while nodes join and leave.
//!
//! Message by message on the virtual clock. Nodes leave as they do when they are told to: they say so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::RngExt;

use super::chapter::{Count, Panel, Printed, Reading, Reason, rows};
use super::stats::Sorted;
use super::{Chapter, Experiment, Extent, Job, Study, at, chance};
use crate::protocol::id::{Bits, Id};
use crate::protocol::lookup::iterative::Style;
use crate::protocol::peer::Peer;
use crate::sim::delay::{Delay, exponential};
use crate::sim::nodes::owner;
use crate::sim::{World, hashed};

const SERIES: &str = "iterative";
/// The same with a finger refreshed in every tenth round only.
const RARELY: &str = "iterative with fingers refreshed a tenth as often";

const PATH: &str = "path length";
const PATH_LOW: &str = "path length 1st percentile";
const PATH_HIGH: &str = "path length 99th percentile";
const TIMEOUTS: &str = "time-outs";
const TIMEOUTS_LOW: &str = "time-outs 1st percentile";
const TIMEOUTS_HIGH: &str = "time-outs 99th percentile";
const FAILED: &str = "failed lookups of 10,000";

const R: usize = 20;
/// Between two rounds of stabilization on average; the paper draws it from 15 to 45 s.
const ROUND: Duration = Duration::from_secs(30);
const DELAY: Duration = Duration::from_millis(50);
const SECOND: Duration = Duration::from_secs(1);

/// Joins, and as many leaves, in a hundred seconds.
const RATES: [u32; 8] = [5, 10, 15, 20, 25, 30, 35, 40];

pub(super) fn study(extent: Extent) -> Study {
    let (nodes, lookups) = extent.pick((1000, 10_000), (100, 500));
    let mut jobs = Vec::new();
    for rate in RATES {
        let rarely = if [10, 20, 40].contains(&rate) { 2 } else { 0 };
        for (series, fingers, seeds) in [(SERIES, ROUND, extent.pick(4, 2)), (RARELY, 10 * ROUND, rarely)] {
            let work = move |seed| endure((series, fingers), (seed, nodes, rate, lookups));
            jobs.extend((0..seeds).map(|seed| Job::new(extent.pick(12_000, 50), move || work(seed))));
        }
    }
    Study { jobs, conclude }
}

/// A ring with the parameters of the paper, which has settled.
fn settled(seed: u64, nodes: u32, fingers: Duration) -> World {
    let mut world = World::new(seed, Bits::FULL, R);
    world.env.network.delay = Delay::Exponential(DELAY);
    (world.config.stabilize, world.config.fix_fingers, world.config.check_predecessor) = (ROUND, fingers, ROUND);
    // In the paper a round refreshes one finger, whatever happens.
    world.config.paced_fingers = true;
    let first = newcomer(seed, 0);
    world.start(first, &[]);
    for n in 1..nodes {
        world.start(newcomer(seed, n), &[first]);
        world.run(SECOND / 2);
    }
    world.run(ROUND * 20);
    world
}

/// Other seeds are other nodes.
fn newcomer(seed: u64, n: u32) -> Peer {
    hashed((seed as u32) << 16 | n)
}

/// A lookup under way.
struct Asked {
    from: Peer,
    key: Id,
    /// Who owned the key when it began.
    owner: Peer,
}

fn endure((series, fingers): (&str, Duration), (seed, nodes, rate, lookups): (u64, u32, u32, u32)) -> Vec<Reading> {
    let mut rng = chance(seed);
    rng.set_stream(rate.into());
    let mut world = settled(seed, nodes, fingers);
    let period = SECOND * 100 / rate;
    let (mut newcomers, mut begun) = (nodes.., 0);
    let mut next = [SECOND, period, period].map(|mean| world.now() + exponential(mean, &mut rng));
    let mut asked: BTreeMap<u64, Asked> = BTreeMap::new();
    let mut ended = Ended::default();
    while begun < lookups {
        let due = next.iter().copied().min().unwrap_or_default();
        world.run(due.saturating_sub(world.now()));
        ended.judge(&mut world, &mut asked);
        let ring = on_ring(&world);
        let chosen = ring[rng.random_range(0..ring.len())];
        if due == next[0] {
            next[0] += exponential(SECOND, &mut rng);
            let key = Id::from_bytes(rng.random());
            begun += 1;
            if let Some(number) = world.lookup_in_style(chosen, key, Style::Iterative) {
                asked.insert(number, Asked { from: chosen, key, owner: owner(&ring, key) });
            }
        } else if due == next[1] {
            next[1] += exponential(period, &mut rng);
            if let Some(n) = newcomers.next() {
                world.start(newcomer(seed, n), &[chosen]);
            }
        } else {
            next[2] += exponential(period, &mut rng);
            world.leave(chosen);
            // Nobody is left to hear of the lookups that it has begun.
            asked.retain(|_, asked| asked.from != chosen);
        }
    }
    world.run(world.config.lookup_timeout);
    ended.judge(&mut world, &mut asked);
    let (paths, timeouts) = (Sorted::new(ended.paths), Sorted::new(ended.timeouts));
    let mut readings = Vec::new();
    let mut point = at(&mut readings, series, f64::from(rate) / 100.0);
    point.read(PATH, paths.mean()).read(PATH_LOW, paths.percentile(1.0)).read(PATH_HIGH, paths.percentile(99.0));
    point.read(TIMEOUTS, timeouts.mean()).read(TIMEOUTS_LOW, timeouts.percentile(1.0));
    point.read(TIMEOUTS_HIGH, timeouts.percentile(99.0));
    point.read(FAILED, ended.failed * 10_000.0 / f64::from(lookups));
    readings
}

/// The members that own keys: those which another has at the head of its list. A node that has just
/// joined owns nothing before the node before it has heard of it.
fn on_ring(world: &World) -> Vec<Peer> {
    let members = world.members();
    let heads: BTreeSet<Peer> = members.iter().filter_map(|host| host.maintenance.neighbors().successor()).collect();
    members.iter().map(|host| host.me).filter(|me| heads.contains(me)).collect()
}

/// What came of the lookups that have ended.
#[derive(Default)]
struct Ended {
    /// Of those that were right: nodes asked, and asked in vain.
    paths: Vec<f64>,
    timeouts: Vec<f64>,
    failed: f64,
}

impl Ended {
    /// Looks at the lookups that have ended. One is right that names a node that owned the key while it
    /// ran.
    fn judge(&mut self, world: &mut World, asked: &mut BTreeMap<u64, Asked>) {
        let ended: Vec<u64> = asked.keys().copied().filter(|number| world.found(*number).is_some()).collect();
        if ended.is_empty() {
            return;
        }
        let ring = on_ring(world);
        for number in ended {
            let ended = asked.remove(&number).zip(world.take_found(number));
            let Some((Asked { key, owner: before, .. }, result)) = ended else { continue };
            match result {
                Ok(found) if found.owner == before || found.owner == owner(&ring, key) => {
                    self.paths.push(found.path.len() as f64);
                    self.timeouts.push(found.timeouts.into());
                }
                _ => self.failed += 1.0,
            }
        }
    }
}

/// The paper's table on lookups during stabilization.
fn paper(series: &str, x: f64, measure: &str) -> Option<Printed> {
    const TABLE: [[f64; 7]; 8] = [
        [3.90, 1.0, 9.0, 0.05, 0.0, 2.0, 0.0],
        [3.83, 1.0, 9.0, 0.11, 0.0, 2.0, 0.0],
        [3.84, 1.0, 9.0, 0.16, 0.0, 2.0, 2.0],
        [3.81, 1.0, 9.0, 0.23, 0.0, 3.0, 5.0],
        [3.83, 1.0, 9.0, 0.30, 0.0, 3.0, 6.0],
        [3.91, 1.0, 9.0, 0.34, 0.0, 4.0, 8.0],
        [3.94, 1.0, 10.0, 0.42, 0.0, 4.0, 16.0],
        [4.06, 1.0, 10.0, 0.46, 0.0, 5.0, 15.0],
    ];
    const MEASURES: [&str; 7] = [PATH, PATH_LOW, PATH_HIGH, TIMEOUTS, TIMEOUTS_LOW, TIMEOUTS_HIGH, FAILED];
    let line = RATES.iter().position(|rate| f64::from(*rate) / 100.0 == x).filter(|_| series == SERIES)?;
    let column = MEASURES.iter().position(|name| *name == measure)?;
    Some(Printed { value: TABLE[line][column], decimals: if [PATH, TIMEOUTS].contains(&measure) { 2 } else { 0 } })
}

fn conclude(readings: Vec<Reading>) -> Chapter {
    Chapter {
        experiment: Experiment::Churn,
        about: "1,000 nodes at first, r = 20; one lookup a second in all, joins and voluntary leaves each at a rate of R \
                a second, all Poisson; rounds of maintenance about every 30 s; messages take 50 ms on average, \
                exponentially distributed. Four histories of 10,000 lookups for each rate. A lookup is right if it names \
                a node that owned the key while it ran.",
        x: "R",
        table: &[PATH, PATH_LOW, PATH_HIGH, TIMEOUTS, TIMEOUTS_LOW, TIMEOUTS_HIGH, FAILED],
        panels: vec![
            Panel {
                title: "Failed lookups",
                x: ("joins, and leaves, per second", Count::Linear),
                y: ("failed of 10,000", Count::Linear),
                measures: &[FAILED],
                series: &[],
            },
            Panel {
                title: "Path length",
                x: ("joins, and leaves, per second", Count::Linear),
                y: ("nodes asked", Count::Linear),
                measures: &[PATH, PATH_LOW, PATH_HIGH],
                series: &[],
            },
            Panel {
                title: "Time-outs",
                x: ("joins, and leaves, per second", Count::Linear),
                y: ("questions to nodes that are gone", Count::Linear),
                measures: &[TIMEOUTS, TIMEOUTS_LOW, TIMEOUTS_HIGH],
                series: &[],
            },
        ],
        rows: rows(readings, paper),
        reasons: vec![
            Reason {
                explains: |row| row.measure == FAILED,
                text: "fewer than in the paper. A node that leaves tells both neighbours, who close the gap in some \
                       round trips instead of a round of stabilization, and a round that changes something is followed \
                       by another at once. The paper's pseudocode, which waits for its periods and believes what it \
                       has not heard itself, answers wrongly in the same histories in which we do not (I).",
            },
            Reason {
                explains: |row| [TIMEOUTS, TIMEOUTS_LOW, TIMEOUTS_HIGH, PATH_HIGH].contains(&row.measure),
                text: "fewer than in the paper, and no paths so long, because fingers are fresher: with \"fingers \
                       refreshed a tenth as often\" both come near the paper's. A node takes a dead one out of its \
                       tables as soon as any question to it fails, those of its own fingers among them.",
            },
            Reason {
                explains: |row| row.measure == PATH,
                text: "within 5 %. At low rates it is the length without failures (D, p = 0); at high ones fingers \
                       are fresher than in the paper, see there.",
            },
        ],
    }
}
