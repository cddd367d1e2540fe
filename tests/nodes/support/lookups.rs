//! Lookups that run all the time, and their results.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use chord::protocol::rpc::{Request, Response};
use chord::{Id, Peer};
use rand::RngExt;
use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use crate::support::census::Census;
use crate::support::process::ask;

/// Between two lookups of one asker: short enough that lookups are under way at every moment of every fault, long
/// enough to leave two processors to the nodes.
const PAUSE: Duration = Duration::from_millis(4);

/// Longer than a node may take for a lookup (5 s), and a busy machine for its answer.
const LIMIT: Duration = Duration::from_secs(10);

/// One request in this many goes to a node that may be starting, stopped or waking up.
const UNCERTAIN: u32 = 20;

/// The results of all lookups so far.
#[derive(Default)]
pub struct Tally {
    /// How long each answered lookup took.
    took: Vec<Duration>,
    /// Answers that were right at no moment.
    wrong: Vec<Complaint>,
    /// Errors of nodes that were members all the time, while a silent node was not noticed yet.
    excused: Vec<Complaint>,
    /// The same while no node was silent.
    unexcused: Vec<Complaint>,
    /// Complaints about a time in which the rules were broken.
    unjudged: usize,
    /// No answer, or an error, of nodes that were dying, starting, stopped or waking up.
    interrupted: usize,
}

/// The fault of a lookup, and when it was under way.
struct Complaint {
    asked: Instant,
    answered: Instant,
    what: String,
}

/// Lookups of random keys, put to random nodes.
pub struct Lookups<'a> {
    /// The ring as seen by the nodes that are asked.
    census: &'a Census,
    /// The ring as seen by other nodes that may be on the way of a lookup: while two rings become one, their
    /// view counts, too.
    others: &'a [Census],
    pub tally: Mutex<Tally>,
    done: AtomicBool,
}

impl<'a> Lookups<'a> {
    pub fn new(census: &'a Census, others: &'a [Census]) -> Lookups<'a> {
        Lookups { census, others, tally: Mutex::default(), done: AtomicBool::new(false) }
    }

    /// Ends all askers when it is dropped, also by a panic: the scope of their threads waits for them.
    pub fn ended_with_this(&self) -> impl Drop {
        struct Ended<'a>(&'a AtomicBool);
        impl Drop for Ended<'_> {
            fn drop(&mut self) {
                self.0.store(true, SeqCst);
            }
        }
        Ended(&self.done)
    }

    /// Asks random nodes until it is told to end.
    pub fn run(&self, seed: u64) {
        self.ask(seed, |rng| match self.census.uncertain().choose(rng) {
            Some(of) if rng.random_ratio(1, UNCERTAIN) => Some(*of),
            _ => self.census.sure().choose(rng).copied(),
        });
    }

    /// Asks one node until it is told to end.
    pub fn run_at(&self, of: Peer, seed: u64) {
        self.ask(seed, |_| Some(of));
    }

    fn ask(&self, seed: u64, mut choose: impl FnMut(&mut ChaCha8Rng) -> Option<Peer>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        while !self.done.load(SeqCst) {
            if let Some(of) = choose(&mut rng) {
                self.look_up(of, Id::from_bytes(rng.random()));
            }
            thread::sleep(PAUSE);
        }
    }

    fn look_up(&self, of: Peer, key: Id) {
        let asked = Instant::now();
        let answer = ask(of, &Request::FindSuccessor { key, hops: 0, want_path: false }, LIMIT);
        let answered = Instant::now();
        let right_to = |census: &Census, owner| census.is_right(of, key, owner, asked, answered);
        let right = |owner| {
            let merging = || self.census.was_waking(asked, answered);
            right_to(self.census, owner) || merging() && self.others.iter().any(|other| right_to(other, owner))
        };
        let mut tally = self.tally.lock().unwrap();
        match answer {
            Ok(Ok(Response::Successor { owner, .. })) if right(owner) => tally.took.push(answered - asked),
            Ok(Ok(Response::Successor { owner, .. })) => {
                let around = self.census.describe(key, asked, answered);
                let (at, took) = (self.census.time(answered), answered - asked);
                let what = format!("{at:8.3?}  {of:?} names {owner:?} for {key}, after {took:?}:\n{around}");
                tally.wrong.push(Complaint { asked, answered, what });
            }
            answer => tally.fail(self.census, (of, key), &why(answer), asked, answered),
        }
    }
}

