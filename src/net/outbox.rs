//! Frames that wait to be written on a connection.
//!
//! Maintenance goes first: it leaves before the lookups that already wait. What waits is bounded in bytes, since a peer
//! that does not read lets it grow. There is a bound for each connection, and one for all connections of the process
//! together: when that is reached, connections with much waiting read no questions until less waits.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::timeout;
use tokio_util::codec::Encoder;

use crate::net::traffic::Counters;
use crate::protocol::admission::Class;
use crate::protocol::rpc::Request;
use crate::wire::{Frame, FrameCodec, WireError};

/// The end that puts frames in. All clones are one outbox; when the last is dropped, nothing more will be put in.
#[derive(Clone)]
pub struct Outbox(Rc<Putting>);

/// The end that takes frames out to write them. Frames that were put in during one write leave together in the next.
pub struct Outgoing(Rc<Inner>);

/// How much waits to be written, for the reader of the same connection.
pub struct Backlog(Rc<Inner>);

struct Putting(Rc<Inner>);

struct Inner {
    waiting: RefCell<Waiting>,
    /// Notified when something was put in, and when nothing more will be.
    changed: Notify,
    /// Notified when something was taken.
    taken: Notify,
    counters: Arc<Counters>,
}

struct Waiting {
    codec: FrameCodec,
    /// Encoded already; the first is written first.
    urgent: VecDeque<Chunk>,
    others: VecDeque<Chunk>,
    bytes: usize,
    complete: bool,
}

/// Whole frames that are written together.
#[derive(Default)]
pub struct Chunk {
    pub bytes: BytesMut,
    /// Released when the frames are written.
    permits: Vec<OwnedSemaphorePermit>,
    /// How much of it is counted in [`WAITING`].
    counted: usize,
}

/// When a frame is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Before all frames that wait: maintenance.
    Urgent,
    /// After the frames that wait already: lookups.
    InTurn,
}

impl Urgency {
    /// The urgency of a question and of its answer.
    pub fn of(request: &Request) -> Urgency {
        match Class::of(request) {
            Class::Maintenance => Urgency::Urgent,
            Class::Forwarded | Class::Begun => Urgency::InTurn,
        }
    }
}

/// Bytes that wait on all connections of the process, rounded down to a multiple of [`STEP`] for each chunk.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Smaller amounts are not counted: most connections have nothing waiting most of the time.
const STEP: usize = 4 * 1024;

/// A chunk of this size takes no more frames: urgent frames wait for at most one chunk to be written.
const CHUNK: usize = 32 * 1024;

/// With this many bytes waiting on one connection, no more questions are read from it. The answers to all questions
/// that one thread may put to another at once fit in, so that two threads never wait for each other.
const MOST_HERE: usize = 2 * 1024 * 1024;

/// With this many bytes waiting in the whole process, connections that have [`MUCH_HERE`] read no questions until less
/// waits.
const MOST_IN_ALL: usize = 16 * 1024 * 1024;
const MUCH_HERE: usize = 64 * 1024;

/// A connection that waits for others to have less waiting checks again after this time.
const AGAIN: Duration = Duration::from_millis(100);

/// Both ends of a new outbox; `counters` count the bytes put in.
pub fn outbox(codec: FrameCodec, counters: Arc<Counters>) -> (Outbox, Outgoing) {
    let waiting = Waiting { codec, urgent: VecDeque::new(), others: VecDeque::new(), bytes: 0, complete: false };
    let (changed, taken) = (Notify::new(), Notify::new());
    let inner = Rc::new(Inner { waiting: RefCell::new(waiting), changed, taken, counters });
    (Outbox(Rc::new(Putting(inner.clone()))), Outgoing(inner))
}

impl Outbox {
    /// Puts a frame in; `permit` is held until the frame is written.
    pub fn put(&self, frame: Frame, urgency: Urgency, permit: Option<OwnedSemaphorePermit>) -> Result<(), WireError> {
        let Inner { waiting, changed, counters, .. } = &*self.0.0;
        let Waiting { codec, urgent, others, bytes, .. } = &mut *waiting.borrow_mut();
        let queue = if urgency == Urgency::Urgent { urgent } else { others };
        let chunk = match queue.back_mut() {
            Some(chunk) if chunk.bytes.len() < CHUNK => chunk,
            _ => {
                queue.push_back(Chunk::default());
                let last = queue.len() - 1;
                &mut queue[last]
            }
        };
        let before = chunk.bytes.len();
        codec.encode(frame, &mut chunk.bytes)?;
        let more = chunk.bytes.len() - before;
        chunk.permits.extend(permit);
        chunk.count();
        *bytes += more;
        counters.written.add(more as u64);
        changed.notify_one();
        Ok(())
    }

    /// Whether too much waits to add another question.
    pub fn is_full(&self, urgency: Urgency) -> bool {
        let most = if urgency == Urgency::Urgent { MOST_HERE } else { MOST_HERE / 2 };
        self.0.0.waiting.borrow().bytes >= most
    }

