//! A swarm under growing load, and whether it recovers after it stumbles: goodput by offered load, without and with one
//! pause of the whole process.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chord::sim::paper::chapter::{Panel, Reading, rows};
use chord::sim::paper::{plot, report};
use chord::sim::plot::Count;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::rings::{Figures, PORT, swarm};

/// The swarm: large enough that most lookups cross threads several times.
const NODES: u32 = 64;
const THREADS: &str = "2";

/// The time limits of usual nodes; those of a forming swarm are too long to show a storm.
const PATIENCE: [&str; 4] = ["--rpc-timeout", "1s", "--lookup-timeout", "5s"];

/// The clients whose closed loop measures the capacity of the swarm.
const CLIENTS: &str = "512";

/// The offered load, as parts of the capacity.
const PARTS: [f64; 8] = [0.1, 0.25, 0.5, 0.8, 1.0, 1.5, 2.0, 3.0];

/// How long the process sleeps in the middle: not at all, as long as for a garbage collection, or as long as a closed
/// laptop.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(600), Duration::from_secs(3)];

/// The pause begins this long after the start of the process, which takes some tenths of a second to form its ring.
const PAUSE_AFTER: Duration = Duration::from_secs(5);

/// The load continues for this long after the pause: one second to recover, and the rest to be measured.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// When everything has to be as before the pause.
const BACK_WITHIN: Duration = Duration::from_secs(1);

/// How long the load takes to be under way.
const WARM: Duration = Duration::from_millis(500);

/// What is measured at each point and written as data.
const MEASURES: [&str; 7] =
    ["goodput before the pause, /s", "goodput after it, /s", "failed, %", "wrong", "found dead", "p50, ms", "p99, ms"];

/// Measures all points and prints a table; writes `overload.csv` and `overload.svg` into a directory, if one is named.
pub fn measure(directory: Option<&Path>) -> io::Result<()> {
    let flags = [&PATIENCE[..], &["--threads", THREADS, "--clients", CLIENTS, "--seconds", "5"]].concat();
    let capacity = swarm(NODES, &flags)?.number("load", "lookups_per_second");
    println!("capacity: {capacity:.0} lookups/s with {CLIENTS} clients, {NODES} nodes on {THREADS} threads\n");
    println!("| offered, /s | of capacity | pause, s | {} |\n|{}", MEASURES.join(" | "), "---|".repeat(10));
    let mut readings = Vec::new();
    for part in PARTS {
        for pause in PAUSES {
            let rate = (part * capacity).round().max(1.0);
            let values = storm(rate, pause)?;
            let [before, after, failed, wrong, dead, p50, p99] = values;
            println!(
                "| {rate:.0} | {part} | {} | {before:.0} | {after:.0} | {failed:.2} | {wrong} | {dead} | {p50:.2} | {p99:.2} |",
                pause.as_secs_f64()
            );
            let series = match pause {
                Duration::ZERO => "no pause".into(),
                pause => format!("a pause of {} s", pause.as_secs_f64()),
            };
            readings.extend(MEASURES.into_iter().zip(values).map(|(measure, value)| Reading {
                series: series.clone(),
                x: part,
                measure,
                value,
            }));
        }
    }
    let Some(directory) = directory else { return Ok(()) };
    let rows = rows(readings, |_, _, _| None);
    let x = ("offered load, of capacity", Count::Linear);
    let panel = |title, y, measures| Panel { title, x, y, measures, series: &[], names: &[] };
    let panels = [
        panel("Goodput once it is over", ("right answers/s", Count::Linear), &MEASURES[1..2]),
        panel("Lookups that fail", ("%", Count::Linear), &MEASURES[2..3]),
        panel("How long half of them take", ("ms", Count::Logarithmic), &MEASURES[5..6]),
    ];
    std::fs::write(directory.join("overload.csv"), report::csv("of capacity", &rows))?;
    std::fs::write(directory.join("overload.svg"), plot::svg(&panels, &rows))
}

/// A swarm in its own process, which is killed when this is dropped.
struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One point: this many lookups per second, and a pause.
fn storm(rate: f64, pause: Duration) -> io::Result<[f64; MEASURES.len()]> {
    let seconds = (PAUSE_AFTER + pause + AFTERWARDS).as_secs_f64().ceil();
    let mut command = Command::new(env!("CARGO_BIN_EXE_chord"));
    command.args(["swarm", "--json", "--quit", "-n", &NODES.to_string(), "-p", &PORT.to_string()]);
    command.args(PATIENCE).args(["--threads", THREADS]);
    command.args(["--rate", &rate.to_string(), "--seconds", &seconds.to_string()]);
    let mut sleeper = Sleeper(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?);
    thread::sleep(PAUSE_AFTER);
    let pid = Pid::from_child(&sleeper.0);
    let stopped = unix_seconds();
    if !pause.is_zero() {
        kill_process(pid, Signal::STOP)?;
        thread::sleep(pause);
        kill_process(pid, Signal::CONT)?;
    }
    let continued = unix_seconds();
    let mut printed = Vec::new();
    sleeper.0.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?.read_to_end(&mut printed)?;
    // The exit code reports wrong owners, which are counted here.
    sleeper.0.wait()?;
    let figures = Figures::read(&printed)?;
    let [began, lookups] = ["began_unix_seconds", "lookups"].map(|name| figures.number("load", name));
    let back = continued - began + BACK_WITHIN.as_secs_f64();
    let right = Right::of(&figures)?;
    Ok([
        right.each_second(WARM.as_secs_f64(), stopped - began),
        right.each_second(back, seconds),
        100.0 * figures.number("load", "errors") / lookups,
        figures.number("load", "wrong_owners"),
        figures.number("load", "found_dead"),
        1e3 * figures.number("load", "p50_seconds"),
        1e3 * figures.number("load", "p99_seconds"),
    ])
}

fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The right answers in each slot of a load.
struct Right {
    slot: f64,
    counts: Vec<f64>,
}

impl Right {
    fn of(figures: &Figures) -> io::Result<Right> {
        let timeline = figures.part("load", "timeline");
        let counts = timeline["right"].as_array().ok_or(io::ErrorKind::InvalidData)?;
        let slot = timeline["slot_seconds"].as_f64().ok_or(io::ErrorKind::InvalidData)?;
        Ok(Right { slot, counts: counts.iter().filter_map(Value::as_f64).collect() })
    }

    /// Right answers per second between these seconds of the load, whole slots only.
    fn each_second(&self, from: f64, to: f64) -> f64 {
        let (first, end) = ((from / self.slot).ceil(), (to / self.slot).floor());
        let counted: f64 = self.counts.iter().skip(first as usize).take((end - first) as usize).sum();
        counted / ((end - first) * self.slot)
    }
}
