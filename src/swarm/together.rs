//! Nodes that start together: a swarm, or the virtual nodes of one.

use std::net::SocketAddrV4;

use futures::TryFutureExt;
use futures::future::try_join_all;

use crate::actors::node::{Node, StartError};
use crate::config::Config;

/// What all but the first of `n` nodes are configured with, if the first is at `first`: they join it, and
/// have the ports after that of `config`, or any that are free if that is 0.
pub fn followers(config: &Config, first: SocketAddrV4, n: u16) -> impl Iterator<Item = Config> {
    let next = |k: u16| if config.port == 0 { 0 } else { config.port.saturating_add(k) };
    (1..n).map(move |k| Config { port: next(k), seeds: vec![first], ..config.clone() })
}

/// Starts nodes on this thread, all at once, and tells of each when it is a member. If one can't start, none
/// is left.
pub async fn start_at_once(configs: Vec<Config>, told: impl Fn()) -> Result<Vec<Node>, StartError> {
    try_join_all(configs.into_iter().map(|config| Node::start(config).inspect_ok(|_| told()))).await
}

/// Starts `n` nodes on this thread: the first as configured, the others on the next ports, all at once
/// through the first.
pub async fn start(config: Config, n: u16) -> Result<Vec<Node>, StartError> {
    let first = Node::start(config.clone()).await?;
    let others = start_at_once(followers(&config, first.me().addr, n).collect(), || ()).await?;
    Ok(std::iter::once(first).chain(others).collect())
}
