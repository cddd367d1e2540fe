//! Budgets of connections for several nodes of one process together: one for the connections that they make, one for
//! those that others make to them.
//!
//! Each node has a share of the first budget. While connections are plentiful, a node may exceed its share, so that no
//! node waits while any are left. When they become scarce, a node that is to make another first closes idle connections
//! beyond its share. Nothing is reserved for nodes below their share: when all connections are in use, they wait, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of connections, shared by all clones.
#[derive(Clone, Debug)]
pub struct ConnectionBudget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: usize,
    taken: AtomicUsize,
}

/// One connection of a budget, if there is a budget; returned when dropped.
#[derive(Debug)]
pub struct Ticket(Option<ConnectionBudget>);

impl Ticket {
    /// A ticket of no budget.
    pub fn free() -> Ticket {
        Ticket(None)
    }
}

impl ConnectionBudget {
    /// A budget of `limit` connections, at least 1.
    pub fn new(limit: usize) -> ConnectionBudget {
        ConnectionBudget(Arc::new(Inner { limit, taken: AtomicUsize::new(0) }))
    }

    /// The size of the budget.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Takes one connection, if one is left.
    pub fn take(&self) -> Option<Ticket> {
        let more = |taken: usize| (taken < self.0.limit).then_some(taken + 1);
        self.0.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Ticket(Some(self.clone())))
    }

    /// Takes one connection even if none is left: the caller sees to it that another is closed.
    pub fn take_one_too_many(&self) -> Ticket {
        self.0.taken.fetch_add(1, Ordering::Relaxed);
        Ticket(Some(self.clone()))
    }

    /// Whether at most one in eight is left.
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
