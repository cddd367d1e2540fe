//! Random histories of whole rings: first everything goes wrong, then nothing does.
//!
//! A history begins with a ring that forms. Then comes *chaos*: nodes die, come back, fall silent and are slow;
//! messages are lost, late, repeated and held up; the network is cut in every way; lookups run all the time. While the
//! environment keeps its rules, the protocol has to keep its promises (`judge`). Then comes *healing*: nothing goes
//! wrong any more, and within a time that is known beforehand ([`bound`]) the ring must be ideal and every lookup
//! right.
//!
//! The two phases are separate because a fault that always ends soon hides a ring that never recovers.
//!
//! Everything that is done to the world is a [`Command`], so the trace of a history is a scenario: a replay has the
//! same events at the same times. To keep a history that has found a fault, save the output of `chord sim chaos --seed
//! S --trace` as `tests/scenarios/NAME.txt`, leave out what is not needed for it to fail, and let `UPDATE=1 cargo test
//! --test simulated simulation::` add the expected ring.

pub mod bound;
mod director;
mod judge;
mod report;
pub mod summary;
pub mod sweep;

use std::ops::RangeInclusive;
use std::time::Duration;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::protocol::id::Bits;
use crate::protocol::lookup::iterative::Style;
use crate::protocol::maintenance::LEAVING;
use crate::protocol::peer::Peer;

use super::host::Host;
use super::nodes::{number_of, numbered};
use super::oracle;
use super::recording::{Header, Recorder, words};
use super::script::command::Command;
use super::world::World;
use director::Director;
use judge::Judge;

pub use director::Temper;
pub use judge::{Breach, Verdicts};
pub use report::{Faults, Report};

/// What kind of histories to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many nodes a ring begins with: drawn for each seed. At least [`MIN_NODES`].
    pub nodes: RangeInclusive<usize>,
    /// Whether to keep a readable trace.
    pub trace: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { nodes: 8..=64, trace: false }
    }
}

/// A ring with lists of two entries that can lose a node needs four.
pub const MIN_NODES: usize = 4;

/// The most nodes that a history may begin with. At most as many join later.
pub const MAX_NODES: usize = 1024;

/// Runs the history of a seed.
pub fn history(seed: u64, options: &Options) -> Report {
    let mut history = History::new(seed, options);
    let violation = history.run().err();
    history.report(seed, violation)
}

/// The same, and its recording.
pub fn recorded(seed: u64, options: &Options) -> (Report, String) {
    let mut history = History::new(seed, options);
    let temper = history.temper.name();
    let header = Header {
        title: format!("Chaos, seed {seed}"),
        text: format!(
            "A random history of {} nodes, {temper}: first everything goes wrong, then nothing does. \
             chord sim chaos --seed {seed} --nodes {}..{} repeats it.",
            history.nodes,
            options.nodes.start(),
            options.nodes.end()
        ),
        r: history.world.config.successors,
        bits: history.world.bits(),
    };
    history.world.record(Recorder::new(header));
    let violation = history.run().err();
    history.world.say(&match &violation {
        Some(what) => format!("A promise is broken: {what}."),
        None if history.parted => "The history ends with rings that know nothing of each other.".into(),
        None => "The history ends: the ring is ideal, and every one of the last lookups was right.".into(),
    });
    let recording = history.world.take_recorder().map(Recorder::finish).unwrap_or_default();
    (history.report(seed, violation), recording)
}

struct History {
    world: World,
    director: Director,
    judge: Judge,
    temper: Temper,
    nodes: usize,
    purged: bool,
    parted: bool,
    healed: (Duration, Duration),
    trace: Option<Vec<String>>,
}

/// How often to check whether the ring is ideal.
const GLANCE: Duration = Duration::from_millis(100);

/// The mean time between two lookups, and between two troubles.
const LOOKUPS: Duration = Duration::from_millis(150);
const TROUBLE: Duration = Duration::from_millis(700);

/// Sometimes trouble pauses: long enough for a ring to recover and for the judge to resume.
const REST: Duration = Duration::from_secs(9);
const RESTS: f64 = 0.1;

