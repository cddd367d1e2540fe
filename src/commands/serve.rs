//! `chord serve`: runs a node as a service.

use std::cell::RefCell;
use std::io::{IsTerminal, stderr, stdin, stdout};
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result};
use chord::console::Language;
use chord::console::streams::complain;
use chord::http::{Face, local};
use chord::protocol::id::Bits;
use chord::swarm::together;
use chord::{Addr, Config, Event, IfAlone, Node, Peer, Seed};
use futures::StreamExt;
use futures::future::join_all;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sd_notify::NotifyState;
use tokio::time::{Instant, interval, sleep};

use super::dialogue;
use super::node::{Hangup, live, offer_report, told_to_end, warn_of_short_lists};
use super::remember::Memory;
use crate::cli::serve::Serve;

/// How often the members that the node knows are written down, if they have changed.
const REMEMBERS_EVERY: Duration = Duration::from_secs(30);

/// How long to rest before a lookup that failed is repeated, until the node is ready.
const READY_AGAIN: Duration = Duration::from_millis(200);

/// Runs the node until it is told to end.
pub async fn run(serve: Serve) -> Result<()> {
    let hangup = if stdin().is_terminal() { Hangup::Ends } else { Hangup::Nothing };
    let mut told_to_end = pin!(told_to_end(hangup)?);
    let serve = if serve.asks && stdin().is_terminal() && stdout().is_terminal() {
        tokio::select! {
            answered = dialogue::ask(serve) => match answered? {
                Some(serve) => serve,
                // Nobody answers.
                None => return Ok(()),
            },
            () = &mut told_to_end => return Ok(()),
        }
    } else {
        serve
    };
    let Serve { mut config, virtual_nodes, http, remember, warning, .. } = serve;
    if let Some(warning) = warning {
        complain(format_args!("chord: warning: {warning}"));
    }
    let mut memory = remember.as_deref().map(Memory::open).transpose()?;
    let me = config.advertise.unwrap_or(config.listen);
    let own =
        |addr: Addr| addr.ip() == me.ip() && (0..virtual_nodes).any(|k| addr.port() == me.port().saturating_add(k));
    if let Some(memory) = &memory {
        let remembered = memory.seeds(&config.seeds).into_iter().filter(|seed| !seed.addr().is_some_and(own));
        config.seeds.extend(remembered);
    }
    let face = http.map(face).transpose()?;
    let (r, at) = (config.successors, local(config.listen));
    let members = RefCell::new(Vec::new());
    let joined = |node: &Node| {
        tracing::info!(id = %node.me().id, addr = %node.me().addr, "member of a ring");
        offer_report(node);
        if let Some(face) = &face {
            // Virtual nodes have the next ports.
            face.show(
                node.clone(),
                at.with_port(node.me().addr.port().wrapping_sub(me.port()).wrapping_add(at.port())),
            );
        }
        members.borrow_mut().push(node.clone());
    };
    let waiting = Waiting::new(&config);
    let started = tokio::select! {
        started = together::start(config, virtual_nodes, joined) => Some(started),
        () = &mut told_to_end => None,
        () = waiting.show() => None,
    };
    waiting.end();
    let nodes = members.take();
    let ended = match started {
        None => Ok(()),
        Some(Err(why)) => Err(why.into()),
        Some(Ok(())) => {
            warn_of_short_lists("--successors", r, virtual_nodes);
            waiting.tell(&nodes[0]).await;
            tokio::select! {
                ended = live(&nodes, Language::Service, told_to_end) => ended,
                () = async { tokio::join!(report_ready(&nodes[0]), feed_watchdog(&nodes), log_events(&nodes), remember_often(&nodes[0], &mut memory, own)); } => Ok(()),
            }
        }
    };
    notify(NotifyState::Stopping);
    if let (Some(memory), Some(node)) = (&mut memory, nodes.first()) {
        write_down(node, memory, own).await;
    }
    join_all(nodes.iter().map(Node::leave)).await;
    ended
}

/// Answers over HTTP from now on: also while the node joins.
fn face(at: SocketAddr) -> Result<Face> {
    let listener = TcpListener::bind(at).with_context(|| format!("can't answer over HTTP at {at} (--http)"))?;
    // With port 0 it is any free one.
    let at = listener.local_addr().context("can't tell where HTTP is answered")?;
    let face = Face::start(listener).context("can't answer over HTTP")?;
    tracing::info!(%at, "answers over HTTP");
    if stderr().is_terminal() {
        complain(format_args!("the ring is shown at http://{at}/"));
    }
    Ok(face)
}

/// Tells whoever starts the node what it waits for.
struct Waiting {
    seeds: String,
    began: Instant,
    limit: Duration,
    if_alone: IfAlone,
    bar: ProgressBar,
}

