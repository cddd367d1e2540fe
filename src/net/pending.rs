//! The questions to the other end of a connection: those in flight on it, and those that wait.
//!
//! Every clone can ask. A question goes straight to the outbox, and the reader of the connection hands the answer
//! straight to the asker. So a call on a kept connection passes no mailbox.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use foldhash::HashMap;
use rustix::io::Errno;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::net::events::Origin;
use crate::net::limits::drops::DropReason;
use crate::net::meters::Meters;
use crate::net::outbox::{Outbox, Urgency};
use crate::net::resident::Resident;
use crate::net::traffic::Counters;
use crate::protocol::addr::Addr;
use crate::protocol::admission::{Class, MAX_LOOKUPS};
use crate::protocol::rpc::Request;
use crate::wire::{Frame, Question, Reply};

/// Asks the other end of one connection. Clones ask the same.
#[derive(Clone)]
pub struct PendingCalls(Rc<RefCell<Inner>>);

struct Inner {
    resident: Rc<Resident>,
    origin: Origin,
    kind: Kind,
    /// Where frames to be written go; none before the connection is made and while it is closing.
    outbox: Option<Outbox>,
    /// Whether no more questions are put.
    closed: bool,
    /// Questions that wait for the connection, or for the first echo.
    waiting: VecDeque<Waiting>,
    /// Questions in flight, by the number of the call.
    asked: HashMap<u64, InFlight>,
    /// From when on the times in `asked` are counted.
    began: Instant,
    last_call: u64,
    /// Whether this end has named itself and its incarnation.
    introduced: bool,
}

/// A question that is in flight or waits its turn; resolves to its outcome. Dropping it means that the asker has
/// stopped waiting.
pub struct Pending {
    heard: oneshot::Receiver<CallOutcome>,
    pending: PendingCalls,
    /// The number of the call, if it was put at once and the answer is still to come.
    call: Option<u64>,
}

/// A question that was put. Thousands may be in flight, so it is small.
struct InFlight {
    asker: oneshot::Sender<CallOutcome>,
    /// When it was put, in microseconds of the connection's time. They begin anew after 71 minutes.
    put: u32,
    /// What it is counted as.
    call: u8,
}

struct Waiting {
    request: Request,
    /// The port of the node that is asked, if the connection was made to another node (a front).
    to: Option<u16>,
    patience: Option<Duration>,
    asker: oneshot::Sender<CallOutcome>,
}

/// What came of a question.
#[derive(Debug)]
pub enum CallOutcome {
    Reply(Reply),
    /// The connection was refused: no program listens there.
    Refused,
    /// The connection was closed before a reply came, or could not be made in time.
    Lost,
    /// The other end turned out to be a plain peer while the question was waiting: it needs a
    /// connection of its own.
    Plain,
    /// Too many calls are in flight.
    Busy,
}

impl CallOutcome {
    /// What a failure to connect says about the other end.
    pub(crate) fn unconnected(error: &io::Error) -> CallOutcome {
        match Errno::from_io_error(error) {
            // Out of files, ports or memory: the fault is on this machine.
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::ADDRNOTAVAIL) => CallOutcome::Busy,
            _ if error.kind() == io::ErrorKind::ConnectionRefused => CallOutcome::Refused,
            // Any other obstacle (a firewall, a route that is gone): as far as this node can tell, no node lives there.
            _ => CallOutcome::Lost,
        }
    }
}

/// What is known about the node at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Unknown,
    /// A node that knows the extensions: it carries many calls at once, and is kept.
    Ours,
    Plain,
}

/// What a reply shows besides its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// It answers no question.
    Nobody,
    /// The asker no longer waits for it.
    Late,
    /// The first reply shows that no member of this node's ring is there.
    Stranger,
    /// Nothing new.
    Nothing,
    /// The first reply shows what the connection leads to: a node of our own kind in this run of its program, or a
    /// plain peer.
    First { incarnation: Option<u64>, front: Option<u16> },
}

/// At most this many lookups are in flight to the other end or waiting at once: as many as a thread has under way, with
/// their pings. Beyond this limit a call ends as [`CallOutcome::Busy`].
const MAX_LOOKUPS_ASKED: usize = MAX_LOOKUPS;

/// The limit for all questions: maintenance still finds room when lookups find none.
pub const MAX_ASKED: usize = MAX_LOOKUPS_ASKED + 4 * 1024;

impl Pending {
    /// The node that owns the connection.
    pub fn resident(&self) -> Rc<Resident> {
        self.pending.resident()
    }
}

impl PendingCalls {
    /// A connection that has yet to be made.
    pub fn new(origin: Origin, resident: Rc<Resident>) -> PendingCalls {
        PendingCalls(Rc::new(RefCell::new(Inner {
            resident,
            origin,
            kind: if matches!(origin, Origin::DialedPlain(_)) { Kind::Plain } else { Kind::Unknown },
            outbox: None,
            closed: false,
            waiting: VecDeque::new(),
            asked: HashMap::default(),
            began: Instant::now(),
            last_call: 0,
            introduced: false,
        })))
    }

