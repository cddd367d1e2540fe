//! Counts what was shed, so that a flood does not flood the log: the first of each kind in a while is
//! told as it happens, the others in one line at the end of it.

use std::cell::Cell;
use std::fmt::Write;
use std::time::Duration;

/// What was kept off, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// A connection, since there were too many in all.
    Crowded,
    /// A connection, since there were too many from its address.
    Overbearing,
    /// A connection that talked nonsense.
    Nonsense,
    /// A connection on which a frame was begun and not completed in time.
    Slow,
    /// A connection whose other end did not read.
    Unread,
    /// A call that needed a connection to a node that has never answered, or one connection too many.
    Undialed,
    /// A reply that could not be understood.
    Unclear,
    /// A connection that could not be accepted or made for want of files, most likely.
    Starved,
}

/// What each is called in the log, in the order of [`DropReason`].
const NAMES: [&str; 8] = [
    "connections beyond the limit",
    "connections beyond the limit for their address",
    "connections that talked nonsense",
    "connections with unfinished frames",
    "connections that nobody reads from",
    "calls to too many new nodes",
    "replies that can't be understood",
    "connections for want of files",
];

/// How often there is a line, if anything was shed.
pub const SUMMARY_EVERY: Duration = Duration::from_secs(10);

/// How often each has happened since the last summary.
#[derive(Debug, Default)]
pub struct DropCounters([Cell<u64>; NAMES.len()]);

impl DropCounters {
    /// One more. Says whether it is the first of its kind in a while, which deserves a line of its
    /// own.
    pub fn count(&self, shed: DropReason) -> bool {
        let count = &self.0[shed as usize];
        count.set(count.get().saturating_add(1));
        count.get() == 1
    }

    /// All counts as one line, and a new while begins; `None` if nothing was shed that was not told.
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
        let line = "1000 connections that talked nonsense, 2 connections for want of files";
        assert_eq!(tally.summary().as_deref(), Some(line));
        assert_eq!(tally.summary(), None, "each is told once");
        assert!(tally.count(DropReason::Nonsense));
        assert_eq!(tally.summary(), None, "and was told by itself");
    }
}
