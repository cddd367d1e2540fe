//! `chord sim chaos`: runs histories and reports progress and results.

use std::io::{IsTerminal, Write, stderr};
use std::path::Path;
use std::process::ExitCode;

use chord::console::streams::{self, output};
use chord::sim::chaos::summary::Summary;
use chord::sim::chaos::sweep::sweep;
use chord::sim::chaos::{Report, recorded};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::recording::Recording;
use crate::cli::Chaos;
use crate::commands::interrupt::{self, Interrupt};

/// Runs the histories.
pub fn run(chaos: &Chaos) -> ExitCode {
    if let Some(path) = &chaos.record {
        return record(chaos, path);
    }
    let interrupt = Interrupt::watch();
    let histories = chaos.seeds.end - chaos.seeds.start;
    let bar = progress(histories);
    let summary = sweep(chaos.seeds.clone(), &chaos.options, chaos.jobs, |report| {
        if let Some(violation) = &report.violation {
            bar.suspend(|| complain(report, violation, chaos));
        }
        bar.inc(1);
        if chaos.options.trace {
            print(&(report.trace.join("\n") + "\n"));
        }
        interrupt.go_on()
    });
    bar.finish_and_clear();
    if chaos.json {
        print(&format!("{:#}\n", summary.to_json()));
    } else if !chaos.options.trace {
        print(&format!("{summary}\n"));
    }
    let interrupted = interrupt::missing(summary.histories, histories);
    if summary.violations.is_empty()
        && let Some(status) = interrupted
    {
        return status;
    }
    conclude(&summary)
}

/// Runs one history and writes its recording.
fn record(chaos: &Chaos, path: &Path) -> ExitCode {
    let file = match Recording::create(path) {
        Ok(file) => file,
        Err(why) => {
            streams::complain(format_args!("chord: {why}"));
            return ExitCode::from(2);
        }
    };
    let (report, recording) = recorded(chaos.seeds.start, &chaos.options);
    if let Some(violation) = &report.violation {
        complain(&report, violation, chaos);
    }
    let mut summary = Summary::default();
    summary.add(&report);
    if chaos.options.trace {
        print(&(report.trace.join("\n") + "\n"));
    } else if chaos.json {
        print(&format!("{:#}\n", summary.to_json()));
    } else {
        print(&format!("{summary}\n"));
    }
    if let Err(why) = file.write(&recording) {
        streams::complain(format_args!("chord: {why}"));
        return ExitCode::from(2);
    }
    conclude(&summary)
}

fn conclude(summary: &Summary) -> ExitCode {
    let missing = summary.missing();
    if !missing.is_empty() {
        streams::complain(format_args!(
            "chord: the histories prove too little, since there was none of: {}",
            missing.join(", ")
        ));
    }
    if missing.is_empty() && summary.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One violation, and how to see it again.
fn complain(report: &Report, violation: &str, chaos: &Chaos) {
    let Report { seed, time, .. } = report;
    let nodes = &chaos.options.nodes;
    streams::complain(format_args!(
        "seed {seed}: after {time:?}: {violation}\n  \
         see it with: chord sim chaos --seed {seed} --nodes {}..{} --trace",
        nodes.start(),
        nodes.end()
    ));
}

/// A bar on a terminal; nothing elsewhere, and nothing for a single history.
fn progress(histories: u64) -> ProgressBar {
    let visible = stderr().is_terminal() && histories > 1;
    let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(histories), target);
    let template = "{bar:40} {pos} of {len} histories, {per_sec}, {eta} left";
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn print(text: &str) {
    // An error means that the output is closed.
    let _ = output().write_all(text.as_bytes());
}
