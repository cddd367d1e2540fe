//! The flags of `chord sim chaos`.

use std::num::NonZeroUsize;
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::thread;

use chord::sim::chaos::{MAX_NODES, MIN_NODES, Options};
use clap::ArgGroup;

use crate::cli::{NotAccepted, number};

/// Runs random histories of whole rings: first everything goes wrong, then nothing does
///
/// In each history a ring forms; then nodes crash, restart and pause, and messages are lost, late, repeated and cut off
/// while lookups run; then the ring must become ideal again, and every lookup right. One seed is one history, on every
/// machine.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("which").args(["seed", "seeds"]), after_help = AFTER_HELP)]
pub struct Args {
    /// Run only the history of this seed, 0 to 2^64 - 2
    #[arg(long, value_name = "S", value_parser = seed, allow_hyphen_values = true, conflicts_with = "first")]
    seed: Option<u64>,

    /// Run this many histories, 1 to 1000000000
    #[arg(long, value_name = "N", value_parser = seeds, default_value = "200", allow_hyphen_values = true)]
    seeds: u64,

    /// The first seed of these, 0 to 2^63
    #[arg(long, value_name = "F", value_parser = first, default_value = "0", allow_hyphen_values = true)]
    first: u64,

    /// How many nodes a ring begins with, from A to B, each 4 to 1024; drawn for each history
    #[arg(long, visible_short_alias = 'n', value_name = "A..B", value_parser = nodes, default_value = "8..64", allow_hyphen_values = true)]
    nodes: RangeInclusive<usize>,

    /// Threads, 1 to 1024 [default: one for each processor]
    #[arg(long, value_name = "J", value_parser = jobs, allow_hyphen_values = true)]
    jobs: Option<usize>,

    /// Print the history as a scenario, with all events as comments; needs --seed
    #[arg(long, requires = "seed")]
    trace: bool,

    /// Record the history into this file, to be played again: docs/recording.md; needs --seed
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Print the summary as JSON
    #[arg(long, conflicts_with = "trace")]
    json: bool,
}

const AFTER_HELP: &str = "\
The summary goes to standard output, progress (on a terminal) and violations to standard error.
Ctrl-C ends the run after the histories under way; the summary covers all that have finished.
Exit status: 0 all was well, 1 something was violated or too little happened, 2 bad arguments, 130 interrupted.";

/// The values that each flag accepts, as the error for any other value says.
pub const ACCEPTED: &[(&str, &str)] = &[
    ("--seed", "a number from 0 to 18446744073709551614"),
    ("--seeds", "a number from 1 to 1000000000"),
    ("--first", "a number from 0 to 9223372036854775808"),
    ("--nodes", "a range like 8..64, both ends from 4 to 1024"),
    ("--jobs", "a number from 1 to 1024"),
    ("--record", "the path of a file"),
];

/// Histories to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chaos {
    pub seeds: Range<u64>,
    /// The kind of the histories, and whether to keep the trace.
    pub options: Options,
    pub jobs: usize,
    /// A file for the recording of the history, of which there is then one.
    pub record: Option<PathBuf>,
    pub json: bool,
}

fn seed(text: &str) -> Result<u64, NotAccepted> {
    number(text, 0..=u64::MAX - 1)
}

fn seeds(text: &str) -> Result<u64, NotAccepted> {
    number(text, 1..=1_000_000_000)
}

fn first(text: &str) -> Result<u64, NotAccepted> {
    number(text, 0..=1 << 63)
}

fn nodes(text: &str) -> Result<RangeInclusive<usize>, NotAccepted> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let (from, to) = (number(from, MIN_NODES..=MAX_NODES)?, number(to, MIN_NODES..=MAX_NODES)?);
    if from <= to { Ok(from..=to) } else { Err(NotAccepted) }
}

fn jobs(text: &str) -> Result<usize, NotAccepted> {
    number(text, 1..=1024)
}

impl Args {
    /// The histories to run, or what is wrong with the flags.
    pub fn read(self) -> Result<Chaos, String> {
        let seeds = match self.seed {
            Some(seed) => seed..seed + 1,
            None => self.first..self.first + self.seeds,
        };
        let histories = seeds.end - seeds.start;
        if self.record.is_some() && histories > 1 {
            return Err(format!("--record is of one history, and not of {histories}: name it with --seed"));
        }
        Ok(Chaos {
            seeds,
            options: Options { nodes: self.nodes, trace: self.trace },
            jobs: self.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZeroUsize::get)),
            record: self.record,
            json: self.json,
        })
    }
}
