//! Random faults among real processes, within the rules of the environment.
//!
//! Faults come in bursts of up to three incidents, some milliseconds apart, so that they meet in the
//! middle of each other's repair; then the ring gets its time. The rules (`docs/correctness.md`):
//! no run of r adjacent nodes is struck in one burst, where struck is who was killed or stopped,
//! also if it was started again at once; whoever is silent for longer keeps, of the successors
//! that it had, one that lives until it is back; more than r members remain. A seed is
//! never killed, and not silent for as long as a joiner goes on asking.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use chord::protocol::id::Bits;
use chord::{Id, Peer};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;

use crate::census::{Census, Presence};
use crate::faults::{DRAWN, Fault, allow};
use crate::figures::{Cost, Growth};
use crate::ideal::Ideal;
use crate::process::{CHORD, Process, eventually};

/// The ring is to be ideal so long after the last fault of a burst.
pub const IDEAL_WITHIN: Duration = Duration::from_secs(10);

/// Longer than a hiccup, and long enough to be noticed or not: two calls of a second each.
const FLICKER: std::ops::Range<Duration> = Duration::from_millis(50)..Duration::from_secs(3);

/// A storm comes in every so many bursts, first in the second.
const STORM_EVERY: usize = 15;

/// No more than so many of the nodes that are to be there are down or silent at a time.
const MAX_MISSING: usize = 6;

/// An address at which a node lives at times.
struct Place {
    peer: Peer,
    role: Role,
    process: Option<Process>,
    state: State,
    /// Counts the processes that have lived here.
    run: u32,
    /// The places of its successors and their runs when it fell silent, until it is back.
    remembers: Vec<(usize, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Is a seed for others.
    Seed,
    Member,
    /// Only comes with storms.
    Extra,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down,
    Up,
    /// Since an instant, until the burst of that number.
    Silent(Instant, usize),
}

/// A ring that is tortured.
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
    /// Who was killed or stopped in this burst.
    struck: BTreeSet<usize>,
    /// Who has to be continued in this burst, and when.
    flickering: Vec<(Instant, usize)>,
    last_fault: Instant,
    faults: BTreeMap<Fault, usize>,
    log: Vec<String>,
    /// From the last fault of each burst to the ideal ring.
    healed: Vec<Duration>,
    /// What members cost when all was warm, by place and run.
    warm: BTreeMap<(usize, u32), Cost>,
}

