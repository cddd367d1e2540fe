//! `chord sim paper`: its experiments in their quick form, and the command that writes them down.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chord::sim::paper::chapter::Row;
use chord::sim::paper::report::MARK;
use chord::sim::paper::{Chapter, Experiment, Extent, cost, plot, run};

fn quick(experiment: Experiment) -> Chapter {
    run(experiment, Extent::Quick, &|_| ())
}

/// The rows of a measure in a series.
fn line<'a>(chapter: &'a Chapter, series: &str, measure: &str) -> Vec<&'a Row> {
    let rows = chapter.rows.iter().filter(|row| row.series == series && row.measure == measure);
    let rows: Vec<&Row> = rows.collect();
    assert!(!rows.is_empty(), "{series}, {measure}");
    rows
}

fn means(chapter: &Chapter, series: &str, measure: &str) -> Vec<f64> {
    line(chapter, series, measure).iter().map(|row| row.ours.mean).collect()
}

fn rises(values: &[f64]) -> bool {
    values.windows(2).all(|pair| pair[0] < pair[1])
}

#[test]
fn keys_are_spread_as_widely_as_arcs_and_virtual_nodes_narrow_that() {
    let chapter = quick(Experiment::LoadBalance);
    let (none, many) = ("one identifier a node", "virtual nodes");
    assert!(means(&chapter, none, "1st percentile").iter().all(|keys| *keys < 0.03 * 100.0));
    for row in line(&chapter, none, "99th percentile / mean") {
        assert!((row.ours.mean - 4.6).abs() < 0.8, "ln 100 = 4.6: {row:?}");
    }
    assert!(means(&chapter, none, "mean").iter().zip(1..).all(|(mean, tenth)| *mean == 10.0 * f64::from(tenth)));
    let high: Vec<f64> = means(&chapter, many, "99th percentile / mean").iter().map(|share| -share).collect();
    assert!(rises(&means(&chapter, many, "1st percentile / mean")) && rises(&high));
}

#[test]
fn lookups_ask_half_of_log_n_exactly_when_nodes_are_evenly_spaced() {
    let chapter = quick(Experiment::PathLength);
    for row in line(&chapter, "r = 1 evenly spaced", "mean").into_iter().filter(|row| row.x >= 256.0) {
        let (half, own) = (row.x.log2() / 2.0, 2.0 * row.x.log2() / row.x);
        assert!((row.ours.mean - half).abs() < row.ours.interval + own, "{row:?}");
    }
    for (series, saved) in [("r = 1", 0.0), ("r = 20", 20f64.log2() / 2.0 - 1.0)] {
        for row in line(&chapter, series, "mean").into_iter().filter(|row| row.x >= 512.0) {
            let formula = row.x.log2() / 2.0 - saved;
            assert!((row.ours.mean / formula - 1.0).abs() < 0.05, "{formula}: {row:?}");
        }
    }
}

#[test]
fn no_lookup_fails_when_half_of_all_nodes_do() {
    let chapter = quick(Experiment::Failures);
    assert!(means(&chapter, "iterative", "failed lookups").iter().all(|failed| *failed == 0.0));
    let (paths, timeouts) = (means(&chapter, "iterative", "path length"), means(&chapter, "iterative", "time-outs"));
    assert!(rises(&timeouts) && timeouts[0] == 0.0, "{timeouts:?}");
    let on_the_way = means(&chapter, "iterative", "time-outs on the way only");
    for ((all, part), tenths) in timeouts.iter().zip(&on_the_way).zip(0u8..).skip(1) {
        // The average number of dead nodes between a key and the first living one.
        let p = f64::from(tenths) / 10.0;
        assert!(((all - part) / (p / (1.0 - p)) - 1.0).abs() < 0.25, "p = {p}: {all} - {part}");
    }
    assert_eq!(chapter.notes[0].lines().count(), 4 + 6, "one ring for each p: {:?}", chapter.notes);
    assert!(paths[5] > paths[0] + 0.2, "{paths:?}");
}

