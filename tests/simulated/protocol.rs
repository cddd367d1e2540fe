//! Laws of the protocol, tried on arbitrary values and on nodes that may answer anything.
//!
//! The cases are the same in every run. `PROPTEST_RNG_SEED` gives other cases, `PROPTEST_CASES` more.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use chord::Addr;
use chord::protocol::check_predecessor::CheckPredecessor;
use chord::protocol::conversation::{Conversation, Outcome};
use chord::protocol::fingers::FingerTable;
use chord::protocol::fix_fingers::{FixFingers, Pace};
use chord::protocol::id::{Bits, Id};
use chord::protocol::join::{Join, Joined, Through};
use chord::protocol::lookup::iterative::{MAX_DOUBTED, Style};
use chord::protocol::lookup::{Lookup, Query, Scope};
use chord::protocol::maintenance::{Effect, Maintenance, Setup, Standing, Timer};
use chord::protocol::neighbors::{Neighbors, Owner, cut};
use chord::protocol::patient::Patient;
use chord::protocol::peer::Peer;
use chord::protocol::procedure::{Answer, Procedure, Step, Target};
use chord::protocol::rectify::Rectify;
use chord::protocol::reunite::Reunite;
use chord::protocol::rpc::{Code, Dialect, MAX_HOPS, Memory, Request, Response};
use chord::protocol::stabilize::Stabilize;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::RngSeed;

use crate::world::{numbered, owner};

fn config() -> ProptestConfig {
    let given = ProptestConfig::default();
    let rng_seed = if given.rng_seed == RngSeed::Random { RngSeed::Fixed(1) } else { given.rng_seed };
    ProptestConfig { rng_seed, failure_persistence: None, ..given }
}

// Identifiers.

/// A circle of few enough bits for ordinary arithmetic, and points on it.
fn circle<const N: usize>() -> impl Strategy<Value = (Bits, [u128; N])> {
    (1u8..=100).prop_flat_map(|m| {
        // Small numbers make equal ends and neighbours frequent.
        let point = prop_oneof![0u128..4, 0..1u128 << m].prop_map(move |n| n % (1 << m));
        (Just(Bits::new(m).unwrap()), proptest::array::uniform(point))
    })
}

fn id(n: u128, bits: Bits) -> Id {
    Id::from_number(n, bits)
}

/// `a - b` on the circle.
fn minus(a: u128, b: u128, bits: Bits) -> u128 {
    (a + (1 << bits.count()) - b) % (1 << bits.count())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn two_open_intervals_and_their_ends_are_the_circle((bits, [a, b, x]) in circle()) {
        let [a, b, x] = [a, b, x].map(|n| id(n, bits));
        let places = [x == a, x == b && a != b, x.in_open(a, b), x.in_open(b, a) && a != b];
        prop_assert_eq!(places.into_iter().filter(|here| *here).count(), 1, "{:?}", places);
    }

    #[test]
    fn two_half_open_intervals_are_the_circle((bits, [a, b, x]) in circle()) {
        let [a, b, x] = [a, b, x].map(|n| id(n, bits));
        prop_assert_eq!(x.in_half_open(a, b) && x.in_half_open(b, a), a == b);
        prop_assert!(x.in_half_open(a, b) || x.in_half_open(b, a));
        prop_assert_eq!(x.in_half_open(a, b), x == b || x.in_open(a, b));
    }

    #[test]
    fn interval_with_equal_ends_is_the_whole_circle((bits, [a, x]) in circle()) {
        let [a, x] = [a, x].map(|n| id(n, bits));
        prop_assert_eq!(x.in_open(a, a), x != a);
        prop_assert!(x.in_half_open(a, a));
    }

    #[test]
    fn intervals_turn_with_the_circle((bits, [a, b, x, turn]) in circle()) {
        let turned = |n| id((n + turn) % (1 << bits.count()), bits);
        for inside in [Id::in_open, Id::in_half_open] {
            prop_assert_eq!(inside(id(x, bits), id(a, bits), id(b, bits)), inside(turned(x), turned(a), turned(b)));
        }
    }

    #[test]
    fn intervals_and_distances_are_those_of_numbers((bits, [a, b, x]) in circle()) {
        let (to_x, to_b) = (minus(x, a, bits), minus(b, a, bits));
        prop_assert_eq!(id(x, bits).clockwise_from(id(a, bits)), id(to_x, bits));
        prop_assert_eq!(id(x, bits).in_open(id(a, bits), id(b, bits)), 0 < to_x && (to_x < to_b || to_b == 0));
    }

    #[test]
    fn fingers_start_at_powers_of_two((bits, [me]) in circle(), i in any::<Index>()) {
        let i = 1 + i.index(bits.count().into()) as u8;
        let start = (me + (1 << (i - 1))) % (1 << bits.count());
        prop_assert_eq!(id(me, bits).finger_start(i, bits), id(start, bits));
        prop_assert_eq!(id(me, bits).next(bits), id((me + 1) % (1 << bits.count()), bits));
    }

    /// The same on the circle of 160 bits, with addition as on paper.
    #[test]
    fn fingers_of_whole_digests_start_at_powers_of_two(
        mut bytes in any::<[u8; 20]>(),
        carries in 0usize..20,
        i in 1u8..=160,
    ) {
        bytes[20 - carries..].fill(0xff);
        let me = Id::from_bytes(bytes);
        let (mut at, mut carry) = (19 - usize::from(i - 1) / 8, 1u16 << ((i - 1) % 8));
        loop {
            carry += u16::from(bytes[at]);
            bytes[at] = carry as u8;
            carry >>= 8;
            if carry == 0 || at == 0 {
                break;
            }
            at -= 1;
        }
        prop_assert_eq!(me.finger_start(i, Bits::FULL), Id::from_bytes(bytes));
        let distance = Id::from_bytes(bytes).clockwise_from(me);
        prop_assert_eq!(distance, Id::from_bytes([0; 20]).finger_start(i, Bits::FULL));
    }

    #[test]
    fn identifiers_are_read_as_they_are_written(bytes in any::<[u8; 20]>()) {
        let id = Id::from_bytes(bytes);
        prop_assert_eq!(id.to_string().parse(), Ok(id));
        prop_assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
    }
}

