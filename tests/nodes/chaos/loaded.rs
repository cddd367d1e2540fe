//! Processes of many nodes under an open load; one process after the other sleeps.
//!
//! No node dies and none joins: a node may be taken for dead only if it left others without an answer for a while, and
//! an answer may pass over nodes of a process that slept, and over no others.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use chord::{Addr, Peer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;

use super::{SECOND, seed, variable};
use crate::support::alone;
use crate::support::ideal::Ideal;
use crate::support::load::{self, Ended, Failure};
use crate::support::process::{CHORD, Process, addresses, eventually, nodes_from};
use crate::support::verdicts::{self, Verdict};

/// `PROCESSES=…`, `VIRTUAL=…` and `R=…` set other numbers.
const PROCESSES: usize = 6;

/// Virtual nodes of each process.
const VIRTUAL: u16 = 16;

/// The length of the successor lists. No r adjacent nodes belong to only two processes, so that one may sleep while
/// another is still on its way back; with `NAPS=0`, where only one sleeps, none belong to only one.
const R: usize = 8;

/// Lookups a second, unless `RATE` gives another number: many more than a few waiting clients would ask,
/// and at most a third of the capacity of such a ring on a shared processor.
const RATE: u64 = 2000;

/// Nodes of each process that are asked.
const ASKED: usize = 2;

/// The range of a random nap, and of the time between two naps.
const NAP: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(3));
const BETWEEN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(1500));

/// For how long naps go on by default; and the length of the long sleep at the end, by default and in the long run.
const SHORT: Duration = Duration::from_secs(6);
const SLEEP: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(30)];

/// Others have to wait for a process that slept no longer than this.
const MOMENT: Duration = Duration::from_secs(1);

/// A process is in its place again this long after it woke.
const BACK_WITHIN: Duration = Duration::from_secs(3);

/// The others have noticed a sleep this long after its start, and from then on answer this percentage of lookups.
const NOTED_AFTER: Duration = Duration::from_secs(8);
const ANSWERED: f64 = 95.0;

/// How long a ring may take until all neighbours are right; and when a wait for right neighbours is given up.
const FORMS_WITHIN: Duration = Duration::from_secs(15);
const GIVEN_UP: Duration = Duration::from_secs(20);

/// A process was stopped.
#[derive(Clone, Copy, Debug)]
struct Nap {
    process: usize,
    from: Instant,
    /// None while it sleeps.
    to: Option<Instant>,
}

/// All naps of a run.
struct Naps {
    began: (Instant, SystemTime),
    all: Mutex<Vec<Nap>>,
}

impl Naps {
    fn begin(&self, process: usize) {
        self.all.lock().unwrap().push(Nap { process, from: Instant::now(), to: None });
    }

    fn end(&self) {
        self.all.lock().unwrap().last_mut().expect("one has begun").to = Some(Instant::now());
    }

    fn any(&self, which: impl Fn(&Nap) -> bool) -> bool {
        self.all.lock().unwrap().iter().any(which)
    }

    /// Whether a process slept, or was on its way back, at some time between these instants.
    fn may_miss(&self, process: usize, from: Instant, to: Instant) -> bool {
        let naps = self.all.lock().unwrap();
        naps.iter()
            .any(|nap| nap.process == process && nap.from <= to && nap.to.is_none_or(|end| from <= back_by(end, &naps)))
    }

    /// Whether this verdict may be on a node of this process: it then slept for more than a moment.
    fn excuse(&self, process: usize, verdict: Verdict) -> bool {
        let (began, at) = self.began;
        let passed = began + verdict.at.duration_since(at).unwrap_or_default();
        self.any(|nap| {
            let end = nap.to.unwrap_or_else(Instant::now);
            nap.process == process && end - nap.from > MOMENT && nap.from <= passed && passed <= end + MOMENT
        })
    }

    /// Whether all nodes have noticed every sleep: none began shortly before.
    fn noted(&self, at: Instant) -> bool {
        !self.any(|nap| nap.from <= at && at < nap.from + NOTED_AFTER)
    }
}

/// When a process that woke at that instant is in its place again. Its predecessors hear of it through its successors:
/// if another process falls asleep meanwhile, they first have to find that one dead.
fn back_by(woke: Instant, naps: &[Nap]) -> Instant {
    let back = woke + BACK_WITHIN;
    let disturbed = naps.iter().filter(|nap| woke <= nap.from && nap.from < back);
    disturbed
        .map(|nap| (nap.from + NOTED_AFTER).min(nap.to.map_or(back + NOTED_AFTER, |end| end + BACK_WITHIN)))
        .fold(back, Instant::max)
}

