//! `chord sim storm`: runs storms and reports progress and results.

use std::process::ExitCode;

use chord::console::streams::complain;
use chord::sim::storm::{self, plot};

use super::outcome;
use crate::cli::Storm;
use crate::commands::interrupt::{self, Interrupt};
use crate::commands::progress::Progress;

/// Runs the storms.
pub fn run(storm: &Storm) -> ExitCode {
    let interrupt = Interrupt::watch();
    let storms = storm.options.loads.len() as u64;
    let progress = Progress::of(storms, "storms");
    let report = storm::run(&storm.options, |_| {
        progress.add(1);
        interrupt.go_on()
    });
    progress.end();
    let shown = outcome::show(&storm.shown, &format_args!("{report}\n"), || report.to_json(), || plot::svg(&report));
    if let Err(why) = shown {
        complain(format_args!("chord: {why}"));
        return ExitCode::FAILURE;
    }
    let violations = report.violations();
    for violation in &violations {
        complain(violation);
    }
    if !violations.is_empty() {
        complain(format_args!("see it with: {}", report.command()));
        return ExitCode::FAILURE;
    }
    interrupt::missing(report.outcomes.len() as u64, storms).unwrap_or(ExitCode::SUCCESS)
}
