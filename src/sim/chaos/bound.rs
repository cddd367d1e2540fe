//! How long healing may take, derived from what nodes are configured with.
//!
//! Notation: T is the period of stabilize, F that of fix fingers, each with its jitter of a quarter;
//! t the patience with a call; r the length of lists; N the number of nodes. A silent node costs 2t, a
//! question and a probe. A conversation meets two others at most, so that a round of stabilize ends
//! within `T + 4t` for the conversation before it, and 2t more for each silent node that it meets.

use std::time::Duration;

use crate::node::config::Config;
use crate::protocol::acquaintances::Acquaintances;
use crate::sim::network::LATE;

/// No node is paused for longer.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long a failure can go unnoticed by the node before it: the conversation under way (4t), the
/// period until the next round, and the round itself (2t); then whoever follows is not trusted
/// before it has answered. A broken connection tells within one message; this is for news that is
/// lost.
pub fn notice(config: &Config) -> Duration {
    jittered(config.stabilize) + 6 * config.rpc_timeout + LATE
}

/// How long a ring takes to become ideal while the rules hold: nobody has been taken for dead that
/// lives, and every list has a living entry.
///
/// 1. What was under way comes to its end: lookups of joiners within their time limit.
/// 2. Each list loses its dead heads, at most r of them: one round, and 2t for each.
/// 3. Entry k of a list is entry k - 1 of the successor's, a round later: r rounds. In the same
///    rounds predecessors are checked and notified.
/// 4. Joiners that were told "not now" meanwhile come in, one after the other where there is one gap: N
///    times a second, for which an admitted one may hold up the next.
/// 5. Two passes of fix fingers, each of at most log2 N + 3 lookups, one per period; and a lookup
///    that ends with the time limit.
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

/// How long it takes after any trouble, if of any two rings one has a member that remembers one of the other.
///
/// 1. A node that has lost everyone makes 12 attempts to find somebody, each at most as long as a
///    lookup and half a second, before it is a ring of one.
/// 2. Each node asks acquaintances in rounds of at most five, each of which takes a second and its silence, with
///    rests of at most 32 s (or four T) between; one of each round is whoever's turn it is, so that after as many
///    rounds as it remembers nodes it has asked all, and a member of the other ring among them. From there at
///    least one node learns of a member of the other ring that belongs right behind it. Rings of one are
///    invited, or join.
/// 3. From there stabilize zips the rings up: each round of each node inserts one at least, N
///    rounds. Several rings become one after the other.
/// 4. Then the ring is repaired as ever.
pub fn reunion(config: &Config, nodes: usize) -> Duration {
    let lost = 12 * (config.lookup_timeout + Duration::from_millis(625));
    let question = jittered(config.stabilize.max(Duration::from_secs(1))) + 4 * config.rpc_timeout;
    let round = jittered((4 * config.stabilize).max(Duration::from_secs(32))) + 5 * question;
    // One seed, and as many as are remembered.
    let asked = (1 + Acquaintances::MAX_MET as u32) * round;
    let zipped = nodes as u32 * jittered(config.stabilize);
    lost + asked + zipped + 2 * repair(config, nodes)
}

fn jittered(period: Duration) -> Duration {
    period * 5 / 4
}
