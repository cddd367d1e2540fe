//! Sees when the tables of a thread's nodes are right, at little cost: the nodes are being measured meanwhile.
//!
//! Nodes are asked for their state on their own thread, some at a time. While some are wrong there are pauses, long
//! against the time that asking takes; in the end the nodes that were right are asked once more.

use std::collections::VecDeque;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, sleep};

use super::local_nodes::LocalNodes;
use super::{Forming, Told};
use crate::node::State;

/// How many nodes are asked at a time.
const BATCH: usize = 64;

/// The length of a pause, as a multiple of the time that a batch took: asking takes at most 5 % of the thread's time.
const PAUSE: u32 = 19;

/// The bounds of a pause: the shortest is what a timer can do. On a busy thread a batch takes long though it costs
/// little, hence the longest.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(100);

/// When all nodes were right.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Successors and predecessors.
    pub neighbors: Instant,
    /// Also successor lists and fingers.
    pub tables: Instant,
}

/// Waits until all nodes are right. The error is the number of nodes that are still wrong at the deadline.
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

/// Waits until each of these nodes was right once; calls `told` for each.
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

/// Which of these nodes are wrong.
async fn ask(nodes: &LocalNodes, right: Right, locals: impl IntoIterator<Item = usize>) -> Vec<usize> {
    let asked = locals.into_iter().map(|k| async move {
        let local = &nodes.locals()[k];
        let state = local.node.state().await;
        (k, state.is_some_and(|state| right(nodes, local.at, &state)))
    });
    join_all(asked).await.into_iter().filter(|(_, right)| !right).map(|(k, _)| k).collect()
}
