//! The costs of a process.

use std::fs;
use std::io;

use crate::support::process::Process;

/// The memory and the open files of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Resident memory in KiB.
    pub memory: u64,
    pub files: usize,
}

impl Cost {
    /// The present costs of a running process.
    pub fn of(process: &Process) -> io::Result<Cost> {
        Cost::of_pid(process.pid())
    }

    /// The same for a process that another thread talks to.
    pub fn of_pid(pid: u32) -> io::Result<Cost> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
        let memory = resident.and_then(|kib| kib.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Cost { memory, files: fs::read_dir(format!("/proc/{pid}/fd"))?.count() })
    }
}

/// How the costs of a ring's members have changed.
pub struct Growth {
    /// Of members that were there all the time: at the end of the first storm, and now.
    pub since: Vec<(Cost, Cost)>,
    /// Of all, now.
    pub all: Vec<Cost>,
}

/// Resident memory may grow by this much, in KiB. A node remembers some dozens of peers and connections in
/// a few hundred KiB; the rest is the allocator's slack, which follows the busiest moment: it
/// grows in steps, with storms, up to 1,352 KiB in five minutes.
const MAX_GROWTH: u64 = 3 * 1024;

/// Open files beside those for each other member: standard streams, listener, signals, the runtime (15
/// in a ring of one), and connections for one call that come or go.
const OTHER_FILES: usize = 40;

impl Growth {
    /// Whether no member has grown beyond its bounds. Of each other member there are at most two
    /// connections, one that it has dialled and one that was dialled.
    pub fn check(&self) -> Result<(), String> {
        let grown = |(before, now): &&(Cost, Cost)| now.memory > before.memory + MAX_GROWTH;
        let limit = OTHER_FILES + 2 * self.all.len();
        match (self.since.iter().find(grown), self.all.iter().find(|cost| cost.files > limit)) {
            (Some((before, now)), _) => Err(format!("{} KiB of memory have become {}", before.memory, now.memory)),
            (_, Some(cost)) => Err(format!("{} open files, more than {limit}", cost.files)),
            (None, None) => Ok(()),
        }
    }

    /// The figures.
    pub fn describe(&self) -> String {
        let grown = self.since.iter().map(|(before, now)| now.memory as i64 - before.memory as i64);
        let opened = self.since.iter().map(|(before, now)| now.files as i64 - before.files as i64);
        let most = |figure: fn(&Cost) -> u64| self.all.iter().map(figure).max().unwrap_or_default();
        format!(
            "{} nodes from the warm ring to the end: memory {} to {} KiB more, files {} to {} more; of all {} at the end \
             at most {} KiB and {} files",
            self.since.len(),
            grown.clone().min().unwrap_or_default(),
            grown.max().unwrap_or_default(),
            opened.clone().min().unwrap_or_default(),
            opened.max().unwrap_or_default(),
            self.all.len(),
            most(|cost| cost.memory),
            most(|cost| cost.files as u64),
        )
    }
}
