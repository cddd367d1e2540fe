//! The resources that this process uses and may use.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// The process may not open enough files for these nodes on these threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{nodes} nodes need {needed} open files at least (threads: {threads}), but this process is allowed {allowed}: \
     fewer nodes or threads, or a higher limit (ulimit -Hn)"
)]
pub struct NoRoom {
    /// As configured.
    pub nodes: u64,
    /// As configured, at most as many as nodes.
    pub threads: u64,
    /// Files for listening sockets, for the fewest connections, and for everything else; more than `allowed`.
    pub needed: u64,
    /// The soft limit of the system, raised to the hard one before.
    pub allowed: u64,
}

/// Standard input and output, threads, signals, and connections that are closing.
const FILES_BESIDES: u64 = 128;

/// Short-lived connections: each thread first calls each node directly, until the node names its front, and again when
/// it is suspected. With this many at a time none waits for long.
const PASSING: u64 = 64;

/// Raises the limit on open files to the maximum that is allowed.
pub fn raise_files() {
    let files = getrlimit(Resource::Nofile);
    if files.current != files.maximum {
        // An error leaves the old limit, which is then the one that counts.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum });
    }
}

/// How many connections these nodes on these threads may make together, so that the open files that this process is
/// allowed suffice for all.
pub fn connections(nodes: u64, threads: u64) -> Result<u64, NoRoom> {
    left_by(nodes, threads, getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
}

/// Each node has a listening socket. Each connection has two ends, both in this process. At least one connection leads
/// from each thread to each.
fn left_by(nodes: u64, threads: u64, allowed: u64) -> Result<u64, NoRoom> {
    let (beside, fewest) = (nodes + FILES_BESIDES, threads * threads + PASSING);
    let needed = beside + 2 * fewest;
    if allowed < needed { Err(NoRoom { nodes, threads, needed, allowed }) } else { Ok((allowed - beside) / 2) }
}

/// Resident memory of this process, in bytes; none if there is no /proc.
pub fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Processor time of all threads of this process since it began.
pub fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_shared_by_all_nodes() {
        assert_eq!(left_by(1000, 2, 20_000), Ok(9_436));
        assert_eq!(left_by(1000, 2, 1_264), Ok(68), "two threads, and those that pass");
        let none = NoRoom { nodes: 1000, threads: 2, needed: 1_264, allowed: 1_263 };
        assert_eq!(left_by(1000, 2, 1_263), Err(none));
        assert!(left_by(1000, 95, 20_000).is_ok() && left_by(1000, 98, 20_000).is_err());
    }

    #[test]
    fn processor_time_and_memory_are_those_of_this_process() {
        let (before, taken) = (processor_time(), vec![1u8; 64 << 20]);
        assert!(resident().is_none_or(|resident| resident > 64 << 20));
        assert_eq!(taken.iter().map(|byte| u64::from(*byte)).sum::<u64>(), 64 << 20);
        assert!(processor_time() > before);
    }
}
