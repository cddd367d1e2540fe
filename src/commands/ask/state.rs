//! `chord state`: what a node knows and has done.

use chord::client::json::{self, millis, runs};
use chord::client::walk::{Visited, visit_at};
use chord::node::report::Report;
use chord::{Peer, Traffic};

use super::{Failure, columns, print, print_json, reach};
use crate::cli::ask::State;

pub(super) async fn run(args: &State) -> Result<u8, Failure> {
    let (client, addr) = reach(&args.common).await?;
    let node = visit_at(&client, addr).await?;
    if args.common.json {
        print_json(&json::state(&node))?
    } else {
        print(&text(&node))?
    }
    Ok(0)
}

fn text(node: &Visited) -> String {
    let named = |what: String, peer: Peer| [what, peer.id.to_string(), peer.addr.to_string()];
    let mut rows = vec![named("node".into(), node.peer)];
    match node.predecessor {
        Some(peer) => rows.push(named("predecessor".into(), peer)),
        None => rows.push(["predecessor".into(), "none".into(), String::new()]),
    }
    let successors = node.successors.iter().enumerate();
    rows.extend(successors.map(|(at, peer)| named(format!("successor {}", at + 1), *peer)));
    let fingers = node.report.iter().flat_map(|report| runs(&report.state.fingers));
    rows.extend(fingers.map(|(first, last, peer)| match first == last {
        true => named(format!("finger {first}"), peer),
        false => named(format!("fingers {first} to {last}"), peer),
    }));
    let mut text = columns(&rows);
    match &node.report {
        Some(Report { version, uptime, run, traffic, state }) => {
            let uptime = humantime::format_duration(std::time::Duration::from_secs(uptime.as_secs()));
            let Traffic { asked, answered, written, read, lookups, dialed, open, dead, called, served } = traffic;
            text += &format!("version {version}, up for {uptime}, run {run:016x}, r = {}\n", state.r);
            text += &format!("{open} connections open, {dialed} dialled; {asked} calls asked, {answered} answered, ");
            text += &format!("{lookups} lookups ended here, ");
            text += &format!("{written} bytes written, {read} read; {dead} peers found dead\n");
            text += &format!("services: {called} calls made, {served} served\n");
        }
        None if node.plain => text += "a plain peer: it tells no more\n",
        None => text += "its program does not tell more\n",
    }
    text + &format!("it answered in {} ms\n", millis(node.took))
}
