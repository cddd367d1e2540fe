//! Rings that know of each other become one: small rings in every order, large ones in little time.

use std::time::Duration;

use chord::protocol::id::Bits;
use chord::protocol::peer::Peer;
use chord::sim::oracle::{self, Survey};
use chord::sim::tables::Tables;
use chord::sim::world::World;
use chord::sim::{hashed, numbered};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SECOND: Duration = Duration::from_secs(1);
const BITS: Bits = Bits::new(16).unwrap();

/// All orders of four places.
fn orders() -> Vec<[u32; 4]> {
    let all = (0..256u32).map(|n| [n & 3, n >> 2 & 3, n >> 4 & 3, n >> 6 & 3]);
    let different = |order: &[u32; 4]| (0..4).all(|place| order.contains(&place));
    all.filter(different).collect()
}

/// S makes a ring and A joins it; S dies and B joins A; S is started again, alone, and D joins S. Only A knows
/// of the other ring: S is its seed for ever.
#[test]
fn ring_of_a_seed_that_was_started_again_is_found_in_every_order_of_four_nodes() {
    assert_eq!(orders().len(), 24);
    for order in orders() {
        for seed in 0..4 {
            let mut world = World::new(seed, BITS, 4);
            (world.config.stabilize, world.config.check_predecessor) = (SECOND / 2, SECOND / 2);
            world.config.fix_fingers = SECOND / 2;
            let [s, a, b, d] = order.map(|place| numbered(place * 0x3000 + 0x1111, BITS));
            world.start(s, &[]);
            world.run(SECOND);
            world.start(a, &[s]);
            world.run(SECOND * 3 / 2);
            world.crash(s);
            world.run(3 * SECOND);
            world.start(b, &[a]);
            world.run(3 * SECOND);
            world.start(s, &[]);
            world.run(SECOND / 5);
            world.start(d, &[s]);
            let healed = world.run_until(45 * SECOND, World::ideal);
            assert!(healed.is_ok(), "{order:?}, seed {seed}: {healed:?}");
        }
    }
}

/// Two ideal rings, of which one member knows one member of the other.
fn two_rings(one: u32, other: u32, apart: bool, seed: u64) -> World {
    let mut world = World::new(seed, Bits::FULL, 4);
    let mut peers: Vec<Peer> = (0..one + other).map(hashed).collect();
    if apart {
        // Each has a part of the circle to itself.
        peers.sort();
    }
    let (ring, other_ring) = peers.split_at(one as usize);
    for ring in [ring, other_ring] {
        world.settle(&Tables::by_definition(ring.to_vec(), Bits::FULL, 4), &[]);
    }
    world
}

struct Merged {
    /// From the first contact, after which a member of one ring follows one of the other, until all lists and
    /// predecessors are right; and all fingers.
    neighbors: Duration,
    ideal: Duration,
    /// Sent until then, by each node on average, with what is said in any second.
    messages: f64,
}

/// Whoever joins one ring, and has a member of the other one for a seed as well, knows both.
fn merge(one: u32, other: u32, apart: bool, seed: u64) -> Merged {
    let mut world = two_rings(one, other, apart, seed);
    let (bridge, nodes) = (hashed(one + other), f64::from(one + other));
    let rings = Survey::of(&world).rings().to_vec();
    assert_eq!(rings.len(), 2);
    world.start(bridge, &[rings[0][0], rings[1][0]]);
    let met = |world: &World| match Survey::of(world).rings().len() {
        1 => Ok(()),
        rings => Err(format!("{rings} rings")),
    };
    let contact = world.run_until(40 * SECOND, met).unwrap();
    let before = world.env.tally.messages;
    let neighbors = world.run_until(60 * SECOND, World::ideal_neighbors).unwrap();
    let messages = (world.env.tally.messages - before) as f64 / nodes;
    let ideal = neighbors + world.run_until(120 * SECOND, World::ideal).unwrap();
    println!("contact after {contact:?}");
    Merged { neighbors, ideal, messages }
}

#[test]
fn two_rings_of_a_hundred_are_one_within_ten_seconds_of_the_first_contact() {
    for apart in [false, true] {
        for seed in 0..4 {
            let Merged { neighbors, ideal, messages } = merge(100, 100, apart, seed);
            println!("apart {apart}, seed {seed}: {neighbors:?}, {messages:.0} messages a node; fingers {ideal:?}");
            assert!(neighbors <= 10 * SECOND, "{neighbors:?}");
        }
    }
}

/// Eighteen nodes, each of which has joined through a random member, with lists of two entries; ten die at once.
/// `None` if those who are left know nothing of each other.
fn survivors_become_one_ring(seed: u64) -> Option<Result<Duration, String>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut world = World::new(seed, BITS, 2);
    let mut peers: Vec<Peer> = Vec::new();
    while peers.len() < 18 {
        let peer = numbered(rng.random_range(0..1 << 16), BITS);
        if !peers.contains(&peer) {
            let through = peers.choose(&mut rng).copied();
            world.start(peer, through.as_slice());
            peers.push(peer);
            world.run(SECOND / 4);
        }
    }
    world.run_until(60 * SECOND, World::ideal).expect("a ring of eighteen");
    world.run(Duration::from_millis(rng.random_range(0..60_000)));
    peers.shuffle(&mut rng);
    peers[..10].iter().for_each(|peer| world.crash(*peer));
    (oracle::knowledge(&world).len() == 1).then(|| world.run_until(300 * SECOND, World::ideal))
}

fn survivors(seeds: std::ops::Range<u64>) {
    let (mut most, mut sum, mut healed, mut parted) = (Duration::ZERO, Duration::ZERO, 0, 0);
    for seed in seeds {
        match survivors_become_one_ring(seed) {
            Some(Ok(time)) => (most, sum, healed) = (most.max(time), sum + time, healed + 1),
            Some(Err(complaint)) => panic!("seed {seed}: {complaint}"),
            None => parted += 1,
        }
    }
    println!(
        "{healed} histories are one ring after {:?}, {most:?} at most; {parted} know nothing of each other",
        sum / healed
    );
    assert!(healed > parted);
}

#[test]
fn eight_who_are_left_of_eighteen_become_one_ring() {
    survivors(0..40);
}

#[test]
#[ignore = "a minute"]
fn eight_who_are_left_of_eighteen_become_one_ring_in_a_thousand_histories() {
    survivors(0..1000);
}

/// `cargo test --release --test reunion -- --ignored --nocapture` prints how it grows.
#[test]
#[ignore = "a table"]
fn rings_of_many_sizes_merge_in_time_that_grows_with_the_logarithm() {
    println!("nodes          lists     messages/node   fingers");
    for apart in [false, true] {
        for n in [10, 30, 100, 300, 1000] {
            let Merged { neighbors, messages, ideal } = merge(n, n, apart, 1);
            println!(
                "{n:5} + {n:<5} {:6.2} s {messages:10.0} {:14.2} s{}",
                neighbors.as_secs_f64(),
                ideal.as_secs_f64(),
                if apart { " (apart)" } else { "" }
            );
        }
    }
}
