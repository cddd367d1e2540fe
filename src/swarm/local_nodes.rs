//! The nodes of one thread, and their right tables.

use std::sync::Arc;

use rand::{Rng, RngExt};

use super::judge::Judge;

use crate::node::{Node, State};
use crate::protocol::id::Id;
use crate::protocol::peer::Peer;
use crate::sim::tables::Tables;

/// The nodes of one thread, and the tables of the whole ring by definition. All clones are the same.
#[derive(Clone)]
pub struct LocalNodes {
    locals: Arc<[LocalNode]>,
    /// Of all nodes of the swarm and the members that it found when it joined a ring.
    pub tables: Arc<Tables>,
    /// Judges answers that differ from the tables; `None` if the ring has no other members.
    judge: Option<Arc<Judge>>,
}

/// A node, and its position in the ring of the tables.
#[derive(Clone)]
pub struct LocalNode {
    /// A handle: clones of it are the same node.
    pub node: Node,
    /// Its index in the order of the circle, as in [`Tables::ring`].
    pub at: usize,
}

impl LocalNodes {
    /// At least one node; each must be in the ring of the tables. `others` says whether the ring has other members,
    /// which come and go.
    pub fn new(nodes: Vec<Node>, tables: Arc<Tables>, others: bool) -> LocalNodes {
        let local = |node: Node| tables.position(node.me()).map(|at| LocalNode { node, at });
        LocalNodes { locals: nodes.into_iter().filter_map(local).collect(), tables, judge: others.then(Arc::default) }
    }

    /// Whether this node has named the right owner of a key: that of the tables, or one that may be right in the present
    /// ring.
    pub async fn is_right(&self, node: &Node, key: Id, named: Peer) -> bool {
        named == self.tables.owner(key)
            || match &self.judge {
                // Rare, and most of what each of thousands of clients would take in memory.
                Some(judge) => !Box::pin(judge.is_wrong(node, key, named)).await,
                None => false,
            }
    }

    /// At least one, in the order in which they were given to [`new`](Self::new).
    pub fn locals(&self) -> &[LocalNode] {
        &self.locals
    }

    /// The same without their positions.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.locals.iter().map(|local| &local.node)
    }

    /// The first one. On the first thread, that is the node through which all others have joined.
    pub fn first(&self) -> &Node {
        &self.locals[0].node
    }

    /// One of the nodes, and a key for it to look up.
    pub fn draw(&self, rng: &mut impl Rng) -> (&LocalNode, Id) {
        (&self.locals[rng.random_range(0..self.locals.len())], Id::from_bytes(rng.random()))
    }

    /// Whether the node at this position has the right successor and predecessor.
    pub fn has_neighbors(&self, at: usize, state: &State) -> bool {
        let own = self.tables.neighbors(at);
        (state.successors.first(), state.predecessor) == (own.successors().first(), own.predecessor())
    }

    /// Whether the node at this position knows exactly what it should.
    pub fn is_ideal(&self, at: usize, state: &State) -> bool {
        let own = self.tables.neighbors(at);
        (&state.successors[..], state.predecessor) == (own.successors(), own.predecessor())
            && self.tables.fingers(at).nodes().eq(state.fingers.iter().copied())
    }
}
