//! What goes wrong, and when.

mod threads;
mod trouble;

use std::collections::BTreeMap;
use std::time::Duration;

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Faults;
use super::bound::LONGEST_PAUSE;
use crate::protocol::peer::Peer;
use crate::sim::nodes::number_of;
use crate::sim::oracle::Survey;
use crate::sim::script::command::Command;
use crate::sim::world::World;
pub(super) use trouble::all_names;
use trouble::{ALL, Trouble};

/// The kind of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temper {
    /// Only trouble that the protocol has to bear: safety is judged nearly all the time.
    Lawful,
    /// Anything.
    Lawless,
    /// Anything, and a partition that lasts long enough to split one ring into two.
    Torn,
}

/// Decides what goes wrong, from its own random stream.
pub(super) struct Director {
    rng: ChaCha8Rng,
    temper: Temper,
    r: usize,
    /// All nodes that may ever run; the first creates the ring.
    cast: Vec<u32>,
    /// The seed that each node was given at its first start.
    seeds: BTreeMap<u32, u32>,
    /// How many nodes run at the beginning; at most as many more start later.
    nodes: usize,
    /// The kinds of trouble in this history.
    troubles: Vec<Trouble>,
    /// Commands that are scheduled: mostly the ends of troubles.
    later: BTreeMap<Duration, Vec<Command>>,
    /// When all trouble must have ended.
    end: Duration,
    /// The two sides of a partition that is to make two rings.
    sides: (Vec<u32>, Vec<u32>),
    /// The nodes of each thread; empty if nodes need no time to serve.
    threads: Vec<Vec<u32>>,
    /// The factor by which work takes longer.
    dearness: u32,
    pub(super) faults: Faults,
}

/// How long two rings are left in peace before they meet again: each has to become ideal.
const CALM: Duration = Duration::from_secs(14);

impl Director {
    pub(super) fn new(seed: u64, temper: Temper, r: usize, mut cast: Vec<u32>, nodes: usize) -> Director {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // The world draws from the first stream.
        rng.set_stream(1);
        cast.shuffle(&mut rng);
        let count = rng.random_range(5..=9);
        let may = |trouble: &Trouble| temper != Temper::Torn || !trouble.moves_cuts();
        let all: Vec<Trouble> = ALL.into_iter().filter(may).collect();
        let mut troubles: Vec<Trouble> = all.sample(&mut rng, count).copied().collect();
        // Without crashes and restarts little happens.
        troubles.extend([Trouble::Crash, Trouble::Restart]);
        Director {
            rng,
            temper,
            r,
            cast,
            seeds: BTreeMap::new(),
            nodes,
            troubles,
            later: BTreeMap::new(),
            end: Duration::ZERO,
            sides: Default::default(),
            threads: Vec::new(),
            dearness: 1,
            faults: Faults::default(),
        }
    }

    /// A random time with this mean.
    pub(super) fn pause(&mut self, mean: Duration) -> Duration {
        // Exponentially distributed, in whole milliseconds, so that a trace can be played again.
        let uniform: f64 = self.rng.random_range(f64::EPSILON..1.0);
        let millis = mean.mul_f64(-uniform.ln()).as_millis().clamp(1, 60_000);
        Duration::from_millis(millis as u64)
    }

    /// The same, or with a certain chance a rest.
    pub(super) fn pause_or_rest(&mut self, mean: Duration, rest: Duration, rests: f64) -> Duration {
        if self.rng.random_bool(rests) { rest } else { self.pause(mean) }
    }

    pub(super) fn key(&mut self, bits: u8) -> u32 {
        self.rng.random_range(0..1u32 << bits)
    }

    pub(super) fn choose(&mut self, peers: &[Peer]) -> Option<Peer> {
        peers.choose(&mut self.rng).copied()
    }

