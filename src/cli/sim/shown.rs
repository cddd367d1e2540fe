//! The flags of simulations that say how to show what came of them.

use std::path::PathBuf;

use crate::cli::{NotAccepted, number};

/// How to show what came of a simulation.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Shown {
    /// Print what came of it as JSON
    #[arg(long)]
    pub json: bool,

    /// Draw what came of it into this file
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

/// What `--seed` accepts, in words and as a number.
pub const SEED: (&str, &str) = ("--seed", "a number from 0 to 9223372036854775808");

/// See [`SEED`].
pub fn seed(text: &str) -> Result<u64, NotAccepted> {
    number(text, 0..=1 << 63)
}
