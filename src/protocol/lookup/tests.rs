use super::*;
use crate::protocol::testing::{peer, peers};

fn lookup(key: u8, successors: &[u8], fingers: &[u8]) -> Lookup {
    let mut neighbors = Neighbors::alone(peer(8), 4);
    neighbors.adopt(peers(successors));
    neighbors.set_predecessor(peer(1));
    let question = Question { key: peer(key).id, hops: 0, want_path: false };
    Lookup::new(question, neighbors, peers(fingers))
}

fn asks(n: u8, step: &Step<Finding>) -> bool {
    matches!(step, Step::Ask(to, Request::FindSuccessor { .. }) if *to == peer(n).into())
}

fn pings(n: u8, step: &Step<Finding>) -> bool {
    matches!(step, Step::Ask(to, Request::CheckPredecessor) if *to == peer(n).into())
}

fn names(n: u8, step: &Step<Finding>) -> bool {
    matches!(step, Step::Done(Finding { result: Ok(found), .. }) if found.owner == peer(n))
}

fn fails(why: Lost, step: &Step<Finding>) -> bool {
    matches!(step, Step::Done(Finding { result: Err(lost), .. }) if *lost == why)
}

#[test]
fn own_keys_and_those_of_a_heard_successor_need_no_question() {
    assert!(names(8, &lookup(8, &[14], &[]).start()));
    assert!(names(8, &lookup(2, &[14], &[]).start()));
    assert!(names(14, &lookup(13, &[14], &[]).start()));
}

#[test]
fn question_goes_to_the_closest_preceding_node_of_both_tables() {
    assert!(asks(42, &lookup(54, &[14, 21], &[14, 21, 32, 42]).start()));
    assert!(asks(48, &lookup(54, &[14, 48], &[14, 21, 32, 42]).start()));
    assert!(asks(32, &lookup(42, &[14, 21], &[14, 21, 32]).start()), "strictly before the key");
}

#[test]
fn dead_hop_is_left_out_and_reported() {
    let mut lookup = lookup(54, &[14, 21], &[14, 21, 32, 42]);
    lookup.start();
    assert!(asks(32, &lookup.resume(Answer::Gone)));
    assert!(asks(21, &lookup.resume(Answer::Refused(Code::NotJoined))));
    let Step::Done(finding) = lookup.resume(Answer::Reply(Response::Successor { owner: peer(56), path: vec![] }))
    else {
        panic!("an answer ends it");
    };
    assert_eq!(finding.dead, peers(&[42, 32]));
}

#[test]
fn death_can_be_told_before_the_lookup_ends() {
    let mut lookup = lookup(54, &[14, 21], &[14, 21, 32, 42]);
    lookup.start();
    lookup.resume(Answer::Gone);
    assert_eq!(lookup.take_dead(), peers(&[42]));
    let Step::Done(finding) = lookup.resume(Answer::Reply(Response::Successor { owner: peer(56), path: vec![] }))
    else {
        panic!("an answer ends it");
    };
    assert_eq!(finding.dead, [], "and is not told again");
}

#[test]
fn hop_that_refuses_is_left_out_and_not_called_dead() {
    let mut lookup = lookup(54, &[14, 21], &[14, 21, 32, 42]);
    lookup.start();
    assert!(asks(32, &lookup.resume(Answer::Refused(Code::Timeout))));
    assert!(asks(21, &lookup.resume(Answer::Silent)));
    let Step::Done(finding) = lookup.resume(Answer::Refused(Code::Retry)) else {
        panic!("three refusals are enough");
    };
    assert_eq!((finding.result, finding.dead), (Err(Lost::NoRoute), vec![]));
}

