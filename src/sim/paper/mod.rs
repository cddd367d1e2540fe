//! The evaluation of the Chord paper (ToN 2003, section V), repeated on the code that is shipped; and what the paper
//! does not measure: the cost of maintenance, how fast rings form, and what becomes of rings that follow its
//! pseudocode.
//!
//! An experiment is a `Study`: many small jobs, each with its own seed, so that all processors are busy; and a
//! [`Chapter`] with the results. In reading order: [`stats`]; [`chapter`], our figures and those of the paper; one file
//! per experiment; [`plot`] and [`report`], the output.

pub mod chapter;
mod churn;
mod failures;
mod formation;
mod load_balance;
pub(super) mod original;
mod path_length;
pub mod plot;
pub mod report;
pub mod stats;
mod stretch;
mod upkeep;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

pub use chapter::Chapter;
use chapter::{Panel, Reading};

/// An experiment, by the letter of its section in the paper; later letters are our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Experiment {
    /// V.B: how evenly keys are spread over nodes.
    LoadBalance,
    /// V.C: how many nodes a lookup asks.
    PathLength,
    /// V.D: lookups right after many nodes have failed at once.
    Failures,
    /// V.E: lookups while nodes join and leave.
    Churn,
    /// V.F: how much longer a lookup takes than a direct question to the owner.
    Stretch,
    /// What maintenance costs.
    Upkeep,
    /// How fast rings form.
    Formation,
    /// What becomes of rings that follow the paper's pseudocode.
    Original,
}

impl Experiment {
    /// All experiments, in the order of the paper.
    pub const ALL: &[Experiment] = &[
        Experiment::LoadBalance,
        Experiment::PathLength,
        Experiment::Failures,
        Experiment::Churn,
        Experiment::Stretch,
        Experiment::Upkeep,
        Experiment::Formation,
        Experiment::Original,
    ];

    /// The letter that selects it.
    pub fn letter(self) -> char {
        match self {
            Experiment::LoadBalance => 'B',
            Experiment::PathLength => 'C',
            Experiment::Failures => 'D',
            Experiment::Churn => 'E',
            Experiment::Stretch => 'F',
            Experiment::Upkeep => 'G',
            Experiment::Formation => 'H',
            Experiment::Original => 'I',
        }
    }

    /// Its subject.
    pub fn title(self) -> &'static str {
        match self {
            Experiment::LoadBalance => "Load balance",
            Experiment::PathLength => "Path length",
            Experiment::Failures => "Simultaneous failures",
            Experiment::Churn => "Lookups during churn",
            Experiment::Stretch => "Latency stretch",
            Experiment::Upkeep => "Cost of maintenance",
            Experiment::Formation => "Time to an ideal ring",
            Experiment::Original => "The original pseudocode",
        }
    }

    /// The name of its files, without the extension.
    pub fn file(self) -> String {
        format!("{}-{}", self.letter(), self.title()).to_lowercase().replace(' ', "-")
    }

    /// Its plots, which are drawn side by side.
    pub fn panels(self) -> &'static [Panel] {
        match self {
            Experiment::LoadBalance => load_balance::PANELS,
            Experiment::PathLength => path_length::PANELS,
            Experiment::Failures => failures::PANELS,
            Experiment::Churn => churn::PANELS,
            Experiment::Stretch => stretch::PANELS,
            Experiment::Upkeep => upkeep::PANELS,
            Experiment::Formation => formation::PANELS,
            Experiment::Original => original::PANELS,
        }
    }

    fn study(self, extent: Extent) -> Study {
        match self {
            Experiment::LoadBalance => load_balance::study(extent),
            Experiment::PathLength => path_length::study(extent),
            Experiment::Failures => failures::study(extent),
            Experiment::Churn => churn::study(extent),
            Experiment::Stretch => stretch::study(extent),
            Experiment::Upkeep => upkeep::study(extent),
            Experiment::Formation => formation::study(extent),
            Experiment::Original => original::study(extent),
        }
    }
}

/// The size of experiments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// As in the paper, and beyond.
    Full,
    /// Small rings and few seeds: for a first look and for tests.
    Quick,
}

impl Extent {
    /// The value for this extent.
    fn pick<T>(self, full: T, quick: T) -> T {
        match self {
            Extent::Full => full,
            Extent::Quick => quick,
        }
    }
}

/// An experiment, ready to be run.
struct Study {
    jobs: Vec<Job>,
    conclude: fn(Vec<Reading>) -> Chapter,
}

/// A part of an experiment that is independent of the others.
struct Job {
    /// About how many milliseconds of one processor it takes; used only for the progress bar.
    cost: u64,
    /// Whether it runs alone: it is large and keeps all processors busy by itself.
    alone: bool,
    work: Box<dyn Fn() -> Vec<Reading> + Send + Sync>,
}

impl Job {
    fn new(cost: u64, work: impl Fn() -> Vec<Reading> + Send + Sync + 'static) -> Job {
        Job { cost, alone: false, work: Box::new(work) }
    }

    fn alone(self, alone: bool) -> Job {
        Job { alone, ..self }
    }
}

/// The total cost of the experiments, in the unit that [`run`] reports.
pub fn cost(experiments: &[Experiment], extent: Extent) -> u64 {
    experiments.iter().flat_map(|experiment| experiment.study(extent).jobs).map(|job| job.cost).sum()
}

/// Runs an experiment on all processors and reports the cost of each finished job to `told`. The chapter does not
/// depend on the number of processors.
pub fn run(experiment: Experiment, extent: Extent, told: &(dyn Fn(u64) + Sync)) -> Chapter {
    let Study { jobs, conclude } = experiment.study(extent);
    let work = |job: &Job| {
        let readings = (job.work)();
        told(job.cost);
        readings
    };
    let (large, small): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| job.alone);
    let mut readings: Vec<Vec<Reading>> = small.par_iter().with_max_len(1).map(work).collect();
    readings.extend(large.iter().map(work));
    conclude(readings.into_iter().flatten().collect())
}

/// The random numbers of one job.
fn chance(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Gathers readings of one point.
struct Point<'a> {
    series: String,
    x: f64,
    readings: &'a mut Vec<Reading>,
}

impl Point<'_> {
    fn read(&mut self, measure: &'static str, value: f64) -> &mut Self {
        self.readings.push(Reading { series: self.series.clone(), x: self.x, measure, value });
        self
    }
}

/// A point of a series; its readings are added to `readings`.
fn at(readings: &mut Vec<Reading>, series: impl Into<String>, x: f64) -> Point<'_> {
    Point { series: series.into(), x, readings }
}
