use super::*;
use crate::protocol::procedure::Target;
use crate::protocol::testing::{peer, peers};

fn lookup(key: u8, successors: &[u8], fingers: &[u8]) -> Lookup {
    let mut neighbors = Neighbors::alone(peer(8), 4);
    neighbors.adopt(peers(successors));
    neighbors.set_predecessor(peer(1));
    let query = Query::begun(peer(key).id, false);
    Lookup::new(query, neighbors, peers(fingers))
}

fn asks(n: u8, step: &Step<Finding>) -> bool {
    matches!(step, Step::Ask(to, Request::FindSuccessor { .. }) if *to == peer(n).into())
}

fn pings(n: u8, step: &Step<Finding>) -> bool {
    matches!(step, Step::Ask(to, Request::CheckPredecessor) if *to == peer(n).into())
}

fn names(n: u8, step: &Step<Finding>) -> bool {
    matches!(step, Step::Done(Finding { outcome: Outcome::Owner(found), .. }) if found.owner == peer(n))
}

fn fails(why: LookupFailure, step: &Step<Finding>) -> bool {
    matches!(step, Step::Done(Finding { outcome: Outcome::Failed(lost), .. }) if *lost == why)
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
    let Step::Done(finding) = lookup.resume(Answer::Refused(Code::Unspecified)) else {
        panic!("three refusals are enough");
    };
    assert_eq!((finding.outcome, finding.dead), (Outcome::Failed(LookupFailure::NoRoute), vec![]));
}

/// Three members that had been restarted were all that a lookup asked: it failed although the ring was as it should be.
#[test]
fn members_that_have_come_back_together_do_not_end_a_lookup() {
    let again = || Answer::Refused(Code::Retry);
    let mut lookup = lookup(54, &[14, 21], &[14, 21, 32, 42]);
    lookup.start();
    assert!(asks(32, &lookup.resume(again())));
    assert!(asks(21, &lookup.resume(again())));
    assert!(asks(14, &lookup.resume(again())), "they don't count");
    assert_eq!(lookup.resume(again()), Step::Rest { rests: 0 }, "no other node is left");
    let mut rested = lookup.clone();
    assert!(asks(42, &rested.resume(Answer::Rested)));
    assert!(asks(32, &rested.resume(again())), "and so on, as often as it may rest");
    assert!(asks(42, &lookup.resume(Answer::Unasked)), "the closest is asked once more, at once");
    let answer = Answer::Reply(Response::Successor { owner: peer(56), path: vec![] });
    assert!(names(56, &{ lookup.clone() }.resume(answer)));
    assert!(asks(32, &lookup.resume(again())));
    assert!(asks(21, &lookup.resume(again())));
    assert!(fails(LookupFailure::NoRoute, &lookup.resume(again())), "the second time they do count");
}

/// Puts a query to node `me` of a ring in which each node knows the three after it, and those from 40
/// on have lost their ring; counts the queries that it costs.
fn queries(me: u8, hops: u32, count: &mut u32) -> Result<Peer, LookupFailure> {
    let mut neighbors = Neighbors::alone(peer(me), 3);
    neighbors.adopt(peers(&[me + 1, me + 2, me + 3]));
    let mut lookup =
        Lookup::new(Query { scope: Scope::Ring { hops }, ..Query::begun(peer(60).id, false) }, neighbors, vec![]);
    let mut step = lookup.start();
    loop {
        let (next, hops) = match step {
            Step::Ask(Target::Peer(next), Request::FindSuccessor { hops, .. }) => (next, hops),
            Step::Done(finding) => return finding.owner().map(|found| found.owner),
            other => panic!("{other:?}"),
        };
        *count += 1;
        let next = (1..43).find(|n| peer(*n) == next).expect("a node of the ring");
        let answer = if next < 40 { queries(next, hops, count) } else { Err(LookupFailure::Isolated) };
        step = lookup.resume(match answer {
            Ok(owner) => Answer::Reply(Response::Successor { owner, path: vec![] }),
            Err(lost) => Answer::Refused(lost.into()),
        });
    }
}

