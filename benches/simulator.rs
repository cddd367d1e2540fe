//! How fast the message-level simulator is, and how much memory it needs.
//!
//! `cargo bench --bench simulator` runs everything; `-- ring`, `-- workload` or `-- large` (minutes) runs one part.
//! Each run takes seconds and is a different history, counted in events, so a framework that repeats short pieces of
//! code would not help. Speeds are per second of processor time: other programs on the machine change them little.
//!
//! The goals, on a machine with 2 cores:
//! - *ring*: 1,000 nodes with rounds of a second, under churn: at least a million events per second and core.
//! - *workload*: 1,024 nodes, lives and absences of an hour, a lookup every 10 minutes, 6 hours, one finger
//!   and one round in two minutes: at most 5 s. A published discrete-event simulator, which passes no message
//!   through a codec, took 8.4 s there.
//! - *large*: the same with 100,000 nodes for an hour: at most 4 GiB.

// A program of its own: no other one sees its items.
#![allow(missing_docs, unreachable_pub)]

use std::fs;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use chord::Config;
use chord::sim::churn::report::Report;
use chord::sim::churn::{Workload, sweep};
use chord::sim::delay::{Delay, USUAL};
use rustix::time::{ClockId, clock_gettime};

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    type Part<'a> = (&'a str, &'a dyn Fn());
    let parts: [Part; 3] = [
        ("ring", &|| {
            (0..5).for_each(|seed| measure("ring, r = 4", seed..seed + 1, &ring(4), 1));
            measure("ring, r = 8", 0..1, &ring(8), 1);
            measure("ring, r = 4, every core", 0..2 * cores as u64, &ring(4), cores);
        }),
        ("workload", &|| (0..5).for_each(|seed| measure("workload", seed..seed + 1, &Workload::default(), 1))),
        ("large", &|| measure("large", 0..1, &large(), 1)),
    ];
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            part();
        }
    }
}

/// A thousand nodes at a time, each of which is replaced within some minutes; default timers.
fn ring(r: usize) -> Workload {
    let workload = Workload::default();
    Workload {
        nodes: 2000,
        life: Duration::from_secs(600),
        absence: Duration::from_secs(600),
        lookup_every: Duration::from_secs(60),
        time: Duration::from_secs(200),
        delay: Delay::Uniform(USUAL),
        config: Config { successors: r, ..Config::new(workload.config.listen.ip()) },
    }
}

fn large() -> Workload {
    Workload { nodes: 100_000, time: Duration::from_secs(3600), ..Workload::default() }
}

fn measure(name: &str, seeds: Range<u64>, workload: &Workload, jobs: usize) {
    let (begin, processor) = (Instant::now(), processor_time());
    let report = sweep(seeds, workload, jobs, |_| std::ops::ControlFlow::Continue(()));
    let (took, processor) = (begin.elapsed().as_secs_f64(), (processor_time() - processor).as_secs_f64());
    let Report { tally, verdicts, .. } = &report;
    let right = 100.0 * verdicts.right as f64 / tally.lookups as f64;
    println!(
        "{name}: {} events, {took:.2} s on the clock, {processor:.2} s of processors: {:.2} million a second; \
         {:.0} nodes, {right:.2} % of lookups right, at most {} MiB so far",
        tally.events,
        tally.events as f64 / processor / 1e6,
        report.living(),
        most_memory() / 1024,
    );
}

/// The processor time of all threads.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The largest resident memory so far, in KiB; 0 if the system does not say.
fn most_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
