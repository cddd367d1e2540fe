//! Neighbours that slept at the same time, and the ring's answers about their keys when they wake.

use std::time::Duration;

use chord::protocol::id::{Bits, Id};
use chord::protocol::peer::Peer;
use chord::sim::numbered;
use chord::sim::storm::prices::Prices;
use chord::sim::storm::thread::Defences;
use chord::sim::world::World;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SECOND: Duration = Duration::from_secs(1);
const BITS: Bits = Bits::new(16).unwrap();
const R: usize = 4;
const SLEEP: Duration = Duration::from_secs(40);

/// Places between which others can join.
const STEP: u32 = 0x1000;

/// The results of lookups.
#[derive(Default)]
struct Answers {
    right: usize,
    /// And how long after the three woke.
    wrong: Vec<(Duration, String)>,
}

/// A ring of sixteen in which three adjacent nodes sleep for six seconds, while others join between them; some of these
/// die when the three wake. Returns the answers to nodes that did not sleep.
fn row_wakes(seed: u64) -> Answers {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut world = World::new(seed, BITS, R);
    (world.config.stabilize, world.config.check_predecessor) = (SECOND / 10, SECOND / 10);
    world.config.fix_fingers = SECOND / 50;
    let start = |world: &mut World, peer: Peer, through: &[Peer]| {
        world.share_thread(&[peer.addr], Prices::USUAL.times(10), Defences::default());
        world.start(peer, through);
    };
    let ring: Vec<Peer> = (0..16).map(|n| numbered(n * STEP, BITS)).collect();
    for (n, peer) in ring.iter().enumerate() {
        start(&mut world, *peer, &ring[..n.min(1)]);
        world.run(SECOND / 5);
    }
    world.run_until(60 * SECOND, World::ideal).expect("a ring");
    let sleepers = &ring[5..8];
    sleepers.iter().for_each(|peer| world.pause(*peer, SLEEP));
    let wakes = world.now() + SLEEP;
    world.run(3 * SECOND);
    let joiners: Vec<Peer> = (0..10).map(|_| numbered(rng.random_range(4 * STEP + 1..8 * STEP), BITS)).collect();
    for peer in &joiners {
        start(&mut world, *peer, &[*ring[9..].choose(&mut rng).unwrap()]);
    }
    world.run_until(30 * SECOND, World::ideal).expect("a ring without those who sleep");
    world.run(wakes - world.now() - SECOND / 1000);
    let dead: Vec<Peer> = joiners.iter().copied().filter(|_| rng.random_bool(0.4)).take(3).collect();
    dead.iter().for_each(|peer| world.crash(*peer));
    let (mut answers, mut open) = (Answers::default(), Vec::new());
    for _ in 0..1500 {
        world.run(SECOND / 1000);
        let sure: Vec<Peer> = world.live().into_iter().filter(|peer| !sleepers.contains(peer)).collect();
        let from = *sure.choose(&mut rng).unwrap();
        let key = Id::from_number(rng.random_range(4 * STEP + 1..8 * STEP).into(), BITS);
        open.extend(world.lookup(from, key).map(|number| (number, from, key)));
        open.retain(|(number, from, key)| {
            let Some(found) = world.take_found(*number) else { return true };
            if let Ok(found) = found {
                let owners = owners(&world, *key, sleepers, &dead);
                let path: Vec<_> = found.path.iter().map(|hop| hop.node).collect();
                let after = (world.now() + SECOND / 1000).saturating_sub(wakes);
                if owners.contains(&found.owner) {
                    answers.right += 1;
                } else {
                    let what =
                        format!("{from:?} names {:?} for {key:?} by way of {path:?}, not {owners:?}", found.owner);
                    answers.wrong.push((after, what));
                }
            }
            false
        });
    }
    answers
}

/// The nodes that may own a key: the first that lives and did not sleep, and nodes before it that may be back, or have
/// just died.
fn owners(world: &World, key: Id, sleepers: &[Peer], dead: &[Peer]) -> Vec<Peer> {
    let mut next: Vec<Peer> = world.live().into_iter().chain(dead.iter().copied()).collect();
    next.sort_by_key(|peer| peer.id.clockwise_from(key));
    let back = next.iter().take_while(|peer| sleepers.contains(peer) || dead.contains(peer)).count();
    next[..next.len().min(back + 1)].to_vec()
}

#[test]
fn neighbours_that_slept_together_do_not_confirm_each_other() {
    let all: Vec<Answers> = (0..32).map(row_wakes).collect();
    let right: usize = all.iter().map(|answers| answers.right).sum();
    let wrong: Vec<_> = all.into_iter().flat_map(|answers| answers.wrong).collect();
    let last = wrong.iter().map(|(after, _)| *after).max();
    println!("{right} right, {} wrong, the last {last:?} after the three woke: {:#?}", wrong.len(), wrong.first());
    assert!(right > 40_000 && wrong.is_empty());
}

/// The node before the dead ones had the sleeper as its first successor, but the sleeper waited for another node to say
/// so.
#[test]
fn sleeper_whose_neighbours_have_died_is_soon_back() {
    let all: Vec<Duration> = (0..32).map(comes_back).collect();
    let last = all.iter().max().expect("32 rings");
    println!("back after {last:?} at most");
    assert!(*last <= 3 * SECOND, "{all:?}");
}

/// A ring of twelve with a member that sleeps until the death of its neighbours has just been noticed. Returns the time
/// until the ring is ideal.
fn comes_back(seed: u64) -> Duration {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut world = World::new(seed, BITS, R);
    let ring: Vec<Peer> = (0..12).map(|n| numbered(n * STEP, BITS)).collect();
    for (n, peer) in ring.iter().enumerate() {
        world.share_thread(&[peer.addr], Prices::USUAL, Defences::default());
        world.start(*peer, &ring[..n.min(1)]);
        world.run(SECOND);
    }
    world.run_until(120 * SECOND, World::ideal).expect("a ring");
    let sleep = Duration::from_millis(rng.random_range(1100..1600));
    world.pause(ring[6], sleep);
    let wakes = world.now() + sleep;
    world.run(Duration::from_millis(rng.random_range(0..900)));
    [5, 7].into_iter().for_each(|n| world.crash(ring[n]));
    world.run(wakes - world.now());
    world.run_until(60 * SECOND, World::ideal).expect("it is whole again");
    world.now() - wakes
}
