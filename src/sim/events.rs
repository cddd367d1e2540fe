//! What happens in a simulation: where, to which run of a program, and what messages carry.

use std::time::Duration;

use bytes::BytesMut;

use crate::protocol::failure_detector::Verdict;
use crate::protocol::id::Id;
use crate::protocol::lookup::iterative::Style;
use crate::protocol::maintenance::Timer;

/// An address, by the order in which addresses were first heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(pub(super) u32);

impl Slot {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// One run of a program at an address; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub slot: Slot,
    pub generation: u32,
}

/// Something that is to happen at an address.
#[derive(Debug)]
pub(super) struct Event {
    pub slot: Slot,
    /// Only to that run of the program.
    pub generation: Option<u32>,
    pub happening: Happening,
}

#[derive(Debug)]
pub(super) enum Happening {
    Heard(Place, Content),
    /// The patience of a run is at its end, unless it has another alarm by now.
    Alarm {
        run: u64,
        alarm: u64,
    },
    /// The time of a lookup is over.
    Deadline(u64),
    /// A timer fires, unless it was set anew.
    Fire(Timer, u64),
    /// A finger is to be looked up, unless that was scheduled anew.
    FixFinger(u64),
    /// The program has left its ring, and ends.
    End,
    /// Somebody outside asks a node of a thread, under this number.
    LookUp {
        number: u64,
        asked: Duration,
        key: Id,
        style: Option<Style>,
    },
    /// The verdict on the node that a run suspects, unless it has another alarm by now.
    Verdict {
        run: u64,
        alarm: u64,
        verdict: Verdict,
    },
    /// A thread is free.
    Turn(usize),
    /// A thread is to look at the clock, at this time.
    Beat(usize, Duration),
}

/// A message on its way.
#[derive(Clone, Debug)]
pub(super) struct Post {
    pub from: Place,
    pub to: Slot,
    /// The other end of the connection; a call makes a new one if need be.
    pub generation: Option<u32>,
    pub content: Content,
}

/// What a kernel hands to a program, or to another kernel.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// A frame with the call of this number.
    Call(u64, BytesMut),
    /// A frame with an answer.
    Return(BytesMut),
    /// Nobody listens where that call went.
    Refused(u64),
    /// A kept connection has broken.
    Severed,
    /// Somebody connects, where that takes time.
    Opened,
}
