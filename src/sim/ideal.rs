//! Whether a ring is ideal.

use super::nodes;
use super::world::World;
use crate::protocol::maintenance::Standing;
use crate::protocol::peer::Peer;

impl World {
    /// Whether all live nodes are one ring with the right successor lists, predecessors and fingers; if not, the first
    /// fault.
    pub fn ideal(&self) -> Result<(), String> {
        self.ideal_neighbors()?;
        let ring = self.live();
        for host in self.members() {
            let table = host.fingers.table();
            let wrong = |i: &u8| table.node(*i) != nodes::owner(&ring, table.start(*i));
            if let Some(i) = (1..=self.bits().count()).find(wrong) {
                return Err(format!("finger {i} of {} is {}", self.name(host.me), self.name(table.node(i))));
            }
        }
        Ok(())
    }

    /// The same without the fingers.
    pub fn ideal_neighbors(&self) -> Result<(), String> {
        let ring = self.live();
        let n = ring.len();
        for (i, me) in ring.iter().enumerate() {
            let (Some(host), Some(next)) = (self.host(*me), self.host(ring[(i + 1) % n])) else { continue };
            let (name, standing) = (self.name(*me), host.maintenance.standing());
            if standing != Standing::Member {
                return Err(format!("{name} is {standing:?}"));
            }
            let neighbors = host.maintenance.neighbors();
            // The rest of a list comes from the successor, whose own list may be shorter.
            let full = neighbors.r().min(1 + next.maintenance.neighbors().successors().len());
            let successors: Vec<Peer> = (1..n).take(full).map(|k| ring[(i + k) % n]).collect();
            if neighbors.successors() != successors {
                return Err(format!("the successors of {name} are not [{}]", self.names(successors)));
            }
            let predecessor = (n > 1).then(|| ring[(i + n - 1) % n]);
            if neighbors.predecessor() != predecessor {
                return Err(format!("the predecessor of {name} is not [{}]", self.names(predecessor)));
            }
        }
        Ok(())
    }
}
