//! The sentences of two papers, one test for each.
//!
//! Chord: I. Stoica, R. Morris, D. Liben-Nowell, D. R. Karger, M. F. Kaashoek, F. Dabek and
//! H. Balakrishnan, "Chord: A Scalable Peer-to-peer Lookup Protocol for Internet Applications",
//! IEEE/ACM Transactions on Networking 11(1), 2003.
//!
//! Zave: P. Zave, "Reasoning about Identifier Spaces: How to Make Chord Correct", IEEE
//! Transactions on Software Engineering 43(12), 2017.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chord::protocol::fingers::FingerTable;
use chord::protocol::id::{Bits, Id};
use chord::protocol::lookup::iterative::Style;
use chord::protocol::lookup::{Finding, Lookup, LookupFailure, Query, Scope};
use chord::protocol::maintenance::LEAVING;
use chord::protocol::neighbors::{Neighbors, cut};
use chord::protocol::peer::Peer;
use chord::protocol::procedure::{Answer, Procedure, Step, Target};
use chord::protocol::rpc::{Memory, Request, Response};
use chord::sim::delay::USUAL;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::world::{World, hashed, numbered, owner, sweep};

const MINUTE: Duration = Duration::from_secs(60);

/// The identifiers of the paper's examples.
const SIX: Bits = Bits::new(6).unwrap();

/// The ring of the paper's examples.
const TEN: [u32; 10] = [1, 8, 14, 21, 32, 38, 42, 48, 51, 56];

fn node(n: u32) -> Peer {
    numbered(n, SIX)
}

fn nodes(numbers: &[u32]) -> Vec<Peer> {
    numbers.iter().copied().map(node).collect()
}

fn key(n: u32) -> Id {
    node(n).id
}

fn ring_of_ten() -> World {
    World::of(1, SIX, 3, &nodes(&TEN))
}

/// The owner that a node names, and the nodes asked on the way.
fn ask(world: &mut World, from: u32, k: u32) -> (Peer, Vec<Peer>) {
    let found = world.ask(node(from), key(k)).unwrap();
    (found.owner, found.path.iter().map(|hop| hop.node).collect())
}

// Chord, section IV.B: consistent hashing.

/// IV.B, figure 2: a key belongs to the first node whose identifier equals it or comes after it on
/// the circle. Of the ring's keys, 10 belongs to node 14, 24 and 30 to 32, 38 to 38, 54 to 56.
#[test]
fn key_belongs_to_the_first_node_at_or_after_it() {
    let mut world = ring_of_ten();
    for (k, owner) in [(10, 14), (24, 32), (30, 32), (38, 38), (54, 56), (57, 1), (0, 1)] {
        for from in TEN {
            assert_eq!(ask(&mut world, from, k).0, node(owner), "node {from} looks up {k}");
        }
    }
}

/// IV.B: when a node joins, some keys of its successor become its own, and no others move. Node 26
/// takes key 24 from node 32 and leaves it key 30.
#[test]
fn joining_node_takes_keys_of_its_successor_only() {
    let mut world = ring_of_ten();
    world.start(node(26), &[node(1)]);
    world.settle(MINUTE);
    for k in 0..64 {
        let expected = if (22..=26).contains(&k) { node(26) } else { owner(&nodes(&TEN), key(k)) };
        assert_eq!(ask(&mut world, 56, k).0, expected, "key {k}");
    }
}

/// IV.B: when a node leaves, all of its keys go to its successor, and no others move.
#[test]
fn keys_of_a_node_that_leaves_fall_to_its_successor() {
    let mut world = ring_of_ten();
    world.crash(node(38));
    world.settle(MINUTE);
    for k in 0..64 {
        let expected = if (33..=38).contains(&k) { node(42) } else { owner(&nodes(&TEN), key(k)) };
        assert_eq!(ask(&mut world, 8, k).0, expected, "key {k}");
    }
}

/// IV.E.4: a node that leaves tells its predecessor and its successor: "p will remove n from its
/// successor list […]. Similarly, s will replace its predecessor with n's predecessor." No node waits for
/// an answer of the leaver in vain, and the gap is closed before its program has ended.
#[test]
fn node_that_leaves_tells_its_neighbours_and_they_close_the_gap() {
    let mut world = ring_of_ten();
    let before = world.env.tally.clone();
    world.leave(node(38));
    world.run(LEAVING * 9 / 10);
    assert!(world.is_up(node(38)));
    assert_eq!(world.node(node(32)).maintenance.neighbors().successors(), nodes(&[42, 48, 51]));
    assert_eq!(world.node(node(42)).maintenance.neighbors().predecessor(), Some(node(32)));
    assert_eq!((world.env.tally.timeouts, world.env.tally.given_up), (before.timeouts, before.given_up));
    world.settle(MINUTE);
    assert!(!world.is_up(node(38)));
}

