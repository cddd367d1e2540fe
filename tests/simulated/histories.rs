//! Random histories of whole rings: nodes join, die, come back and fall silent; in the end the ring
//! is ideal, and on the way it gives no wrong answer. `SEED=7 cargo test NAME` repeats one history.

use std::time::Duration;

use chord::protocol::id::{Bits, Id};
use chord::protocol::maintenance::Standing;
use chord::protocol::peer::Peer;
use chord::sim::delay::{Delay, USUAL};
use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};

use crate::world::{World, hashed, sweep};

const MINUTE: Duration = Duration::from_secs(60);

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The first `n` nodes, with hashed identifiers.
fn nodes(n: u32) -> Vec<Peer> {
    (0..n).map(hashed).collect()
}

/// An ideal ring of `n` nodes.
fn ring(seed: u64, n: u32, r: usize) -> World {
    World::of(seed, Bits::FULL, r, &nodes(n))
}

/// Some adjacent nodes, in the order of the circle.
fn neighbours(world: &mut World, n: usize) -> Vec<Peer> {
    let live = world.live();
    let first = world.env.rng.random_range(0..live.len());
    live.iter().copied().cycle().skip(first).take(n).collect()
}

/// Has random nodes look random keys up for some time; each lookup must find the living owner, and
/// nodes must not join or leave meanwhile.
fn look_up(world: &mut World, time: Duration) {
    let (live, end) = (world.live(), world.now() + time);
    let mut lookups = Vec::new();
    while world.now() < end {
        let (from, key) = (*live.choose(&mut world.env.rng).unwrap(), Id::from_bytes(world.env.rng.random()));
        lookups.push((world.lookup(from, key), from, key, world.now()));
        let pause = world.env.rng.random_range(Duration::ZERO..Duration::from_millis(20));
        world.run(pause);
    }
    world.run(world.config.lookup_timeout);
    for (number, from, key, at) in lookups {
        let found = world.found(number).expect("a lookup ends in time");
        let owner = found.as_ref().map(|found| found.owner);
        assert_eq!(owner, Ok(world.owner(key)), "{from:?} looked {key} up after {at:?}");
    }
}

#[test]
fn nodes_that_start_at_once_become_one_ring() {
    sweep(0..16, |seed| {
        let mut world = World::new(seed, Bits::FULL, 1 + (seed % 5) as usize);
        let n = world.env.rng.random_range(2..=40);
        let (creator, joiners) = (hashed(0), &nodes(n)[1..]);
        world.start(creator, &[]);
        joiners.iter().for_each(|joiner| world.start(*joiner, &[creator]));
        let took = world.settle(MINUTE);
        world.stay_ideal();
        assert!(took < seconds(20), "{n} nodes took {took:?}");
    });
}

#[test]
fn nodes_that_start_in_a_chain_become_one_ring() {
    sweep(0..8, |seed| {
        let mut world = World::new(seed, Bits::FULL, 3);
        let n = world.env.rng.random_range(2..=20);
        let mut order = nodes(n);
        order.shuffle(&mut world.env.rng);
        for i in (1..order.len()).rev() {
            // The seed is not up yet.
            world.start(order[i], &[order[i - 1]]);
            let pause = world.env.rng.random_range(Duration::ZERO..Duration::from_millis(300));
            world.run(pause);
        }
        world.start(order[0], &[]);
        world.settle(MINUTE);
        world.stay_ideal();
    });
}

/// A new member knows r successors from the first moment on, and can lose r - 1 of them before
/// it has sent a message to any node.
#[test]
fn new_member_survives_the_death_of_its_first_successors() {
    sweep(0..12, |seed| {
        let r = 2 + (seed % 3) as usize;
        let mut world = ring(seed, 8, r);
        let joiner = hashed(8);
        world.start(joiner, &[hashed(0)]);
        while world.node(joiner).maintenance.standing() == Standing::Joining {
            world.step();
        }
        let live = world.live();
        let behind = live.iter().copied().cycle().skip_while(|peer| *peer != joiner).skip(1).take(r);
        let list = world.node(joiner).maintenance.neighbors().successors().to_vec();
        assert_eq!(list, behind.collect::<Vec<_>>());
        list[..r - 1].iter().for_each(|victim| world.crash(*victim));
        world.run_until(MINUTE, |world| {
            assert!(world.host(joiner).unwrap().is_member());
            world.ideal()
        });
    });
}

