//! A ring made by the protocol, and whether it is as defined.

use std::cell::Cell;
use std::time::Duration;

use rand::seq::IndexedRandom;

use super::members::Collision;
use crate::node::config::PERIOD;
use crate::protocol::id::Bits;
use crate::protocol::maintenance::Standing;
use crate::protocol::peer::Peer;
use crate::sim::chaos::bound;
use crate::sim::tables::Tables;
use crate::sim::world::World;

/// The period of a node's timer in a ring that will have `nodes` nodes: `each` for every node, within the limits of a
/// node on a network. The larger a ring, the longer it grows, and most work before it has grown is in vain: lists and
/// fingers change again.
fn period(each: Duration, nodes: usize) -> Duration {
    each.saturating_mul(nodes as u32).clamp(Duration::from_secs(1), *PERIOD.end())
}

/// With each round of stabilize, news of a joiner goes one list further; each change of a list causes a lookup of all
/// fingers.
const STABILIZE: Duration = Duration::from_millis(60);

/// One finger is looked up at a time, and there are about log2 N.
const FIX_FINGERS: Duration = Duration::from_millis(10);

/// How a ring was made by the protocol.
pub struct Grown {
    /// The tables that it has, and should have.
    pub tables: Tables,
    /// Nodes that were refused.
    pub collisions: Vec<Collision>,
    /// When the last node had joined, and when all tables were right.
    pub joined: Duration,
    /// On the virtual clock, like `joined`, and not before it.
    pub ideal: Duration,
}

/// The progress of a growing ring.
pub enum Growing<'a> {
    /// One more node has joined, or was refused.
    Joined,
    /// All nodes have joined; here are the present state and the final tables.
    Settles(&'a World, &'a Tables),
}

/// A world for a ring of `nodes` nodes.
pub fn world(seed: u64, bits: Bits, r: usize, nodes: usize) -> World {
    let mut world = World::new(seed, bits, r);
    let config = &mut world.config;
    config.stabilize = period(STABILIZE, nodes);
    config.check_predecessor = config.stabilize;
    config.fix_fingers = period(FIX_FINGERS, nodes);
    // Nodes join one after the other. Hurried lookups of fingers, in young tables and at each change of neighbours,
    // would be most of the messages, and find no more than the regular passes.
    config.paced_fingers = true;
    world
}

/// Lets nodes join an empty [`world`] one after the other, each through one of the earlier ones, and waits until all
/// successor lists, predecessors and fingers are right. Reports the progress to `told`.
pub fn grow(world: &mut World, peers: &[Peer], told: impl Fn(Growing)) -> Result<Grown, String> {
    let (bits, r) = (world.bits(), world.config.successors);
    let (mut ring, mut collisions) = (Vec::with_capacity(peers.len()), Vec::new());
    for peer in peers {
        if join(world, &ring, *peer)? {
            ring.push(*peer);
        } else {
            let holder = ring.iter().find(|member| member.id == peer.id).copied();
            let holder = holder.ok_or_else(|| format!("{} could not join", world.name(*peer)))?;
            collisions.push(Collision { refused: *peer, holder });
        }
        told(Growing::Joined);
    }
    let joined = world.now();
    let tables = Tables::by_definition(ring, bits, r);
    world.say("All nodes have joined. stabilize and fix_fingers go on until all tables are as defined.");
    settle(world, &tables, |world| told(Growing::Settles(world, &tables)))?;
    Ok(Grown { ideal: world.now(), tables, collisions, joined })
}

/// Lets a node join through a random node of the ring, or create a ring if there is none, and waits until it is a
/// member (`true`) or has given up (`false`).
pub fn join(world: &mut World, ring: &[Peer], peer: Peer) -> Result<bool, String> {
    let through: Vec<Peer> = ring.choose(&mut world.env.rng).copied().into_iter().collect();
    let name = world.name(peer);
    world.say(&match through.first() {
        Some(seed) => format!("Node {name} joins through {0}: it asks {0} for its successor.", world.name(*seed)),
        None => format!("Node {name} creates a ring: it is its own successor."),
    });
    world.follow(Some(peer));
    let joined = start(world, ring.len(), peer, &through);
    world.follow(None);
    joined
}