/// V.B: with 10^4 nodes and 5·10^5 keys, the fullest node holds some 9.1 times the mean, the 99th
/// of a hundred 4.6 times the mean, and the emptiest hold none.
#[test]
fn keys_are_spread_as_in_the_paper() {
    let ring = Tables::of_hashed(10_000, 1).ring;
    let mut keys = vec![0u32; ring.len()];
    for n in 0..500_000u32 {
        let key = Id::of_key(&n.to_be_bytes(), Bits::FULL);
        keys[ring.partition_point(|peer| peer.id < key) % ring.len()] += 1;
    }
    keys.sort();
    let times_the_mean = |keys: u32| f64::from(keys) / 50.0;
    let (top, high, low) = (times_the_mean(keys[9_999]), times_the_mean(keys[9_900]), keys[100]);
    assert!((7.0..=13.0).contains(&top), "the fullest node has {top} times the mean");
    assert!((4.3..=4.9).contains(&high), "the 99th percentile is {high} times the mean");
    assert!(low <= 1, "the 1st percentile is {low} keys");
}

// Chord, sections IV.C and IV.D: lookups.

/// IV.C, figure 3: a ring where every node knows only its successor finds all keys, by way of each
/// node in between. The lookup of key 54 from node 8 passes all nodes up to 51, which names 56.
#[test]
fn successors_alone_find_every_key_the_long_way() {
    let tables = Tables { fingers: BTreeMap::new(), ..Tables::ideal(nodes(&TEN), 1, SIX) };
    let walk = tables.lookup(node(8), key(54)).unwrap();
    assert_eq!((walk.owner, walk.asked), (node(56), nodes(&[14, 21, 32, 38, 42, 48, 51])));
    for (from, k) in TEN.into_iter().flat_map(|from| (0..64).map(move |k| (from, k))) {
        assert_eq!(tables.lookup(node(from), key(k)).unwrap().owner, owner(&tables.ring, key(k)));
    }
}

/// IV.D, figure 4: the fingers of node 8 begin at 9, 10, 12, 16, 24 and 40; the first three are node
/// 14, then come 21, 32 and 42.
#[test]
fn finger_table_of_node_8_is_that_of_the_figure() {
    let world = ring_of_ten();
    let table = world.node(node(8)).fingers.table();
    let starts: Vec<Id> = (1..=6).map(|i| table.start(i)).collect();
    assert_eq!(starts, [9, 10, 12, 16, 24, 40].map(key));
    assert_eq!(table.nodes().collect::<Vec<_>>(), nodes(&[14, 14, 14, 21, 32, 42]));
}

/// IV.D, table I: a finger is the first node at or after its start, also when a node is exactly
/// at the start. In a ring of the nodes 0, 1, 2, 4 … 32 every finger of node 0 starts at a node.
#[test]
fn finger_that_starts_at_a_node_is_that_node() {
    let numbers = [0, 1, 2, 4, 8, 16, 32];
    let world = World::of(1, SIX, 3, &nodes(&numbers));
    let table = world.node(node(0)).fingers.table();
    assert_eq!(table.nodes().collect::<Vec<_>>(), nodes(&numbers[1..]));
}

/// IV.D, figure 4: node 8 looks key 54 up. Of its fingers, 42 comes closest before the key; of the fingers of 42,
/// 51 does; and 51 knows that its successor 56 is the owner.
#[test]
fn lookup_of_54_from_node_8_asks_42_and_51() {
    let mut world = ring_of_ten();
    assert_eq!(ask(&mut world, 8, 54), (node(56), nodes(&[42, 51])));
}