/// The number of lookups at the end, all of which have to be right.
const LAST_LOOKUPS: u32 = 32;

/// Between two of them: a few times what the slowest thread needs for one.
const LAST_PAUSE: Duration = Duration::from_millis(50);

impl History {
    fn new(seed: u64, options: &Options) -> History {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // The world draws from the first stream, the director from the second.
        rng.set_stream(2);
        let temper = match seed % 4 {
            0 | 1 => Temper::Lawful,
            2 => Temper::Lawless,
            _ => Temper::Torn,
        };
        let nodes = rng.random_range(options.nodes.clone());
        let r = rng.random_range(if temper == Temper::Lawful { 2 } else { 1 }..=5.min(nodes - 2));
        // On a small circle keys often equal identifiers, and fingers begin at nodes.
        let m = if nodes <= 64 && rng.random_bool(0.3) { 8 } else { rng.random_range(12..=24) };
        let bits = Bits::new(m).unwrap_or(Bits::FULL);
        let mut cast: Vec<u32> = Vec::new();
        while cast.len() < 2 * nodes {
            let n = rng.random_range(0..1u32 << m);
            if !cast.contains(&n) {
                cast.push(n);
            }
        }
        cast.shuffle(&mut rng);
        let mut world = World::new(seed, bits, r);
        if options.trace {
            world.env.log.keep_trace();
        }
        // Work takes time in one history of five.
        let threaded = (seed / 4) % 5 == 2;
        let director = Director::new(seed, temper, r, cast, nodes);
        let header = || vec![format!("seed {seed}"), format!("bits {m}"), format!("r {r}")];
        History {
            world,
            director: if threaded { director.share_threads() } else { director },
            judge: Judge::new(),
            temper,
            nodes,
            purged: false,
            parted: false,
            healed: (Duration::ZERO, Duration::ZERO),
            trace: options.trace.then(header),
        }
    }

    fn run(&mut self) -> Result<(), String> {
        self.world.say("A ring forms: the nodes start, each through one of the others.");
        for command in self.director.opening() {
            self.act(vec![command])?;
        }
        self.become_ideal("the first ring", bound::repair(&self.world.config, self.nodes))?;
        self.world.say("The first ring is ideal. From now on everything goes wrong.");
        self.chaos()?;
        self.world.say("From now on nothing goes wrong: the ring has to become ideal within its bound.");
        self.heal()?;
        if !self.parted {
            self.world.say("The ring is ideal. Every lookup has to be right from now on.");
            self.look_up_at_last()?;
        }
        self.has_happened()
    }

    fn chaos(&mut self) -> Result<(), String> {
        let begin = self.world.now();
        let end = begin + if self.temper == Temper::Torn { Duration::from_secs(36) } else { Duration::from_secs(26) };
        self.director.begin(begin, end);
        let (mut trouble, mut lookup) = (begin, begin);
        loop {
            let next = [trouble, lookup].into_iter().chain(self.director.next_end()).min().unwrap_or(end);
            self.pass(next.min(end))?;
            let now = self.world.now();
            if now >= end {
                break;
            }
            let due = self.director.due(now);
            self.act(due)?;
            self.judge.try_to_resume(&self.world);
            // At the very end a waking node may connect the two sides once more.
            self.purged |= self.temper == Temper::Torn && self.is_parted();
            if now >= lookup {
                self.look_up()?;
                lookup = now + self.director.pause(LOOKUPS);
            }
            if now >= trouble {
                let commands = self.director.trouble(&self.world, self.judge.survey());
                // A rest follows only a trouble that did something.
                let rests = if commands.is_empty() { 0.0 } else { RESTS };
                self.act(commands)?;
                trouble = now + self.director.pause_or_rest(TROUBLE, REST, rests);
            }
        }
        let due = self.director.due(end);
        self.act(due)?;
        self.act(vec![Command::Heal])
    }