impl<'a> Torture<'a> {
    /// A ring of nodes at the first `n` of these addresses; the others are for storms.
    pub fn start(addrs: &[SocketAddrV4], n: usize, r: usize, seed: u64, census: &'a Census) -> Torture<'a> {
        let place = |(i, addr): (usize, &SocketAddrV4)| Place {
            // Not the hash of an address that is another one each time: a seed is to repeat a history.
            peer: Peer { id: Id::of_key(format!("{seed} {i}").as_bytes(), Bits::FULL), addr: *addr },
            role: if i >= n { Role::Extra } else { Role::Member },
            process: None,
            state: State::Down,
            run: 0,
            remembers: Vec::new(),
        };
        let mut places: Vec<_> = addrs.iter().enumerate().map(place).collect();
        places.sort_by_key(|place| place.peer);
        // Evenly spread, so that runs of r - 1 remain between them.
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

    /// Who was out of the ring long enough comes back: always at the end, else as luck has it.
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

    /// Some members side by side that the rules allow to strike.
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

    /// As many of those that came with a storm as the rules allow to strike at once.
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

    /// A place where nobody lives.
    fn idle(&mut self) -> Vec<usize> {
        let mut idle = self.which(|place| place.role == Role::Extra && place.state == State::Down);
        idle.retain(|at| self.is_allowed(&[*at]));
        idle.choose(&mut self.rng).copied().into_iter().collect()
    }

    /// Whether these may be struck, too, in this burst.
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

    fn start_at(&mut self, at: &[usize], seed: Option<SocketAddrV4>) {
        self.census.set(Some(Presence::Perhaps), self.peers(at));
        for at in at {
            let place = &mut self.places[*at];
            place.process = Some(Process::start_by(Command::new(CHORD), place.peer, seed, self.r));
            place.state = State::Up;
            place.run += 1;
        }
        self.last_fault = Instant::now();
    }

    fn kill(&mut self, victims: &[usize]) {
        // Whoever was silent and missed before is no member, and can't become one by dying.
        let members = |at: &&usize| !matches!(self.places[**at].state, State::Silent(..));
        let dying: Vec<_> = victims.iter().filter(members).map(|at| self.places[*at].peer).collect();
        self.census.set(Some(Presence::Perhaps), dying);
        self.struck.extend(victims);
        let processes: Vec<_> = victims.iter().filter_map(|at| self.places[*at].process.take()).collect();
        processes.iter().for_each(|process| process.signal(Signal::KILL));
        for process in processes {
            check_errors(&process);
            process.kill();
        }
        self.census.set(None, self.peers(victims));
        for at in victims {
            let place = &mut self.places[*at];
            place.state = State::Down;
            place.remembers.clear();
        }
        self.last_fault = Instant::now();
    }

    fn stop(&mut self, victims: &[usize], until: usize) {
        let now = Instant::now();
        self.census.set(Some(Presence::Silent(now)), self.peers(victims));
        self.struck.extend(victims);
        for at in victims {
            let successors = self.settled.range(at + 1..).chain(self.settled.range(..at)).take(self.r);
            let remembers = successors.map(|at| (*at, self.places[*at].run)).collect();
            let place = &mut self.places[*at];
            place.remembers = remembers;
            place.state = State::Silent(now, until);
            place.process.iter().for_each(|process| process.signal(Signal::STOP));
        }
        self.last_fault = Instant::now();
    }

    fn wake(&mut self, sleepers: &[usize]) {
        for at in sleepers {
            let place = &mut self.places[*at];
            let State::Silent(since, _) = place.state else { continue };
            self.census.set(Some(Presence::Waking(since)), [place.peer]);
            place.process.iter().for_each(|process| process.signal(Signal::CONT));
            place.state = State::Up;
        }
        self.last_fault = Instant::now();
    }

    fn peers(&self, at: &[usize]) -> Vec<Peer> {
        at.iter().map(|at| self.places[*at].peer).collect()
    }

    /// Lets time pass, and continues who has flickered long enough.
    fn pause(&mut self, time: Duration) {
        let end = Instant::now() + time;
        self.flickering.sort();
        while let Some((due, at)) = self.flickering.first().copied().filter(|(due, _)| *due <= end) {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            self.flickering.remove(0);
            self.log(&format!("{:?} goes on", self.places[at].peer));
            self.wake(&[at]);
        }
        thread::sleep(end.saturating_duration_since(Instant::now()));
    }

    /// Waits until the ring is ideal, without those that are still silent.
    fn settle(&mut self) {
        while let Some((due, _)) = self.flickering.iter().max() {
            self.pause(due.saturating_duration_since(Instant::now()));
        }
        let up = self.which(|place| place.state == State::Up);
        let mut processes: Vec<_> = self
            .places
            .iter_mut()
            .filter(|place| place.state == State::Up)
            .filter_map(|place| place.process.as_mut())
            .collect();
        let ideal = Ideal::of(processes.iter().map(|process| &**process));
        eventually(IDEAL_WITHIN.saturating_sub(self.last_fault.elapsed()), || {
            processes.iter_mut().try_for_each(|process| {
                assert!(process.runs(), "{:?} has ended by itself", process.peer);
                check_errors(process);
                ideal.check(process, self.r)
            })
        });
        self.healed.push(self.last_fault.elapsed());
        self.census.set(Some(Presence::Surely), self.peers(&up));
        for place in &mut self.places {
            match place.state {
                State::Silent(since, _) => self.census.set(Some(Presence::Missed(since)), [place.peer]),
                State::Up => place.remembers.clear(),
                State::Down => {}
            }
        }
        self.log(&format!("{} members, ideal after {:?}", up.len(), self.last_fault.elapsed()));
        self.settled = up.into_iter().collect();
        self.struck.clear();
        if self.warm.is_empty() && self.faults.contains_key(&Fault::Leave) && !self.has_extras() {
            self.warm = self.costs();
        }
    }

    fn has_extras(&self) -> bool {
        self.places.iter().any(|place| place.role == Role::Extra && place.state != State::Down)
    }

    fn costs(&self) -> BTreeMap<(usize, u32), Cost> {
        let up = self.places.iter().enumerate().filter(|(_, place)| place.state == State::Up);
        up.filter_map(|(at, place)| Some(((at, place.run), Cost::of(place.process.as_ref()?).ok()?))).collect()
    }

    /// What became of the costs of its members since all was warm.
    pub fn growth(&self) -> Growth {
        let now = self.costs();
        let both = self.warm.iter().filter_map(|(key, before)| Some((*before, *now.get(key)?)));
        Growth { since: both.collect(), all: now.into_values().collect() }
    }

    /// How many bursts there were, and how many nodes each kind of fault has struck.
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

/// An actor that panics dies without ending its process.
fn check_errors(process: &Process) {
    let errors = process.errors();
    assert!(!errors.contains("panicked"), "{:?} has panicked:\n{errors}", process.peer);
}

/// A test that fails tells what was done.
impl Drop for Torture<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.log.join("\n"));
        }
    }
}