// Tables.

const FOUR: Bits = Bits::new(4).unwrap();

/// One of a few nodes, some of which claim the same identifier or the same address.
fn peer() -> impl Strategy<Value = Peer> {
    (0u32..16, prop_oneof![9 => Just(0u32), 1 => 1u32..3]).prop_map(|(n, twin)| {
        let addr = Addr::new(Ipv4Addr::from(0x0a00_0000 + (n + 5 * twin) % 16), 4170);
        Peer { id: Id::from_number(n.into(), FOUR), addr }
    })
}

fn peers() -> impl Strategy<Value = Vec<Peer>> {
    vec(peer(), 0..7)
}

/// How far clockwise `peer` is from `me`.
fn distance(me: Peer, peer: Peer) -> u8 {
    peer.id.clockwise_from(me.id).as_bytes()[0] >> 4
}

fn goes_round_once(me: Peer, list: &[Peer]) -> bool {
    list.iter().map(|entry| distance(me, *entry)).is_sorted_by(|near, far| near < far)
        && list.iter().all(|entry| entry.id != me.id)
}

#[derive(Clone, Debug)]
enum Change {
    Adopt(Vec<Peer>),
    DropSuccessor(Index),
    DropOther(Peer),
    SetPredecessor(Peer),
    DropPredecessor(Peer),
    Doubt,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        peers().prop_map(Change::Adopt),
        any::<Index>().prop_map(Change::DropSuccessor),
        peer().prop_map(Change::DropOther),
        peer().prop_map(Change::SetPredecessor),
        peer().prop_map(Change::DropPredecessor),
        Just(Change::Doubt),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn cut_takes_the_longest_beginning_that_goes_round_once(me in peer(), r in 1usize..6, list in peers()) {
        let kept = cut(me, r, list.iter().copied());
        prop_assert!(kept.len() <= r);
        prop_assert!(list.starts_with(&kept));
        prop_assert!(goes_round_once(me, &kept), "{:?}", kept);
        if kept.len() < r.min(list.len()) {
            prop_assert!(!goes_round_once(me, &list[..=kept.len()]), "{:?} is cut too short", kept);
        }
    }

