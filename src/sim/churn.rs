//! Rings whose nodes come and go: the workload with which simulators of Chord are compared.
//!
//! Each node lives and is away for exponentially distributed times, and comes back under its old identifier. It leaves
//! without notice, and calls to it are refused. While it lives it looks up random keys, and each answer is compared
//! with the ring of that moment. The first node never leaves; all others join through it. In the beginning the ring is
//! ideal.

pub mod report;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::{ControlFlow, Range};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::delay::{Delay, exponential};
use super::nodes::hashed;
use super::queue::Queue;
use super::reason::reason;
use super::tables::Tables;
use super::world::World;
use crate::node::config::Config;
use crate::protocol::id::{Bits, Id};
use crate::protocol::lookup::Found;
use report::Report;

/// A workload. The default is that of a published simulator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// How many nodes come and go; the first never leaves.
    pub nodes: u32,
    /// The mean life of a node.
    pub life: Duration,
    /// The mean time that a node is away.
    pub absence: Duration,
    /// The mean time from one lookup of a node to the next.
    pub lookup_every: Duration,
    /// How long the workload runs.
    pub time: Duration,
    /// How long messages take.
    pub delay: Delay,
    /// The configuration of each node, except for its seed.
    pub config: Config,
}

impl Default for Workload {
    fn default() -> Workload {
        let (hour, period) = (Duration::from_secs(3600), Duration::from_secs(120));
        Workload {
            nodes: 1024,
            life: hour,
            absence: hour,
            lookup_every: Duration::from_secs(600),
            time: 6 * hour,
            delay: Delay::Plane(Duration::from_millis(100)),
            config: Config {
                stabilize: period,
                fix_fingers: period,
                paced_fingers: true,
                check_predecessor: period,
                // A hop takes 0.1 s there and back, and each has three quarters of the time limit of the one before.
                rpc_timeout: Duration::from_secs(2),
                lookup_timeout: Duration::from_secs(20),
                ..Config::new(Ipv4Addr::LOCALHOST)
            },
        }
    }
}

/// The next action of a node.
enum Turn {
    Come(u32),
    Leave(u32),
    /// Skipped if the node is away.
    LookUp(u32),
}

/// A workload under way.
struct Churn<'a> {
    world: World,
    workload: &'a Workload,
    rng: ChaCha8Rng,
    turns: Queue<Turn>,
    /// The key and the asker of each lookup under way, by the lookup's number.
    open: BTreeMap<u64, (Id, u32)>,
    report: Report,
}

/// Runs a workload, and now and then calls `told` with the time that has passed since the last call; one seed is one
/// history. `None` if `told` said to stop.
pub fn run(seed: u64, workload: &Workload, told: impl Fn(Duration) -> ControlFlow<()>) -> Option<Report> {
    let mut churn = Churn::new(seed, workload);
    let slice = workload.time / SLICES;
    for _ in 0..SLICES {
        churn.run(slice);
        if told(slice).is_break() {
            return None;
        }
    }
    churn.run(workload.time - SLICES * slice);
    Some(churn.conclude())
}

/// How often progress is reported.
const SLICES: u32 = 100;

/// Runs a workload with each of these seeds, on `jobs` threads, until `told` says to stop. The result does not depend
/// on the number of threads.
pub fn sweep(
    seeds: Range<u64>,
    workload: &Workload,
    jobs: usize,
    told: impl Fn(Duration) -> ControlFlow<()> + Sync,
) -> Report {
    let next = AtomicU64::new(seeds.start);
    let sum = Mutex::new(Report::default());
    let work = || {
        while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < seeds.end) {
            let Some(report) = run(seed, workload, &told) else { break };
            // If another thread has panicked, so does the whole sweep.
            if let Ok(mut sum) = sum.lock() {
                sum.add(&report);
            }
        }
    };
    thread::scope(|scope| (0..jobs.max(1)).for_each(|_| drop(scope.spawn(work))));
    sum.into_inner().unwrap_or_default()
}

