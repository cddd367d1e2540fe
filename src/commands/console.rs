//! Answers the console of a node.

use std::collections::BTreeSet;
use std::time::Duration;

use chord::client::Client;
use chord::client::check::check;
use chord::client::trace::trace;
use chord::client::walk::{Reports, walk};
use chord::console::{self, Command, Language, input};
use chord::node::State;
use chord::protocol::id::{Bits, Id};
use chord::{Node, Peer};
use tokio::sync::mpsc;

use super::ask;

/// How long to wait for each node of the ring.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers until the console says `Quit`; the end of its input does not end the node. Of a course console only the
/// course's commands come.
pub async fn answer(node: &Node, language: Language, mut commands: mpsc::Receiver<input::Asked>) {
    while let Some((command, reply)) = commands.recv().await {
        let answer = match command {
            Command::Lookup(key) => {
                let owner = node.lookup(&key).await;
                console::render_lookup(&key, owner)
            }
            Command::PrintState => match node.state().await {
                Some(state) => console::render_state(&state),
                None => console::render_error(&STOPPED),
            },
            Command::Join(seed) => match node.join(seed.clone()).await {
                Ok(()) => console::render_text(&format!("asking {seed}: when it answers, the two rings become one")),
                Err(why) => console::render_error(&why),
            },
            Command::Peers => match node.state().await {
                Some(state) => console::render_text(&peers(&state)),
                None => console::render_error(&STOPPED),
            },
            Command::Ring => render(ring(node).await),
            Command::Check => render(examine(node).await),
            Command::Trace(key) => render(follow(node, &key).await),
            Command::Help => language.help(),
            Command::Quit => return,
        };
        // An error means that the console is gone.
        let _ = reply.send(answer);
    }
    std::future::pending().await
}

const STOPPED: &str = "the node was stopped";

fn render(answer: Result<String, chord::client::AskError>) -> Vec<u8> {
    answer.map_or_else(|why| console::render_error(&why), |text| console::render_text(&text))
}

/// A line for each node that this one knows: what it is to it, its identifier and its address.
fn peers(state: &State) -> String {
    let line = |what: &str, peer: &Peer| format!("{what} {} {}\n", peer.id, peer.addr);
    let mut text: String = state.predecessor.iter().map(|peer| line("predecessor", peer)).collect();
    text.extend(state.successors.iter().enumerate().map(|(at, peer)| line(&format!("successor {}", at + 1), peer)));
    let near: BTreeSet<&Peer> = state.predecessor.iter().chain(&state.successors).chain([&state.me]).collect();
    let mut told = BTreeSet::new();
    for (at, peer) in state.fingers.iter().enumerate() {
        if !near.contains(peer) && told.insert(peer) {
            text.push_str(&line(&format!("finger {}", at + 1), peer));
        }
    }
    if text.is_empty() { "this node is a ring of one\n".into() } else { text }
}

async fn ring(node: &Node) -> Result<String, chord::client::AskError> {
    let walked = walk(&Client::new(PATIENCE), &[node.me().addr], Reports::All, |_, _| {}).await?;
    Ok(ask::ring::table(&walked))
}

async fn examine(node: &Node) -> Result<String, chord::client::AskError> {
    let checked = check(&Client::new(PATIENCE), &[node.me().addr], false, |_, _| {}).await?;
    Ok(ask::check::text(&checked))
}

async fn follow(node: &Node, key: &[u8]) -> Result<String, chord::client::AskError> {
    let traced = trace(&Client::new(PATIENCE), node.me().addr, Id::of_key(key, Bits::FULL)).await?;
    Ok(ask::trace::text(&String::from_utf8_lossy(key), &traced))
}
