//! Real processes under random faults: they answer right, heal by themselves, and do not grow.
//!
//! `SEED=7 cargo test --test nodes chaos::` repeats the faults of one run in their order, though not to the
//! millisecond; `CHAOS_SECONDS` (20 if it is not set) says how long they last.

mod killed;
mod loaded;
mod silent;

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use chord::protocol::id::Bits;
use chord::{Addr, Id, Peer};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::support::alone;
use crate::support::census::{Census, Presence};
use crate::support::faults::allow;
use crate::support::hosts::Hosts;
use crate::support::lookups::{Lookups, Tally};
use crate::support::network::Network;
use crate::support::process::{addresses, eventually, free_addrs_at};
use crate::support::torture::{IDEAL_WITHIN, Torture};

const SECOND: Duration = Duration::from_secs(1);

const R: usize = 4;
const MEMBERS: usize = 24;
const STORM: usize = 30;

/// Seconds of faults by default.
const SHORT: u64 = 20;

/// Threads that look keys up.
const ASKERS: u64 = 12;

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number, not {value:?}")))
}

fn seed() -> u64 {
    variable("SEED").unwrap_or_else(rand::random)
}

#[test]
fn ring_stays_right_and_heals_while_its_members_are_tortured() {
    let _alone = alone();
    let seed = seed();
    let time = Duration::from_secs(variable("CHAOS_SECONDS").unwrap_or(SHORT));
    println!("chaos: {time:?} of faults among {MEMBERS} nodes, SEED={seed}");
    let addrs = free_addrs_at(addresses(MEMBERS + STORM));
    let census = Census::new();
    let lookups = Lookups::new(&census, &[]);
    let mut torture = Torture::start(&addrs, MEMBERS, R, seed, &census);
    let took = thread::scope(|scope| {
        let _ended = lookups.ended_with_this();
        for asker in 0..ASKERS {
            let lookups = &lookups;
            scope.spawn(move || lookups.run(seed ^ asker));
        }
        let began = Instant::now();
        while began.elapsed() < time {
            torture.burst();
            // Not while the tally is locked: the askers need it to end.
            let checked = lookups.tally.lock().unwrap().check();
            checked.unwrap_or_else(|why| panic!("{why}"));
        }
        torture.heal()
    });
    // Connections for one call are closed after five seconds at the latest.
    eventually(IDEAL_WITHIN, || torture.growth().check());
    let tally = lookups.tally.into_inner().unwrap();
    println!("{}\n{}\n{}", torture.describe(), tally.describe(), torture.growth().describe());
    println!("ideal {took:?} after the last fault");
    tally.check().and(tally.check_excused()).unwrap_or_else(|why| panic!("{why}"));
    let (bursts, faults) = torture.faults();
    assert!(bursts > 3 && faults.len() > 4, "little has happened");
    assert!(!torture.growth().since.is_empty(), "no member was there all the time");
    assert!(tally.answered() > 10 * time.as_secs() as usize, "few lookups");
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
            println!("{}", hosts.spoil(2 * SECOND)?);
            println!("{}", hosts.flap(SECOND, &mut rng)?);
            println!("{}", hosts.divide()?);
            if long.is_none_or(|long| began.elapsed() > long) {
                break;
            }
            println!("{}", hosts.cut(&mut rng)?);
        }
        // Last, and far from each other: nodes that knew a node before its restart take it for dead once
        // more when they next talk to it, which may be after the next cut.
        for host in (0..HOSTS).step_by(R).take(if long.is_some() { HOSTS } else { 1 }) {
            println!("{}", hosts.fail_power(host, &mut rng)?);
        }
        Ok::<_, String>(())
    })?;
    let mut tally = Tally::default();
    lookups.into_iter().for_each(|lookups| tally.add(lookups.tally.into_inner().unwrap()));
    hosts.breaches.iter().for_each(|(from, to)| tally.take_back(*from, *to));
    println!("{}", tally.describe());
    assert!(tally.answered() > 1000, "few lookups");
    tally.check().and(tally.check_excused()).unwrap_or_else(|why| panic!("{why}"));
    Ok(())
}

/// Nodes at 10, 20, 30, 40 on the circle, and an instant.
fn four() -> ([Peer; 4], Instant) {
    let peer = |n: u16| Peer { id: id(n), addr: Addr::new(Ipv4Addr::LOCALHOST, n) };
    ([10, 20, 30, 40].map(peer), Instant::now())
}

fn id(n: u16) -> Id {
    Id::from_number(n.into(), Bits::FULL)
}

#[test]
fn census_takes_the_owner_at_any_moment_of_the_question_and_no_other() {
    let ([a, b, c, d], began) = four();
    let census = Census::new();
    census.set(Some(Presence::Surely), [a, b, c, d]);
    let settled = Instant::now();
    let names = |owner, asked| census.is_right(a, id(15), owner, asked, Instant::now());
    assert!(names(b, settled) && !names(a, settled) && !names(c, settled));
    census.set(Some(Presence::Perhaps), [b]);
    assert!(names(b, settled) && names(c, settled) && !names(d, settled));
    census.set(None, [b]);
    let dead = Instant::now();
    assert!(names(b, settled), "it was the owner when the question was asked");
    assert!(names(c, dead) && !names(b, dead));
    assert!(!census.was_silence(began, Instant::now()));
}

#[test]
fn census_lets_who_slept_answer_from_its_memory_but_never_name_the_dead() {
    let ([a, b, c, d], began) = four();
    let census = Census::new();
    census.set(Some(Presence::Surely), [a, c, d]);
    census.set(Some(Presence::Silent(began)), [a]);
    census.set(Some(Presence::Missed(began)), [a]);
    census.set(Some(Presence::Surely), [b]);
    census.set(None, [d]);
    census.set(Some(Presence::Waking(began)), [a]);
    let asked = Instant::now();
    let names = |of, key, owner| census.is_right(of, id(key), owner, asked, Instant::now());
    assert!(names(b, 15, b) && !names(b, 15, c));
    assert!(names(a, 15, c), "so it was when it fell silent");
    assert!(names(b, 35, a) && names(b, 35, b), "it may be back or not");
    assert!(census.was_silence(asked, Instant::now()), "it may not have found its place yet");
    assert!(!census.was_silence(asked + Duration::from_secs(1), asked + Duration::from_secs(2)));
    assert!(!names(a, 35, d) && !names(b, 35, d));
}

#[test]
fn rules_allow_no_row_of_r_and_leave_more_than_r() {
    let settled = (0..12).collect();
    let allowed = |struck: &[usize], victims: &[usize]| allow(&settled, &struck.iter().copied().collect(), victims, 4);
    assert!(allowed(&[], &[0, 1, 2]) && !allowed(&[], &[0, 1, 2, 3]));
    assert!(allowed(&[0, 1], &[11]) && !allowed(&[0, 1], &[10, 11]), "a row passes the end");
    assert!(!allowed(&[5], &[5]), "once in a burst");
    assert!(allowed(&[0, 1, 2], &[4, 5, 6]), "seven dead may be too many, six are not");
    assert!(!allowed(&[0, 1, 2, 4, 5, 6], &[8, 9]), "four would remain");
}
