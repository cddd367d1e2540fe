//! Storms: rings under load in which a thread stumbles.
//!
//! Elsewhere in the simulator nodes need no time to serve, so no queue can form. Here nodes run on *threads*
//! ([`thread`], `threads`) that do one thing after the other, each at its price ([`prices`]). A ring gets an open load
//! ([`load`]), a share of what it can serve; then a thread stumbles ([`course`]). The ring has to recover, and must not
//! take living nodes for dead ([`report`] compares the outcome with that; [`plot`]).

pub mod course;
pub mod load;
pub mod plot;
pub mod prices;
pub mod report;
pub mod thread;
pub(super) mod threads;
mod turns;

use std::ops::ControlFlow;
use std::time::Duration;

pub use course::Outcome;
pub use prices::Prices;
pub use report::Report;
pub use thread::Defences;

/// What happens to one or several threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does nothing for a while, and then everything at once.
    Pause,
    /// All of its nodes end without notice.
    Kill,
    /// The same, and other nodes start in their places, on other ports.
    Restart,
    /// One of its nodes leaves the ring; the others stay.
    Leave,
}

impl Fault {
    /// As in the option `--fault` of the command, and in the plot.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Pause => "pause",
            Fault::Kill => "kill",
            Fault::Restart => "restart",
            Fault::Leave => "leave",
        }
    }
}

/// Which storms to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// All nodes of the ring, spread evenly over the threads.
    pub nodes: u32,
    /// At most half as many as nodes.
    pub threads: u32,
    /// Shares of the ring's capacity: one storm for each.
    pub loads: Vec<f64>,
    /// Happens once in each storm.
    pub fault: Fault,
    /// The length of a pause.
    pub pause: Duration,
    /// How many threads are struck at once; fewer than all, unless they pause.
    pub struck: u32,
    /// Decides every random number of the measurement and of the storms.
    pub seed: u64,
    /// How long a thread works for each frame, step and connection.
    pub prices: Prices,
    /// Those that the threads have in the storms; capacity is measured with all of them.
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
    /// The part of its capacity that remains to the ring.
    pub fn left(&self) -> f64 {
        match self.fault {
            Fault::Kill => f64::from(self.threads - self.struck) / f64::from(self.threads),
            Fault::Pause | Fault::Restart | Fault::Leave => 1.0,
        }
    }
}

/// Measures the capacity of the ring and runs a storm at each load, until `told` says to stop.
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
