//! Connections that several nodes of one process may have together: a budget of those that they make, and one of those
//! that others make.
//!
//! Of those that it makes each has a share of them. As long as there are enough it may have more, so that none waits for a connection
//! while there are any; when they become scarce it closes, before it makes the next one, those that it has too
//! many and does not use. Nothing is held back for those who have less: when all are in use they have to wait, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many connections, for whoever has a clone.
#[derive(Clone, Debug)]
pub struct ConnectionBudget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: usize,
    taken: AtomicUsize,
}

/// One of them, if there is a budget; given back when it is dropped.
#[derive(Debug)]
pub struct Ticket(Option<ConnectionBudget>);

impl Ticket {
    /// Of no budget.
    pub fn free() -> Ticket {
        Ticket(None)
    }
}

impl ConnectionBudget {
    /// So many, at least 1.
    pub fn new(limit: usize) -> ConnectionBudget {
        ConnectionBudget(Arc::new(Inner { limit, taken: AtomicUsize::new(0) }))
    }

    /// How many there are.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// One, if there is one left.
    pub fn take(&self) -> Option<Ticket> {
        let more = |taken: usize| (taken < self.0.limit).then_some(taken + 1);
        self.0.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Ticket(Some(self.clone())))
    }

    /// One, even if none is left: somebody closes another for it.
    pub fn take_one_too_many(&self) -> Ticket {
        self.0.taken.fetch_add(1, Ordering::Relaxed);
        Ticket(Some(self.clone()))
    }

    /// Whether few are left: one in eight, or less.
    pub fn is_scarce(&self) -> bool {
        self.0.taken.load(Ordering::Relaxed) >= self.0.limit - self.0.limit / 8
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(budget) = &self.0 {
            budget.0.taken.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The same budget, not one of the same size.
impl PartialEq for ConnectionBudget {
    fn eq(&self, other: &ConnectionBudget) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ConnectionBudget {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_than_there_are() {
        let budget = ConnectionBudget::new(2);
        let (first, second) = (budget.take(), budget.clone().take());
        assert!(first.is_some() && second.is_some() && budget.take().is_none());
        drop(first);
        let third = budget.take();
        assert!(third.is_some() && budget.take().is_none());
        let fourth = budget.take_one_too_many();
        drop(third);
        assert!(budget.take().is_none(), "it counts");
        drop(fourth);
        assert!(budget.take().is_some());
    }

    #[test]
    fn few_are_left_when_seven_of_eight_are_taken() {
        let budget = ConnectionBudget::new(16);
        let taken: Vec<_> = (0..13).map(|_| budget.take()).collect();
        assert!(!budget.is_scarce());
        let one_more = budget.take();
        assert!(budget.is_scarce());
        drop((one_more, taken));
        assert!(!budget.is_scarce());
    }
}
