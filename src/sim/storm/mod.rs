//! Storms: loaded rings that stumble.
//!
//! Elsewhere in the simulator nodes serve in zero time, and no queue can form. Here nodes live on *threads*
//! ([`thread`], `threads`) that do one thing after the other, each at its price ([`prices`]). A ring is given an open
//! load ([`load`]), a share of what it can serve; then a thread stumbles ([`course`]). The ring has to come back, and
//! to take nobody for dead who lives ([`report`], which holds what came of it against that; [`plot`]).

pub mod course;
pub mod load;
pub mod plot;
pub mod prices;
pub mod report;
pub mod thread;
pub(super) mod threads;

use std::ops::ControlFlow;
use std::time::Duration;

pub use course::Outcome;
pub use prices::Prices;
pub use report::Report;
pub use thread::Defences;

/// What happens to a thread, or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does nothing for a while, and then everything at once.
    Pause,
    /// All of its nodes end without a word.
    Kill,
    /// The same, and others start in their places, on other ports.
    Restart,
    /// One of its nodes leaves the ring, the others stay.
    Leave,
}

impl Fault {
    pub fn name(self) -> &'static str {
        match self {
            Fault::Pause => "pause",
            Fault::Kill => "kill",
            Fault::Restart => "restart",
            Fault::Leave => "leave",
        }
    }
}

/// Which storms to have.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    pub nodes: u32,
    /// At most one in two of the nodes.
    pub threads: u32,
    /// Shares of what the ring can serve: one storm for each.
    pub loads: Vec<f64>,
    pub fault: Fault,
    /// How long a pause is.
    pub pause: Duration,
    /// How many threads it happens to at once; fewer than there are, unless they pause.
    pub struck: u32,
    pub seed: u64,
    pub prices: Prices,
    pub defences: Defences,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            nodes: 64,
            threads: 2,
            loads: vec![0.25, 0.5, 0.8, 1.5],
            fault: Fault::Pause,
            pause: Duration::from_millis(600),
            struck: 1,
            seed: 0,
            prices: Prices::USUAL,
            defences: Defences::default(),
        }
    }
}

impl Options {
    /// The part of its capacity that the ring is left with.
    pub fn left(&self) -> f64 {
        match self.fault {
            Fault::Kill => f64::from(self.threads - self.struck) / f64::from(self.threads),
            Fault::Pause | Fault::Restart | Fault::Leave => 1.0,
        }
    }
}

/// Measures what the ring can serve, and has a storm at each load, until whoever is told does not want it to go on.
pub fn run(options: &Options, told: impl Fn(&Outcome) -> ControlFlow<()>) -> Report {
    let capacity = course::capacity(options);
    let mut outcomes = Vec::new();
    for load in &options.loads {
        let outcome = course::storm(options, *load, capacity);
        let control = told(&outcome);
        outcomes.push(outcome);
        if control.is_break() {
            break;
        }
    }
    Report { options: options.clone(), capacity, outcomes }
}
