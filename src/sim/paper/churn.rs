//! V.E: lookups while nodes join and leave.
//!
//! Message by message on the virtual clock. Nodes leave voluntarily: they tell their neighbours.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;

use super::chapter::{Panel, Printed, Reading, Reason, Row, rows};
use super::stats::{Sorted, poisson};
use super::{Chapter, Experiment, Extent, Job, Study, at, chance};
use crate::protocol::id::{Bits, Id};
use crate::protocol::lookup::iterative::Style;
use crate::protocol::peer::Peer;
use crate::sim::delay::{Delay, exponential};
use crate::sim::host::Host;
use crate::sim::plot::Count;
use crate::sim::{World, hashed};

const SERIES: &str = "iterative";
/// The same with a finger refreshed only in every tenth round.
const RARELY: &str = "iterative with fingers refreshed a tenth as often";

const PATH: &str = "path length";
const PATH_LOW: &str = "path length 1st percentile";
const PATH_HIGH: &str = "path length 99th percentile";
const TIMEOUTS: &str = "time-outs";
const TIMEOUTS_LOW: &str = "time-outs 1st percentile";
const TIMEOUTS_HIGH: &str = "time-outs 99th percentile";
/// As in the paper, which says: a lookup succeeds if it reaches the key's current successor.
const FAILED: &str = "failed lookups of 10,000";
/// The same if a node owns nothing before its predecessor has heard of it.
const FAILED_AMONG_KNOWN: &str = "failed of 10,000 if who just joined owns nothing yet";
/// How many lookups have ended; the others died with the node that began them.
const JUDGED: &str = "lookups that ended";

const R: usize = 20;
/// The mean time between two rounds of stabilization; the paper draws it from 15 to 45 s.
const ROUND: Duration = Duration::from_secs(30);
const DELAY: Duration = Duration::from_millis(50);
const SECOND: Duration = Duration::from_secs(1);

/// Joins in a hundred seconds; there are as many leaves.
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

