//! What a process costs.

use std::fs;
use std::io;

use crate::process::Process;

/// The memory and the open files of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Resident memory in KiB.
    pub memory: u64,
    pub files: usize,
}

impl Cost {
    /// What a running process costs now.
    pub fn of(process: &Process) -> io::Result<Cost> {
        let pid = process.pid();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
        let memory = resident.and_then(|kib| kib.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Cost { memory, files: fs::read_dir(format!("/proc/{pid}/fd"))?.count() })
    }
}

/// What became of the costs of a ring's members.
pub struct Growth {
    /// Of those that were there all the time: when all was warm, and now.
    pub since: Vec<(Cost, Cost)>,
    /// Of all, now.
    pub all: Vec<Cost>,
}
