//! What happens to a ring, for both protocols alike.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;

use super::{R, System};
use crate::protocol::id::Id;
use crate::protocol::peer::Peer;
use crate::sim::delay::exponential;
use crate::sim::hashed;
use crate::sim::paper::chance;

/// The number of nodes at first; each joins half a second after the last.
const NODES: u32 = 48;
const APART: Duration = Duration::from_millis(500);
const SETTLES: Duration = Duration::from_secs(20);

/// For how long nodes join and crash, and for how long nothing happens after that.
const TROUBLE: Duration = Duration::from_secs(120);
const CALM: Duration = Duration::from_secs(120);

/// The longest time that a repair takes: r nodes in a row never all crash within it.
const REPAIR: Duration = Duration::from_secs(10);
/// A node that has been up for this long has to be found.
const ESTABLISHED: Duration = Duration::from_secs(10);

/// A node through which another joins stays up for at least this long: a joiner without a node to ask is not the
/// protocol's problem.
const GUARANTEE: Duration = Duration::from_secs(5);

/// The mean time between two lookups, and the time limit of one.
const LOOKUPS: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(5);

enum Deed {
    Start(Peer, Option<Peer>),
    Crash(Peer),
    LookUp(Peer, Id),
}

/// Deeds and their times.
pub(super) struct History(Vec<(Duration, Deed)>);

/// The outcome of a history.
pub(super) struct Outcome {
    pub asked: usize,
    pub lost: usize,
    pub wrong: usize,
    /// All nodes that are up at the end, with their lists.
    pub lists: BTreeMap<Peer, Vec<Peer>>,
}

impl History {
    /// The history of a seed, with `rate` joins and as many crashes in a hundred seconds.
    pub(super) fn new(seed: u64, rate: u32) -> History {
        let mut rng = chance(seed);
        rng.set_stream(3);
        let mut deeds = Vec::new();
        let peers: Vec<Peer> = (0..NODES).map(|n| hashed((seed as u32) << 12 | n)).collect();
        for (peer, nth) in peers.iter().zip(0u32..) {
            deeds.push((APART * nth, Deed::Start(*peer, (nth > 0).then_some(peers[0]))));
        }
        let begin = APART * NODES + SETTLES;
        let mut cast = Cast { up: peers.iter().map(|peer| (*peer, Duration::ZERO)).collect(), ..Cast::default() };
        let period = Duration::from_secs(100) / rate;
        let mut next = [LOOKUPS, period, period].map(|mean| begin + exponential(mean, &mut rng));
        let mut newcomers = NODES..;
        loop {
            let now = next.iter().copied().min().unwrap_or_default();
            if now >= begin + TROUBLE {
                return History(deeds);
            }
            let established = cast.established(now);
            let chosen = established[rng.random_range(0..established.len())];
            if now == next[0] {
                next[0] += exponential(LOOKUPS, &mut rng);
                deeds.push((now, Deed::LookUp(chosen, Id::from_bytes(rng.random()))));
            } else if now == next[1] {
                next[1] += exponential(period, &mut rng);
                let newcomer = hashed((seed as u32) << 12 | newcomers.next().unwrap_or_default());
                cast.up.insert(newcomer, now);
                cast.asked.insert(chosen, now);
                deeds.push((now, Deed::Start(newcomer, Some(chosen))));
            } else {
                next[2] += exponential(period, &mut rng);
                // Any node that is up, including joiners.
                let up: Vec<Peer> = cast.up.keys().copied().collect();
                let victim = up[rng.random_range(0..up.len())];
                if cast.can_spare(victim, now) {
                    cast.up.remove(&victim);
                    cast.down.insert(victim, now);
                    deeds.push((now, Deed::Crash(victim)));
                }
            }
        }
    }

    /// Runs a ring through this history.
    pub(super) fn live(&self, system: &mut impl System) -> Outcome {
        let mut cast = Cast::default();
        let mut open: Vec<(Duration, Peer, u64, Id)> = Vec::new();
        let (mut asked, mut lost, mut wrong, mut now) = (0, 0, 0, Duration::ZERO);
        let end = APART * NODES + SETTLES + TROUBLE + CALM;
        let deeds = self.0.iter().map(|(at, deed)| (*at, Some(deed)));
        for (at, deed) in deeds.chain([(end, None)]) {
            system.run(at - now);
            now = at;
            open.retain(|(begun, from, number, key)| match system.found(*from, *number) {
                Some(owner) => {
                    wrong += usize::from(!cast.is_right(owner, *key, *begun));
                    false
                }
                None if now < *begun + PATIENCE && deed.is_some() => cast.up.contains_key(from),
                None => {
                    lost += usize::from(cast.up.contains_key(from));
                    false
                }
            });
            match deed {
                Some(Deed::Start(peer, seed)) => {
                    cast.up.insert(*peer, now);
                    system.start(*peer, *seed);
                }
                Some(Deed::Crash(peer)) => {
                    cast.up.remove(peer);
                    cast.down.insert(*peer, now);
                    system.fail(*peer);
                }
                Some(Deed::LookUp(from, key)) => {
                    asked += 1;
                    match system.look_up(*from, *key) {
                        Some(number) => open.push((now, *from, number, *key)),
                        None => lost += 1,
                    }
                }
                None => {}
            }
        }
        Outcome { asked, lost, wrong, lists: system.lists() }
    }
}

/// Since when each node is up, or when it crashed.
#[derive(Default)]
struct Cast {
    up: BTreeMap<Peer, Duration>,
    down: BTreeMap<Peer, Duration>,
    /// The nodes through which others joined, and when they last did.
    asked: BTreeMap<Peer, Duration>,
}

impl Cast {
    fn established(&self, now: Duration) -> Vec<Peer> {
        self.up.iter().filter(|(_, since)| **since + ESTABLISHED <= now).map(|(peer, _)| *peer).collect()
    }

    /// Whether a node may crash: after that, fewer than r neighbours in a row are gone, counting those that crashed
    /// lately.
    fn can_spare(&self, victim: Peer, now: Duration) -> bool {
        let lately = self.down.iter().filter(|(_, at)| **at + REPAIR > now).map(|(peer, _)| (*peer, false));
        let mut row: BTreeMap<Peer, bool> = self.up.keys().map(|peer| (*peer, true)).chain(lately).collect();
        row.insert(victim, false);
        let up: Vec<bool> = row.values().copied().collect();
        let longest_gap = up.iter().chain(&up).scan(0, |gap, up| {
            *gap = if *up { 0 } else { *gap + 1 };
            Some(*gap)
        });
        let is_needed = self.asked.get(&victim).is_some_and(|at| *at + GUARANTEE > now);
        !is_needed && self.up.len() > R + 2 && longest_gap.max().is_some_and(|gap| gap < R)
    }

    /// Whether `owner` was up at some time since the lookup began, and no node between the key and it was already
    /// established then and is still up.
    fn is_right(&self, owner: Peer, key: Id, begun: Duration) -> bool {
        let lived = self.up.contains_key(&owner) || self.down.get(&owner).is_some_and(|at| *at >= begun);
        let between =
            |peer: &Peer| peer.id == key && *peer != owner || peer.id.in_open(key, owner.id) && key != owner.id;
        lived && !self.established(begun).iter().any(between)
    }
}
