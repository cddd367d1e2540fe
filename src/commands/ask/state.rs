//! `chord state`: what a node knows and has done.

use chord::client::walk::{Visited, visit_at};
use chord::node::report::Report;
use chord::{Peer, Traffic};
use serde_json::{Value, json};

use super::{Failure, columns, millis, peer, print, print_json, reach};
use crate::cli::ask::State;

pub(super) async fn run(args: &State) -> Result<u8, Failure> {
    let (client, addr) = reach(&args.common).await?;
    let node = visit_at(&client, addr).await?;
    if args.common.json {
        print_json(&as_data(&node))?
    } else {
        print(&text(&node))?
    }
    Ok(0)
}

/// Fingers as runs of equal ones: the first and last number of each.
fn runs(fingers: &[Peer]) -> Vec<(usize, usize, Peer)> {
    let mut runs: Vec<(usize, usize, Peer)> = Vec::new();
    for (at, finger) in fingers.iter().enumerate() {
        match runs.last_mut() {
            Some((_, last, peer)) if peer == finger => *last = at + 1,
            _ => runs.push((at + 1, at + 1, *finger)),
        }
    }
    runs
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
            let Traffic { asked, answered, written, dialed, open, dead, called, served } = traffic;
            text += &format!("version {version}, up for {uptime}, run {run:016x}, r = {}\n", state.r);
            text += &format!("{open} connections open, {dialed} dialled; {asked} calls asked, {answered} answered, ");
            text += &format!("{written} bytes written; {dead} peers found dead\n");
            text += &format!("services: {called} calls made, {served} served\n");
        }
        None if node.plain => text += "a plain peer: it tells no more\n",
        None => text += "its program does not tell more\n",
    }
    text + &format!("it answered in {} ms\n", millis(node.took))
}

fn as_data(node: &Visited) -> Value {
    let peers = |peers: &[Peer]| peers.iter().map(|other| peer(*other)).collect::<Vec<_>>();
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
        let Traffic { asked, answered, written, dialed, open, dead, called, served } = traffic;
        data["traffic"] = json!({
            "asked": asked, "answered": answered, "written_bytes": written, "dialed": dialed, "open": open,
            "dead": dead, "called": called, "served": served,
        });
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use chord::Addr;
    use chord::protocol::id::Bits;

    #[test]
    fn equal_fingers_are_one_run() {
        let peer = |n: u16| Peer::at(Addr::new([127, 0, 0, 1], n), Bits::FULL);
        let fingers = [peer(1), peer(1), peer(2), peer(1)];
        assert_eq!(runs(&fingers), [(1, 2, peer(1)), (3, 3, peer(2)), (4, 4, peer(1))]);
        assert!(runs(&[]).is_empty());
    }
}
