//! Periods and time limits for a kind of network, all at once.

use std::time::Duration;

use clap::ValueEnum;

/// A kind of network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    Lan,
    Wan,
    Test,
}

/// What a profile sets.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub stabilize: Duration,
    pub fix_fingers: Duration,
    pub check_predecessor: Duration,
    pub rpc_timeout: Duration,
    pub lookup_timeout: Duration,
    pub successors: usize,
}

impl Profile {
    /// The profile's values, with their reasons.
    pub fn pace(self) -> Pace {
        let millis = Duration::from_millis;
        match self {
            // A round trip takes less than 10 ms, and a node that is silent for two seconds is dead. Any seven members
            // may die at once.
            Profile::Lan => Pace {
                stabilize: millis(1000),
                fix_fingers: millis(1000),
                check_predecessor: millis(1000),
                rpc_timeout: millis(1000),
                lookup_timeout: millis(5000),
                successors: 8,
            },
            // A round trip takes up to 300 ms, and a lost packet is sent again after one second, and then after two. A
            // cut cable takes more neighbours away.
            Profile::Wan => Pace {
                stabilize: millis(3000),
                fix_fingers: millis(3000),
                check_predecessor: millis(3000),
                rpc_timeout: millis(4000),
                lookup_timeout: millis(20_000),
                successors: 12,
            },
            // All nodes are on one machine, and people and tests wait for them.
            Profile::Test => Pace {
                stabilize: millis(100),
                fix_fingers: millis(100),
                check_predecessor: millis(100),
                rpc_timeout: millis(500),
                lookup_timeout: millis(2500),
                successors: 4,
            },
        }
    }

    /// As it is given.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Lan => "lan",
            Profile::Wan => "wan",
            Profile::Test => "test",
        }
    }
}
