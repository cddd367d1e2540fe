//! One storm: a ring without load, then under load, a fault, and the time after it.

use std::net::Ipv4Addr;
use std::time::Duration;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::load::{Counts, INTERVAL, Load};
use super::{Fault, Options};
use crate::protocol::addr::Addr;
use crate::protocol::id::{Bits, Id};
use crate::protocol::peer::Peer;
use crate::sim::chaos::bound;
use crate::sim::delay::Delay;
use crate::sim::tables::Tables;
use crate::sim::world::World;

/// The length of the successor lists, equal to the program's default.
const R: usize = 4;

/// When the load begins, and when counting begins.
const BEGIN: Duration = Duration::from_millis(500);
const BEFORE: Duration = Duration::from_millis(1500);

/// When the fault happens.
const TRIGGER: Duration = Duration::from_millis(3500);

/// This long after the end of the fault the ring has to be as it was; from then on it is watched for `AFTER`.
const REST: Duration = Duration::from_secs(2);
const AFTER: Duration = Duration::from_secs(4);

/// The delay between threads: that of machines in one building.
const NEAR: std::ops::RangeInclusive<Duration> = Duration::from_micros(100)..=Duration::from_micros(500);

/// How many lookups per thread are kept under way while capacity is measured: enough to keep each thread busy all the
/// time.
const BUSY: usize = 128;

/// Goodput is back when it has been at this part of the earlier value for this many intervals.
pub(super) const BACK: f64 = 0.95;
const BACK_FOR: usize = 3;

/// The outcome of one storm. Goodput is right answers per second.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The offered load: as a share of the capacity, and in lookups per second.
    pub load: f64,
    /// The same load in lookups per second.
    pub offered: f64,
    /// In the two seconds before the fault.
    pub before: f64,
    /// From the beginning of the fault until two seconds after its end.
    pub during: f64,
    /// In the four seconds that follow on `during`.
    pub after: f64,
    /// How long after the end of the fault goodput was back; `None` if it never was.
    pub back: Option<Duration>,
    /// The verdicts on all lookups of the storm, those before the fault included.
    pub counts: Counts,
    /// Lookups that ended with the node that began them.
    pub orphaned: u64,
    /// When the fault began and ended.
    pub fault: (Duration, Duration),
    /// Storms with the same fingerprint had the same events.
    pub fingerprint: u64,
}

struct Course {
    world: World,
    load: Load,
    /// Indexed by thread.
    nodes: Vec<Vec<Peer>>,
    rng: ChaCha8Rng,
}

impl Course {
    fn new(options: &Options) -> Course {
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        // The world draws from the first stream.
        rng.set_stream(4);
        let mut ids: Vec<Id> = (0..options.nodes).map(|_| Id::from_bytes(rng.random())).collect();
        ids.sort_unstable();
        let threads = options.threads as usize;
        let mut nodes: Vec<Vec<Peer>> = vec![Vec::new(); threads];
        let mut turn: Vec<usize> = (0..threads).collect();
        for round in ids.chunks(threads) {
            // At most two neighbours in the ring share a thread, so that the loss of one thread is within the rules.
            turn.shuffle(&mut rng);
            for (id, thread) in round.iter().zip(&turn) {
                let addr = Addr::new(address(*thread), FIRST_PORT + nodes[*thread].len() as u16);
                nodes[*thread].push(Peer { id: *id, addr });
            }
        }
        let mut world = World::new(options.seed, Bits::FULL, R);
        world.env.network.delay = Delay::Uniform(NEAR);
        for nodes in &nodes {
            let all: Vec<Addr> = nodes.iter().map(|peer| peer.addr).collect();
            world.share_thread(&all, options.prices, options.defences);
        }
        let mut all: Vec<Peer> = nodes.iter().flatten().copied().collect();
        all.sort_unstable();
        let tables = Tables::by_definition(all.clone(), Bits::FULL, R);
        world.settle(&tables, &all[..3.min(all.len())]);
        Course { world, load: Load::new(options.seed, all), nodes, rng }
    }

