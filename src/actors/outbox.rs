//! What waits to be written on a connection.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio_util::codec::Encoder;

use super::traffic::Counters;
use crate::wire::{Frame, FrameCodec, WireError};

/// Where frames are put that are to be written. Clones are the same; when the last is dropped, nothing more
/// is to come.
///
/// Answers are bounded by the permits that they hold until they are written, questions by
/// [`is_full`](Outbox::is_full).
#[derive(Clone)]
pub struct Outbox(Rc<Putting>);

/// Where they are taken to be written: what was put in while a batch was written leaves in one piece.
pub struct Outgoing(Rc<Inner>);

struct Putting(Rc<Inner>);

struct Inner {
    waiting: RefCell<Waiting>,
    /// Something was put in, or nothing more will be.
    changed: Notify,
    counters: Arc<Counters>,
}

struct Waiting {
    codec: FrameCodec,
    /// Encoded already.
    batch: Batch,
    complete: bool,
}

/// Frames that are written together.
#[derive(Default)]
pub struct Batch {
    pub bytes: BytesMut,
    /// Given back when they are written.
    permits: Vec<OwnedSemaphorePermit>,
}

/// So many bytes may wait when another question is put in.
const FULL: usize = 256 * 1024;

/// Both ends; `counters` are to hear how much was put in.
pub fn outbox(codec: FrameCodec, counters: Arc<Counters>) -> (Outbox, Outgoing) {
    let waiting = RefCell::new(Waiting { codec, batch: Batch::default(), complete: false });
    let inner = Rc::new(Inner { waiting, changed: Notify::new(), counters });
    (Outbox(Rc::new(Putting(inner.clone()))), Outgoing(inner))
}

impl Outbox {
    /// Puts a frame in, with what it holds until it is written.
    pub fn put(&self, frame: Frame, permit: Option<OwnedSemaphorePermit>) -> Result<(), WireError> {
        let Inner { waiting, changed, counters } = &*self.0.0;
        let Waiting { codec, batch, .. } = &mut *waiting.borrow_mut();
        let before = batch.bytes.len();
        codec.encode(frame, &mut batch.bytes)?;
        batch.permits.extend(permit);
        counters.written.add((batch.bytes.len() - before) as u64);
        changed.notify_one();
        Ok(())
    }

    /// Whether so much waits that no question is to be added.
    pub fn is_full(&self) -> bool {
        self.0.0.waiting.borrow().batch.bytes.len() >= FULL
    }
}

impl Drop for Putting {
    fn drop(&mut self) {
        self.0.waiting.borrow_mut().complete = true;
        self.0.changed.notify_one();
    }
}

impl Outgoing {
    /// Everything that waits, as soon as there is something; `None` when all was taken and nothing more
    /// is to come.
    pub async fn take(&self) -> Option<Batch> {
        loop {
            {
                let mut waiting = self.0.waiting.borrow_mut();
                if !waiting.batch.bytes.is_empty() {
                    return Some(std::mem::take(&mut waiting.batch));
                }
                if waiting.complete {
                    return None;
                }
            }
            self.0.changed.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::protocol::rpc::Request;
    use crate::wire::Question;

    fn call() -> Frame {
        Frame::Call(Question::plain(Request::CheckPredecessor))
    }

    #[test]
    fn frames_that_wait_together_leave_together_and_give_back_what_they_hold() {
        let counters = Arc::new(Counters::default());
        let (outbox, outgoing) = outbox(FrameCodec::default(), counters.clone());
        let permits = Arc::new(tokio::sync::Semaphore::new(2));
        assert!(outgoing.take().now_or_never().is_none(), "there is nothing yet");
        for _ in 0..2 {
            outbox.put(call(), permits.clone().try_acquire_owned().ok()).unwrap();
        }
        let batch = outgoing.take().now_or_never().flatten().expect("a batch");
        assert_eq!(counters.read().written, batch.bytes.len() as u64);
        assert_eq!(batch.bytes.len(), 2 * 0x1d);
        assert_eq!(permits.available_permits(), 0, "until they are written");
        drop(batch);
        assert_eq!(permits.available_permits(), 2);
    }

    #[test]
    fn what_waits_is_taken_also_after_the_last_outbox_is_gone() {
        let (first, outgoing) = outbox(FrameCodec::default(), Arc::default());
        let second = first.clone();
        first.put(call(), None).unwrap();
        drop(first);
        assert!(outgoing.take().now_or_never().flatten().is_some());
        assert!(outgoing.take().now_or_never().is_none(), "somebody may still put something in");
        drop(second);
        assert!(matches!(outgoing.take().now_or_never(), Some(None)));
    }

    #[test]
    fn outbox_that_nobody_empties_is_full_at_some_time() {
        let (outbox, _outgoing) = outbox(FrameCodec::default(), Arc::default());
        let put = (0..).take_while(|_| !outbox.is_full() && outbox.put(call(), None).is_ok()).count();
        assert_eq!(put, FULL.div_ceil(0x1d));
    }
}
