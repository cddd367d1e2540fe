//! What the client finds out, as JSON: what `chord … --json` prints and the HTTP API answers. `docs/schema/` has a schema
//! of each.
//!
//! Times are in milliseconds with three decimals, shares of the circle from 0 to 1, identifiers 40 hexadecimal digits.

use std::time::Duration;

use serde_json::{Value, json};

use super::check::Checked;
use super::finding::Finding;
use super::trace::{Step, Trace, Why};
use super::walk::{Unreached, Visited, Walk};
use crate::net::traffic::Traffic;
use crate::node::report::Report;
use crate::protocol::id::Id;
use crate::protocol::peer::Peer;

/// A node.
pub fn peer(peer: Peer) -> Value {
    json!({ "id": peer.id.to_string(), "addr": peer.addr.to_string() })
}

fn peers(peers: &[Peer]) -> Value {
    peers.iter().map(|other| peer(*other)).collect()
}

/// A time in milliseconds, to the microsecond.
pub fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// The owner of a key, or why none was found.
pub fn lookup(key: &str, id: Option<Id>, owner: Result<(Peer, Duration), &str>) -> Value {
    let id = id.map(|id| id.to_string());
    match owner {
        Ok((owner, took)) => json!({ "key": key, "id": id, "owner": peer(owner), "millis": millis(took) }),
        Err(why) => json!({ "key": key, "id": id, "error": why }),
    }
}

/// The way of a lookup.
pub fn trace(key: &str, trace: &Trace) -> Value {
    let step = |step: &Step| {
        let failed = step.failed.iter().map(|(node, why)| json!({ "node": peer(*node), "error": why }));
        json!({
            "node": peer(step.node), "why": why(step.why), "millis": millis(step.took), "plain": step.plain,
            "left": step.left, "failed": failed.collect::<Value>(),
        })
    };
    json!({
        "key": key, "id": trace.key.to_string(), "owner": peer(trace.owner), "why": why(trace.why),
        "hops": trace.steps.len() - 1, "millis": millis(trace.took),
        "steps": trace.steps.iter().map(step).collect::<Value>(),
    })
}

fn why(why: Why) -> Value {
    match why {
        Why::Begin => json!({ "begin": true }),
        Why::Finger(i) => json!({ "finger": i }),
        Why::Successor(j) => json!({ "successor": j }),
        Why::Word => json!({ "word": true }),
        Why::Itself => json!({ "itself": true }),
    }
}

/// What a node knows and has done.
pub fn state(node: &Visited) -> Value {
    let mut data = json!({
        "node": peer(node.peer), "plain": node.plain, "predecessor": node.predecessor.map(peer),
        "successors": peers(&node.successors), "millis": millis(node.took),
    });
    if let Some(Report { state, version, uptime, run, traffic }) = &node.report {
        let fingers = runs(&state.fingers);
        let fingers =
            fingers.iter().map(|(first, last, to)| json!({ "first": first, "last": last, "node": peer(*to) }));
        data["fingers"] = fingers.collect();
        data["r"] = json!(state.r);
        data["version"] = json!(version);
        data["uptime_seconds"] = json!(uptime.as_secs_f64());
        data["run"] = json!(format!("{run:016x}"));
        let Traffic { asked, answered, written, read, lookups, dialed, open, dead, called, served } = traffic;
        data["traffic"] = json!({
            "asked": asked, "answered": answered, "written_bytes": written, "read_bytes": read, "lookups": lookups,
            "dialed": dialed, "open": open,
            "dead": dead, "called": called, "served": served,
        });
    }
    data
}

/// Fingers as runs of equal ones: the first and last number of each.
pub fn runs(fingers: &[Peer]) -> Vec<(usize, usize, Peer)> {
    let mut runs: Vec<(usize, usize, Peer)> = Vec::new();
    for (at, finger) in fingers.iter().enumerate() {
        match runs.last_mut() {
            Some((_, last, peer)) if peer == finger => *last = at + 1,
            _ => runs.push((at + 1, at + 1, *finger)),
        }
    }
    runs
}

/// The nodes of a ring, each with its share of the keys, by identifier.
pub fn members(walk: &Walk) -> impl Iterator<Item = Value> {
    walk.nodes.iter().enumerate().map(|(at, node)| {
        json!({
            "id": node.peer.id.to_string(), "addr": node.peer.addr.to_string(), "share": walk.share(at),
            "millis": millis(node.took), "plain": node.plain,
            "version": node.report.as_ref().map(|report| &report.version),
            "predecessor": node.predecessor.map(peer), "successors": peers(&node.successors),
        })
    })
}

/// The nodes that others name and that have not answered.
pub fn unreached(walk: &Walk) -> impl Iterator<Item = Value> {
    walk.unreached.iter().map(|Unreached { peer, named_by, why }| {
        json!({
            "id": peer.id.to_string(), "addr": peer.addr.to_string(), "error": why, "named_by": peers(named_by),
        })
    })
}

/// A whole ring.
pub fn ring(walk: &Walk) -> Value {
    json!({
        "nodes": members(walk).collect::<Value>(), "unreached": unreached(walk).collect::<Value>(),
        "millis": millis(walk.took),
    })
}

/// One thing that is wrong with a ring.
pub fn finding(finding: &Finding) -> Value {
    json!({
        "severity": finding.kind.severity().to_string(), "kind": finding.kind.name(),
        "node": finding.node.map(peer), "what": finding.what, "advice": finding.kind.advice(),
    })
}

/// What is wrong with a ring.
pub fn check(checked: &Checked) -> Value {
    json!({
        "health": health(checked), "nodes": checked.walk.nodes.len(), "unreached": checked.walk.unreached.len(),
        "fingers": checked.fingers, "lookups": checked.lookups, "millis": millis(checked.walk.took),
        "findings": checked.findings.iter().map(finding).collect::<Value>(),
    })
}

/// The health of a ring in one word.
pub fn health(checked: &Checked) -> String {
    checked.health().map_or("healthy".into(), |worst| worst.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::addr::Addr;
    use crate::protocol::id::Bits;

    #[test]
    fn equal_fingers_are_one_run() {
        let peer = |n: u16| Peer::at(Addr::new([127, 0, 0, 1], n), Bits::FULL);
        let fingers = [peer(1), peer(1), peer(2), peer(1)];
        assert_eq!(runs(&fingers), [(1, 2, peer(1)), (3, 3, peer(2)), (4, 4, peer(1))]);
        assert!(runs(&[]).is_empty());
    }
}
