//! Rings that know of each other become one: small rings in every order, large ones in little time.

use std::time::Duration;

use chord::protocol::id::Bits;
use chord::protocol::peer::Peer;
use chord::sim::oracle::Survey;
use chord::sim::tables::Tables;
use chord::sim::world::World;
use chord::sim::{hashed, numbered};

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
    /// From the first question to the other ring until all is ideal but the fingers, and with them.
    neighbors: Duration,
    messages: f64,
    ideal: Duration,
}

/// A node that joins the one ring, and has a member of the other one for a seed as well, is who knows both.
fn merge(one: u32, other: u32, apart: bool, seed: u64) -> Merged {
    let mut world = two_rings(one, other, apart, seed);
    let (bridge, nodes) = (hashed(one + other), f64::from(one + other));
    let rings = Survey::of(&world).rings().to_vec();
    assert_eq!(rings.len(), 2);
    // Its first seed is the one that it joins through; then it asks the other one.
    world.start(bridge, &[rings[0][0], rings[1][0]]);
    let contact = |world: &World| if world.env.tally.messages > 0 { Ok(()) } else { Err("nothing was said".into()) };
    world.run_until(SECOND, contact).unwrap();
    let joined = |world: &World| {
        world.host(bridge).filter(|host| host.is_member()).map(|_| ()).ok_or_else(|| "it has not joined".to_string())
    };
    world.run_until(10 * SECOND, joined).unwrap();
    // What the rings say in any second.
    let (begin, before) = (world.now(), world.env.tally.messages);
    let neighbors = world.run_until(60 * SECOND, World::ideal_neighbors).unwrap();
    let messages = (world.env.tally.messages - before) as f64 / nodes;
    let ideal = world.run_until(120 * SECOND, World::ideal).unwrap();
    assert!(begin + neighbors + ideal <= world.now());
    Merged { neighbors, messages, ideal: neighbors + ideal }
}

/// The bridge asks a second after it has joined: the first contact.
#[test]
fn two_rings_of_a_hundred_become_one_within_seconds() {
    for apart in [false, true] {
        for seed in 0..3 {
            let Merged { neighbors, messages, ideal } = merge(100, 100, apart, seed);
            println!(
                "100 + 100, apart {apart}, seed {seed}: {neighbors:?}, {messages:.0} messages a node; fingers {ideal:?}"
            );
            assert!(neighbors <= 10 * SECOND, "{neighbors:?}");
        }
    }
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