    /// The neighbours are compared with their documentation.
    #[test]
    fn neighbours_are_in_order_whatever_happens(me in peer(), r in 1usize..6, changes in vec(change(), 0..20)) {
        let mut neighbors = Neighbors::alone(me, r);
        let (mut list, mut predecessor, mut short, mut heard) = (Vec::new(), None, false, false);
        for change in changes {
            match change {
                Change::Adopt(new) => {
                    let new = cut(me, r, new);
                    prop_assert_eq!(neighbors.adopt(new.clone()), new != list);
                    (list, short, heard) = (new, false, true);
                }
                Change::DropSuccessor(_) if list.is_empty() => {}
                Change::DropSuccessor(at) => {
                    let at = at.index(list.len());
                    prop_assert!(neighbors.drop_successor(list.remove(at)));
                    (short, heard) = (true, heard && at > 0);
                }
                Change::DropOther(peer) => prop_assert!(list.contains(&peer) || !neighbors.drop_successor(peer)),
                Change::SetPredecessor(peer) if neighbors.is_closer_predecessor(peer) => {
                    prop_assert!(predecessor.is_none_or(|old| distance(me, old) < distance(me, peer)));
                    prop_assert!(neighbors.set_predecessor(peer));
                    predecessor = Some(peer);
                }
                Change::SetPredecessor(peer) => {
                    let closer = predecessor.is_none_or(|old| distance(me, old) < distance(me, peer));
                    prop_assert!(!closer || peer.id == me.id, "{:?} is closer", peer);
                }
                Change::DropPredecessor(peer) => {
                    prop_assert_eq!(neighbors.drop_predecessor(peer), predecessor == Some(peer));
                    predecessor = predecessor.filter(|old| *old != peer);
                }
                Change::Doubt => {
                    neighbors.doubt_successor();
                    heard = false;
                }
            }
            prop_assert!(neighbors.successors().len() <= r && goes_round_once(me, neighbors.successors()));
            prop_assert_eq!(neighbors.successors(), &list[..]);
            prop_assert_eq!(neighbors.successor(), list.first().copied());
            prop_assert_eq!(neighbors.predecessor(), predecessor);
            prop_assert_eq!((neighbors.is_short(), neighbors.is_heard()), (short, heard));
            for key in (0..16).map(|n| numbered(n, FOUR)) {
                let mine = predecessor.is_some_and(|old| distance(key, me) < distance(old, me));
                let expected = match list.first() {
                    None => Owner::Me,
                    Some(_) if mine => Owner::Me,
                    Some(head) if key.id.in_half_open(me.id, head.id) => Owner::Successor(*head),
                    Some(_) => Owner::Beyond,
                };
                prop_assert_eq!(neighbors.owner(key.id), expected, "of {:?}", key);
            }
        }
    }

    /// A finger table is compared with one that has an entry for each finger.
    #[test]
    fn finger_table_is_that_of_a_plain_array(
        bits in prop_oneof![1 => Just(Bits::FULL), 3 => (4u8..9).prop_map(|m| Bits::new(m).unwrap())],
        me in peer(),
        changes in vec((any::<Index>(), peer(), any::<bool>()), 0..20),
    ) {
        let m = bits.count();
        let mut table = FingerTable::alone(me, bits);
        let mut array = vec![me; m.into()];
        for (i, peer, set) in changes {
            let before = array.clone();
            if set {
                let i = 1 + i.index(m.into()) as u8;
                let start = me.id.finger_start(i, bits);
                let same_owner = |k: u8| {
                    let other = me.id.finger_start(k, bits);
                    other == start || peer.id != start && other.in_half_open(start, peer.id)
                };
                let set: Vec<u8> = (i..=m).filter(|k| same_owner(*k)).collect();
                set.iter().for_each(|k| array[usize::from(*k) - 1] = peer);
                prop_assert_eq!(table.set(i, peer), (*set.last().unwrap(), array != before));
            } else {
                let mut next = me;
                for finger in array.iter_mut().rev() {
                    if *finger == peer {
                        *finger = next;
                    }
                    next = *finger;
                }
                prop_assert_eq!(table.forget(peer), array != before);
            }
            prop_assert_eq!(table.nodes().collect::<Vec<_>>(), array.clone());
            let mut distinct = array.clone();
            distinct.dedup();
            prop_assert_eq!(table.distinct().collect::<Vec<_>>(), distinct.clone());
            let node = |i: u8| array[usize::from(i) - 1];
            let last_of_run = |i: u8| (i..=m).take_while(|k| node(*k) == node(i)).last();
            prop_assert!((1..=m).all(|i| Some(table.last_of_run(i)) == last_of_run(i)));
            for key in (0..16).map(|n| Id::from_number(n, FOUR)) {
                let preceding = distinct.iter().copied().filter(|node| node.id.in_open(me.id, key));
                prop_assert_eq!(table.preceding(key), preceding.collect::<Vec<_>>());
            }
        }
    }

