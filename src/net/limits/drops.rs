//! Counts what was dropped, so that a flood does not flood the log: the first drop of each kind since the last summary
//! is logged at once, the others in one line of the summary.

use std::cell::Cell;
use std::fmt::Write;
use std::time::Duration;

/// What was dropped, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// An accepted connection, since there were too many in all.
    Crowded,
    /// An accepted connection, since there were too many from its address.
    Overbearing,
    /// A connection that sent an invalid frame.
    Nonsense,
    /// A connection on which a frame was not completed in time.
    Slow,
    /// A connection whose other end did not read what it was sent.
    Unread,
    /// A call that needed a connection to a node that has never answered, or one connection too many.
    Undialed,
    /// A reply that could not be understood.
    Unclear,
    /// A connection with a node of another ring, or with a plain peer where these are not admitted.
    Stranger,
    /// A connection that could not be accepted or made, most likely for lack of files.
    Starved,
}

/// Each as a label, in the order of [`DropReason`].
pub const REASONS: [&str; NAMES.len()] =
    ["crowded", "overbearing", "nonsense", "slow", "unread", "undialed", "unclear", "stranger", "starved"];

/// The name of each in the log, in the order of [`DropReason`].
const NAMES: [&str; 9] = [
    "connections beyond the limit",
    "connections beyond the limit for their address",
    "connections that talked nonsense",
    "connections with unfinished frames",
    "connections whose peer does not read",
    "calls to too many new nodes",
    "replies that can't be understood",
    "connections with nodes of other rings",
    "connections for lack of files",
];

/// The period of the summary, which is logged only if anything was dropped.
pub const SUMMARY_EVERY: Duration = Duration::from_secs(10);

/// How often each kind was dropped since the last summary.
#[derive(Debug, Default)]
pub struct DropCounters([Cell<u64>; NAMES.len()]);

impl DropCounters {
    /// Counts one more. Returns whether it is the first of its kind since the last summary, which deserves a line of
    /// its own.
    pub fn count(&self, shed: DropReason) -> bool {
        let count = &self.0[shed as usize];
        count.set(count.get().saturating_add(1));
        count.get() == 1
    }

    /// All counts as one line, and resets them; `None` if each drop has had a line of its own.
    pub fn summary(&self) -> Option<String> {
        let mut line = String::new();
        for (count, name) in self.0.iter().zip(NAMES) {
            let n = count.take();
            if n > 1 {
                let separator = if line.is_empty() { "" } else { ", " };
                // Writing to a string does not fail.
                let _ = write!(line, "{separator}{n} {name}");
            }
        }
        (!line.is_empty()).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_events_make_one_line() {
        let tally = DropCounters::default();
        assert!(tally.count(DropReason::Nonsense), "the first is told by itself");
        assert!((1..1000).all(|_| !tally.count(DropReason::Nonsense)));
        assert!(tally.count(DropReason::Unread));
        tally.count(DropReason::Starved);
        tally.count(DropReason::Starved);
        let line = "1000 connections that talked nonsense, 2 connections for lack of files";
        assert_eq!(tally.summary().as_deref(), Some(line));
        assert_eq!(tally.summary(), None, "each is told once");
        assert!(tally.count(DropReason::Nonsense));
        assert_eq!(tally.summary(), None, "and was told by itself");
    }
}
