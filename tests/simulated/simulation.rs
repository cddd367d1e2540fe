//! The simulator's histories: golden scenarios, a sweep of random histories, and their repetition from seeds.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use chord::sim::chaos::sweep::sweep;
use chord::sim::chaos::{Options, history};
use chord::sim::script;

const ON: ControlFlow<()> = ControlFlow::Continue(());

/// All scenarios, with their paths.
fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The lines of two texts; lines that are not in both are marked.
fn difference(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    let missing = |lines: &[&str], line: &str| !lines.contains(&line);
    let mut text = String::new();
    for line in &expected {
        text += &format!("{} {line}\n", if missing(&found, line) { "-" } else { " " });
    }
    for line in found.iter().filter(|line| missing(&expected, line)) {
        text += &format!("+ {line}\n");
    }
    text
}

/// Each file has commands, a line `---`, and the resulting ring. `UPDATE=1` writes the latter.
#[test]
fn scenarios_end_as_they_are_drawn() {
    let paths = scenarios();
    assert!(paths.len() >= 12, "{}", paths.len());
    let mut complaints = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let (commands, expected) = script::split(&text);
        let drawing = match script::run(commands) {
            Ok(played) => played.drawing,
            Err(error) => {
                complaints.push(format!("{name}: {error}"));
                continue;
            }
        };
        if drawing == expected {
            continue;
        }
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, format!("{}\n---\n{drawing}", commands.trim_end())).unwrap();
        } else {
            complaints.push(format!("{name} (UPDATE=1 accepts it):\n{}", difference(expected, &drawing)));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// The short form of `make check-sim`.
#[test]
fn random_histories_of_16_nodes_keep_every_promise() {
    let options = Options { nodes: 16..=16, trace: false };
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    let summary = sweep(0..200, &options, jobs, |_| ON);
    println!("{summary}");
    for (seed, (at, violation)) in &summary.violations {
        eprintln!("after {at:?}: {violation}; see it with: chord sim chaos --seed {seed} --nodes 16..16 --trace");
    }
    assert!(summary.violations.is_empty(), "{} of 200", summary.violations.len());
    assert_eq!(summary.missing(), [""; 0], "too little happened");
    assert_eq!(summary.tally.garbled, 0, "frames that could not be read");
}

/// The creator left just before healing began, was still up at its beginning, and so was not started again:
/// three rings without a member that had a living seed never met.
#[test]
fn creator_that_is_on_its_way_out_is_started_again_before_healing() {
    let summary = sweep(5838..5839, &Options { nodes: 8..=64, trace: false }, 1, |_| ON);
    assert!(summary.violations.is_empty(), "{:?}", summary.violations);
}

#[test]
fn one_seed_is_one_history() {
    let options = Options { nodes: 8..=24, trace: false };
    for seed in 0..4 {
        let (one, again) = (history(seed, &options), history(seed, &options));
        assert_eq!(one, again);
        assert_ne!(one.fingerprint, history(seed + 4, &options).fingerprint);
    }
}

#[test]
fn number_of_threads_changes_nothing() {
    let options = Options { nodes: 8..=12, trace: false };
    assert_eq!(sweep(0..12, &options, 1, |_| ON), sweep(0..12, &options, 3, |_| ON));
}

/// The trace of a history, with its comments, is a scenario that plays the same history.
#[test]
fn trace_can_be_played_again() {
    // In the last two, nodes share threads.
    for seed in 0..10 {
        let report = history(seed, &Options { nodes: 8..=16, trace: true });
        let played = script::run(&report.trace.join("\n")).unwrap();
        assert_eq!(played.fingerprint, report.fingerprint, "seed {seed}");
    }
}

/// Runs `chord sim chaos` with these arguments.
fn chaos(args: &str) -> Output {
    sim("chaos", args)
}

fn sim(what: &str, args: &str) -> Output {
    let mut chord = Command::new(env!("CARGO_BIN_EXE_chord"));
    chord.args(["sim", what]).args(args.split_whitespace()).stdin(Stdio::null()).output().expect("chord starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn command_prints_a_summary_or_data() {
    let table = chaos("--seeds 3 --nodes 8..10 --jobs 2");
    assert_eq!((table.status.code(), text(&table.stderr)), (Some(0), String::new()));
    assert!(text(&table.stdout).starts_with("3 histories") && text(&table.stdout).ends_with("violations: 0\n"));
    let data = chaos("--seeds 3 --nodes 8..10 --json");
    let data: serde_json::Value = serde_json::from_slice(&data.stdout).unwrap();
    assert_eq!(data["histories"], 3);
    let fingerprint = data["fingerprint"].as_str().unwrap();
    assert!(text(&table.stdout).contains(fingerprint), "{fingerprint}");
}

#[test]
fn command_prints_a_trace_that_is_a_scenario() {
    let trace = chaos("--seed 5 --nodes 8..8 --trace");
    assert_eq!(trace.status.code(), Some(0));
    let trace = text(&trace.stdout);
    assert!(trace.starts_with("seed 5\n") && trace.contains("\n# "), "{trace}");
    script::run(&trace).unwrap();
}

#[test]
fn bad_arguments_are_one_line_and_status_2() {
    for (args, expected) in [
        (
            "--nodes 3",
            "chord: --nodes is \"3\": it takes a range like 8..64, both ends from 4 to 1024; see chord sim chaos --help\n",
        ),
        ("--trace", "chord: missing --seed (a number from 0 to 18446744073709551614); see chord sim chaos --help\n"),
        ("--seed 1 --seeds 2", "chord: --seed can't be given together with --seeds; see chord sim chaos --help\n"),
    ] {
        let output = chaos(args);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(2), expected.to_owned()));
        assert_eq!(output.stdout, b"");
    }
}