    /// In a ring that does not change, a few passes make all fingers right, and the next one rests.
    #[test]
    fn fix_fingers_comes_to_rest_with_the_right_table(ring in proptest::collection::btree_set(0u32..256, 1..20)) {
        let bits = Bits::new(8).unwrap();
        let ring: Vec<Peer> = ring.into_iter().map(|n| numbered(n, bits)).collect();
        let mut fingers = FixFingers::new(FingerTable::alone(ring[0], bits));
        let mut look_up = |_: &i32| {
            let key = fingers.key();
            fingers.digest(Some(owner(&ring, key))) == Pace::AtOnce
        };
        let lookups = (1..).take_while(&mut look_up).count();
        prop_assert!(lookups <= 3 * 8, "{} lookups", lookups);
        for i in 1..=8 {
            prop_assert_eq!(fingers.table().node(i), owner(&ring, fingers.table().start(i)));
        }
    }

    /// The neighbours may change while a lookup is under way: its answer is still an answer to the key
    /// that was asked.
    #[test]
    fn answer_is_never_taken_for_another_finger(disturbances in vec(any::<bool>(), 1..40)) {
        let bits = Bits::new(6).unwrap();
        let ring = [1, 8, 14, 21, 32, 38, 42, 48, 51, 56].map(|n| numbered(n, bits));
        let mut fingers = FixFingers::new(FingerTable::alone(ring[1], bits));
        for disturbed in disturbances {
            let key = fingers.key();
            let answer = owner(&ring, key);
            if disturbed {
                fingers.disturb();
            }
            fingers.digest(Some(answer));
            for i in 1..=6 {
                let (finger, right) = (fingers.table().node(i), owner(&ring, fingers.table().start(i)));
                prop_assert!(finger == right || finger == ring[1], "finger {} is {:?}", i, finger);
            }
        }
    }
}

// Conversations with nodes that may answer anything.

/// The answer of a hostile node: a reply of the right kind or of another one, or anything else.
#[derive(Clone, Debug)]
struct Hostile {
    kind: u8,
    peers: Vec<Peer>,
    one: Option<Peer>,
}

fn hostile() -> impl Strategy<Value = Hostile> {
    (0u8..20, peers(), option::weighted(0.8, peer())).prop_map(|(kind, peers, one)| Hostile { kind, peers, one })
}

impl Hostile {
    fn answer(&self, request: Option<&Request>) -> Answer {
        const CODES: [Code; 9] = [
            Code::Unspecified,
            Code::NotJoined,
            Code::Retry,
            Code::Busy,
            Code::Timeout,
            Code::IdTaken,
            Code::BadRequest,
            Code::UnknownCall,
            Code::NoRoute,
        ];
        match (self.kind, request) {
            (0..=9, Some(request)) => Answer::Reply(self.reply(request)),
            (0..=10, _) => Answer::Alive,
            (11 | 12, _) => Answer::Silent,
            (13 | 14, _) => Answer::Gone,
            (15, _) => Answer::Reply(Response::Done),
            (16, _) => Answer::Reply(self.reply(&Request::GetPredecessor)),
            _ => Answer::Refused(CODES[self.peers.len() % CODES.len()]),
        }
    }

    fn reply(&self, request: &Request) -> Response {
        let plain = self.peers.len() % 2 == 1;
        match request {
            Request::ClosestPrecedingNode { .. } if !plain => {
                Response::Preceding { nodes: self.peers.clone(), path: vec![] }
            }
            Request::FindSuccessor { .. } | Request::ClosestPrecedingNode { .. } => match self.one {
                Some(owner) => Response::Successor { owner, path: vec![] },
                None => Response::Done,
            },
            Request::CheckPredecessor => Response::Alive { plain, alone: self.peers.is_empty() },
            Request::GetPredecessor => Response::Predecessor {
                predecessor: self.one,
                successors: (!plain).then(|| self.peers.clone()),
                memory: Memory::default(),
            },
            Request::GetSuccessorList { .. } => Response::SuccessorList {
                successors: self.peers.clone(),
                predecessor: (!plain).then_some(self.one),
                dialect: if plain { Dialect::PlainItselfFirst } else { Dialect::Ours },
            },
            Request::Notify { .. }
            | Request::Nudge { .. }
            | Request::Invite { .. }
            | Request::Meet { .. }
            | Request::Leave { .. }
            | Request::OpenChannel => Response::Done,
        }
    }
}

