//! The end of a channel that answers.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio::time::timeout;

use super::pace::Paced;
use super::services::Services;
use super::{FRAME_TIMEOUT, IDLE, MAX_CALLS};
use crate::net::frames::{Reader, Writer};
use crate::net::traffic::Counters;
use crate::protocol::peer::Peer;
use crate::protocol::service::{Refusal, ServiceCall};
use crate::wire::{ChannelCodec, ChannelFrame, Fault, MAX_BODY, WireError};

/// Bytes of bodies that may be in progress in the whole process, and on one channel: beyond, nothing more is read until
/// some calls are answered.
const BODIES: usize = 64 * 1024 * 1024;
const BODIES_HERE: usize = 16 * 1024 * 1024;
static ROOM: Semaphore = Semaphore::const_new(BODIES / STEP);

/// Bodies are counted in steps of this many bytes.
const STEP: usize = 1024;

/// The longest patience accepted from a caller.
const MAX_PATIENCE: Duration = Duration::from_secs(60);

/// At most this many answers wait to be written on one channel.
const MAX_ANSWERS: usize = 2;

/// A call that was read.
struct Incoming {
    number: u64,
    service: String,
    call: ServiceCall,
    patience: Duration,
}

/// Answers the calls that come on a channel until it ends.
pub struct Serving {
    /// The node at the other end, by its own claim.
    pub caller: Option<Peer>,
    pub services: Arc<Services>,
    pub counters: Arc<Counters>,
}

impl Serving {
    /// Reads calls from `reader` and writes answers to `writer`.
    ///
    /// # Errors
    ///
    /// The other end is slow, does not read, or sends invalid frames.
    pub async fn run(self, reader: Reader, writer: Writer) -> Result<(), WireError> {
        let (answers, mut answered) = mpsc::channel::<ChannelFrame>(MAX_ANSWERS);
        let mut writer = Paced::new(writer);
        let write = async {
            while let Some(frame) = answered.recv().await {
                writer.write(frame.bytes()?).await?;
            }
            Ok(())
        };
        tokio::select! {
            ended = self.read(reader.then(ChannelCodec::up_to(self.services.largest_body()), FRAME_TIMEOUT), answers) => ended,
            ended = write => ended,
        }
    }

    async fn read(
        &self,
        mut reader: Reader<ChannelCodec>,
        answers: mpsc::Sender<ChannelFrame>,
    ) -> Result<(), WireError> {
        let room_here = Semaphore::new(BODIES_HERE / STEP);
        let mut calls = FuturesUnordered::new();
        // Dropped to cancel a call.
        let mut waited_for = HashMap::<u64, oneshot::Sender<()>>::new();
        // The call that was read last and waits for room. Nothing more is read meanwhile, but other calls are still
        // answered: only that makes room.
        let mut next: Option<BoxFuture<'_, (Room<'_>, Incoming)>> = None;
        loop {
            let is_next = next.is_some();
            let read = tokio::select! {
                Some(number) = calls.next(), if !calls.is_empty() => {
                    waited_for.remove(&number);
                    continue;
                }
                (room, incoming) = admitted(&mut next), if is_next => {
                    next = None;
                    let (wait, cancelled) = oneshot::channel();
                    waited_for.insert(incoming.number, wait);
                    let answers = answers.clone();
                    calls.push(async move {
                        let number = incoming.number;
                        self.answer(incoming, cancelled, answers).await;
                        drop(room);
                        number
                    });
                    continue;
                }
                read = timeout(IDLE[1], reader.next()), if !is_next => read,
            };
            match read {
                Ok(Some(frame)) => match frame? {
                    ChannelFrame::Call { number, .. } if calls.len() >= MAX_CALLS => {
                        let answer = Err((Fault::Overloaded, format!("more than {MAX_CALLS} calls at once")));
                        // An error means that nothing is written any more.
                        let _ = answers.send(ChannelFrame::Return { number, answer }).await;
                    }
                    ChannelFrame::Call { number, service, body, patience, key } => {
                        let room = room(&room_here, body.len());
                        let call = ServiceCall { from: self.caller, key, body };
                        let incoming = Incoming { number, service, call, patience: patience.min(MAX_PATIENCE) };
                        next = Some(Box::pin(async move { (room.await, incoming) }));
                    }
                    ChannelFrame::Cancel(number) => drop(waited_for.remove(&number)),
                    ChannelFrame::Return { .. } => return Err(WireError::Misplaced),
                },
                Ok(None) => return Ok(()),
                Err(_) if calls.is_empty() => return Ok(()),
                Err(_) => {}
            }
        }
    }

    async fn answer(
        &self,
        Incoming { number, service, call, patience }: Incoming,
        cancelled: oneshot::Receiver<()>,
        answers: mpsc::Sender<ChannelFrame>,
    ) {
        let Some(answering) = self.services.call(&service, call) else {
            // An error means that nothing is written any more.
            let _ = answers.send(ChannelFrame::Return { number, answer: Err((Fault::NoService, service)) }).await;
            return;
        };
        self.counters.served.add_anywhere(1);
        let answer = tokio::select! {
            answer = timeout(patience, answering.answer()) => answer,
            _ = cancelled => return,
        };
        // The caller no longer waits.
        let Ok(answer) = answer else { return };
        let answer = answer.map_err(|refusal| match refusal {
            Refusal::NotOwner => (Fault::NotOwner, String::new()),
            Refusal::Failed(why) => (Fault::Failed, why),
        });
        let _ = answers.send(checked(number, answer)).await;
    }
}

/// Replaces an answer that is too large by a failure.
fn checked(number: u64, answer: Result<Bytes, (Fault, String)>) -> ChannelFrame {
    let large = answer.as_ref().is_ok_and(|body| body.len() > MAX_BODY);
    let answer = if large { Err((Fault::Failed, "the answer is larger than 4 MiB".into())) } else { answer };
    ChannelFrame::Return { number, answer }
}

/// Room for a body.
type Room<'a> = [Option<SemaphorePermit<'a>>; 2];

/// The waiting call, once there is room for it; pends forever if no call waits.
async fn admitted<T>(next: &mut Option<BoxFuture<'_, T>>) -> T {
    match next {
        Some(next) => next.await,
        None => pending().await,
    }
}

/// Room for a body of this size, on its channel and in the process, until it is dropped.
async fn room(here: &Semaphore, bytes: usize) -> Room<'_> {
    let steps = u32::try_from(bytes.div_ceil(STEP)).unwrap_or(u32::MAX);
    // The semaphores are never closed.
    [here.acquire_many(steps).await.ok(), ROOM.acquire_many(steps).await.ok()]
}
