//! What the nodes of one thread decide together: how far they trust their own clock, whom they take for dead, what they
//! take on, and how often they ask again.
//!
//! The decisions are values of [`crate::protocol`]; here they get a clock and those who wait.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use crate::protocol::addr::Addr;
use crate::protocol::admission::{Admission, Burst, Class};
use crate::protocol::bulkhead::Bulkhead;
use crate::protocol::excuses::Excuses;
use crate::protocol::failure_detector::{FailureDetector, Suspicion, Verdict};
use crate::protocol::local_health::{BEAT, LocalHealth, Ripe};
use crate::protocol::peer::Peer;
use crate::protocol::retry_budget::RetryBudget;

/// One thread of nodes. Clones are the same.
#[derive(Clone)]
pub struct Thread(Rc<Inner>);

struct Inner {
    began: Instant,
    health: RefCell<LocalHealth>,
    detector: RefCell<FailureDetector>,
    excuses: RefCell<Excuses>,
    /// Who waits for the verdict of a probe that is under way.
    verdicts: RefCell<HashMap<Peer, Vec<oneshot::Sender<Verdict>>>>,
    bulkhead: RefCell<Bulkhead>,
    budget: RefCell<RetryBudget>,
    admission: RefCell<Admission>,
    /// What its own program has under way, a client like any other.
    own: Client,
    burst: RefCell<Burst>,
    /// Lookups of its own program that wait for room, in their order.
    waiting: RefCell<VecDeque<(Class, oneshot::Sender<Place>)>>,
}

/// Lookups of the thread's own program that wait for room at once: about what is done in a sixtieth of a second.
const MAX_WAITING: usize = 1024;

/// A lookup that has found no room in this time is refused.
const ROOM_WITHIN: Duration = Duration::from_millis(100);

/// What is under way for somebody: a connection, or the program itself. Clones are the same.
#[derive(Clone, Default)]
pub struct Client(Rc<Held>);

#[derive(Default)]
struct Held {
    lookups: Cell<usize>,
    maintenance: Cell<usize>,
}

/// A question that was taken on, until it is dropped.
pub struct Place {
    thread: Thread,
    client: Client,
    class: Class,
}

/// A question of a plain caller that is being answered, until it is dropped.
pub struct Answering {
    thread: Thread,
    from: IpAddr,
    number: u64,
}

/// A lookup that is overdue at a hop, until it is dropped.
pub struct Overdue {
    thread: Thread,
    hop: Addr,
}

/// How a wait for the verdict on a node begins.
pub enum Suspected {
    /// It is known already.
    Known(Verdict),
    /// Somebody probes it, and tells all; it is this caller if `probe`.
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

    /// The thread looks at the clock. Says how long it has slept, if it has.
    pub fn look(&self, now: Instant) -> Option<Duration> {
        self.0.health.borrow_mut().look(self.since_begin(now))
    }

    /// When the thread last looked at the clock: with the last frame that it read, a beat ago at most. Each hop of each lookup
    /// asks several times, and the clock is not for nothing.
    fn seen(&self) -> Duration {
        self.0.health.borrow().seen()
    }

    /// How long what is read now may have waited to be read.
    pub fn age_of_arrivals(&self) -> Duration {
        self.0.health.borrow().age_of_arrivals(self.seen())
    }

    /// How long to wait for others where so much was agreed.
    pub fn patience(&self, agreed: Duration) -> Duration {
        self.0.health.borrow().patience(agreed)
    }

    /// Whether a wait that began then is over now: see [`LocalHealth::is_ripe`].
    pub fn is_ripe(&self, began: Instant, agreed: Duration) -> Ripe {
        self.0.health.borrow().is_ripe(self.since_begin(began), agreed, self.now())
    }

    /// Waits for others for what was agreed, or longer where the thread itself was late.
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

    /// A node has answered something in its own name.
    pub fn heard(&self, peer: Peer) {
        self.0.excuses.borrow_mut().heard(peer);
        let mut detector = self.0.detector.borrow_mut();
        if !detector.is_quiet() && detector.heard(peer, self.now()) {
            drop(detector);
            self.tell(peer, Verdict::Alive);
        }
    }