/// The neighbours of a node after some time.
fn neighbors() -> impl Strategy<Value = Neighbors> {
    (peer(), 1usize..5, peers(), option::of(peer()), any::<bool>()).prop_map(|(me, r, list, predecessor, doubted)| {
        let mut neighbors = Neighbors::alone(me, r);
        neighbors.adopt(cut(me, r, list));
        if let Some(predecessor) = predecessor.filter(|peer| peer.id != me.id) {
            neighbors.set_predecessor(predecessor);
        }
        if doubted {
            neighbors.doubt_successor();
        }
        neighbors
    })
}

/// More steps than any conversation can take: a joiner walks back along `MAX_HOPS` nodes, each of
/// which takes two questions and as many probes.
const MANY: usize = 4 * MAX_HOPS as usize + 100;

/// Runs a procedure against nodes that give these answers over and over; to its end, or for ever.
fn run<P: Procedure>(
    procedure: P,
    said: &[Hostile],
    mut check: impl FnMut(&Step<P::Output>, &Answer),
) -> Option<P::Output> {
    let mut procedure = Patient::new(procedure);
    let mut step = procedure.start();
    let (mut request, mut answer) = (None, Answer::Silent);
    for hostile in said.iter().cycle().take(MANY) {
        check(&step, &answer);
        request = match step {
            Step::Done(output) => return Some(output),
            Step::Ask(_, request) => Some(request),
            Step::Probe(_) | Step::Suspect(_) | Step::Wait | Step::Rest { .. } => request,
        };
        answer = hostile.answer(request.as_ref());
        step = procedure.resume(answer.clone());
    }
    None
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_conversation_ends(
        neighbors in neighbors(),
        (other, seed, hint) in (peer(), peer(), option::of(peer())),
        said in vec(hostile(), 1..30),
    ) {
        let (me, r) = (neighbors.me(), neighbors.r());
        let check = CheckPredecessor::new(&neighbors).map(Conversation::CheckPredecessor);
        let conversations = [
            Conversation::Join(Join::new(me, r, me.id.next(FOUR), Through::Seed(seed.addr))),
            Conversation::Stabilize(Stabilize::new(&neighbors, hint)),
            Conversation::Rectify(Rectify::new(&neighbors, other)),
            Conversation::Reunite(Reunite::new(&neighbors, seed.addr)),
        ];
        for conversation in conversations.into_iter().chain(check) {
            let shown = format!("{conversation:?}");
            prop_assert!(run(conversation, &said, |_, _| {}).is_some(), "{}", shown);
        }
    }

    /// Each node that a lookup forwards the request to lies strictly between this node and the key, and
    /// is asked once, or once more if it said RETRY. Only nodes without a sign of life are reported dead, and this
    /// node itself never names one that was found dead.
    #[test]
    fn every_lookup_ends_and_comes_closer_with_every_question(
        neighbors in neighbors(),
        fingers in peers(),
        (key, hops) in (peer(), select(vec![Some(0), Some(MAX_HOPS - 1), Some(MAX_HOPS), None])),
        style in select(vec![Style::Recursive, Style::Iterative]),
        doubted in peers(),
        said in vec(hostile(), 1..30),
    ) {
        let (me, key) = (neighbors.me(), key.id);
        let fingers = fingers.into_iter().filter(|finger| finger.id.in_open(me.id, key)).collect();
        let scope = hops.map_or(Scope::Here, |hops| Scope::Ring { hops });
        let query = Query { scope, ..Query::begun(key, false) };
        let made = hops.unwrap_or(MAX_HOPS);
        let (mut target, mut asked, mut lifeless, mut failure) = (None, BTreeSet::new(), BTreeSet::new(), None);
        // Only a lookup that is not forwarded any further is told of doubts.
        let doubted = if scope == Scope::Here { doubted } else { Vec::new() };
        let lookup = Lookup::new(query, neighbors.clone(), fingers).in_style(style).doubting(doubted);
        let mut iterated = 0;
        let (mut early, mut again) = (BTreeSet::new(), BTreeSet::new());
        let ended = run(lookup, &said, |step, answer| {
            let no_life = matches!(answer, Answer::Silent | Answer::Gone | Answer::Refused(Code::NotJoined));
            if let Some(Target::Peer(peer)) = target && no_life {
                lifeless.insert(peer);
            }
            if let Some(Target::Peer(peer)) = target && *answer == Answer::Refused(Code::Retry) {
                early.insert(peer);
            }
            if let Step::Ask(next, request) = step {
                target = Some(*next);
                if let (Target::Peer(peer), Request::FindSuccessor { hops, .. }) = (next, request) {
                    let first = asked.insert(*peer) || early.contains(peer) && again.insert(*peer);
                    let closer = peer.id.in_open(me.id, key) && first;
                    if !closer || *hops != made + 1 || *hops > MAX_HOPS {
                        failure = Some(format!("{step:?}"));
                    }
                }
                // A node that named a dead or useless one is asked again: but each node fails only once, or
                // twice if it said RETRY.
                if let (Target::Peer(peer), Request::ClosestPrecedingNode { doubted, .. }) = (next, request) {
                    iterated += 1;
                    asked.insert(*peer);
                    let ends = iterated as usize <= 3 * asked.len() && made + iterated <= MAX_HOPS;
                    if !peer.id.in_open(me.id, key) || !ends || doubted.len() > MAX_DOUBTED {
                        failure = Some(format!("{step:?}"));
                    }
                }
            }
        });
        prop_assert_eq!(failure, None);
        let finding = ended.expect("every lookup ends");
        prop_assert!(finding.dead.iter().all(|dead| lifeless.contains(dead)), "{:?}", finding);
        if let Ok(found) = finding.clone().owner() {
            prop_assert!(!asked.is_empty() || !finding.dead.contains(&found.owner));
        }
    }
}

