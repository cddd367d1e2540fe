//! Processes of many nodes, of which one is killed under load.
//!
//! All its nodes die at the same moment, and each list that held only such nodes is lost. With lists long enough
//! for processes of that size there are practically none, and no answer names a wrong owner. `R=4` shows shorter
//! lists; `KILLS=…` sets how many kills, and `PROCESSES=…` how many processes.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use chord::node::config::r_for;
use chord::{Addr, Peer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{SECOND, seed, variable};
use crate::support::alone;
use crate::support::ideal::Ideal;
use crate::support::load::{self, Ended, Failure};
use crate::support::process::{CHORD, Process, addresses, eventually, free_range_at, nodes_from};

const PROCESSES: usize = 3;

/// Virtual nodes of each process.
const VIRTUAL: u16 = 64;

/// Lookups a second, unless `RATE` gives another number.
const RATE: u64 = 1000;

/// Nodes of each survivor that are asked.
const ASKED: usize = 4;

/// How long a ring may take until all neighbours are right, on a busy machine: this test judges answers.
const RIGHT_WITHIN: Duration = Duration::from_secs(60);

/// For how long lookups go on once the survivors are a ring.
const LISTEN: Duration = Duration::from_secs(1);

/// Connections to the dead break at once, and new ones are refused: a busy machine may take this long to notice a
/// death.
const NOTICED_WITHIN: Duration = Duration::from_millis(250);

/// One death: all nodes lived until `from`, and all nodes of the process were dead after `to`.
struct Death<'a> {
    before: &'a Ideal,
    after: &'a Ideal,
    from: Instant,
    to: Instant,
}

/// The results of the lookups.
#[derive(Default)]
struct Tally {
    right: usize,
    /// Answers that named a node that had just died: how long after the death each was asked.
    stale: Vec<Duration>,
    wrong: Vec<String>,
    failed: BTreeMap<Failure, usize>,
    /// How long after the death the last failed lookup was asked.
    failed_until: Duration,
}

impl Tally {
    fn add(&mut self, Ended { of, key, asked, ended, owner }: Ended, death: &Death) {
        let late = asked.saturating_duration_since(death.to);
        let [before, after] = [death.before, death.after].map(|ideal| ideal.successor(key));
        match owner {
            Ok(owner) if owner == after && (ended >= death.from || owner == before) => self.right += 1,
            Ok(owner) if owner == before && asked <= death.to => self.right += 1,
            Ok(owner) if owner == before && late <= NOTICED_WITHIN => self.stale.push(late),
            Ok(owner) => {
                self.wrong.push(format!("{late:?}: {of:?} names {owner:?} for {key}, not {after:?}, before {before:?}"))
            }
            Err(failure) => {
                *self.failed.entry(failure).or_default() += 1;
                self.failed_until = self.failed_until.max(late);
            }
        }
    }

    fn describe(&self) -> String {
        format!(
            "{} right, {} wrong, {} named who had just died (asked up to {:?} later), failed {:?} (asked up to {:?} later)",
            self.right,
            self.wrong.len(),
            self.stale.len(),
            self.stale.iter().max().copied().unwrap_or_default(),
            self.failed,
            self.failed_until,
        )
    }
}

/// Nodes whose whole list dies with the process at this address.
fn stranded(ideal: &Ideal, dies: Addr, r: usize) -> usize {
    let survives = |peer: &Peer| peer.addr.ip() != dies.ip();
    let lost = |peer: &Peer| !ideal.clockwise(peer.id).skip(1).take(r).any(|next| survives(&next));
    ideal.peers().filter(|peer| survives(peer) && lost(peer)).count()
}

#[test]
fn process_of_virtual_nodes_that_is_killed_leaves_no_wrong_answer() {
    let _alone = alone();
    let seed = seed();
    let kills = variable("KILLS").or(variable("CHAOS_SECONDS").map(|seconds| seconds / 15)).unwrap_or(1).max(1);
    let r = variable("R").map_or(r_for(VIRTUAL), |r| r as usize);
    let n = variable("PROCESSES").map_or(PROCESSES, |n| n as usize);
    let rate = variable("RATE").unwrap_or(RATE) as f64;
    println!("chaos: {kills} of {n} processes of {VIRTUAL} nodes killed, r = {r}, {rate} lookups/s, SEED={seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let ips: Vec<_> = addresses(n).collect();
    let all = |firsts: &[Addr]| Ideal::of_peers(firsts.iter().flat_map(|first| nodes_from(*first, VIRTUAL)));
    let start = |first, seed| Process::virtual_nodes(Command::new(CHORD), first, VIRTUAL, seed, r);

    let mut firsts: Vec<_> = ips.iter().map(|ip| free_range_at(*ip, VIRTUAL)).collect();
    let mut processes = vec![start(firsts[0], None)];
    eventually(RIGHT_WITHIN, || all(&firsts[..1]).check_all_told(r));
    processes.extend(firsts[1..].iter().map(|first| start(*first, Some(firsts[0]))));
    let (mut wrong, mut stale) = (Vec::new(), 0);
    for kill in 1..=kills {
        let before = all(&firsts);
        eventually(RIGHT_WITHIN, || before.check_all_told(r));
        let dies = rng.random_range(0..n);
        let first = firsts.remove(dies);
        let after = all(&firsts);
        let asked: Vec<_> = firsts.iter().flat_map(|first| nodes_from(*first, VIRTUAL).take(ASKED)).collect();
        let (ended, done) = (Mutex::new(Vec::new()), AtomicBool::new(false));
        let (from, to, healed) = thread::scope(|scope| {
            let _ends = load::Ends(&done);
            scope.spawn(|| load::run(&asked, rate, &done, |key| key, |lookup| ended.lock().unwrap().push(lookup)));
            thread::sleep(SECOND);
            let from = Instant::now();
            processes.remove(dies).kill();
            let to = Instant::now();
            eventually(RIGHT_WITHIN, || after.check_all_told(r));
            let healed = to.elapsed();
            thread::sleep(LISTEN);
            (from, to, healed)
        });
        let (mut tally, death) = (Tally::default(), Death { before: &before, after: &after, from, to });
        ended.into_inner().unwrap().into_iter().for_each(|ended| tally.add(ended, &death));
        let stranded = stranded(&before, first, r);
        println!(
            "{kill}: dead within {:?}, right {healed:?} later, {stranded} nodes lost their whole list; {}",
            to - from,
            tally.describe()
        );
        assert!(tally.right as f64 > rate, "few lookups");
        stale += tally.stale.len();
        wrong.extend(tally.wrong);
        let next = free_range_at(first.ip(), VIRTUAL);
        if kill < kills {
            processes.push(start(next, Some(firsts[rng.random_range(0..firsts.len())])));
            firsts.push(next);
        }
    }
    println!("{kills} kills: {} wrong answers, {stale} named who had just died", wrong.len());
    let some = &wrong[..wrong.len().min(10)];
    assert!(some.is_empty(), "{} wrong answers, the first:\n{}", wrong.len(), some.join("\n"));
}
