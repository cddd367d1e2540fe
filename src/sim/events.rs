//! Events of a simulation: their address, the run of the program there, and the contents of messages.

use std::time::Duration;

use bytes::BytesMut;

use crate::protocol::failure_detector::Verdict;
use crate::protocol::id::Id;
use crate::protocol::lookup::iterative::Style;
use crate::protocol::maintenance::Timer;
use crate::protocol::peer::Peer;

/// An address, numbered in the order in which addresses first occurred.
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
    /// Of the address at which the program runs.
    pub slot: Slot,
    /// Counts the programs that were started at that address; 0 if none was.
    pub generation: u32,
}

/// An event due at an address.
#[derive(Debug)]
pub(super) struct Event {
    pub slot: Slot,
    /// If given, only for that run of the program.
    pub generation: Option<u32>,
    pub happening: Happening,
}

#[derive(Debug)]
pub(super) enum Happening {
    Heard(Place, Content),
    /// The wait of a run is over, unless it has set another alarm since.
    Alarm {
        run: u64,
        alarm: u64,
    },
    /// The time limit of a lookup has passed.
    Deadline(u64),
    /// A timer fires, unless it was set anew.
    Fire(Timer, u64),
    /// A finger is to be looked up, unless that was scheduled anew.
    FixFinger(u64),
    /// The program has left its ring and ends.
    End,
    /// A caller outside asks a node of a thread, under this number.
    LookUp {
        number: u64,
        asked: Duration,
        key: Id,
        style: Option<Style>,
    },
    /// The verdict on the node that a run suspects, unless the run has set another alarm since.
    Verdict {
        run: u64,
        alarm: u64,
        verdict: Verdict,
    },
    /// The time of a call of this node's program is over.
    CallDeadline(u64),
    /// Such a call looks its owner up again.
    CallAgain(u64),
    /// A thread is free.
    Turn(usize),
    /// A thread is to look at the clock; it is due at this time.
    Beat(usize, Duration),
}

/// A message on its way.
#[derive(Clone, Debug)]
pub(super) struct Post {
    pub from: Place,
    pub to: Slot,
    /// The run of the program at the other end of the connection; a call makes a new connection if need be.
    pub generation: Option<u32>,
    pub content: Content,
}

/// What a kernel delivers to a program, or to another kernel.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// A frame with the call of this number.
    Call(u64, BytesMut),
    /// A frame with an answer.
    Return(BytesMut),
    /// The call of this number was refused: no program listens there.
    Refused(u64),
    /// A kept connection has broken.
    Severed,
    /// A frame on a channel, between the programs of two nodes.
    Channel { caller: Peer, callee: Id, bytes: BytesMut },
    /// A channel has broken.
    ChannelLost,
    /// A new connection, where that takes time.
    Opened,
}
