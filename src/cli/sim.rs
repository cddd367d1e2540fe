//! The flags of `chord sim`.

mod chaos;
mod paper;

use clap::{Args, Subcommand};

use super::Accepted;
pub use chaos::Chaos;
pub use paper::Paper;

/// Runs rings on a virtual clock instead of a node
#[derive(Debug, Args)]
pub struct Sim {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Chaos(chaos::Args),
    Paper(paper::Args),
}

/// What is to be run.
#[derive(Debug)]
pub enum Run {
    Chaos(Chaos),
    Paper(Paper),
}

impl Sim {
    /// What is to be run.
    pub fn read(self) -> Run {
        match self.what {
            What::Chaos(args) => Run::Chaos(args.read()),
            What::Paper(args) => Run::Paper(args.read()),
        }
    }
}

/// What each flag of a simulation accepts.
pub fn accepted(simulation: &str) -> Accepted {
    match simulation {
        "chaos" => chaos::ACCEPTED,
        "paper" => paper::ACCEPTED,
        _ => &[],
    }
}
