//! What a node reports about itself.

use crate::protocol::peer::Peer;

/// What a node knows of its ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The node that reports, at the address that it advertises.
    pub me: Peer,
    /// The length r of a full successor list.
    pub r: usize,
    /// Nearest first, at most r; empty in a ring of one.
    pub successors: Vec<Peer>,
    /// `None` while it knows no node before it: it is alone, has just joined, or doubts its neighbours.
    pub predecessor: Option<Peer>,
    /// All 160 fingers: `fingers[i - 1]` succeeds `me + 2^(i - 1)`.
    pub fingers: Vec<Peer>,
}
