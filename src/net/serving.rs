//! The questions of the other end of a connection: read, taken on or refused, and answered.
//!
//! Questions are read under any load, so that maintenance never waits behind lookups: a lookup that the thread can't
//! take on is refused as busy at once. Only a peer that does not read its answers is not read from. Plain questions are
//! answered in order: the next one waits for the answer to the last.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use crate::actors::messages::{CallRefusal, Serve};
use crate::actors::thread::Client;
use crate::net::frames::Reader;
use crate::net::meters::Meters;
use crate::net::outbox::{Backlog, Outbox, Urgency};
use crate::net::pool::ConnectionPool;
use crate::net::resident::Resident;
use crate::net::serves::Answered;
use crate::protocol::addr::Addr;
use crate::protocol::admission::Class;
use crate::protocol::rpc::{Code, Request, Response};
use crate::wire::{Frame, Question, Reply, WireError};

/// What was read from the connection.
pub enum Incoming {
    Question(Question, Turn),
    /// The other end wants a channel: the frames that follow belong to the channel's reader.
    Channel(Question, Reader),
    Reply(Reply),
    Nonsense(WireError, Turn),
    Broken(io::Error),
}

/// The turn of a plain question, until its answer is written.
pub type Turn = Option<OwnedSemaphorePermit>;

/// Reads the frames of one connection.
pub struct Reading {
    reader: Reader,
    /// Answers that wait to be written.
    backlog: Backlog,
    /// One permit: plain questions take turns.
    turns: Arc<Semaphore>,
}

impl Reading {
    /// Reads frames while the backlog of answers is not too large.
    pub fn new(reader: Reader, backlog: Backlog) -> Reading {
        Reading { reader, backlog, turns: Arc::new(Semaphore::new(1)) }
    }

    /// Reads the next frame. A question is returned only once the backlog of answers is small enough, and a plain one
    /// in its turn. Nothing follows an error. Boxed, because the value is handed on with each frame.
    pub async fn next(mut self: Box<Self>) -> Option<(Incoming, Option<Box<Reading>>)> {
        let frame = match self.reader.next().await? {
            Ok(Frame::Return(reply)) => return Some((Incoming::Reply(reply), Some(self))),
            Ok(Frame::Call(question)) => Ok(question),
            Err(WireError::Io(error)) => return Some((Incoming::Broken(error), None)),
            Err(error) => Err(error),
        };
        if self.backlog.is_large() {
            // Boxed: most connections never wait here.
            Box::pin(self.backlog.shrinks()).await;
        }
        if let Ok(question) = &frame
            && matches!(question.request, Ok(Request::OpenChannel))
            && question.call_id.is_some()
        {
            return Some((Incoming::Channel(frame.ok()?, self.reader), None));
        }
        let turn = match &frame {
            Ok(question) if question.call_id.is_some() => None,
            _ => Some(self.turn().await?),
        };
        Some(match frame {
            Ok(question) => (Incoming::Question(question, turn), Some(self)),
            Err(error) => (Incoming::Nonsense(error, turn), None),
        })
    }

    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        match self.turns.clone().try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => Box::pin(self.turns.clone().acquire_owned()).await.ok(),
        }
    }
}

/// The questions that are being answered on one connection. All clones are the same; when the last is dropped, no
/// caller waits for the answers any more, and the work on them is cancelled.
#[derive(Clone, Default)]
pub struct Served(Rc<Answering>);

#[derive(Default)]
struct Answering {
    /// The other end.
    client: Client,
    /// The address of the other end, if it made the connection.
    from: Option<IpAddr>,
    tasks: RefCell<BTreeMap<u64, AbortHandle>>,
    last: Cell<u64>,
    /// Whether a reply has named the ring.
    named: Cell<bool>,
}

impl Served {
    /// The questions of a caller at that address.
    pub fn from(addr: IpAddr) -> Served {
        Served(Rc::new(Answering { from: Some(addr), ..Answering::default() }))
    }

    /// Whether something is being answered.
    pub fn is_busy(&self) -> bool {
        !self.0.tasks.borrow().is_empty()
    }

    /// Runs this task until it ends or its answer is no longer wanted.
    fn go_on(&self, work: impl Future<Output = ()> + 'static) {
        let number = self.0.last.get() + 1;
        self.0.last.set(number);
        let answering = Rc::downgrade(&self.0);
        // Not a future of the connection's actor: it has to go on after the other end has closed its half, and the
        // actor would poll it with every message.
        let task = tokio::task::spawn_local(work.map(move |()| {
            if let Some(answering) = answering.upgrade() {
                answering.tasks.borrow_mut().remove(&number);
            }
        }));
        self.0.tasks.borrow_mut().insert(number, task.abort_handle());
    }

