//! `chord`: runs a node, or some virtual nodes, until they are told to end; and their console.

use std::cell::RefCell;
use std::io::{IsTerminal, stderr};
use std::pin::pin;

use anyhow::{Context, Result};
use chord::console::streams::complain;
use chord::console::{Language, input, terminal};
use chord::node::config::r_for;
use chord::swarm::together;
use chord::{Node, Seed, StartError};
use futures::future::{join_all, select_all};
use tokio::signal::unix::{SignalKind, signal};

use super::console::answer;
use crate::cli::Host;

/// Runs the nodes until they are told to end.
pub async fn run(host: Host) -> Result<()> {
    let mut told_to_end = pin!(told_to_end(Hangup::Ends)?);
    begin(host.warning.as_deref(), &host.config.seeds);
    let (r, virtual_nodes) = (host.config.successors, host.virtual_nodes);
    let members = RefCell::new(Vec::new());
    let joined = |node: &Node| {
        tracing::info!(id = %node.me().id, addr = %node.me().addr, "member of a ring");
        offer_report(node);
        members.borrow_mut().push(node.clone());
    };
    let ended = tokio::select! {
        started = together::start(host.config, host.virtual_nodes, joined) => started.map(|()| false),
        () = &mut told_to_end => Ok(true),
    };
    let nodes = members.take();
    let ended = match ended {
        Ok(false) => {
            warn_of_short_lists("-r", r, virtual_nodes);
            live(&nodes, Language::Course, told_to_end).await
        }
        ended => ended.map(|_| ()).map_err(Into::into),
    };
    join_all(nodes.iter().map(Node::leave)).await;
    ended
}

/// Tells its state to those that ask from outside (`chord state`).
pub fn offer_report(node: &Node) {
    if let Err(error) = node.serve_report() {
        tracing::warn!(%error, "the node does not report its state");
    }
}

/// Prints the warning, if any, and on a terminal which ring is joined: a seed that does not answer takes its time.
pub fn begin(warning: Option<&str>, seeds: &[Seed]) {
    if let Some(warning) = warning {
        complain(format_args!("chord: warning: {warning}"));
    }
    if !seeds.is_empty() && stderr().is_terminal() {
        let seeds: Vec<_> = seeds.iter().map(Seed::to_string).collect();
        complain(format_args!("joining {} …", seeds.join(", ")));
    }
}

/// Virtual nodes die together. If lists are too short, some node of another process then loses its whole successor
/// list. `flag` gives r.
pub fn warn_of_short_lists(flag: &str, r: usize, virtual_nodes: u16) {
    let enough = r_for(virtual_nodes);
    if r < enough {
        tracing::warn!(
            "{flag} {r} is little for --virtual-nodes {virtual_nodes}: if this process dies, other nodes may lose their whole \
             successor list, and some answers be wrong until the ring has healed; all nodes of the ring should have {flag} {enough}"
        );
    }
}

/// Answers the console of the first node until it is told to end.
pub async fn live(nodes: &[Node], language: Language, told_to_end: impl Future<Output = ()>) -> Result<()> {
    let commands = input::start(&input::Printer::default(), language).context("can't start the console")?;
    let ousted = select_all(nodes.iter().map(|node| Box::pin(node.ousted())));
    tokio::select! {
        () = answer(&nodes[0], language, commands) => Ok(()),
        () = told_to_end => Ok(()),
        (taken, ..) = ousted => Err(StartError::IdTaken(taken).into()),
    }
}

/// What SIGHUP does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Hangup {
    /// It ends the program like SIGTERM: closing a terminal window is no crash, so the node leaves. It stays ignored if
    /// it is already, as with nohup.
    Ends,
    /// Nothing: a service has no terminal that could hang up.
    Nothing,
}

/// Waits for SIGINT, SIGTERM or SIGHUP, which do nothing else from now on.
pub fn told_to_end(hangup: Hangup) -> Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("can't wait for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("can't wait for SIGTERM")?;
    let mut hung_up_on = match terminal::ignores_hangup() {
        true => None,
        false => Some(signal(SignalKind::hangup()).context("can't wait for SIGHUP")?),
    };
    Ok(async move {
        let hung_up = async {
            match &mut hung_up_on {
                Some(signals) if hangup == Hangup::Ends => signals.recv().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {}, _ = hung_up => {} }
    })
}
