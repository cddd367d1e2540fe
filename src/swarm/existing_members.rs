//! Lists the members of a ring that a swarm joins.

use crate::node::Node;
use crate::protocol::id::Bits;
use crate::protocol::peer::Peer;
use crate::swarm::SwarmError;

/// At most this many members are looked for: one address has no ports for more nodes.
const MAX_EXISTING: usize = 1 << 16;

/// The other members of a node's ring, in the order of the circle from that node on: each is the owner of the point
/// after the one before. Right if no member comes or goes meanwhile.
pub async fn of(node: &Node) -> Result<Vec<Peer>, SwarmError> {
    let mut existing: Vec<Peer> = Vec::new();
    while existing.len() < MAX_EXISTING {
        let last = existing.last().copied().unwrap_or(node.me());
        let next = node.lookup_id(last.id.next(Bits::FULL)).await.map_err(SwarmError::ExistingMembers)?;
        // The node has just joined: its predecessor may not know it yet and may name its successor.
        if !next.id.in_open(last.id, node.me().id) {
            break;
        }
        existing.push(next);
    }
    Ok(existing)
}
