//! A host with several nodes that falls silent: its cable is pulled, and no connection breaks.
//!
//! No node can tell at once, so that its nodes are named until they are found dead. No other node may be passed over.
//! (The nodes behind the cable lose more than r neighbours at once, which is beyond the rules: their answers are only
//! counted.)

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use chord::protocol::id::Bits;
use chord::{Addr, Peer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{R, SECOND, seed, variable};
use crate::support::alone;
use crate::support::ideal::Ideal;
use crate::support::load::{self, Ended, Failure};
use crate::support::network::Network;
use crate::support::process::{Process, eventually};

/// Hosts: one with three nodes, the others with one each.
const HOSTS: usize = 9;
const TOGETHER: u16 = 3;

/// Lookups a second that are put to the nodes of each host.
const RATE: f64 = 60.0;

/// How long the cable is out: too short for all nodes to notice; and long enough.
const CUTS: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(10)];

/// A silent death goes unnoticed no longer than this: four calls of the conversation under way, 1.25 periods of
/// stabilize, two calls of the round that finds it (docs/correctness.md, "The simulator"), and a quarter of a second
/// for a busy machine. Periods and call timeouts are a second here.
const NOTICED_WITHIN: Duration = Duration::from_millis(4000 + 1250 + 2000 + 250);

/// How long the ring may take to be right, also after the cable is back in.
const RIGHT_WITHIN: Duration = Duration::from_secs(25);

/// When the cable was out.
struct Cut {
    from: Instant,
    to: Instant,
}

/// The results of the lookups.
#[derive(Default)]
struct Tally {
    right: usize,
    /// Lookups that named a node behind the cable, the owner until then: how long after the cut each was asked.
    stale: Vec<Duration>,
    wrong: Vec<String>,
    failed: BTreeMap<Failure, usize>,
    failed_at: Vec<Duration>,
}

impl Tally {
    fn add(
        &mut self,
        Ended { of, key, asked, ended, owner }: Ended,
        ideal: &Ideal,
        cut: &Cut,
        is_behind: impl Fn(Peer) -> bool,
    ) {
        let late = asked.saturating_duration_since(cut.from);
        let owner = match owner {
            Ok(owner) => owner,
            Err(failure) => {
                *self.failed.entry(failure).or_default() += 1;
                self.failed_at.push(late);
                return;
            }
        };
        let passed: Vec<_> = ideal.clockwise(key).take_while(|peer| *peer != owner).collect();
        let one_side = passed.iter().all(|peer| is_behind(*peer) != is_behind(of));
        // Nodes behind the cable may have lost each other, too: until all are one ring again they may own any key.
        let other = is_behind(owner) && !is_behind(of);
        let meeting = ended >= cut.to && (other || passed.iter().all(|peer| is_behind(*peer) == is_behind(of)));
        let silent = is_behind(owner) != is_behind(of) && asked > cut.from && ended < cut.to;
        match () {
            () if passed.is_empty() && !silent => self.right += 1,
            () if !passed.is_empty() && ended < cut.from
                || !one_side && !meeting
                || silent && late > NOTICED_WITHIN =>
            {
                let due = ideal.successor(key);
                self.wrong.push(format!(
                    "{late:?} after the cut, {:?} long: {of:?} names {owner:?} for {key}, owned by {due:?}",
                    ended - asked
                ));
            }
            () if silent => self.stale.push(late),
            () => self.right += 1,
        }
    }

    fn describe(&self) -> String {
        let by_second = |times: &[Duration]| {
            let mut by = BTreeMap::<u64, usize>::new();
            times.iter().for_each(|late| *by.entry(late.as_secs()).or_default() += 1);
            by
        };
        let last = self.stale.iter().max().copied().unwrap_or_default();
        format!(
            "{} right, {} wrong, {} named a node of the silent host (asked up to {last:.2?} later; by seconds: {:?}), failed {:?}, \
             by seconds: {:?}",
            self.right,
            self.wrong.len(),
            self.stale.len(),
            by_second(&self.stale),
            self.failed,
            by_second(&self.failed_at),
        )
    }
}

#[test]
fn host_of_three_nodes_that_falls_silent_has_nobody_else_passed_over() {
    let _alone = alone();
    let network = match Network::new(HOSTS) {
        Ok(network) => network,
        Err(why) => return eprintln!("chaos: no network namespaces here ({why}): a silent host is not tested"),
    };
    let seed = seed();
    let trials = variable("SILENCES").or(variable("CHAOS_SECONDS").map(|seconds| seconds / 30)).unwrap_or(1).max(1);
    println!(
        "chaos: {trials} times a host of {TOGETHER} nodes of {} falls silent, r = {R}, SEED={seed}",
        HOSTS as u16 - 1 + TOGETHER
    );
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut wrong = Vec::new();
    for trial in 0..trials {
        let port = rng.random_range(10_000..30_000);
        let at = |host: usize, k: u16| Network::address(host).with_port(port + k);
        let nodes: Vec<_> =
            (0..TOGETHER).map(|k| (0, at(0, k))).chain((1..HOSTS).map(|host| (host, at(host, 0)))).collect();
        let ideal = Ideal::of_peers(nodes.iter().map(|(_, addr)| Peer::at(*addr, Bits::FULL)));
        let is_behind = |peer: Peer| peer.addr.ip() == Network::address(0).ip();
        // The seed of all nodes is on a host that stays.
        let founder = at(1, 0);
        let start = |(host, addr): &(usize, Addr)| {
            Process::virtual_nodes(network.chord(*host), *addr, 1, (*addr != founder).then_some(founder), R)
        };
        let processes: Vec<_> = nodes.iter().map(start).collect();
        let all_right = || network.within(1, || ideal.check_all_told(R));
        eventually(RIGHT_WITHIN, all_right);
        let (lookups, done) = (Mutex::new(Vec::new()), AtomicBool::new(false));
        let time = CUTS[trial as usize % CUTS.len()];
        let (cut, healed) = thread::scope(|scope| {
            let _ends = load::Ends(&done);
            for host in 0..HOSTS {
                let of: Vec<_> = ideal.peers().filter(|peer| peer.addr.ip() == Network::address(host).ip()).collect();
                let (network, lookups, done) = (&network, &lookups, &done);
                scope.spawn(move || {
                    network.enter(host);
                    load::run(&of, RATE, done, |key| key, |ended| lookups.lock().unwrap().push(ended));
                });
            }
            thread::sleep(SECOND);
            let from = Instant::now();
            network.pull(0).expect("it can be pulled");
            thread::sleep(time);
            let to = Instant::now();
            network.plug(0).expect("it can be put in");
            eventually(RIGHT_WITHIN, all_right);
            (Cut { from, to }, to.elapsed())
        });
        let (mut here, mut behind) = (Tally::default(), Tally::default());
        for ended in lookups.into_inner().unwrap() {
            let tally = if is_behind(ended.of) { &mut behind } else { &mut here };
            tally.add(ended, &ideal, &cut, is_behind);
        }
        println!(
            "cut for {time:?}, right {healed:.2?} after; before the cable: {}\n  behind it: {}",
            here.describe(),
            behind.describe()
        );
        assert!(here.right > 300, "few lookups");
        wrong.extend(here.wrong);
        drop(processes);
    }
    println!("{trials} silences: {} wrong answers", wrong.len());
    let some = &wrong[..wrong.len().min(10)];
    assert!(some.is_empty(), "{} wrong answers, the first:\n{}", wrong.len(), some.join("\n"));
}
