//! What this process takes of its machine.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// So many nodes can't have the files that they need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{nodes} nodes need {needed} open files at least, but this process is allowed {allowed}: \
     fewer nodes, or a higher limit (ulimit -Hn)"
)]
pub struct NoRoom {
    pub nodes: u64,
    pub needed: u64,
    pub allowed: u64,
}

/// The socket of a node that listens, and the ends of connections that it has in the smallest of rings that
/// are worth the name.
const FILES_PER_NODE: u64 = 1 + 8;

/// Standard input and output, threads, signals.
const FILES_BESIDES: u64 = 64;

/// Allows this process as many open files as it can have, and says whether so many nodes could do with them.
pub fn make_room(nodes: u64) -> Result<(), NoRoom> {
    let files = getrlimit(Resource::Nofile);
    if files.current != files.maximum {
        // An error leaves what there was, and that is what counts.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum });
    }
    let needed = nodes * FILES_PER_NODE + FILES_BESIDES;
    match getrlimit(Resource::Nofile).current {
        Some(allowed) if allowed < needed => Err(NoRoom { nodes, needed, allowed }),
        _ => Ok(()),
    }
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
    fn nodes_that_never_fit_are_refused_with_what_they_need() {
        assert_eq!(make_room(16), Ok(()));
        let Err(NoRoom { nodes, needed, .. }) = make_room(1 << 40) else { panic!("2^40 nodes have room") };
        assert_eq!((nodes, needed), (1 << 40, (9 << 40) + 64));
    }

    #[test]
    fn processor_time_and_memory_are_those_of_this_process() {
        let (before, taken) = (processor_time(), vec![1u8; 64 << 20]);
        assert!(resident().is_none_or(|resident| resident > 64 << 20));
        assert_eq!(taken.iter().map(|byte| u64::from(*byte)).sum::<u64>(), 64 << 20);
        assert!(processor_time() > before);
    }
}
