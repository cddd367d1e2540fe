//! How long healing may take, derived from the configuration of the nodes.
//!
//! Notation: T is the period of stabilize, F that of fix fingers, each with its jitter of a quarter; t is the time
//! limit of a call; r is the length of lists; N is the number of nodes. A silent node costs 2t: a call and a probe. A
//! conversation meets at most two others, so a round of stabilize ends within `T + 4t` for the conversation before it,
//! and 2t more for each silent node that it meets.

use std::time::Duration;

use crate::node::config::Config;
use crate::protocol::acquaintances::Acquaintances;
use crate::sim::network::LATE;

/// No node is paused for longer.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long a failure can go unnoticed by the predecessor of the dead node: the conversation under way (4t), the period
/// until the next round, and the round itself (2t). From then on the next entry of its list has to answer before it is
/// trusted. A broken connection is noticed within one message; this bound is for the case that this news is lost.
pub fn notice(config: &Config) -> Duration {
    jittered(config.stabilize) + 6 * config.rpc_timeout + LATE
}

/// How long a ring takes to become ideal while the rules hold: no living node has been taken for dead, and every list
/// has a living entry.
///
/// 1. What was under way ends: lookups of joiners within their time limit.
/// 2. Each list loses its dead heads, at most r of them: one round, and 2t for each.
/// 3. Entry k of a list is entry k - 1 of the successor's, a round later: r rounds. In the same
///    rounds predecessors are checked and notified.
/// 4. Joiners that were told "not now" meanwhile are admitted, one after the other where several want the same gap: N
///    times a second, since an admitted joiner may hold up the next for that long.
/// 5. Two passes of fix fingers, each of at most log2 N + 3 lookups, one per period; and one lookup that takes its
///    whole time limit.
pub fn repair(config: &Config, nodes: usize) -> Duration {
    let t = config.rpc_timeout;
    let (r, n) = (config.successors as u32, nodes as u32);
    let round = jittered(config.stabilize) + 4 * t;
    let lookups = 2 * (n.max(2).ilog2() + 3);
    config.lookup_timeout
        + round
        + 2 * r * t
        + r * round
        + n * Duration::from_secs(1)
        + lookups * jittered(config.fix_fingers)
        + config.lookup_timeout
}

/// How long the ring takes after any trouble, if of any two rings one has a member that remembers a member of the
/// other.
///
/// 1. A node that has lost every peer makes 12 attempts to find one, each at most as long as a lookup and half a
///    second, before it becomes a ring of one.
/// 2. Each node asks acquaintances in rounds of at most five, each of which takes a second and its silence, with rests
///    of at most 32 s (or four T) between. One acquaintance of each round is taken in turn, so that after as many
///    rounds as it remembers nodes it has asked all of them, a member of the other ring among them. From there at least
///    one node learns of a member of the other ring that belongs right behind it. Rings of one are invited, or join.
/// 3. From there stabilize merges the rings like a zip: each round of each node inserts at least one node, so N rounds.
///    Several rings merge one after the other.
/// 4. Then the ring is repaired as in [`repair`].
pub fn reunion(config: &Config, nodes: usize) -> Duration {
    let lost = 12 * (config.lookup_timeout + Duration::from_millis(625));
    let question = jittered(config.stabilize.max(Duration::from_secs(1))) + 4 * config.rpc_timeout;
    let round = jittered((4 * config.stabilize).max(Duration::from_secs(32))) + 5 * question;
    // One seed, and all acquaintances.
    let asked = (1 + Acquaintances::MAX_MET as u32) * round;
    let zipped = nodes as u32 * jittered(config.stabilize);
    lost + asked + zipped + 2 * repair(config, nodes)
}

fn jittered(period: Duration) -> Duration {
    period * 5 / 4
}
