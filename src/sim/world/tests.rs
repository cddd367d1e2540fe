use super::*;
use crate::sim::nodes::hashed;
use crate::sim::storm::prices::Prices;
use crate::sim::storm::thread::Defences;

fn ring(n: u32) -> World {
    let mut world = World::new(1, Bits::FULL, 4);
    let tables = Tables::by_definition((0..n).map(hashed).collect(), Bits::FULL, 4);
    world.settle(&tables, &[hashed(0)]);
    world
}

#[test]
fn ring_that_was_there_before_is_ideal_at_once_and_stays_so() {
    for n in [1, 2, 3, 40] {
        let mut world = ring(n);
        assert_eq!(world.ideal(), Ok(()), "{n} nodes");
        let before = world.env.tally.messages;
        world.run(Duration::from_secs(5));
        assert_eq!(world.ideal(), Ok(()), "{n} nodes");
        assert!(n == 1 || world.env.tally.messages > before, "they do talk");
    }
}

#[test]
fn crash_is_told_to_the_neighbours_long_before_they_would_ask() {
    let mut world = World::new(1, Bits::FULL, 4);
    let hour = Duration::from_secs(3600);
    world.config = Config { stabilize: hour, fix_fingers: hour, check_predecessor: hour, ..world.config };
    world.settle(&Tables::by_definition((0..40).map(hashed).collect(), Bits::FULL, 4), &[hashed(0)]);
    world.run(Duration::from_secs(5));
    let live = world.live();
    world.crash(live[7]);
    world.run(Duration::from_millis(500));
    assert_eq!(world.host(live[6]).map(|host| host.maintenance.neighbors().successor()), Some(Some(live[8])));
    assert_eq!(world.host(live[8]).map(|host| host.maintenance.neighbors().predecessor()), Some(Some(live[6])));
}

#[test]
fn successor_of_a_key_is_the_first_living_member_from_it_on() {
    let mut world = ring(40);
    let live = world.live();
    assert_eq!(world.successor(live[3].id), Some(live[3]));
    assert_eq!(world.successor(live[39].id.next(Bits::FULL)), Some(live[0]), "round the circle");
    world.crash(live[3]);
    world.pause(live[4], Duration::MAX);
    assert_eq!(world.successor(live[3].id), Some(live[5]));
    world.start(live[3], &[live[0]]);
    assert_eq!(world.successor(live[3].id), Some(live[5]), "it has yet to join");
    assert_eq!(World::new(1, Bits::FULL, 4).successor(live[0].id), None);
}

#[test]
fn first_question_of_a_thread_that_begins_is_put() {
    let mut world = World::new(1, Bits::FULL, 4);
    let threads = [[hashed(0)], [hashed(1)]];
    for thread in threads {
        world.share_thread(&thread.map(|peer| peer.addr), Prices::USUAL, Defences::default());
    }
    world.start(hashed(0), &[]);
    world.start(hashed(1), &[hashed(0)]);
    world.run(Duration::from_secs(1));
    assert_eq!(world.live().len(), 2);
}