#[test]
fn hardly_a_lookup_fails_while_nodes_join_and_leave() {
    let chapter = quick(Experiment::Churn);
    for row in line(&chapter, "iterative", "path length") {
        assert!((0.5..4.0).contains(&row.ours.mean), "½ log2 100 - ½ log2 20 + 1 = 2.2: {row:?}");
    }
    let failed = means(&chapter, "iterative", "failed lookups of 10,000");
    assert!(failed.iter().all(|failed| *failed < 1000.0), "{failed:?}");
    let of_known = means(&chapter, "iterative", "failed of 10,000 if who just joined owns nothing yet");
    assert!(of_known.iter().zip(&failed).all(|(known, all)| known <= all), "{of_known:?}, {failed:?}");
    assert!(chapter.notes[0].contains("| all | "), "{:?}", chapter.notes);
}

#[test]
fn choice_among_more_nodes_shortens_the_way() {
    let chapter = quick(Experiment::Stretch);
    for series in ["iterative", "recursive", "iterative in a square", "recursive in a square"] {
        let falling: Vec<f64> = means(&chapter, series, "median").iter().map(|stretch| -stretch).collect();
        assert!(rises(&falling), "{series}: {falling:?}");
    }
    let both = means(&chapter, "iterative", "median").into_iter().zip(means(&chapter, "recursive", "median"));
    assert!(both.into_iter().all(|(iterative, recursive)| recursive < iterative && recursive > 1.0));
}

#[test]
fn upkeep_costs_less_with_longer_periods_and_more_with_churn() {
    let chapter = quick(Experiment::Upkeep);
    let measure = "messages per node and second";
    let calm: Vec<f64> = means(&chapter, "no churn", measure);
    assert!(rises(&calm.iter().map(|messages| -messages).collect::<Vec<_>>()), "{calm:?}");
    let restless = means(&chapter, "mean life 1 min", measure);
    assert!(calm.iter().zip(&restless).all(|(calm, restless)| calm < restless), "{calm:?} {restless:?}");
}

#[test]
fn rings_of_nodes_that_start_together_form_in_seconds() {
    let chapter = quick(Experiment::Formation);
    let series = "all through one creator";
    let neighbors = means(&chapter, series, "seconds until lists and predecessors are right");
    let fingers = means(&chapter, series, "seconds until fingers are right, too");
    assert!(
        neighbors.iter().zip(&fingers).all(|(lists, all)| 0.0 < *lists && lists <= all && *all < 60.0),
        "{fingers:?}"
    );
}

#[test]
fn pseudocode_answers_wrongly_where_we_do_not() {
    let chapter = quick(Experiment::Original);
    let measures = ["lookups with a wrong answer of 10,000", "part of the rings that are split for good"];
    // One answer of the some thousand at each rate may name a node that has crashed some milliseconds before: the broken
    // connection was not noticed yet.
    let [wrong, split] = measures.map(|measure| means(&chapter, "ours", measure));
    assert!(wrong.iter().all(|wrong| *wrong < 3.0), "{wrong:?}");
    assert!(split.iter().all(|split| *split == 0.0), "{split:?}");
    let wrong = means(&chapter, "the paper's pseudocode", measures[0]);
    assert!(wrong[3] > 20.0 && wrong[3] < 2000.0, "it is not so bad that it is a fault of ours: {wrong:?}");
    assert!(means(&chapter, "the paper's pseudocode", measures[1])[3] > 0.0);
}

#[test]
fn chapter_does_not_depend_on_the_order_of_its_jobs() {
    let told = AtomicU64::new(0);
    let one = run(Experiment::Failures, Extent::Quick, &|cost| {
        told.fetch_add(cost, Ordering::Relaxed);
    });
    assert_eq!(one, quick(Experiment::Failures));
    assert_eq!(told.into_inner(), cost(&[Experiment::Failures], Extent::Quick), "each job tells its cost");
}

#[test]
fn plot_has_a_line_for_each_measure_and_a_circle_for_each_value_of_the_paper() {
    let chapter = quick(Experiment::Failures);
    let panels = chapter.experiment.panels();
    let svg = plot::svg(panels, &chapter.rows);
    let shown = |row: &&Row| row.paper.is_some() && panels.iter().any(|panel| panel.shows(row));
    let printed = chapter.rows.iter().filter(shown).count();
    // And one in the legend of each panel.
    assert_eq!(svg.matches("class=\"others\"").count(), printed + panels.len());
    assert!(printed > 30 && svg.contains("99th percentile") && svg.len() < 100_000, "{}", svg.len());
}

