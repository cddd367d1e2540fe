//! Tables as the paper prints them, and lookups hop by hop.

use std::fmt::Write;

use serde_json::{Value, json};

use super::members::label;
use crate::protocol::fingers::FingerTable;
use crate::protocol::id::{Bits, Id};
use crate::protocol::neighbors::Neighbors;
use crate::protocol::peer::Peer;
use crate::sim::tables::Walk;

/// The tables of a node: start, interval and node of each finger (paper, table I and figure 4), its
/// successor list and its predecessor.
pub fn table(neighbors: &Neighbors, fingers: &FingerTable, bits: Bits) -> String {
    let me = neighbors.me();
    let labels = |peers: &[Peer]| peers.iter().map(|peer| label(peer.id, bits)).collect::<Vec<_>>().join(" ");
    let mut text = format!("node {} at {}\n", label(me.id, bits), me.addr);
    let rows = (1..=bits.count()).map(|i| {
        let (start, end) = interval(me, fingers, i, bits);
        let interval = format!("[{start}, {end})");
        [i.to_string(), start, interval, label(fingers.node(i).id, bits)]
    });
    text += &columns([["finger", "start", "interval", "node"].map(String::from)].into_iter().chain(rows).collect());
    let _ = writeln!(text, "  successors   {}", labels(neighbors.successors()));
    let _ = writeln!(text, "  predecessor  {}", labels(neighbors.predecessor().as_slice()));
    text
}

/// The start of a finger and of the next one: the keys for which it is used (paper, table I).
fn interval(me: Peer, fingers: &FingerTable, i: u8, bits: Bits) -> (String, String) {
    let end = if i < bits.count() { fingers.start(i + 1) } else { me.id };
    (label(fingers.start(i), bits), label(end, bits))
}

/// The same as data. The end of an interval is exclusive.
pub fn table_as_data(neighbors: &Neighbors, fingers: &FingerTable, bits: Bits) -> Value {
    let me = neighbors.me();
    let finger = |i| {
        let (start, end) = interval(me, fingers, i, bits);
        json!({ "start": start, "end": end, "node": label(fingers.node(i).id, bits) })
    };
    json!({
        "node": label(me.id, bits),
        "address": me.addr.to_string(),
        "fingers": (1..=bits.count()).map(finger).collect::<Vec<_>>(),
        "successors": neighbors.successors().iter().map(|peer| label(peer.id, bits)).collect::<Vec<_>>(),
        "predecessor": neighbors.predecessor().map(|peer| label(peer.id, bits)),
    })
}

/// A lookup hop by hop: the nodes asked, and the owner of the key.
pub fn walk(from: Peer, key: Id, walk: &Walk, bits: Bits) -> String {
    let Walk { path, owner } = walk;
    let mut text = format!("lookup of {} from node {}\n", label(key, bits), label(from.id, bits));
    for (hop, peer) in (1..).zip(path) {
        let _ = writeln!(text, "  {hop}. node {} at {}", label(peer.id, bits), peer.addr);
    }
    let _ = writeln!(text, "  owner: node {} at {}", label(owner.id, bits), owner.addr);
    text
}

/// The same as data.
pub fn walk_as_data(from: Peer, key: Id, walk: &Walk, bits: Bits) -> Value {
    let node = |peer: &Peer| json!({ "node": label(peer.id, bits), "address": peer.addr.to_string() });
    json!({
        "key": label(key, bits),
        "from": node(&from),
        "path": walk.path.iter().map(node).collect::<Vec<_>>(),
        "owner": node(&walk.owner),
    })
}

/// Aligns the columns of rows; the last column is not padded.
fn columns(rows: Vec<[String; 4]>) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let (one, two, three) = (width(0), width(1), width(2));
    let line = |[a, b, c, d]: &[String; 4]| format!("  {a:one$}  {b:two$}  {c:three$}  {d}\n");
    rows.iter().map(line).collect()
}
