//! Answers the console of a node.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use chord::client::check::check;
use chord::client::trace::trace;
use chord::client::walk::{Reports, walk};
use chord::client::{AskError, Client};
use chord::console::{self, Command, Language, input};
use chord::node::State;
use chord::node::worker::runtime;
use chord::protocol::id::{Bits, Id};
use chord::{Addr, Node, Peer};
use tokio::sync::{mpsc, oneshot};

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
            Command::Ring => examine(node, ring).await,
            Command::Check => examine(node, doctor).await,
            Command::Trace(key) => examine(node, async move |at| follow(at, &key).await).await,
            Command::Help => language.help(),
            Command::Quit => return,
        };
        // An error means that the console is gone.
        let _ = reply.send(answer);
    }
    std::future::pending().await
}

const STOPPED: &str = "the node was stopped";

/// Questions the ring through this node, on a thread of its own: a large ring takes longer to judge than the thread of
/// a node may be away. The program does not wait for it to end.
async fn examine<Q>(node: &Node, question: Q) -> Vec<u8>
where
    Q: AsyncFnOnce(Addr) -> Result<String, AskError> + Send + 'static,
{
    let at = node.me().addr;
    let (tell, told) = oneshot::channel();
    let ask = move || {
        let answer = runtime().map(|runtime| runtime.block_on(question(at)));
        // An error means that nobody waits any more.
        let _ = tell.send(answer);
    };
    let begun = thread::Builder::new().name("question".into()).spawn(ask);
    match begun.map(|_| told) {
        Err(why) => console::render_error(&why),
        Ok(told) => match told.await {
            Ok(Ok(Ok(text))) => console::render_text(&text),
            Ok(Ok(Err(why))) => console::render_error(&why),
            Ok(Err(why)) => console::render_error(&why),
            Err(_) => console::render_error(&"the question was not answered"),
        },
    }
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

async fn ring(at: Addr) -> Result<String, AskError> {
    let walked = walk(&Client::new(PATIENCE), &[at], Reports::All, |_, _| {}).await?;
    Ok(ask::ring::table(&walked))
}

async fn doctor(at: Addr) -> Result<String, AskError> {
    let checked = check(&Client::new(PATIENCE), &[at], false, |_, _| {}).await?;
    Ok(ask::check::text(&checked))
}

async fn follow(at: Addr, key: &[u8]) -> Result<String, AskError> {
    let traced = trace(&Client::new(PATIENCE), at, Id::of_key(key, Bits::FULL)).await?;
    Ok(ask::trace::text(&String::from_utf8_lossy(key), &traced))
}
