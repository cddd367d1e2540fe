//! The flags of `chord sim`.

mod chaos;
mod churn;
mod lessons;
mod merge;
mod paper;
mod ring;
mod shown;
mod storm;

use clap::{Args, Subcommand};

use super::Accepted;
pub use chaos::Chaos;
pub use churn::Churn;
pub use lessons::Lessons;
pub use merge::Merge;
pub use paper::Paper;
pub use ring::{MAX_SCRIPT, Ring, Script};
pub use shown::Shown;
pub use storm::Storm;

/// Runs rings on a virtual clock instead of a node
#[derive(Debug, Args)]
pub struct Sim {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Chaos(chaos::Args),
    Churn(churn::Args),
    Lessons(lessons::Args),
    Merge(merge::Args),
    Paper(paper::Args),
    Ring(ring::Args),
    Storm(storm::Args),
}

/// What to run.
#[derive(Debug)]
pub enum Run {
    Chaos(Chaos),
    Churn(Box<Churn>),
    Lessons(Lessons),
    Merge(Merge),
    Paper(Paper),
    Ring(Ring),
    Storm(Storm),
}

impl Sim {
    /// The simulation to run, or what is wrong with the flags.
    pub fn read(self) -> Result<Run, String> {
        Ok(match self.what {
            What::Chaos(args) => Run::Chaos(args.read()?),
            What::Lessons(args) => Run::Lessons(args.read()),
            What::Churn(args) => Run::Churn(Box::new(args.read())),
            What::Merge(args) => Run::Merge(args.read()),
            What::Paper(args) => Run::Paper(args.read()),
            What::Ring(args) => Run::Ring(args.read()?),
            What::Storm(args) => Run::Storm(args.read()?),
        })
    }
}

/// The values that each flag of a simulation accepts.
pub fn accepted(simulation: &str) -> Accepted {
    match simulation {
        "chaos" => chaos::ACCEPTED,
        "churn" => churn::ACCEPTED,
        "lessons" => lessons::ACCEPTED,
        "merge" => merge::ACCEPTED,
        "paper" => paper::ACCEPTED,
        "ring" => ring::ACCEPTED,
        "storm" => storm::ACCEPTED,
        _ => &[],
    }
}
