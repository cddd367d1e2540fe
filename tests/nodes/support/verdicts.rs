//! Verdicts of death, as processes log them.

use std::time::SystemTime;

use crate::support::process::Process;
use chord::Addr;

/// A node has taken another for dead.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    pub at: SystemTime,
    pub on: Addr,
}

/// All verdicts of the nodes of a process, if it logs them.
pub fn of(process: &Process) -> Vec<Verdict> {
    process.errors().lines().filter(|line| line.contains("found dead")).map(verdict).collect()
}

fn verdict(line: &str) -> Verdict {
    let time = line.split_whitespace().next().and_then(|time| humantime::parse_rfc3339(time).ok());
    let on = line.split_whitespace().find_map(|word| word.strip_prefix("addr=")?.parse().ok());
    Verdict {
        at: time.unwrap_or_else(|| panic!("no time: {line}")),
        on: on.unwrap_or_else(|| panic!("no node: {line}")),
    }
}
