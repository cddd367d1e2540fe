use super::answers::{ADMISSION, MAX_NOTIFIERS};
use super::backoff::NOT_NOW;
use super::losses::MAX_RECALLED;
use super::*;
use crate::protocol::awaken::{Awakened, Place};
use crate::protocol::check_predecessor::Checked;
use crate::protocol::conversation::Outcome;
use crate::protocol::id::Id;
use crate::protocol::procedure::{Answer, Procedure, Step};
use crate::protocol::rectify::Rectified;
use crate::protocol::reunite::{Reunion, Touch};
use crate::protocol::rpc::{Code, Memory, Response};
use crate::protocol::stabilize::Learned;
use crate::protocol::testing::{SIX, peer, peers};

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn setup(me: u8, r: usize, seeds: &[u8]) -> Setup {
    Setup {
        me: peer(me),
        bits: SIX,
        r,
        stabilize_every: SECOND,
        check_predecessor_every: SECOND,
        seeds: peers(seeds).into_iter().map(|seed| seed.addr).collect(),
        creates: true,
    }
}

/// Node 21, a member with these successors, that has nothing to do just now.
pub(super) fn member(successors: &[u8]) -> Maintenance {
    let mut node = Maintenance::new(setup(21, 3, &[8]));
    assert!(matches!(node.next_conversation(), Some(Conversation::Join(_))));
    node.digest(Outcome::Join(Joined::Member(peers(successors))));
    settle(&mut node, successors);
    node
}

/// Node 21 after its predecessor has become `predecessor`.
pub(super) fn member_after(predecessor: u8, successors: &[u8]) -> Maintenance {
    let mut node = member(successors);
    rectify(&mut node, predecessor);
    settle(&mut node, successors);
    node
}

/// Holds all conversations that are due, in a healthy ring.
pub(super) fn settle(node: &mut Maintenance, successors: &[u8]) {
    while let Some(conversation) = node.next_conversation() {
        node.digest(match conversation {
            Conversation::Stabilize(_) => learned(successors),
            Conversation::CheckPredecessor(_) => Outcome::CheckPredecessor(Checked::Unclear),
            Conversation::Reunite(_) => Outcome::Reunite(Reunion::Nothing),
            other => panic!("{other:?}"),
        });
    }
    node.effects();
}

fn rectify(node: &mut Maintenance, notifier: u8) {
    node.serve(&Request::Notify { me: peer(notifier) }, false).unwrap();
    assert!(matches!(node.next_conversation(), Some(Conversation::Rectify(_))));
    node.digest(Outcome::Rectify(Rectified { notifier: peer(notifier), answered: true, dead: None }));
}

fn learned(list: &[u8]) -> Outcome {
    Outcome::Stabilize(Learned { list: Some(peers(list)), ..Learned::default() })
}

fn dead(n: u8) -> Outcome {
    Outcome::Stabilize(Learned { dead: peers(&[n]), ..Learned::default() })
}

fn stabilize(node: &mut Maintenance, outcome: Outcome) {
    node.fired(Timer::Stabilize);
    assert!(matches!(node.next_conversation(), Some(Conversation::Stabilize(_))));
    node.digest(outcome);
}

fn tells(node: &mut Maintenance) -> Vec<(Peer, Request)> {
    let told = node.effects().into_iter().filter_map(|effect| match effect {
        Effect::Tell(peer, request) => Some((peer, request)),
        _ => None,
    });
    told.collect()
}

fn wakes(node: &mut Maintenance, timer: Timer) -> Option<Duration> {
    let woken = node.effects().into_iter().filter_map(|effect| match effect {
        Effect::Wake(woken, after) if woken == timer => Some(after),
        _ => None,
    });
    woken.collect::<Vec<_>>().pop()
}

fn admits(node: &mut Maintenance, joiner: u8) -> Result<(), Code> {
    node.serve(&Request::GetSuccessorList { joiner: Some(peer(joiner)) }, false).map(|_| ())
}

#[test]
fn node_without_seeds_is_a_ring_of_one() {
    let node = Maintenance::new(setup(21, 3, &[]));
    assert_eq!(node.standing(), Standing::Member);
    assert_eq!(node.vantage().unwrap().successors(), []);
}

#[test]
fn joiner_is_no_member_until_it_has_a_list() {
    let mut node = Maintenance::new(setup(21, 3, &[8]));
    assert_eq!(node.vantage(), Err(LookupFailure::NotJoined));
    for request in [Request::CheckPredecessor, Request::GetPredecessor, Request::Notify { me: peer(8) }] {
        assert_eq!(node.serve(&request, false), Err(Code::NotJoined), "{request:?}");
    }
    node.next_conversation();
    node.digest(Outcome::Join(Joined::NotNow));
    assert_eq!(node.standing(), Standing::Joining);
    assert_eq!(wakes(&mut node, Timer::Join), Some(NOT_NOW.first));
}

#[test]
fn joiner_that_no_seed_answers_may_create_a_ring_and_goes_on_asking() {
    let mut node = Maintenance::new(setup(21, 3, &[8]));
    node.next_conversation();
    node.create();
    assert_eq!(node.standing(), Standing::Joining, "an attempt is under way");
    node.digest(Outcome::Join(Joined::NoAnswer));
    node.create();
    assert_eq!((node.standing(), node.neighbors().successors()), (Standing::Member, &[][..]));
    assert_eq!(wakes(&mut node, Timer::Reunite), Some(REUNITE_ALONE));
    while let Some(Conversation::Stabilize(_)) = node.next_conversation() {
        node.digest(Outcome::Stabilize(Learned::default()));
    }
    node.fired(Timer::Reunite);
    assert!(matches!(node.next_conversation(), Some(Conversation::Reunite(_))), "with the seed");
    // A member that has others does not give them up.
    let mut member = member(&[32]);
    member.create();
    assert_eq!(member.neighbors().successors(), peers(&[32]));
}

#[test]
fn new_member_stabilizes_at_once() {
    let mut node = Maintenance::new(setup(21, 3, &[8]));
    node.next_conversation();
    node.digest(Outcome::Join(Joined::Member(peers(&[32, 38]))));
    assert_eq!(node.neighbors().predecessor(), None);
    assert!(matches!(node.next_conversation(), Some(Conversation::Stabilize(_))));
}