/// V.B: in the iterative style node 8 asks the same nodes itself, one after the other. In both styles a
/// lookup finds the same owner by way of the same nodes.
#[test]
fn iterative_lookup_of_54_from_node_8_asks_42_and_51_too() {
    let mut world = ring_of_ten();
    let forwarded = world.env.tally.forwarded;
    let mut iterate = |from, k| {
        let number = world.lookup_in_style(node(from), key(k), Style::Iterative).unwrap();
        while world.found(number).is_none() {
            world.step();
        }
        let found = world.take_found(number).unwrap().unwrap();
        (found.owner, found.path.iter().map(|hop| hop.node).collect::<Vec<_>>())
    };
    assert_eq!(iterate(8, 54), (node(56), nodes(&[42, 51])));
    let iterated: Vec<_> =
        TEN.iter().flat_map(|from| (0..64).map(|k| (*from, k))).map(|(from, k)| iterate(from, k)).collect();
    let mut recursed = TEN.iter().flat_map(|from| (0..64).map(|k| (*from, k)));
    assert!(iterated.iter().all(|walk| recursed.next().is_some_and(|(from, k)| ask(&mut world, from, k) == *walk)));
    assert!(world.env.tally.forwarded > forwarded);
}

/// IV.D, theorem IV.2, and V.C: a lookup in a ring of N nodes asks O(log N) of them, on average
/// about half of log2 N.
#[test]
fn lookup_asks_half_of_log_n_nodes() {
    for k in 3..=12 {
        let tables = Tables::of_hashed(1 << k, 1);
        let mean = tables.mean_of_lookups(4_000, |walk| walk.asked.len());
        let half = f64::from(k) / 2.0;
        assert!((half - 1.0..=half + 0.5).contains(&mean), "2^{k} nodes: {mean}");
    }
}

/// V.C: successor lists of r entries save about ½·log2 r - 1 hops.
#[test]
fn successor_list_shortens_lookups() {
    let mean = |r| Tables::of_hashed(1024, r).mean_of_lookups(4_000, |walk| walk.asked.len());
    for (r, saved) in [(16, 1.0), (64, 2.0)] {
        let (short, long) = (mean(1), mean(r));
        assert!((saved - 0.25..=saved + 0.25).contains(&(short - long)), "r = {r}: from {short} to {long}");
    }
}

/// IV.D: the tables that a ring learns by itself serve as well as tables made by hand.
#[test]
fn ring_that_has_grown_by_itself_resolves_in_log_n_hops() {
    let peers: Vec<Peer> = (0..64).map(hashed).collect();
    let mut world = World::of(1, Bits::FULL, 4, &peers);
    let mut asked = 0;
    for n in 0..256u32 {
        let (from, key) = (hashed(n % 64), Id::of_key(&n.to_be_bytes(), Bits::FULL));
        let found = world.ask(from, key).unwrap();
        assert_eq!(found.owner, world.owner(key));
        asked += found.path.len();
    }
    let mean = asked as f64 / 256.0;
    assert!((1.0..=4.0).contains(&mean), "½ log2 64 + 1 = 4, but {mean}");
}

// Chord, section IV.E: dynamic operations and failures.

/// IV.E.1, figure 6: the creator of a ring is its only node and owns every key; its successor is
/// itself, and it has no predecessor.
#[test]
fn node_that_creates_a_ring_owns_every_key() {
    let mut world = World::new(1, SIX, 3);
    world.start(node(8), &[]);
    for k in 0..64 {
        assert_eq!(ask(&mut world, 8, k), (node(8), vec![]));
    }
    world.settle(MINUTE);
    assert_eq!(world.node(node(8)).maintenance.neighbors().predecessor(), None);
    assert!(world.node(node(8)).fingers.table().nodes().all(|finger| finger == node(8)));
}

/// IV.E.1, figure 7: node 26 joins between 21 and 32. First 26 learns its successor, 32, and no node
/// knows of 26; then it notifies 32, and becomes its predecessor; then 21 learns by stabilize that
/// its successor is 26, and notifies it.
#[test]
fn node_26_joins_step_by_step() {
    let mut world = ring_of_ten();
    world.start(node(26), &[node(1)]);
    let view = |world: &World| {
        let neighbors = |n| world.node(node(n)).maintenance.neighbors();
        let successor = |n: u32| neighbors(n).successor();
        (successor(26), neighbors(32).predecessor(), successor(21), neighbors(26).predecessor())
    };
    let mut views = vec![view(&world)];
    while world.ideal().is_err() {
        world.step();
        let seen = view(&world);
        if views.last() != Some(&seen) {
            views.push(seen);
        }
    }
    let [n21, n26, n32] = [21, 26, 32].map(|n| Some(node(n)));
    let steps = [
        (None, n21, n32, None),
        (n32, n21, n32, None),
        (n32, n26, n32, None),
        (n32, n26, n26, None),
        (n32, n26, n26, n21),
    ];
    assert_eq!(views, steps);
}

