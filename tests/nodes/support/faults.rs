//! Faults of nodes, and when the rules allow them.

use std::collections::BTreeSet;

/// The faults, and the ends of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Killed; started again in some later burst.
    Crash,
    /// Killed and started again at once.
    Restart,
    /// Stopped for less than three seconds.
    Flicker,
    /// Stopped until some later burst.
    Silence,
    /// Killed some milliseconds after its start.
    DeathInJoining,
    /// Thirty start at once.
    Storm,
    /// As many of those thirty as the rules allow, all over the ring, are killed at once.
    Leave,
    /// Started after a crash.
    Return,
    /// Continued after a silence.
    Wake,
}

/// The incidents that are drawn, each once before any comes again.
pub const DRAWN: [Fault; 5] = [Fault::Crash, Fault::Restart, Fault::Flicker, Fault::Silence, Fault::DeathInJoining];

/// Whether the rules allow to strike these members as well: `settled` are the members at the start of the
/// burst, and `struck` are those that were killed or stopped since.
///
/// The lists of nodes have r successors out of `settled`, and perhaps some newer members among them. So
/// a newer member that lives does no harm, but the rules do not rely on it.
pub fn allow(settled: &BTreeSet<usize>, struck: &BTreeSet<usize>, victims: &[usize], r: usize) -> bool {
    let again = victims.iter().any(|at| struck.contains(at));
    let bad: BTreeSet<_> = struck.iter().chain(victims).collect();
    let circle: BTreeSet<_> = settled.iter().chain(bad.iter().copied()).collect();
    let mut adjacent = 0;
    // Twice round, since adjacent nodes may lie across the end of the list.
    let rows = circle.iter().chain(&circle).map(|at| {
        adjacent = if bad.contains(at) { adjacent + 1 } else { 0 };
        adjacent
    });
    !again && rows.max().unwrap_or_default() < r && circle.difference(&bad).count() > r
}
