//! The nodes that a lookup may ask on its way to the key, and those that it has asked in vain.

use super::closest_preceding_node;
use crate::protocol::id::Id;
use crate::protocol::neighbors::Neighbors;
use crate::protocol::peer::Peer;

/// A node gives up a lookup once this many living nodes could not answer.
///
/// If a hop can't answer for a reason of its own (it has lost its ring, it is overloaded), the node that asked it
/// passes it over. If a hop says that its own ways led nowhere or took its time, all hops before it accept that: only
/// the node that began tries another way. Otherwise a failing lookup would cost three to the power of its hops; so it
/// costs three queries a hop, three times.
///
/// A node that says "too early" does not count, nor does one that is not believed since it was restarted: several nodes
/// that come back together are often all that lies before a key. They are asked once more if need be.
const MAX_REFUSALS: usize = 3;

/// Nodes strictly between the node of a lookup and the key; its successors stand in its [`Neighbors`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Candidates {
    /// Fingers, and nodes that others have named.
    fingers: Vec<Peer>,
    /// Nodes that live but could not answer.
    refused: Vec<Peer>,
    /// Those of `refused` for which it was too early: asked once more when no other node is left.
    too_early: Vec<Peer>,
    /// Nodes that are overloaded: passed over, and asked again when no other node is left.
    busy: Vec<Peer>,
    /// Nodes that are not to be asked again: dead ones, and living ones that block the way to the key.
    left_out: Vec<Peer>,
}

impl Candidates {
    pub(super) fn new(fingers: Vec<Peer>) -> Candidates {
        Candidates { fingers, refused: Vec::new(), too_early: Vec::new(), busy: Vec::new(), left_out: Vec::new() }
    }

    /// The closest to the key of those that may be asked now.
    pub(super) fn closest(&self, neighbors: &Neighbors, key: Id) -> Option<Peer> {
        let able = |node: &Peer| !self.refused.contains(node) && !self.busy.contains(node);
        let fingers = self.fingers.iter().copied().filter(able);
        let successors = neighbors.successors().iter().copied().filter(able);
        closest_preceding_node(neighbors.me().id, key, fingers, successors)
    }

    /// All fingers and named nodes, in no order.
    pub(super) fn known(&self) -> &[Peer] {
        &self.fingers
    }

    /// Others have named these.
    pub(super) fn add(&mut self, named: Vec<Peer>) {
        self.fingers.extend(named);
    }

    /// Whether a node is not worth naming: it was asked in vain.
    pub(super) fn is_useless(&self, node: Peer) -> bool {
        self.has_left_out(node) || self.refused.contains(&node)
    }

    /// A node could not answer. Returns whether it is the first time that it says so.
    pub(super) fn refuse(&mut self, node: Peer) -> bool {
        let is_new = !self.refused.contains(&node);
        self.refused.extend(is_new.then_some(node));
        is_new
    }

    /// A node could not answer since it was too early: it may be asked once more.
    pub(super) fn refuse_too_early(&mut self, node: Peer) {
        if self.refuse(node) {
            self.too_early.push(node);
        }
    }

    /// Whether enough nodes could not answer for the lookup to fail.
    pub(super) fn are_enough(&self) -> bool {
        self.refused.len() - self.too_early.len() >= MAX_REFUSALS
    }

    /// Whether it was too early for a node that may be asked once more.
    pub(super) fn is_too_early(&self) -> bool {
        !self.too_early.is_empty()
    }

    /// It is no longer too early: all nodes for which it was may be asked again, in their turn.
    pub(super) fn no_longer_too_early(&mut self) {
        for node in std::mem::take(&mut self.too_early) {
            self.refused.retain(|other| *other != node);
        }
    }

    /// The first node for which it was too early, to be asked again at once.
    pub(super) fn take_too_early(&mut self) -> Option<Peer> {
        (!self.too_early.is_empty()).then(|| self.too_early.remove(0))
    }

    /// A node is overloaded.
    pub(super) fn pass_over(&mut self, busy: Peer) {
        self.busy.push(busy);
    }

    /// Whether a node was passed over.
    pub(super) fn is_busy(&self) -> bool {
        !self.busy.is_empty()
    }

    /// Nodes that were passed over may be asked again. Returns whether there were any.
    pub(super) fn come_back_to_busy(&mut self) -> bool {
        let any = self.is_busy();
        self.busy.clear();
        any
    }

    /// A node is not to be asked again.
    pub(super) fn leave_out(&mut self, node: Peer) {
        self.fingers.retain(|finger| *finger != node);
        self.left_out.push(node);
    }

    pub(super) fn has_left_out(&self, node: Peer) -> bool {
        self.left_out.contains(&node)
    }

    /// The nodes that were left out, the last one first.
    pub(super) fn left_out(&self) -> impl Iterator<Item = Peer> + '_ {
        self.left_out.iter().rev().copied()
    }
}