proptest! {
    #![proptest_config(config())]

    /// Rule 6, among nodes that either live or are dead.
    #[test]
    fn notifier_is_taken_if_it_is_closer_or_the_old_predecessor_is_dead(
        neighbors in neighbors(),
        notifier in peer(),
        (notifier_lives, old_lives) in any::<(bool, bool)>(),
    ) {
        let old = neighbors.predecessor().filter(|old| *old != notifier && notifier.id != neighbors.me().id);
        let mut rectify = Patient::new(Rectify::new(&neighbors, notifier));
        let mut step = rectify.start();
        let verdict = loop {
            let (target, alive) = match step {
                Step::Done(verdict) => break verdict,
                Step::Ask(target, _) => (target, Answer::Reply(Response::Alive { plain: false, alone: false })),
                Step::Probe(target) | Step::Suspect(target) => (target, Answer::Alive),
                Step::Wait | Step::Rest { .. } => unreachable!("a ping is not waited for twice"),
            };
            let lives = if target == notifier.into() { notifier_lives } else { old_lives };
            step = rectify.resume(if lives { alive } else { Answer::Gone });
        };
        let closer = neighbors.is_closer_predecessor(notifier);
        let free = closer || old.is_some() && !old_lives;
        prop_assert_eq!((verdict.notifier, verdict.answered), (notifier, free && notifier_lives));
        prop_assert_eq!(verdict.dead, old.filter(|_| !closer && !old_lives));
    }
}

#[derive(Clone, Debug)]
enum Incident {
    /// The answer of the node that was asked last; the next variant is one of the node's timers.
    Said(Hostile),
    Fired(Index),
    Served(Request, bool),
    Forgotten(Vec<Peer>),
    Severed(Peer),
    Left,
}

fn incident() -> impl Strategy<Value = Incident> {
    let request = prop_oneof![
        4 => peer().prop_map(|me| Request::Notify { me }),
        1 => Just(Request::CheckPredecessor),
        1 => Just(Request::OpenChannel),
        1 => Just(Request::GetPredecessor),
        2 => option::of(peer()).prop_map(|joiner| Request::GetSuccessorList { joiner }),
        1 => peer().prop_map(|of| Request::Nudge { of }),
        1 => peer().prop_map(|me| Request::Invite { me }),
        2 => (peer(), option::of(peer())).prop_map(|(node, end)| Request::Meet { node, until: end.map(|end| end.id) }),
        2 => (peer(), option::of(peer())).prop_map(|(me, predecessor)| Request::Leave { me, predecessor }),
        1 => peer().prop_map(|peer| Request::FindSuccessor { key: peer.id, hops: 0, want_path: true }),
    ];
    prop_oneof![
        100 => hostile().prop_map(Incident::Said),
        40 => any::<Index>().prop_map(Incident::Fired),
        40 => (request, any::<bool>()).prop_map(|(request, plain)| Incident::Served(request, plain)),
        10 => vec(peer(), 1..3).prop_map(Incident::Forgotten),
        10 => peer().prop_map(Incident::Severed),
        1 => Just(Incident::Left),
    ]
}