    /// The backlog, for the reader of the same connection.
    pub fn backlog(&self) -> Backlog {
        Backlog(self.0.0.clone())
    }
}

impl Backlog {
    /// Whether too much waits to read another question.
    pub fn is_large(&self) -> bool {
        let here = self.0.waiting.borrow().bytes;
        here >= MOST_HERE || (here >= MUCH_HERE && WAITING.load(Ordering::Relaxed) >= MOST_IN_ALL)
    }

    /// Waits until questions may be read again.
    pub async fn shrinks(&self) {
        while self.is_large() {
            // A timeout only means that it checks again.
            let _ = timeout(AGAIN, self.0.taken.notified()).await;
        }
    }
}

impl Chunk {
    fn count(&mut self) {
        let steps = self.bytes.len() / STEP * STEP;
        if steps > self.counted {
            WAITING.fetch_add(steps - self.counted, Ordering::Relaxed);
            self.counted = steps;
        }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if self.counted > 0 {
            WAITING.fetch_sub(self.counted, Ordering::Relaxed);
        }
    }
}

impl Drop for Putting {
    fn drop(&mut self) {
        self.0.waiting.borrow_mut().complete = true;
        self.0.changed.notify_one();
    }
}

impl Outgoing {
    /// The next chunk to write, once there is one; `None` when all were taken and nothing more will be put in.
    pub async fn take(&self) -> Option<Chunk> {
        loop {
            {
                let Waiting { urgent, others, bytes, complete, .. } = &mut *self.0.waiting.borrow_mut();
                if let Some(chunk) = urgent.pop_front().or_else(|| others.pop_front()) {
                    *bytes = bytes.saturating_sub(chunk.bytes.len());
                    self.0.taken.notify_one();
                    return Some(chunk);
                }
                if *complete {
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
    use tokio::sync::Semaphore;

    use super::Urgency::{InTurn, Urgent};
    use super::*;
    use crate::protocol::rpc::Request;
    use crate::wire::Question;

    fn call() -> Frame {
        Frame::Call(Question::plain(Request::CheckPredecessor))
    }

    const CALL: usize = 0x1d;

    #[test]
    fn frames_that_wait_together_leave_together_and_give_back_what_they_hold() {
        let counters = Arc::new(Counters::default());
        let (outbox, outgoing) = outbox(FrameCodec::default(), counters.clone());
        let permits = Arc::new(Semaphore::new(2));
        assert!(outgoing.take().now_or_never().is_none(), "there is nothing yet");
        for _ in 0..2 {
            outbox.put(call(), InTurn, permits.clone().try_acquire_owned().ok()).unwrap();
        }
        let chunk = outgoing.take().now_or_never().flatten().expect("a chunk");
        assert_eq!(counters.read().written, chunk.bytes.len() as u64);
        assert_eq!(chunk.bytes.len(), 2 * CALL);
        assert_eq!(permits.available_permits(), 0, "until they are written");
        drop(chunk);
        assert_eq!(permits.available_permits(), 2);
    }

    #[test]
    fn what_waits_is_taken_also_after_the_last_outbox_is_gone() {
        let (first, outgoing) = outbox(FrameCodec::default(), Arc::default());
        let second = first.clone();
        first.put(call(), InTurn, None).unwrap();
        drop(first);
        assert!(outgoing.take().now_or_never().flatten().is_some());
        assert!(outgoing.take().now_or_never().is_none(), "a frame may still be put in");
        drop(second);
        assert!(matches!(outgoing.take().now_or_never(), Some(None)));
    }

    /// Pings waited behind the lookups that delayed the node's answers.
    #[test]
    fn maintenance_leaves_before_lookups_that_wait_already() {
        let (outbox, outgoing) = outbox(FrameCodec::default(), Arc::default());
        let lookups = 2 * CHUNK / CALL + 1;
        (0..lookups).for_each(|_| outbox.put(call(), InTurn, None).unwrap());
        outbox.put(call(), Urgent, None).unwrap();
        let next = || outgoing.take().now_or_never().flatten().map(|chunk| chunk.bytes.len());
        assert_eq!(next(), Some(CALL));
        let lengths: Vec<_> = std::iter::from_fn(next).collect();
        assert_eq!(lengths.iter().sum::<usize>(), lookups * CALL);
        assert!(lengths.iter().all(|length| *length < CHUNK + CALL), "{lengths:?}: nothing urgent waits for long");
    }

    #[test]
    fn outbox_that_nobody_empties_is_full_for_lookups_first() {
        let (outbox, outgoing) = outbox(FrameCodec::default(), Arc::default());
        let put = |urgency| {
            (0..).take_while(|_| !outbox.is_full(urgency) && outbox.put(call(), urgency, None).is_ok()).count()
        };
        assert_eq!(put(InTurn), (MOST_HERE / 2).div_ceil(CALL));
        assert!(put(Urgent) >= MOST_HERE / 2 / CALL - 1);
        assert!(outbox.backlog().is_large(), "no questions are read now");
        assert!(outgoing.take().now_or_never().is_some());
        assert!(!outbox.backlog().is_large());
    }
}
