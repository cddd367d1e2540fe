//! The end of a channel that asks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_util::codec::Encoder;

use super::pace::Paced;
use super::{FRAME_TIMEOUT, IDLE, MAX_CALLS};
use crate::net::frames::{Reader, Writer};
use crate::net::traffic::Counters;
use crate::net::transport::Transport;
use crate::protocol::id::Id;
use crate::protocol::peer::Peer;
use crate::protocol::rpc::{Code, Request, Response};
use crate::protocol::service::CallError;
use crate::wire::{
    ChannelCodec, ChannelFrame, Fault, Frame, FrameCodec, Ids, MAX_BODY, MAX_SERVICE, Question, WireError,
};

/// A channel that can't be made in this time is given up.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);

/// The channels that one node, or one client, has made. They end with it.
pub struct Channels {
    /// The node and the run of its program; none of a client.
    caller: Option<(Peer, u64)>,
    /// The name of its ring.
    ring: Option<Arc<str>>,
    transport: Transport,
    ids: Ids,
    counters: Arc<Counters>,
    made: Mutex<HashMap<Peer, Arc<tokio::sync::Mutex<Option<Channel>>>>>,
}

/// A channel, shared by all callers.
#[derive(Clone)]
struct Channel {
    outgoing: mpsc::Sender<Outgoing>,
    waiting: Arc<Waiting>,
    last: Arc<AtomicU64>,
    room: Arc<Semaphore>,
    _task: Arc<AbortOnDrop>,
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a channel is to write.
enum Outgoing {
    Call { number: u64, frame: BytesMut },
    Cancel(u64),
}

/// The callers that wait for answers, by the number of the call.
type Waiting = Mutex<HashMap<u64, oneshot::Sender<Result<Bytes, CallError>>>>;

/// A call in flight; cancelled when dropped.
struct InFlight<'a> {
    number: u64,
    channel: &'a Channel,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let unanswered = lock(&self.channel.waiting).remove(&self.number).is_some();
        if unanswered {
            // If the queue is full, the service runs on until the deadline.
            let _ = self.channel.outgoing.try_send(Outgoing::Cancel(self.number));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One call of an application.
pub struct Asking<'a> {
    pub service: &'a str,
    pub key: Option<Id>,
    pub body: Bytes,
    pub patience: Duration,
}

impl Asking<'_> {
    /// Whether it can be sent at all.
    pub fn check(&self) -> Result<(), CallError> {
        match (self.body.len() > MAX_BODY, self.service.len() > MAX_SERVICE) {
            (true, _) => Err(CallError::TooLarge(self.body.len())),
            (_, true) => Err(CallError::NoService(self.service.into())),
            _ => Ok(()),
        }
    }
}

impl Channels {
    /// No channels yet.
    pub fn new(
        caller: Option<(Peer, u64)>,
        ring: Option<Arc<str>>,
        transport: Transport,
        ids: Ids,
        counters: Arc<Counters>,
    ) -> Channels {
        Channels { caller, ring, transport, ids, counters, made: Mutex::default() }
    }

    /// Calls that node. `ours` finds out, before a channel is made, whether the node lives and is of our own kind: some
    /// plain peers die of messages that they do not know.
    pub async fn call(
        &self,
        peer: Peer,
        asking: Asking<'_>,
        ours: impl Future<Output = Result<(), CallError>>,
    ) -> Result<Bytes, CallError> {
        let channel = self.channel(peer, ours).await?;
        // The semaphore is never closed.
        let _place = channel.room.acquire().await;
        let number = channel.last.fetch_add(1, Ordering::Relaxed);
        let Asking { service, key, body, patience } = asking;
        let frame = ChannelFrame::Call { number, service: service.into(), body, patience, key };
        let frame = frame.bytes().map_err(|_| CallError::Lost)?;
        let (answer, answered) = oneshot::channel();
        lock(&channel.waiting).insert(number, answer);
        let _in_flight = InFlight { number, channel: &channel };
        channel.outgoing.send(Outgoing::Call { number, frame }).await.map_err(|_| CallError::Lost)?;
        self.counters.called.add_anywhere(1);
        tokio::select! {
            answer = answered => answer.unwrap_or(Err(CallError::Lost)),
            () = channel.outgoing.closed() => Err(CallError::Lost),
        }
    }

