use super::*;
use crate::protocol::id::Bits;
use crate::sim::numbered;

const SIX: Bits = Bits::new(6).unwrap();

fn peer(n: u32) -> Peer {
    numbered(n, SIX)
}

/// An ideal ring of six nodes, r = 2, with a judge at work.
fn ring() -> (World, Judge) {
    let mut world = World::new(1, SIX, 2);
    world.start(peer(1), &[]);
    [8, 14, 21, 32, 42].iter().for_each(|n| world.start(peer(*n), &[peer(1)]));
    world.run_until(Duration::from_secs(60), World::ideal).unwrap();
    world.run(Duration::from_secs(3));
    let mut judge = Judge::new();
    judge.watch(&mut world).unwrap();
    judge.try_to_resume(&world);
    assert!(judge.holding);
    (world, judge)
}

/// The judge's verdict on a lookup from node 1 for key 10 that names this owner.
fn verdict(world: &mut World, judge: &mut Judge, owner: u32) -> Result<(), String> {
    judge.asked(world, 1_000_000, peer(1), peer(10).id);
    world.env.found.insert(1_000_000, Ok(Found { owner: peer(owner), path: Vec::new(), timeouts: 0 }));
    judge.judge_lookups(world)
}

#[test]
fn principal_that_is_lost_without_a_failure_is_a_violation() {
    let (mut world, mut judge) = ring();
    world.crash(peer(8));
    let complaint = judge.watch(&mut world).unwrap_err();
    assert_eq!(complaint, "8 is no principal any more, though it has not failed");
}

#[test]
fn failures_that_the_rules_allow_are_no_violation_and_others_are_a_breach() {
    let (mut world, mut judge) = ring();
    world.crash(peer(8));
    judge.struck(&mut world, &[peer(8)]).unwrap();
    assert!(judge.holding);
    world.crash(peer(14));
    judge.struck(&mut world, &[peer(14)]).unwrap();
    assert!(!judge.holding);
    assert_eq!(judge.breaches()[0].cause, "the whole list of 1 is dead");
}

#[test]
fn who_never_owned_a_key_is_a_wrong_answer() {
    let (mut world, mut judge) = ring();
    verdict(&mut world, &mut judge, 14).unwrap();
    assert_eq!(judge.verdicts.right, 1);
    let complaint = verdict(&mut world, &mut judge, 21).unwrap_err();
    assert!(complaint.starts_with("1 asked for 10 after") && complaint.contains("was told 21"), "{complaint}");
}

#[test]
fn who_has_just_died_may_be_named_until_it_is_noticed() {
    let (mut world, mut judge) = ring();
    world.pause(peer(14), Duration::MAX);
    judge.struck(&mut world, &[peer(14)]).unwrap();
    verdict(&mut world, &mut judge, 14).unwrap();
    assert_eq!(judge.verdicts.stale, 1);
    world.run(bound::notice(&world.config) + Duration::from_secs(1));
    judge.watch(&mut world).unwrap();
    assert!(verdict(&mut world, &mut judge, 14).is_err(), "and no longer");
}

#[test]
fn living_node_that_is_taken_for_dead_suspends_judgement_until_the_ring_is_ideal_and_calm() {
    let (mut world, mut judge) = ring();
    world.env.suspected.push((peer(8), peer(1)));
    judge.watch(&mut world).unwrap();
    assert_eq!(judge.breaches()[0].cause, "1 takes 8 for dead, which lives");
    judge.try_to_resume(&world);
    assert!(!judge.holding, "there may be false news");
    world.run(world.config.lookup_timeout * 2);
    judge.watch(&mut world).unwrap();
    judge.try_to_resume(&world);
    assert!(judge.holding);
}

/// Found by a random history (seed 8226): the last node awake was an ideal ring of one.
#[test]
fn judgement_waits_for_who_is_paused() {
    let mut world = World::new(1, SIX, 1);
    world.start(peer(1), &[]);
    world.start(peer(8), &[peer(1)]);
    world.run_until(Duration::from_secs(60), World::ideal).unwrap();
    world.pause(peer(8), Duration::from_secs(60));
    world.run(Duration::from_secs(30));
    assert!(world.ideal_neighbors().is_ok(), "node 1 is alone");
    let mut judge = Judge::new();
    judge.watch(&mut world).unwrap();
    judge.try_to_resume(&world);
    assert!(!judge.holding);
}

/// Joiners behind a node that dies silently are appendages until the death is noticed.
#[test]
fn appendage_that_owns_the_key_once_the_ring_has_closed_is_early() {
    let (mut world, mut judge) = ring();
    world.start(peer(12), &[peer(1)]);
    while world.host(peer(12)).is_some_and(|host| !host.is_member()) {
        world.step();
    }
    judge.watch(&mut world).unwrap();
    verdict(&mut world, &mut judge, 12).unwrap();
    assert_eq!(judge.verdicts.early, 1);
}

/// Found by a random history (seed 19061): a joiner died while its predecessor heard of it, and was adopted.
#[test]
fn appendage_that_has_just_died_may_be_named_until_it_is_noticed() {
    let (mut world, mut judge) = ring();
    world.start(peer(12), &[peer(1)]);
    while world.host(peer(12)).is_some_and(|host| !host.is_member()) {
        world.step();
    }
    judge.watch(&mut world).unwrap();
    world.pause(peer(12), Duration::MAX);
    judge.struck(&mut world, &[peer(12)]).unwrap();
    verdict(&mut world, &mut judge, 12).unwrap();
    assert_eq!(judge.verdicts.stale, 1);
    world.run(bound::notice(&world.config) + Duration::from_secs(1));
    judge.watch(&mut world).unwrap();
    assert!(verdict(&mut world, &mut judge, 12).is_err(), "and no longer");
}

#[test]
fn failure_of_others_is_no_excuse_for_who_would_have_been_an_owner() {
    let (mut world, mut judge) = ring();
    let members = vec![peer(1), peer(8), peer(12), peer(21)];
    judge.failures.push(Failure { at: world.now(), victims: vec![peer(21)], members });
    assert!(verdict(&mut world, &mut judge, 12).is_err());
    judge.failures[0].victims = vec![peer(12)];
    verdict(&mut world, &mut judge, 12).unwrap();
}

#[test]
fn dead_node_that_is_taken_for_dead_is_no_breach() {
    let (mut world, mut judge) = ring();
    world.pause(peer(8), Duration::MAX);
    judge.struck(&mut world, &[peer(8)]).unwrap();
    world.run(Duration::from_secs(10));
    judge.watch(&mut world).unwrap();
    assert!(judge.breaches().is_empty());
}
