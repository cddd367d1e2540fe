//! For how long two members claim the same key, and for how long no member claims a key.

use std::collections::BTreeMap;
use std::time::Duration;

use chord::protocol::id::Bits;
use chord::protocol::ownership::{KeyRange, range};
use chord::protocol::peer::Peer;
use chord::sim::host::Host;
use chord::sim::numbered;
use chord::sim::storm::prices::Prices;
use chord::sim::storm::thread::Defences;
use chord::sim::world::World;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

const SECOND: Duration = Duration::from_secs(1);
const BITS: Bits = Bits::new(16).unwrap();

/// Members with lists of four.
const R: usize = 4;
const NODES: usize = 24;

/// The observations after each event of a history.
#[derive(Default)]
struct Watched {
    /// The key ranges of members that are awake, in the order of the circle.
    owned: Vec<(Peer, KeyRange)>,
    /// Pairs that claim the same key, since when.
    shared: BTreeMap<(Peer, Peer), Duration>,
    longest_shared: Duration,
    /// Since when some keys have no owner.
    unowned: Option<Duration>,
    longest_unowned: Duration,
}

impl Watched {
    fn look(&mut self, world: &World) {
        let owned = |host: &&Host| Some((host.me, range(&host.maintenance)?));
        let owned: Vec<_> = world.members().iter().filter_map(owned).collect();
        let now = world.now();
        if owned != self.owned {
            let pairs =
                owned.iter().enumerate().flat_map(|(at, one)| owned[at + 1..].iter().map(move |other| (one, other)));
            let shared: Vec<_> =
                pairs.filter(|(one, other)| one.1.meets(other.1)).map(|(one, other)| (one.0, other.0)).collect();
            self.shared.retain(|pair, _| shared.contains(pair));
            shared.into_iter().for_each(|pair| _ = self.shared.entry(pair).or_insert(now));
            let unowned = !is_whole(&owned);
            self.unowned = unowned.then(|| self.unowned.unwrap_or(now));
            self.owned = owned;
        }
        let since = self.shared.values().min().copied().unwrap_or(now);
        self.longest_shared = self.longest_shared.max(now - since);
        self.longest_unowned = self.longest_unowned.max(now - self.unowned.unwrap_or(now));
    }

    fn run(&mut self, world: &mut World, time: Duration) {
        let end = world.now() + time;
        while world.next_at().is_some_and(|at| at <= end) {
            world.step();
            self.look(world);
        }
        world.run(end.saturating_sub(world.now()));
    }
}

/// Whether each key has an owner: each member owns at least all keys after the member before it.
fn is_whole(owned: &[(Peer, KeyRange)]) -> bool {
    let before = owned.iter().cycle().skip(owned.len().saturating_sub(1));
    !owned.is_empty()
        && before.zip(owned).all(|((before, _), (_, range))| range.behind == before.id || range.contains(before.id))
}

/// A ring with joins, deaths and departures of less than r members at a time, and pauses of up to `pause`, at random
/// times.
fn history(seed: u64, pause: Duration) -> Watched {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut world = World::new(seed, BITS, R);
    let mut watched = Watched::default();
    let mut peers = std::iter::repeat_with(|| numbered(rng.random_range(0..1 << 16), BITS));
    let first = peers.next().unwrap();
    let others: Vec<Peer> = peers.take(NODES - 1).collect();
    // Each node has a thread of its own, which notices that it slept.
    let start = |world: &mut World, peer: Peer, through: &[Peer]| {
        if !world.is_up(peer) {
            world.share_thread(&[peer.addr], Prices::USUAL, Defences::default());
            world.start(peer, through);
        }
    };
    start(&mut world, first, &[]);
    for peer in others {
        let through = world.live().choose(&mut rng).copied();
        start(&mut world, peer, through.as_slice());
        watched.run(&mut world, Duration::from_millis(rng.random_range(0..500)));
    }
    world.run_until(120 * SECOND, World::ideal).expect("a ring");
    watched.unowned = None;
    watched.longest_unowned = Duration::ZERO;
    for _ in 0..20 {
        let live = world.live();
        let Some(peer) = live.choose(&mut rng).copied() else { break };
        match rng.random_range(0..4) {
            0 if live.len() > NODES / 2 => world.crash(peer),
            1 if live.len() > NODES / 2 => world.leave(peer),
            2 if !pause.is_zero() => world.pause(peer, rng.random_range(Duration::ZERO..pause)),
            _ => {
                let new = numbered(rng.random_range(0..1 << 16), BITS);
                start(&mut world, new, &[peer]);
            }
        }
        watched.run(&mut world, Duration::from_millis(rng.random_range(0..8000)));
    }
    watched
}

/// The longest times for which two members claimed the same key, and for which a key had no owner, in all histories.
fn longest(seeds: u64, pause: Duration) -> (Duration, Duration) {
    let watched: Vec<_> = (0..seeds).into_par_iter().map(|seed| history(seed, pause)).collect();
    let most = |of: fn(&Watched) -> Duration| watched.iter().map(of).max().unwrap_or_default();
    let longest = (most(|watched| watched.longest_shared), most(|watched| watched.longest_unowned));
    println!(
        "ownership: {seeds} histories, pauses of at most {pause:?}: a key shared for {:?} at most, unowned for {:?}",
        longest.0, longest.1
    );
    longest
}

/// A round of stabilize with its jitter, and two calls that are each made twice.
const ROUND: Duration = Duration::from_millis(1250 + 4 * 1000);

#[test]
fn nobody_takes_a_key_for_its_own_that_another_takes_for_its() {
    let (shared, unowned) = longest(16, Duration::ZERO);
    assert_eq!(shared, Duration::ZERO);
    assert!(unowned <= ROUND, "without an owner for {unowned:?}");
}

/// A member that slept was found dead, and others answer for its keys, when it wakes.
#[test]
fn member_that_slept_shares_its_keys_for_a_round_at_most() {
    let (shared, unowned) = longest(16, 12 * SECOND);
    assert!(shared <= ROUND, "shared for {shared:?}");
    assert!(unowned <= 3 * ROUND, "without an owner for {unowned:?}");
}