/// IV.E.1, theorem IV.3: however joins and stabilizations are interleaved, in the end the
/// successors of all nodes form one cycle.
#[test]
fn any_interleaving_of_joins_ends_in_one_ring() {
    sweep(0..20, |seed| {
        let mut world = World::new(seed, SIX, 3);
        let mut numbers: Vec<u32> = (0..64).collect();
        numbers.shuffle(&mut world.env.rng);
        world.start(node(numbers[0]), &[]);
        for joined in 1..16 {
            let seed = *numbers[..joined].choose(&mut world.env.rng).unwrap();
            world.start(node(numbers[joined]), &[node(seed)]);
            let pause = world.env.rng.random_range(Duration::ZERO..Duration::from_millis(400));
            world.run(pause);
        }
        world.settle(MINUTE);
    });
}

/// IV.E.2, theorem IV.4: nodes that have joined are found in O(log N) hops once the successors are
/// right, though no finger points to any of them yet.
#[test]
fn stale_fingers_cost_hops_but_no_correctness() {
    let old = Tables::of_hashed(512, 1);
    let fresh = Tables::of_hashed(1024, 1);
    let mut tables = Tables { fingers: old.fingers, ..fresh };
    for newcomer in 512..1024 {
        tables.fingers.insert(hashed(newcomer), FingerTable::alone(hashed(newcomer), Bits::FULL));
    }
    let mean = tables.mean_of_lookups(4_000, |walk| walk.asked.len());
    assert!(mean <= 5.0 + 3.0, "{mean}");
}

/// IV.E.2: fingers may point anywhere; lookups depend on the successors for correctness.
#[test]
fn wrong_fingers_do_no_harm() {
    let mut tables = Tables::of_hashed(128, 2);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for table in tables.fingers.values_mut() {
        for _ in 0..20 {
            table.set(rng.random_range(1..=160), *tables.ring.choose(&mut rng).unwrap());
        }
    }
    assert!(tables.mean_of_lookups(2_000, |walk| walk.asked.len()) < 64.0);
}

/// IV.E.3: with lists of r entries, a ring survives the death of any r - 1 nodes in a row at once:
/// their keys are found at once, and stabilize repairs the lists.
#[test]
fn successor_list_masks_the_death_of_r_minus_1_neighbours() {
    for r in 1..=4usize {
        for first in 0..TEN.len() {
            let mut world = World::of(1, SIX, r, &nodes(&TEN));
            for k in 0..r - 1 {
                world.crash(node(TEN[(first + k) % TEN.len()]));
            }
            world.run(*USUAL.end());
            let asker = node(TEN[(first + r) % TEN.len()]);
            for k in 0..64 {
                let found = world.ask(asker, key(k)).unwrap();
                assert_eq!(found.owner, world.owner(key(k)), "r = {r}, {asker:?} looks up {k}");
            }
            world.settle(MINUTE);
        }
    }
}

/// IV.E.3: a node that meets a dead finger on the way passes the question on to the next best node
/// of its fingers and successor list.
#[test]
fn lookup_goes_round_a_dead_finger() {
    let mut tables = Tables::ideal(nodes(&TEN), 3, SIX);
    tables.kill(nodes(&[42, 48]));
    let walk = tables.lookup(node(8), key(54)).unwrap();
    assert_eq!((walk.owner, walk.asked), (node(56), nodes(&[32, 38, 51])));
    assert_eq!(walk.timeouts, 3, "node 8 meets 42, and node 32 meets 48 and 42");
}

/// IV.E.3, theorems IV.5 and IV.6, and table II: 1,000 nodes with lists of 20 entries, each of which
/// dies with probability p. Before anything is repaired, every lookup finds the living owner, in as
/// many hops as in the table. It meets more dead nodes, but less than twice as many: nodes that forward
/// the request do not tell each other of the dead, and the owner is pinged, too.
#[test]
fn lookups_succeed_while_half_of_the_nodes_are_dead() {
    for (p, hops, timeouts) in [(0.0, 3.84, 0.0), (0.1, 4.03, 0.60), (0.3, 4.44, 2.02), (0.5, 5.09, 5.10)] {
        let mut tables = Tables::of_hashed(1_000, 20);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        tables.kill(tables.ring.iter().copied().filter(|_| rng.random_bool(p)).collect());
        let mean_hops = tables.mean_of_lookups(10_000, |walk| walk.asked.len());
        let mean_timeouts = tables.mean_of_lookups(10_000, |walk| walk.timeouts);
        assert!((mean_hops - hops).abs() < 0.2, "p = {p}: {mean_hops} hops, in the paper {hops}");
        assert!(mean_timeouts <= 2.0 * timeouts, "p = {p}: {mean_timeouts} time-outs, in the paper {timeouts}");
    }
}