impl<'a> Churn<'a> {
    fn new(seed: u64, workload: &'a Workload) -> Churn<'a> {
        let mut world = World::new(seed, Bits::FULL, workload.config.successors);
        world.config = workload.config.clone();
        world.env.network.delay = workload.delay.clone();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // The world draws from the first stream.
        rng.set_stream(1);
        let mut churn =
            Churn { world, workload, rng, turns: Queue::default(), open: BTreeMap::new(), report: Report::default() };
        churn.begin();
        churn
    }

    /// At the beginning about as many nodes live as do on average, as one ring.
    fn begin(&mut self) {
        let Workload { life, absence, .. } = *self.workload;
        let part = life.as_secs_f64() / (life + absence).as_secs_f64();
        let mut living = vec![hashed(0)];
        for node in 1..self.workload.nodes {
            if self.rng.random_bool(part) {
                living.push(hashed(node));
                self.push(life, Turn::Leave(node));
            } else {
                self.push(absence, Turn::Come(node));
            }
        }
        for node in 0..self.workload.nodes {
            self.push(self.workload.lookup_every, Turn::LookUp(node));
        }
        let tables = Tables::by_definition(living, Bits::FULL, self.workload.config.successors);
        self.world.settle(&tables, &[hashed(0)]);
    }

    /// Lets this much time pass.
    fn run(&mut self, time: Duration) {
        let end = self.world.now() + time;
        while self.turns.next_at().is_some_and(|at| at <= end) {
            if let Some((at, turn)) = self.turns.pop() {
                self.run_world(at);
                self.take(turn);
            }
        }
        self.run_world(end);
    }

    fn run_world(&mut self, end: Duration) {
        self.report.lived += (end - self.world.now()) * self.world.count();
        while self.world.next_at().is_some_and(|at| at <= end) {
            self.world.step();
            self.judge();
            self.world.env.suspected.clear();
        }
        self.world.run(end - self.world.now());
    }

    fn push(&mut self, mean: Duration, turn: Turn) {
        let after = exponential(mean, &mut self.rng);
        self.turns.push(self.world.now() + after, turn);
    }

    fn take(&mut self, turn: Turn) {
        match turn {
            Turn::Come(node) => {
                self.world.start(hashed(node), &[hashed(0)]);
                self.push(self.workload.life, Turn::Leave(node));
            }
            Turn::Leave(node) => {
                self.orphan(node);
                self.world.crash(hashed(node));
                self.push(self.workload.absence, Turn::Come(node));
            }
            Turn::LookUp(node) => {
                self.look_up(node);
                // Exponential times have no memory, so a node that is away needs no special case.
                self.push(self.workload.lookup_every, Turn::LookUp(node));
            }
        }
    }
}

/// Lookups and their verdicts.
impl Churn<'_> {
    fn look_up(&mut self, node: u32) {
        let key = Id::from_bytes(self.rng.random());
        if let Some(number) = self.world.lookup(hashed(node), key) {
            self.open.insert(number, (key, node));
            self.judge();
        }
    }

    /// Judges the answers that have just arrived.
    fn judge(&mut self) {
        while let Some((number, result)) = self.world.env.found.pop_first() {
            let Some((key, _)) = self.open.remove(&number) else { continue };
            let verdicts = &mut self.report.verdicts;
            match result {
                Ok(Found { owner, path, .. }) if self.world.successor(key) == Some(owner) => {
                    verdicts.right += 1;
                    verdicts.hops += path.len() as u64;
                }
                Ok(_) => verdicts.wrong += 1,
                Err(lost) => *verdicts.lost.entry(reason(lost)).or_default() += 1,
            }
        }
    }

    /// Forgets the lookups of a node that leaves.
    fn orphan(&mut self, node: u32) {
        let before = self.open.len();
        self.open.retain(|_, (_, asker)| *asker != node);
        self.report.verdicts.orphaned += (before - self.open.len()) as u64;
    }

    fn conclude(mut self) -> Report {
        Report {
            histories: 1,
            fingerprint: self.world.env.log.fingerprint(),
            tally: std::mem::take(&mut self.world.env.tally),
            time: self.world.now(),
            ..self.report
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON: ControlFlow<()> = ControlFlow::Continue(());

    fn small() -> Workload {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Workload {
            nodes: 64,
            life: minutes(20),
            absence: minutes(10),
            lookup_every: minutes(1),
            time: minutes(60),
            ..Workload::default()
        }
    }

    #[test]
    fn nodes_come_and_go_and_lookups_find_the_owners() {
        let report = sweep(0..4, &small(), 2, |_| ON);
        let Report { tally, verdicts, .. } = &report;
        assert!((36.0..50.0).contains(&report.living()), "two thirds of 64: {report}");
        // A life and an absence together take half an hour.
        assert!((300..720).contains(&tally.crashes), "{report}");
        assert!(tally.joins + 10 > tally.starts - 4 * 50, "who starts joins: {report}");
        assert!((8_000..13_000).contains(&tally.lookups), "{report}");
        assert!(verdicts.right * 100 > tally.lookups * 99, "{report}");
        let ended = verdicts.right + verdicts.wrong + verdicts.orphaned + verdicts.lost.values().sum::<u64>();
        assert!(ended <= tally.lookups && tally.lookups - ended < 8, "the last are under way: {report}");
        assert!((1.0..4.0).contains(&report.path_length()), "half of log2 43 is 2.7: {report}");
        assert_eq!(tally.garbled, 0);
    }

    #[test]
    fn one_seed_is_one_history_on_any_number_of_threads() {
        let (one, three) = (sweep(5..8, &small(), 1, |_| ON), sweep(5..8, &small(), 3, |_| ON));
        assert_eq!(one, three);
        assert_ne!(one.fingerprint, sweep(4..7, &small(), 3, |_| ON).fingerprint);
    }

    #[test]
    fn all_time_is_told_of() {
        let (told, workload) = (Mutex::new(Duration::ZERO), Workload { nodes: 2, ..small() });
        let tell = |time| {
            *told.lock().unwrap() += time;
            ON
        };
        sweep(0..2, &workload, 2, tell);
        assert_eq!(told.into_inner().unwrap(), 2 * workload.time);
    }

    #[test]
    fn what_is_finished_is_kept_when_it_is_not_to_go_on() {
        let slices = AtomicU64::new(0);
        let two_and_a_half = |_| match slices.fetch_add(1, Ordering::Relaxed) {
            slices if slices < 2 * u64::from(SLICES) + 50 => ON,
            _ => ControlFlow::Break(()),
        };
        let report = sweep(0..6, &small(), 1, two_and_a_half);
        assert_eq!(report, sweep(0..2, &small(), 1, |_| ON));
    }
}
