//! What the nodes of one thread decide together: how far they trust their own clock, which peers they take for dead,
//! which questions they take on, and how often they ask again.
//!
//! The decisions are values of [`crate::protocol`]; this module gives them a clock and wakes the callers that wait.

mod room;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use foldhash::HashMap;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::net::meters::Meters;
use crate::protocol::addr::Addr;
use crate::protocol::admission::{Admission, Burst, Class};
use crate::protocol::bulkhead::Bulkhead;
use crate::protocol::excuses::Excuses;
use crate::protocol::failure_detector::{FailureDetector, Suspicion, Verdict};
use crate::protocol::local_health::{BEAT, LocalHealth, Ripe};
use crate::protocol::peer::Peer;
use crate::protocol::retry_budget::RetryBudget;
pub use room::{Client, Place};

/// One thread of nodes. All clones are the same.
#[derive(Clone)]
pub struct Thread(Rc<Inner>);

struct Inner {
    began: Instant,
    health: RefCell<LocalHealth>,
    detector: RefCell<FailureDetector>,
    excuses: RefCell<Excuses>,
    /// The callers that wait for the verdict of a probe in flight.
    verdicts: RefCell<HashMap<Peer, Vec<oneshot::Sender<Verdict>>>>,
    bulkhead: RefCell<Bulkhead>,
    budget: RefCell<RetryBudget>,
    admission: RefCell<Admission>,
    /// The client for lookups of the thread's own program.
    own: Client,
    burst: RefCell<Burst>,
    /// Lookups of its own program that wait for room, first come first served.
    waiting: RefCell<VecDeque<(Class, oneshot::Sender<Place>)>>,
    meters: Arc<Meters>,
}

/// A question of a plain caller that is being answered, until this is dropped.
pub struct Answering {
    thread: Thread,
    from: IpAddr,
    number: u64,
}

/// A lookup that is overdue at a hop, until this is dropped.
pub struct Overdue {
    thread: Thread,
    hop: Addr,
}

/// How a caller gets the verdict on a node.
pub enum Suspected {
    /// The verdict is known already.
    Known(Verdict),
    /// One caller probes the node and tells all who wait; it is this caller if `probe`.
    Wait { verdict: oneshot::Receiver<Verdict>, probe: bool },
}

impl Default for Thread {
    fn default() -> Thread {
        Thread(Rc::new(Inner {
            began: Instant::now(),
            health: RefCell::default(),
            detector: RefCell::default(),
            excuses: RefCell::default(),
            verdicts: RefCell::default(),
            bulkhead: RefCell::default(),
            budget: RefCell::default(),
            admission: RefCell::default(),
            own: Client::default(),
            burst: RefCell::default(),
            waiting: RefCell::default(),
            meters: Arc::default(),
        }))
    }
}