/// A settled ring with the parameters of the paper.
fn settled(seed: u64, nodes: u32, fingers: Duration) -> World {
    let mut world = World::new(seed, Bits::FULL, R);
    world.env.network.delay = Delay::Exponential(DELAY);
    (world.config.stabilize, world.config.fix_fingers, world.config.check_predecessor) = (ROUND, fingers, ROUND);
    // In the paper each round refreshes one finger, even if nothing has changed.
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

/// Each seed has its own nodes.
fn newcomer(seed: u64, n: u32) -> Peer {
    hashed((seed as u32) << 16 | n)
}

/// A lookup under way.
struct Asked {
    from: Peer,
    key: Id,
    /// The owners of the key since the lookup began, according to each of the [`JUDGES`].
    owners: [Vec<Peer>; JUDGES.len()],
}

/// Returns the present owner of a key.
type Judge = fn(&World, Id) -> Option<Peer>;

/// The two definitions of an owner. A lookup fails if it does not name a node that owned the key at some moment between
/// question and answer.
const JUDGES: [(&str, Judge); 2] = [(FAILED, World::successor), (FAILED_AMONG_KNOWN, known_successor)];

/// The first member at or after a key that another node has at the head of its list: a node that has just joined owns
/// nothing before its predecessor has heard of it.
fn known_successor(world: &World, key: Id) -> Option<Peer> {
    let knows = |host: &Host, node: Peer| host.maintenance.neighbors().successor() == Some(node);
    // That other node nearly always is the node right before it.
    let is_known = |node: &Peer| world.clockwise(node.id).rev().any(|host| knows(host, *node));
    world.clockwise(key).map(|host| host.me).find(is_known)
}

fn endure((series, fingers): (&str, Duration), (seed, nodes, rate, lookups): (u64, u32, u32, u32)) -> Vec<Reading> {
    let mut rng = chance(seed);
    rng.set_stream(rate.into());
    let mut world = settled(seed, nodes, fingers);
    let period = SECOND * 100 / rate;
    let (mut newcomers, mut begun) = (nodes.., 0);
    let mut next = [SECOND, period, period].map(|mean| world.now() + exponential(mean, &mut rng));
    let mut court = Court::default();
    while begun < lookups {
        let due = next.iter().copied().min().unwrap_or_default();
        court.watch(&mut world, due);
        let members = world.members();
        let chosen = members[rng.random_range(0..members.len())].me;
        if due == next[0] {
            next[0] += exponential(SECOND, &mut rng);
            begun += 1;
            court.ask(&mut world, chosen, Id::from_bytes(rng.random()));
        } else if due == next[1] {
            next[1] += exponential(period, &mut rng);
            if let Some(n) = newcomers.next() {
                world.start(newcomer(seed, n), &[chosen]);
            }
        } else {
            next[2] += exponential(period, &mut rng);
            world.leave(chosen);
            // The lookups that it has begun no longer have a receiver.
            court.open.retain(|_, asked| asked.from != chosen);
        }
    }
    let end = world.now() + world.config.lookup_timeout;
    court.watch(&mut world, end);
    let judged = court.paths.len() as f64 + court.failed[0];
    let (paths, timeouts) = (Sorted::new(court.paths), Sorted::new(court.timeouts));
    let mut readings = Vec::new();
    let mut point = at(&mut readings, series, f64::from(rate) / 100.0);
    point.read(PATH, paths.mean()).read(PATH_LOW, paths.percentile(1.0)).read(PATH_HIGH, paths.percentile(99.0));
    point.read(TIMEOUTS, timeouts.mean()).read(TIMEOUTS_LOW, timeouts.percentile(1.0));
    point.read(TIMEOUTS_HIGH, timeouts.percentile(99.0));
    for ((measure, _), failed) in JUDGES.iter().zip(court.failed) {
        point.read(measure, failed * 10_000.0 / judged);
    }
    point.read(JUDGED, judged);
    readings
}

/// Sees all nodes at once and judges lookups.
#[derive(Default)]
struct Court {
    open: BTreeMap<u64, Asked>,
    /// For each lookup that was right: the number of nodes asked, and of timeouts.
    paths: Vec<f64>,
    timeouts: Vec<f64>,
    /// How many were wrong, according to each of the [`JUDGES`]; the first decides which paths count.
    failed: [f64; JUDGES.len()],
}

impl Court {
    fn ask(&mut self, world: &mut World, from: Peer, key: Id) {
        if let Some(number) = world.lookup_in_style(from, key, Style::Iterative) {
            let mut asked = Asked { from, key, owners: Default::default() };
            asked.see(world);
            self.open.insert(number, asked);
        }
    }

    /// Lets time pass until `until`.
    fn watch(&mut self, world: &mut World, until: Duration) {
        while world.next_at().is_some_and(|at| at <= until) {
            world.step();
            world.env.suspected.clear();
            if std::mem::take(&mut world.env.changed) {
                self.open.values_mut().for_each(|asked| asked.see(world));
            }
            self.judge(world);
        }
        world.run(until.saturating_sub(world.now()));
    }

    /// Judges the lookups that have ended.
    fn judge(&mut self, world: &mut World) {
        let ended: Vec<u64> = self.open.keys().copied().filter(|number| world.found(*number).is_some()).collect();
        for number in ended {
            let Some((asked, result)) = self.open.remove(&number).zip(world.take_found(number)) else { continue };
            let named = result.as_ref().ok().map(|found| found.owner);
            let right = asked.owners.each_ref().map(|owners| named.is_some_and(|named| owners.contains(&named)));
            self.failed.iter_mut().zip(right).for_each(|(failed, right)| *failed += f64::from(u8::from(!right)));
            if let (true, Ok(found)) = (right[0], result) {
                self.paths.push(found.path.len() as f64);
                self.timeouts.push(found.timeouts.into());
            }
        }
    }
}

impl Asked {
    /// Notes the present owner of the key.
    fn see(&mut self, world: &World) {
        for ((_, owner), owners) in JUDGES.iter().zip(&mut self.owners) {
            if let Some(owner) = owner(world, self.key).filter(|owner| owners.last() != Some(owner)) {
                owners.push(owner);
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

/// How many lookups failed, as counts.
fn counts(rows: &[Row]) -> String {
    let mut text = "Failures are rare, and so they are counts: each with the rates per 10,000 lookups that may well come \
                    to it (95 %, exact for events that owe nothing to each other). The paper has a single run of 10,000 \
                    lookups for each R.\n\n\
                    | R | lookups | failed | of 10,000 | if who just joined owns nothing yet | of 10,000 | paper | of 10,000 |\n\
                    |---|---|---|---|---|---|---|---|"
        .to_owned();
    let (mut sums, mut lookups, mut papers) = ([0; JUDGES.len()], 0.0, 0);
    let line = |name: &str, lookups: f64, failed: [u32; JUDGES.len()], (paper, runs): (u32, f64)| {
        let interval = |events, lookups: f64| {
            let (low, high) = poisson(events);
            format!("{:.2} to {:.2}", low * 10_000.0 / lookups, high * 10_000.0 / lookups)
        };
        let [all, known] = failed.map(|failed| format!("{failed} | {}", interval(failed, lookups)));
        format!("\n| {name} | {lookups} | {all} | {known} | {paper} | {} |", interval(paper, 10_000.0 * runs))
    };
    for rate in RATES {
        let x = f64::from(rate) / 100.0;
        let row = |measure| rows.iter().find(|row| (&*row.series, row.x, row.measure) == (SERIES, x, measure));
        let sum = |measure| row(measure).map_or(0.0, |row| row.ours.mean * row.ours.seeds as f64);
        let judged = sum(JUDGED);
        let mean = |measure| row(measure).map_or(0.0, |row| row.ours.mean);
        let failed = JUDGES.map(|(measure, _)| (mean(measure) * judged / 10_000.0).round() as u32);
        let printed = paper(SERIES, x, FAILED).map_or(0, |paper| paper.value as u32);
        text += &line(&x.to_string(), judged, failed, (printed, 1.0));
        sums.iter_mut().zip(failed).for_each(|(sum, failed)| *sum += failed);
        (lookups, papers) = (lookups + judged, papers + printed);
    }
    text + &line("all", lookups, sums, (papers, RATES.len() as f64))
}

/// The series where a legend has little room.
const NAMES: &[(&str, &str)] = &[(SERIES, "as it is"), (RARELY, "fingers a tenth as fresh")];

/// The plots.
pub(super) const PANELS: &[Panel] = &[
    Panel {
        title: "Mean path length",
        x: ("joins, and leaves, per second", Count::Linear),
        y: ("nodes asked", Count::Linear),
        measures: &[PATH],
        series: &[],
        names: NAMES,
    },
    Panel {
        title: "99th percentile of the path length",
        x: ("joins, and leaves, per second", Count::Linear),
        y: ("nodes asked", Count::Linear),
        measures: &[PATH_HIGH],
        series: &[],
        names: NAMES,
    },
    Panel {
        title: "Mean of the time-outs",
        x: ("joins, and leaves, per second", Count::Linear),
        y: ("questions to nodes that are gone", Count::Linear),
        measures: &[TIMEOUTS],
        series: &[],
        names: NAMES,
    },
    Panel {
        title: "99th percentile of the time-outs",
        x: ("joins, and leaves, per second", Count::Linear),
        y: ("questions to nodes that are gone", Count::Linear),
        measures: &[TIMEOUTS_HIGH],
        series: &[],
        names: NAMES,
    },
    Panel {
        title: "Failed lookups",
        x: ("joins, and leaves, per second", Count::Linear),
        y: ("of 10,000", Count::Linear),
        measures: &[FAILED, FAILED_AMONG_KNOWN],
        series: &[SERIES],
        names: &[(FAILED, "as the paper judges"), (FAILED_AMONG_KNOWN, "if who just joined owns nothing yet")],
    },
];

fn conclude(readings: Vec<Reading>) -> Chapter {
    let rows = rows(readings, paper);
    Chapter {
        notes: vec![counts(&rows)],
        experiment: Experiment::Churn,
        about: "1,000 nodes at first, r = 20; one lookup a second in all, joins and voluntary leaves each at a rate of R \
                a second, all Poisson; rounds of maintenance about every 30 s; messages take 50 ms on average, \
                exponentially distributed. Four histories of 10,000 lookups for each rate. A lookup is right if the node \
                that it names was the first member at or after the key at any moment between question and answer; \
                beside it, in the same histories, if it was the first of those that are at the head of somebody's \
                list.",
        x: "R",
        table: &[PATH, PATH_LOW, PATH_HIGH, TIMEOUTS, TIMEOUTS_LOW, TIMEOUTS_HIGH, FAILED, FAILED_AMONG_KNOWN],
        rows,
        reasons: vec![
            Reason {
                explains: |row| row.measure == FAILED,
                text: "fewer than in the paper. A node that leaves tells both neighbours, who close the gap in some \
                       round trips instead of a round of stabilization, and a round that changes something is followed \
                       by another at once. The paper's pseudocode, which waits for its periods and believes what it \
                       has not heard itself, answers wrongly in the same histories in which we do not (I). What is \
                       left are keys of a node that has just become a member: ten messages in a row, half a second, \
                       lie between that and the node before it having heard of it, and until then its successor, \
                       which has the keys still, is named. No order of messages avoids that: nobody may be made a \
                       successor before it has answered as a member. What is left if such a node owns nothing yet, if \
                       anything, has named a node whose word that it has left was still on its way.",
            },
            Reason {
                explains: |row| [TIMEOUTS, TIMEOUTS_LOW, TIMEOUTS_HIGH, PATH_HIGH].contains(&row.measure),
                text: "fewer than in the paper, and no paths so long, because fingers are fresher: with \"fingers \
                       refreshed a tenth as often\" time-outs come near the paper's, and the 99th percentile of the \
                       path half of the way, though the mean path is above the paper's then. A node takes a dead one \
                       out of its tables as soon as any question to it fails, those of its own fingers among them.",
            },
            Reason {
                explains: |row| row.measure == PATH,
                text: "within 5 %. At low rates it is the length without failures (D, p = 0); at high ones fingers \
                       are fresher than in the paper, see there.",
            },
        ],
    }
}
