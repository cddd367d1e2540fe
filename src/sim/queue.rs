//! The events that are scheduled, in the order of time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

/// Events by their times; events of the same time in the order in which they were scheduled.
///
/// Most events lie some time ahead, and there are many: one heap of all of them would not fit into the processor's
/// caches. So only the events of the present interval are ordered, by small keys; the rest waits in bags, one for each
/// interval to come.
#[derive(Debug)]
pub struct Queue<E> {
    /// For each event in the present bag: when it is due, its number in the order of scheduling, and its place in the
    /// bag. Empty only if the whole queue is.
    due: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    bag: Vec<Option<E>>,
    /// The present interval: events for it, and late ones for an earlier interval, go into the present bag.
    present: u64,
    /// By intervals, all after the present one.
    later: BTreeMap<u64, Vec<(Duration, u64, E)>>,
    last: u64,
}

/// The interval of about 67 ms to which a time belongs: some hundred events in a busy ring of 1,000 nodes, or in a slow
/// one of 100,000.
fn interval(at: Duration) -> u64 {
    at.as_secs() << 4 | u64::from(at.subsec_nanos() >> 26)
}

impl<E> Default for Queue<E> {
    fn default() -> Queue<E> {
        Queue { due: BinaryHeap::new(), bag: Vec::new(), present: 0, later: BTreeMap::new(), last: 0 }
    }
}

impl<E> Queue<E> {
    /// Schedules an event.
    pub fn push(&mut self, at: Duration, event: E) {
        self.last += 1;
        let interval = interval(at);
        if self.due.is_empty() {
            self.present = interval;
            self.bag.clear();
        }
        if interval <= self.present {
            self.due.push(Reverse((at, self.last, self.bag.len())));
            self.bag.push(Some(event));
        } else {
            self.later.entry(interval).or_default().push((at, self.last, event));
        }
    }

    /// When the next event is due.
    pub fn next_at(&self) -> Option<Duration> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes the next event out.
    pub fn pop(&mut self) -> Option<(Duration, E)> {
        let Reverse((at, _, place)) = self.due.pop()?;
        let event = self.bag[place].take()?;
        if self.due.is_empty()
            && let Some((interval, entries)) = self.later.pop_first()
        {
            self.present = interval;
            let mut due = std::mem::take(&mut self.due).into_vec();
            self.bag.clear();
            for (place, (at, number, event)) in entries.into_iter().enumerate() {
                due.push(Reverse((at, number, place)));
                self.bag.push(Some(event));
            }
            self.due = due.into();
        }
        Some((at, event))
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

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
        assert_eq!(queue.next_at(), None);
    }

    /// Compared with a plain sorted map, with times within, between and beyond the intervals.
    #[test]
    fn events_that_are_scheduled_on_the_way_come_in_order_too() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (mut queue, mut model, mut now) = (Queue::default(), BTreeMap::new(), Duration::ZERO);
        for number in 0..20_000u64 {
            // The queue becomes empty now and then, and full.
            let growing = (number / 500) % 2 == 0;
            if rng.random_bool(if growing { 0.7 } else { 0.3 }) {
                let scale = [0, 1_000, 5_000_000, 300_000_000, 90_000_000_000][rng.random_range(0..5)];
                let at = now + Duration::from_nanos(rng.random_range(0..=scale));
                queue.push(at, number);
                model.insert((at, number), number);
            } else {
                let expected = model.pop_first().map(|((at, _), event)| (at, event));
                assert_eq!(queue.pop(), expected);
                now = expected.map_or(now, |(at, _)| at);
            }
            assert_eq!(queue.next_at(), model.keys().next().map(|(at, _)| *at));
        }
    }
}