/// The same in the iterative style, which is the paper's: the asker meets as many dead nodes as in the
/// table, or some more where it tries all that lie between the last living node and the key. A node that
/// is asked again, since all nodes that it named are dead, is counted once. Not counted are the dead nodes that
/// others ping before they name an owner, or because the asker could not reach them.
#[test]
fn iterative_lookups_succeed_while_half_of_the_nodes_are_dead() {
    for (p, hops, timeouts) in [(0.0, 3.84, 0.0), (0.1, 4.03, 0.60), (0.3, 4.44, 2.02), (0.5, 5.09, 5.10)] {
        let mut tables = Tables::of_hashed(1_000, 20);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        tables.kill(tables.ring.iter().copied().filter(|_| rng.random_bool(p)).collect());
        let distinct = |walk: &Walk| walk.asked.iter().collect::<BTreeSet<_>>().len();
        let mean_hops = tables.mean_of(10_000, Tables::iterate, distinct);
        let mean_timeouts = tables.mean_of(10_000, Tables::iterate, |walk| walk.timeouts);
        assert!((mean_hops - hops).abs() < 0.2, "p = {p}: {mean_hops} hops, in the paper {hops}");
        let most = 0.1 + 1.15 * timeouts;
        assert!((timeouts - 0.2..=most).contains(&mean_timeouts), "p = {p}: {mean_timeouts}, in the paper {timeouts}");
    }
}

/// The tables of a whole ring, for lookups that take no time.
struct Tables {
    ring: Vec<Peer>,
    neighbors: BTreeMap<Peer, Neighbors>,
    fingers: BTreeMap<Peer, FingerTable>,
    dead: BTreeSet<Peer>,
}

/// The course of a lookup.
struct Walk {
    owner: Peer,
    asked: Vec<Peer>,
    timeouts: usize,
}

impl Tables {
    /// Ideal tables of these nodes, in their order.
    fn ideal(ring: Vec<Peer>, r: usize, bits: Bits) -> Tables {
        let n = ring.len();
        let (mut neighbors, mut fingers) = (BTreeMap::new(), BTreeMap::new());
        for (i, me) in ring.iter().copied().enumerate() {
            let mut own = Neighbors::alone(me, r);
            own.adopt(cut(me, r, (1..n).map(|k| ring[(i + k) % n])));
            own.set_predecessor(ring[(i + n - 1) % n]);
            neighbors.insert(me, own);
            let (mut table, mut next) = (FingerTable::alone(me, bits), 1);
            while !table.is_past(next) {
                let owner = owner(&ring, table.start(next));
                next = table.set(next, owner).0 + 1;
            }
            fingers.insert(me, table);
        }
        Tables { ring, neighbors, fingers, dead: BTreeSet::new() }
    }

    fn of_hashed(n: u32, r: usize) -> Tables {
        let mut ring: Vec<Peer> = (0..n).map(hashed).collect();
        ring.sort();
        Tables::ideal(ring, r, Bits::FULL)
    }

    /// Ends these nodes. The nodes before them have noticed that the connection to their successor broke.
    fn kill(&mut self, dead: Vec<Peer>) {
        self.dead.extend(dead);
        for own in self.neighbors.values_mut() {
            if own.successor().is_some_and(|head| self.dead.contains(&head)) {
                own.doubt_successor();
            }
        }
    }

    fn lookup(&self, from: Peer, key: Id) -> Result<Walk, LookupFailure> {
        self.part(from, Query::begun(key, false))
    }

