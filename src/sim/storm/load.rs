//! An open load: lookups begin whether or not the earlier ones were answered; and the verdicts on their answers.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::protocol::id::Id;
use crate::protocol::lookup::{Found, LookupFailure};
use crate::protocol::peer::Peer;
use crate::sim::nodes::owner;
use crate::sim::reason::reason;
use crate::sim::world::World;

/// Answers are counted in intervals of this length.
pub const INTERVAL: Duration = Duration::from_millis(100);

/// Begins lookups and judges the answers.
pub struct Load {
    rng: ChaCha8Rng,
    open: BTreeMap<u64, Asked>,
    members: Members,
    /// The verdicts so far.
    pub counts: Counts,
}

struct Asked {
    key: Id,
    at: Duration,
}

/// Which nodes are members, and when.
pub struct Members {
    /// Members from the beginning to the end, in the order of the circle.
    pub sure: Vec<Peer>,
    /// Nodes that may not be members, or not be known as such, and the time span in which they may be named.
    pub unsure: Vec<(Peer, Duration, Duration)>,
}

/// The outcome of the lookups.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// How many lookups were begun.
    pub asked: u64,
    /// Right answers in each interval since the world began.
    pub right: Vec<u32>,
    /// Answers that named a node that can't have owned the key at any time between question and answer.
    pub wrong: u64,
    /// Lookups that named no owner, by reason.
    pub lost: BTreeMap<&'static str, u64>,
    /// Verdicts of death on nodes that were up and reachable throughout.
    pub buried_alive: u64,
    /// Other verdicts of death.
    pub buried: u64,
}

impl Members {
    /// Whether this node may be named as the owner of a key between these times: no sure member lies between the
    /// key and it.
    fn may_own(&self, key: Id, named: Peer, asked: Duration, answered: Duration) -> bool {
        let first = owner(&self.sure, key);
        let unsure = self.unsure.iter().any(|(peer, from, until)| {
            *peer == named && *from <= answered && asked <= *until && named.id.in_half_open(key, first.id)
        });
        named == first || unsure || named.id == key
    }
}

impl Load {
    /// A load on these members, none of which comes or goes until it is said; the seed decides askers, keys and times.
    pub fn new(seed: u64, members: Vec<Peer>) -> Load {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // The world draws from the first stream.
        rng.set_stream(3);
        let members = Members { sure: members, unsure: Vec::new() };
        Load { rng, open: BTreeMap::new(), members, counts: Counts::default() }
    }

    /// From now on these are no longer sure members; they may be named until `until`.
    pub fn doubt(&mut self, peers: &[Peer], until: Duration) {
        self.members.sure.retain(|peer| !peers.contains(peer));
        self.members.unsure.extend(peers.iter().map(|peer| (*peer, Duration::ZERO, until)));
    }

    /// These may become members from `from` on.
    pub fn expect(&mut self, peers: &[Peer], from: Duration) {
        self.members.unsure.extend(peers.iter().map(|peer| (*peer, from, Duration::MAX)));
    }

    /// Begins lookups at this rate until `until`: one at a random moment of each slot of time.
    pub fn offer(&mut self, world: &mut World, rate: f64, until: Duration) {
        let slot = Duration::from_secs_f64(1.0 / rate);
        while world.now() + slot <= until {
            let begin = world.now();
            let wait = slot.mul_f64(self.rng.random_range(0.0..1.0));
            world.run(wait);
            self.ask(world);
            world.run(slot - wait);
            self.hear(world);
            debug_assert!(world.now() > begin);
        }
        self.wait(world, until.saturating_sub(world.now()));
    }

    /// Keeps this many lookups under way until `until`.
    pub fn keep_busy(&mut self, world: &mut World, lookups: usize, until: Duration) {
        while world.now() < until {
            while self.open.len() < lookups {
                self.ask(world);
            }
            self.wait(world, INTERVAL / 100);
        }
    }

    /// Begins no lookups for a while.
    pub fn wait(&mut self, world: &mut World, time: Duration) {
        let end = world.now() + time;
        while world.now() < end {
            world.run((end - world.now()).min(INTERVAL / 10));
            self.hear(world);
        }
    }

    fn ask(&mut self, world: &mut World) {
        let up: Vec<Peer> = world.hosts().filter(|host| host.is_member()).map(|host| host.me).collect();
        let Some(from) = up.choose(&mut self.rng).copied() else { return };
        let (key, at) = (Id::from_bytes(self.rng.random()), world.now());
        if let Some(number) = world.lookup(from, key) {
            self.counts.asked += 1;
            self.open.insert(number, Asked { key, at });
        }
    }

    fn hear(&mut self, world: &mut World) {
        for (number, found) in std::mem::take(&mut world.env.found) {
            if let Some(asked) = self.open.remove(&number) {
                self.judge(&asked, found, world.now());
            }
        }
        for (target, _) in std::mem::take(&mut world.env.suspected) {
            let sure = self.members.sure.contains(&target);
            if sure { self.counts.buried_alive += 1 } else { self.counts.buried += 1 }
        }
    }

    fn judge(&mut self, asked: &Asked, found: Result<Found, LookupFailure>, now: Duration) {
        let counts = &mut self.counts;
        match found {
            Ok(found) if self.members.may_own(asked.key, found.owner, asked.at, now) => {
                let interval = (now.as_nanos() / INTERVAL.as_nanos()) as usize;
                if counts.right.len() <= interval {
                    counts.right.resize(interval + 1, 0);
                }
                counts.right[interval] += 1;
            }
            Ok(_) => counts.wrong += 1,
            Err(lost) => *counts.lost.entry(reason(lost)).or_default() += 1,
        }
    }

    /// Lookups that have not ended: their nodes have.
    pub fn open(&self) -> usize {
        self.open.len()
    }
}

impl Counts {
    /// Right answers per second between these times.
    pub fn goodput(&self, from: Duration, until: Duration) -> f64 {
        let at = |time: Duration| (time.as_nanos() / INTERVAL.as_nanos()) as usize;
        let intervals = self.right.iter().take(at(until)).skip(at(from));
        let right: u32 = intervals.sum();
        f64::from(right) / until.saturating_sub(from).as_secs_f64()
    }

    /// Lookups that named no owner.
    pub fn failed(&self) -> u64 {
        self.lost.values().sum()
    }
}
