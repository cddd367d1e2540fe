//! Real processes under random faults: they answer right, heal by themselves, and do not grow.
//!
//! `SEED=7 cargo test --test chaos` repeats the faults of one run in their order; how long they last
//! says `CHAOS_SECONDS` (20 if it is not set).

#[path = "support/census.rs"]
mod census;
#[path = "support/figures.rs"]
mod figures;
#[path = "support/ideal.rs"]
mod ideal;
#[path = "support/lookups.rs"]
mod lookups;
#[path = "support/process.rs"]
mod process;
#[path = "support/torture.rs"]
mod torture;

use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use census::Census;
use lookups::Lookups;
use process::free_addrs_at;
use torture::Torture;

/// Rings run one after the other: what is timed here is healing, not the scheduler.
static ONE_RING: Mutex<()> = Mutex::new(());

fn alone() -> impl Drop {
    ONE_RING.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

const R: usize = 4;
const MEMBERS: usize = 24;
const STORM: usize = 30;

/// Threads that look keys up.
const ASKERS: u64 = 6;

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number, not {value:?}")))
}

/// Hosts of this process: nobody else uses their addresses.
fn hosts(n: usize) -> impl Iterator<Item = Ipv4Addr> {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    (1..=n as u8).map(move |host| Ipv4Addr::new(127, 64 | high & 63, low, host))
}

#[test]
fn ring_stays_right_and_heals_while_its_members_are_tortured() {
    let _alone = alone();
    let seed = variable("SEED").unwrap_or_else(rand::random);
    let time = Duration::from_secs(variable("CHAOS_SECONDS").unwrap_or(20));
    println!("chaos: {time:?} of faults, SEED={seed}");
    let addrs = free_addrs_at(hosts(MEMBERS + STORM));
    let census = Census::new();
    let lookups = Lookups::new(&census);
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
