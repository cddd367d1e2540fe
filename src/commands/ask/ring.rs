//! `chord ring`: all nodes of the ring.

use std::fs;

use chord::client::json::{self, millis};
use chord::client::walk::{Reports, Visited, Walk, walk};

use super::{Failure, columns, draw, print, reach};
use crate::cli::ask::Ring;
use crate::commands::progress::Progress;

pub(super) async fn run(args: &Ring) -> Result<u8, Failure> {
    let (client, addr) = reach(&args.common).await?;
    let progress = Progress::of(1, "nodes are visited");
    let walked = walk(&client, &[addr], Reports::All, |done, known| progress.at(done, known)).await;
    progress.end();
    let walk = walked?;
    if let Some(file) = &args.draw {
        let unwritten = |why| Failure::Unwritten(format!("can't write {}: {why}", file.display()));
        fs::write(file, draw::svg(&walk)).map_err(unwritten)?;
    }
    print(&match (args.dot, args.common.json) {
        (true, _) => dot(&walk),
        (_, true) => lines(&walk),
        _ => table(&walk),
    })?;
    Ok(0)
}

pub(in crate::commands) fn table(walk: &Walk) -> String {
    let heads = ["id", "address", "keys", "round trip", "version"].map(String::from);
    let row = |(at, node): (usize, &Visited)| {
        let version = match &node.report {
            Some(report) => report.version.clone(),
            None if node.plain => "plain".into(),
            None => "untold".into(),
        };
        let share = format!("{:.2} %", walk.share(at) * 100.0);
        [node.peer.id.to_string(), node.peer.addr.to_string(), share, format!("{} ms", millis(node.took)), version]
    };
    let rows: Vec<_> = [heads].into_iter().chain(walk.nodes.iter().enumerate().map(row)).collect();
    let mut text = columns(&rows);
    for unreached in &walk.unreached {
        text += &format!("{} {}: {}\n", unreached.peer.id, unreached.peer.addr, unreached.why);
    }
    let n = walk.nodes.len();
    text + &format!("{n} node{} in {} ms\n", if n == 1 { "" } else { "s" }, millis(walk.took))
}

fn lines(walk: &Walk) -> String {
    json::members(walk).chain(json::unreached(walk)).map(|line| format!("{line}\n")).collect()
}

/// A graph for Graphviz: each node and its first successor.
fn dot(walk: &Walk) -> String {
    let mut text = String::from("digraph ring {\n  layout=circo; node [shape=box];\n");
    for node in &walk.nodes {
        text += &format!("  \"{}\" [tooltip=\"{}\"];\n", node.peer.addr, node.peer.id);
    }
    for unreached in &walk.unreached {
        text += &format!("  \"{}\" [style=dashed, tooltip=\"does not answer\"];\n", unreached.peer.addr);
    }
    for node in &walk.nodes {
        if let Some(next) = node.successors.first() {
            text += &format!("  \"{}\" -> \"{}\";\n", node.peer.addr, next.addr);
        }
    }
    text + "}\n"
}