#[test]
fn one_conversation_is_held_at_a_time() {
    let mut node = member(&[32, 38]);
    node.fired(Timer::Stabilize);
    node.fired(Timer::Reunite);
    assert!(matches!(node.next_conversation(), Some(Conversation::Reunite(_))));
    assert_eq!(node.next_conversation(), None);
    node.digest(Outcome::Reunite(Reunion::Nothing));
    assert!(matches!(node.next_conversation(), Some(Conversation::Stabilize(_))));
}

#[test]
fn conversations_take_turns() {
    let mut node = member(&[32, 38]);
    let mut held = Vec::new();
    for _ in 0..6 {
        // A flood of notifications, and a successor that changes with every round.
        node.serve(&Request::Notify { me: peer(14) }, false).unwrap();
        node.fired(Timer::Stabilize);
        held.push(match node.next_conversation() {
            Some(Conversation::Rectify(_)) => {
                node.digest(Outcome::Rectify(Rectified { notifier: peer(14), answered: false, dead: None }));
                'r'
            }
            Some(Conversation::Stabilize(_)) => {
                node.digest(learned(&[32, 38]));
                's'
            }
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(held.iter().filter(|kind| **kind == 's').count(), 3, "{held:?}");
}

#[test]
fn every_completed_round_notifies_the_first_successor_of_then() {
    let notify = Request::Notify { me: peer(21) };
    for (outcome, head) in [
        (learned(&[32, 38]), 32),
        (learned(&[26, 32]), 26),
        (dead(32), 38),
        (Outcome::Stabilize(Learned::default()), 32),
    ] {
        let mut node = member(&[32, 38]);
        stabilize(&mut node, outcome.clone());
        assert_eq!(tells(&mut node), [(peer(head), notify.clone())], "{outcome:?}");
    }
}

#[test]
fn round_that_changed_something_is_followed_by_another_at_once() {
    let mut node = member(&[32, 38]);
    stabilize(&mut node, learned(&[26, 32, 38]));
    assert!(matches!(node.next_conversation(), Some(Conversation::Stabilize(_))));
    node.digest(learned(&[26, 32, 38]));
    assert_eq!(node.next_conversation(), None);
    assert_eq!(wakes(&mut node, Timer::Stabilize), Some(SECOND));
}

#[test]
fn rounds_that_change_something_for_ever_pause_now_and_then() {
    let mut node = member(&[32, 38]);
    node.fired(Timer::Stabilize);
    let rounds = (0..).take_while(|i| {
        let next = node.next_conversation().is_some();
        if next {
            node.digest(learned(if i % 2 == 0 { &[26, 32] } else { &[32, 38] }));
        }
        next
    });
    assert_eq!(rounds.count() as u32, MAX_ERRANDS);
    assert_eq!(wakes(&mut node, Timer::Stabilize), Some(SECOND));
    node.fired(Timer::Stabilize);
    assert!(node.next_conversation().is_some(), "its own timer goes on");
    node.digest(learned(&[26, 32]));
    assert_eq!(node.next_conversation(), None);
    node.fired(Timer::Pause);
    assert!(node.next_conversation().is_some());
}

/// How many conversations the node holds, until it pauses, while `provoke` is done to it all the time.
fn provoked(node: &mut Maintenance, provoke: impl Fn(&mut Maintenance, u32)) -> u32 {
    let mut held = 0;
    for i in 0..10_000 {
        provoke(node, i);
        if let Some(conversation) = node.next_conversation() {
            held += 1;
            node.digest(match conversation {
                Conversation::Join(_) => Outcome::Join(Joined::NoAnswer),
                Conversation::Rectify(_) => {
                    Outcome::Rectify(Rectified { notifier: stranger(i), answered: false, dead: None })
                }
                Conversation::Stabilize(_) | Conversation::Awaken(_) => learned(&[32, 38]),
                Conversation::CheckPredecessor(_) => Outcome::CheckPredecessor(Checked::Unclear),
                Conversation::Reunite(_) => Outcome::Reunite(Reunion::Nothing),
            });
        }
    }
    held
}

/// One of many nodes right before node 21 that do not exist.
fn stranger(n: u32) -> Peer {
    let mut id = *peer(20).id.as_bytes();
    id[16..].copy_from_slice(&n.to_be_bytes());
    Peer { id: Id::from_bytes(id), addr: peer(20).addr }
}

#[test]
fn others_drive_a_node_no_faster_than_its_allowance() {
    let nudge = Request::Nudge { of: peer(32) };
    type Provoke = Box<dyn Fn(&mut Maintenance, u32)>;
    let floods: [(&str, Provoke); 4] = [
        ("nudges", Box::new(move |node, _| drop(node.serve(&nudge, false)))),
        ("notifications", Box::new(|node, i| drop(node.serve(&Request::Notify { me: stranger(i) }, false)))),
        ("broken connections", Box::new(|node, _| node.severed(&[peer(32).addr].into()))),
        (
            "claims to be its predecessor",
            Box::new(|node, _| drop(node.serve(&Request::GetSuccessorList { joiner: Some(peer(8)) }, false))),
        ),
    ];
    for (flood, provoke) in floods {
        let mut node = member_after(8, &[32, 38]);
        let held = provoked(&mut node, &provoke);
        assert!((1..=MAX_ERRANDS).contains(&held), "{flood}: {held}");
        assert_eq!(wakes(&mut node, Timer::Pause), Some(PAUSE), "{flood}");
        node.fired(Timer::Pause);
        let held = provoked(&mut node, &provoke);
        assert_eq!(held, MAX_ERRANDS, "{flood}, after the pause");
    }
}

#[test]
fn node_that_nobody_drives_takes_no_pause() {
    let mut node = Maintenance::new(setup(21, 3, &[8]));
    assert!(node.next_conversation().is_some());
    assert_eq!(wakes(&mut node, Timer::Pause), None);
}

#[test]
fn invitations_drive_a_ring_of_one_no_faster_than_its_allowance() {
    let mut alone = Maintenance::new(setup(21, 3, &[]));
    let held = provoked(&mut alone, |node, i| drop(node.serve(&Request::Invite { me: stranger(i) }, false)));
    assert!((1..=2 * MAX_ERRANDS).contains(&held), "{held}");
    assert_eq!(alone.standing(), Standing::Member);
}

/// Each of three silent neighbours cost a round of stabilize and a question to the one that had been lost before it:
/// after ten seconds not all of them were noticed.
#[test]
fn lost_node_is_not_asked_while_the_list_has_gaps() {
    let mut node = member(&[32, 38, 42]);
    stabilize(&mut node, dead(32));
    node.fired(Timer::Reunite);
    assert!(matches!(node.next_conversation(), Some(Conversation::Stabilize(_))));
    node.digest(dead(38));
    assert!(matches!(node.next_conversation(), Some(Conversation::Stabilize(_))));
    node.digest(Outcome::Stabilize(Learned::default()));
    assert!(matches!(node.next_conversation(), Some(Conversation::Reunite(_))), "nothing is to be repaired at once");
}

#[test]
fn dead_head_leaves_a_short_list_that_no_joiner_is_given() {
    let mut node = member_after(8, &[32, 38, 42]);
    stabilize(&mut node, dead(32));
    assert_eq!(node.neighbors().successors(), peers(&[38, 42]));
    assert_eq!(admits(&mut node, 14), Err(Code::Retry));
    node.next_conversation();
    node.digest(learned(&[38, 42, 48]));
    assert_eq!(admits(&mut node, 14), Ok(()));
}

#[test]
fn second_joiner_of_a_gap_waits_until_the_first_has_notified_or_its_time_is_up() {
    let mut node = member_after(8, &[32, 38]);
    assert_eq!(admits(&mut node, 14), Ok(()));
    assert_eq!(wakes(&mut node, Timer::Admission), Some(ADMISSION));
    assert_eq!(admits(&mut node, 14), Ok(()), "it may ask again");
    assert_eq!(admits(&mut node, 15), Err(Code::Retry));
    assert_eq!(admits(&mut node, 1), Ok(()), "a node that belongs elsewhere only learns so");
    node.fired(Timer::Admission);
    assert_eq!(admits(&mut node, 15), Ok(()));
    rectify(&mut node, 15);
    assert_eq!(admits(&mut node, 20), Ok(()));
}

#[test]
fn predecessor_that_comes_back_as_a_joiner_is_asked_and_forgotten_first() {
    let mut node = member_after(8, &[32, 38]);
    assert_eq!(admits(&mut node, 8), Err(Code::Retry));
    assert!(matches!(node.next_conversation(), Some(Conversation::CheckPredecessor(_))));
    node.digest(Outcome::CheckPredecessor(Checked::Dead(peer(8))));
    assert_eq!(node.neighbors().predecessor(), None);
}

#[test]
fn ring_of_one_says_so_to_whoever_pings_it() {
    let pinged = |node: &mut Maintenance, plain| node.serve(&Request::CheckPredecessor, plain);
    let alive = |alone| Ok(Response::Alive { plain: false, alone });
    let mut alone = Maintenance::new(setup(21, 3, &[]));
    assert_eq!(pinged(&mut alone, false), alive(true));
    assert_eq!(pinged(&mut alone, true), alive(false), "a plain peer expects nothing more");
    assert_eq!(pinged(&mut member(&[32]), false), alive(false));
}

#[test]
fn whoever_says_to_be_the_predecessor_that_joins_does_not_make_a_node_forget_it() {
    let mut node = member_after(8, &[32, 38]);
    assert_eq!(admits(&mut node, 8), Err(Code::Retry));
    assert_eq!(node.neighbors().predecessor(), Some(peer(8)), "any peer can say so");
    node.next_conversation();
    node.digest(Outcome::CheckPredecessor(Checked::Alive(peer(8), Some(Dialect::Ours))));
    assert_eq!(node.neighbors().predecessor(), Some(peer(8)));
}

#[test]
fn joiner_that_never_comes_holds_up_others_once_only() {
    let mut node = member_after(8, &[32, 38]);
    assert_eq!(admits(&mut node, 14), Ok(()));
    assert_eq!(admits(&mut node, 15), Err(Code::Retry));
    node.fired(Timer::Admission);
    assert_eq!(admits(&mut node, 16), Ok(()));
    assert_eq!(admits(&mut node, 15), Ok(()), "another that may never come does not");
    // A joiner that does not answer at the address that it gives has not come.
    node.serve(&Request::Notify { me: peer(15) }, false).unwrap();
    node.next_conversation();
    node.digest(Outcome::Rectify(Rectified { notifier: peer(15), answered: false, dead: None }));
    assert_eq!((admits(&mut node, 16), admits(&mut node, 17)), (Ok(()), Ok(())));
    rectify(&mut node, 17);
    assert_eq!(admits(&mut node, 18), Ok(()));
    assert_eq!(admits(&mut node, 19), Err(Code::Retry), "one has come");
}

#[test]
fn member_that_does_not_know_its_predecessor_admits_nobody() {
    assert_eq!(admits(&mut member(&[32, 38]), 14), Err(Code::Retry));
    let mut alone = Maintenance::new(setup(21, 3, &[]));
    assert_eq!(admits(&mut alone, 14), Ok(()), "the whole circle is its gap");
}

#[test]
fn plain_joiner_is_never_told_to_wait() {
    let mut node = member_after(8, &[32, 38]);
    admits(&mut node, 14).unwrap();
    assert!(node.serve(&Request::GetSuccessorList { joiner: None }, true).is_ok());
}

#[test]
fn joiner_with_our_identifier_is_told_that_it_is_taken() {
    let mut node = member(&[32, 38]);
    let twin = Peer { addr: peer(1).addr, ..peer(21) };
    assert_eq!(node.serve(&Request::GetSuccessorList { joiner: Some(twin) }, false), Err(Code::IdTaken));
}

#[test]
fn predecessor_is_taken_only_while_it_is_still_closer() {
    let mut node = member_after(8, &[32, 38]);
    rectify(&mut node, 14);
    assert_eq!(node.neighbors().predecessor(), Some(peer(14)));
    let nudge = Request::Nudge { of: peer(21) };
    assert_eq!(tells(&mut node), [8, 14].map(|n| (peer(n), nudge.clone())), "both are to look again");
    settle(&mut node, &[32, 38]);
    rectify(&mut node, 9);
    assert_eq!(node.neighbors().predecessor(), Some(peer(14)));
}

#[test]
fn notifier_that_does_not_know_of_a_closer_one_is_told_to_look_again_once() {
    let mut node = member_after(14, &[32, 38]);
    let lost = |notifier, answered| Outcome::Rectify(Rectified { notifier: peer(notifier), answered, dead: None });
    let told = |notifier| (peer(notifier), Request::Nudge { of: peer(21) });
    node.digest(lost(8, false));
    assert_eq!(tells(&mut node), [], "a node that was never reached would not be told");
    node.digest(lost(8, true));
    node.digest(lost(9, true));
    assert_eq!(tells(&mut node), [told(8), told(9)], "14 has come between");
    for _ in 0..10 {
        node.digest(lost(8, true));
        node.digest(lost(9, true));
    }
    assert_eq!(tells(&mut node), [], "they may be unable to reach 14");
    node.digest(lost(14, true));
    assert_eq!(tells(&mut node), [], "it is the predecessor");
    rectify(&mut node, 20);
    tells(&mut node);
    node.digest(lost(8, true));
    assert_eq!(tells(&mut node), [told(8)], "of another one");
}

#[test]
fn liar_has_no_more_nodes_told_than_may_wait() {
    let mut node = member_after(14, &[32, 38]);
    for n in 0..1000 {
        let id = [&[0; 16][..], &u32::to_be_bytes(n)].concat();
        let notifier = Peer { id: Id::from_bytes(id.try_into().unwrap()), addr: peer(1).addr };
        node.digest(Outcome::Rectify(Rectified { notifier, answered: true, dead: None }));
    }
    assert_eq!(tells(&mut node).len(), MAX_NOTIFIERS);
}

#[test]
fn notifiers_that_wait_while_a_closer_one_is_taken_are_probed_to_be_told() {
    let mut node = member(&[32, 38]);
    for notifier in [14, 8, 20] {
        node.serve(&Request::Notify { me: peer(notifier) }, false).unwrap();
    }
    rectify(&mut node, 14);
    let mut judged = Vec::new();
    while let Some(conversation) = node.next_conversation() {
        if let Conversation::Rectify(mut rectify) = conversation {
            let mut step = rectify.start();
            while let Step::Ask(..) = step {
                step = rectify.resume(Answer::Reply(Response::Alive { plain: false, alone: false }));
            }
            judged.push(step.clone());
        }
        node.digest(Outcome::CheckPredecessor(Checked::Unclear));
    }
    assert_eq!(judged, [20, 8].map(|n| Step::Probe(peer(n).into())), "20 may win");
}

#[test]
fn notifiers_are_judged_in_their_order_and_the_farthest_of_too_many_are_not() {
    let mut node = member(&[32, 38]);
    for notifier in (0..=20).rev().chain((22..=63).rev()) {
        node.serve(&Request::Notify { me: peer(notifier) }, false).unwrap();
    }
    assert_eq!(node.wishes.rectify.len(), MAX_NOTIFIERS);
    let Some(Conversation::Rectify(mut first)) = node.next_conversation() else { panic!("a notifier") };
    assert_eq!(first.start(), Step::Probe(peer(20).into()));
    node.digest(Outcome::Rectify(Rectified { notifier: peer(20), answered: true, dead: None }));
    assert_eq!(node.wishes.rectify, [], "the others lose");
}

#[test]
fn dead_predecessor_is_dropped_and_remembered() {
    let mut node = member_after(8, &[32, 38]);
    node.fired(Timer::CheckPredecessor);
    assert!(matches!(node.next_conversation(), Some(Conversation::CheckPredecessor(_))));
    node.digest(Outcome::CheckPredecessor(Checked::Dead(peer(8))));
    assert_eq!(node.neighbors().predecessor(), None);
    assert!(node.effects().contains(&Effect::Dead(peer(8))), "the fingers hear of it");
    assert_eq!(node.acquaintances.take_turn(), Some(peer(8).addr));
}

#[test]
fn check_in_a_ring_of_two_does_not_empty_the_list() {
    let mut node = member_after(32, &[32]);
    node.fired(Timer::CheckPredecessor);
    node.next_conversation();
    node.digest(Outcome::CheckPredecessor(Checked::Dead(peer(32))));
    assert_eq!(node.neighbors().successors(), peers(&[32]), "stabilize will find out");
    assert!(!node.neighbors().is_heard());
    assert!(matches!(node.next_conversation(), Some(Conversation::Stabilize(_))));
}

#[test]
fn lookup_that_found_entries_dead_shortens_the_list_but_never_empties_it() {
    let mut node = member(&[32, 38]);
    node.forget(&peers(&[38, 32]));
    assert_eq!(node.neighbors().successors(), peers(&[32]));
    assert!(!node.neighbors().is_heard());
    assert!(matches!(node.next_conversation(), Some(Conversation::Stabilize(_))));
}

#[test]
fn node_that_lost_its_whole_list_names_no_owners_but_lives() {
    let mut node = member_after(8, &[32]);
    stabilize(&mut node, dead(32));
    assert_eq!(node.standing(), Standing::Isolated);
    assert_eq!(node.vantage(), Err(LookupFailure::Isolated));
    assert_eq!(node.serve(&Request::GetPredecessor, false), Err(Code::Retry));
    assert!(node.serve(&Request::CheckPredecessor, false).is_ok());
    assert!(node.serve(&Request::Notify { me: peer(14) }, false).is_ok());
}

#[test]
fn isolated_node_asks_everyone_three_times_before_it_is_alone() {
    let mut node = member(&[32]);
    stabilize(&mut node, dead(32));
    let mut asked = Vec::new();
    while node.standing() == Standing::Isolated {
        node.fired(Timer::Join);
        let Some(Conversation::Join(mut join)) = node.next_conversation() else { panic!("an attempt") };
        match join.start() {
            Step::Ask(target, _) => asked.push(target.addr()),
            other => panic!("{other:?}"),
        }
        node.digest(Outcome::Join(Joined::NoAnswer));
    }
    let (seed, lost) = (peer(8).addr, peer(32).addr);
    assert_eq!(asked[0], lost, "as whom it was");
    assert_eq!(asked[1..], [lost, seed, lost, seed, lost, seed]);
    assert_eq!(node.standing(), Standing::Member);
    assert_eq!(node.neighbors().successors(), []);
    assert_eq!(wakes(&mut node, Timer::Reunite), Some(REUNITE_ALONE), "and goes on asking");
}

/// Found by real processes: the eight that were left of eighteen were several rings, which knew each other by fingers
/// only.
#[test]
fn member_that_lost_neighbours_asks_its_farthest_fingers() {
    let mut node = member(&[32, 38, 42]);
    stabilize(&mut node, dead(32));
    assert!(node.effects().contains(&Effect::Recall));
    node.recall((0..=MAX_RECALLED as u8).map(|n| peer(40 + n)));
    let known: Vec<_> = node.known().collect();
    assert!(!known.contains(&peer(40).addr), "the nearest is one too many");
    assert!((41..=40 + MAX_RECALLED as u8).all(|n| known.contains(&peer(n).addr)));
    assert_eq!(node.acquaintances.next_of_round(), Some(peer(32).addr), "who was lost may be back");
    assert_eq!(node.acquaintances.next_of_round(), Some(peer(8).addr), "a seed");
    let farthest = peer(40 + MAX_RECALLED as u8);
    assert_eq!(node.acquaintances.next_of_round(), Some(farthest.addr), "and the fingers");
}

#[test]
fn isolated_node_returns_through_those_whom_it_took_for_dead() {
    let mut node = member_after(14, &[32, 38, 42]);
    for n in [42, 32, 38] {
        stabilize(&mut node, dead(n));
    }
    assert_eq!(node.standing(), Standing::Isolated);
    let mut attempt = || {
        node.fired(Timer::Join);
        let Some(Conversation::Join(mut join)) = node.next_conversation() else { panic!("an attempt") };
        let Step::Ask(target, request) = join.start() else { panic!("a question") };
        node.digest(Outcome::Join(Joined::NotNow));
        (target.addr(), matches!(request, Request::GetSuccessorList { .. }))
    };
    let mut tried: Vec<_> = (0..6).map(|_| attempt()).collect();
    let returns: Vec<_> = tried.iter().step_by(2).copied().collect();
    assert_eq!(returns, [32, 38, 42].map(|n| (peer(n).addr, true)), "nearest first");
    tried.retain(|(_, returns)| !returns);
    assert_eq!(tried.len(), 3, "and through others in turn");

    node.effects();
    node.fired(Timer::Join);
    node.next_conversation();
    node.digest(Outcome::Join(Joined::Member(peers(&[32, 38, 42]))));
    assert_eq!(node.neighbors().predecessor(), None, "the ring may have gone on");
    let meet = Request::Meet { node: peer(21), until: None };
    assert!(tells(&mut node).contains(&(peer(14), meet)), "unless the one before still believes in it");
}

#[test]
fn node_that_is_alone_again_admits_joiners() {
    let mut node = member(&[32]);
    stabilize(&mut node, dead(32));
    while node.standing() == Standing::Isolated {
        node.fired(Timer::Join);
        node.next_conversation();
        node.digest(Outcome::Join(Joined::NoAnswer));
    }
    assert_eq!(admits(&mut node, 32), Ok(()), "a ring of one is complete, not short");
}

#[test]
fn isolated_node_that_finds_its_ring_is_a_member_again() {
    let mut node = member(&[32]);
    stabilize(&mut node, dead(32));
    node.fired(Timer::Join);
    node.next_conversation();
    node.digest(Outcome::Join(Joined::Member(peers(&[38, 42]))));
    assert_eq!(node.vantage().unwrap().successors(), peers(&[38, 42]));
}

#[test]
fn invitation_is_followed_only_by_a_node_that_is_alone() {
    let invite = Request::Invite { me: peer(8) };
    let mut alone = Maintenance::new(setup(21, 3, &[]));
    settle(&mut alone, &[]);
    alone.serve(&invite, false).unwrap();
    assert!(matches!(alone.next_conversation(), Some(Conversation::Join(_))));
    let mut member = member(&[32]);
    member.serve(&invite, false).unwrap();
    assert_eq!(member.next_conversation(), None);
    // A node that has joined through it counts on it: the two are a ring, though this one has yet to see that. `settle`
    // holds all conversations but that of joining.
    let mut joined = Maintenance::new(setup(21, 3, &[]));
    settle(&mut joined, &[]);
    rectify(&mut joined, 32);
    joined.serve(&invite, false).unwrap();
    settle(&mut joined, &[]);
}

#[test]
fn node_whose_list_has_changed_has_its_predecessor_look_at_it() {
    let mut node = member_after(8, &[32, 38, 42]);
    stabilize(&mut node, learned(&[32, 38, 42]));
    assert_eq!(tells(&mut node), [(peer(32), Request::Notify { me: peer(21) })], "nothing is new");
    stabilize(&mut node, learned(&[32, 38, 41]));
    let told = tells(&mut node);
    assert!(told.contains(&(peer(8), Request::Nudge { of: peer(21) })), "{told:?}");
}

#[test]
fn nudge_counts_from_the_first_successor_only() {
    let mut node = member(&[32, 38]);
    node.serve(&Request::Nudge { of: peer(38) }, false).unwrap();
    assert_eq!(node.next_conversation(), None);
    node.serve(&Request::Nudge { of: peer(32) }, false).unwrap();
    assert!(matches!(node.next_conversation(), Some(Conversation::Stabilize(_))));
}

#[test]
fn list_that_names_a_dead_node_again_is_no_news_and_the_node_before_that_one_is_told() {
    let mut node = member_after(14, &[32, 38, 42]);
    node.forget(&[peer(38)]);
    assert!(matches!(node.next_conversation(), Some(Conversation::Stabilize(_))));
    assert!(node.effects().contains(&Effect::Changed));
    node.digest(learned(&[32, 38, 42]));
    assert_eq!(node.neighbors().successors(), peers(&[32, 38, 42]), "the head's word counts");
    let effects = node.effects();
    assert!(effects.contains(&Effect::Tell(peer(32), Request::Nudge { of: peer(38) })), "{effects:?}");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Tell(to, _) if *to == peer(14))), "{effects:?}");
    assert!(!effects.contains(&Effect::Changed));
    assert!(effects.contains(&Effect::Wake(Timer::Stabilize, SECOND)), "the next round is not due at once");
    node.forget(&[peer(38)]);
    assert!(node.next_conversation().is_none(), "it would find the same list");

    // The head has found it dead as well; then the head itself is.
    node.fired(Timer::Stabilize);
    assert!(matches!(node.next_conversation(), Some(Conversation::Stabilize(_))));
    node.digest(learned(&[32, 42, 48]));
    assert!(node.effects().contains(&Effect::Changed));
    settle(&mut node, &[32, 42, 48]);
    node.forget(&[peer(32)]);
    assert!(matches!(node.next_conversation(), Some(Conversation::Stabilize(_))));
}

