//! Random faults among real processes, within the rules of the environment.
//!
//! Faults come in bursts of up to three incidents, some milliseconds apart, so that each hits the
//! ring in the middle of earlier repairs; then the ring gets time to heal. The rules (`docs/correctness.md`):
//! no r adjacent nodes are struck in one burst, where struck means killed or stopped,
//! even if restarted at once; a node that is silent for longer keeps at least one of its
//! successors alive until it is back; more than r members remain. A seed is
//! never killed, and is never silent for as long as a joiner goes on asking.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use chord::protocol::id::Bits;
use chord::{Addr, Id, Peer};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::census::Census;
use crate::support::faults::{DRAWN, Fault, allow};
use crate::support::figures::{Cost, Growth};
use crate::support::process::Process;

mod hands;

/// The ring must be ideal this long after the last fault of a burst.
pub const IDEAL_WITHIN: Duration = Duration::from_secs(10);

/// Longer than a hiccup, and around the time at which silence is noticed: two calls of a second each.
const FLICKER: std::ops::Range<Duration> = Duration::from_millis(50)..Duration::from_secs(3);

/// Every how many bursts a storm comes; the first comes in the second burst.
const STORM_EVERY: usize = 15;

/// At most this many of the permanent members are down or silent at a time.
const MAX_MISSING: usize = 6;

/// The address of a node that may be running or not.
struct Place {
    peer: Peer,
    role: Role,
    process: Option<Process>,
    state: State,
    /// Counts the processes that have run here.
    run: u32,
    /// The places and runs of its successors when it fell silent, until it is back.
    remembers: Vec<(usize, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Is a seed for others.
    Seed,
    Member,
    /// Takes part only in storms.
    Extra,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down,
    Up,
    /// Silent since the instant, until the burst of that number.
    Silent(Instant, usize),
}

/// A ring under random faults.
pub struct Torture<'a> {
    /// In the order of the circle.
    places: Vec<Place>,
    r: usize,
    rng: ChaCha8Rng,
    census: &'a Census,
    began: Instant,
    burst: usize,
    deck: Vec<Fault>,
    /// The members when the burst began.
    settled: BTreeSet<usize>,
    /// The nodes killed or stopped in this burst.
    struck: BTreeSet<usize>,
    /// The nodes to be continued in this burst, and when.
    flickering: Vec<(Instant, usize)>,
    last_fault: Instant,
    faults: BTreeMap<Fault, usize>,
    log: Vec<String>,
    /// The times from the last fault of each burst to the ideal ring.
    healed: Vec<Duration>,
    /// The costs of members at the end of the first storm, by place and run.
    warm: BTreeMap<(usize, u32), Cost>,
}

