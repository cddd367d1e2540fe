//! `chord sim merge`: merges pairs of rings and reports progress and results.

use std::process::ExitCode;

use chord::console::streams::complain;
use chord::sim::merge::{self, Report, plot};

use super::outcome;
use crate::cli::Merge;
use crate::commands::interrupt::{self, Interrupt};
use crate::commands::progress::Progress;

/// Merges the rings.
pub fn run(merge: &Merge) -> ExitCode {
    let interrupt = Interrupt::watch();
    let pairs = merge.pairs.len() as u64;
    let progress = Progress::of(pairs, "pairs of rings");
    let report = merge::run(&merge.pairs, || {
        progress.add(1);
        interrupt.go_on()
    });
    progress.end();
    let shown = |report: Report| {
        outcome::show(&merge.shown, &report, || report.to_json(), || plot::svg(&report)).map(|()| report)
    };
    match report.and_then(shown) {
        Ok(report) => interrupt::missing(report.merged.len() as u64, pairs).unwrap_or(ExitCode::SUCCESS),
        Err(why) => {
            complain(format_args!("chord: {why}"));
            ExitCode::FAILURE
        }
    }
}
