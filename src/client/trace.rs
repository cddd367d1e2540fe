//! Follows one lookup from node to node, as an iterative lookup goes (paper, section IV.C), and finds out why each node
//! named the next one.

use std::time::{Duration, Instant};

use super::walk::{name, part};
use super::{Answered, AskError, Client};
use crate::protocol::addr::Addr;
use crate::protocol::id::Id;
use crate::protocol::peer::Peer;
use crate::protocol::rpc::{MAX_HOPS, Request, Response};
use crate::wire::WireError;

/// Why a node was asked, or named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The lookup began there.
    Begin,
    /// It is this finger of the node before, the highest that it is: from 1 to 160.
    Finger(u8),
    /// It is this successor of the node before, from 1 on, and no finger.
    Successor(usize),
    /// The node before named it, and does not report its tables.
    Word,
    /// It names itself: the key is between its predecessor and itself.
    Itself,
}

/// One node that was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The node that was asked.
    pub node: Peer,
    /// Why it was asked.
    pub why: Why,
    /// From asking it to its answer.
    pub took: Duration,
    /// A plain peer asks further nodes itself, and does not tell which.
    pub plain: bool,
    /// The part of the circle that was left from here to the key, from 0 to 1.
    pub left: f64,
    /// Nodes that were named before it and did not answer, and what happened.
    pub failed: Vec<(Peer, String)>,
}

/// A lookup from its first node to the owner.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// What was looked up.
    pub key: Id,
    /// In the order of asking.
    pub steps: Vec<Step>,
    /// The node that owns the key.
    pub owner: Peer,
    /// Why the last node named it.
    pub why: Why,
    /// The whole lookup, without the questions for reasons.
    pub took: Duration,
}

/// A node that may be asked next: where, and why.
type Candidate = (Peer, Addr, Why);

/// A node that has failed, and what happened.
type Failed = (Peer, String);

/// After nodes that did not answer, the node that named them is asked this often for others.
const AGAIN: usize = 3;

/// Looks a key up, beginning at the node at this address.
///
/// # Errors
///
/// A node did not answer and no other could be named: what happened with the last.
pub async fn trace(client: &Client, from: Addr, key: Id) -> Result<Trace, AskError> {
    let first = name(client, from).await?;
    // The first is asked at the address that is known to work.
    let mut candidates = vec![(first, from, Why::Begin)];
    let (mut steps, mut took) = (Vec::<Step>::new(), Duration::ZERO);
    let (mut failed, mut again) = (Vec::new(), 0);
    while steps.len() < MAX_HOPS as usize {
        let began = Instant::now();
        let asked = ask_any(client, &candidates, key, &mut failed).await;
        took += began.elapsed();
        let (node, why, answered) = match (asked, steps.last()) {
            (Ok(asked), _) => asked,
            (Err(error), None) => return Err(error),
            (Err(error), Some(_)) if again >= AGAIN => return Err(error),
            (Err(_), Some(last)) => {
                again += 1;
                let doubted = failed.iter().map(|(peer, _)| *peer).collect();
                let answered = ask(client, last.node, last.node.addr, key, doubted).await?;
                match answered.response {
                    Response::Successor { owner, .. } => return finish(client, key, steps, owner, took).await,
                    Response::Preceding { nodes, .. } => candidates = nearer(client, last, nodes, key).await,
                    _ => return Err(AskError::Nonsense(last.node.addr, WireError::Misplaced)),
                }
                continue;
            }
        };
        again = 0;
        let left = part(key.clockwise_from(node.id));
        let failed = std::mem::take(&mut failed);
        steps.push(Step { node, why, took: answered.took, plain: answered.plain, left, failed });
        match (answered.response, steps.last()) {
            (Response::Successor { owner, .. }, _) => return finish(client, key, steps, owner, took).await,
            (Response::Preceding { nodes, .. }, Some(last)) => candidates = nearer(client, last, nodes, key).await,
            _ => return Err(AskError::Nonsense(node.addr, WireError::Misplaced)),
        }
    }
    Err(AskError::Nonsense(from, WireError::Length))
}

async fn ask(client: &Client, node: Peer, addr: Addr, key: Id, doubted: Vec<Peer>) -> Result<Answered, AskError> {
    let question = Request::ClosestPrecedingNode { key, doubted, want_path: false };
    let answered = client.ask(addr, Some(node.id), question).await?;
    match answered.responder {
        Some(other) if other != node.id => Err(AskError::Other(addr, other)),
        _ => Ok(answered),
    }
}

/// Asks the first of these nodes that answers.
async fn ask_any(
    client: &Client,
    candidates: &[Candidate],
    key: Id,
    failed: &mut Vec<Failed>,
) -> Result<(Peer, Why, Answered), AskError> {
    let mut last = None;
    for (node, addr, why) in candidates {
        match ask(client, *node, *addr, key, Vec::new()).await {
            Ok(answered) => return Ok((*node, *why, answered)),
            Err(error) => {
                failed.push((*node, error.to_string()));
                last = Some(error);
            }
        }
    }
    // A node that names none before the key contradicts itself.
    Err(last.unwrap_or(AskError::Nobody(key)))
}

/// Of the nodes that the last one has named, those before the key, each with its reason.
async fn nearer(client: &Client, last: &Step, nodes: Vec<Peer>, key: Id) -> Vec<Candidate> {
    let reasons = Reasons::of(client, last).await;
    let before = nodes.into_iter().filter(|peer| peer.id.in_open(last.node.id, key));
    before.map(|peer| (peer, peer.addr, reasons.why(peer))).collect()
}

async fn finish(client: &Client, key: Id, steps: Vec<Step>, owner: Peer, took: Duration) -> Result<Trace, AskError> {
    let why = match steps.last() {
        Some(last) if last.node == owner => Why::Itself,
        Some(last) => Reasons::of(client, last).await.why(owner),
        None => Why::Begin,
    };
    Ok(Trace { key, steps, owner, why, took })
}

/// The tables of a node, if it reports them.
struct Reasons(Option<(Vec<Peer>, Vec<Peer>)>);

impl Reasons {
    async fn of(client: &Client, of: &Step) -> Reasons {
        let report = if of.plain { None } else { client.report(of.node).await.ok() };
        Reasons(report.map(|report| (report.state.fingers, report.state.successors)))
    }

    fn why(&self, next: Peer) -> Why {
        let Some((fingers, successors)) = &self.0 else { return Why::Word };
        let finger = fingers.iter().rposition(|finger| *finger == next).and_then(|at| u8::try_from(at + 1).ok());
        let successor = successors.iter().position(|other| *other == next);
        match (finger, successor) {
            // The first successor is the first finger, too.
            (_, Some(0)) => Why::Successor(1),
            (Some(finger), _) => Why::Finger(finger),
            (None, Some(at)) => Why::Successor(at + 1),
            (None, None) => Why::Word,
        }
    }
}
