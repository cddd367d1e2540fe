//! Sees when the nodes of a thread are right, and disturbs them little: what is watched is measured.
//!
//! Nodes are asked for their state on their own thread, some at a time. As long as some are wrong there is a
//! pause that is long against the time that asking takes; who was right is asked once more in the end.

use std::collections::VecDeque;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, sleep};

use super::local_nodes::LocalNodes;
use super::{Forming, Told};
use crate::node::State;

/// So many nodes are asked at a time.
const BATCH: usize = 64;

/// A pause is so many times what a batch took: 5 % of the time of the thread, at most.
const PAUSE: u32 = 19;

/// But no shorter, which is what a timer can do, and no longer: on a busy thread a batch takes long though it
/// costs little.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(100);

/// When all were right.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Successors and predecessors.
    pub neighbors: Instant,
    /// These, successor lists and fingers.
    pub tables: Instant,
}

/// Waits until all nodes are right; how many are not at the deadline, if they are not.
pub async fn until_ideal(nodes: LocalNodes, deadline: Instant, told: Told) -> Result<Seen, usize> {
    let neighbors = until(&nodes, LocalNodes::has_neighbors, deadline, &|| ()).await?;
    let tables = until(&nodes, LocalNodes::is_ideal, deadline, &|| told(Forming::Right)).await?;
    Ok(Seen { neighbors, tables })
}

type Right = fn(&LocalNodes, usize, &State) -> bool;

async fn until(nodes: &LocalNodes, right: Right, deadline: Instant, told: &dyn Fn()) -> Result<Instant, usize> {
    let mut wrong: VecDeque<usize> = (0..nodes.locals().len()).collect();
    let mut told = Some(told);
    loop {
        wait(nodes, right, deadline, &mut wrong, told.take()).await?;
        let seen = Instant::now();
        // A node that was right may have been disturbed since.
        for begin in (0..nodes.locals().len()).step_by(BATCH) {
            wrong.extend(ask(nodes, right, (begin..nodes.locals().len()).take(BATCH)).await);
        }
        if wrong.is_empty() {
            return Ok(seen);
        }
    }
}

/// Waits until each of these was right once, and tells of each.
async fn wait(
    nodes: &LocalNodes,
    right: Right,
    deadline: Instant,
    wrong: &mut VecDeque<usize>,
    told: Option<&dyn Fn()>,
) -> Result<(), usize> {
    while !wrong.is_empty() {
        let begin = Instant::now();
        if begin >= deadline {
            return Err(wrong.len());
        }
        let asked = wrong.len().min(BATCH);
        let still = ask(nodes, right, wrong.drain(..asked).collect::<Vec<_>>()).await;
        if let Some(told) = told {
            (still.len()..asked).for_each(|_| told());
        }
        if !still.is_empty() {
            wrong.extend(still);
            sleep((PAUSE * begin.elapsed()).clamp(SHORTEST, LONGEST)).await;
        }
    }
    Ok(())
}

/// Who of these is wrong.
async fn ask(nodes: &LocalNodes, right: Right, locals: impl IntoIterator<Item = usize>) -> Vec<usize> {
    let asked = locals.into_iter().map(|k| async move {
        let local = &nodes.locals()[k];
        let state = local.node.state().await;
        (k, state.is_some_and(|state| right(nodes, local.at, &state)))
    });
    join_all(asked).await.into_iter().filter(|(_, right)| !right).map(|(k, _)| k).collect()
}
