//! The flags of `chord sim lessons`.

use std::path::PathBuf;

/// Records the lessons: how a node joins, how a ring survives, and where the published protocol does not
///
/// Each lesson is a small ring on a virtual clock, recorded step by step with the words of the protocol. The lessons are
/// the same on every machine.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Write to this directory, which is created if need be; a lesson of an earlier run is replaced
    #[arg(long, value_name = "DIR", default_value = "chord-lessons")]
    out: PathBuf,
}

const AFTER_HELP: &str = "\
Lessons: join, half, partition, pseudocode; docs/recording.md describes the format of the files.
Exit status: 0 all were written, 1 a file could not be written, 2 bad arguments.";

/// The values that each flag accepts, as the error for any other value says.
pub const ACCEPTED: &[(&str, &str)] = &[("--out", "a directory")];

/// Lessons to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lessons {
    pub out: PathBuf,
}

impl Args {
    /// Where to write them.
    pub fn read(self) -> Lessons {
        Lessons { out: self.out }
    }
}
