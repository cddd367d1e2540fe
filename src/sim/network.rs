//! What becomes of a message on its way.
//!
//! A message is a whole frame. TCP does not lose or repeat those as long as a connection lasts; but
//! connections break and are made again, calls are then repeated, and kernels retransmit. Seen from
//! the protocol that amounts to what happens here: a call or an answer is late, overtakes another, is
//! lost for good (the call times out), or comes twice (it is served twice, and the second answer has
//! the number of a call that is over).

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
    /// Ways on which everything is lost.
    cut: BTreeSet<(Slot, Slot)>,
    /// Ways on which everything waits, and what waits there, first come first.
    held: BTreeMap<(Slot, Slot), Vec<Post>>,
    /// What each message to or from these nodes takes longer.
    slow: BTreeMap<Slot, Duration>,
}

/// What a late message takes longer, at most: less than the patience with a call, so that lateness
/// alone makes nobody seem dead.
pub const LATE: Duration = Duration::from_millis(300);

/// What becomes of a message.
#[derive(Debug)]
pub(super) enum Fate {
    Lost,
    /// It arrives after this time, and perhaps once more after that one.
    Arrives(Duration, Option<Duration>),
    Waits,
}

impl Network {
    /// Where every message arrives within 1 to 20 ms.
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

    /// Loses everything on the way from one to another.
    pub fn cut(&mut self, from: Slot, to: Slot) {
        self.cut.insert((from, to));
    }

    /// Opens the way from one to another again.
    pub fn mend(&mut self, from: Slot, to: Slot) {
        self.cut.remove(&(from, to));
    }

    /// Lets everything on the way from one to another wait until it is released.
    pub fn hold(&mut self, from: Slot, to: Slot) {
        self.held.entry((from, to)).or_default();
    }

    /// Ends a hold; what waited arrives soon, in any order.
    pub(super) fn release(&mut self, from: Slot, to: Slot) -> Vec<Post> {
        self.held.remove(&(from, to)).unwrap_or_default()
    }

    /// Lets each message to or from a node take so much longer.
    pub fn slow(&mut self, node: Slot, by: Duration) {
        self.slow.insert(node, by);
    }

    /// Ends every trouble. What was held up is still owed: it waits on these ways.
    pub(super) fn heal(&mut self) -> Vec<(Slot, Slot)> {
        let held = std::mem::take(&mut self.held);
        let ways = held.keys().copied().collect();
        *self = Network { held, ..Network::new() };
        ways
    }

    /// What becomes of a message. Whether a connection broke is told by the kernels until it is
    /// heard: such news, which is `certain`, is not lost by chance.
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
