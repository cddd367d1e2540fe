//! The flags of `chord sim paper`.

use std::path::PathBuf;

use chord::sim::paper::{Experiment, Extent};

use crate::cli::NotAccepted;

/// Repeats the evaluation of the Chord paper on this code, and measures what the paper does not
///
/// Each experiment is run with the parameters of the paper (IEEE/ACM ToN 2003, section V) on as many seeds as its
/// figures need, on all processors; one seed is one history, on every machine. For each experiment a data file (CSV)
/// and a plot (SVG) with the paper's values beside ours are written, and for all together a report.md with both in
/// tables, the differences and their reasons.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Run only these experiments, letters separated by commas [default: all]
    #[arg(long, value_name = "LETTERS", value_parser = letters, allow_hyphen_values = true)]
    only: Option<Letters>,

    /// Write to this directory, which is created if need be; it may hold only files that an earlier run wrote
    #[arg(long, value_name = "DIR", default_value = "chord-paper")]
    out: PathBuf,

    /// Run small experiments, in half a minute: for the shapes, not for figures to compare
    #[arg(long)]
    quick: bool,

    /// Run nothing: redraw the plots from the data files in the directory of --out
    #[arg(long, conflicts_with = "quick")]
    redraw: bool,
}

const AFTER_HELP: &str = "\
Experiments: B load balance, C path length, D simultaneous failures, E lookups during churn,
F latency stretch, G cost of maintenance, H time to an ideal ring, I the pseudocode of the paper
under failures.
The results of each experiment are written when it has finished. Ctrl-C ends the run, and the report says what is missing.
Exit status: 0 all was run, 1 a file could not be written, 2 bad arguments, 130 interrupted.";

/// The values that each flag accepts, as the error for any other value says.
pub const ACCEPTED: &[(&str, &str)] = &[
    ("--only", "letters from B to I, with commas between"),
    ("--out", "a directory"),
    ("--quick", "no value"),
    ("--redraw", "no value"),
];

/// Experiments to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paper {
    pub experiments: Vec<Experiment>,
    pub out: PathBuf,
    pub extent: Extent,
    /// Run nothing, but redraw the plots from existing data.
    pub redraw: bool,
}

/// Experiments, each once, in the order of the paper.
#[derive(Clone, Debug)]
struct Letters(Vec<Experiment>);

fn letters(text: &str) -> Result<Letters, NotAccepted> {
    let letter = |text: &str| {
        let named = |experiment: &&Experiment| text.trim().eq_ignore_ascii_case(&experiment.letter().to_string());
        Experiment::ALL.iter().find(named).copied().ok_or(NotAccepted)
    };
    let mut experiments = text.split(',').map(letter).collect::<Result<Vec<_>, _>>()?;
    experiments.sort_unstable();
    experiments.dedup();
    Ok(Letters(experiments))
}

impl Args {
    /// The experiments to run.
    pub fn read(self) -> Paper {
        Paper {
            experiments: self.only.map_or(Experiment::ALL.to_vec(), |Letters(experiments)| experiments),
            out: self.out,
            redraw: self.redraw,
            extent: if self.quick { Extent::Quick } else { Extent::Full },
        }
    }
}
