//! What work takes.

use std::time::Duration;

use crate::protocol::admission::MAX_LOOKUPS;

/// What a thread spends of its time on each piece of work; everything else is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prices {
    /// To read a frame, and to write another one.
    pub frame: Duration,
    /// To begin a lookup or a conversation, and for each of its further steps.
    pub step: Duration,
    /// To make or to accept a connection.
    pub connection: Duration,
}

/// What most lookups take of all threads together, in frames and in steps, in rings of some dozen nodes.
const FRAMES: u32 = 6;
const STEPS: u32 = 6;

impl Prices {
    /// About those of the program on a slow machine: a thread serves some 3,000 lookups a second.
    pub const USUAL: Prices = Prices {
        frame: Duration::from_micros(30),
        step: Duration::from_micros(20),
        connection: Duration::from_micros(600),
    };

    /// So many times as dear.
    pub fn times(self, factor: u32) -> Prices {
        Prices { frame: self.frame * factor, step: self.step * factor, connection: self.connection * factor }
    }

    /// The lookups that a thread takes on at once. The program's limit is what a thread of it does in 0.4 s; a dearer one has
    /// less to take on.
    pub(super) fn most_lookups(self) -> usize {
        let one = self.frame * FRAMES + self.step * STEPS;
        (Duration::from_millis(400).as_nanos() / one.as_nanos().max(1)).clamp(64, MAX_LOOKUPS as u128) as usize
    }
}