    /// One node's part in a lookup, including the parts of the nodes that it asks.
    fn part(&self, me: Peer, query: Query) -> Result<Walk, LookupFailure> {
        let mut lookup = self.begin(me, query);
        let (mut step, mut asked, mut timeouts) = (lookup.start(), Vec::new(), 0);
        loop {
            let answer = match step {
                Step::Done(finding) => {
                    return finding.owner().map(|found| Walk { owner: found.owner, asked, timeouts });
                }
                Step::Ask(Target::Peer(peer), _) if self.dead.contains(&peer) => {
                    timeouts += 1;
                    Answer::Gone
                }
                Step::Ask(_, Request::CheckPredecessor) => {
                    Answer::Reply(Response::Alive { plain: false, alone: false })
                }
                Step::Ask(Target::Peer(peer), Request::GetPredecessor) => {
                    let own = &self.neighbors[&peer];
                    let (predecessor, successors) = (own.predecessor(), Some(own.successors().to_vec()));
                    Answer::Reply(Response::Predecessor { predecessor, successors, memory: Memory::default() })
                }
                Step::Ask(Target::Peer(peer), Request::FindSuccessor { hops, .. }) => {
                    match self.part(peer, Query { scope: Scope::Ring { hops }, ..query }) {
                        Ok(walk) => {
                            asked.push(peer);
                            asked.extend(walk.asked);
                            timeouts += walk.timeouts;
                            Answer::Reply(Response::Successor { owner: walk.owner, path: vec![] })
                        }
                        Err(lost) => Answer::Refused(lost.into()),
                    }
                }
                step => unreachable!("{step:?}"),
            };
            step = lookup.resume(answer);
        }
    }

    /// A lookup whose asker goes from node to node itself.
    fn iterate(&self, from: Peer, key: Id) -> Result<Walk, LookupFailure> {
        let mut asked = Vec::new();
        let query = Query::begun(key, false);
        let lookup = self.begin(from, query).in_style(Style::Iterative);
        let found = self.ends(lookup, key, &mut asked).owner()?;
        Ok(Walk { owner: found.owner, asked, timeouts: found.timeouts as usize })
    }

    fn begin(&self, me: Peer, query: Query) -> Lookup {
        let preceding = self.fingers.get(&me).map(|table| table.preceding(query.key)).unwrap_or_default();
        Lookup::new(query, self.neighbors[&me].clone(), preceding)
    }

    fn ends(&self, mut lookup: Lookup, key: Id, asked: &mut Vec<Peer>) -> Finding {
        let mut step = lookup.start();
        loop {
            let answer = match step {
                Step::Done(finding) => return finding,
                Step::Ask(Target::Peer(peer), _) if self.dead.contains(&peer) => Answer::Gone,
                Step::Ask(_, Request::CheckPredecessor) => {
                    Answer::Reply(Response::Alive { plain: false, alone: false })
                }
                Step::Ask(Target::Peer(peer), Request::GetPredecessor) => {
                    let own = &self.neighbors[&peer];
                    let (predecessor, successors) = (own.predecessor(), Some(own.successors().to_vec()));
                    Answer::Reply(Response::Predecessor { predecessor, successors, memory: Memory::default() })
                }
                Step::Ask(Target::Peer(peer), Request::ClosestPrecedingNode { doubted, .. }) => {
                    asked.push(peer);
                    let here = self.begin(peer, Query::here(key, false)).doubting(doubted);
                    let finding = self.ends(here, key, asked);
                    finding.answer(None).map_or_else(|lost| Answer::Refused(lost.into()), Answer::Reply)
                }
                step => unreachable!("{step:?}"),
            };
            step = lookup.resume(answer);
        }
    }

    /// Looks random keys up from random nodes; each answer must be the living owner.
    fn mean_of_lookups(&self, lookups: u32, measure: impl Fn(&Walk) -> usize) -> f64 {
        self.mean_of(lookups, Tables::lookup, measure)
    }

    fn mean_of(
        &self,
        lookups: u32,
        look_up: fn(&Tables, Peer, Id) -> Result<Walk, LookupFailure>,
        measure: impl Fn(&Walk) -> usize,
    ) -> f64 {
        let living: Vec<Peer> = self.ring.iter().copied().filter(|peer| !self.dead.contains(peer)).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut sum = 0;
        for _ in 0..lookups {
            let (from, key) = (*living.choose(&mut rng).unwrap(), Id::from_bytes(rng.random()));
            let walk = look_up(self, from, key).unwrap_or_else(|lost| panic!("{from:?} looks up {key}: {lost}"));
            assert_eq!(walk.owner, owner(&living, key), "{from:?} looks up {key}");
            sum += measure(&walk);
        }
        sum as f64 / f64::from(lookups)
    }
}

// Zave: the invariants of a correct Chord, in every state of random histories.