/// The news of another ring that the node spreads.
fn spreads(node: &mut Maintenance) -> Vec<News> {
    let news = |effect| if let Effect::Spread(news) = effect { Some(news) } else { None };
    node.effects().into_iter().filter_map(news).collect()
}

fn touch(candidate: Option<u8>, hints: &[(u8, u8)], other: Option<u8>) -> Outcome {
    let hints = hints.iter().map(|(before, node)| (peer(*before), peer(*node))).collect();
    Outcome::Reunite(Reunion::Touch(Touch { candidate: candidate.map(peer), hints, other: other.map(peer) }))
}

#[test]
fn member_before_a_strangers_place_is_told_and_the_whole_ring_hears_of_the_other() {
    let mut node = member(&[32, 38]);
    node.fired(Timer::Reunite);
    node.next_conversation();
    node.digest(touch(None, &[(8, 21)], Some(42)));
    let meet = Effect::Tell(peer(8), Request::Meet { node: peer(21), until: Some(peer(8).id) });
    let spread = Effect::Spread(News { other: peer(42), until: peer(21).id });
    let effects = node.effects();
    assert!(effects.contains(&meet) && effects.contains(&spread), "{effects:?}");
    node.fired(Timer::Reunite);
    assert!(matches!(node.next_conversation(), Some(Conversation::Reunite(_))));
    node.digest(touch(None, &[], Some(42)));
    assert_eq!(spreads(&mut node).len(), 1, "once for each question");
}