impl<'a> Torture<'a> {
    /// A ring of nodes at the first `n` of these addresses; the others are for storms.
    pub fn start(addrs: &[Addr], n: usize, r: usize, seed: u64, census: &'a Census) -> Torture<'a> {
        let place = |(i, addr): (usize, &Addr)| Place {
            // Not the hash of the address, which changes from run to run: a seed must repeat a history.
            peer: Peer { id: Id::of_key(format!("{seed} {i}").as_bytes(), Bits::FULL), addr: *addr },
            role: if i >= n { Role::Extra } else { Role::Member },
            process: None,
            state: State::Down,
            run: 0,
            remembers: Vec::new(),
        };
        let mut places: Vec<_> = addrs.iter().enumerate().map(place).collect();
        places.sort_by_key(|place| place.peer);
        // Evenly spread, so that r - 1 adjacent members remain between them.
        let mut members: Vec<_> = places.iter_mut().filter(|place| place.role == Role::Member).collect();
        members.iter_mut().step_by(r + 2).for_each(|place| place.role = Role::Seed);
        let now = Instant::now();
        let mut torture = Torture {
            places,
            r,
            rng: ChaCha8Rng::seed_from_u64(seed),
            census,
            began: now,
            burst: 0,
            deck: Vec::new(),
            settled: BTreeSet::new(),
            struck: BTreeSet::new(),
            flickering: Vec::new(),
            last_fault: now,
            faults: BTreeMap::new(),
            log: Vec::new(),
            healed: Vec::new(),
            warm: BTreeMap::new(),
        };
        let members = torture.which(|place| place.role != Role::Extra);
        let creator = torture.which(|place| place.role == Role::Seed)[0];
        torture.start_at(&[creator], None);
        let joiners: Vec<_> = members.into_iter().filter(|at| *at != creator).collect();
        torture.start_at(&joiners, Some(torture.places[creator].peer.addr));
        torture.settle();
        torture
    }

    /// One burst of faults, and its repair.
    pub fn burst(&mut self) {
        self.burst += 1;
        self.last_fault = Instant::now();
        self.log(&format!("burst {}", self.burst));
        self.bring_back();
        if self.burst % STORM_EVERY == 2 {
            self.strike(Fault::Storm);
        }
        for _ in 0..self.rng.random_range(1..=3) {
            let fault = self.draw();
            self.strike(fault);
            let pause = self.rng.random_range(Duration::ZERO..Duration::from_millis(300));
            self.pause(pause);
        }
        self.settle();
        let pause = self.rng.random_range(Duration::ZERO..Duration::from_millis(500));
        thread::sleep(pause);
    }

    /// Ends all faults; how long the ring then took to be ideal, with all its members.
    pub fn heal(&mut self) -> Duration {
        self.log("healing");
        self.burst = usize::MAX;
        self.last_fault = Instant::now();
        self.bring_back();
        while !self.which(|place| place.role == Role::Extra && place.state == State::Up).is_empty() {
            self.strike(Fault::Leave);
            self.settle();
        }
        self.settle();
        self.healed.last().copied().unwrap_or_default()
    }

    /// Brings back nodes that were out of the ring long enough: at the end all of them, else at random.
    fn bring_back(&mut self) {
        let due = self.which(|place| matches!(place.state, State::Silent(_, until) if until <= self.burst));
        for at in due {
            if self.burst != usize::MAX && self.rng.random_ratio(1, 4) {
                self.note(Fault::Crash, &[at]);
                self.kill(&[at]);
            } else {
                self.note(Fault::Wake, &[at]);
                self.wake(&[at]);
            }
        }
        let mut down = self.which(|place| place.role == Role::Member && place.state == State::Down);
        if self.burst != usize::MAX {
            down.retain(|_| self.rng.random());
        }
        if !down.is_empty() {
            self.note(Fault::Return, &down);
            self.join(&down);
        }
    }

    fn draw(&mut self) -> Fault {
        if !self.settled.iter().all(|at| self.places[*at].role != Role::Extra) {
            return Fault::Leave;
        }
        if self.deck.is_empty() {
            self.deck = DRAWN.to_vec();
            self.deck.shuffle(&mut self.rng);
        }
        self.deck.pop().expect("it was filled")
    }

    fn strike(&mut self, fault: Fault) {
        let seeds_too = fault == Fault::Flicker;
        let victims = match fault {
            Fault::Storm => self.which(|place| place.role == Role::Extra && place.state == State::Down),
            Fault::Leave => self.many(),
            Fault::DeathInJoining => self.idle(),
            _ => self.run_of_neighbors(seeds_too),
        };
        if victims.is_empty() {
            return self.log(&format!("no place for {fault:?}"));
        }
        self.note(fault, &victims);
        match fault {
            Fault::Crash | Fault::Leave => self.kill(&victims),
            Fault::Restart => {
                self.kill(&victims);
                self.join(&victims);
            }
            Fault::Flicker => {
                let until = Instant::now() + self.rng.random_range(FLICKER);
                self.stop(&victims, self.burst);
                self.flickering.extend(victims.iter().map(|at| (until, *at)));
            }
            Fault::Silence => {
                let until = self.burst + self.rng.random_range(1..=3);
                self.stop(&victims, until);
            }
            Fault::DeathInJoining => {
                self.join(&victims);
                let pause = self.rng.random_range(Duration::ZERO..Duration::from_millis(100));
                self.pause(pause);
                self.kill(&victims);
            }
            Fault::Storm | Fault::Return => self.join(&victims),
            Fault::Wake => self.wake(&victims),
        }
    }

    fn which(&self, condition: impl Fn(&Place) -> bool) -> Vec<usize> {
        (0..self.places.len()).filter(|at| condition(&self.places[*at])).collect()
    }

    /// Some adjacent members that the rules allow to strike.
    fn run_of_neighbors(&mut self, seeds_too: bool) -> Vec<usize> {
        let missing = self.which(|place| place.role == Role::Member && place.state != State::Up).len();
        let most = (self.r - 1).min(MAX_MISSING.saturating_sub(missing));
        let settled: Vec<_> = self.settled.iter().copied().collect();
        for _ in 0..100 {
            let n = self.rng.random_range(0..most.max(1)) + 1;
            let first = self.rng.random_range(0..settled.len());
            let run: Vec<_> = settled.iter().copied().cycle().skip(first).take(n.min(most)).collect();
            let fit = |at: &usize| seeds_too || self.places[*at].role != Role::Seed;
            if run.iter().all(fit) && self.is_allowed(&run) {
                return run;
            }
        }
        Vec::new()
    }

    /// As many of the nodes that came with a storm as the rules allow to strike at once.
    fn many(&mut self) -> Vec<usize> {
        let mut extras = self.which(|place| place.role == Role::Extra && place.state == State::Up);
        extras.retain(|at| self.settled.contains(at));
        extras.shuffle(&mut self.rng);
        let mut victims = Vec::new();
        for at in extras {
            victims.push(at);
            if !self.is_allowed(&victims) {
                victims.pop();
            }
        }
        victims
    }

    /// A place without a running node.
    fn idle(&mut self) -> Vec<usize> {
        let mut idle = self.which(|place| place.role == Role::Extra && place.state == State::Down);
        idle.retain(|at| self.is_allowed(&[*at]));
        idle.choose(&mut self.rng).copied().into_iter().collect()
    }

    /// Whether these may be struck as well in this burst.
    fn is_allowed(&self, victims: &[usize]) -> bool {
        let lives = |(at, run): &(usize, u32)| {
            let place = &self.places[*at];
            place.state == State::Up && place.run == *run && !self.struck.contains(at) && !victims.contains(at)
        };
        let mut sleepers = self.places.iter().filter(|place| !place.remembers.is_empty());
        sleepers.all(|place| place.remembers.iter().any(lives)) && allow(&self.settled, &self.struck, victims, self.r)
    }

    fn join(&mut self, victims: &[usize]) {
        let settled = |at: &usize| self.settled.contains(at) && !self.struck.contains(at);
        let mut seeds = self.which(|place| place.role == Role::Seed);
        seeds.retain(settled);
        for at in victims {
            let seed = seeds.choose(&mut self.rng).expect("some seed is not struck");
            self.start_at(&[*at], Some(self.places[*seed].peer.addr));
        }
    }

    /// How the costs of its members have changed since the end of the first storm.
    pub fn growth(&self) -> Growth {
        let now = self.costs();
        let both = self.warm.iter().filter_map(|(key, before)| Some((*before, *now.get(key)?)));
        Growth { since: both.collect(), all: now.into_values().collect() }
    }

    /// The number of bursts, and how many nodes each kind of fault has struck.
    pub fn faults(&self) -> (usize, &BTreeMap<Fault, usize>) {
        (self.healed.len(), &self.faults)
    }

    /// The figures.
    pub fn describe(&self) -> String {
        let mut healed = self.healed.clone();
        healed.sort();
        let median = healed.get(healed.len() / 2).copied().unwrap_or_default();
        format!(
            "{} bursts; nodes by fault: {:?}; from the last fault of a burst to the ideal ring: median {median:?}, at most {:?}",
            healed.len(),
            self.faults,
            healed.last().copied().unwrap_or_default(),
        )
    }

    fn note(&mut self, fault: Fault, at: &[usize]) {
        *self.faults.entry(fault).or_default() += at.len();
        self.log(&format!("{fault:?} of {:?}", self.peers(at)));
    }

    fn log(&mut self, what: &str) {
        self.log.push(format!("{:8.3} s  {what}", self.began.elapsed().as_secs_f64()));
    }
}

/// A test that fails prints its log of faults.
impl Drop for Torture<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.log.join("\n"));
        }
    }
}