/// The inductive invariant, first half: every member has a successor that lives.
#[test]
fn every_member_has_a_live_successor() {
    histories(|_, _, state| {
        for (member, list) in &state.lists {
            assert!(state.best_successor(list).is_some(), "{member:?} has {list:?}");
        }
    });
}

/// The inductive invariant, second half: there are never fewer than r + 1 principals, members that
/// no list skips. Histories begin with more, and take none away when there are no more.
#[test]
fn there_are_more_than_r_principals() {
    histories(|_, _, state| {
        assert!(state.principals.len() > state.r, "{:?}", state.principals);
    });
}

/// No step of a join or of maintenance takes a principal away: however late its information is, no node
/// adopts a list that skips one.
#[test]
fn no_step_of_a_join_or_of_maintenance_takes_a_principal_away() {
    histories(|before, failed, state| {
        if failed.is_none() {
            let lost: Vec<_> = before.principals.difference(&state.principals).collect();
            assert!(lost.is_empty(), "{lost:?}");
        }
    });
}

/// The failure of a principal takes only that principal away; the failure of any other node takes none.
#[test]
fn failure_takes_at_most_the_failed_principal_away() {
    histories(|before, failed, state| {
        if let Some(failed) = failed {
            assert!(before.principals.difference(&state.principals).all(|lost| *lost == failed));
            assert!(!state.principals.contains(&failed));
        }
    });
}

/// No list contains its owner, or a node twice.
#[test]
fn no_list_repeats_a_node_or_contains_its_owner() {
    histories(|_, _, state| {
        for (member, list) in &state.lists {
            let distinct: BTreeSet<&Peer> = list.iter().chain([member]).collect();
            assert_eq!(distinct.len(), list.len() + 1, "{member:?} has {list:?}");
        }
    });
}

/// The entries of a list follow each other clockwise from its owner on.
#[test]
fn every_list_is_in_the_order_of_the_circle() {
    histories(|_, _, state| {
        for (member, list) in &state.lists {
            let distances = list.iter().map(|peer| peer.id.clockwise_from(member.id));
            assert!(distances.is_sorted_by(|near, far| near < far), "{member:?} has {list:?}");
        }
    });
}

/// Following the first live successor of each member leads to one and the same cycle.
#[test]
fn best_successors_form_one_ring_that_all_members_reach() {
    histories(|_, _, state| {
        let rings: BTreeSet<BTreeSet<Peer>> = state.lists.keys().map(|member| state.ring_of(*member)).collect();
        assert_eq!(rings.len(), 1, "{rings:?}");
    });
}

/// The ring of best successors goes round the circle once.
#[test]
fn ring_of_best_successors_is_in_the_order_of_the_circle() {
    histories(|_, _, state| {
        let Some(member) = state.lists.keys().next() else { return };
        let ring: Vec<Peer> = state.ring_of(*member).into_iter().collect();
        for (i, me) in ring.iter().enumerate() {
            assert_eq!(state.best_successor(&state.lists[me]), Some(ring[(i + 1) % ring.len()]));
        }
    });
}

/// Principals are on the ring, never on a branch that leads to it.
#[test]
fn principals_are_on_the_ring() {
    histories(|_, _, state| {
        let Some(member) = state.lists.keys().next() else { return };
        assert!(state.principals.is_subset(&state.ring_of(*member)));
    });
}

/// Progress: when joins and failures end, maintenance makes the ring ideal. (Every history ends this way;
/// this one has more joins and failures than the others.)
#[test]
fn every_history_ends_in_an_ideal_ring() {
    sweep(0..40, |seed| history(seed, 40, &|_, _, _| {}));
}

/// The parts of a ring that the invariants are about.
struct State {
    r: usize,
    /// The successor lists of the living members.
    lists: BTreeMap<Peer, Vec<Peer>>,
    /// Lists under way to nodes that may adopt them, each with its owner.
    in_flight: Vec<(Peer, Vec<Peer>)>,
    /// The members that no list skips, of a member or in flight.
    principals: BTreeSet<Peer>,
}

