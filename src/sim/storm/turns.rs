//! The turns of threads of nodes, and the time that these take.

use std::time::Duration;

use super::prices::Prices;
use super::thread::{Client, Defences, Thread, Waiting};
use crate::protocol::admission::Class;
use crate::protocol::failure_detector::Verdict;
use crate::protocol::local_health::BEAT;
use crate::protocol::peer::Peer;
use crate::sim::environment::Environment;
use crate::sim::events::{Content, Event, Happening, Post, Slot};

impl Environment {
    /// The thread of a node, if it has one.
    pub(in crate::sim) fn thread(&mut self, slot: Slot) -> Option<&mut Thread> {
        self.threads.of(slot)
    }

    /// Puts nodes on a new thread, from now on.
    pub(in crate::sim) fn add_thread(&mut self, slots: &[Slot], prices: Prices, defences: Defences) -> usize {
        let index = self.threads.add(slots, Thread::new(prices, defences));
        if let Some(slot) = slots.first() {
            self.beat(index, *slot);
        }
        index
    }

    /// Schedules the next look at the clock.
    fn beat(&mut self, thread: usize, slot: Slot) {
        let due = self.now + BEAT;
        self.queue.push(due, Event { slot, generation: None, happening: Happening::Beat(thread, due) });
    }

    /// A node of a thread starts.
    pub(in crate::sim) fn joins_thread(&mut self, slot: Slot) {
        if let Some(thread) = self.thread(slot) {
            if thread.nodes.is_empty() {
                thread.begin_anew();
            }
            thread.nodes.insert(slot);
        }
    }

    /// A node of a thread has ended.
    pub(in crate::sim) fn leaves_thread(&mut self, slot: Slot) {
        if let Some(thread) = self.thread(slot) {
            thread.nodes.remove(&slot);
        }
    }

    /// Charges the thread for a piece of work.
    pub(in crate::sim) fn charge(&mut self, slot: Slot, price: impl Fn(&Prices) -> Duration) {
        if let Some(thread) = self.thread(slot) {
            let price = price(&thread.prices);
            thread.charge(price);
        }
    }

    /// Sends a message when the thread of its sender writes.
    pub(in crate::sim) fn write(&mut self, post: Post, urgent: bool) {
        match self.thread(post.from.slot) {
            Some(thread) => thread.write(post, urgent),
            None => self.post(post),
        }
    }

    /// The port of the node that takes calls for this one, if that is another node of its thread.
    pub(in crate::sim) fn front(&mut self, slot: Slot) -> Option<u16> {
        let front = *self.thread(slot)?.nodes.first()?;
        let (me, front) = (self.address(slot), self.address(front));
        (front != me && front.ip() == me.ip()).then_some(front.port())
    }

    /// Admits a lookup; only with a thread can there be no room.
    pub(in crate::sim) fn admit(&mut self, slot: Slot, class: Class, client: Client) -> bool {
        self.thread(slot).is_none_or(|thread| thread.admit(class, client))
    }

    /// Makes an event wait for its thread's turn.
    pub(in crate::sim) fn enqueue(&mut self, index: usize, event: Event) {
        let (now, slot) = (self.now, event.slot);
        let thread = self.threads.get_mut(index);
        thread.queue.push_back(event);
        if !thread.busy {
            thread.busy = true;
            let at = now.max(thread.paused_until);
            self.queue.push(at, Event { slot, generation: None, happening: Happening::Turn(index) });
        }
    }

    /// The event to handle now; `None` if there is none, or the thread is paused.
    pub(in crate::sim) fn next_of_thread(&mut self, index: usize, slot: Slot) -> Option<Event> {
        for post in self.threads.get_mut(index).written() {
            self.post(post);
        }
        let now = self.now;
        let thread = self.threads.get_mut(index);
        if thread.paused_until > now {
            let until = thread.paused_until;
            self.turn_at(until, index, slot);
            return None;
        }
        let event = thread.queue.pop_front();
        match &event {
            Some(event) => {
                thread.count();
                let price = match &event.happening {
                    Happening::Heard(_, Content::Opened) => thread.prices.connection,
                    // Requests of its own program come in no frame.
                    Happening::Heard(..) => thread.prices.frame,
                    _ => Duration::ZERO,
                };
                thread.charge(price);
            }
            None => thread.busy = false,
        }
        event
    }

    /// The event was handled: returns whether the thread is free at once.
    pub(in crate::sim) fn is_free(&mut self, index: usize, slot: Slot) -> bool {
        let took = self.threads.get_mut(index).take_owed();
        if !took.is_zero() {
            self.turn_at(self.now + took, index, slot);
        }
        took.is_zero()
    }

    fn turn_at(&mut self, at: Duration, index: usize, slot: Slot) {
        self.queue.push(at, Event { slot, generation: None, happening: Happening::Turn(index) });
    }

    /// A thread looks at the clock; returns how long it has slept, if it has.
    pub(in crate::sim) fn look_at_clock(&mut self, index: usize, event: &Event) -> Option<Duration> {
        let now = self.now;
        let thread = self.threads.get_mut(index);
        match event.happening {
            Happening::Beat(_, due) => {
                thread.health.beat(due, now);
                thread.detector.fade(now);
                let slept = thread.health.look(now);
                self.beat(index, event.slot);
                slept
            }
            Happening::Heard(..) => thread.health.look(now),
            _ => None,
        }
        .filter(|_| self.threads.get_mut(index).defences.health)
    }

    /// The nodes of a thread that are up.
    pub(in crate::sim) fn nodes_of_thread(&mut self, index: usize) -> Vec<Slot> {
        self.threads.get_mut(index).nodes.iter().copied().collect()
    }

    /// A thread does nothing before `until`.
    pub(in crate::sim) fn pause_thread(&mut self, index: usize, until: Duration) {
        let thread = self.threads.get_mut(index);
        thread.paused_until = thread.paused_until.max(until);
    }

    /// Makes a run wait for the verdict on a node.
    pub(in crate::sim) fn wait_for_verdict(&mut self, peer: Peer, waiting: Waiting) {
        if let Some(thread) = self.thread(waiting.place.slot) {
            thread.waiting.entry(peer).or_default().push(waiting);
        }
    }

    /// A probe has ended: tells all who wait for the verdict, and the oracle.
    pub(in crate::sim) fn conclude(&mut self, by: (Peer, Slot), peer: Peer, verdict: Verdict) {
        let now = self.now;
        let Some(thread) = self.thread(by.1) else { return };
        thread.detector.concluded(peer, verdict, now);
        let waiting = thread.waiting.remove(&peer).unwrap_or_default();
        if verdict == Verdict::Dead {
            self.tally.given_up += 1;
            self.suspected.push((peer, by.0));
        }
        for waiting in waiting {
            let happening = Happening::Verdict { run: waiting.run, alarm: waiting.alarm, verdict };
            self.schedule(Duration::ZERO, waiting.place, happening);
        }
    }
}
