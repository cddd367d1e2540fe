//! How much time work takes.

use std::time::Duration;

use crate::protocol::admission::MAX_LOOKUPS;

/// The time that a thread needs for each piece of work; everything else takes none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prices {
    /// To read one frame and write another.
    pub frame: Duration,
    /// To begin a lookup or a conversation, and for each of its further steps.
    pub step: Duration,
    /// To make or to accept a connection.
    pub connection: Duration,
}

/// The cost of most lookups over all threads, in frames and in steps, in rings of some dozen nodes.
const FRAMES: u32 = 6;
const STEPS: u32 = 6;

impl Prices {
    /// About those of the program on a slow machine: a thread serves about 3,000 lookups per second.
    pub const USUAL: Prices = Prices {
        frame: Duration::from_micros(30),
        step: Duration::from_micros(20),
        connection: Duration::from_micros(600),
    };

    /// All prices times this factor.
    pub fn times(self, factor: u32) -> Prices {
        Prices { frame: self.frame * factor, step: self.step * factor, connection: self.connection * factor }
    }

    /// The most lookups that a thread admits at once. The program's limit is what one of its threads does in 0.4 s; a
    /// slower thread admits fewer.
    pub(super) fn most_lookups(self) -> usize {
        let one = self.frame * FRAMES + self.step * STEPS;
        (Duration::from_millis(400).as_nanos() / one.as_nanos().max(1)).clamp(64, MAX_LOOKUPS as u128) as usize
    }
}