/// Why there is no owner.
fn why<R: std::fmt::Debug>(answer: io::Result<Result<R, impl std::fmt::Display>>) -> String {
    match answer {
        Ok(Ok(other)) => format!("{other:?}"),
        Ok(Err(code)) => code.to_string(),
        Err(error) => error.kind().to_string(),
    }
}

impl Tally {
    fn fail(&mut self, census: &Census, (of, key): (Peer, Id), why: &str, asked: Instant, answered: Instant) {
        if !census.was_sure(of, asked, answered) {
            self.interrupted += 1;
        } else if census.was_silence(asked, answered) {
            self.excused.push(Complaint { asked, answered, what: why.into() });
        } else {
            let (at, took) = (census.time(answered), answered - asked);
            let what = format!("{at:8.3?}  {of:?} fails for {key} after {took:?}: {why}");
            self.unexcused.push(Complaint { asked, answered, what });
        }
    }

    /// Adds the results of another tally.
    pub fn add(&mut self, other: Tally) {
        self.took.extend(other.took);
        self.wrong.extend(other.wrong);
        self.excused.extend(other.excused);
        self.unexcused.extend(other.unexcused);
        self.unjudged += other.unjudged;
        self.interrupted += other.interrupted;
    }

    /// Withdraws complaints about the time between these two instants, in which the rules were broken.
    pub fn take_back(&mut self, from: Instant, to: Instant) {
        for complaints in [&mut self.wrong, &mut self.excused, &mut self.unexcused] {
            let before = complaints.len();
            complaints.retain(|complaint| complaint.answered < from || complaint.asked > to);
            self.unjudged += before - complaints.len();
        }
    }

    /// How many were answered.
    pub fn answered(&self) -> usize {
        self.took.len()
    }

    /// Whether every answer was right, and every failure is excused.
    pub fn check(&self) -> Result<(), String> {
        let complaints: Vec<_> =
            self.wrong.iter().chain(&self.unexcused).map(|complaint| &complaint.what[..]).collect();
        if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n")) }
    }

    /// Whether at most the allowed part failed while some node was silent and not noticed yet: each silent node
    /// on the way costs 1.25 s of the 5 s that a lookup has, and three that can't answer end it.
    pub fn check_excused(&self) -> Result<(), String> {
        let excused = self.excused.len();
        if excused * 100 <= self.took.len() { Ok(()) } else { Err(format!("{excused} lookups failed")) }
    }

    /// The slowest answered lookup.
    pub fn slowest(&self) -> Duration {
        self.took.iter().max().copied().unwrap_or_default()
    }

    /// The figures.
    pub fn describe(&self) -> String {
        let mut took = self.took.clone();
        took.sort();
        let mut excused = BTreeMap::<&str, usize>::new();
        self.excused.iter().for_each(|complaint| *excused.entry(&complaint.what).or_default() += 1);
        let rank = |part: usize| took.get(took.len() * part / 1000).copied().unwrap_or_default();
        format!(
            "lookups: {} right, {} wrong, {} failed while a silent node was not noticed yet {:?}, {} failed otherwise, \
             {} complaints not judged, {} put to a node that was dying, stopped or starting; median {:?}, 99.9 % within {:?}, slowest {:?}",
            took.len(),
            self.wrong.len(),
            self.excused.len(),
            excused,
            self.unexcused.len(),
            self.unjudged,
            self.interrupted,
            rank(500),
            rank(999),
            self.slowest(),
        )
    }
}
