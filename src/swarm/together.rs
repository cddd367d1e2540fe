//! Nodes that start together: a swarm, or the virtual nodes of one.

use futures::stream::{StreamExt, TryStreamExt, iter};

use super::process;
use crate::net::limits::budget::ConnectionBudget;
use crate::net::pool::ConnectionPool;
use crate::node::config::Config;
use crate::node::{Node, StartError};
use crate::protocol::addr::Addr;

/// What all but the first of `n` nodes are configured with, if the first is at `first`: they join it, and
/// have the ports after that of `config`, or any that are free if that is 0.
pub fn followers(config: &Config, first: Addr, n: u16) -> impl Iterator<Item = Config> {
    // Port 0 is any that is free, for each.
    let next = |addr: Addr, k: u16| if addr.port() == 0 { addr } else { addr.with_port(addr.port().saturating_add(k)) };
    (1..n).map(move |k| Config {
        listen: next(config.listen, k),
        advertise: config.advertise.map(|addr| next(addr, k)),
        seeds: vec![first.into()],
        ..config.clone()
    })
}

/// Starts nodes on this thread that share their connections, so many at a time, and tells of each when it is a
/// member. If one can't start, the others stop when nobody has them any more.
pub async fn start_all(
    configs: Vec<Config>,
    pool: ConnectionPool,
    at_once: usize,
    told: impl Fn(&Node),
) -> Result<Vec<Node>, StartError> {
    let start = |config| Node::start_sharing(config, pool.clone());
    let started = iter(configs).map(start).buffer_unordered(at_once);
    started.inspect_ok(told).try_collect().await
}

/// Connections that nodes may make, and others to them, where there are too few files for more.
const FEWEST: usize = 64;

/// So many virtual nodes join at a time: a thousand that start at once have no patience with each other.
const AT_ONCE: usize = 16;

/// Starts `n` nodes on this thread: the first as configured, the others on the next ports through the first. Tells of
/// each when it is a member, the first of them first: whoever waits no longer, or is told that one can't start, has the
/// others leave.
pub async fn start(config: Config, n: u16, told: impl Fn(&Node)) -> Result<(), StartError> {
    let config = if n > 1 { sharing_files(config, n) } else { config };
    let pool = ConnectionPool::default();
    let first = Node::start_sharing(config.clone(), pool.clone()).await?;
    told(&first);
    start_all(followers(&config, first.me().addr, n).collect(), pool, AT_ONCE, told).await?;
    Ok(())
}

/// The same for nodes that share the open files that the process may have.
fn sharing_files(config: Config, n: u16) -> Config {
    // Where they hardly suffice each node goes on with few: what can't be opened is said by whoever tries.
    let most = process::connections(n.into(), 1).map_or(FEWEST, |most| usize::try_from(most).unwrap_or(usize::MAX));
    Config { budget: Some(ConnectionBudget::new(most)), accepting: Some(ConnectionBudget::new(most)), ..config }
}
