//! A world of pure nodes on a virtual clock.
//!
//! Every node is what the program runs: its `Maintenance`, its `FixFingers`, and the conversations
//! and lookups that they hold. The world carries calls and answers, keeps time and does what the
//! actors do ([`host`]), and nothing else. One seed is one history.

// Each file of tests uses a part of it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use chord::Config;
use chord::protocol::id::{Bits, Id};
use chord::protocol::lookup::{Found, Lost};
use chord::protocol::maintenance::Standing;
use chord::protocol::peer::Peer;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub use host::Node;
use host::{Event, Place};

#[path = "world/host.rs"]
mod host;

/// Nodes, and what is under way between them.
pub struct World {
    /// What nodes that are started from now on are configured with.
    pub config: Config,
    /// How long a message takes.
    pub delay: RangeInclusive<Duration>,
    pub rng: ChaCha8Rng,
    seed: u64,
    bits: Bits,
    now: Duration,
    /// What is to happen, in the order of time, then of scheduling.
    queue: BTreeMap<(Duration, u64), (Place, Event)>,
    nodes: BTreeMap<SocketAddrV4, Node>,
    /// What came of the lookups that tests have begun, by their numbers.
    found: BTreeMap<u64, Result<Found, Lost>>,
    /// Whatever needs a number of its own gets the next.
    last_number: u64,
}

/// How often a condition is looked at.
const TICK: Duration = Duration::from_millis(10);

/// An ideal ring is watched for so long.
const WATCH: Duration = Duration::from_secs(3);

impl World {
    /// Nobody, on a circle of so many bits; successor lists will have `r` entries.
    pub fn new(seed: u64, bits: Bits, r: usize) -> World {
        World {
            config: Config { r, ..Config::new(Ipv4Addr::LOCALHOST) },
            delay: Duration::from_millis(1)..=Duration::from_millis(20),
            rng: ChaCha8Rng::seed_from_u64(seed),
            seed,
            bits,
            now: Duration::ZERO,
            queue: BTreeMap::new(),
            nodes: BTreeMap::new(),
            found: BTreeMap::new(),
            last_number: 0,
        }
    }

    /// An ideal ring of these nodes, which have all joined through the first at once.
    pub fn of(seed: u64, bits: Bits, r: usize, peers: &[Peer]) -> World {
        let mut world = World::new(seed, bits, r);
        world.start(peers[0], &[]);
        peers[1..].iter().for_each(|peer| world.start(*peer, &peers[..1]));
        world.settle(Duration::from_secs(60));
        world
    }

    /// The virtual time since the world began.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Lets so much time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.queue.first_key_value().is_some_and(|((at, _), _)| *at <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Lets time pass until a condition holds, and says how much. Panics with the last complaint
    /// if that takes longer than `limit`.
    pub fn run_until(&mut self, limit: Duration, condition: impl Fn(&World) -> Result<(), String>) -> Duration {
        let begin = self.now;
        while let Err(complaint) = condition(self) {
            assert!(self.now - begin < limit, "not within {limit:?}: {complaint}");
            self.run(TICK);
        }
        self.now - begin
    }

    /// Lets time pass until the ring is ideal, and says how much.
    pub fn settle(&mut self, limit: Duration) -> Duration {
        self.run_until(limit, World::ideal)
    }

    /// Lets time pass in which an ideal ring is to stay so. (After a restart it need not: everyone
    /// who has known the former self takes the node for dead once more.)
    pub fn stay_ideal(&mut self) {
        let end = self.now + WATCH;
        while self.now < end {
            self.run(TICK);
            self.ideal_neighbors().unwrap_or_else(|complaint| panic!("not ideal any more: {complaint}"));
        }
    }

    /// Looks a key up and waits for the answer.
    pub fn ask(&mut self, from: Peer, key: Id) -> Result<Found, Lost> {
        let number = self.lookup(from, key);
        while !self.found.contains_key(&number) {
            self.step();
        }
        self.found[&number].clone()
    }

    /// What came of a lookup; `None` while it is under way.
    pub fn found(&self, number: u64) -> Option<&Result<Found, Lost>> {
        self.found.get(&number)
    }

    pub fn node(&self, peer: Peer) -> &Node {
        self.nodes.get(&peer.addr).unwrap_or_else(|| panic!("{} is not up", self.name(peer)))
    }

    /// Whether a node is up, perhaps paused.
    pub fn is_up(&self, peer: Peer) -> bool {
        self.nodes.contains_key(&peer.addr)
    }

    /// The nodes that are up and not paused, in the order of the circle.
    pub fn live(&self) -> Vec<Peer> {
        let up = self.nodes.values().filter(|node| node.paused_until <= self.now);
        let mut peers: Vec<Peer> = up.map(|node| node.me).collect();
        peers.sort();
        peers
    }

