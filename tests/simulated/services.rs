//! Services of applications on simulated nodes: a call to the owner of a key is answered by its owner, once, while nodes
//! come and go.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use chord::protocol::id::Bits;
use chord::protocol::peer::Peer;
use chord::protocol::service::{CallError, Refusal};
use chord::sim::numbered;
use chord::sim::world::World;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SECOND: Duration = Duration::from_secs(1);
const BITS: Bits = Bits::new(16).unwrap();
const R: usize = 4;

/// The bodies that were answered, by which node.
type Served = Arc<Mutex<Vec<(Peer, Bytes)>>>;

/// Has a node answer those calls whose key is its own, with the call's own body.
fn serve_echo(world: &mut World, node: Peer, served: &Served) {
    let served = served.clone();
    let up = world.serve(node, "echo", move |call, range| {
        if !call.key.is_none_or(|key| range.is_some_and(|range| range.contains(key))) {
            return Err(Refusal::NotOwner);
        }
        served.lock().unwrap().push((node, call.body.clone()));
        Ok(call.body)
    });
    assert!(up);
}

/// An ideal ring of nodes with these numbers, all of which serve.
fn ring(seed: u64, numbers: impl IntoIterator<Item = u32>) -> (World, Vec<Peer>, Served) {
    let mut world = World::new(seed, BITS, R);
    let served = Served::default();
    let nodes: Vec<Peer> = numbers.into_iter().map(|n| numbered(n, BITS)).collect();
    for node in &nodes {
        let seeds = world.live().first().copied();
        world.start(*node, seeds.as_slice());
        serve_echo(&mut world, *node, &served);
    }
    world.run_until(60 * SECOND, World::ideal).expect("a ring");
    (world, nodes, served)
}

fn wait(world: &mut World, number: u64) -> Result<Bytes, CallError> {
    let mut answer = None;
    while answer.is_none() {
        world.step();
        answer = world.take_answered(number);
    }
    answer.unwrap()
}

#[test]
fn owner_answers_a_call_to_its_key() {
    let (mut world, nodes, served) = ring(1, [100, 200, 300, 400]);
    for (key, owner) in [(150, 1), (200, 1), (201, 2), (5000, 0)] {
        let body = format!("to {key}");
        let number = world.call_owner(nodes[3], numbered(key, BITS).id, "echo", body.clone()).unwrap();
        assert_eq!(wait(&mut world, number), Ok(Bytes::from(body.clone())));
        assert_eq!(served.lock().unwrap().pop(), Some((nodes[owner], body.into())));
    }
}

#[test]
fn node_that_a_program_calls_says_why_it_does_not_answer() {
    let (mut world, nodes, served) = ring(2, [100, 200, 300, 400]);
    let [caller, dead, paused, serves] = nodes[..] else { unreachable!() };
    world.serve(serves, "refuse", |_, _| Err(Refusal::Failed("not today".into())));
    world.crash(dead);
    world.pause(paused, Duration::MAX);
    let mut call = |to, service| {
        let number = world.call(caller, to, service, "hello").unwrap();
        wait(&mut world, number)
    };
    assert_eq!(call(dead, "echo"), Err(CallError::Gone(dead)));
    assert_eq!(call(paused, "echo"), Err(CallError::Timeout));
    assert_eq!(call(serves, "nothing"), Err(CallError::NoService("nothing".into())));
    assert_eq!(call(serves, "refuse"), Err(CallError::Failed("not today".into())));
    assert_eq!(call(serves, "echo"), Ok("hello".into()));
    assert_eq!(call(caller, "echo"), Ok("hello".into()));
    assert_eq!(served.lock().unwrap().len(), 2);
}

#[test]
fn call_whose_node_dies_is_lost_and_not_repeated() {
    let (mut world, nodes, served) = ring(3, [100, 200, 300, 400]);
    let key = numbered(150, BITS).id;
    let number = world.call_owner(nodes[3], key, "echo", "once").unwrap();
    while served.lock().unwrap().is_empty() {
        world.step();
    }
    // The answer is on its way, and so is the news that the channel has broken: the network decides which is first.
    world.crash(nodes[1]);
    let answer = wait(&mut world, number);
    assert!(matches!(answer, Ok(_) | Err(CallError::Lost)), "{answer:?}");
    world.run(10 * SECOND);
    assert_eq!(served.lock().unwrap().len(), 1, "an answered call is not repeated");
}

#[test]
fn calls_find_the_owners_of_their_keys_while_nodes_come_and_go() {
    let mut slowest = Duration::ZERO;
    let (mut answered, mut lost) = (0, 0);
    for seed in 0..8 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut world, nodes, served) = ring(seed, (0..16).map(|n| 1000 + 4000 * n));
        // It calls all the time, and stays.
        let caller = nodes[0];
        let mut open: Vec<(u64, Duration, String)> = Vec::new();
        let mut calls = 0;
        let mut next_change = world.now() + 5 * SECOND;
        let end = world.now() + 120 * SECOND;
        while world.now() < end || !open.is_empty() {
            if world.now() < end {
                let key = numbered(rng.random_range(0..1 << 16), BITS).id;
                let body = format!("call {calls} to {key}");
                let number = world.call_owner(caller, key, "echo", body.clone()).unwrap();
                open.push((number, world.now(), body));
                calls += 1;
            }
            world.run(Duration::from_millis(rng.random_range(20..100)));
            open.retain(|(number, since, body)| {
                let Some(answer) = world.take_answered(*number) else { return true };
                match answer {
                    Ok(answer) => assert_eq!(answer, body),
                    Err(CallError::Lost) => lost += 1,
                    Err(why) => panic!("seed {seed}: {body} after {:?}: {why}", world.now() - *since),
                }
                answered += 1;
                slowest = slowest.max(world.now() - *since);
                false
            });
            if world.now() >= next_change && world.now() < end {
                let live: Vec<Peer> = world.live().into_iter().filter(|node| *node != caller).collect();
                let victim = *live.choose(&mut rng).unwrap();
                match rng.random_range(0..3) {
                    0 if live.len() > 10 => world.crash(victim),
                    1 if live.len() > 10 => world.leave(victim),
                    _ => {
                        let new = numbered(rng.random_range(0..1 << 16), BITS);
                        if !world.is_up(new) {
                            world.start(new, &[victim]);
                            serve_echo(&mut world, new, &served);
                        }
                    }
                }
                next_change = world.now() + Duration::from_millis(rng.random_range(2000..8000));
            }
        }
        let mut bodies: Vec<_> = served.lock().unwrap().iter().map(|(_, body)| body.clone()).collect();
        let all = bodies.len();
        bodies.sort();
        bodies.dedup();
        assert_eq!(all, bodies.len(), "no call is answered twice");
    }
    println!("services: {answered} calls answered, {lost} of them lost with their node, the slowest after {slowest:?}");
    assert!(answered > 10_000, "{answered}");
    assert!(slowest < 6 * SECOND, "{slowest:?}");
}
