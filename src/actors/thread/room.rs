//! Room for the questions that a thread takes on: who holds it, who waits for it, and what the gate says of it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Thread;
use crate::protocol::admission::Class;

/// At most this many lookups of the thread's own program wait for room: about what the thread completes in a sixtieth
/// of a second.
const MAX_WAITING: usize = 1024;

/// A lookup that has waited this long for room is refused.
const ROOM_WITHIN: Duration = Duration::from_millis(100);

/// A client, with what is under way for it: a connection, or the program itself. All clones are the same.
#[derive(Clone, Default)]
pub struct Client(Rc<Held>);

#[derive(Default)]
struct Held {
    lookups: Cell<usize>,
    maintenance: Cell<usize>,
}

/// Room for a question that was taken on; freed when dropped.
pub struct Place {
    thread: Thread,
    client: Client,
    class: Class,
}

impl Thread {
    /// Takes a question on for a client, if there is room.
    pub fn admit(&self, class: Class, client: &Client) -> Option<Place> {
        let held = client.held(class);
        let admitted = self.0.admission.borrow_mut().admit(class, held.get());
        if admitted {
            held.set(held.get() + 1);
            self.guard_on();
        }
        admitted.then(|| Place { thread: self.clone(), client: client.clone(), class })
    }

    /// Says at the gate how many more lookups of its own program it would take on, if it has refused one a moment ago.
    fn guard(&self) {
        let held = self.0.own.held(Class::Begun).get();
        let room = self.0.admission.borrow().room(Class::Begun, held);
        self.0.meters.gate.guard(self.0.burst.borrow().refuses(self.seen()), room);
    }

    /// The same, if it has said so before: it begins when a lookup is refused.
    pub(super) fn guard_on(&self) {
        if self.0.meters.gate.is_guarded() {
            self.guard();
        }
    }

    /// Takes on a lookup of the thread's own program, if there is room.
    pub fn admit_own(&self, class: Class) -> Option<Place> {
        self.admit(class, &self.0.own)
    }

    /// Like [`admit_own`](Self::admit_own), but waits until other lookups have ended. None if the question may not
    /// wait: it is maintenance, too many wait already, or this is no burst. The future gives none if no room was found
    /// in time.
    pub fn wait_for_room(
        &self,
        class: Class,
        patience: Duration,
    ) -> Option<impl Future<Output = Option<Place>> + use<>> {
        let mut waiting = self.0.waiting.borrow_mut();
        while waiting.front().is_some_and(|(_, first)| first.is_closed()) {
            waiting.pop_front();
        }
        if class == Class::Maintenance || waiting.len() >= MAX_WAITING {
            return None;
        }
        if !self.0.burst.borrow_mut().waits(self.seen()) {
            self.guard();
            return None;
        }
        let (place, given) = oneshot::channel();
        waiting.push_back((class, place));
        Some(async move { timeout(patience.min(ROOM_WITHIN), given).await.ok()?.ok() })
    }

    /// A lookup has ended: gives its room to the first that waits.
    fn give_room(&self) {
        loop {
            let Some((class, first)) = self.0.waiting.borrow_mut().pop_front() else { return };
            if first.is_closed() {
                continue;
            }
            let Some(place) = self.admit(class, &self.0.own) else {
                return self.0.waiting.borrow_mut().push_front((class, first));
            };
            // If the receiver has just gone, the place is dropped, which gives the room to the next.
            return drop(first.send(place));
        }
    }
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
            self.thread.guard_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::task::LocalSet;
    use tokio::time::sleep;

    use super::*;
    use crate::net::gate::TurnedAway;
    use crate::protocol::local_health::BEAT;

    const BEGUN: Class = Class::Begun;
    const PATIENCE: Duration = Duration::from_secs(5);

    /// A thread whose own program has all the lookups under way that it may have.
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
    async fn gate_is_guarded_while_lookups_are_refused() {
        let guarded = async {
            let (thread, mut places) = full();
            let gate = thread.meters().gate.clone();
            thread.beat(|_| ());
            for _ in 0..2 {
                assert!(thread.wait_for_room(BEGUN, PATIENCE).is_some(), "it is a burst");
                assert!(gate.enter().is_ok_and(|pass| pass.is_none()));
                sleep(Duration::from_millis(601)).await;
            }
            assert!(thread.wait_for_room(BEGUN, PATIENCE).is_none());
            assert_eq!(gate.enter().unwrap_err(), TurnedAway);
            drop(places.pop());
            let pass = gate.enter().expect("there is room for one");
            assert_eq!(gate.enter().unwrap_err(), TurnedAway, "and it is taken");
            let place = thread.admit_own(BEGUN);
            drop(pass);
            assert!(place.is_some());
            assert_eq!(gate.enter().unwrap_err(), TurnedAway);

            sleep(2 * BEAT).await;
            assert!(gate.enter().is_ok_and(|pass| pass.is_none()), "the thread may find that it is a burst");
            assert!(thread.wait_for_room(BEGUN, PATIENCE).is_none(), "it is not");
            assert_eq!(gate.enter().unwrap_err(), TurnedAway);
            drop(places);
            assert!(gate.enter().is_ok_and(|pass| pass.is_some()));
        };
        LocalSet::new().run_until(guarded).await;
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