    /// Puts a question, or has it wait until it may be put. To stop waiting, drop the returned value.
    pub fn ask(&self, request: Request, to: Option<u16>, patience: Option<Duration>) -> Pending {
        let (asker, heard) = oneshot::channel();
        let call = self.0.borrow_mut().ask(Waiting { request, to, patience, asker });
        Pending { heard, pending: self.clone(), call }
    }

    /// Puts a question whose answer is not used: only that it arrives matters.
    pub fn say(&self, request: Request) {
        let mut pending = self.ask(request, None, None);
        // Without a number, dropping `pending` does not cancel the call: it stays in flight.
        pending.call = None;
    }

    /// The connection is made: frames go to this outbox.
    pub fn open(&self, outbox: Outbox) {
        let mut inner = self.0.borrow_mut();
        inner.outbox = Some(outbox);
        inner.put_waiting();
    }

    /// Where answers go; `None` before the connection is made, and when it closes.
    pub fn outbox(&self) -> Option<Outbox> {
        self.0.borrow().outbox.clone()
    }

    /// The node that owns the connection.
    pub fn resident(&self) -> Rc<Resident> {
        self.0.borrow().resident.clone()
    }

    /// The address that was dialled, if this end dialled.
    pub fn addr(&self) -> Option<Addr> {
        self.0.borrow().origin.addr()
    }

    /// What is known about the node at the other end.
    pub fn kind(&self) -> Kind {
        self.0.borrow().kind
    }

    /// The other end has shown that it knows the extensions.
    pub fn is_ours(&self) {
        self.0.borrow_mut().kind = Kind::Ours;
    }

    /// Whether no more questions are put.
    pub fn is_closed(&self) -> bool {
        self.0.borrow().closed
    }

    /// Whether any asker still waits for an answer to a call in flight.
    pub fn is_awaited(&self) -> bool {
        let mut inner = self.0.borrow_mut();
        inner.forget_the_impatient();
        !inner.asked.is_empty()
    }

    /// A reply has come just now: hands it to its asker. [`go_on`](Self::go_on) then puts the next questions that wait.
    pub fn returned(&self, reply: Reply, other_end: Option<Addr>, now: Instant) -> Echo {
        self.0.borrow_mut().returned(reply, other_end, now)
    }

    /// Puts waiting questions, as many as may be in flight.
    pub fn go_on(&self) {
        self.0.borrow_mut().put_waiting();
    }

    /// Puts no more questions and gives this outcome to every asker. What is queued in the outbox is still written.
    pub fn close(&self, heard: impl Fn() -> CallOutcome) {
        let mut inner = self.0.borrow_mut();
        inner.closed = true;
        inner.outbox = None;
        let asked = std::mem::take(&mut inner.asked);
        for asked in asked.into_values() {
            inner.ended(asked.call, None, false);
            tell(asked.asker, heard());
        }
        // A connection that was dialled as plain has shown nothing new.
        let plain = inner.kind == Kind::Plain && !matches!(inner.origin, Origin::DialedPlain(_));
        for waiting in inner.waiting.drain(..) {
            tell(waiting.asker, if plain { CallOutcome::Plain } else { heard() });
        }
    }
}

impl Future for Pending {
    type Output = CallOutcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CallOutcome> {
        let heard = ready!(Pin::new(&mut self.heard).poll(cx));
        self.call = None;
        Poll::Ready(heard.unwrap_or(CallOutcome::Lost))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let Some(call) = self.call else { return };
        let mut inner = self.pending.0.borrow_mut();
        // A plain peer answers in order: its next answer is to this question, even if its asker has stopped waiting.
        if inner.kind == Kind::Ours
            && let Some(asked) = inner.asked.remove(&call)
        {
            inner.ended(asked.call, None, false);
        }
    }
}

impl Inner {
    /// The number of the call, if it was put at once.
    fn ask(&mut self, question: Waiting) -> Option<u64> {
        let most = match Class::of(&question.request) {
            Class::Maintenance => MAX_ASKED,
            Class::Forwarded | Class::Begun => MAX_LOOKUPS_ASKED,
        };
        if self.closed {
            tell(question.asker, CallOutcome::Lost);
        } else if self.asked.len() + self.waiting.len() >= most {
            tell(question.asker, CallOutcome::Busy);
        } else if self.may_put() {
            return self.put(question);
        } else if Urgency::of(&question.request) == Urgency::Urgent {
            let first = |waiting: &Waiting| Urgency::of(&waiting.request) == Urgency::InTurn;
            let at = self.waiting.iter().position(first).unwrap_or(self.waiting.len());
            self.waiting.insert(at, question);
        } else {
            self.waiting.push_back(question);
        }
        None
    }

    fn ended(&self, call: u8, took: Option<Duration>, refused: bool) {
        self.resident.counters.meters.ended(call, took, refused);
    }

    fn micros(&self, at: Instant) -> u32 {
        at.saturating_duration_since(self.began).as_micros() as u32
    }

    fn may_put(&self) -> bool {
        self.outbox.is_some() && (self.kind == Kind::Ours || self.asked.is_empty())
    }

