//! A node as a recording shows it.

use crate::protocol::fingers::FingerTable;
use crate::protocol::id::{Bits, Id};
use crate::protocol::maintenance::Standing;
use crate::protocol::neighbors::Neighbors;
use crate::protocol::peer::Peer;

/// The state of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The node.
    pub me: Peer,
    /// A node that has left is not shown.
    pub standing: Standing,
    /// If it knows one.
    pub predecessor: Option<Id>,
    /// Nearest first; empty if it knows no other node.
    pub successors: Vec<Id>,
    /// Runs of equal fingers: the first, the last, and their node. Empty if they are not shown.
    pub fingers: Vec<(u8, u8, Id)>,
}

impl View {
    /// A node without its fingers.
    pub fn new(standing: Standing, neighbors: &Neighbors) -> View {
        View {
            me: neighbors.me(),
            standing,
            predecessor: neighbors.predecessor().map(|peer| peer.id),
            successors: neighbors.successors().iter().map(|peer| peer.id).collect(),
            fingers: Vec::new(),
        }
    }

    /// With these fingers, of a circle of this many bits.
    pub fn with_fingers(self, table: &FingerTable, bits: Bits) -> View {
        View { fingers: runs(table, bits), ..self }
    }

    /// Whether it is a member of a ring.
    pub fn is_member(&self) -> bool {
        matches!(self.standing, Standing::Member | Standing::Isolated)
    }

    /// Whether the two differ in nothing but fingers.
    pub(super) fn has_neighbors_of(&self, other: &View) -> bool {
        let of = |view: &View| (view.me, view.standing, view.predecessor);
        of(self) == of(other) && self.successors == other.successors
    }

    pub(super) fn word(&self) -> &'static str {
        match self.standing {
            Standing::Joining | Standing::Left => "joining",
            Standing::Member => "member",
            Standing::Isolated => "isolated",
        }
    }
}

/// Fingers as they are on the whole circle of 160 bits. A circle of m bits has the identifiers that are multiples of
/// 2^(160-m): its finger i is finger 160-m+i, and those before are its first finger.
fn runs(table: &FingerTable, bits: Bits) -> Vec<(u8, u8, Id)> {
    let (m, all) = (bits.count(), Bits::FULL.count());
    let mut runs = Vec::new();
    let mut first = 1;
    while first <= m {
        let last = table.last_of_run(first);
        let begin = if first == 1 { 1 } else { all - m + first };
        runs.push((begin, all - m + last, table.node(first).id));
        first = last + 1;
    }
    runs
}