/// Each hop of a lookup that could not be answered tried three ways, so that one lookup over thirteen
/// hops cost more than a million queries.
#[test]
fn lookup_that_fails_costs_a_few_questions_for_each_hop() {
    let mut count = 0;
    assert_eq!(queries(1, 0, &mut count), Err(LookupFailure::NoRoute));
    assert!((13..100).contains(&count), "{count} queries");
}

#[test]
fn hop_passes_on_that_others_have_tried_in_vain_and_goes_round_who_has_not() {
    for (code, lost) in [(Code::NoRoute, LookupFailure::NoRoute), (Code::Timeout, LookupFailure::Timeout)] {
        let mut lookup = lookup(54, &[14, 21], &[14, 21, 32, 42]);
        lookup.start();
        assert!(asks(32, &lookup.resume(Answer::Refused(code))), "the node that began tries another way");
        lookup.query.scope = Scope::Ring { hops: 1 };
        assert!(fails(lost, &lookup.resume(Answer::Refused(code))));
    }
    for code in [Code::Retry, Code::Unspecified] {
        let mut lookup = lookup(54, &[14, 21], &[14, 21, 32, 42]);
        lookup.query.scope = Scope::Ring { hops: 1 };
        lookup.start();
        assert!(asks(32, &lookup.resume(Answer::Refused(code))), "{code}");
    }
}

/// A creator that was restarted answers with itself for every key; all nodes passed that on as long as it was among
/// their fingers or at the head of their list.
#[test]
fn hop_that_names_itself_is_believed_only_by_who_knows_nobody_else() {
    let itself = |n| Answer::Reply(Response::Successor { owner: peer(n), path: vec![] });
    let mut lookup = lookup(54, &[14, 21], &[14, 21, 32, 42]);
    lookup.start();
    assert!(asks(32, &lookup.resume(itself(42))));
    assert!(names(56, &lookup.resume(itself(56))));

    let mut before = self::lookup(20, &[14, 21], &[14]);
    before.start();
    assert_eq!(before.resume(itself(14)), whose_before(21), "its keys fall to the next");
    let Step::Done(finding) = before.resume(comes_after(Some(14))) else { panic!("that ends it") };
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
    assert_eq!(lookup.resume(Answer::Refused(Code::NotJoined)), whose_before(21), "the next live one");
    assert!(names(21, &lookup.resume(comes_after(Some(14)))), "which has yet to notice");

    let mut slow = self::lookup(14, &[14, 21], &[]);
    slow.start();
    assert!(names(14, &slow.resume(Answer::Silent)), "slow is alive");
}

#[test]
fn keys_of_a_dead_successor_fall_to_the_next() {
    let mut lookup = lookup(20, &[14, 21, 32], &[14]);
    assert!(asks(14, &lookup.start()));
    assert_eq!(lookup.resume(Answer::Gone), whose_before(21));
    assert_eq!(lookup.resume(Answer::Gone), whose_before(32));
    assert!(names(32, &lookup.resume(comes_after(Some(21)))), "which has yet to notice that 21 is dead");
}

/// Found by random histories (seed 2804): while a lookup waited for two dead heads, both were restarted and joined, and
/// it named the second.
#[test]
fn owner_that_was_pinged_is_outdated_when_somebody_has_come_before_it() {
    let mut lookup = lookup(20, &[14, 21, 32], &[14]);
    lookup.start();
    lookup.resume(Answer::Gone);
    let Step::Done(finding) = lookup.resume(comes_after(Some(8))) else { panic!("that ends it") };
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
    assert!(fails(LookupFailure::Isolated, &lookup.resume(Answer::Gone)));
}

#[test]
fn successor_that_could_not_be_pinged_is_not_named() {
    let mut lookup = lookup(13, &[14, 21], &[]);
    lookup.neighbors.doubt_successor();
    assert!(pings(14, &lookup.start()));
    assert!(fails(LookupFailure::Busy, &lookup.resume(Answer::Unasked)));
}

#[test]
fn question_that_has_gone_too_far_ends() {
    let mut lookup = lookup(54, &[14], &[]);
    lookup.query.scope = Scope::Ring { hops: MAX_HOPS };
    assert!(fails(LookupFailure::TooManyHops, &lookup.start()));
    lookup.query.scope = Scope::Ring { hops: MAX_HOPS - 1 };
    assert!(asks(14, &lookup.start()));
    assert!(fails(LookupFailure::TooManyHops, &lookup.resume(Answer::Refused(Code::BadRequest))));
}