    fn between(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(from..=to))
    }

    /// The node that creates the ring.
    pub(super) fn creator(&self) -> u32 {
        self.cast[0]
    }

    /// A start as an operator would do it. The creator of a ring is given no seeds; every other node gets one random
    /// member that is up. Every second restart uses the node's first seed, whether that is up or not. So a creator that
    /// is started again creates a second ring, and chance decides which nodes know of it. Where the rules are to hold,
    /// the creator also gets a seed when it comes back, and every seed is up.
    pub(super) fn start(&mut self, n: u32, members: &[Peer]) -> Command {
        if n == self.creator() && !self.lawful() {
            return Command::Start(n, Vec::new());
        }
        let there: Vec<u32> = members.iter().map(|peer| number_of(peer.addr)).filter(|there| *there != n).collect();
        let again = !self.lawful() && self.rng.random_bool(0.5);
        let old = self.seeds.get(&n).copied().filter(|_| again || there.is_empty());
        let seed = old.or_else(|| there.choose(&mut self.rng).copied()).unwrap_or(self.creator());
        self.seeds.entry(n).or_insert(seed);
        Command::Start(n, if seed == n { Vec::new() } else { vec![seed] })
    }

    /// The commands that start the first nodes: all at once, or one after the other.
    pub(super) fn opening(&mut self) -> Vec<Command> {
        let together = self.rng.random_bool(0.5);
        let mut commands: Vec<Command> =
            self.threads.iter().map(|nodes| Command::Thread(self.dearness, nodes.clone())).collect();
        let cast = self.cast.clone();
        for (i, n) in cast.iter().copied().enumerate().take(self.nodes) {
            let seed = cast[..i].choose(&mut self.rng).copied();
            self.seeds.extend(seed.map(|seed| (n, seed)));
            commands.push(Command::Start(n, seed.into_iter().collect()));
            if !together {
                commands.push(Command::Run(self.between(1, 200)));
            }
        }
        commands
    }

    /// Trouble may begin now, and must be over at `end`.
    pub(super) fn begin(&mut self, now: Duration, end: Duration) {
        self.end = end;
        if self.temper == Temper::Torn {
            let cut = now + (end - now) / 8;
            // Each side gets some of the nodes that run from the beginning.
            let cast = self.cast.clone();
            let (first, later) = cast.split_at(self.nodes);
            let ((mut one, mut other), (one_later, other_later)) = (self.halves(first, 3), self.halves(later, 3));
            one.extend(one_later);
            other.extend(other_later);
            self.sides = (one.clone(), other.clone());
            self.later.entry(cut).or_default().push(Command::Partition(one.clone(), other.clone()));
            self.later.entry(end).or_default().push(Command::Mend(one, other));
        }
    }

    /// When the next scheduled command is due.
    pub(super) fn next_end(&self) -> Option<Duration> {
        self.later.first_key_value().map(|(at, _)| *at)
    }

    /// Removes and returns the commands that are due.
    pub(super) fn due(&mut self, now: Duration) -> Vec<Command> {
        let mut commands = Vec::new();
        while let Some(entry) = self.later.first_entry().filter(|entry| *entry.key() <= now) {
            commands.extend(entry.remove());
        }
        commands
    }

    fn lawful(&self) -> bool {
        self.temper == Temper::Lawful
    }

    fn ends(&mut self, now: Duration, after: Duration, command: Command) {
        self.later.entry((now + after).min(self.end)).or_default().push(command);
    }

    /// One trouble, which may be several commands at once; perhaps none.
    pub(super) fn trouble(&mut self, world: &World, survey: &Survey) -> Vec<Command> {
        if self.temper == Temper::Torn && world.now() + CALM > self.end {
            return Vec::new();
        }
        let Some(trouble) = self.troubles.choose(&mut self.rng).copied() else { return Vec::new() };
        let members = survey.members().to_vec();
        let commands = self.make(trouble, world, survey, &members);
        if !commands.is_empty() {
            *self.faults.entry(trouble.name()).or_default() += 1;
        }
        commands
    }

    fn make(&mut self, trouble: Trouble, world: &World, survey: &Survey, members: &[Peer]) -> Vec<Command> {
        let now = world.now();
        match trouble {
            Trouble::Crash => self.victim(world, survey, members).map(Command::Crash).into_iter().collect(),
            Trouble::Leave => self.victim(world, survey, members).map(Command::Leave).into_iter().collect(),
            Trouble::Vanish => self.victim(world, survey, members).map(Command::Vanish).into_iter().collect(),
            Trouble::Restart => self.absent(world).map(|n| self.start(n, members)).into_iter().collect(),
            Trouble::QuickRestart => {
                let Some(n) = self.victim(world, survey, members) else { return Vec::new() };
                let start = self.start(n, members);
                if self.rng.random_bool(0.5) {
                    return vec![Command::Crash(n), start];
                }
                let after = self.between(1, 2000);
                self.ends(now, after, start);
                vec![Command::Crash(n)]
            }
            Trouble::CreatorRestart => {
                let creator = self.creator();
                let up = members.iter().copied().find(|peer| number_of(peer.addr) == creator);
                match up {
                    Some(peer) if self.lawful() && !survey.can_spare(world, &[peer]) => Vec::new(),
                    Some(_) => vec![Command::Crash(creator), self.start(creator, members)],
                    None => vec![self.start(creator, members)],
                }
            }
            Trouble::Pause => {
                let Some(peer) = self.choose(members) else { return Vec::new() };
                let left = self.end.saturating_sub(now).as_millis() as u64;
                let most = if self.lawful() { 600 } else { LONGEST_PAUSE.as_millis() as u64 };
                let most = most.min(left).max(100);
                // Logarithmic: short pauses are as frequent as long ones.
                let factor: f64 = self.rng.random_range(0.0..=1.0);
                let millis = 100.0 * (most as f64 / 100.0).powf(factor);
                vec![Command::Pause(number_of(peer.addr), Duration::from_millis(millis as u64))]
            }
            Trouble::Loss => {
                let p = self.rng.random_range(1..=if self.lawful() { 3 } else { 200 });
                self.for_a_while(now, Command::Loss(p), Command::Loss(0))
            }
            Trouble::Duplication => {
                let p = self.rng.random_range(10..=300);
                self.for_a_while(now, Command::Duplication(p), Command::Duplication(0))
            }
            Trouble::Lateness => {
                let p = self.rng.random_range(10..=300);
                self.for_a_while(now, Command::Lateness(p), Command::Lateness(0))
            }
            Trouble::SlowNode => {
                let Some(n) = self.choose(members).map(|peer| number_of(peer.addr)) else { return Vec::new() };
                let by = if self.lawful() { self.between(10, 50) } else { self.between(50, 1500) };
                self.for_a_while(now, Command::Slow(n, by), Command::Slow(n, Duration::ZERO))
            }
            Trouble::SlowNetwork => {
                let most = if self.lawful() { self.between(30, 80) } else { self.between(100, 1200) };
                let usual = Command::Delay(Duration::from_millis(1), Duration::from_millis(20));
                self.for_a_while(now, Command::Delay(Duration::from_millis(1), most), usual)
            }
            Trouble::Partition => self.cut(now, members, 2, Command::Partition),
            Trouble::OneWay => self.cut(now, members, 2, Command::Cut),
            Trouble::Partial => self.cut(now, members, 4, Command::Partition),
            Trouble::Flapping => {
                let (one, other) = self.part(members, 3);
                if one.is_empty() || other.is_empty() {
                    return Vec::new();
                }
                let (mut at, times) = (Duration::ZERO, self.rng.random_range(3..=10));
                for _ in 0..times {
                    let (shut, open) = (self.between(50, if self.lawful() { 240 } else { 700 }), self.between(50, 700));
                    self.ends(now, at, Command::Partition(one.clone(), other.clone()));
                    self.ends(now, at + shut, Command::Mend(one.clone(), other.clone()));
                    at += shut + open;
                }
                let end = self.end;
                self.later.entry(end).or_default().push(Command::Mend(one, other));
                self.due(now)
            }
            Trouble::Held => {
                let mut stop = Duration::ZERO;
                for _ in 0..self.rng.random_range(1..=6) {
                    let (Some(a), Some(b)) = (self.choose(members), self.choose(members)) else { break };
                    if a == b {
                        continue;
                    }
                    let (a, b) = (number_of(a.addr), number_of(b.addr));
                    let most = if self.lawful() { 400 } else { 8000 };
                    let release = stop + self.between(50, most);
                    self.ends(now, stop, Command::Hold(a, b));
                    self.ends(now, release, Command::Release(a, b));
                    // They begin one after the other and are released in any order.
                    stop += self.between(0, 200);
                }
                self.due(now)
            }
            Trouble::Severed => {
                let (Some(a), Some(b)) = (self.choose(members), self.choose(members)) else { return Vec::new() };
                if a == b { Vec::new() } else { vec![Command::Sever(number_of(a.addr), number_of(b.addr))] }
            }
            Trouble::Storm => {
                let mut absent: Vec<u32> = self.all_absent(world);
                absent.shuffle(&mut self.rng);
                absent.truncate(self.rng.random_range(3..=12));
                absent.into_iter().map(|n| self.start(n, members)).collect()
            }
            Trouble::Neighbours(more) => {
                let count = self.r.saturating_add_signed(more.into());
                let Some(first) = (0..members.len()).collect::<Vec<_>>().choose(&mut self.rng).copied() else {
                    return Vec::new();
                };
                let victims: Vec<Peer> = members.iter().copied().cycle().skip(first).take(count).collect();
                if count == 0 || !self.can_lose(world, survey, members, &victims) {
                    return Vec::new();
                }
                let end = match self.rng.random_range(0..10) {
                    0..=4 => Command::Crash,
                    5..=7 => Command::Vanish,
                    _ => Command::Leave,
                };
                victims.iter().map(|peer| end(number_of(peer.addr))).collect()
            }
            Trouble::FullRestart => {
                if self.lawful() {
                    return Vec::new();
                }
                let all: Vec<u32> = members.iter().map(|peer| number_of(peer.addr)).collect();
                let creator = self.creator();
                let mut commands: Vec<Command> = all.iter().map(|n| Command::Crash(*n)).collect();
                // An operator who restarts a ring starts the creator first. There is no member to choose as a seed.
                commands.push(self.start(creator, &[]));
                commands.extend(all.iter().filter(|n| **n != creator).map(|n| self.start(*n, &[])));
                commands
            }
            Trouble::Thread => self.lose_thread(world, survey, members),
            Trouble::Load => self.load(members, world.bits().count()),
        }
    }

    /// A node that may be taken away.
    fn victim(&mut self, world: &World, survey: &Survey, members: &[Peer]) -> Option<u32> {
        let victim = self.choose(members)?;
        self.can_lose(world, survey, members, &[victim]).then(|| number_of(victim.addr))
    }

    /// Whether these nodes may die now: as the rules allow, or so that enough are left to go on with.
    fn can_lose(&self, world: &World, survey: &Survey, members: &[Peer], victims: &[Peer]) -> bool {
        match self.temper {
            Temper::Lawful => survey.can_spare(world, victims),
            Temper::Lawless => members.len() >= victims.len() + 2,
            Temper::Torn => [&self.sides.0, &self.sides.1].into_iter().all(|side| {
                let here = |peer: &&Peer| side.contains(&number_of(peer.addr));
                members.iter().filter(here).count() >= victims.iter().filter(here).count() + 2
            }),
        }
    }

    /// Nodes that may be started.
    fn all_absent(&self, world: &World) -> Vec<u32> {
        let up: Vec<u32> = world.hosts().filter(|host| host.is_alive()).map(|host| number_of(host.me.addr)).collect();
        self.cast.iter().copied().filter(|n| !up.contains(n)).collect()
    }

    fn absent(&mut self, world: &World) -> Option<u32> {
        self.all_absent(world).choose(&mut self.rng).copied()
    }

    fn for_a_while(&mut self, now: Duration, begin: Command, end: Command) -> Vec<Command> {
        let time = self.between(500, 8000);
        self.ends(now, time, end);
        vec![begin]
    }

    /// Cuts the links between two disjoint parts of the members.
    fn cut(
        &mut self,
        now: Duration,
        members: &[Peer],
        parts: usize,
        cut: impl Fn(Vec<u32>, Vec<u32>) -> Command,
    ) -> Vec<Command> {
        let (one, other) = self.part(members, parts);
        if one.is_empty() || other.is_empty() {
            return Vec::new();
        }
        let time = if self.lawful() { self.between(50, 240) } else { self.between(50, 20_000) };
        self.ends(now, time, Command::Mend(one.clone(), other.clone()));
        vec![cut(one, other)]
    }

    /// Two random groups which together hold two of `parts` equal parts of the members.
    fn part(&mut self, members: &[Peer], parts: usize) -> (Vec<u32>, Vec<u32>) {
        let mut numbers: Vec<u32> = members.iter().map(|peer| number_of(peer.addr)).collect();
        numbers.shuffle(&mut self.rng);
        numbers.truncate((2 * numbers.len()).div_ceil(parts));
        self.halves(&numbers, numbers.len())
    }

    /// Splits all of them at random into two groups, neither smaller than one of `parts` equal parts.
    fn halves(&mut self, numbers: &[u32], parts: usize) -> (Vec<u32>, Vec<u32>) {
        let mut one = numbers.to_vec();
        if one.len() < 2 {
            return (one, Vec::new());
        }
        one.shuffle(&mut self.rng);
        let least = (one.len() / parts.max(2)).max(1);
        let at = self.rng.random_range(least..=one.len() - least);
        let other = one.split_off(at);
        (one, other)
    }
}