impl State {
    /// The state of a world; nothing is new in one that has the same lists as `before`.
    fn of(world: &World, before: Option<&State>) -> Option<State> {
        let members = world.members().into_iter();
        let lists = members.map(|node| (node.me, node.maintenance.neighbors().successors().to_vec())).collect();
        let in_flight = world.lists_in_flight();
        if before.is_some_and(|before| before.lists == lists && before.in_flight == in_flight) {
            return None;
        }
        let mut state = State { r: world.config.successors, lists, in_flight, principals: BTreeSet::new() };
        let extended = state.extended_lists();
        let skips = |list: &Vec<Peer>, p: Peer| list.windows(2).any(|pair| p.id.in_open(pair[0].id, pair[1].id));
        let is_principal = |p: &Peer| !extended.iter().any(|list| skips(list, *p));
        state.principals = state.lists.keys().copied().filter(is_principal).collect();
        Some(state)
    }

    fn extended_lists(&self) -> Vec<Vec<Peer>> {
        let own = self.lists.iter().map(|(me, list)| std::iter::once(*me).chain(list.iter().copied()).collect());
        own.chain(self.in_flight.iter().map(|(_, list)| list.clone())).collect()
    }

    fn best_successor(&self, list: &[Peer]) -> Option<Peer> {
        list.iter().copied().find(|peer| self.lists.contains_key(peer))
    }

    /// The cycle to which best successors lead from a member.
    fn ring_of(&self, member: Peer) -> BTreeSet<Peer> {
        let next = |member: &Peer| self.best_successor(&self.lists[member]);
        let on_the_ring = std::iter::successors(Some(member), next).nth(self.lists.len());
        let start = on_the_ring.expect("every member has a live successor");
        let mut ring = BTreeSet::new();
        let mut last = start;
        while ring.insert(last) {
            last = next(&last).expect("every member has a live successor");
        }
        ring
    }

    /// Whether the environment may take this node away: r + 1 principals remain, and a
    /// living node in every list, also in those that are yet to be adopted.
    fn can_spare(&self, victim: Peer) -> bool {
        let lives = |peer: &Peer| *peer != victim && self.lists.contains_key(peer);
        let adopted = self.in_flight.iter().map(|(me, list)| cut(*me, self.r, list.iter().copied()));
        let mut lists = self.lists.iter().filter(|(me, _)| **me != victim).map(|(_, list)| list.clone()).chain(adopted);
        let principals = self.principals.iter().filter(|principal| **principal != victim).count();
        principals > self.r && lists.all(|list| list.iter().any(lives))
    }
}

/// Calls `check` with every two consecutive states, and with the node that failed between them.
fn histories(check: impl Fn(&State, Option<Peer>, &State)) {
    sweep(0..12, |seed| history(seed, 25, &check));
}

/// A history of random joins and failures from an ideal ring of more than r + 1 nodes, until it is
/// ideal again. Nodes that have failed do not come back.
fn history(seed: u64, acts: usize, check: &impl Fn(&State, Option<Peer>, &State)) {
    let bits = Bits::new(8).unwrap();
    let mut unused: Vec<u32> = (0..256).collect();
    unused.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let r = 2 + (seed % 3) as usize;
    let beginning: Vec<Peer> = unused.drain(..r + 3).map(|n| numbered(n, bits)).collect();
    let mut world = World::of(seed, bits, r, &beginning);
    let (mut joins, mut failures) = (0, 0);
    let mut before = State::of(&world, None).unwrap();
    for act in 0.. {
        let live = world.live();
        let someone = *live.choose(&mut world.env.rng).unwrap();
        let joins_now = live.len() < 6 || live.len() < 14 && world.env.rng.random();
        let mut failed = None;
        match act {
            _ if act >= acts => {}
            _ if joins_now => {
                world.start(numbered(unused.pop().unwrap(), bits), &[someone]);
                joins += 1;
            }
            _ if before.can_spare(someone) => {
                // Its connections break, or it is never heard again.
                if world.env.rng.random() {
                    world.crash(someone)
                } else {
                    world.pause(someone, Duration::MAX)
                }
                failed = Some(someone);
                failures += 1;
            }
            _ => {}
        }
        let end = world.now() + world.env.rng.random_range(Duration::ZERO..Duration::from_millis(500));
        loop {
            let victim = failed.take();
            if let Some(state) = State::of(&world, Some(&before)) {
                check(&before, victim, &state);
                before = state;
            }
            if world.now() >= end {
                break;
            }
            world.step();
        }
        if act >= acts && world.ideal().is_ok() {
            break;
        }
        assert!(act < acts + 300, "not ideal after a minute or more: {:?}", world.ideal());
    }
    assert!(joins.min(failures) > acts / 8, "only {joins} joins and {failures} failures");
}