/// A creator that was started again answers with itself for every key; everybody passed that on as
/// long as it was among their fingers or at the head of their list.
#[test]
fn hop_that_names_itself_is_believed_only_by_who_knows_nobody_else() {
    let itself = |n| Answer::Reply(Response::Successor { owner: peer(n), path: vec![] });
    let mut lookup = lookup(54, &[14, 21], &[14, 21, 32, 42]);
    lookup.start();
    assert!(asks(32, &lookup.resume(itself(42))));
    assert!(names(56, &lookup.resume(itself(56))));

    let mut before = self::lookup(20, &[14, 21], &[14]);
    before.start();
    assert!(pings(21, &before.resume(itself(14))), "its keys fall to the next");
    let Step::Done(finding) = before.resume(Answer::Reply(Response::Alive { plain: false, alone: false })) else {
        panic!("a ping ends it");
    };
    assert_eq!(finding.dead, [], "it lives");
    assert!(!finding.is_outdated(peer(20).id, &self::lookup(20, &[14, 21], &[]).neighbors), "and is still there");

    let mut young = self::lookup(54, &[42], &[42]);
    young.start();
    assert!(names(42, &young.resume(itself(42))), "it has yet to hear of us");
}

#[test]
fn successor_in_doubt_is_pinged_before_it_is_named() {
    let mut lookup = lookup(13, &[14, 21], &[]);
    lookup.neighbors.doubt_successor();
    assert!(pings(14, &lookup.start()));
    assert!(names(14, &lookup.resume(Answer::Reply(Response::Alive { plain: false, alone: false }))));
}

#[test]
fn key_that_equals_a_nodes_identifier_is_pinged() {
    let mut lookup = lookup(14, &[14, 21], &[]);
    assert!(pings(14, &lookup.start()));
    assert!(pings(21, &lookup.resume(Answer::Refused(Code::NotJoined))), "the next live one");
    assert!(names(21, &lookup.resume(Answer::Silent)), "slow is alive");
}

#[test]
fn keys_of_a_dead_successor_fall_to_the_next() {
    let mut lookup = lookup(20, &[14, 21, 32], &[14]);
    assert!(asks(14, &lookup.start()));
    assert!(pings(21, &lookup.resume(Answer::Gone)));
    assert!(pings(32, &lookup.resume(Answer::Gone)));
    assert!(names(32, &lookup.resume(Answer::Reply(Response::Alive { plain: true, alone: false }))));
}

/// Found by random histories (seed 2804): while a lookup waited for two dead heads, both were started
/// again and joined, and it named the second.
#[test]
fn owner_that_was_pinged_is_outdated_when_somebody_has_come_before_it() {
    let mut lookup = lookup(20, &[14, 21, 32], &[14]);
    lookup.start();
    lookup.resume(Answer::Gone);
    let Step::Done(finding) = lookup.resume(Answer::Reply(Response::Alive { plain: false, alone: false })) else {
        panic!("a ping ends it");
    };
    let now = |successors| self::lookup(20, successors, &[]).neighbors;
    assert!(!finding.is_outdated(peer(20).id, &now(&[21, 32])));
    assert!(finding.is_outdated(peer(20).id, &now(&[20, 21])));
    assert!(finding.is_outdated(peer(20).id, &now(&[14, 21])));
}

#[test]
fn node_whose_whole_list_is_dead_names_nobody() {
    let mut lookup = lookup(20, &[14, 21], &[]);
    lookup.start();
    lookup.resume(Answer::Gone);
    assert!(fails(Lost::Isolated, &lookup.resume(Answer::Gone)));
}

#[test]
fn successor_that_could_not_be_pinged_is_not_named() {
    let mut lookup = lookup(13, &[14, 21], &[]);
    lookup.neighbors.doubt_successor();
    assert!(pings(14, &lookup.start()));
    assert!(fails(Lost::Busy, &lookup.resume(Answer::Unasked)));
}

#[test]
fn question_that_has_gone_too_far_ends() {
    let mut lookup = lookup(54, &[14], &[]);
    lookup.question.hops = MAX_HOPS;
    assert!(fails(Lost::TooManyHops, &lookup.start()));
    lookup.question.hops = MAX_HOPS - 1;
    assert!(asks(14, &lookup.start()));
    assert!(fails(Lost::TooManyHops, &lookup.resume(Answer::Refused(Code::BadRequest))));
}