/// A node among hostile ones, and the expectations about it.
struct Besieged {
    node: Maintenance,
    talk: Option<Patient<Conversation>>,
    /// The open request of the current conversation, and the nodes that have answered in it.
    target: Option<Target>,
    request: Option<Request>,
    answered: BTreeSet<Peer>,
    armed: BTreeMap<usize, Timer>,
}

impl Besieged {
    fn new(me: Peer, r: usize, seeds: &[Peer]) -> Besieged {
        let second = Duration::from_secs(1);
        let setup = Setup {
            me,
            bits: FOUR,
            r,
            stabilize_every: second,
            check_predecessor_every: second,
            seeds: seeds.iter().map(|seed| seed.addr).collect(),
            creates: true,
        };
        let node = Maintenance::new(setup);
        let (target, request, answered) = (None, None, BTreeSet::new());
        let mut besieged = Besieged { node, talk: None, target, request, answered, armed: BTreeMap::new() };
        besieged.advance();
        besieged
    }

    fn happen(&mut self, incident: Incident) {
        let before = self.node.neighbors().clone();
        match incident {
            Incident::Said(hostile) => {
                let answer = hostile.answer(self.request.as_ref());
                if let (Answer::Reply(_) | Answer::Alive, Some(Target::Peer(peer))) = (&answer, self.target) {
                    self.answered.insert(peer);
                }
                if let Some(talk) = &mut self.talk {
                    let step = talk.resume(answer);
                    return self.follow(step);
                }
            }
            Incident::Fired(i) if !self.armed.is_empty() => {
                let (number, timer) = self.armed.iter().nth(i.index(self.armed.len())).map(|(k, t)| (*k, *t)).unwrap();
                self.armed.remove(&number);
                self.node.fired(timer);
            }
            Incident::Fired(_) => {}
            Incident::Served(request, plain) => self.serve(&request, plain),
            Incident::Forgotten(dead) => self.node.forget(&dead),
            Incident::Severed(peer) => self.node.severed(&[peer.addr].into()),
            Incident::Left => self.leave(),
        }
        // Rules 3 and 7: no unsolicited message makes a node a neighbour.
        let after = self.node.neighbors();
        assert!(after.successors().iter().all(|peer| before.successors().contains(peer)));
        assert!(after.predecessor().is_none() || after.predecessor() == before.predecessor());
        assert!(!after.is_heard() || before.is_heard() && after.successor() == before.successor());
        self.advance();
    }

    /// A node that has left says so once, to its neighbours.
    fn leave(&mut self) {
        let before = self.node.standing();
        let (neighbors, told) = (self.node.neighbors().clone(), self.node.leave());
        let known = |peer: &Peer| neighbors.successor() == Some(*peer) || neighbors.predecessor() == Some(*peer);
        assert!(told.len() <= 2 && told.iter().all(|(to, _)| known(to)));
        assert!(told.is_empty() || !matches!(before, Standing::Joining | Standing::Left));
        assert_eq!(self.node.standing(), Standing::Left);
    }

    fn serve(&mut self, request: &Request, plain: bool) {
        let answer = self.node.serve(request, plain);
        let standing = self.node.standing();
        match (request, answer) {
            (_, Err(Code::NotJoined)) => assert!(matches!(standing, Standing::Joining | Standing::Left)),
            (Request::GetSuccessorList { joiner: None }, Err(code)) => {
                assert_eq!(standing, Standing::Isolated, "{code}")
            }
            (
                Request::GetSuccessorList { joiner: Some(joiner) },
                Ok(Response::SuccessorList { successors, predecessor, .. }),
            ) => {
                assert!(!self.node.neighbors().is_short() && joiner.id != self.node.neighbors().me().id);
                assert_eq!(successors, self.node.neighbors().successors());
                assert_eq!(predecessor, Some(self.node.neighbors().predecessor()));
            }
            _ => {}
        }
    }

