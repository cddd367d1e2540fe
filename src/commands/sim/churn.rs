//! `chord sim churn`: runs rings whose nodes come and go, and reports results.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use chord::console::streams::{complain, output};
use chord::sim::churn::sweep;

use crate::cli::Churn;
use crate::commands::interrupt::{self, Interrupt};
use crate::commands::progress::Progress;

/// Runs the histories.
pub fn run(churn: &Churn) -> ExitCode {
    let interrupt = Interrupt::watch();
    let histories = churn.seeds.end - churn.seeds.start;
    let progress = Progress::of(histories.saturating_mul(churn.workload.time.as_secs()), "virtual seconds");
    let begin = Instant::now();
    let report = sweep(churn.seeds.clone(), &churn.workload, churn.jobs, |time| {
        progress.add(time.as_secs());
        interrupt.go_on()
    });
    progress.end();
    complain(format_args!("{} events in {:.2} s", report.tally.events, begin.elapsed().as_secs_f64()));
    if report.histories > 0 {
        let text = if churn.json { format!("{:#}\n", report.to_json()) } else { format!("{report}\n") };
        // An error means that the output is closed.
        let _ = output().write_all(text.as_bytes());
    }
    interrupt::missing(report.histories, histories).unwrap_or(ExitCode::SUCCESS)
}