#[test]
fn ring_answers_right_and_heals_after_fewer_than_r_neighbours_crash() {
    sweep(0..16, |seed| {
        let r = 2 + (seed % 4) as usize;
        let mut world = ring(seed, 12 + (seed % 9) as u32, r);
        for victim in neighbours(&mut world, r - 1) {
            world.crash(victim);
        }
        // The news that a connection broke takes as long as any message.
        world.run(*USUAL.end());
        look_up(&mut world, seconds(2));
        world.settle(MINUTE);
        world.stay_ideal();
    });
}

#[test]
fn ring_answers_right_once_silent_deaths_are_noticed() {
    sweep(0..12, |seed| {
        let r = 2 + (seed % 3) as usize;
        let mut world = ring(seed, 12, r);
        for victim in neighbours(&mut world, r - 1) {
            world.pause(victim, Duration::MAX);
        }
        // For each of the dead: a period of stabilize with its jitter, a call and a probe.
        world.run(seconds(2 + 2 * r as u64));
        look_up(&mut world, seconds(2));
        world.settle(MINUTE);
        world.stay_ideal();
    });
}

#[test]
fn short_silence_is_not_death() {
    sweep(0..8, |seed| {
        let mut world = ring(seed, 10, 3);
        for victim in neighbours(&mut world, 3) {
            world.pause(victim, Duration::from_millis(900));
        }
        for _ in 0..300 {
            world.run(Duration::from_millis(10));
            let live = world.live();
            for node in world.members() {
                let neighbors = node.maintenance.neighbors();
                assert!(neighbors.successors().len() == 3 && neighbors.predecessor().is_some(), "{live:?}");
            }
        }
        world.settle(MINUTE);
        world.stay_ideal();
    });
}

#[test]
fn nodes_that_were_taken_for_dead_find_their_place_again() {
    sweep(0..12, |seed| {
        let mut world = ring(seed, 10, 3);
        let silent = 1 + (seed % 9) as usize;
        for victim in neighbours(&mut world, silent) {
            world.pause(victim, seconds(15));
        }
        world.run(seconds(16));
        world.settle(2 * MINUTE);
        world.stay_ideal();
    });
}

#[test]
fn rings_that_had_forgotten_each_other_become_one() {
    sweep(0..8, |seed| {
        let mut world = ring(seed, 10, 3);
        let mut order = world.live();
        order.shuffle(&mut world.env.rng);
        for half in order.chunks(5) {
            half.iter().for_each(|peer| world.pause(*peer, seconds(20)));
            world.run(seconds(20));
        }
        world.settle(3 * MINUTE);
        world.stay_ideal();
    });
}

#[test]
fn node_that_restarts_at_its_address_is_taken_back() {
    sweep(0..24, |seed| {
        let mut world = ring(seed, 3 + (seed % 8) as u32, 3);
        let victim = neighbours(&mut world, 1)[0];
        world.crash(victim);
        let seed_node = *world.live().choose(&mut world.env.rng).unwrap();
        if seed % 4 > 0 {
            let pause = world.env.rng.random_range(Duration::ZERO..seconds(3));
            world.run(pause);
        }
        world.start(victim, &[seed_node]);
        world.settle(MINUTE);
    });
}

/// Nodes that knew others before these were restarted, long ago, do not take them for dead when they come
/// to need them.
#[test]
fn ring_whose_nodes_have_all_restarted_still_survives_r_minus_1_deaths() {
    sweep(0..8, |seed| {
        let r = 2 + (seed % 3) as usize;
        let mut world = ring(seed, 10, r);
        for n in (0..10).rev() {
            world.crash(hashed(n));
            world.start(hashed(n), &[hashed((n + 1) % 10)]);
            world.settle(MINUTE);
            world.run(seconds(5));
        }
        for victim in neighbours(&mut world, r - 1) {
            world.crash(victim);
        }
        let news = *USUAL.end();
        world.run(news);
        look_up(&mut world, seconds(2));
        world.settle(MINUTE);
    });
}

#[test]
fn creator_that_restarts_without_seeds_is_found_by_its_ring() {
    sweep(0..24, |seed| {
        let mut world = ring(seed, 2 + (seed % 8) as u32, 3);
        world.crash(hashed(0));
        if seed % 3 > 0 {
            let pause = world.env.rng.random_range(Duration::ZERO..seconds(20));
            world.run(pause);
        }
        world.start(hashed(0), &[]);
        let took = world.settle(3 * MINUTE);
        assert!(took < MINUTE, "{took:?}");
    });
}

