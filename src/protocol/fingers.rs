//! The finger table: shortcuts that make lookups O(log N). Never needed for correctness.

use std::sync::Arc;

use super::id::{Bits, Id};
use super::peer::Peer;

/// The finger table of one node: finger i is the first node at or after `me + 2^(i-1)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FingerTable {
    me: Peer,
    bits: Bits,
    /// The m fingers as runs of one node, since they are some log2 N distinct nodes. The first run
    /// begins with finger 1; beginnings ascend; neighbouring runs differ in their node. Clones share them: lookups
    /// begin from a copy of the table.
    runs: Arc<[Run]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Run {
    first: u8,
    node: Peer,
}

impl FingerTable {
    /// The table of a ring of one: every finger is the node itself.
    pub fn alone(me: Peer, bits: Bits) -> FingerTable {
        FingerTable { me, bits, runs: Arc::new([Run { first: 1, node: me }]) }
    }

    /// The node whose table this is.
    pub fn me(&self) -> Peer {
        self.me
    }

    /// Whether `i` is beyond the last finger.
    pub fn is_past(&self, i: u8) -> bool {
        i > self.bits.count()
    }

    /// Where finger `i` begins.
    pub fn start(&self, i: u8) -> Id {
        self.me.id.finger_start(i, self.bits)
    }

    /// The node of finger `i`, from 1 to m.
    pub fn node(&self, i: u8) -> Peer {
        self.run_of(i).node
    }

    /// All m fingers, from the first on.
    pub fn nodes(&self) -> impl Iterator<Item = Peer> + '_ {
        (1..=self.bits.count()).map(|i| self.node(i))
    }

    /// The distinct nodes of the table, from the first finger on; the node itself may be among them.
    pub fn distinct(&self) -> impl Iterator<Item = Peer> + '_ {
        self.runs.iter().map(|run| run.node)
    }

    /// The last finger of the run that `i` belongs to.
    pub fn last_of_run(&self, i: u8) -> u8 {
        let next = self.runs.iter().map(|run| run.first).find(|first| *first > i);
        next.map_or(self.bits.count(), |first| first - 1)
    }

    /// Sets finger `i` to the owner of its start, and with it all later fingers that begin at or
    /// before that owner: they must have the same one. Returns the last finger that was set, and
    /// whether the table changed.
    pub fn set(&mut self, i: u8, owner: Peer) -> (u8, bool) {
        let m = self.bits.count();
        let reach = owner.id.clockwise_from(self.start(i));
        let last = (i..=m).take_while(|k| self.start(*k).clockwise_from(self.start(i)) <= reach).last().unwrap_or(i);

        let mut runs = Vec::with_capacity(self.runs.len() + 2);
        runs.extend(self.runs.iter().filter(|run| run.first < i));
        runs.push(Run { first: i, node: owner });
        if last < m {
            runs.push(Run { first: last + 1, node: self.node(last + 1) });
            runs.extend(self.runs.iter().filter(|run| run.first > last + 1));
        }
        (last, self.replace(runs))
    }

    /// Leaves a dead node out. Its fingers fall to the next node of the table, which is the best
    /// guess until they are fixed. Says whether the node was there.
    pub fn forget(&mut self, dead: Peer) -> bool {
        let mut next = self.me;
        let mut runs = self.runs.to_vec();
        for run in runs.iter_mut().rev() {
            if run.node == dead {
                run.node = next;
            }
            next = run.node;
        }
        self.replace(runs)
    }

    /// The distinct nodes of the table strictly between this node and `key`, nearest to this node
    /// first: the last one is the closest preceding node (paper, figure 5).
    pub fn preceding(&self, key: Id) -> Vec<Peer> {
        let mut preceding = Vec::with_capacity(self.runs.len());
        preceding.extend(self.distinct().filter(|node| node.id.in_open(self.me.id, key)));
        preceding
    }

    fn run_of(&self, i: u8) -> Run {
        let after = self.runs.partition_point(|run| run.first <= i);
        self.runs[after.saturating_sub(1)]
    }

    fn replace(&mut self, mut runs: Vec<Run>) -> bool {
        runs.dedup_by_key(|run| run.node);
        let changed = *self.runs != *runs;
        if changed {
            self.runs = runs.into();
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::testing::{SIX, peer, peers};

    /// The finger table of node 8 in the paper's ring of ten (figure 4).
    fn node_8() -> FingerTable {
        let mut table = FingerTable::alone(peer(8), SIX);
        assert_eq!(table.set(1, peer(14)), (3, true), "8+1, 8+2 and 8+4 have one owner");
        assert_eq!(table.set(4, peer(21)), (4, true));
        assert_eq!(table.set(5, peer(32)), (5, true));
        assert_eq!(table.set(6, peer(42)), (6, true));
        table
    }

    fn numbers(table: &FingerTable) -> Vec<Peer> {
        table.nodes().collect()
    }

    #[test]
    fn ring_of_one_is_its_own_fingers() {
        let alone = FingerTable::alone(peer(8), SIX);
        assert_eq!(numbers(&alone), peers(&[8; 6]));
        assert_eq!(alone.preceding(peer(7).id), []);
    }

    #[test]
    fn fingers_with_one_owner_are_set_together() {
        assert_eq!(numbers(&node_8()), peers(&[14, 14, 14, 21, 32, 42]));
    }

    #[test]
    fn finger_that_begins_at_a_node_is_that_node() {
        let mut table = FingerTable::alone(peer(8), SIX);
        assert_eq!(table.set(1, peer(12)).0, 3, "8 + 4 = 12");
        assert_eq!(table.set(4, peer(20)), (4, true));
        assert_eq!(numbers(&table), peers(&[12, 12, 12, 20, 8, 8]));
    }

    #[test]
    fn owner_beyond_the_last_finger_is_all_of_them() {
        let mut table = node_8();
        assert_eq!(table.set(1, peer(8)), (6, true));
        assert_eq!(table, FingerTable::alone(peer(8), SIX));
    }

    #[test]
    fn setting_what_is_set_changes_nothing() {
        assert_eq!(node_8().set(4, peer(21)), (4, false));
    }

    #[test]
    fn narrower_owner_leaves_the_later_fingers_of_a_run() {
        let mut table = node_8();
        assert_eq!(table.set(1, peer(9)), (1, true));
        assert_eq!(numbers(&table), peers(&[9, 14, 14, 21, 32, 42]));
        assert_eq!(table.last_of_run(2), 3);
        assert_eq!(table.last_of_run(6), 6);
    }

    #[test]
    fn fingers_of_the_dead_fall_to_the_next_node() {
        let mut table = node_8();
        assert!(table.forget(peer(14)));
        assert_eq!(numbers(&table), peers(&[21, 21, 21, 21, 32, 42]));
        assert!(table.forget(peer(42)));
        assert_eq!(numbers(&table), peers(&[21, 21, 21, 21, 32, 8]));
        assert!(!table.forget(peer(42)));
    }

    #[test]
    fn preceding_nodes_lie_strictly_before_the_key() {
        let table = node_8();
        assert_eq!(table.preceding(peer(42).id), peers(&[14, 21, 32]));
        assert_eq!(table.preceding(peer(54).id), peers(&[14, 21, 32, 42]));
        assert_eq!(table.preceding(peer(9).id), []);
    }
}