    /// The live nodes that are members of a ring, in the order of the circle.
    pub fn members(&self) -> Vec<&Node> {
        let live = self.live().into_iter().map(|peer| self.node(peer));
        live.filter(|node| node.maintenance.standing() != Standing::Joining).collect()
    }

    /// The live node that owns a key, if all are one ring.
    pub fn owner(&self, key: Id) -> Peer {
        owner(&self.live(), key)
    }

    /// Whether all live nodes are one ring with the right successor lists, predecessors and
    /// fingers; if not, what is wrong first.
    pub fn ideal(&self) -> Result<(), String> {
        self.ideal_neighbors()?;
        let ring = self.live();
        for me in &ring {
            let table = self.node(*me).fingers.table();
            let wrong = |i: &u8| table.node(*i) != owner(&ring, table.start(*i));
            if let Some(i) = (1..=self.bits.count()).find(wrong) {
                return Err(format!("finger {i} of {} is {}", self.name(*me), self.name(table.node(i))));
            }
        }
        Ok(())
    }

    /// The same without the fingers.
    fn ideal_neighbors(&self) -> Result<(), String> {
        let ring = self.live();
        let n = ring.len();
        for (i, me) in ring.iter().enumerate() {
            let (node, name) = (self.node(*me), self.name(*me));
            let neighbors = node.maintenance.neighbors();
            // A list is that of the successor behind the successor, who may have a shorter one.
            let reach = 1 + self.node(ring[(i + 1) % n]).maintenance.neighbors().successors().len();
            let full = neighbors.r().min(reach);
            let successors: Vec<Peer> = (1..n).take(full).map(|k| ring[(i + k) % n]).collect();
            let predecessor = (n > 1).then(|| ring[(i + n - 1) % n]);
            if node.maintenance.standing() != Standing::Member {
                return Err(format!("{name} is {:?}", node.maintenance.standing()));
            }
            if neighbors.successors() != successors {
                return Err(format!("the successors of {name} are not [{}]", self.names(successors)));
            }
            if neighbors.predecessor() != predecessor {
                return Err(format!("the predecessor of {name} is not [{}]", self.names(predecessor)));
            }
        }
        Ok(())
    }

    /// A node's number on a small circle, else the beginning of its identifier.
    pub fn name(&self, peer: Peer) -> String {
        let (bits, [a, b, c, d, ..]) = (self.bits.count(), *peer.id.as_bytes());
        let top = u32::from_be_bytes([a, b, c, d]);
        if bits <= 32 { (top >> (32 - bits)).to_string() } else { format!("{top:08x}") }
    }

    pub fn names(&self, peers: impl IntoIterator<Item = Peer>) -> String {
        peers.into_iter().map(|peer| self.name(peer)).collect::<Vec<_>>().join(" ")
    }

    /// The ring as text, a line for each node.
    pub fn describe(&self) -> String {
        let mut text = format!("after {:?}:\n", self.now);
        let mut nodes: Vec<&Node> = self.nodes.values().collect();
        nodes.sort_by_key(|node| node.me);
        for Node { me, maintenance, fingers, paused_until, .. } in nodes {
            let neighbors = maintenance.neighbors();
            let standing = format!("{:?}", maintenance.standing());
            let _ = writeln!(
                text,
                "{} {} after [{}] before [{}]{} fingers [{}]",
                self.name(*me),
                if *paused_until > self.now { "Paused" } else { &standing },
                self.names(neighbors.predecessor()),
                self.names(neighbors.successors().iter().copied()),
                if neighbors.is_short() { " short" } else { "" },
                self.names(fingers.table().distinct()),
            );
        }
        text
    }
}

/// A test that fails shows the ring, and how to see its history again.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let thread = std::thread::current();
            let test = thread.name().unwrap_or_default();
            eprintln!("{}repeat it with: SEED={} cargo test {test}", self.describe(), self.seed);
        }
    }
}

/// Runs one history for each of the seeds, or for that in the variable `SEED`.
pub fn sweep(seeds: Range<u64>, history: impl Fn(u64)) {
    match std::env::var("SEED") {
        Ok(seed) => history(seed.parse().expect("SEED is a number")),
        Err(_) => seeds.for_each(history),
    }
}

/// The node with the identifier `n` on a circle of so many bits.
pub fn numbered(n: u32, bits: Bits) -> Peer {
    Peer { id: Id::from_number(n.into(), bits), addr: address(n) }
}

/// The `n`th of the nodes whose identifiers are hashes of their addresses.
pub fn hashed(n: u32) -> Peer {
    Peer::at(address(n), Bits::FULL)
}

fn address(n: u32) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(0x0a00_0000 + n), 4170)
}

/// The first node at or after a key; the ring is ordered by number.
pub fn owner(ring: &[Peer], key: Id) -> Peer {
    ring[ring.partition_point(|peer| peer.id < key) % ring.len()]
}