    /// Whether there are several rings; one of them may be a node that is alone.
    fn is_parted(&self) -> bool {
        let alone = |host: &Host| host.is_member() && host.maintenance.neighbors().successor().is_none();
        self.judge.survey().rings().len() > 1 || self.world.hosts().any(|host| host.is_alive() && alone(host))
    }

    fn heal(&mut self) -> Result<(), String> {
        // Nodes that are leaving are up, but not for long.
        self.act(vec![Command::Run(LEAVING)])?;
        // If no node of one ring knows a node of the other, the protocol can't merge the two.
        self.parted = oracle::knowledge(&self.world).len() > 1;
        if self.parted {
            return Ok(());
        }
        let nodes = self.world.hosts().filter(|host| host.is_alive()).count();
        let limit = if self.judge.breaches().is_empty() {
            bound::repair(&self.world.config, nodes)
        } else {
            bound::reunion(&self.world.config, nodes)
        };
        self.healed.1 = limit;
        self.healed.0 = self.become_ideal("the ring", limit)?;
        Ok(())
    }

    /// Lets time pass until the ring has been ideal for as long as false news may live.
    fn become_ideal(&mut self, what: &str, limit: Duration) -> Result<Duration, String> {
        let begin = self.world.now();
        let calm = self.world.config.lookup_timeout + GLANCE;
        let (mut ideal_since, mut lookup) = (None, begin);
        loop {
            let now = self.world.now();
            match (self.world.ideal(), ideal_since) {
                (Ok(()), Some(since)) if now >= since + calm => return Ok(since - begin),
                (Ok(()), since) => ideal_since = since.or(Some(now)),
                (Err(complaint), _) if now > begin + limit => {
                    return Err(format!("{what} is not ideal after {limit:?}: {complaint}"));
                }
                (Err(_), _) => ideal_since = None,
            }
            self.judge.try_to_resume(&self.world);
            while lookup <= now + GLANCE {
                self.pass(lookup.max(now))?;
                self.look_up()?;
                lookup = self.world.now() + self.director.pause(LOOKUPS);
            }
            self.pass(now + GLANCE)?;
        }
    }

    /// Checks that every lookup is right in the end.
    fn look_up_at_last(&mut self) -> Result<(), String> {
        let settle = self.world.config.lookup_timeout;
        self.pass(self.world.now() + settle)?;
        self.judge.bury_lookups(&self.world);
        if self.judge.open_lookups() > 0 {
            return Err("a lookup does not end".into());
        }
        self.judge.try_to_resume(&self.world);
        let (ring, right) = (self.world.live(), self.judge.verdicts.right);
        let judged = ring.len() > self.world.config.successors;
        for _ in 0..LAST_LOOKUPS {
            let key = self.director.key(self.world.bits().count());
            let Some(from) = self.director.choose(&ring) else { break };
            self.ask(from, key);
            // One after the other: a slow thread that most of the ring shares would be too busy for all at once.
            self.pass(self.world.now() + LAST_PAUSE)?;
        }
        self.look()?;
        self.pass(self.world.now() + settle)?;
        let right = self.judge.verdicts.right - right;
        if judged && right < LAST_LOOKUPS.into() {
            return Err(format!("only {right} of the last {LAST_LOOKUPS} lookups are right"));
        }
        Ok(())
    }

    /// A history in which nothing happened proves nothing.
    fn has_happened(&self) -> Result<(), String> {
        let tally = &self.world.env.tally;
        let is_to_purge = self.temper == Temper::Torn && !self.director.cuts_a_thread();
        let all = [
            ("joins", tally.joins),
            ("remote hops", tally.hops),
            ("troubles", self.director.faults.values().sum()),
            ("right answers", self.judge.verdicts.right),
            ("purged partition", u64::from(self.purged || !is_to_purge)),
        ];
        match all.into_iter().find(|(_, count)| *count == 0) {
            Some((what, _)) => Err(format!("the history proves nothing: {what}: 0")),
            None => Ok(()),
        }
    }

    fn look_up(&mut self) -> Result<(), String> {
        let key = self.director.key(self.world.bits().count());
        let live = self.world.live();
        if let Some(from) = self.director.choose(&live) {
            self.ask(from, key);
        }
        self.judge.bury_lookups(&self.world);
        self.judge.judge_lookups(&mut self.world)
    }