#[test]
fn who_hears_of_another_ring_tells_others_and_looks_for_its_own_place_once_in_a_while() {
    let mut node = member(&[32, 38]);
    let meet = |n| Request::Meet { node: peer(n), until: Some(peer(8).id) };
    node.serve(&meet(42), false).unwrap();
    assert_eq!(spreads(&mut node), [News { other: peer(42), until: peer(8).id }]);
    assert!(matches!(node.next_conversation(), Some(Conversation::Reunite(_))));
    node.digest(Outcome::Reunite(Reunion::Nothing));
    node.serve(&meet(43), false).unwrap();
    assert_eq!(node.next_conversation(), None, "no peer drives it faster than its timer");
    node.fired(Timer::Reunite);
    node.serve(&meet(43), false).unwrap();
    assert_eq!(spreads(&mut node).len(), 1);
}

/// A node's predecessor has found it dead while it slept, and only the node's successor would tell the predecessor that
/// it is back. Until then the predecessor names that successor as the owner of the keys in between, and longer if the
/// successor falls silent.
#[test]
fn node_that_was_passed_over_while_it_slept_tells_its_predecessor_that_it_is_back() {
    let mut node = member_after(8, &[32, 38]);
    node.slept();
    let meet = Request::Meet { node: peer(21), until: None };
    assert!(tells(&mut node).contains(&(peer(8), meet.clone())));

    let mut predecessor = Maintenance::new(setup(8, 3, &[1]));
    predecessor.next_conversation();
    predecessor.digest(Outcome::Join(Joined::Member(peers(&[32, 38]))));
    settle(&mut predecessor, &[32, 38]);
    predecessor.serve(&meet, false).unwrap();
    let Some(Conversation::Stabilize(mut round)) = predecessor.next_conversation() else { panic!("it asks at once") };
    round.start();
    let knows_nothing = Response::Predecessor {
        predecessor: Some(peer(8)),
        successors: Some(peers(&[38, 1])),
        memory: Memory::default(),
    };
    let step = round.resume(Answer::Reply(knows_nothing));
    assert_eq!(step, Step::Ask(peer(21).into(), Request::GetSuccessorList { joiner: None }));
}