/// The results of the lookups.
#[derive(Default)]
struct Tally {
    right: usize,
    wrong: Vec<String>,
    failed: BTreeMap<Failure, usize>,
    /// Put to nodes that slept meanwhile, or were on their way back.
    interrupted: usize,
    /// Answered, and not answered, once all nodes had noticed every sleep.
    noted: [usize; 2],
    took: Vec<Duration>,
}

impl Tally {
    fn add(&mut self, ended: Ended, ideal: &Ideal, naps: &Naps, process: impl Fn(Addr) -> usize) {
        let Ended { of, key, asked, ended: at, owner } = ended;
        let missed = |peer: &Peer| naps.may_miss(process(peer.addr), asked, at);
        let awake = !missed(&of);
        match owner {
            Ok(owner) if ideal.clockwise(key).take_while(|peer| *peer != owner).all(|passed| missed(&passed)) => {
                self.right += 1;
                self.took.push(at - asked);
            }
            Ok(owner) => {
                let (since, due) = (asked - naps.began.0, ideal.successor(key));
                self.wrong.push(format!("{since:?}: {of:?} names {owner:?} for {key}, not {due:?}"));
            }
            Err(failure) if awake => *self.failed.entry(failure).or_default() += 1,
            Err(_) => self.interrupted += 1,
        }
        if awake && naps.noted(asked) {
            self.noted[usize::from(owner.is_err())] += 1;
        }
    }

    /// The percentage of lookups answered once all nodes had noticed every sleep.
    fn answered(&self) -> f64 {
        let [answered, failed] = self.noted;
        100.0 * answered as f64 / (answered + failed).max(1) as f64
    }

    fn describe(&self) -> String {
        let mut took = self.took.clone();
        took.sort();
        let rank = |part: usize| took.get(took.len() * part / 100).copied().unwrap_or_default();
        format!(
            "lookups: {} right, {} wrong, failed {:?}, {} interrupted; p50 {:?}, p99 {:?}; {:.2} % answered of {} once \
             all had taken note",
            self.right,
            self.wrong.len(),
            self.failed,
            self.interrupted,
            rank(50),
            rank(99),
            self.answered(),
            self.noted[0] + self.noted[1],
        )
    }
}

/// The parameters of a ring.
#[derive(Clone, Copy)]
struct Shape {
    processes: usize,
    /// Nodes of each process.
    nodes: u16,
    r: usize,
    /// How many processes may be away at once.
    away: usize,
}

/// The address of the first node of each process, so that processes which may be away at once do not have `r` adjacent
/// nodes.
fn places(shape: Shape, rng: &mut ChaCha8Rng) -> Vec<Addr> {
    let ips: Vec<Ipv4Addr> = addresses(shape.processes).collect();
    let drawn = std::iter::repeat_with(|| {
        let place = |ip: &Ipv4Addr| Addr::new(*ip, rng.random_range(10_000..31_000));
        ips.iter().map(place).collect::<Vec<_>>()
    });
    let is_free = |first: &Addr| nodes_from(*first, shape.nodes).all(|node| TcpListener::bind(node.addr).is_ok());
    let found = drawn.take(10_000).find(|firsts| is_mixed(firsts, shape) && firsts.iter().all(is_free));
    found.expect("some mix well")
}

fn is_mixed(firsts: &[Addr], shape: Shape) -> bool {
    let ideal = Ideal::of_peers(firsts.iter().flat_map(|first| nodes_from(*first, shape.nodes)));
    let ips: Vec<_> = ideal.peers().map(|peer| peer.addr.ip()).collect();
    let pairs = firsts.iter().flat_map(|one| firsts.iter().map(move |other| [one.ip(), other.ip()]));
    pairs.into_iter().filter(|[one, other]| (one != other) == (shape.away > 1)).all(|pair| {
        let mut row = 0;
        // Twice round, since adjacent nodes may lie across the end of the list.
        ips.iter().chain(&ips).all(|ip| {
            row = if pair.contains(ip) { row + 1 } else { 0 };
            row < shape.r
        })
    })
}

