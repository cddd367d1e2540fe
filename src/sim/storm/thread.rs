//! One thread of nodes: its work, the time that this takes, and what its nodes decide together.
//!
//! Messages that have arrived and timers that are due wait in one queue until the thread is free, first come first
//! served. Outgoing messages wait until the thread has handled a batch, and maintenance leaves first. A paused thread
//! does nothing, and then everything at once. The decisions are made by the types of [`crate::protocol`] that
//! `src/actors/thread.rs` holds for a thread of the program.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::protocol::addr::Addr;
use crate::protocol::admission::{Admission, Class};
use crate::protocol::bulkhead::Bulkhead;
use crate::protocol::failure_detector::{FailureDetector, Suspicion};
use crate::protocol::fronts::Fronts;
use crate::protocol::local_health::{LocalHealth, Ripe};
use crate::protocol::peer::Peer;
use crate::protocol::retry_budget::RetryBudget;
use crate::sim::events::{Event, Place, Post, Slot};

use super::prices::Prices;

/// Which defences against storms a thread has: all of them, unless a test shows what happens without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defences {
    /// One probe of a suspected node for the whole thread, first on the kept connection. Without it, each lookup that
    /// suspects a node probes it on a new connection.
    pub merging: bool,
    /// The thread notices that it slept or is late. Without it, the thread judges others by its clock alone.
    pub health: bool,
}

impl Default for Defences {
    fn default() -> Defences {
        Defences { merging: true, health: true }
    }
}

/// The client of a lookup under way: another thread, or (`None`) the thread's own program.
pub(in crate::sim) type Client = Option<usize>;

/// A conversation that waits for the verdict on a node.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim) struct Waiting {
    pub place: Place,
    pub run: u64,
    pub alarm: u64,
}

/// Outgoing messages leave when this many events were handled, or when there is nothing else to do.
const BATCH: u32 = 16;

/// A thread of nodes.
pub struct Thread {
    pub(super) prices: Prices,
    pub(super) defences: Defences,
    pub(in crate::sim) health: LocalHealth,
    pub(in crate::sim) detector: FailureDetector,
    pub(in crate::sim) budget: RetryBudget,
    pub(in crate::sim) bulkhead: Bulkhead,
    pub(in crate::sim) fronts: Fronts,
    admission: Admission,
    /// How many lookups each client has under way.
    held: BTreeMap<Client, usize>,
    /// The runs that wait for verdicts, by suspected node.
    pub(super) waiting: BTreeMap<Peer, Vec<Waiting>>,
    /// The addresses to which connections are kept.
    links: BTreeSet<Addr>,
    /// Its nodes that are up; the first of them is the front.
    pub(super) nodes: BTreeSet<Slot>,
    /// Events that have arrived or are due.
    pub(super) queue: VecDeque<Event>,
    /// Whether its next turn is scheduled.
    pub(super) busy: bool,
    /// The time that the present event takes.
    owed: Duration,
    pub(super) paused_until: Duration,
    urgent: VecDeque<Post>,
    others: VecDeque<Post>,
    handled: u32,
}

impl Thread {
    pub(super) fn new(prices: Prices, defences: Defences) -> Thread {
        Thread {
            prices,
            defences,
            health: LocalHealth::default(),
            detector: FailureDetector::default(),
            budget: RetryBudget::default(),
            bulkhead: Bulkhead::default(),
            fronts: Fronts::default(),
            admission: Admission::new(prices.most_lookups()),
            held: BTreeMap::new(),
            waiting: BTreeMap::new(),
            links: BTreeSet::new(),
            nodes: BTreeSet::new(),
            queue: VecDeque::new(),
            busy: false,
            owed: Duration::ZERO,
            paused_until: Duration::ZERO,
            urgent: VecDeque::new(),
            others: VecDeque::new(),
            handled: 0,
        }
    }

    /// The program starts anew: from its last run only the events on their way remain.
    pub(super) fn begin_anew(&mut self) {
        let old = std::mem::replace(self, Thread::new(self.prices, self.defences));
        (self.queue, self.busy, self.paused_until) = (old.queue, old.busy, old.paused_until);
    }

    /// Adds work that takes this much of the thread's time.
    pub(super) fn charge(&mut self, price: Duration) {
        self.owed += price;
    }

    /// Takes the time that the last event needed.
    pub(super) fn take_owed(&mut self) -> Duration {
        std::mem::take(&mut self.owed)
    }

    /// Keeps an outgoing message until the thread writes.
    pub(super) fn write(&mut self, post: Post, urgent: bool) {
        if urgent { &mut self.urgent } else { &mut self.others }.push_back(post);
    }

    /// Counts one more handled event.
    pub(super) fn count(&mut self) {
        self.handled += 1;
    }

    /// The messages that leave now, if it is time to write.
    pub(super) fn written(&mut self) -> Vec<Post> {
        if self.handled < BATCH && !self.queue.is_empty() {
            return Vec::new();
        }
        self.handled = 0;
        self.urgent.drain(..).chain(self.others.drain(..)).collect()
    }

    /// How long to wait for others if this time was agreed.
    pub(in crate::sim) fn patience(&self, agreed: Duration) -> Duration {
        if self.defences.health { self.health.patience(agreed) } else { agreed }
    }

    /// Whether a wait that began at `began` is over now.
    pub(in crate::sim) fn is_ripe(&self, began: Duration, agreed: Duration, now: Duration) -> Ripe {
        if self.defences.health { self.health.is_ripe(began, agreed, now) } else { Ripe::Yes }
    }

    /// How long a message that is read now may have waited to be read.
    pub(in crate::sim) fn age_of_arrivals(&self, now: Duration) -> Duration {
        if self.defences.health { self.health.age_of_arrivals(now) } else { Duration::ZERO }
    }

    /// A node stays silent; `None` if each run probes by itself.
    pub(in crate::sim) fn suspect(&mut self, peer: Peer, now: Duration) -> Option<Suspicion> {
        self.defences.merging.then(|| self.detector.suspect(peer, now))
    }

    /// Admits a lookup for a client; returns whether there is room. Maintenance is always admitted: a node has at most
    /// one such lookup under way.
    pub(in crate::sim) fn admit(&mut self, class: Class, client: Client) -> bool {
        if class == Class::Maintenance {
            return true;
        }
        let held = self.held.entry(client).or_default();
        let admitted = self.admission.admit(class, *held);
        *held += usize::from(admitted);
        admitted
    }

    /// A lookup of this client has ended.
    pub(in crate::sim) fn done(&mut self, client: Client) {
        if let Some(held) = self.held.get_mut(&client).filter(|held| **held > 0) {
            *held -= 1;
            self.admission.done();
        }
    }

    /// The address to which the connection for calls to that node leads.
    pub(in crate::sim) fn route(&self, node: Addr) -> Addr {
        self.fronts.get(node).map_or(node, |behind| behind.front)
    }

    /// Keeps a connection; returns whether there was none.
    pub(in crate::sim) fn link(&mut self, route: Addr) -> bool {
        self.links.insert(route)
    }

    /// The program at that address has ended, and with it the connection.
    pub(in crate::sim) fn unlink(&mut self, route: Addr) {
        self.links.remove(&route);
        self.fronts.lost(route);
        self.fronts.forget(route);
    }
}