/// Neighbours that had slept together named each other for keys of nodes that had joined in between; and what one of
/// them said made a node whose predecessor had died claim such keys.
#[test]
fn node_that_slept_says_nothing_of_its_place_until_it_has_found_it() {
    let mut node = member_after(8, &[32, 38]);
    node.serve(&Request::Notify { me: peer(14) }, false).unwrap();
    node.slept();
    tells(&mut node);
    assert_eq!(node.serve(&Request::GetSuccessorList { joiner: None }, false), Err(Code::Retry));
    let memory = Memory { former: None, slept: true };
    let known = Response::Predecessor { predecessor: None, successors: Some(peers(&[32, 38])), memory };
    assert_eq!(node.serve(&Request::GetPredecessor, false), Ok(known));
    // What 8 and 14 said before they found it dead.
    node.serve(&Request::Notify { me: peer(8) }, false).unwrap();
    let Some(Conversation::Awaken(_)) = node.next_conversation() else { panic!("it looks for its place") };
    let unknown = Awakened { learned: Learned::default(), place: Place::Unknown };
    node.digest(Outcome::Awaken(unknown.clone()));
    let effects = node.effects();
    // But it asks the nearest notifier whether that has this node as its first successor.
    node.serve(&Request::Notify { me: peer(14) }, false).unwrap();
    let expected = Awaken::new(node.neighbors(), Some(peer(14)));
    assert_eq!(node.next_conversation(), Some(Conversation::Awaken(expected)));
    node.digest(Outcome::Awaken(unknown));
    node.effects();
    assert!(effects.contains(&Effect::Wake(Timer::Stabilize, SECOND / 4)), "{effects:?}");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Tell(..))), "{effects:?}");
    assert_eq!(node.neighbors().predecessor(), None);

    node.fired(Timer::Stabilize);
    assert!(matches!(node.next_conversation(), Some(Conversation::Awaken(_))));
    let list = Some(peers(&[26, 32, 38]));
    node.digest(Outcome::Awaken(Awakened { learned: Learned { list, ..Learned::default() }, place: Place::Confirmed }));
    assert_eq!(
        tells(&mut node),
        [(peer(26), Request::Notify { me: peer(21) }), (peer(8), Request::Meet { node: peer(21), until: None })]
    );
    assert!(node.serve(&Request::GetSuccessorList { joiner: None }, false).is_ok());
    rectify(&mut node, 14);
    assert_eq!(node.neighbors().predecessor(), Some(peer(14)));
}