    /// The answers are no longer wanted: cancels the work on them.
    pub fn give_up(&self) {
        for task in self.0.tasks.take().into_values() {
            task.abort();
        }
    }
}

/// The way back to the caller.
struct Back {
    outbox: Outbox,
    /// The number of the call.
    call_id: Option<u64>,
    /// The port of the responder's front, for the reply.
    front: Option<u16>,
    /// The name of the responder's ring, for the first reply.
    ring: Option<Arc<str>>,
    urgency: Urgency,
    /// What the call is counted as, if it was understood.
    call: Option<u8>,
    turn: Turn,
}

impl Resident {
    /// Has a question answered by the node of this thread that it is addressed to. It came on a connection to this
    /// node.
    pub(crate) fn take_on(
        self: &Rc<Resident>,
        question: Question,
        pool: &ConnectionPool,
        outbox: Outbox,
        served: &Served,
        turn: Turn,
    ) {
        let call_id = question.call_id;
        let (asked, front) = match question.to {
            None => (Some(self.clone()), pool.front(self.me.addr)),
            Some(port) => (pool.node(Addr::new(self.me.addr.ip(), port)), None),
        };
        let urgency = question.request.as_ref().map_or(Urgency::Urgent, Urgency::of);
        let call = question.request.as_ref().map(Meters::number).ok();
        let ring = self.ring.clone().filter(|_| call_id.is_some() && !served.0.named.replace(true));
        let back = Back { outbox, call_id, front, ring, urgency, call, turn };
        let Some(asked) = asked else {
            return self.reply(back, Reply::refuse(Code::NotHere, "that node is not behind this connection"));
        };
        let request = match question.request {
            Ok(request) => request,
            Err(error) => return asked.reply(back, Reply::complain(&error)),
        };
        let (class, thread) = (Class::of(&request), pool.thread());
        if class != Class::Maintenance && question.deadline.is_some_and(|patience| patience <= thread.age_of_arrivals())
        {
            return asked.answer(back, Err(CallRefusal { code: Code::Retry, why: "it has waited too long".into() }));
        }
        let Some(place) = thread.admit(class, &served.0.client) else {
            return asked.answer(back, Err(Code::Busy.into()));
        };
        let serve = Serve { request, plain: call_id.is_none(), patience: question.deadline };
        match asked.serves.serve(serve) {
            Answered::Now(answer) => asked.answer(back, answer),
            Answered::Later(answer) => {
                let plain = match served.0.from {
                    Some(from) if back.call_id.is_none() => Some(thread.answers(from)),
                    _ => None,
                };
                served.go_on(async move {
                    asked.answer(back, answer.await);
                    drop((place, plain));
                });
            }
        }
    }

    fn answer(&self, back: Back, answer: Result<Response, CallRefusal>) {
        let reply = match answer {
            Ok(response) => Reply::to(&response, self.me, self.r),
            Err(refusal) => Reply::refuse(refusal.code, refusal.why),
        };
        self.reply(back, reply);
    }

    /// Answers the request for a channel, on the connection that is to become one.
    pub(crate) fn answer_channel(&self, call_id: Option<u64>, outbox: Outbox, answer: Result<Response, CallRefusal>) {
        let ring = self.ring.clone();
        let call = Some(Meters::number(&Request::OpenChannel));
        self.answer(Back { outbox, call_id, front: None, ring, urgency: Urgency::Urgent, call, turn: None }, answer);
    }

    /// Refuses a call of a node that is of another ring, or of a kind that is not admitted.
    pub(crate) fn turn_away(&self, call_id: Option<u64>, outbox: Outbox, turn: Turn, why: String) {
        let ring = self.ring.clone();
        let back = Back { outbox, call_id, front: None, ring, urgency: Urgency::Urgent, call: None, turn };
        self.reply(back, Reply::refuse(Code::NotJoined, why));
    }

    fn reply(&self, Back { outbox, call_id, front, ring, urgency, call, turn }: Back, mut reply: Reply) {
        self.counters.answered.add(1);
        if let Some(call) = call {
            self.counters.meters.served(call, reply.refusal());
        }
        reply.call_id = call_id;
        reply.responder = call_id.map(|_| (self.me.id, self.incarnation));
        reply.front = call_id.and(front);
        reply.ring = call_id.and(ring);
        if let Err(error) = outbox.put(Frame::Return(reply), urgency, turn) {
            // The caller times out and asks again.
            tracing::error!(%error, "an answer that does not fit into a frame");
        }
    }
}
