//! Visits all nodes of a ring, and notes what each knows at the moment of its visit.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::{AskError, Client};
use crate::node::report::Report;
use crate::protocol::addr::Addr;
use crate::protocol::id::{Bits, Id};
use crate::protocol::peer::Peer;
use crate::protocol::rpc::{Request, Response};
use crate::wire::WireError;

/// This many nodes are visited at the same time; each takes up to two connections.
const AT_ONCE: usize = 64;

/// A walk ends after this many nodes: a liar could name new ones for ever.
pub const MAX_NODES: usize = 100_000;

/// A node that has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visited {
    /// As others name it; as it was asked for the first ones.
    pub peer: Peer,
    /// The run of its program; plain peers don't tell it.
    pub run: Option<u64>,
    /// Whether it is a plain peer.
    pub plain: bool,
    /// How long one question and its answer took.
    pub took: Duration,
    /// When it answered, since the walk began.
    pub at: Duration,
    /// `None` while it knows none.
    pub predecessor: Option<Peer>,
    /// Nearest first, without itself.
    pub successors: Vec<Peer>,
    /// What it reports of itself, if that was wanted; `None` if it does not.
    pub report: Option<Report>,
}

impl Visited {
    /// A node that has given its report in this time.
    #[cfg(feature = "http")]
    pub(crate) fn of(report: Report, took: Duration) -> Visited {
        let Report { state, run, .. } = &report;
        let (peer, run, predecessor) = (state.me, Some(*run), state.predecessor);
        let (successors, at) = (state.successors.clone(), Duration::ZERO);
        Visited { peer, run, plain: false, took, at, predecessor, successors, report: Some(report) }
    }
}

/// A node that others name, and that has not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreached {
    /// As others name it.
    pub peer: Peer,
    /// Who names it, each once.
    pub named_by: Vec<Peer>,
    /// What happened instead.
    pub why: String,
}

/// All nodes that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// By identifier, the lowest first.
    pub nodes: Vec<Visited>,
    /// By identifier.
    pub unreached: Vec<Unreached>,
    /// From the first question to the last answer: a ring that changes meanwhile may look wrong.
    pub took: Duration,
    /// Whether there were more nodes than are visited ([`MAX_NODES`]).
    pub cut: bool,
}

/// Which nodes are asked for their report as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reports {
    /// The first this many that are visited.
    Of(usize),
    /// All.
    All,
}

impl Walk {
    /// The member that owns a key, if the ring is what the visited nodes make together.
    pub fn owner(&self, key: Id) -> Option<Peer> {
        let at = self.nodes.partition_point(|node| node.peer.id < key);
        self.nodes.get(at).or(self.nodes.first()).map(|node| node.peer)
    }

    /// The share of all identifiers that a node owns, from 0 to 1.
    pub fn share(&self, at: usize) -> f64 {
        let before = (at + self.nodes.len() - 1) % self.nodes.len();
        let [me, before] = [at, before].map(|at| self.nodes[at].peer.id);
        if me == before { 1.0 } else { part(me.clockwise_from(before)) }
    }
}

/// A distance as a part of the circle, from 0 to 1.
pub(crate) fn part(distance: Id) -> f64 {
    let high = distance.as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    high as f64 / 2f64.powi(64)
}

/// Visits all nodes that can be found from those at these addresses; `told` hears how many were visited and how many
/// are known.
///
/// # Errors
///
/// None of them answered: what happened with the first.
pub async fn walk(
    client: &Client,
    from: &[Addr],
    reports: Reports,
    told: impl Fn(usize, usize),
) -> Result<Walk, AskError> {
    let began = Instant::now();
    // What happened first with a node that did not answer.
    let mut failed = None;
    let mut known = HashSet::new();
    let mut waiting = Vec::new();
    for addr in from {
        match name(client, *addr).await {
            Ok(peer) if known.insert(peer) => waiting.push(peer),
            Ok(_) => {}
            Err(error) => _ = failed.get_or_insert(error),
        }
    }
    let mut named_by = HashMap::<Peer, Vec<Peer>>::new();
    let mut nodes = BTreeMap::new();
    let mut failures = Vec::new();
    let mut visits = FuturesUnordered::new();
    let mut reports_left = match reports {
        Reports::Of(n) => n,
        Reports::All => usize::MAX,
    };
    loop {
        while visits.len() < AT_ONCE
            && let Some(peer) = waiting.pop()
        {
            let wants_report = reports_left > 0;
            reports_left = reports_left.saturating_sub(1);
            visits.push(async move { (peer, visit(client, peer, wants_report, began).await) });
        }
        let Some((peer, visited)) = visits.next().await else { break };
        match visited {
            Ok(visited) => {
                let fingers = visited.report.iter().flat_map(|report| &report.state.fingers);
                let named: HashSet<Peer> =
                    visited.successors.iter().chain(&visited.predecessor).chain(fingers).copied().collect();
                for other in named {
                    named_by.entry(other).or_default().push(peer);
                    if known.len() < MAX_NODES && known.insert(other) {
                        waiting.push(other);
                    }
                }
                nodes.insert(peer, visited);
            }
            Err(error) => {
                failures.push((peer, error.to_string()));
                failed.get_or_insert(error);
            }
        }
        told(nodes.len() + failures.len(), known.len());
    }
    // The nodes to begin with may have died since they told their names.
    if let (true, Some(error)) = (nodes.is_empty(), failed) {
        return Err(error);
    }
    let nodes = once_each(nodes.into_values().collect(), |peer| named_by.contains_key(peer));
    let mut unreached: Vec<_> = failures
        .into_iter()
        .map(|(peer, why)| {
            let mut named_by = named_by.remove(&peer).unwrap_or_default();
            named_by.sort_unstable();
            Unreached { peer, named_by, why }
        })
        .collect();
    unreached.sort_by_key(|unreached| unreached.peer);
    let cut = known.len() >= MAX_NODES;
    Ok(Walk { nodes, unreached, took: began.elapsed(), cut })
}