#[test]
fn node_that_slept_and_was_not_passed_over_claims_its_keys_at_once() {
    let mut node = member_after(8, &[32, 38]);
    node.slept();
    assert!(matches!(node.next_conversation(), Some(Conversation::Awaken(_))));
    node.digest(Outcome::Awaken(Awakened { learned: Learned::default(), place: Place::Kept(peer(8)) }));
    assert_eq!(node.neighbors().predecessor(), Some(peer(8)));
    assert!(node.neighbors().is_unsure(), "its successor has yet to say what it owns");
    assert!(matches!(node.next_conversation(), Some(Conversation::CheckPredecessor(_) | Conversation::Stabilize(_))));
}

#[test]
fn node_that_nobody_tells_its_place_trusts_its_list_in_the_end() {
    let mut node = member_after(8, &[32, 38]);
    node.slept();
    let mut rounds = 0;
    while node.neighbors().is_astray() {
        node.fired(Timer::Stabilize);
        assert!(matches!(node.next_conversation(), Some(Conversation::Awaken(_))));
        node.digest(Outcome::Awaken(Awakened { learned: Learned::default(), place: Place::Unknown }));
        rounds += 1;
    }
    assert_eq!(rounds, 19, "five seconds, at four a second");
    assert!(tells(&mut node).contains(&(peer(32), Request::Notify { me: peer(21) })));
}

