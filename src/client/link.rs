//! One connection to a node, which carries many calls at once if the node is of our own kind.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio_util::codec::Encoder;

use super::{Answered, AskError};
use crate::net::frames::{Reader, Stream, WRITE_TIMEOUT, Writer};
use crate::net::transport::Transport;
use crate::protocol::addr::Addr;
use crate::protocol::id::Id;
use crate::protocol::rpc::Request;
use crate::wire::{Frame, FrameCodec, Question, Reply, WireError};

/// At most this many calls wait to be written.
const QUEUE: usize = 1024;

/// A connection, shared by all that ask there; closed with the last of them.
#[derive(Clone)]
pub(super) struct Link {
    addr: Addr,
    outgoing: mpsc::Sender<Question>,
    waiting: Arc<Waiting>,
    last: Arc<AtomicU64>,
    _task: Arc<AbortOnDrop>,
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Who waits for answers, by the number of the call.
type Waiting = Mutex<HashMap<u64, oneshot::Sender<Reply>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call in flight, forgotten when dropped.
struct InFlight<'a>(u64, &'a Waiting);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        lock(self.1).remove(&self.0);
    }
}

async fn connect(addr: Addr) -> Result<Stream, AskError> {
    Transport::Tcp.connect(addr, addr).await.map_err(|why| AskError::Unreachable(addr, why))
}

/// Asks a plain peer, on a connection of its own.
pub(super) async fn ask_plain(addr: Addr, known: Option<Id>, request: Request) -> Result<Answered, AskError> {
    let (mut reader, mut writer) = connect(addr).await?.split(FrameCodec::default());
    let began = Instant::now();
    let sent = write(&mut writer, [Question::plain(request.clone())]).await;
    sent.map_err(|_| AskError::Closed(addr))?;
    match reader.next().await {
        Some(Ok(Frame::Return(reply))) => read(addr, known, &reply, &request, began.elapsed()),
        Some(Ok(Frame::Call(_))) => Err(AskError::Nonsense(addr, WireError::Misplaced)),
        Some(Err(WireError::Io(_))) | None => Err(AskError::Closed(addr)),
        Some(Err(why)) => Err(AskError::Nonsense(addr, why)),
    }
}

async fn write(writer: &mut Writer, questions: impl IntoIterator<Item = Question>) -> Result<(), WireError> {
    let (mut codec, mut bytes) = (FrameCodec::default(), BytesMut::new());
    for question in questions {
        codec.encode(Frame::Call(question), &mut bytes)?;
    }
    writer.write(bytes, WRITE_TIMEOUT).await
}

/// What the node at this address, whose identifier may be known from others, has answered.
fn read(addr: Addr, known: Option<Id>, reply: &Reply, request: &Request, took: Duration) -> Result<Answered, AskError> {
    let (responder, run) = reply.responder.unzip();
    match reply.read(request, responder.or(known)) {
        Ok(Ok(response)) => Ok(Answered { response, responder, run, plain: reply.call_id.is_none(), took }),
        Ok(Err(code)) => Err(AskError::Refused(addr, code)),
        Err(why) => Err(AskError::Nonsense(addr, why)),
    }
}

impl Link {
    pub(super) async fn open(addr: Addr) -> Result<Link, AskError> {
        let (reader, writer) = connect(addr).await?.split(FrameCodec::default());
        let (outgoing, questions) = mpsc::channel(QUEUE);
        let waiting = Arc::<Waiting>::default();
        let task = tokio::spawn(run(reader, writer, questions, waiting.clone())).abort_handle();
        Ok(Link { addr, outgoing, waiting, last: Arc::default(), _task: Arc::new(AbortOnDrop(task)) })
    }

    pub(super) fn is_open(&self) -> bool {
        !self.outgoing.is_closed()
    }

    pub(super) async fn ask(
        &self,
        known: Option<Id>,
        request: Request,
        patience: Duration,
    ) -> Result<Answered, AskError> {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        lock(&self.waiting).insert(number, answer);
        let _in_flight = InFlight(number, &self.waiting);
        let question = Question {
            request: Ok(request.clone()),
            call_id: Some(number),
            deadline: Some(patience),
            caller: None,
            to: None,
            ring: None,
        };
        let began = Instant::now();
        self.outgoing.send(question).await.map_err(|_| AskError::Closed(self.addr))?;
        let reply = answered.await.map_err(|_| AskError::Closed(self.addr))?;
        read(self.addr, known, &reply, &request, began.elapsed())
    }
}

/// Runs a connection until it ends. Nothing is queued any more before those that wait are told.
async fn run(reader: Reader, writer: Writer, questions: mpsc::Receiver<Question>, waiting: Arc<Waiting>) {
    let ended = tokio::select! {
        ended = write_all(writer, questions) => ended,
        ended = read_all(reader, &waiting) => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
    lock(&waiting).clear();
}

async fn write_all(mut writer: Writer, mut questions: mpsc::Receiver<Question>) -> Result<(), WireError> {
    let mut batch = Vec::new();
    // What waits together leaves together.
    while questions.recv_many(&mut batch, QUEUE).await > 0 {
        write(&mut writer, batch.drain(..)).await?;
    }
    Ok(())
}

async fn read_all(mut reader: Reader, waiting: &Waiting) -> Result<(), WireError> {
    while let Some(frame) = reader.next().await {
        let Frame::Return(reply) = frame? else { return Err(WireError::Misplaced) };
        let asker = match reply.call_id {
            Some(number) => lock(waiting).remove(&number),
            // A plain peer answers the one call and closes.
            None => {
                let mut waiting = lock(waiting);
                let number = waiting.keys().next().copied();
                number.and_then(|number| waiting.remove(&number))
            }
        };
        if let Some(asker) = asker {
            // An error means that nobody waits any more.
            let _ = asker.send(reply);
        }
    }
    Ok(())
}