/// A node that was asked at another address than the one that it advertises is there twice: leaves the one that others
/// name.
fn once_each(mut nodes: Vec<Visited>, is_named: impl Fn(&Peer) -> bool) -> Vec<Visited> {
    nodes.dedup_by(|next, kept| {
        let same = next.peer.id == kept.peer.id && next.run.is_some() && next.run == kept.run;
        if same && !is_named(&kept.peer) {
            std::mem::swap(next, kept);
        }
        same
    });
    nodes
}

/// Visits one node, at this address, and asks for its report.
///
/// # Errors
///
/// It did not answer.
pub async fn visit_at(client: &Client, addr: Addr) -> Result<Visited, AskError> {
    let began = Instant::now();
    let peer = name(client, addr).await?;
    // At the address that is known to work, whatever it advertises.
    ask(client, Peer { addr, ..peer }, true, began).await.map(|visited| Visited { peer, ..visited })
}

/// The node at an address, as its ring names it.
pub(super) async fn name(client: &Client, addr: Addr) -> Result<Peer, AskError> {
    let answered = client.ask(addr, None, Request::GetPredecessor).await?;
    let asked = match answered.responder {
        Some(id) => Peer { id, addr },
        // A plain peer does not tell its identifier: it follows from its address.
        None => Peer::at(addr, Bits::FULL),
    };
    // It may advertise another address than the one at which it was asked.
    let owner = client.lookup(addr, asked.id).await.map(|found| found.owner);
    Ok(owner.ok().filter(|owner| owner.id == asked.id).unwrap_or(asked))
}

async fn visit(client: &Client, peer: Peer, wants_report: bool, began: Instant) -> Result<Visited, AskError> {
    let visited = ask(client, peer, wants_report, began).await;
    // A ring may have more nodes than this program may have open files.
    client.forget(peer);
    visited
}

async fn ask(client: &Client, peer: Peer, wants_report: bool, began: Instant) -> Result<Visited, AskError> {
    let Peer { id, addr } = peer;
    let nonsense = || AskError::Nonsense(addr, WireError::Misplaced);
    let answered = client.ask(addr, Some(id), Request::GetPredecessor).await?;
    if let Some(other) = answered.responder.filter(|other| *other != id) {
        return Err(AskError::Other(addr, other));
    }
    let at = began.elapsed();
    let Response::Predecessor { predecessor, successors, .. } = answered.response else {
        return Err(nonsense());
    };
    let successors = match successors {
        Some(successors) => successors,
        None => match client.ask(addr, Some(id), Request::GetSuccessorList { joiner: None }).await?.response {
            Response::SuccessorList { successors, .. } => successors,
            _ => return Err(nonsense()),
        },
    };
    let report = match wants_report && !answered.plain {
        // A program that embeds a node need not offer its report.
        true => client.report(peer).await.ok(),
        false => None,
    };
    Ok(Visited {
        peer,
        run: answered.run,
        plain: answered.plain,
        took: answered.took,
        at,
        predecessor,
        successors,
        report,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visited(port: u16, run: Option<u64>) -> Visited {
        let peer = Peer { id: Id::from_bytes([7; 20]), addr: Addr::new([127, 0, 0, 1], port) };
        let (took, at) = (Duration::ZERO, Duration::ZERO);
        Visited { peer, run, plain: run.is_none(), took, at, predecessor: None, successors: Vec::new(), report: None }
    }

    #[test]
    fn node_that_is_asked_at_an_address_that_nobody_names_is_there_once() {
        let ports = |nodes: &[Visited], named: u16| {
            let nodes = once_each(nodes.to_vec(), |peer| peer.addr.port() == named);
            nodes.iter().map(|node| node.peer.addr.port()).collect::<Vec<_>>()
        };
        let same = [visited(1, Some(9)), visited(2, Some(9))];
        assert_eq!((ports(&same, 1), ports(&same, 2)), (vec![1], vec![2]));
        assert_eq!(ports(&[visited(1, Some(8)), visited(2, Some(9))], 1), [1, 2], "two programs");
        assert_eq!(ports(&[visited(1, None), visited(2, None)], 1), [1, 2], "plain peers don't tell");
    }
}