fn start(world: &mut World, nodes: usize, peer: Peer, through: &[Peer]) -> Result<bool, String> {
    world.start(peer, through);
    let end = world.now() + bound::repair(&world.config, nodes);
    loop {
        match world.host(peer) {
            None => return Ok(false),
            Some(host) if host.is_member() => return Ok(true),
            Some(_) if world.now() > end => return Err(format!("{} does not get in", world.name(peer))),
            Some(_) => world.step(),
        }
    }
}

/// Waits until all tables are right and returns how long that took. Calls `told` after each check that fails.
pub fn settle(world: &mut World, tables: &Tables, told: impl Fn(&World)) -> Result<Duration, String> {
    let limit = bound::repair(&world.config, tables.ring().len());
    // A check begins at the node that was last found wrong, and most checks end there; only if all nodes are right does
    // it visit the whole ring.
    let begin = Cell::new(0);
    world.run_until(limit, |world| {
        let n = tables.ring().len();
        for at in (0..n).map(|k| (begin.get() + k) % n) {
            if let Some(wrong) = wrong(world, tables, at) {
                begin.set(at);
                told(world);
                return Err(wrong);
            }
        }
        Ok(())
    })
}

/// How many nodes have right tables.
pub fn count_right(world: &World, tables: &Tables) -> u64 {
    (0..tables.ring().len()).filter(|at| wrong(world, tables, *at).is_none()).count() as u64
}

/// What is wrong with the tables of the node at this place in the ring.
pub fn wrong(world: &World, tables: &Tables, at: usize) -> Option<String> {
    let (me, right) = (tables.ring()[at], tables.neighbors(at));
    let name = world.name(me);
    let Some(host) = world.host(me) else { return Some(format!("{name} is not up")) };
    let neighbors = host.maintenance.neighbors();
    if host.maintenance.standing() != Standing::Member {
        return Some(format!("{name} is {:?}", host.maintenance.standing()));
    }
    if neighbors.successors() != right.successors() {
        return Some(format!("the successors of {name} are not [{}]", world.names(right.successors().to_vec())));
    }
    if neighbors.predecessor() != right.predecessor() {
        return Some(format!("the predecessor of {name} is not [{}]", world.names(right.predecessor())));
    }
    (host.fingers.table() != tables.fingers(at)).then(|| format!("the fingers of {name} are not right"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::id::Id;
    use crate::sim::ring::members;

    #[test]
    fn each_table_that_is_not_as_defined_is_named() {
        let six = Bits::new(6).unwrap();
        let ids = [1, 8, 14, 21, 32, 38, 42, 48, 51, 56, 26].map(|n| Id::from_number(n, six));
        let peers = members::given(ids);
        let told = (Cell::new(0), Cell::new(0));
        let tell = |growing: Growing| match growing {
            Growing::Joined => told.0.set(told.0.get() + 1),
            Growing::Settles(world, tables) => {
                assert!(told.0.get() == 10 && count_right(world, tables) < 10);
                told.1.set(told.1.get() + 1);
            }
        };
        let mut world = world(1, six, 3, 10);
        grow(&mut world, &peers[..10], tell).unwrap();
        assert!(told.1.get() > 0, "it is told that the ring settles");
        // What the others have to learn of 26, before they can have heard of it.
        assert!(join(&mut world, &peers[..10], peers[10]).unwrap());
        let tables = Tables::by_definition(peers.clone(), six, 3);
        let wrong = |world: &World, n: usize| wrong(world, &tables, tables.position(peers[n])?);
        assert_eq!(wrong(&world, 0), None, "nothing that 1 knows changes");
        assert_eq!(count_right(&world, &tables), (0..11).filter(|n| wrong(&world, *n).is_none()).count() as u64);
        assert_eq!(wrong(&world, 3), Some("the successors of 21 are not [26 32 38]".into()));
        assert_eq!(wrong(&world, 4), Some("the predecessor of 32 is not [26]".into()));
        assert_eq!(wrong(&world, 9), Some("the fingers of 56 are not right".into()));
        world.crash(peers[6]);
        assert_eq!(wrong(&world, 6), Some("42 is not up".into()));
    }
}