/// A directory of this test's own, which does not exist yet.
fn fresh(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    path
}

fn paper(args: &[&str]) -> Output {
    let mut chord = Command::new(env!("CARGO_BIN_EXE_chord"));
    chord.args(["sim", "paper"]).args(args).stdin(Stdio::null()).output().expect("chord starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn command_writes_data_plot_and_report_of_what_was_asked_for() {
    let out = fresh("evaluation");
    let path = out.to_str().unwrap();
    for _ in 0..2 {
        let output = paper(&["--only", "d,B", "--quick", "--out", path]);
        assert_eq!((output.status.code(), text(&output.stderr), text(&output.stdout)), (Some(0), "".into(), "".into()));
    }
    let mut names: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let [b, d] = ["b-load-balance", "d-simultaneous-failures"];
    let expected = [format!("{b}.csv"), format!("{b}.svg"), format!("{d}.csv"), format!("{d}.svg"), "report.md".into()];
    assert_eq!(names, expected.map(std::ffi::OsString::from));
    let report = fs::read_to_string(out.join("report.md")).unwrap();
    assert!(report.starts_with(MARK) && report.contains("## B. Load balance") && report.contains("## D. Simultaneous"));
    assert!(!report.contains("Missing") && report.contains("quick form"));
    let data = fs::read_to_string(out.join("d-simultaneous-failures.csv")).unwrap();
    assert_eq!(data.lines().next(), Some("series,p,measure,ours,interval_95,seeds,paper"));
    assert!(data.lines().all(|line| line.split(',').count() == 7), "{data}");
}

#[test]
fn files_of_others_are_not_touched() {
    let out = fresh("evaluation-of-others");
    fs::create_dir_all(&out).unwrap();
    fs::write(out.join("report.md"), "# My report\n").unwrap();
    let output = paper(&["--only", "D", "--quick", "--out", out.to_str().unwrap()]);
    let expected = format!(
        "chord: {} holds files of others: --out takes a new or empty directory, or that of an earlier run\n",
        out.display()
    );
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), expected));
    assert_eq!(fs::read_to_string(out.join("report.md")).unwrap(), "# My report\n");
    fs::remove_file(out.join("report.md")).unwrap();
    fs::write(out.join("thesis.txt"), "").unwrap();
    assert_eq!(paper(&["--only", "D", "--quick", "--out", out.to_str().unwrap()]).status.code(), Some(1));
}

#[test]
fn directory_that_can_not_be_written_is_named() {
    let out = fresh("evaluation-in-a-file");
    fs::write(&out, "").unwrap();
    let output = paper(&["--only", "D", "--quick", "--out", out.join("below").to_str().unwrap()]);
    let complaint = text(&output.stderr);
    assert_eq!((output.status.code(), complaint.lines().count()), (Some(1), 1), "{complaint}");
    assert!(complaint.starts_with(&format!("chord: can't write to {}", out.join("below").display())), "{complaint}");
}

#[test]
fn interrupt_keeps_what_is_finished_and_names_what_is_missing() {
    let out = fresh("evaluation-interrupted");
    let mut chord = Command::new(env!("CARGO_BIN_EXE_chord"));
    chord.args(["sim", "paper", "--only", "D,E", "--out", out.to_str().unwrap()]);
    let child = chord.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // The full form of D takes a minute; a report is there from the beginning.
    eventually(|| out.join("report.md").exists());
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let missing = "D (Simultaneous failures), E (Lookups during churn)";
    let expected = format!("chord: interrupted; missing in {}: {missing}\n", out.join("report.md").display());
    assert_eq!(text(&output.stderr), expected);
    let report = fs::read_to_string(out.join("report.md")).unwrap();
    assert!(report.contains(&format!("**Interrupted. Missing:** {missing}.")), "{report}");
}

/// Waits until a condition holds.
fn eventually(condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(30), "not within 30 s");
        thread::sleep(Duration::from_millis(5));
    }
}