impl Thread {
    fn since_begin(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.0.began)
    }

    /// The time since it began.
    pub fn now(&self) -> Duration {
        self.0.began.elapsed()
    }

    /// The thread looks at the clock. Returns how long it has slept, if it has.
    pub fn look(&self, now: Instant) -> Option<Duration> {
        self.0.health.borrow_mut().look(self.since_begin(now))
    }

    /// When the thread last looked at the clock: at the last frame that it read, and at most one beat ago. Reading the
    /// clock is not free, and each hop of each lookup needs the time several times.
    fn seen(&self) -> Duration {
        self.0.health.borrow().seen()
    }

    /// How long a frame that is read now may have waited to be read.
    pub fn age_of_arrivals(&self) -> Duration {
        self.0.health.borrow().age_of_arrivals(self.seen())
    }

    /// How long to wait for others where `agreed` is the nominal time.
    pub fn patience(&self, agreed: Duration) -> Duration {
        self.0.health.borrow().patience(agreed)
    }

    /// Whether a wait that began then is over now: see [`LocalHealth::is_ripe`].
    pub fn is_ripe(&self, began: Instant, agreed: Duration) -> Ripe {
        self.0.health.borrow().is_ripe(self.since_begin(began), agreed, self.now())
    }

    /// Waits for others for the nominal time, or longer if the thread itself was late.
    pub async fn wait(&self, agreed: Duration) {
        let mut began = Instant::now();
        let mut wait = self.patience(agreed);
        loop {
            tokio::time::sleep(wait).await;
            match self.is_ripe(began, agreed) {
                Ripe::Yes => return,
                Ripe::NotYet { more, again } => {
                    wait = more;
                    began = if again { Instant::now() } else { began };
                }
            }
        }
    }

    /// A node has answered a question under its own identifier.
    pub fn heard(&self, peer: Peer) {
        self.0.excuses.borrow_mut().heard(peer);
        let mut detector = self.0.detector.borrow_mut();
        if !detector.is_quiet() && detector.heard(peer, self.now()) {
            drop(detector);
            self.tell(peer, Verdict::Alive);
        }
    }

    /// A node stays silent: returns the verdict, or how to wait for it.
    pub fn suspect(&self, peer: Peer) -> Suspected {
        let probe = match self.0.detector.borrow_mut().suspect(peer, self.now()) {
            Suspicion::Known(verdict) => return Suspected::Known(verdict),
            Suspicion::Wait => false,
            Suspicion::Probe => true,
        };
        let (tell, verdict) = oneshot::channel();
        self.0.verdicts.borrow_mut().entry(peer).or_default().push(tell);
        Suspected::Wait { verdict, probe }
    }

    /// A probe has ended: tells all who wait.
    pub fn concluded(&self, peer: Peer, verdict: Verdict) {
        self.0.detector.borrow_mut().concluded(peer, verdict, self.now());
        self.tell(peer, verdict);
    }

    fn tell(&self, peer: Peer, verdict: Verdict) {
        for waiting in self.0.verdicts.borrow_mut().remove(&peer).unwrap_or_default() {
            // An error means that the caller no longer waits.
            let _ = waiting.send(verdict);
        }
    }

    /// A question of a plain caller was read; it is being answered until the returned value is dropped.
    pub fn answers(&self, from: IpAddr) -> Answering {
        let number = self.0.excuses.borrow_mut().begins(from, self.now());
        Answering { thread: self.clone(), from, number }
    }

    /// Whether a plain peer may be waiting for an answer from here: see [`Excuses`].
    pub fn may_be_asking(&self, peer: Peer) -> bool {
        self.0.excuses.borrow().may_be_asking(peer)
    }

    /// Whether the silence of a plain peer, which began `ago`, is excused: see [`Excuses`].
    pub fn excuses(&self, peer: Peer, ago: Duration, patience: Duration) -> bool {
        let now = self.now();
        self.0.excuses.borrow_mut().excuse(peer, now.saturating_sub(ago), patience, now)
    }

    /// Whether a lookup may be sent to that hop now.
    pub fn admits(&self, hop: Addr) -> bool {
        self.0.budget.borrow_mut().earn();
        self.0.bulkhead.borrow_mut().admits(hop, self.seen())
    }

    /// A lookup waits at that hop for longer than it should.
    pub fn overdue(&self, hop: Addr) -> Overdue {
        self.0.bulkhead.borrow_mut().overdue(hop, self.now());
        Overdue { thread: self.clone(), hop }
    }

    /// That hop has answered a lookup.
    pub fn answered(&self, hop: Addr) {
        self.0.bulkhead.borrow_mut().answered(hop, self.seen());
    }

    /// Whether the retry budget allows asking a busy peer again.
    pub fn may_retry(&self) -> bool {
        self.0.budget.borrow_mut().spend()
    }

    /// What its nodes do, counted; and its gate.
    pub fn meters(&self) -> &Arc<Meters> {
        &self.0.meters
    }

    /// Starts the thread's beat, which lasts as long as other clones exist. It calls `slept` when the thread has slept.
    pub fn beat(&self, slept: impl Fn(Duration) + 'static) {
        let thread = Rc::downgrade(&self.0);
        // An actor's future would belong to one node, and end with it.
        drop(actix_rt::spawn(beat(thread, slept)));
    }
}

async fn beat(thread: Weak<Inner>, slept: impl Fn(Duration)) {
    let mut suspended = suspended();
    loop {
        let due = Instant::now() + BEAT;
        sleep_until(due).await;
        let Some(thread) = thread.upgrade().map(Thread) else { return };
        let now = Instant::now();
        let before = std::mem::replace(&mut suspended, self::suspended());
        let (lost, now_since) = (suspended.saturating_sub(before), thread.since_begin(now));
        let mut health = thread.0.health.borrow_mut();
        health.beat(thread.since_begin(due), now_since);
        let length = health.look(now_since).into_iter().chain(health.suspended(now_since, lost)).max();
        drop(health);
        thread.0.detector.borrow_mut().fade(now_since);
        thread.0.excuses.borrow_mut().fade(now_since);
        thread.guard_on();
        if let Some(length) = length {
            slept(length);
        }
    }
}

/// How long the machine was suspended since it booted: one clock counts suspended time, the other does not.
#[cfg(target_os = "linux")]
fn suspended() -> Duration {
    use nix::time::{ClockId, clock_gettime};
    // An error would mean that there is no such clock; then no suspension is detected.
    let read = |clock| clock_gettime(clock).map_or(Duration::ZERO, Duration::from);
    let awake = read(ClockId::CLOCK_MONOTONIC);
    read(ClockId::CLOCK_BOOTTIME).saturating_sub(awake)
}

/// Elsewhere suspension can't be detected.
#[cfg(not(target_os = "linux"))]
fn suspended() -> Duration {
    Duration::ZERO
}

impl Drop for Answering {
    fn drop(&mut self) {
        let now = self.thread.now();
        self.thread.0.excuses.borrow_mut().ends(self.from, self.number, now);
    }
}

impl Drop for Overdue {
    fn drop(&mut self) {
        self.thread.0.bulkhead.borrow_mut().settled(self.hop);
    }
}
