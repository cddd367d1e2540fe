//! Whether a node is ready to be used: whether others of its ring would find it.
//!
//! A node that is cut off still listens, and answers for the keys that it believes it owns; so its own word does not
//! count. Another node is asked, from outside, who owns this node's identifier.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Shown, client};
use crate::client::Client;
use crate::node::Node;
use crate::node::state::State;
use crate::protocol::peer::Peer;

/// How often another node is asked, while the answer is the right one and while it is not.
const ASKS_EVERY: Duration = Duration::from_secs(1);
const ASKS_AGAIN: Duration = Duration::from_millis(100);

/// A node whose ring has not confirmed it for this long is not ready.
pub(super) const LASTS: Duration = Duration::from_secs(5);

/// At most this many others are asked in one attempt.
const ASKED_AT_ONCE: usize = 3;

/// What was found out about a node last.
#[derive(Clone, Debug)]
pub(super) struct Readiness {
    /// When it was confirmed last.
    confirmed: Option<Instant>,
    /// What has prevented it since.
    why: String,
}

impl Readiness {
    /// Of a node that is not a member yet.
    pub(super) fn joining() -> Readiness {
        Readiness { confirmed: None, why: "the node is not a member of a ring yet".into() }
    }

    fn confirmed() -> Readiness {
        let why = format!("no other node has confirmed it as a member within {LASTS:?}");
        Readiness { confirmed: Some(Instant::now()), why }
    }

    /// Why the node is not ready; `None` if it is.
    pub(super) fn why_not(&self) -> Option<&str> {
        let is_fresh = self.confirmed.is_some_and(|at| at.elapsed() < LASTS);
        (!is_fresh).then_some(&self.why)
    }
}

/// Finds out again and again, for ever.
pub(super) async fn watch(shown: &Shown) {
    let (mut seen, mut turn) = (Seen::Nobody, 0);
    loop {
        let Some((node, _)) = shown.first() else {
            sleep(ASKS_AGAIN).await;
            continue;
        };
        turn += 1;
        let found = confirm(&client(), &node, &mut seen, turn).await;
        let rest = if found.is_ok() { ASKS_EVERY } else { ASKS_AGAIN };
        shown.readiness.send_modify(|last| match found {
            Ok(()) => *last = Readiness::confirmed(),
            Err(why) => last.why = why,
        });
        // Nodes that are ready at the same time don't ask at the same time.
        sleep(rest.mul_f64(rand::random_range(0.5..1.5))).await;
    }
}

/// Whether the node has known others since it started.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nobody,
    Others,
}

async fn confirm(client: &Client, node: &Node, seen: &mut Seen, turn: usize) -> Result<(), String> {
    let state = node.state().await.ok_or("the node was stopped")?;
    let others = others(&state);
    if others.is_empty() {
        return match seen {
            // It has created its ring.
            Seen::Nobody => node.lookup_id(state.me.id).await.map(drop).map_err(|why| why.to_string()),
            Seen::Others => Err("no other node of its ring answers any more: it is alone".into()),
        };
    }
    *seen = Seen::Others;
    let mut failed = String::new();
    for k in 0..ASKED_AT_ONCE.min(others.len()) {
        let other = others[(turn + k) % others.len()];
        match client.lookup(other.addr, state.me.id).await {
            Ok(found) if found.owner.id == state.me.id => return Ok(()),
            Ok(found) => {
                failed = format!("{} takes {} for the owner of this node's identifier", other.addr, found.owner)
            }
            Err(why) => failed = why.to_string(),
        }
    }
    Err(format!("no other node has confirmed it as a member within {LASTS:?}: {failed}"))
}

/// The others that it knows, each once: those that would notice first that it is gone, then the rest.
fn others(state: &State) -> Vec<Peer> {
    let mut others = Vec::new();
    for other in state.predecessor.iter().chain(&state.successors).chain(&state.fingers) {
        if *other != state.me && !others.contains(other) {
            others.push(*other);
        }
    }
    others
}