#[test]
fn of_two_nodes_that_belong_right_behind_the_nearest_is_tried_first() {
    for order in [[24, 28], [28, 24]] {
        let mut node = member(&[32, 38]);
        for n in order {
            node.serve(&Request::Meet { node: peer(n), until: None }, false).unwrap();
        }
        let round = node.next_conversation();
        assert_eq!(round, Some(Conversation::Stabilize(Stabilize::new(node.neighbors(), Some(peer(24))))));
    }
}

#[test]
fn node_that_is_said_to_belong_right_behind_is_a_candidate_for_the_next_round() {
    let mut node = member(&[32, 38]);
    for elsewhere in [21, 35, 8] {
        node.serve(&Request::Meet { node: peer(elsewhere), until: None }, false).unwrap();
        assert_eq!(node.next_conversation(), None);
    }
    node.serve(&Request::Meet { node: peer(26), until: None }, false).unwrap();
    assert!(matches!(node.next_conversation(), Some(Conversation::Stabilize(_))));
    assert_eq!(node.neighbors().successor(), Some(peer(32)), "it has not answered yet");
}

#[test]
fn node_of_another_ring_is_a_candidate_for_the_next_round() {
    let mut node = member(&[32, 38]);
    node.fired(Timer::Reunite);
    node.next_conversation();
    node.digest(touch(Some(26), &[], None));
    let Some(Conversation::Stabilize(mut round)) = node.next_conversation() else { panic!("a round") };
    round.start();
    let reply = Response::Predecessor {
        predecessor: Some(peer(21)),
        successors: Some(peers(&[38])),
        memory: Memory::default(),
    };
    let asked = Step::Ask(peer(26).into(), Request::GetSuccessorList { joiner: None });
    assert_eq!(round.resume(Answer::Reply(reply)), asked);
}

#[test]
fn questions_to_acquaintances_become_rarer_until_somebody_is_lost() {
    let mut node = member(&[32, 38]);
    let mut pauses = Vec::new();
    for _ in 0..12 {
        node.fired(Timer::Reunite);
        node.next_conversation();
        node.digest(Outcome::Reunite(Reunion::Nothing));
        pauses.push(wakes(&mut node, Timer::Reunite).unwrap().as_secs());
    }
    // Its seed and the peer that it has met, one after the other.
    assert_eq!(pauses, [1, 2, 1, 4, 1, 8, 1, 16, 1, 32, 1, 32]);
    stabilize(&mut node, dead(32));
    assert_eq!(wakes(&mut node, Timer::Reunite), Some(Duration::from_secs(1)));
}

#[test]
fn questions_to_acquaintances_are_no_more_than_a_quarter_of_slow_rounds() {
    let seconds = |stabilize| {
        let Backoff { first, most } = reunite(Duration::from_secs(stabilize));
        (first.as_secs(), most.as_secs())
    };
    assert_eq!([1, 8, 60].map(seconds), [(1, 32), (8, 32), (60, 240)]);
}

#[test]
fn broken_connection_puts_a_neighbour_in_doubt() {
    let mut node = member_after(8, &[32, 38]);
    node.severed(&[peer(38).addr].into());
    assert_eq!(node.next_conversation(), None, "the rest of the list only routes");
    node.severed(&[peer(32).addr].into());
    assert!(!node.neighbors().is_heard());
    assert!(matches!(node.next_conversation(), Some(Conversation::Stabilize(_))));
    node.digest(learned(&[32, 38]));
    node.severed(&[peer(8).addr].into());
    assert!(matches!(node.next_conversation(), Some(Conversation::CheckPredecessor(_))));
}

/// A node was named 9 ms after its death: it had told its list, and another node was asked for its own when the
/// connection broke. The round then ended with a list whose head had answered.
#[test]
fn head_that_came_into_doubt_during_a_round_is_still_in_doubt_when_the_round_ends() {
    type Cast = fn(&mut Maintenance);
    let broke: Cast = |node| node.severed(&[peer(32).addr].into());
    let found_dead: Cast = |node| node.forget(&[peer(32)]);
    for cast in [broke, found_dead] {
        let mut node = member_after(8, &[32, 38]);
        node.fired(Timer::Stabilize);
        assert!(matches!(node.next_conversation(), Some(Conversation::Stabilize(_))));
        cast(&mut node);
        node.digest(learned(&[32, 38]));
        assert!(!node.neighbors().is_heard());
        // The next round is due at once, and its answer counts.
        assert!(matches!(node.next_conversation(), Some(Conversation::Stabilize(_))));
        node.digest(learned(&[32, 38]));
        assert!(node.neighbors().is_heard());
    }
}

