//! Real processes under random faults: they answer right, heal by themselves, and do not grow.
//!
//! `SEED=7 cargo test --test chaos` repeats the faults of one run in their order; how long they last
//! says `CHAOS_SECONDS` (20 if it is not set).

#[path = "support/census.rs"]
mod census;
#[path = "support/figures.rs"]
mod figures;
#[path = "support/hosts.rs"]
mod hosts;
#[path = "support/ideal.rs"]
mod ideal;
#[path = "support/lookups.rs"]
mod lookups;
#[path = "support/network.rs"]
mod network;
#[path = "support/process.rs"]
mod process;
#[path = "support/torture.rs"]
mod torture;

use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use census::Census;
use hosts::Hosts;
use lookups::{Lookups, Tally};
use network::Network;
use process::free_addrs_at;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use torture::Torture;

/// Rings run one after the other: what is timed here is healing, not the scheduler.
static ONE_RING: Mutex<()> = Mutex::new(());

fn alone() -> impl Drop {
    ONE_RING.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

const SECOND: Duration = Duration::from_secs(1);

const R: usize = 4;
const MEMBERS: usize = 24;
const STORM: usize = 30;

/// Threads that look keys up.
const ASKERS: u64 = 12;

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number, not {value:?}")))
}

fn seed() -> u64 {
    variable("SEED").unwrap_or_else(rand::random)
}

/// Addresses of this process: nobody else uses them.
fn addresses(n: usize) -> impl Iterator<Item = Ipv4Addr> {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    (1..=n as u8).map(move |host| Ipv4Addr::new(127, 64 | high & 63, low, host))
}

#[test]
fn ring_stays_right_and_heals_while_its_members_are_tortured() {
    let _alone = alone();
    let seed = seed();
    let time = Duration::from_secs(variable("CHAOS_SECONDS").unwrap_or(20));
    println!("chaos: {time:?} of faults, SEED={seed}");
    let addrs = free_addrs_at(addresses(MEMBERS + STORM));
    let census = Census::new();
    let lookups = Lookups::new(&census, &[]);
    let mut torture = Torture::start(&addrs, MEMBERS, R, seed, &census);
    thread::scope(|scope| {
        let _ended = lookups.ended_with_this();
        for asker in 0..ASKERS {
            let lookups = &lookups;
            scope.spawn(move || lookups.run(seed ^ asker));
        }
        let began = Instant::now();
        while began.elapsed() < time {
            torture.burst();
            let tally = lookups.tally.lock().unwrap();
            if let Err(why) = tally.check() {
                panic!("{why}\n{}", tally.describe());
            }
        }
        let took = torture.heal();
        println!("ideal {took:?} after the last fault");
    });
    println!("{}\n{}", torture.describe(), lookups.tally.lock().unwrap().describe());
    let growth = torture.growth();
    for (before, now) in growth.since { println!("{before:?} {now:?}"); }
    for now in growth.all { println!("{now:?}"); }
}

/// One node each: halves of six are still more than r.
const HOSTS: usize = 12;

#[test]
fn hosts_that_lose_packets_power_and_each_other_stay_right_and_meet_again() -> Result<(), String> {
    let _alone = alone();
    let network = match Network::new(HOSTS) {
        Ok(network) => network,
        Err(why) => {
            eprintln!("chaos: no network namespaces here ({why}): hosts of their own are not tested");
            return Ok(());
        }
    };
    let (seed, long) = (seed(), variable("CHAOS_SECONDS").map(|seconds| Duration::from_secs(seconds / 3)));
    println!("chaos: {HOSTS} hosts, SEED={seed}");
    let peers = Hosts::peers(HOSTS, seed);
    let views: Vec<_> = peers.iter().map(|_| Census::new()).collect();
    let lookups: Vec<_> = views.iter().map(|view| Lookups::new(view, &views)).collect();
    let mut hosts = Hosts::start(&network, &peers, &views, R);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    thread::scope(|scope| {
        let _ended: Vec<_> = lookups.iter().map(Lookups::ended_with_this).collect();
        for (host, lookups) in lookups.iter().enumerate() {
            let (network, peer) = (&network, peers[host]);
            scope.spawn(move || {
                network.enter(host);
                lookups.run_at(peer, seed ^ host as u64);
            });
        }
        let began = Instant::now();
        loop {
            println!("{}", hosts.spoil(2 * SECOND, &mut rng)?);
            println!("{}", hosts.fail_power(&mut rng)?);
            println!("{}", hosts.divide()?);
            if long.is_some() {
                println!("{}", hosts.cut(&mut rng)?);
            }
            if long.is_none_or(|long| began.elapsed() > long) {
                return Ok::<_, String>(());
            }
        }
    })?;
    let mut tally = Tally::default();
    lookups.into_iter().for_each(|lookups| tally.add(lookups.tally.into_inner().unwrap()));
    println!("{}", tally.describe());
    tally.check().unwrap_or_else(|why| panic!("{why}"));
    Ok(())
}