    /// Makes the fault happen; returns how long it lasts.
    fn strike(&mut self, options: &Options) -> Duration {
        let now = self.world.now();
        let struck: Vec<Vec<Peer>> = self.nodes.iter().take(options.struck as usize).cloned().collect();
        let unnoticed = now + bound::notice(&self.world.config);
        match options.fault {
            Fault::Pause => {
                for nodes in &struck {
                    self.world.pause(nodes[0], options.pause);
                }
                // A thread that sleeps for longer than others wait is rightly found dead, and comes back.
                if options.pause > self.world.config.rpc_timeout && struck.len() < self.nodes.len() {
                    self.load.doubt(&struck.concat(), Duration::MAX);
                }
                return options.pause;
            }
            Fault::Kill | Fault::Restart => {
                self.load.doubt(&struck.concat(), unnoticed);
                struck.concat().into_iter().for_each(|peer| self.world.crash(peer));
                if options.fault == Fault::Restart {
                    let seeds: Vec<Peer> = self.nodes.iter().skip(options.struck as usize).map(|own| own[0]).collect();
                    for (thread, nodes) in struck.iter().enumerate() {
                        self.restart(thread, nodes.len(), &seeds, options);
                    }
                }
            }
            Fault::Leave => {
                for nodes in &struck {
                    let leaver = nodes[self.rng.random_range(0..nodes.len())];
                    self.load.doubt(&[leaver], unnoticed);
                    self.world.leave(leaver);
                }
            }
        }
        Duration::ZERO
    }

    /// Starts other nodes in the place of those of a thread, on new ports.
    fn restart(&mut self, thread: usize, count: usize, seeds: &[Peer], options: &Options) {
        let port = |at: usize| FIRST_PORT + (count + at) as u16;
        let addr = |at: usize| Addr::new(address(thread), port(at));
        let nodes: Vec<Peer> =
            (0..count).map(|at| Peer { id: Id::from_bytes(self.rng.random()), addr: addr(at) }).collect();
        let all: Vec<Addr> = nodes.iter().map(|peer| peer.addr).collect();
        self.world.share_thread(&all, options.prices, options.defences);
        self.load.expect(&nodes, self.world.now());
        nodes.into_iter().for_each(|peer| self.world.start(peer, seeds));
    }
}

const FIRST_PORT: u16 = 4170;

/// The address of a thread.
fn address(thread: usize) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0001 + thread as u32)
}

/// How many lookups per second the ring can serve.
pub fn capacity(options: &Options) -> f64 {
    // With all defences: they do not change what the ring can serve, but a busy ring without them would not reach it.
    let defended = Options { defences: Default::default(), ..options.clone() };
    let Course { mut world, mut load, nodes, .. } = Course::new(&defended);
    load.keep_busy(&mut world, BUSY * nodes.len(), BEFORE + REST);
    load.counts.goodput(BEFORE, BEFORE + REST)
}

/// A storm of a ring with this capacity, in lookups per second.
pub fn storm(options: &Options, load: f64, capacity: f64) -> Outcome {
    let mut course = Course::new(options);
    let offered = load * capacity;
    course.world.run(BEGIN);
    course.load.offer(&mut course.world, offered, TRIGGER);
    let end = TRIGGER + course.strike(options);
    let last = end + REST + AFTER;
    course.load.offer(&mut course.world, offered, last);
    let patience = course.world.config.lookup_timeout;
    course.load.wait(&mut course.world, patience + Duration::from_secs(1));
    let counts = course.load.counts.clone();
    let before = counts.goodput(BEFORE, TRIGGER);
    Outcome {
        load,
        offered,
        before,
        during: counts.goodput(TRIGGER, end + REST),
        after: counts.goodput(end + REST, last),
        back: back(&counts, before * options.left().min(1.0 / load.max(options.left())), end, last),
        orphaned: course.load.open() as u64,
        fault: (TRIGGER, end),
        fingerprint: course.world.env.log.fingerprint(),
        counts,
    }
}

/// How long after the end of the fault goodput was back.
fn back(counts: &Counts, before: f64, end: Duration, last: Duration) -> Option<Duration> {
    let length = INTERVAL * BACK_FOR as u32;
    let mut from = end;
    while from + length <= last {
        if counts.goodput(from, from + length) >= BACK * before {
            return Some(from - end);
        }
        from += INTERVAL;
    }
    None
}
