//! Rings that know of each other become one: small rings in every order, large ones within seconds.

use std::ops::ControlFlow;
use std::time::Duration;

use chord::protocol::id::Bits;
use chord::protocol::peer::Peer;
use chord::sim::merge::{self, Pair};
use chord::sim::numbered;
use chord::sim::oracle;
use chord::sim::world::World;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SECOND: Duration = Duration::from_secs(1);
const ON: ControlFlow<()> = ControlFlow::Continue(());
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

#[test]
fn two_rings_of_a_hundred_are_one_within_five_seconds_of_the_first_contact() {
    let kinds = [false, true].into_iter().flat_map(|apart| (0..4).map(move |seed| (apart, seed)));
    let pairs: Vec<Pair> = kinds.map(|(apart, seed)| Pair { nodes: (100, 100), apart, seed }).collect();
    let report = merge::run(&pairs, || ON).unwrap();
    println!("{report}");
    for merged in report.merged {
        assert!(merged.ideal <= 5 * SECOND, "{merged:?}");
        assert!(merged.messages <= 3.0 * merged.log() * merged.log(), "{merged:?}");
    }
}

#[test]
fn small_ring_and_a_large_one_become_one_in_either_direction() {
    for nodes in [(2, 150), (150, 2), (3, 40), (40, 3)] {
        let merged = merge::merge(Pair { nodes, apart: false, seed: 1 }).unwrap();
        assert!(merged.ideal <= 5 * SECOND, "{merged:?}");
    }
}

/// Eighteen nodes, each of which has joined through a random member, with lists of two entries; ten die at once.
/// `None` if the survivors fall into groups that know nothing of each other.
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
    know_of_each_other(&world).then(|| world.run_until(300 * SECOND, World::ideal))
}

/// Whether all survivors are connected by nodes one of which knows the other, if only as a finger.
fn know_of_each_other(world: &World) -> bool {
    let mut groups: Vec<Vec<Peer>> = oracle::knowledge(world);
    for host in world.hosts().filter(|host| host.is_alive()) {
        let known = |peer: &Peer| *peer == host.me || host.fingers.table().distinct().any(|finger| finger == *peer);
        let (joined, others): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| group.iter().any(known));
        groups = others.into_iter().chain([joined.concat()]).collect();
    }
    groups.len() == 1
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