impl Waiting {
    fn new(config: &Config) -> Waiting {
        let seeds = config.seeds.iter().map(Seed::to_string).collect::<Vec<_>>().join(", ");
        let visible = !seeds.is_empty() && stderr().is_terminal();
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::with_draw_target(None, target).with_style(style);
        Waiting { seeds, began: Instant::now(), limit: config.join_timeout, if_alone: config.if_alone, bar }
    }

    /// Counts down, for ever.
    async fn show(&self) {
        let (mut seconds, mut told) = (interval(Duration::from_secs(1)), self.seeds.is_empty());
        loop {
            seconds.tick().await;
            let left = self.limit.saturating_sub(self.began.elapsed()).as_secs_f64().ceil();
            let then = match self.if_alone {
                _ if left == 0.0 => "waiting for it".into(),
                IfAlone::Create => format!("{left} s, then this node creates a ring"),
                IfAlone::GiveUp => format!("{left} s, then this node gives up"),
                IfAlone::Wait => format!("{left} s, then this node waits for it"),
            };
            self.bar.set_message(format!("joining {} … {then}", self.seeds));
            if left == 0.0 && self.if_alone == IfAlone::Wait && !told {
                tracing::warn!(seeds = self.seeds, "no member of the ring has answered: waiting for one");
                told = true;
            }
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// Says what has become of the node.
    async fn tell(&self, node: &Node) {
        let alone = node.state().await.is_some_and(|state| state.successors.is_empty());
        let (me, seeds) = (node.me(), &self.seeds);
        match (alone, seeds.is_empty()) {
            (true, false) => {
                tracing::warn!(
                    seeds,
                    "no member of a ring has answered: this node has created one, and goes on asking"
                );
            }
            _ if !stderr().is_terminal() => {}
            (true, true) => {
                complain(format_args!("{} at {} has created a ring; Help lists the commands", me.id, me.addr))
            }
            (false, _) => {
                complain(format_args!("{} at {} is a member of the ring; Help lists the commands", me.id, me.addr))
            }
        }
    }
}

/// Tells the service manager; an error means that there is none, or that it does not listen any more.
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

/// Reports that the node is ready when a lookup came back; then waits for ever.
async fn report_ready(node: &Node) {
    // Of the key on the other side of the circle: other nodes answer, if there are any.
    let opposite = node.me().id.finger_start(Bits::FULL.count(), Bits::FULL);
    while node.lookup_id(opposite).await.is_err() {
        sleep(READY_AGAIN).await;
    }
    tracing::info!("ready");
    notify(NotifyState::Ready);
    std::future::pending().await
}

/// Logs what happens around the nodes. What a node finds dead is logged where it is found out.
async fn log_events(nodes: &[Node]) {
    let list = |peers: &[Peer]| peers.iter().map(Peer::to_string).collect::<Vec<_>>().join(" ");
    let name = |peer: Option<Peer>| peer.map_or("none".into(), |peer| peer.to_string());
    join_all(nodes.iter().map(|node| async move {
        let (mut events, me) = (node.events().await, node.me().addr);
        while let Some(event) = events.next().await {
            match event {
                Event::Joined => tracing::info!(event = "joined", node = %me),
                Event::Left => tracing::info!(event = "left", node = %me),
                Event::SuccessorsChanged(to) => {
                    tracing::info!(event = "successors_changed", node = %me, successors = list(&to));
                }
                Event::PredecessorChanged(to) => {
                    tracing::info!(event = "predecessor_changed", node = %me, predecessor = name(to));
                }
                Event::Suspected(peer) => tracing::info!(event = "suspected", node = %me, %peer),
                Event::Alone => tracing::warn!(event = "alone", node = %me),
                Event::Reunited => tracing::info!(event = "reunited", node = %me),
                Event::Lagged(lost) => tracing::warn!(event = "lagged", node = %me, lost),
                Event::RangeChanged(_) | Event::Dead(_) => {}
            }
        }
    }))
    .await;
    std::future::pending().await
}

/// Tells the service manager again and again that the node lives: that its actors answer.
async fn feed_watchdog(nodes: &[Node]) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    let mut often = interval((limit / 2).max(Duration::from_millis(1)));
    loop {
        often.tick().await;
        if join_all(nodes.iter().map(Node::state)).await.iter().all(Option::is_some) {
            notify(NotifyState::Watchdog);
        }
    }
}

async fn remember_often(node: &Node, memory: &mut Option<Memory>, own: impl Fn(Addr) -> bool) {
    let Some(memory) = memory else { return std::future::pending().await };
    let mut often = interval(REMEMBERS_EVERY);
    loop {
        often.tick().await;
        write_down(node, memory, &own).await;
    }
}

async fn write_down(node: &Node, memory: &mut Memory, own: impl Fn(Addr) -> bool) {
    if let Some(state) = node.state().await
        && let Err(error) = memory.keep(&state, own).await
    {
        tracing::warn!(%error, "the members of the ring can't be remembered");
    }
}