#[test]
fn busy_hop_is_gone_round_after_a_rest_and_asked_again_when_nobody_else_is_left() {
    for busy in [Answer::Refused(Code::Busy), Answer::Unasked] {
        let mut lookup = lookup(54, &[14], &[14, 42]);
        lookup.start();
        assert_eq!(lookup.resume(busy.clone()), Step::Rest { rests: 0 });
        assert!(asks(14, &lookup.resume(Answer::Rested)));
        assert_eq!(lookup.resume(busy.clone()), Step::Rest { rests: 1 });
        assert!(asks(42, &lookup.resume(Answer::Rested)), "the closest again");
        let answer = Answer::Reply(Response::Successor { owner: peer(56), path: vec![] });
        assert!(names(56, &lookup.resume(answer)), "{busy:?}");
    }
}

#[test]
fn lookup_that_may_not_rest_any_more_is_busy_and_not_without_a_route() {
    let mut lookup = lookup(54, &[14], &[14, 42]);
    lookup.start();
    for rests in 0..MAX_RESTS {
        assert_eq!(lookup.resume(Answer::Refused(Code::Busy)), Step::Rest { rests });
        lookup.resume(Answer::Rested);
    }
    assert!(
        fails(LookupFailure::Busy, &{ lookup.clone() }.resume(Answer::Refused(Code::Busy))),
        "it has rested often enough"
    );

    let mut poor = self::lookup(54, &[14], &[14, 42]);
    poor.start();
    poor.resume(Answer::Refused(Code::Busy));
    assert!(fails(LookupFailure::Busy, &poor.resume(Answer::Unasked)), "there are no retries left");

    let mut hop = self::lookup(54, &[14], &[14, 42]);
    hop.query.scope = Scope::Ring { hops: 1 };
    hop.start();
    hop.resume(Answer::Refused(Code::Busy));
    assert!(asks(14, &hop.resume(Answer::Rested)));
    assert!(fails(LookupFailure::Busy, &hop.resume(Answer::Refused(Code::Busy))), "its asker rests, too");
}

/// The query of a node that is unsure to its successor.
fn whose_before(n: u8) -> Step<Finding> {
    Step::Ask(peer(n).into(), Request::GetPredecessor)
}

/// Processes slept one after the other: nodes of the first were back, but the node before the second had not heard of
/// them, and named the node behind them.
#[test]
fn next_successor_is_named_only_if_it_knows_nobody_in_between_who_lives() {
    let alive = Answer::Reply(Response::Alive { plain: false, alone: false });
    let dropped = || {
        let mut lookup = lookup(13, &[14, 21], &[]);
        lookup.neighbors.drop_successor(peer(14));
        assert_eq!(lookup.start(), whose_before(21));
        lookup
    };
    let mut lookup = dropped();
    assert!(pings(18, &lookup.resume(comes_after(Some(18)))));
    assert!(fails(LookupFailure::Unsure, &lookup.resume(alive)));
    assert!(names(21, &dropped().resume(comes_after(Some(14)))), "it has yet to notice that 14 is dead");
}

/// Node 8 is unsure of its neighbours; it looks for a key between itself and its successor.
fn unsure(key: u8) -> Lookup {
    let mut lookup = lookup(key, &[14, 21], &[]);
    lookup.neighbors.doubt_all();
    assert_eq!(lookup.start(), whose_before(14));
    lookup
}

fn comes_after(predecessor: Option<u8>) -> Answer {
    let successors = Some(peers(&[21]));
    Answer::Reply(Response::Predecessor { predecessor: predecessor.map(peer), successors, memory: Memory::default() })
}