    fn follow(&mut self, step: Step<Outcome>) {
        match step {
            Step::Ask(target, request) => (self.target, self.request) = (Some(target), Some(request)),
            Step::Probe(target) | Step::Suspect(target) => self.target = Some(target),
            Step::Wait | Step::Rest { .. } => {}
            Step::Done(outcome) => {
                let (before, standing) = (self.node.neighbors().clone(), self.node.standing());
                self.talk = None;
                self.node.digest(outcome.clone());
                let effects = self.node.effects();
                let after = self.node.neighbors();
                let (predecessor, head) = (after.predecessor(), after.successor());
                // Rule 3: only a node that has answered in this very conversation becomes a neighbour; rule 4:
                // an entry of the list may move up.
                let known = |peer: Peer| self.answered.contains(&peer);
                assert!(predecessor.is_none_or(|new| before.predecessor() == Some(new) || known(new)), "{outcome:?}");
                assert!(head.is_none_or(|new| before.successors().contains(&new) || known(new)), "{outcome:?}");
                let still_heard = before.is_heard() && before.successor() == head;
                assert!(!after.is_heard() || still_heard || head.is_none_or(known), "{outcome:?}");
                if self.node.standing() == Standing::Left {
                    // It may have learned just now that another node has its identifier.
                    let taken = |effect: &Effect| matches!(effect, Effect::Tried(Joined::IdTaken(twin)) if twin.id == after.me().id);
                    assert_eq!(after, &before, "a node that has left learns nothing more");
                    assert!(
                        effects.is_empty() || standing != Standing::Left && effects.len() == 1 && taken(&effects[0])
                    );
                    return;
                }
                // Rule 5.
                if let (Outcome::Stabilize(_), Some(head)) = (&outcome, head) {
                    let notify = Effect::Tell(head, Request::Notify { me: after.me() });
                    assert!(effects.contains(&notify), "{outcome:?} is followed by {effects:?}");
                }
                self.heed(effects);
                self.advance();
            }
        }
    }

    fn heed(&mut self, effects: Vec<Effect>) {
        let me = self.node.neighbors().me();
        for effect in effects {
            match effect {
                Effect::Wake(timer, _) => drop(self.armed.insert(timer as usize, timer)),
                Effect::Tell(peer, request) => assert_ne!(peer.id, me.id, "{request:?}"),
                Effect::Changed
                | Effect::Merging
                | Effect::Spread(_)
                | Effect::Dead(_)
                | Effect::Recall
                | Effect::Tried(_) => {}
            }
        }
    }

    fn advance(&mut self) {
        let me = self.node.neighbors().me();
        let next = self.node.next_conversation();
        assert!(next.is_none() || self.talk.is_none(), "rule 7: one conversation at a time");
        let effects = self.node.effects();
        self.heed(effects);
        let neighbors = self.node.neighbors();
        assert!(neighbors.successors().len() <= neighbors.r() && goes_round_once(me, neighbors.successors()));
        assert_ne!(neighbors.predecessor().map(|predecessor| predecessor.id), Some(me.id));
        if let Some(conversation) = next {
            let mut talk = Patient::new(conversation);
            let step = talk.start();
            self.talk = Some(talk);
            (self.target, self.request) = (None, None);
            self.answered.clear();
            self.follow(step);
        } else if self.talk.is_none() {
            let needed: &[Timer] = match self.node.standing() {
                Standing::Joining | Standing::Isolated => &[Timer::Join],
                Standing::Member => &[Timer::Stabilize, Timer::CheckPredecessor, Timer::Reunite],
                Standing::Left => &[],
            };
            for timer in needed {
                assert!(self.armed.contains_key(&(*timer as usize)), "{timer:?} will never fire again");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4 * config().cases, ..config() })]

    /// Whatever other nodes send, maintenance goes on, by its rules.
    #[test]
    fn maintenance_keeps_its_rules_among_hostile_nodes(
        (me, r, seeds) in (peer(), 1usize..5, vec(peer(), 0..3)),
        incidents in vec(incident(), 0..120),
    ) {
        let mut besieged = Besieged::new(me, r, &seeds);
        for incident in incidents {
            besieged.happen(incident);
        }
    }
}
