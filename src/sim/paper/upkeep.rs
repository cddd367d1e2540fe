//! G: the cost of maintenance, by churn and by the periods of the timers.
//!
//! Message by message on the virtual clock. There are no lookups: all messages are maintenance. Nodes crash silently,
//! and for each of them a new node joins at the same moment.

use std::time::Duration;

use rand::RngExt;

use super::chapter::{Panel, Reading, rows};
use super::{Chapter, Experiment, Extent, Job, Study, at, chance};
use crate::protocol::id::Bits;
use crate::sim::delay::exponential;
use crate::sim::plot::Count;
use crate::sim::{World, hashed};

const MESSAGES: &str = "messages per node and second";
const BYTES: &str = "bytes per node and second";

/// The length of successor lists: the default.
const R: usize = 4;

/// The mean life of a node; without churn none dies.
const LIVES: [(&str, Option<u64>); 4] =
    [("no churn", None), ("mean life 1 h", Some(3600)), ("mean life 10 min", Some(600)), ("mean life 1 min", Some(60))];

/// The periods of all three timers, in milliseconds.
const PERIODS: [u64; 5] = [100, 300, 1000, 3000, 10_000];

pub(super) fn study(extent: Extent) -> Study {
    let nodes = extent.pick(256, 32);
    let seeds = extent.pick(5, 3);
    let mut jobs = Vec::new();
    for (series, life) in LIVES {
        for period in PERIODS {
            let time = Duration::from_millis(period.max(1000) * 60);
            let cost = 60_000 * u64::from(nodes) / 256 / period.min(1000);
            let job = move |seed| Job::new(cost, move || keep_up(seed, nodes, (series, life), period, time));
            jobs.extend((0..seeds).map(job));
        }
    }
    Study { jobs, conclude }
}

fn keep_up(seed: u64, nodes: u32, (series, life): (&str, Option<u64>), period: u64, time: Duration) -> Vec<Reading> {
    let mut rng = chance(seed);
    rng.set_stream(2);
    let mut world = World::new(seed, Bits::FULL, R);
    let every = Duration::from_millis(period);
    (world.config.stabilize, world.config.fix_fingers, world.config.check_predecessor) = (every, every, every);
    let mut names = (seed as u32) << 16..;
    let mut newcomer = move || names.next().map(hashed).unwrap_or_else(|| hashed(0));
    let first = newcomer();
    world.start(first, &[]);
    for _ in 1..nodes {
        world.start(newcomer(), &[first]);
        world.run(Duration::from_millis(100));
    }
    // New nodes work faster than usual; after some rounds that is over.
    world.run(every * 20);
    let begin = world.now();
    let (messages, bytes) = (world.env.tally.messages, world.env.tally.bytes);
    while world.now() - begin < time {
        let left = time - (world.now() - begin);
        let Some(life) = life else {
            world.run(left);
            break;
        };
        let pause = exponential(Duration::from_secs(life) / nodes, &mut rng);
        world.run(pause.min(left));
        if pause < left {
            let live = world.live();
            world.crash(live[rng.random_range(0..live.len())]);
            let live = world.members();
            let seed = live[rng.random_range(0..live.len())].me;
            world.start(newcomer(), &[seed]);
        }
    }
    let per = |count: u64| count as f64 / f64::from(nodes) / time.as_secs_f64();
    let mut readings = Vec::new();
    let mut point = at(&mut readings, series, every.as_secs_f64());
    point.read(MESSAGES, per(world.env.tally.messages - messages)).read(BYTES, per(world.env.tally.bytes - bytes));
    readings
}

/// The plots.
pub(super) const PANELS: &[Panel] = &[
    Panel {
        title: "Messages",
        x: ("seconds between rounds", Count::Logarithmic),
        y: ("messages per node and second", Count::Logarithmic),
        measures: &[MESSAGES],
        series: &[],
        names: &[],
    },
    Panel {
        title: "Bytes",
        x: ("seconds between rounds", Count::Logarithmic),
        y: ("bytes per node and second", Count::Logarithmic),
        measures: &[BYTES],
        series: &[],
        names: &[],
    },
];

fn conclude(readings: Vec<Reading>) -> Chapter {
    Chapter {
        experiment: Experiment::Upkeep,
        about: "256 nodes, r = 4; --ts, --tff and --tcp all the same; nodes crash without a word after lives that are \
                exponentially distributed, and each is replaced by a new one at once; five histories of at least a \
                minute and sixty periods each. Questions and answers are counted apart; bytes are those of frames, \
                without TCP. Not in the paper.",
        x: "seconds between rounds",
        table: &[MESSAGES, BYTES],
        rows: rows(readings, |_, _, _| None),
        notes: Vec::new(),
        reasons: Vec::new(),
    }
}