    fn ask(&mut self, from: Peer, key: u32) {
        let n = number_of(from.addr);
        // The two styles take turns.
        let (style, command) = match self.world.env.tally.lookups % 2 {
            0 => (Style::Recursive, Command::Lookup(n, key)),
            _ => (Style::Iterative, Command::Iterate(n, key)),
        };
        self.ask_in(from, key, style, command);
    }

    fn ask_in(&mut self, from: Peer, key: u32, style: Style, command: Command) {
        let id = numbered(key, self.world.bits()).id;
        self.note(&command);
        if let Some(number) = self.world.lookup_in_style(from, id, style) {
            self.judge.asked(&self.world, number, from, id);
        }
    }

    /// Lets time pass and checks the world after each event.
    fn pass(&mut self, until: Duration) -> Result<(), String> {
        let time = until.saturating_sub(self.world.now());
        if time.is_zero() {
            return Ok(());
        }
        self.note(&Command::Run(time));
        while self.world.next_at().is_some_and(|at| at <= until) {
            self.world.step();
            self.look()?;
        }
        self.world.run(until - self.world.now());
        Ok(())
    }

    fn look(&mut self) -> Result<(), String> {
        self.judge.watch(&mut self.world)?;
        self.judge.judge_lookups(&mut self.world)
    }

    /// Performs all of these commands at once.
    fn act(&mut self, commands: Vec<Command>) -> Result<(), String> {
        let bits = self.world.bits();
        let (mut victims, mut second_ring) = (Vec::new(), false);
        for command in commands {
            let up = |n: &u32| self.world.host(numbered(*n, bits)).filter(|host| host.is_alive());
            match &command {
                Command::Run(time) => {
                    self.pass(self.world.now() + *time)?;
                    continue;
                }
                Command::Lookup(n, key) => {
                    if up(n).is_some() {
                        let (from, key) = (numbered(*n, bits), *key);
                        self.ask_in(from, key, Style::Recursive, command);
                    }
                    continue;
                }
                // Another command has started it already.
                Command::Start(n, _) if up(n).is_some() => continue,
                Command::Start(_, seeds) => second_ring |= seeds.is_empty(),
                // A paused node can't leave.
                Command::Leave(n) if up(n).is_some_and(|host| host.paused_until > self.world.now()) => continue,
                Command::Crash(n) | Command::Leave(n) | Command::Vanish(n) => match up(n) {
                    Some(host) if host.is_member() => victims.push(host.me),
                    Some(_) => {}
                    None => continue,
                },
                Command::Pause(n, _) if up(n).is_none() => continue,
                _ => {}
            }
            self.note(&command);
            command.perform(&mut self.world);
        }
        if second_ring {
            self.judge.second_ring(&self.world);
        }
        if victims.is_empty() { self.look() } else { self.judge.struck(&mut self.world, &victims) }
    }

    fn note(&mut self, command: &Command) {
        if self.world.is_recorded()
            && let Some(words) = words(command)
        {
            self.world.say(&words);
        }
        if let Some(trace) = &mut self.trace {
            trace.extend(self.world.env.log.take_trace());
            trace.push(command.to_string());
        }
    }

    fn report(mut self, seed: u64, violation: Option<String>) -> Report {
        let mut trace = self.trace.unwrap_or_default();
        trace.extend(self.world.env.log.take_trace());
        Report {
            seed,
            temper: self.temper,
            nodes: (self.nodes, self.world.live().len()),
            r: self.world.config.successors,
            fingerprint: self.world.env.log.fingerprint(),
            time: self.world.now(),
            held: self.judge.held(self.world.now()),
            tally: self.world.env.tally.clone(),
            faults: self.director.faults,
            verdicts: self.judge.verdicts.clone(),
            breaches: self.judge.breaches().to_vec(),
            merges: self.judge.merges,
            purged: self.purged,
            parted: self.parted,
            healed: self.healed,
            violation,
            trace,
        }
    }
}