/// A process that had slept for 10 s named owners from the tables that it had before.
#[test]
fn node_that_is_unsure_names_its_successor_only_when_that_claims_the_key() {
    assert!(names(14, &unsure(12).resume(comes_after(Some(8)))));
    assert!(names(14, &unsure(12).resume(comes_after(Some(1)))), "its predecessor is before the key");
    assert!(names(14, &unsure(12).resume(comes_after(Some(11)))), "no node is between its predecessor and the key");
    assert!(fails(LookupFailure::Unsure, &unsure(12).resume(comes_after(None))), "others may have come in meanwhile");
    let lost = Memory { former: Some(peer(8)), slept: false };
    let lost = Response::Predecessor { predecessor: None, successors: Some(peers(&[21])), memory: lost };
    assert!(
        names(14, &unsure(12).resume(Answer::Reply(lost))),
        "it has lost this very node, and no other has come since"
    );
    for answer in [Answer::Refused(Code::Retry), Answer::Silent] {
        assert!(fails(LookupFailure::Unsure, &unsure(12).resume(answer)));
    }
}

#[test]
fn node_that_is_unsure_asks_whether_somebody_has_come_in_between() {
    let asked = || {
        let mut lookup = unsure(10);
        assert!(pings(12, &lookup.resume(comes_after(Some(12)))));
        lookup
    };
    let alive = Answer::Reply(Response::Alive { plain: false, alone: false });
    for answer in [alive, Answer::Silent, Answer::Unasked] {
        assert!(fails(LookupFailure::Unsure, &asked().resume(answer)), "it may own the key");
    }
    let mut dead = asked();
    assert_eq!(dead.resume(Answer::Gone), whose_before(14));
    assert!(names(14, &dead.resume(comes_after(Some(12)))), "its successor has yet to notice");
}

#[test]
fn owner_that_lies_before_the_key_is_asked_and_not_believed() {
    for style in [Style::Recursive, Style::Iterative] {
        let mut lookup = lookup(54, &[14, 21], &[14, 21, 32, 42]).in_style(style);
        lookup.start();
        let named = |n| Answer::Reply(Response::Successor { owner: peer(n), path: vec![] });
        let step = lookup.resume(named(48));
        assert!(matches!(&step, Step::Ask(to, _) if *to == peer(48).into()), "{step:?}");
        assert!(names(56, &lookup.resume(named(56))));
    }
}

#[test]
fn nobody_is_led_from_one_impossible_owner_to_the_next_for_ever() {
    let mut lookup = lookup(54, &[14, 21], &[14, 21, 32, 42]);
    lookup.start();
    let mut step = Step::Wait;
    for n in 43..=45 {
        step = lookup.resume(Answer::Reply(Response::Successor { owner: peer(n), path: vec![] }));
    }
    assert!(fails(LookupFailure::NoRoute, &step), "{step:?}");
}

/// Two plain peers that serve no calls while they ask waited for each other, each for a lookup that went to the other.
#[test]
fn hop_that_may_be_waiting_for_the_lookup_is_gone_round_once() {
    let mut lookup = lookup(54, &[14, 21], &[14, 21, 32, 42]);
    lookup.start();
    assert!(asks(32, &lookup.resume(Answer::Excused)));
    let mut found = lookup.clone();
    let owner = Answer::Reply(Response::Successor { owner: peer(56), path: vec![] });
    assert!(names(56, &found.resume(owner)));
    for answer in [Answer::Excused, Answer::Silent, Answer::Refused(Code::NoRoute), Answer::Refused(Code::Timeout)] {
        assert!(fails(LookupFailure::Timeout, &lookup.clone().resume(answer)));
    }
    lookup.query.scope = Scope::Ring { hops: 1 };
    lookup.excused = false;
    assert!(fails(LookupFailure::Timeout, &lookup.resume(Answer::Excused)), "the node that began tries another way");
}

/// A joiner waits for the answer, and would stay alone for ever if it were named.
#[test]
fn successor_whose_silence_is_excused_is_named_but_for_its_own_identifier() {
    for (key, owner) in [(13, 14), (14, 21)] {
        let mut lookup = lookup(key, &[14, 21], &[]);
        lookup.neighbors.doubt_successor();
        assert!(pings(14, &lookup.start()));
        let next = lookup.resume(Answer::Excused);
        // The next successor still knows it, and is to confirm that it owns the key.
        let confirms =
            Response::Predecessor { predecessor: Some(peer(14)), successors: None, memory: Memory::default() };
        let next = if owner == 21 { lookup.resume(Answer::Reply(confirms)) } else { next };
        assert!(names(owner, &next), "{key}");
        assert_eq!(lookup.take_dead(), []);
    }
}
