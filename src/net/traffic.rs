//! What a node has done on the network since it started, for monitoring and measurements.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::net::meters::Meters;

/// What a node has done on the network since it started, and what it has open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests sent to other nodes, as frames; unanswered ones count.
    pub asked: u64,
    /// Requests of other nodes that were answered, including refusals.
    pub answered: u64,
    /// Bytes of frames written.
    pub written: u64,
    /// Bytes read.
    pub read: u64,
    /// Lookups, of any node or program, that ended here: this node knew the owner. Those of fingers are among them.
    pub lookups: u64,
    /// Connections that it made or tried to make.
    pub dialed: u64,
    /// Connections open now, dialled and accepted.
    pub open: u64,
    /// Verdicts of death: how often it declared a known neighbour dead.
    pub dead: u64,
    /// Calls of the node's own program to services of other nodes.
    pub called: u64,
    /// Calls of others that a service here began to answer.
    pub served: u64,
}

/// The counters behind [`Traffic`]; any thread may read them.
#[derive(Debug, Default)]
pub struct Counters {
    pub asked: Counter,
    pub answered: Counter,
    pub written: Counter,
    pub read: Counter,
    pub lookups: Counter,
    pub dialed: Counter,
    pub open: Counter,
    pub dead: Counter,
    pub called: Counter,
    pub served: Counter,
    /// Connections accepted and open now.
    pub accepted: Counter,
    /// What the nodes of its thread have done.
    pub meters: Arc<Meters>,
}

impl Counters {
    /// The counters of a node of the thread that has these meters.
    pub fn of(meters: Arc<Meters>) -> Counters {
        let counter = Counter::default;
        Counters {
            asked: counter(),
            answered: counter(),
            written: counter(),
            read: counter(),
            lookups: counter(),
            dialed: counter(),
            open: counter(),
            dead: counter(),
            called: counter(),
            served: counter(),
            accepted: counter(),
            meters,
        }
    }

    /// The current values.
    pub fn read(&self) -> Traffic {
        let Counters { asked, answered, written, read, lookups, dialed, open, dead, called, served, .. } = self;
        Traffic {
            asked: asked.get(),
            answered: answered.get(),
            written: written.get(),
            read: read.get(),
            lookups: lookups.get(),
            dialed: dialed.get(),
            open: open.get(),
            dead: dead.get(),
            called: called.get(),
            served: served.get(),
        }
    }
}

/// A number that grows, and that any thread may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds on the only thread that changes it. Each call is counted several times over: this takes a tenth of the time
    /// of an addition that other threads may make as well.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Adds on any thread.
    pub fn add_anywhere(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
