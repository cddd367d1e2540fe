//! Many histories, on all processors.

use std::ops::{ControlFlow, Range};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::summary::Summary;
use super::{Options, Report, history};

/// Runs the histories of these seeds on `jobs` threads. Calls `told` with each report; its result says whether to begin
/// others. The summary does not depend on the number of threads.
pub fn sweep(
    seeds: Range<u64>,
    options: &Options,
    jobs: usize,
    told: impl Fn(&Report) -> ControlFlow<()> + Sync,
) -> Summary {
    let next = AtomicU64::new(seeds.start);
    let summary = Mutex::new(Summary::default());
    let work = || {
        let mut mine = Summary::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let report = history(seed, options);
            mine.add(&report);
            if told(&report).is_break() {
                break;
            }
        }
        // If another thread has panicked, so does the whole sweep.
        if let Ok(mut all) = summary.lock() {
            all.merge(mine);
        }
    };
    thread::scope(|scope| (0..jobs.max(1)).for_each(|_| drop(scope.spawn(work))));
    summary.into_inner().unwrap_or_default()
}