    /// The channel to that node; opened now if there is none.
    async fn channel(
        &self,
        peer: Peer,
        ours: impl Future<Output = Result<(), CallError>>,
    ) -> Result<Channel, CallError> {
        let made = {
            let mut made = lock(&self.made);
            if made.len() == made.capacity() {
                let is_open = |channel: &Channel| !channel.outgoing.is_closed();
                made.retain(|_, made| made.try_lock().map_or(true, |channel| channel.as_ref().is_some_and(is_open)));
            }
            made.entry(peer).or_default().clone()
        };
        let mut made = made.lock().await;
        if let Some(channel) = made.as_ref().filter(|channel| !channel.outgoing.is_closed()) {
            return Ok(channel.clone());
        }
        *made = None;
        ours.await?;
        let opened = timeout(OPEN_TIMEOUT, self.open(peer)).await;
        let (reader, writer) = opened.map_err(|_| CallError::Unreachable(peer))??;
        let (outgoing, calls) = mpsc::channel(MAX_CALLS);
        let waiting = Arc::<Waiting>::default();
        let run = run(reader.then(ChannelCodec::default(), FRAME_TIMEOUT), writer, calls, waiting.clone());
        let task = tokio::spawn(run).abort_handle();
        let channel = Channel {
            outgoing,
            waiting,
            last: Arc::default(),
            room: Arc::new(Semaphore::new(MAX_CALLS)),
            _task: Arc::new(AbortOnDrop(task)),
        };
        Ok(made.insert(channel).clone())
    }

    async fn open(&self, peer: Peer) -> Result<(Reader, Writer), CallError> {
        let unreachable = || CallError::Unreachable(peer);
        let from = self.caller.map_or(peer.addr, |(me, _)| me.addr);
        let stream = self.transport.connect(from, peer.addr).await.map_err(|_| unreachable())?;
        let mut codec = FrameCodec::new(self.ids);
        let (mut reader, mut writer) = stream.split(codec.clone());
        let question = Question {
            request: Ok(Request::OpenChannel),
            call_id: Some(1),
            deadline: None,
            caller: self.caller.map(Box::new),
            to: None,
            ring: self.ring.clone(),
        };
        let mut bytes = BytesMut::new();
        codec.encode(Frame::Call(question), &mut bytes).map_err(|_| unreachable())?;
        writer.write(bytes, OPEN_TIMEOUT).await.map_err(|_| unreachable())?;
        let Some(Ok(Frame::Return(reply))) = reader.next().await else { return Err(unreachable()) };
        if reply.responder.is_none_or(|(id, _)| id != peer.id) {
            return Err(CallError::Gone(peer));
        }
        match reply.read(&Request::OpenChannel, Some(peer.id)) {
            Ok(Ok(Response::Done)) => Ok((reader, writer)),
            Ok(Err(Code::Busy)) => Err(CallError::Busy(peer)),
            Ok(Err(Code::NotJoined)) => Err(CallError::Gone(peer)),
            Ok(Err(Code::UnknownCall)) => Err(CallError::NothingServed(peer)),
            _ => Err(unreachable()),
        }
    }

    /// Closes the channel to that node, when its calls have ended.
    pub fn forget(&self, peer: Peer) {
        lock(&self.made).remove(&peer);
    }

    /// Closes all channels.
    pub fn close(&self) {
        lock(&self.made).clear();
    }
}

/// Runs one channel until it ends with an error or is closed as idle.
async fn run(reader: Reader<ChannelCodec>, writer: Writer, mut calls: mpsc::Receiver<Outgoing>, waiting: Arc<Waiting>) {
    let mut writer = Paced::new(writer);
    let write = async {
        while let Some(outgoing) = calls.recv().await {
            let frame = match outgoing {
                // The caller no longer waits.
                Outgoing::Call { number, .. } if !lock(&waiting).contains_key(&number) => continue,
                Outgoing::Call { frame, .. } => frame,
                Outgoing::Cancel(number) => ChannelFrame::Cancel(number).bytes()?,
            };
            writer.write(frame).await?;
        }
        Ok::<_, WireError>(())
    };
    let ended = tokio::select! {
        ended = write => ended,
        ended = read(reader, &waiting) => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a channel broke");
    }
}

async fn read(mut reader: Reader<ChannelCodec>, waiting: &Waiting) -> Result<(), WireError> {
    loop {
        let next = match timeout(IDLE[0], reader.next()).await {
            Ok(next) => next,
            Err(_) if lock(waiting).is_empty() => return Ok(()),
            Err(_) => continue,
        };
        match next.transpose()? {
            None => return Ok(()),
            Some(ChannelFrame::Return { number, answer }) => {
                let asker = lock(waiting).remove(&number);
                let answer = answer.map_err(|(fault, why)| match fault {
                    Fault::Failed => CallError::Failed(why),
                    Fault::NotOwner => CallError::NotOwner,
                    Fault::NoService => CallError::NoService(why),
                    Fault::Overloaded => CallError::Overloaded,
                });
                if let Some(asker) = asker {
                    // An error means that the caller no longer waits.
                    let _ = asker.send(answer);
                }
            }
            Some(_) => return Err(WireError::Misplaced),
        }
    }
}
