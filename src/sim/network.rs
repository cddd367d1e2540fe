//! The fate of a message on its way.
//!
//! A message is a whole frame. TCP neither loses nor repeats frames while a connection lasts; but connections break and
//! are made again, calls are then repeated, and kernels retransmit. To the protocol this looks like what happens here:
//! a call or an answer is late, overtakes another, is lost for good (the call times out), or comes twice (it is served
//! twice, and the second answer has the number of a call that is over).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::{Rng, RngExt};

use super::delay::{Delay, USUAL};
use super::events::{Post, Slot};

/// The state of the network between all nodes.
#[derive(Debug)]
pub struct Network {
    /// How long a message takes.
    pub delay: Delay,
    /// The part of messages that are lost, from 0 to 1.
    pub loss: f64,
    /// The part of messages that come twice, from 0 to 1.
    pub duplication: f64,
    /// The part of messages that take up to [`LATE`] longer, from 0 to 1.
    pub lateness: f64,
    /// Links on which everything is lost.
    cut: BTreeSet<(Slot, Slot)>,
    /// Links on which everything waits, and the messages that wait there, in the order of their arrival.
    held: BTreeMap<(Slot, Slot), Vec<Post>>,
    /// How much longer each message to or from these nodes takes.
    slow: BTreeMap<Slot, Duration>,
}

/// How much longer a late message takes, at most: less than the time limit of a call, so that lateness alone makes no
/// node seem dead.
pub const LATE: Duration = Duration::from_millis(300);

/// The fate of a message.
#[derive(Debug)]
pub(super) enum Fate {
    Lost,
    /// It arrives after this time, and perhaps once more after that one.
    Arrives(Duration, Option<Duration>),
    Waits,
}

impl Network {
    /// A network on which every message arrives within 1 to 20 ms.
    pub fn new() -> Network {
        Network {
            delay: Delay::Uniform(USUAL),
            loss: 0.0,
            duplication: 0.0,
            lateness: 0.0,
            cut: BTreeSet::new(),
            held: BTreeMap::new(),
            slow: BTreeMap::new(),
        }
    }

    /// Loses everything sent from one node to another.
    pub fn cut(&mut self, from: Slot, to: Slot) {
        self.cut.insert((from, to));
    }

    /// Opens the link from one node to another again.
    pub fn mend(&mut self, from: Slot, to: Slot) {
        self.cut.remove(&(from, to));
    }

    /// Holds everything sent from one node to another until it is released.
    pub fn hold(&mut self, from: Slot, to: Slot) {
        self.held.entry((from, to)).or_default();
    }

    /// Ends a hold; the messages that waited arrive soon, in any order.
    pub(super) fn release(&mut self, from: Slot, to: Slot) -> Vec<Post> {
        self.held.remove(&(from, to)).unwrap_or_default()
    }

    /// Makes each message to or from a node take this much longer.
    pub fn slow(&mut self, node: Slot, by: Duration) {
        self.slow.insert(node, by);
    }

    /// Ends every trouble, except that held messages still wait: returns their links.
    pub(super) fn heal(&mut self) -> Vec<(Slot, Slot)> {
        let held = std::mem::take(&mut self.held);
        let ways = held.keys().copied().collect();
        *self = Network { held, ..Network::new() };
        ways
    }

    /// Decides the fate of a message. News that a connection broke is `certain`: kernels repeat it until it is
    /// received, so it is not lost by chance.
    pub(super) fn fate(&self, from: Slot, to: Slot, certain: bool, rng: &mut impl Rng) -> Fate {
        if !self.cut.is_empty() && self.cut.contains(&(from, to)) {
            return Fate::Lost;
        }
        if !self.held.is_empty() && self.held.contains_key(&(from, to)) {
            return Fate::Waits;
        }
        if !certain && self.loss > 0.0 && rng.random_bool(self.loss) {
            return Fate::Lost;
        }
        let once = self.time(from, to, rng);
        let again = self.duplication > 0.0 && !certain && rng.random_bool(self.duplication);
        Fate::Arrives(once, again.then(|| once + self.time(from, to, rng)))
    }

    fn time(&self, from: Slot, to: Slot, rng: &mut impl Rng) -> Duration {
        let mut time = self.delay.draw(from, to, rng);
        if !self.slow.is_empty() {
            time += [from, to].iter().filter_map(|node| self.slow.get(node)).sum::<Duration>();
        }
        if self.lateness > 0.0 && rng.random_bool(self.lateness) {
            time += rng.random_range(Duration::ZERO..LATE);
        }
        time
    }

    pub(super) fn wait(&mut self, post: Post) {
        let way = (post.from.slot, post.to);
        self.held.entry(way).or_default().push(post);
    }
}

impl Default for Network {
    fn default() -> Network {
        Network::new()
    }
}
