//! The end of a channel that answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio::time::timeout;

use super::services::{Refusal, ServiceCall, Services};
use super::{FRAME_TIMEOUT, IDLE, MAX_CALLS};
use crate::net::frames::{Reader, Writer};
use crate::net::traffic::Counters;
use crate::protocol::peer::Peer;
use crate::wire::{ChannelCodec, ChannelFrame, Fault, WireError};

/// KiB of bodies that are being answered in the whole process: beyond, nothing more is read until some are.
static BODIES: Semaphore = Semaphore::const_new(64 * 1024);

/// Answers that wait to be written on one channel.
const MAX_ANSWERS: usize = 2;

/// Answers the calls that come on a channel until it ends.
pub struct Serving {
    /// The node at the other end, as it says.
    pub caller: Option<Peer>,
    pub services: Arc<Services>,
    pub counters: Arc<Counters>,
}

impl Serving {
    /// Reads there, and writes here.
    ///
    /// # Errors
    ///
    /// The other end is slow, does not read, or talks nonsense.
    pub async fn run(self, reader: Reader, mut writer: Writer) -> Result<(), WireError> {
        let (answers, mut answered) = mpsc::channel::<ChannelFrame>(MAX_ANSWERS);
        let write = async {
            while let Some(frame) = answered.recv().await {
                writer.write(frame.bytes()?).await?;
            }
            Ok(())
        };
        tokio::select! {
            ended = self.read(reader.then(ChannelCodec, FRAME_TIMEOUT), answers) => ended,
            ended = write => ended,
        }
    }

    async fn read(
        &self,
        mut reader: Reader<ChannelCodec>,
        answers: mpsc::Sender<ChannelFrame>,
    ) -> Result<(), WireError> {
        let mut calls = FuturesUnordered::new();
        // Dropped to cancel a call.
        let mut waited_for = HashMap::<u64, oneshot::Sender<()>>::new();
        loop {
            let next = tokio::select! {
                Some(number) = calls.next(), if !calls.is_empty() => {
                    waited_for.remove(&number);
                    continue;
                }
                next = timeout(IDLE[1], reader.next()) => next,
            };
            match next {
                Ok(Some(frame)) => match frame? {
                    ChannelFrame::Call { number, .. } if calls.len() >= MAX_CALLS => {
                        let answer = Err((Fault::Overloaded, format!("more than {MAX_CALLS} calls at once")));
                        // An error means that nothing is written any more.
                        let _ = answers.send(ChannelFrame::Return { number, answer }).await;
                    }
                    ChannelFrame::Call { number, service, body, patience, key } => {
                        let room = room(body.len()).await;
                        let call = ServiceCall { from: self.caller, key, body };
                        let (wait, cancelled) = oneshot::channel();
                        waited_for.insert(number, wait);
                        let answers = answers.clone();
                        calls.push(async move {
                            self.answer((number, service, patience), call, cancelled, answers).await;
                            drop(room);
                            number
                        });
                    }
                    ChannelFrame::Cancel(number) => drop(waited_for.remove(&number)),
                    // It has asked for nothing.
                    ChannelFrame::Return { .. } => return Err(WireError::Empty),
                },
                Ok(None) => return Ok(()),
                Err(_) if calls.is_empty() => return Ok(()),
                Err(_) => {}
            }
        }
    }

    async fn answer(
        &self,
        (number, service, patience): (u64, String, Duration),
        call: ServiceCall,
        cancelled: oneshot::Receiver<()>,
        answers: mpsc::Sender<ChannelFrame>,
    ) {
        let Some(answering) = self.services.call(&service, call) else {
            // An error means that nothing is written any more.
            let _ = answers.send(ChannelFrame::Return { number, answer: Err((Fault::NoService, service)) }).await;
            return;
        };
        self.counters.served.add(1);
        let answer = tokio::select! {
            answer = timeout(patience, answering.answer()) => answer,
            _ = cancelled => return,
        };
        // Its caller waits no longer.
        let Ok(answer) = answer else { return };
        let answer = answer.map_err(|refusal| match refusal {
            Refusal::NotOwner => (Fault::NotOwner, String::new()),
            Refusal::Failed(why) => (Fault::Failed, why),
        });
        let _ = answers.send(checked(number, answer)).await;
    }
}

/// An answer that is too large is none.
fn checked(number: u64, answer: Result<bytes::Bytes, (Fault, String)>) -> ChannelFrame {
    let large = answer.as_ref().is_ok_and(|body| body.len() > crate::wire::MAX_BODY);
    let answer = if large { Err((Fault::Failed, "the answer is larger than 4 MiB".into())) } else { answer };
    ChannelFrame::Return { number, answer }
}

/// Room for a body of so many bytes, until it is dropped.
async fn room(bytes: usize) -> Option<SemaphorePermit<'static>> {
    let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
    // It is never closed.
    BODIES.acquire_many(kib).await.ok()
}
