//! `chord sim storm`: storms, progress, what came of them.

use std::fs;
use std::io::Write;
use std::process::ExitCode;

use chord::console::streams::{complain, output};
use chord::sim::storm::{self, plot};

use crate::cli::Storm;
use crate::interrupt::{self, Interrupt};
use crate::progress::Progress;

/// Has the storms.
pub fn run(storm: &Storm) -> ExitCode {
    let interrupt = Interrupt::watch();
    let storms = storm.options.loads.len() as u64;
    let progress = Progress::of(storms, "storms");
    let report = storm::run(&storm.options, |_| {
        progress.add(1);
        interrupt.go_on()
    });
    progress.end();
    let text = if storm.json { format!("{:#}\n", report.to_json()) } else { format!("{report}\n") };
    // An error means that nobody reads it.
    let _ = output().write_all(text.as_bytes());
    if let Some(file) = &storm.plot
        && let Err(why) = plot::svg(&report)
            .map_err(|error| error.to_string())
            .and_then(|svg| fs::write(file, svg).map_err(|error| error.to_string()))
    {
        complain(format_args!("chord: can't write {}: {why}", file.display()));
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
