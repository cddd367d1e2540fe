//! What the process uses, by the names that all exporters give it
//! (<https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>); from /proc, where there is one.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// What the process uses now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Process {
    /// Seconds of processor time.
    pub(super) cpu: f64,
    /// Bytes of memory.
    pub(super) resident: u64,
    pub(super) virtual_: u64,
    pub(super) open_files: u64,
    pub(super) max_files: Option<u64>,
    /// Seconds since 1970.
    pub(super) started: Option<f64>,
    pub(super) threads: u64,
}

impl Process {
    /// Of this process; `None` without /proc.
    pub(super) fn now() -> Option<Process> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let boot = fs::read_to_string("/proc/stat").ok();
        let boot = boot.as_deref().and_then(|stat| stat.lines().find_map(|line| line.strip_prefix("btime ")));
        let open_files = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
        let max_files = getrlimit(Resource::Nofile).current;
        let process = parse(&stat, boot, clock_ticks_per_second(), page_size() as u64)?;
        Some(Process { open_files, max_files, ..process })
    }
}

/// See proc_pid_stat(5): the fields behind the name of the program, which may contain anything.
fn parse(stat: &str, boot: Option<&str>, ticks: u64, page: u64) -> Option<Process> {
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // The first of these fields is the third of all.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let seconds = |time: u64| time as f64 / ticks as f64;
    Some(Process {
        cpu: seconds(field(14)? + field(15)?),
        threads: field(20)?,
        started: boot.and_then(|boot| Some(boot.trim().parse::<u64>().ok()? as f64 + seconds(field(22)?))),
        virtual_: field(23)?,
        resident: field(24)?.checked_mul(page)?,
        open_files: 0,
        max_files: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_the_program_may_have_spaces_and_brackets() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 3 0 1000 4096000 25 18446744073709551615";
        let process = parse(stat, Some("1700000000"), 100, 4096).unwrap();
        assert_eq!((process.cpu, process.threads, process.started), (3.0, 3, Some(1_700_000_010.0)));
        assert_eq!((process.virtual_, process.resident), (4_096_000, 102_400));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_and_files() {
        let process = Process::now().unwrap();
        assert!(process.resident > 1 << 20 && process.virtual_ >= process.resident);
        assert!(process.open_files > 2 && process.max_files.is_none_or(|most| most >= process.open_files));
    }
}
