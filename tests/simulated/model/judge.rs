//! The conditions on every state, and on every step.

use super::masks::Mask;
use super::system::{Cause, Move, State, System};

impl<const N: usize> System<N> {
    /// What is wrong with a state: the inductive invariant of Zave, and its consequences.
    pub fn wrong_state(&self, state: &State<N>) -> Option<String> {
        let (members, principals) = (self.members(state), self.principals(state));
        if principals.count() <= self.catalog.rules.r {
            return Some(format!("only {} principals", principals.count()));
        }
        if self.is_cut_off(state, members) {
            return Some("a list without a living entry".into());
        }
        for at in members.places() {
            let masks = self.catalog.masks(state.locals[at]);
            if !masks.successors.is_sorted_by(|near, far| near < far) || masks.list.has(0) {
                return Some("a list out of order, with a repetition or its owner".into());
            }
            if masks.unexplained {
                return Some("a list of fewer than r entries, which no death accounts for".into());
            }
        }
        self.wrong_ring(state, members, principals)
    }

    /// What is wrong with the ring of best successors.
    fn wrong_ring(&self, state: &State<N>, members: Mask, principals: Mask) -> Option<String> {
        let mut rings: Option<Mask> = None;
        for at in members.places() {
            let ring = self.ring_from(state, members, at);
            if *rings.get_or_insert(ring) != ring {
                return Some("two rings".into());
            }
        }
        let ring = rings.unwrap_or_default();
        if !principals.without(ring).is_empty() {
            return Some("a principal that is not on the ring".into());
        }
        // In order: the best successor of each node is the next node of the ring.
        let ordered = ring.places().all(|at| {
            let next = (1..=N).map(|way| (at + way) % N).find(|place| ring.has(*place));
            self.best_successor(state, members, at) == next
        });
        if ordered { None } else { Some("a ring that goes round more than once".into()) }
    }

    fn best_successor(&self, state: &State<N>, members: Mask, at: usize) -> Option<usize> {
        let list = &self.catalog.masks(state.locals[at]).successors;
        list.iter().map(|way| (at + way) % N).find(|place| members.has(*place))
    }

    /// The cycle to which best successors lead.
    fn ring_from(&self, state: &State<N>, members: Mask, from: usize) -> Mask {
        let mut at = from;
        let mut seen = Mask::default();
        for _ in 0..N {
            at = self.best_successor(state, members, at).unwrap_or(at);
        }
        while !seen.has(at) {
            seen = seen.with(Mask::of(at));
            at = self.best_successor(state, members, at).unwrap_or(at);
        }
        seen
    }

    /// What is wrong with a step: the set of principals shrinks only by the failure of one.
    pub fn wrong_step(&self, state: &State<N>, step: &Move<N>) -> Option<String> {
        let mut lost = self.principals(state).without(self.principals(&step.to));
        if step.cause == Cause::Failure {
            lost = lost.without(Mask::of(step.at));
        }
        if lost.is_empty() { None } else { Some(format!("a step that passes over {} principals", lost.count())) }
    }

    /// Whether all members are one ring with the right lists and predecessors.
    pub fn is_ideal(&self, state: &State<N>) -> bool {
        let members = self.members(state);
        let n = members.count();
        members.places().all(|at| {
            let masks = self.catalog.masks(state.locals[at]);
            let others = members.turned(N - at, N).without(Mask::of(0));
            let clockwise = others.places().take(self.catalog.rules.r);
            let predecessor = others.places().last();
            clockwise.eq(masks.successors.iter().copied()) && masks.predecessor == predecessor && n > 0
        })
    }
}
