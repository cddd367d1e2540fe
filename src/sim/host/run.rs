//! A conversation or lookup under way, as data.

use std::time::Duration;

use super::super::events::Place;
use crate::protocol::addr::Addr;
use crate::protocol::conversation::{Conversation, Outcome};
use crate::protocol::lookup::iterative::Style;
use crate::protocol::lookup::restarts::Restarts;
use crate::protocol::lookup::{Finding, Lookup, Query};
use crate::protocol::patient::Patient;
use crate::protocol::peer::Peer;
use crate::protocol::procedure::{Answer, Procedure, Step, Target};
use crate::protocol::spread::Spread;
use crate::sim::storm::thread::Client;

/// A conversation or lookup under way.
pub(in super::super) struct Run {
    pub(super) talk: Patient<Talk>,
    pub(super) purpose: Purpose,
    /// What a lookup seeks, and how often it has begun again.
    pub(super) lookup: Option<(Sought, Restarts)>,
    pub(super) deadline: Option<Duration>,
    /// The numbers of the open question and of the probe.
    pub(super) open: Option<u64>,
    pub(super) probe: Option<u64>,
    /// The target of the question or probe.
    pub(super) target: Option<Target>,
    pub(super) rest: Option<Rest>,
    /// The time limit of the open question, and the number of the alarm that is set.
    pub(super) wait: Duration,
    pub(super) alarm: u64,
    /// What the alarm is for.
    pub(super) waiting: Wait,
    /// When the open question is given up.
    pub(super) until: Duration,
    /// The hop at which a lookup waits, and whether that hop is overdue.
    pub(super) hop: Option<(Addr, bool)>,
    /// The client for which its thread has admitted it.
    pub(super) client: Option<Client>,
    /// All calls that it has made.
    pub(super) calls: Vec<u64>,
    /// The successor lists that were sent to it, each behind the node that sent it. When the run ends, one of them may
    /// be adopted.
    pub(in super::super) lists: Vec<Vec<Peer>>,
}

impl Run {
    /// Whether it waits for the answer to its open question, and for nothing else.
    pub(super) fn waits_for_answer(&self) -> bool {
        self.open.is_some() && self.probe.is_none() && self.rest.is_none()
    }
}

/// A pause in which other nodes may learn more.
pub(super) enum Rest {
    /// Then it asks its next question.
    BeforeQuestion,
    /// Then its lookup begins again.
    BeforeRestart,
}

/// What a lookup seeks, and how.
#[derive(Clone)]
pub(super) struct Sought {
    pub query: Query,
    pub style: Style,
    /// See [`Lookup::doubting`].
    pub doubted: Vec<Peer>,
    /// See [`Lookup::guessing`].
    pub guess: Option<Peer>,
}

impl Sought {
    /// Seeks an answer to this query in this style.
    pub(super) fn by(style: Style, query: Query) -> Sought {
        Sought { query, style, doubted: Vec::new(), guess: None }
    }
}

#[expect(clippy::large_enum_variant, reason = "nearly all are of the larger kind")]
pub(super) enum Talk {
    Conversation(Conversation),
    Spread(Spread),
    Lookup(Box<Lookup>),
}

pub(super) enum End {
    Outcome(Outcome),
    Finding(Finding),
    Told,
}

/// What a conversation or lookup is for.
pub(super) enum Purpose {
    Maintenance,
    /// To tell others of another ring.
    News,
    Fingers,
    /// To answer call `number`, which came at `asked`; `say` makes the answer.
    Caller {
        from: Place,
        number: u64,
        want_path: bool,
        asked: Duration,
    },
    /// To answer a caller outside, under this number.
    Outside(u64),
    /// To call the owner of a key, in the call of this number.
    Service(u64),
}

impl Procedure for Talk {
    type Output = End;

    fn start(&mut self) -> Step<End> {
        match self {
            Talk::Conversation(conversation) => conversation.start().map(End::Outcome),
            Talk::Spread(spread) => spread.start().map(|()| End::Told),
            Talk::Lookup(lookup) => lookup.start().map(End::Finding),
        }
    }

    fn resume(&mut self, answer: Answer) -> Step<End> {
        match self {
            Talk::Conversation(conversation) => conversation.resume(answer).map(End::Outcome),
            Talk::Spread(spread) => spread.resume(answer).map(|()| End::Told),
            Talk::Lookup(lookup) => lookup.resume(answer).map(End::Finding),
        }
    }

    fn take_dead(&mut self) -> Vec<Peer> {
        match self {
            Talk::Conversation(conversation) => conversation.take_dead(),
            Talk::Spread(spread) => spread.take_dead(),
            Talk::Lookup(lookup) => lookup.take_dead(),
        }
    }

    fn waits(&self) -> u8 {
        match self {
            Talk::Conversation(conversation) => conversation.waits(),
            Talk::Spread(spread) => spread.waits(),
            Talk::Lookup(lookup) => lookup.waits(),
        }
    }
}

/// A wait for another node.
#[derive(Clone, Copy, Default)]
pub(super) struct Wait {
    pub began: Duration,
    pub agreed: Duration,
}

/// Which connection a call uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The kept one; if there is none, a new one that is kept.
    Kept,
    /// A new one, which is not kept.
    Fresh,
    /// A new one: the kept connection broke while the call was open.
    Again,
}
