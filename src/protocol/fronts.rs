//! Which node takes calls for which others.
//!
//! Nodes of a thread take calls on one connection: that to their *front*. A node itself names its front; see the wire
//! contract (`Return.front`). Where a front does not know the node behind it, the node is called directly, and the same
//! front is not believed again for a while: else each call would learn it anew, and make a connection for that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::addr::Addr;

/// Nodes elsewhere, and their fronts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fronts {
    behind: BTreeMap<Addr, Behind>,
    /// The same, by fronts.
    of: BTreeMap<Addr, BTreeSet<Addr>>,
    refusals: BTreeMap<Addr, Refusal>,
}

/// A node that has a front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The address to call instead of that of the node: another port of the same host.
    pub front: Addr,
    /// The run of its program when it said so.
    pub incarnation: u64,
}

/// A front has said that it does not know the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refusal {
    front: Addr,
    since: Duration,
}

/// At most this many nodes are remembered with their fronts; beyond, one is forgotten, and learned anew.
const MAX_BEHIND: usize = 16 * 1024;

/// At most this many refusals are remembered; beyond, some are forgotten.
const MAX_REFUSALS: usize = 1024;

/// A refusal is remembered for this long: a thread that has changed its front is settled by then.
const REFUSED_FOR: Duration = Duration::from_secs(60);

impl Fronts {
    /// The front of that node, if it has one.
    pub fn get(&self, node: Addr) -> Option<Behind> {
        self.behind.get(&node).copied()
    }

    /// A node has named its front: another port of its own address, or none. Returns the front if it is to be believed.
    pub fn learn(&mut self, node: Addr, port: Option<u16>, incarnation: u64, now: Duration) -> Option<Addr> {
        let front = port.map(|port| Addr::new(node.ip(), port)).filter(|front| *front != node);
        let Some(front) = front.filter(|front| !self.is_refused(node, *front, now)) else {
            self.forget(node);
            return None;
        };
        if self.behind.len() >= MAX_BEHIND
            && !self.behind.contains_key(&node)
            && let Some(forgotten) = self.behind.keys().next().copied()
        {
            self.forget(forgotten);
        }
        self.forget(node);
        self.behind.insert(node, Behind { front, incarnation });
        self.of.entry(front).or_default().insert(node);
        Some(front)
    }

    fn is_refused(&self, node: Addr, front: Addr, now: Duration) -> bool {
        let refusal = self.refusals.get(&node).filter(|refusal| refusal.front == front);
        refusal.is_some_and(|refusal| now.saturating_sub(refusal.since) < REFUSED_FOR)
    }

    /// That node is not behind its front any more.
    pub fn forget(&mut self, node: Addr) {
        if let Some(Behind { front, .. }) = self.behind.remove(&node)
            && let Some(nodes) = self.of.get_mut(&front)
        {
            nodes.remove(&node);
            if nodes.is_empty() {
                self.of.remove(&front);
            }
        }
    }

    /// The front of that node has said that it does not know the node.
    pub fn refused(&mut self, node: Addr, now: Duration) {
        if let Some(Behind { front, .. }) = self.get(node) {
            if self.refusals.len() >= MAX_REFUSALS {
                self.refusals.retain(|_, refusal| now.saturating_sub(refusal.since) < REFUSED_FOR);
                while self.refusals.len() >= MAX_REFUSALS && self.refusals.pop_first().is_some() {}
            }
            self.refusals.insert(node, Refusal { front, since: now });
            self.forget(node);
        }
    }

    /// The nodes behind that front.
    pub fn behind(&self, front: Addr) -> impl Iterator<Item = Addr> + '_ {
        self.of.get(&front).into_iter().flatten().copied()
    }

    /// The connection to that front is lost: forgets the nodes behind it, and returns them.
    pub fn lost(&mut self, front: Addr) -> BTreeSet<Addr> {
        let nodes = self.of.remove(&front).unwrap_or_default();
        for node in &nodes {
            self.behind.remove(node);
        }
        nodes
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn at(port: u16) -> Addr {
        Addr::new([10, 0, 0, 1], port)
    }

    const NOW: Duration = Duration::from_secs(7);

    #[test]
    fn node_is_behind_the_front_that_it_named_last() {
        let mut fronts = Fronts::default();
        assert_eq!(fronts.learn(at(1), Some(9), 5, NOW), Some(at(9)));
        assert_eq!(fronts.learn(at(1), Some(8), 6, NOW), Some(at(8)));
        assert_eq!(fronts.get(at(1)), Some(Behind { front: at(8), incarnation: 6 }));
        assert_eq!(fronts.lost(at(9)), BTreeSet::new());
        assert_eq!(fronts.lost(at(8)), BTreeSet::from([at(1)]));
        assert_eq!(fronts, Fronts::default());
    }

    #[test]
    fn node_that_names_itself_or_nobody_has_no_front() {
        let mut fronts = Fronts::default();
        for port in [Some(1), None] {
            fronts.learn(at(1), Some(9), 5, NOW);
            assert_eq!(fronts.learn(at(1), port, 5, NOW), None);
            assert_eq!(fronts, Fronts::default());
        }
    }

    #[test]
    fn front_that_does_not_know_the_node_is_not_believed_again_for_a_while() {
        let mut fronts = Fronts::default();
        fronts.learn(at(1), Some(9), 5, NOW);
        fronts.refused(at(1), NOW);
        assert_eq!(fronts.get(at(1)), None);
        assert_eq!(fronts.learn(at(1), Some(9), 5, NOW + REFUSED_FOR / 2), None);
        assert_eq!(fronts.learn(at(1), Some(8), 5, NOW), Some(at(8)), "another front");
        assert_eq!(fronts.learn(at(1), Some(9), 5, NOW + REFUSED_FOR), Some(at(9)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut fronts = Fronts::default();
        for n in 0..MAX_BEHIND as u32 + 10 {
            let node = Addr::new(Ipv4Addr::from(n + (11 << 24)), 1);
            fronts.learn(node, Some(9), 5, NOW);
            if n % 2 == 0 {
                fronts.refused(node, NOW);
            }
        }
        assert!(fronts.behind.len() <= MAX_BEHIND && fronts.refusals.len() <= MAX_REFUSALS);
    }
}
