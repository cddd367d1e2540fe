//! The library's simulator in a form for tests: a condition that does not hold is a panic, and a test that fails
//! shows the ring, and how to see its history again.

use std::ops::{Deref, DerefMut, Range};
use std::time::Duration;

use chord::protocol::id::{Bits, Id};
use chord::protocol::lookup::{Found, LookupFailure};
use chord::protocol::peer::Peer;
use chord::sim::{Host, World as Simulated, draw::draw};

pub use chord::sim::{hashed, numbered, owner};

pub struct World {
    world: Simulated,
    seed: u64,
}

/// An ideal ring is watched for this long.
const WATCH: Duration = Duration::from_secs(3);

impl World {
    /// No nodes yet, on a circle of this many bits; successor lists will have `r` entries.
    pub fn new(seed: u64, bits: Bits, r: usize) -> World {
        World { world: Simulated::new(seed, bits, r), seed }
    }

    /// An ideal ring of these nodes, which have all joined through the first at once.
    pub fn of(seed: u64, bits: Bits, r: usize, peers: &[Peer]) -> World {
        let mut world = World::new(seed, bits, r);
        world.start(peers[0], &[]);
        peers[1..].iter().for_each(|peer| world.start(*peer, &peers[..1]));
        world.settle(Duration::from_secs(60));
        world
    }

    /// Lets this much time pass.
    pub fn run(&mut self, time: Duration) {
        self.world.run(time);
    }

    /// Lets time pass until a condition holds; returns how much.
    pub fn run_until(&mut self, limit: Duration, condition: impl Fn(&Simulated) -> Result<(), String>) -> Duration {
        self.world.run_until(limit, condition).unwrap_or_else(|complaint| panic!("{complaint}"))
    }

    /// Lets time pass until the ring is ideal; returns how much.
    pub fn settle(&mut self, limit: Duration) -> Duration {
        self.run_until(limit, Simulated::ideal)
    }

    /// Lets time pass in which an ideal ring must stay ideal. (After a restart it need not: all nodes
    /// that knew the node before take it for dead once more.)
    pub fn stay_ideal(&mut self) {
        let end = self.now() + WATCH;
        while self.now() < end {
            self.run(Duration::from_millis(10));
            self.ideal_neighbors().unwrap_or_else(|complaint| panic!("not ideal any more: {complaint}"));
        }
    }

    /// Looks a key up and waits for the answer.
    pub fn ask(&mut self, from: Peer, key: Id) -> Result<Found, LookupFailure> {
        self.world.ask(from, key).expect("the asker lives")
    }

    /// Begins a lookup; `found` returns its result by the number that this returns.
    pub fn lookup(&mut self, from: Peer, key: Id) -> u64 {
        self.world.lookup(from, key).expect("the asker lives")
    }

    pub fn node(&self, peer: Peer) -> &Host {
        self.host(peer).unwrap_or_else(|| panic!("{} is not up", self.name(peer)))
    }

    /// The live node that owns a key, if all are one ring.
    pub fn owner(&self, key: Id) -> Peer {
        self.world.owner(key).expect("a node lives")
    }
}

impl Deref for World {
    type Target = Simulated;

    fn deref(&self) -> &Simulated {
        &self.world
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Simulated {
        &mut self.world
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let thread = std::thread::current();
            let test = thread.name().unwrap_or_default();
            eprintln!("after {:?}:\n{}", self.now(), draw(&self.world));
            eprintln!("repeat it with: SEED={} cargo test {test}", self.seed);
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