    /// A node stays silent.
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
            // An error means that it waits no longer.
            let _ = waiting.send(verdict);
        }
    }

    /// A question of a plain caller was read, and will be answered.
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

    /// Whether somebody may be asked again who was busy.
    pub fn may_retry(&self) -> bool {
        self.0.budget.borrow_mut().spend()
    }

    /// Takes a question on for a client, if there is room.
    pub fn admit(&self, class: Class, client: &Client) -> Option<Place> {
        let held = client.held(class);
        self.0.admission.borrow_mut().admit(class, held.get()).then(|| {
            held.set(held.get() + 1);
            Place { thread: self.clone(), client: client.clone(), class }
        })
    }

    /// The same for a lookup of its own program.
    pub fn admit_own(&self, class: Class) -> Option<Place> {
        self.admit(class, &self.0.own)
    }

    /// The same, for whoever waits until other lookups have ended; none for those that do not, or in vain.
    pub fn wait_for_room(
        &self,
        class: Class,
        patience: Duration,
    ) -> Option<impl Future<Output = Option<Place>> + use<>> {
        let mut waiting = self.0.waiting.borrow_mut();
        while waiting.front().is_some_and(|(_, first)| first.is_closed()) {
            waiting.pop_front();
        }
        if class == Class::Maintenance || waiting.len() >= MAX_WAITING || !self.0.burst.borrow_mut().waits(self.seen())
        {
            return None;
        }
        let (place, given) = oneshot::channel();
        waiting.push_back((class, place));
        Some(async move { timeout(patience.min(ROOM_WITHIN), given).await.ok()?.ok() })
    }

    /// A lookup has ended: whoever waits for room has it in its turn.
    fn give_room(&self) {
        loop {
            let Some((class, first)) = self.0.waiting.borrow_mut().pop_front() else { return };
            if first.is_closed() {
                continue;
            }
            let Some(place) = self.admit(class, &self.0.own) else {
                return self.0.waiting.borrow_mut().push_front((class, first));
            };
            // Nobody waits: it is dropped, and gives room itself.
            return drop(first.send(place));
        }
    }

    /// Beats as long as somebody else has a clone; `slept` hears when it has slept.
    pub fn beat(&self, slept: impl Fn(Duration) + 'static) {
        let thread = Rc::downgrade(&self.0);
        // An actor's future would be one of a node, and end with it.
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
        if let Some(length) = length {
            slept(length);
        }
    }
}

/// How long the machine was suspended since it started: one clock counts that, the other does not.
#[cfg(target_os = "linux")]
fn suspended() -> Duration {
    use nix::time::{ClockId, clock_gettime};
    // An error would mean that there is no such clock; then no suspension is ever seen.
    let read = |clock| clock_gettime(clock).map_or(Duration::ZERO, Duration::from);
    let awake = read(ClockId::CLOCK_MONOTONIC);
    read(ClockId::CLOCK_BOOTTIME).saturating_sub(awake)
}

/// Elsewhere it can't be told.
#[cfg(not(target_os = "linux"))]
fn suspended() -> Duration {
    Duration::ZERO
}

impl Client {
    fn held(&self, class: Class) -> &Cell<usize> {
        if class == Class::Maintenance { &self.0.maintenance } else { &self.0.lookups }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let held = self.client.held(self.class);
        held.set(held.get().saturating_sub(1));
        if self.class != Class::Maintenance {
            self.thread.0.admission.borrow_mut().done();
            self.thread.give_room();
        }
    }
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

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const BEGUN: Class = Class::Begun;
    const PATIENCE: Duration = Duration::from_secs(5);

    /// A thread whose own program has as many lookups under way as it may have.
    fn full() -> (Thread, Vec<Place>) {
        let thread = Thread::default();
        let places = std::iter::from_fn(|| thread.admit_own(BEGUN)).collect();
        (thread, places)
    }

    #[tokio::test(start_paused = true)]
    async fn lookups_of_a_burst_have_room_in_their_order_when_others_have_ended() {
        let (thread, mut places) = full();
        let first = thread.wait_for_room(BEGUN, PATIENCE).expect("it is a burst");
        let second = thread.wait_for_room(BEGUN, PATIENCE).expect("it is a burst");
        places.truncate(places.len() - 4);
        let (Some(first), Some(second)) = (first.now_or_never(), second.now_or_never()) else {
            panic!("there is room")
        };
        assert!(first.is_some() && second.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn lookup_that_finds_no_room_in_time_is_refused_and_takes_none_from_others() {
        let (thread, places) = full();
        let waiting = thread.wait_for_room(BEGUN, PATIENCE).expect("it is a burst");
        assert!(waiting.await.is_none());
        drop(places);
        assert!(thread.admit_own(BEGUN).is_some(), "nothing is held any more");
        assert_eq!(thread.0.admission.borrow().taken(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_lookups_wait_than_may() {
        let (thread, _places) = full();
        let waiting: Vec<_> = std::iter::from_fn(|| thread.wait_for_room(BEGUN, PATIENCE)).collect();
        assert_eq!(waiting.len(), MAX_WAITING);
        assert!(thread.wait_for_room(Class::Maintenance, PATIENCE).is_none());
        drop(waiting);
        assert!(thread.wait_for_room(BEGUN, PATIENCE).is_some(), "those that were given up count no more");
    }
}