#[test]
fn last_survivor_is_a_ring_of_one_that_answers() {
    sweep(0..12, |seed| {
        let r = 1 + (seed % 2) as usize;
        let mut world = ring(seed, 3, r);
        let survivor = *nodes(3).choose(&mut world.env.rng).unwrap();
        for victim in nodes(3).into_iter().filter(|peer| *peer != survivor) {
            world.crash(victim);
        }
        world.settle(MINUTE);
        assert_eq!(world.node(survivor).maintenance.standing(), Standing::Member);
        look_up(&mut world, seconds(1));
    });
}

#[test]
fn last_survivor_lets_others_join() {
    sweep(0..8, |seed| {
        let mut world = ring(seed, 3, 2);
        world.crash(hashed(1));
        world.crash(hashed(2));
        world.settle(MINUTE);
        for joiner in [hashed(1), hashed(3)] {
            world.start(joiner, &[hashed(0)]);
        }
        let took = world.settle(MINUTE);
        assert!(took < seconds(20), "{took:?}");
    });
}

#[test]
fn ring_of_three_with_lists_of_one_heals_when_one_dies() {
    sweep(0..24, |seed| {
        let mut world = ring(seed, 3, 1);
        let victim = neighbours(&mut world, 1)[0];
        if seed % 2 == 0 {
            world.crash(victim)
        } else {
            world.pause(victim, Duration::MAX)
        }
        let took = world.settle(MINUTE);
        assert!(took < seconds(30), "{took:?}");
    });
}

#[test]
fn nodes_with_lists_of_different_lengths_are_one_ring() {
    sweep(0..8, |seed| {
        let mut world = World::new(seed, Bits::FULL, 3);
        world.start(hashed(0), &[]);
        for joiner in &nodes(10)[1..] {
            world.config.successors = world.env.rng.random_range(2..=6);
            world.start(*joiner, &[hashed(0)]);
        }
        world.settle(MINUTE);
        let shortest = world.members().iter().map(|node| node.maintenance.neighbors().successors().len()).min();
        assert!(shortest >= Some(2), "{shortest:?}");
        let victim = neighbours(&mut world, 1)[0];
        world.crash(victim);
        world.settle(MINUTE);
        world.stay_ideal();
    });
}

#[test]
fn node_whose_identifier_is_taken_does_not_join() {
    sweep(0..8, |seed| {
        let mut world = ring(seed, 6, 3);
        let twin = Peer { id: hashed(2).id, ..hashed(100) };
        world.start(twin, &[hashed(0)]);
        world.run(seconds(5));
        assert_eq!(world.live().len(), 6, "its program has ended");
        world.settle(MINUTE);
    });
}

#[test]
fn joiner_tries_its_seeds_in_turn() {
    sweep(0..8, |seed| {
        let mut world = ring(seed, 6, 3);
        world.crash(hashed(1));
        world.pause(hashed(2), Duration::MAX);
        world.start(hashed(6), &[hashed(1), hashed(2), hashed(3)]);
        world.settle(MINUTE);
    });
}

/// While messages take longer than any timeout, the living take each other for dead.
#[test]
fn ring_recovers_from_a_network_that_was_too_slow() {
    sweep(0..8, |seed| {
        let mut world = ring(seed, 8, 1 + (seed % 4) as usize);
        let usual = world.env.network.delay.clone();
        world.env.network.delay = Delay::Uniform(Duration::from_millis(200)..=Duration::from_millis(1200));
        world.run(seconds(30));
        world.env.network.delay = usual;
        let took = world.settle(3 * MINUTE);
        assert!(took > Duration::ZERO, "it was not too slow");
        world.stay_ideal();
    });
}

/// More may happen at once than any ring survives; but the survivors become one ring again.
#[test]
fn whatever_happens_the_living_become_one_ring() {
    sweep(0..24, |seed| {
        let mut world = ring(seed, 8, 1 + (seed % 4) as usize);
        let all = nodes(12);
        for _ in 0..40 {
            let peer = all[world.env.rng.random_range(1..all.len())];
            let live = world.live();
            let up = live.contains(&peer);
            match world.env.rng.random_range(0..4) {
                0 if up => world.crash(peer),
                1 if up => {
                    let pause = world.env.rng.random_range(Duration::ZERO..seconds(8));
                    world.pause(peer, pause);
                }
                _ if !world.is_up(peer) => world.start(peer, &[hashed(0)]),
                _ => {}
            }
            let pause = world.env.rng.random_range(Duration::ZERO..seconds(2));
            world.run(pause);
        }
        world.run(seconds(8));
        world.settle(3 * MINUTE);
    });
}
