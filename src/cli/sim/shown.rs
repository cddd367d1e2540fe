//! The flags of simulations that say how to show the result.

use std::path::PathBuf;

use crate::cli::{NotAccepted, number};

/// How to show the result of a simulation.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Shown {
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,

    /// Draw the result into this file
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

/// The values that `--seed` accepts, in words.
pub const SEED: (&str, &str) = ("--seed", "a number from 0 to 9223372036854775808");

/// Reads a value of [`SEED`].
pub fn seed(text: &str) -> Result<u64, NotAccepted> {
    number(text, 0..=1 << 63)
}