#[test]
fn churn_is_summed_up_as_text_or_as_data() {
    let args = "--nodes 40 --time 30m --seeds 2 --seed 3";
    let table = sim("churn", args);
    assert_eq!(table.status.code(), Some(0));
    let (table, took) = (text(&table.stdout), text(&table.stderr));
    assert!(table.starts_with("2 histories, virtual time 1.0 h\n"), "{table}");
    let data = sim("churn", &format!("{args} --json --jobs 1"));
    let data: serde_json::Value = serde_json::from_slice(&data.stdout).unwrap();
    let fingerprint = data["fingerprint"].as_str().unwrap();
    assert!(table.ends_with(&format!("fingerprint {fingerprint}\n")), "{table}");
    assert!(took.starts_with(&format!("{} events in ", data["events"])), "{took}");
    assert!(data["lookups_ended"]["right"].as_u64() > Some(50), "{data}");
}

#[test]
fn bad_arguments_of_churn_are_one_line_and_status_2() {
    for (args, expected) in [
        ("--nodes 1", "chord: --nodes is \"1\": it takes a number from 2 to 1000000; see chord sim churn --help\n"),
        (
            "--mean-life 1",
            "chord: --mean-life is \"1\": it takes a time like 90m, from 1s to 1000d; see chord sim churn --help\n",
        ),
    ] {
        let output = sim("churn", args);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(2), expected.to_owned()));
        assert_eq!(output.stdout, b"");
    }
}

/// Sweeps that would take days end at once on Ctrl-C, and the finished histories are reported.
#[test]
fn interrupt_keeps_the_histories_that_are_finished() {
    for args in ["chaos --nodes 4 --json", "churn --nodes 4 --time 10m --json"] {
        let mut chord = Command::new(env!("CARGO_BIN_EXE_chord"));
        chord.arg("sim").args(args.split(' ')).args(["--seeds", "1000000000", "--jobs", "2"]);
        let mut child = chord.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let begun = eventually(|| catches_interrupts(child.id()));
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
        if !begun || !eventually(|| child.try_wait().unwrap().is_some()) {
            child.kill().unwrap();
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{args}");
        let finished = match &output.stdout[..] {
            [] => 0,
            data => serde_json::from_slice::<serde_json::Value>(data).unwrap()["histories"].as_u64().unwrap(),
        };
        let missing = 1_000_000_000 - finished;
        let expected = format!("chord: interrupted; {missing} of 1000000000 histories are missing\n");
        assert!(text(&output.stderr).ends_with(&expected), "{expected}: {}", text(&output.stderr));
    }
}

/// Whether a process has a handler for SIGINT, according to the kernel.
fn catches_interrupts(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() & 0b10 != 0
}

/// Waits until a condition holds; whether it did within a generous time.
fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while !condition() {
        if begin.elapsed() > Duration::from_secs(30) {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}
