//! The outcome of one history.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Breach, Temper, Verdicts};
use crate::sim::tally::Tally;

/// How often each kind of trouble began.
pub type Faults = BTreeMap<&'static str, u64>;

/// What happened in one history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Repeats the history, with the same options.
    pub seed: u64,
    /// Follows from the seed alone.
    pub temper: Temper,
    /// How many nodes it began with and ended with.
    pub nodes: (usize, usize),
    /// The length of the successor lists, from 1 to 5; at least 2 in a lawful history.
    pub r: usize,
    /// Histories with the same fingerprint had the same events.
    pub fingerprint: u64,
    /// How long it lasted on the virtual clock, and for how much of that time the rules held.
    pub time: Duration,
    /// At most `time`.
    pub held: Duration,
    /// What the simulator counted, healing included.
    pub tally: Tally,
    /// What the director did, by the name of the trouble.
    pub faults: Faults,
    /// The verdicts on all lookups of the history.
    pub verdicts: Verdicts,
    /// In order: the first breach, and each that ended a time in which the rules held.
    pub breaches: Vec<Breach>,
    /// How often several rings became one.
    pub merges: u64,
    /// Whether a partition made two rings that forgot each other.
    pub purged: bool,
    /// Whether it ended with rings that knew nothing of each other: then healing is not judged.
    pub parted: bool,
    /// How long healing took, and its bound.
    pub healed: (Duration, Duration),
    /// What was violated; `None` if all was well.
    pub violation: Option<String>,
    /// The history as a scenario, if wanted.
    pub trace: Vec<String>,
}