/// The same while a node joins, whose successor answers before the member that vouches for the place.
#[test]
fn head_that_came_into_doubt_during_a_join_is_still_in_doubt_when_the_join_ends() {
    for (lost, heard) in [(32, false), (38, true)] {
        let mut node = Maintenance::new(setup(21, 3, &[8]));
        assert!(matches!(node.next_conversation(), Some(Conversation::Join(_))));
        node.severed(&[peer(lost).addr].into());
        node.digest(Outcome::Join(Joined::Member(peers(&[32, 38]))));
        assert_eq!(node.neighbors().is_heard(), heard, "{lost}");
    }
}

#[test]
fn when_more_came_into_doubt_than_are_remembered_all_did() {
    let addrs = |ports: std::ops::Range<u16>| ports.map(|port| Addr::new([10, 0, 0, 9], port)).collect();
    for (ports, heard) in [(1..257, true), (1..258, false)] {
        let mut node = member_after(8, &[32, 38]);
        node.fired(Timer::Stabilize);
        assert!(matches!(node.next_conversation(), Some(Conversation::Stabilize(_))));
        node.severed(&addrs(ports.clone()));
        node.digest(learned(&[32, 38]));
        assert_eq!(node.neighbors().is_heard(), heard, "{ports:?}");
    }
}

#[test]
fn plain_head_is_heard_for_longer_than_a_round_can_take() {
    let mut node = member(&[32, 38]);
    let plain = Learned { list: Some(peers(&[32, 38])), plain: true, ..Learned::default() };
    stabilize(&mut node, Outcome::Stabilize(plain));
    assert_eq!(wakes(&mut node, Timer::Unheard), Some(2 * SECOND));
    node.fired(Timer::Unheard);
    assert!(!node.neighbors().is_heard());
}

#[test]
fn plain_successor_that_is_alone_finds_us_in_our_list_whatever_its_dialect() {
    let mut node = member_after(8, &[32]);
    check(&mut node, Checked::Alive(peer(8), Some(Dialect::Plain)));
    let mut dialect_after = |alone| {
        let told = Learned { list: Some(peers(&[32])), plain: true, alone, ..Learned::default() };
        stabilize(&mut node, Outcome::Stabilize(told));
        match node.serve(&Request::GetSuccessorList { joiner: None }, true) {
            Ok(Response::SuccessorList { dialect, .. }) => dialect,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(dialect_after(true), Dialect::PlainItselfFirst);
    assert_eq!(dialect_after(false), Dialect::Plain);
}

/// Checks the predecessor, with this outcome.
fn check(node: &mut Maintenance, checked: Checked) {
    node.fired(Timer::CheckPredecessor);
    while !matches!(node.next_conversation(), Some(Conversation::CheckPredecessor(_))) {
        node.digest(Outcome::CheckPredecessor(Checked::Unclear));
    }
    node.digest(Outcome::CheckPredecessor(checked));
}

/// Joiners whose lists begin with themselves skipped us: we answered in the other form while we did not know which kind
/// was asking.
#[test]
fn plain_caller_is_served_in_the_form_that_either_kind_survives_unless_our_predecessor_has_shown_its_own() {
    let mut node = member_after(8, &[32, 38]);
    let dialect = |node: &mut Maintenance, plain| match node.serve(&Request::GetSuccessorList { joiner: None }, plain) {
        Ok(Response::SuccessorList { dialect, .. }) => dialect,
        other => panic!("{other:?}"),
    };
    assert_eq!(dialect(&mut node, false), Dialect::Ours);
    assert_eq!(dialect(&mut node, true), Dialect::PlainItselfFirst, "not known yet");
    for (shown, served) in [
        (None, Dialect::PlainItselfFirst),
        (Some(Dialect::Ours), Dialect::PlainItselfFirst),
        (Some(Dialect::PlainItselfFirst), Dialect::PlainItselfFirst),
        (Some(Dialect::Plain), Dialect::Plain),
    ] {
        check(&mut node, Checked::Alive(peer(8), shown));
        assert_eq!(dialect(&mut node, true), served, "{shown:?}");
    }
    check(&mut node, Checked::Dead(peer(8)));
    assert_eq!(dialect(&mut node, true), Dialect::PlainItselfFirst, "the next predecessor may be of either kind");
}

#[test]
fn node_whose_place_another_has_taken_is_no_member_any_more() {
    let twin = Peer { addr: peer(1).addr, ..peer(21) };
    let mut node = member_after(14, &[32, 38, 42]);
    stabilize(&mut node, Outcome::Stabilize(Learned { twin: Some(twin), ..Learned::default() }));
    assert_eq!((node.standing(), node.next_conversation()), (Standing::Left, None));
    assert_eq!(node.effects(), [Effect::Tried(Joined::IdTaken(twin))]);

    let mut node = member_after(32, &[32]);
    stabilize(&mut node, dead(32));
    assert_eq!(node.standing(), Standing::Isolated);
    node.fired(Timer::Join);
    while !matches!(node.next_conversation(), Some(Conversation::Join(_))) {
        node.digest(Outcome::CheckPredecessor(Checked::Unclear));
    }
    node.digest(Outcome::Join(Joined::IdTaken(twin)));
    assert_eq!((node.standing(), node.next_conversation()), (Standing::Left, None), "nor one that was cut off");
}

#[test]
fn plain_predecessor_that_never_tells_its_list_holds_up_joiners_no_longer() {
    let mut node = member_after(8, &[32, 38]);
    let mut check = |checked| {
        node.fired(Timer::CheckPredecessor);
        assert!(matches!(node.next_conversation(), Some(Conversation::CheckPredecessor(_))));
        node.digest(Outcome::CheckPredecessor(checked));
        node.neighbors().predecessor()
    };
    for checked in [Checked::Mute(peer(8)), Checked::Mute(peer(8)), Checked::Alive(peer(8), Some(Dialect::Plain))] {
        assert_eq!(check(checked), Some(peer(8)), "it may be busy");
    }
    assert_eq!([(); 3].map(|()| check(Checked::Mute(peer(8)))), [Some(peer(8)), Some(peer(8)), None]);
    node.serve(&Request::Notify { me: peer(8) }, true).unwrap();
    assert!(!node.is_notified());
    node.fired(Timer::Reunite);
    node.serve(&Request::Notify { me: peer(8) }, true).unwrap();
    assert!(node.is_notified(), "it is judged again after a while");
}