#[test]
fn processes_of_virtual_nodes_under_load_bury_nobody_who_lives() {
    let _alone = alone();
    let (seed, long) = (seed(), variable("CHAOS_SECONDS").map(|seconds| Duration::from_secs(seconds / 3)));
    let (time, sleep) = (long.unwrap_or(SHORT), SLEEP[usize::from(long.is_some_and(|long| long > 30 * SECOND))]);
    let rate = variable("RATE").unwrap_or(RATE) as f64;
    let time = if variable("NAPS") == Some(0) { Duration::ZERO } else { time };
    let count = |name, usual| variable(name).map_or(usual, |n| n as usize);
    let shape = Shape {
        processes: count("PROCESSES", PROCESSES),
        nodes: count("VIRTUAL", VIRTUAL.into()) as u16,
        r: count("R", R),
        away: if time.is_zero() { 1 } else { 2 },
    };
    let Shape { processes: n, nodes, r, .. } = shape;
    println!(
        "chaos: {n} processes of {nodes} nodes, r = {r}, {rate} lookups/s, naps for {time:?} and a sleep of {sleep:?}, SEED={seed}"
    );
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let firsts = places(shape, &mut rng);
    let start =
        |n: usize| Process::virtual_nodes(Command::new(CHORD), firsts[n], nodes, (n > 0).then_some(firsts[0]), r);
    let mut processes = vec![start(0)];
    eventually(FORMS_WITHIN, || Ideal::of_peers(nodes_from(firsts[0], nodes)).check_all_told(r));
    processes.extend((1..n).map(start));
    let ideal = Ideal::of_peers(firsts.iter().flat_map(|first| nodes_from(*first, nodes)));
    eventually(FORMS_WITHIN, || ideal.check_all_told(r));

    let asked: Vec<_> = firsts.iter().flat_map(|first| nodes_from(*first, nodes).take(ASKED)).collect();
    let process = |addr: Addr| firsts.iter().position(|first| first.ip() == addr.ip()).expect("a process");
    let naps = Naps { began: (Instant::now(), SystemTime::now()), all: Mutex::default() };
    let (tally, done) = (Mutex::new(Tally::default()), AtomicBool::new(false));
    let healed = thread::scope(|scope| {
        let _ends = load::Ends(&done);
        scope.spawn(|| {
            let tell = |ended| tally.lock().unwrap().add(ended, &ideal, &naps, process);
            load::run(&asked, rate, &done, |key| key, tell);
        });
        let nap = |process: usize, time: Duration| {
            naps.begin(process);
            processes[process].signal(Signal::STOP);
            thread::sleep(time);
            processes[process].signal(Signal::CONT);
            naps.end();
        };
        thread::sleep(SECOND);
        let began = Instant::now();
        while began.elapsed() < time {
            nap(rng.random_range(0..n), rng.random_range(NAP.0..NAP.1));
            thread::sleep(rng.random_range(BETWEEN.0..BETWEEN.1));
        }
        nap(rng.random_range(0..n), sleep);
        let back = Instant::now();
        loop {
            match ideal.check_all_told(r) {
                Ok(()) => break Ok(back.elapsed()),
                Err(why) if back.elapsed() > GIVEN_UP => break Err(why),
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    });

    let passed: Vec<_> = processes.iter().flat_map(verdicts::of).collect();
    let unjust = passed.iter().filter(|verdict| !naps.excuse(process(verdict.on), **verdict)).count();
    let tally = tally.into_inner().unwrap();
    let slept = naps
        .all
        .lock()
        .unwrap()
        .iter()
        .map(|nap| (nap.process, nap.to.expect("it woke") - nap.from))
        .collect::<Vec<_>>();
    println!("{} sleeps: {slept:.1?}", slept.len());
    println!(
        "{}\n{} verdicts of death, {unjust} of them on nodes that lived; whole again: {healed:?}",
        tally.describe(),
        passed.len()
    );
    assert_eq!(unjust, 0, "verdicts on nodes that lived");
    let first = &tally.wrong[..tally.wrong.len().min(10)];
    assert!(first.is_empty(), "{} wrong answers, the first:\n{}", tally.wrong.len(), first.join("\n"));
    assert!(healed.as_ref().is_ok_and(|took| *took <= BACK_WITHIN), "{healed:?}");
    assert!(tally.answered() >= ANSWERED, "{} % answered", tally.answered());
    // A fifth of the time the sleeps are too recent, and one process of six is interrupted.
    let least = (time + sleep).as_secs_f64() / 3.0;
    assert!(tally.right as f64 > least * rate && tally.noted[0] as f64 > rate, "few lookups");
}
