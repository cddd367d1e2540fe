//! `chord sim merge`: pairs of rings, progress, what came of them.

use std::fs;
use std::io::Write;
use std::process::ExitCode;

use chord::console::streams::{complain, output};
use chord::sim::merge::{self, plot};

use crate::cli::Merge;
use crate::interrupt::{self, Interrupt};
use crate::progress::Progress;

/// Has the rings become one.
pub fn run(merge: &Merge) -> ExitCode {
    let interrupt = Interrupt::watch();
    let pairs = merge.pairs.len() as u64;
    let progress = Progress::of(pairs, "pairs of rings");
    let report = merge::run(&merge.pairs, || {
        progress.add(1);
        interrupt.go_on()
    });
    progress.end();
    let report = match report {
        Ok(report) => report,
        Err(why) => {
            complain(format_args!("chord: {why}"));
            return ExitCode::FAILURE;
        }
    };
    let text = if merge.json { format!("{:#}\n", report.to_json()) } else { report.to_string() };
    // An error means that nobody reads it.
    let _ = output().write_all(text.as_bytes());
    if let Some(file) = &merge.plot
        && let Err(why) = plot::svg(&report)
            .map_err(|error| error.to_string())
            .and_then(|svg| fs::write(file, svg).map_err(|error| error.to_string()))
    {
        complain(format_args!("chord: can't write {}: {why}", file.display()));
        return ExitCode::FAILURE;
    }
    interrupt::missing(report.merged.len() as u64, pairs).unwrap_or(ExitCode::SUCCESS)
}
