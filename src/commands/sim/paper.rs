//! `chord sim paper`: runs experiments, shows progress and writes files.

use std::fs;
use std::io::{self, IsTerminal, stderr};
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use chord::console::streams::complain;
use chord::node::worker::runtime;
use chord::sim::paper::report::{MARK, NAME, csv, markdown, names};
use chord::sim::paper::{self, Chapter, Experiment, plot};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::cli::Paper;
use crate::commands::interrupt::INTERRUPTED;

/// Runs the experiments.
pub fn run(paper: &Paper) -> ExitCode {
    match conduct(paper) {
        Ok(missing) if missing.is_empty() => ExitCode::SUCCESS,
        Ok(missing) => {
            complain(format_args!(
                "chord: interrupted; missing in {}: {}",
                paper.out.join(NAME).display(),
                names(&missing)
            ));
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            complain(format_args!("chord: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Writes the result of each experiment as soon as it has ended. Returns the experiments that have not.
fn conduct(paper: &Paper) -> Result<Vec<Experiment>> {
    if paper.redraw {
        return redraw(paper).map(|()| Vec::new());
    }
    let runtime = runtime().context("can't start")?;
    let mut interrupt = {
        let _context = runtime.enter();
        signal(SignalKind::interrupt()).context("can't wait for SIGINT")?
    };
    claim(&paper.out)?;
    let bar = progress(paper);
    let mut chapters = Vec::new();
    write(paper, &chapters)?;
    let mut finished = start(paper, &bar);
    let missing = runtime.block_on(async {
        loop {
            let chapter = tokio::select! {
                chapter = finished.recv() => chapter,
                // The experiment under way ends with the program.
                _ = interrupt.recv() => None,
            };
            let Some(chapter) = chapter else { break };
            chapters.push(chapter);
            write(paper, &chapters)?;
        }
        anyhow::Ok(paper.experiments[chapters.len()..].to_vec())
    });
    bar.finish_and_clear();
    missing
}

/// Draws all plots anew from the data of an earlier run.
fn redraw(paper: &Paper) -> Result<()> {
    for experiment in &paper.experiments {
        let file = paper.out.join(experiment.file());
        let (data, picture) = (file.with_extension("csv"), file.with_extension("svg"));
        let text = fs::read_to_string(&data).with_context(|| format!("can't read {}", data.display()))?;
        let svg = plot::redrawn(experiment.panels(), &text);
        let svg = svg.map_err(|why| anyhow!("{} makes no sense: {why}", data.display()))?;
        fs::write(&picture, svg).with_context(|| format!("can't write {}", picture.display()))?;
    }
    Ok(())
}

/// Runs the experiments one after the other, each on all processors, and hands over their chapters.
fn start(paper: &Paper, bar: &ProgressBar) -> mpsc::UnboundedReceiver<Chapter> {
    let (finished, chapters) = mpsc::unbounded_channel();
    let (experiments, extent, bar) = (paper.experiments.clone(), paper.extent, bar.clone());
    thread::spawn(move || {
        for experiment in experiments {
            bar.set_message(experiment.title());
            let chapter = paper::run(experiment, extent, &|cost| bar.inc(cost));
            if finished.send(chapter).is_err() {
                break;
            }
        }
    });
    chapters
}

/// Makes sure that the directory exists and holds no files of others.
fn claim(out: &Path) -> Result<()> {
    let cant = || format!("can't write to {}", out.display());
    fs::create_dir_all(out).with_context(cant)?;
    let ours = match fs::read_to_string(out.join(NAME)) {
        Ok(report) => report.starts_with(MARK),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::read_dir(out).with_context(cant)?.next().is_none(),
        Err(error) => return Err(error).with_context(cant),
    };
    if !ours {
        bail!(
            "{} holds files of others: --out takes a new or empty directory, or that of an earlier run",
            out.display()
        );
    }
    Ok(())
}

/// Writes the last chapter's files, and the report on all of them.
fn write(paper: &Paper, chapters: &[Chapter]) -> Result<()> {
    let save = |name: &str, text: &str| {
        let path = paper.out.join(name);
        fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))
    };
    if let Some(chapter) = chapters.last() {
        let file = chapter.experiment.file();
        save(&format!("{file}.csv"), &csv(chapter.x, &chapter.rows))?;
        save(&format!("{file}.svg"), &plot::svg(chapter.experiment.panels(), &chapter.rows))?;
    }
    save(NAME, &markdown(&paper.experiments, chapters, paper.extent))
}

/// A bar on a terminal; nothing elsewhere.
fn progress(paper: &Paper) -> ProgressBar {
    let target = if stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(paper::cost(&paper.experiments, paper.extent)), target);
    let template = "{bar:40} {percent} %, {eta} left: {msg}";
    let bar = bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(std::time::Duration::from_millis(500));
    bar
}
