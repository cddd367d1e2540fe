//! What is to happen, in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// Events by their times; those of one time in the order in which they were scheduled.
///
/// The heap orders small keys; the events themselves stay where they are.
#[derive(Debug)]
pub struct Queue<E> {
    keys: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    events: Vec<Option<E>>,
    free: Vec<usize>,
    last: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Queue<E> {
        Queue { keys: BinaryHeap::new(), events: Vec::new(), free: Vec::new(), last: 0 }
    }
}

impl<E> Queue<E> {
    /// Schedules an event.
    pub fn push(&mut self, at: Duration, event: E) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.events[slot] = Some(event);
                slot
            }
            None => {
                self.events.push(Some(event));
                self.events.len() - 1
            }
        };
        self.last += 1;
        self.keys.push(Reverse((at, self.last, slot)));
    }

    /// When the next event is due.
    pub fn next_at(&self) -> Option<Duration> {
        self.keys.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes the next event out.
    pub fn pop(&mut self) -> Option<(Duration, E)> {
        let Reverse((at, _, slot)) = self.keys.pop()?;
        self.free.push(slot);
        Some((at, self.events[slot].take()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_the_order_of_time_then_of_scheduling() {
        let mut queue = Queue::default();
        for (at, event) in [(2, 'c'), (1, 'a'), (2, 'd'), (1, 'b')] {
            queue.push(Duration::from_secs(at), event);
        }
        assert_eq!(queue.next_at(), Some(Duration::from_secs(1)));
        let events: String = std::iter::from_fn(|| queue.pop()).map(|(_, event)| event).collect();
        assert_eq!(events, "abcd");
    }

    #[test]
    fn places_are_used_again() {
        let mut queue = Queue::default();
        for n in 0..1000 {
            queue.push(Duration::from_secs(n), n);
            assert_eq!(queue.pop(), Some((Duration::from_secs(n), n)));
        }
        assert_eq!(queue.events.len(), 1);
    }
}
