//! The questions of the other end of a connection: read when there is leave to answer them, and answered.
//!
//! At the limit nothing more is read, rather than refused: a caller that wants too much waits in its own
//! memory. Replies need no leave, so that whoever waits for one is not kept from it by his own callers;
//! but one behind a question that waits, waits too.

use std::io;
use std::net::SocketAddrV4;
use std::rc::Rc;
use std::sync::Arc;

use actix::Recipient;
use futures::future::LocalBoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::asking::MAX_ASKED;
use super::frames::Reader;
use super::lookups::Lookups;
use super::outbox::Outbox;
use super::shared::Shared;
use super::{Refusal, Serve};
use crate::protocol::rpc::{Code, Response};
use crate::wire::{Frame, Question, Reply, WireError};

/// Questions of the other end that are being answered, or whose answers wait to be written, at once:
/// beyond that no more are read. No fewer than may be asked: where lookups of both ends wait for each other, none must wait
/// for another to be read.
pub const MAX_SERVED: usize = MAX_ASKED;

/// Questions that are being answered at once on all connections together: beyond that no more are
/// read. Each costs some KiB, and none takes longer than a lookup may.
pub const MAX_SERVED_IN_ALL: usize = 8192;

/// Leave to answer one question, of this connection and of all.
pub struct Leave {
    /// Given back when the answer is written.
    pub here: OwnedSemaphorePermit,
    /// Given back when the answer is known.
    pub in_all: OwnedSemaphorePermit,
}

/// What was read, in its turn.
pub enum Incoming {
    Question(Question, Leave),
    Reply(Reply),
    Nonsense(WireError, Leave),
    Broken(io::Error),
}

/// Reads the next frame; a question only when there is leave to answer it, so that nothing behind
/// it is read before. There is nothing after an error.
pub async fn read(
    reader: Option<Reader>,
    (here, in_all): (Arc<Semaphore>, Arc<Semaphore>),
) -> Option<(Incoming, Option<Reader>)> {
    let mut reader = reader?;
    let frame = match reader.next().await? {
        Ok(Frame::Return(reply)) => return Some((Incoming::Reply(reply), Some(reader))),
        Ok(Frame::Call(question)) => Ok(question),
        Err(WireError::Io(error)) => return Some((Incoming::Broken(error), None)),
        Err(error) => Err(error),
    };
    let plain = frame.as_ref().map_or(true, |question| question.call_id.is_none());
    let permits = if plain { MAX_SERVED as u32 } else { 1 };
    let leave = Leave { here: acquire(here, permits).await?, in_all: acquire(in_all, 1).await? };
    Some(match frame {
        Ok(question) => (Incoming::Question(question, leave), Some(reader)),
        Err(error) => (Incoming::Nonsense(error, leave), None),
    })
}

/// So many permits, when they are there: most often at once, so that the wait is left to the heap.
async fn acquire(semaphore: Arc<Semaphore>, permits: u32) -> Option<OwnedSemaphorePermit> {
    match semaphore.clone().try_acquire_many_owned(permits) {
        Ok(permit) => Some(permit),
        Err(_) => Box::pin(semaphore.acquire_many_owned(permits)).await.ok(),
    }
}

/// Who answers the questions of others.
pub trait Serves {
    fn serve(&self, serve: Serve) -> Served;

    /// Whoever lives there may have died, as a message says that is on its way: no question that is read from
    /// now on is to be answered as if it were not.
    fn doubt(&self, addr: SocketAddrV4);
}

/// What comes of a question.
pub enum Served {
    /// It was answered at once.
    Now(Result<Response, Refusal>),
    Later(LocalBoxFuture<'static, Result<Response, Refusal>>),
}

/// A node: lookups begin, and most often end, where their questions are read; whoever owns the neighbours
/// answers the others.
pub struct Desk {
    pub lookups: Lookups,
    pub neighbors: Recipient<Serve>,
}

impl Serves for Desk {
    fn serve(&self, serve: Serve) -> Served {
        self.lookups.serve(&serve).unwrap_or_else(|| self.neighbors.serve(serve))
    }

    fn doubt(&self, addr: SocketAddrV4) {
        self.lookups.doubt(addr);
    }
}

/// An actor that is asked by message.
impl Serves for Recipient<Serve> {
    fn serve(&self, serve: Serve) -> Served {
        let answer = self.send(serve);
        Served::Later(Box::pin(async move {
            answer.await.unwrap_or_else(|_| Err(Refusal { code: Code::NotJoined, why: "the node is stopping".into() }))
        }))
    }

    /// It reads its messages in their order.
    fn doubt(&self, _: SocketAddrV4) {}
}

/// The way back to whoever asked.
struct Back {
    outbox: Outbox,
    /// The number of the call.
    call_id: Option<u64>,
    /// What is to be said of the front of the node that answers.
    front: Option<u16>,
    leave: Leave,
}

impl Shared {
    /// Has a question answered by whichever node of the thread it is for: it came on a connection to this one.
    pub(super) fn ask(self: &Rc<Shared>, question: Question, outbox: Outbox, leave: Leave) {
        let (call_id, exchange) = (question.call_id, &self.routes.exchange);
        let (asked, front) = match question.to {
            None => (Some(self.clone()), exchange.front(self.me.addr)),
            Some(port) => (exchange.node(SocketAddrV4::new(*self.me.addr.ip(), port)), None),
        };
        let back = Back { outbox, call_id, front, leave };
        let Some(asked) = asked else {
            return self.reply(back, Reply::refuse(Code::NotHere, "that node is not behind this connection"));
        };
        let request = match question.request {
            Ok(request) => request,
            Err(error) => return asked.reply(back, Reply::complain(&error)),
        };
        let serve = Serve { request, plain: call_id.is_none(), patience: question.deadline };
        match asked.serves.serve(serve) {
            Served::Now(answer) => asked.answer(back, answer),
            // Not a future of the connection's actor: it is to be answered also after the other end has closed its
            // half, and would be polled with every message.
            Served::Later(answer) => drop(actix_rt::spawn(async move { asked.answer(back, answer.await) })),
        }
    }

    fn answer(&self, back: Back, answer: Result<Response, Refusal>) {
        let reply = match answer {
            Ok(response) => Reply::to(&response, self.me, self.r),
            Err(refusal) => Reply::refuse(refusal.code, refusal.why),
        };
        self.reply(back, reply);
    }

    fn reply(&self, Back { outbox, call_id, front, leave }: Back, mut reply: Reply) {
        self.counters.answered.add(1);
        reply.call_id = call_id;
        reply.responder = call_id.map(|_| (self.me.id, self.incarnation));
        reply.front = call_id.and(front);
        if let Err(error) = outbox.put(Frame::Return(reply), Some(leave.here)) {
            // Its caller will wonder, and ask again.
            tracing::error!(%error, "an answer that does not fit into a frame");
        }
    }
}
