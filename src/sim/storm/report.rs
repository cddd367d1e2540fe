//! The outcome of several storms, and whether it is as promised.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::course::{BACK, Outcome};
use super::load::INTERVAL;
use super::{Fault, Options};

/// Up to this share of its capacity a ring has to be as before after a fault.
const BEARABLE: f64 = 0.8;

/// Beyond its capacity a ring has to serve at least this part of its best goodput.
const OVERLOADED: f64 = 0.8;

/// The storms at all loads.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Those of all storms; only the load differs.
    pub options: Options,
    /// How many lookups per second the ring can serve.
    pub capacity: f64,
    /// One for each load, in the order of the options; fewer if the run was stopped.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// The violations.
    pub fn violations(&self) -> Vec<String> {
        self.outcomes.iter().flat_map(|outcome| self.violations_of(outcome)).collect()
    }

    fn violations_of(&self, outcome: &Outcome) -> Vec<String> {
        let Outcome { load, before, after, counts, .. } = outcome;
        let left = self.options.left();
        let mut violations = Vec::new();
        if counts.buried_alive > 0 {
            let buried = counts.buried_alive;
            violations.push(format!("load {load}: {buried} verdicts of death on nodes that were up and reachable"));
        }
        if counts.wrong > 0 {
            violations.push(format!("load {load}: {} wrong answers", counts.wrong));
        }
        if *load <= BEARABLE * left && *after < BACK * before {
            violations
                .push(format!("load {load}: goodput is {after:.0}/s after the fault, and was {before:.0}/s before"));
        }
        let best = self.best();
        if *load > 1.0 && *before < OVERLOADED * best {
            violations.push(format!("load {load}: goodput is {before:.0}/s, of {best:.0}/s at best"));
        }
        if *load > left && *after < OVERLOADED * best * left {
            let best = best * left;
            violations.push(format!("load {load}: goodput is {after:.0}/s after the fault, of {best:.0}/s at best"));
        }
        violations
    }

    /// The best goodput before a fault.
    fn best(&self) -> f64 {
        self.outcomes.iter().map(|outcome| outcome.before).fold(0.0, f64::max)
    }

    /// The command that repeats the storms.
    pub fn command(&self) -> String {
        let Options { nodes, threads, loads, fault, pause, struck, seed, .. } = &self.options;
        let loads: Vec<String> = loads.iter().map(f64::to_string).collect();
        let pause = if *fault == Fault::Pause { format!(" --pause {}ms", pause.as_millis()) } else { String::new() };
        format!(
            "chord sim storm --nodes {nodes} --threads {threads} --load {} --fault {}{pause} --struck {struck} --seed {seed}",
            loads.join(","),
            fault.name(),
        )
    }

    /// The whole report as data.
    pub fn to_json(&self) -> Value {
        let outcomes: Vec<Value> = self.outcomes.iter().map(|outcome| self.outcome_to_json(outcome)).collect();
        json!({
            "nodes": self.options.nodes,
            "threads": self.options.threads,
            "fault": self.options.fault.name(),
            "pause_ms": self.options.pause.as_millis() as u64,
            "struck": self.options.struck,
            "seed": self.options.seed,
            "capacity": self.capacity,
            "interval_ms": INTERVAL.as_millis() as u64,
            "storms": outcomes,
            "command": self.command(),
            "violations": self.violations(),
        })
    }

    fn outcome_to_json(&self, outcome: &Outcome) -> Value {
        let Outcome { counts, fault, .. } = outcome;
        json!({
            "load": outcome.load,
            "offered": outcome.offered,
            "before": outcome.before,
            "during": outcome.during,
            "after": outcome.after,
            "back_ms": outcome.back.map(|back| back.as_millis() as u64),
            "asked": counts.asked,
            "wrong": counts.wrong,
            "failed": counts.failed(),
            "lost": counts.lost,
            "orphaned": outcome.orphaned,
            "buried_alive": counts.buried_alive,
            "buried": counts.buried,
            "fault_ms": [fault.0.as_millis() as u64, fault.1.as_millis() as u64],
            "right": counts.right,
            "fingerprint": format!("{:016x}", outcome.fingerprint),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { nodes, threads, fault, pause, struck, seed, .. } = &self.options;
        writeln!(f, "{nodes} nodes on {threads} threads, {:.0} lookups/s at most (seed {seed})", self.capacity)?;
        let time = if *fault == Fault::Pause { format!(", {} ms", pause.as_millis()) } else { String::new() };
        writeln!(f, "fault: {}{time}, {struck} of the threads", fault.name())?;
        writeln!(f)?;
        writeln!(
            f,
            "{:>6} {:>9} {:>9} {:>9} {:>9} {:>8} {:>7} {:>7} {:>7} {:>7}",
            "load", "offered", "before", "during", "after", "back", "failed", "wrong", "alive", "dead"
        )?;
        for outcome in &self.outcomes {
            let counts = &outcome.counts;
            writeln!(
                f,
                "{:>6} {:>7.0}/s {:>7.0}/s {:>7.0}/s {:>7.0}/s {:>8} {:>7} {:>7} {:>7} {:>7}",
                outcome.load,
                outcome.offered,
                outcome.before,
                outcome.during,
                outcome.after,
                outcome.back.map_or("never".into(), |back| format!("{:.1} s", back.as_secs_f64())),
                counts.failed(),
                counts.wrong,
                counts.buried_alive,
                counts.buried,
            )?;
        }
        let lost: Vec<String> = self.outcomes.iter().filter_map(reasons).collect();
        if !lost.is_empty() {
            writeln!(f, "\nfailed because of: {}", lost.join("; "))?;
        }
        writeln!(f, "\nalive, dead: verdicts of death on nodes that were up and reachable throughout, and on others")?;
        write!(f, "violations: {}", self.violations().len())
    }
}

fn reasons(outcome: &Outcome) -> Option<String> {
    let lost: Vec<String> = outcome.counts.lost.iter().map(|(why, count)| format!("{why} {count}")).collect();
    (!lost.is_empty()).then(|| format!("load {}: {}", outcome.load, lost.join(", ")))
}

/// A time in seconds, for tables and plots.
pub(super) fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