    fn forget_the_impatient(&mut self) {
        let meters = &self.resident.counters.meters;
        self.asked.retain(|_, asked| {
            let waits = !asked.asker.is_closed();
            if !waits {
                meters.ended(asked.call, None, false);
            }
            waits
        });
        self.waiting.retain(|waiting| !waiting.asker.is_closed());
    }

    fn put_waiting(&mut self) {
        while self.may_put() {
            let Some(next) = self.waiting.pop_front() else {
                // Questions rarely wait again: frees the queue's memory.
                self.waiting = VecDeque::new();
                return;
            };
            // The first is put even if its asker has stopped waiting: a connection without a call on it blocks some
            // plain peers.
            if self.last_call == 0 || !next.asker.is_closed() {
                let _number = self.put(next);
            }
        }
    }

    fn put(&mut self, Waiting { request, to, patience, asker }: Waiting) -> Option<u64> {
        let Some(outbox) = &self.outbox else {
            tell(asker, CallOutcome::Lost);
            return None;
        };
        let (urgency, call) = (Urgency::of(&request), Meters::number(&request));
        self.last_call += 1;
        let introduces = self.kind == Kind::Ours && !self.introduced && self.origin.addr().is_some();
        self.introduced |= introduces;
        let question = match self.kind {
            Kind::Plain => Question::plain(request),
            Kind::Unknown | Kind::Ours => Question {
                request: Ok(request),
                call_id: Some(self.last_call),
                deadline: patience,
                caller: introduces.then(|| Box::new((self.resident.me, self.resident.incarnation))),
                to,
                ring: self.resident.ring.clone().filter(|_| introduces || self.kind == Kind::Unknown),
            },
        };
        if outbox.is_full(urgency) || outbox.put(Frame::Call(question), urgency, None).is_err() {
            tell(asker, CallOutcome::Busy);
            return None;
        }
        let Counters { asked, meters, .. } = &*self.resident.counters;
        asked.add(1);
        meters.calls[usize::from(call)].asked.add(1);
        let put = self.micros(Instant::now());
        self.asked.insert(self.last_call, InFlight { asker, put, call });
        Some(self.last_call)
    }

    fn returned(&mut self, mut reply: Reply, other_end: Option<Addr>, now: Instant) -> Echo {
        let asked = match reply.call_id {
            Some(call) => self.asked.remove(&call),
            // A plain peer answers in order, and there is one question in flight.
            None if self.kind != Kind::Ours => self.asked.drain().next().map(|(_, asked)| asked),
            None => None,
        };
        let Some(InFlight { asker, put, call }) = asked else {
            let late = self.kind == Kind::Ours && reply.call_id.is_some_and(|call| call <= self.last_call);
            return if late { Echo::Late } else { Echo::Nobody };
        };
        let took = Duration::from_micros(self.micros(now).wrapping_sub(put).into());
        self.ended(call, Some(took), reply.refusal().is_some());
        let first = self.kind == Kind::Unknown && other_end.is_some();
        let incarnation = reply.call_id.and(reply.responder).map(|(_, incarnation)| incarnation);
        let front = incarnation.and(reply.front);
        if first && !self.resident.accepts(&reply, incarnation.is_some()) {
            if self.resident.dropped(DropReason::Stranger) {
                let why = self.resident.differs(reply.ring.as_deref(), incarnation.is_some());
                tracing::warn!(peer = ?other_end, %why, "that node is no member of this ring");
            }
            tell(asker, CallOutcome::Refused);
            return Echo::Stranger;
        }
        // A node with a front: this connection will not be kept, so it needs no introduction.
        self.introduced |= front.is_some();
        if first {
            self.kind = if incarnation.is_some() { Kind::Ours } else { Kind::Plain };
        }
        if self.kind == Kind::Plain {
            // A plain peer does not know our extension fields: their content can't be trusted.
            (reply.call_id, reply.responder) = (None, None);
        }
        tell(asker, CallOutcome::Reply(reply));
        if first { Echo::First { incarnation, front } } else { Echo::Nothing }
    }
}

fn tell(asker: oneshot::Sender<CallOutcome>, heard: CallOutcome) {
    // An error means that the asker has stopped waiting.
    let _ = asker.send(heard);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refused_connection_proves_that_nobody_is_there() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(matches!(CallOutcome::unconnected(&refused), CallOutcome::Refused));
        let unreachable = io::Error::from(io::ErrorKind::HostUnreachable);
        assert!(matches!(CallOutcome::unconnected(&unreachable), CallOutcome::Lost));
    }

    #[test]
    fn being_out_of_files_is_nobody_else_s_fault() {
        for own in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL] {
            assert!(matches!(CallOutcome::unconnected(&own.into()), CallOutcome::Busy), "{own}");
        }
    }

    #[test]
    fn whoever_is_behind_a_firewall_is_no_want_of_files() {
        for theirs in [Errno::ACCESS, Errno::PERM, Errno::INVAL, Errno::HOSTUNREACH, Errno::NETUNREACH, Errno::IO] {
            assert!(matches!(CallOutcome::unconnected(&theirs.into()), CallOutcome::Lost), "{theirs}");
        }
    }
}
