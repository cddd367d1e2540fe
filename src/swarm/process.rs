//! What this process takes of its machine.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// So many nodes on so many threads can't have the files that they need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{nodes} nodes need {needed} open files at least (threads: {threads}), but this process is allowed {allowed}: \
     fewer nodes or threads, or a higher limit (ulimit -Hn)"
)]
pub struct NoRoom {
    pub nodes: u64,
    pub threads: u64,
    pub needed: u64,
    pub allowed: u64,
}

/// Standard input and output, threads, signals.
const FILES_BESIDES: u64 = 64;

/// Allows this process as many open files as it can have.
pub fn raise_files() {
    let files = getrlimit(Resource::Nofile);
    if files.current != files.maximum {
        // An error leaves what there was, and that is what counts.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum });
    }
}

/// How many connections each of so many nodes on so many threads may make, so that the open files that this
/// process is allowed suffice for all.
pub fn connections_each(nodes: u64, threads: u64) -> Result<u64, NoRoom> {
    share(nodes, threads, getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
}

/// A node has a socket that listens, and a connection two ends, both in this process. One connection leads to it
/// from each thread, and there is one more for whoever doubts it. One file in twenty is left for connections that
/// are closing.
fn share(nodes: u64, threads: u64, allowed: u64) -> Result<u64, NoRoom> {
    let beside = nodes + FILES_BESIDES + allowed / 20;
    let (each, fewest) = (allowed.saturating_sub(beside) / (2 * nodes), threads + 1);
    let needed = beside + fewest * 2 * nodes;
    if each < fewest { Err(NoRoom { nodes, threads, needed, allowed }) } else { Ok(each) }
}

/// Bytes of memory that this process has; none where there is no /proc.
pub fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Processor time of this process since it began, of all threads.
pub fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_shared_by_all_nodes() {
        assert_eq!(share(100, 1, 20_000), Ok(94));
        assert_eq!(share(1000, 7, 20_000), Ok(8));
        assert_eq!(share(2000, 2, 20_000), Ok(4));
        assert!(share(2000, 3, 20_000).is_ok() && share(3000, 1, 20_000).is_ok());
        let none = NoRoom { nodes: 3000, threads: 2, needed: 22_064, allowed: 20_000 };
        assert_eq!(share(3000, 2, 20_000), Err(none));
    }

    #[test]
    fn processor_time_and_memory_are_those_of_this_process() {
        let (before, taken) = (processor_time(), vec![1u8; 64 << 20]);
        assert!(resident().is_none_or(|resident| resident > 64 << 20));
        assert_eq!(taken.iter().map(|byte| u64::from(*byte)).sum::<u64>(), 64 << 20);
        assert!(processor_time() > before);
    }
}
