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
    pub seed: u64,
    pub temper: Temper,
    /// How many nodes it began with and ended with.
    pub nodes: (usize, usize),
    pub r: usize,
    /// Histories with the same fingerprint had the same events.
    pub fingerprint: u64,
    /// How long it lasted on the virtual clock, and for how much of that time the rules held.
    pub time: Duration,
    pub held: Duration,
    pub tally: Tally,
    pub faults: Faults,
    pub verdicts: Verdicts,
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
