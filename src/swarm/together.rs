//! Starts nodes together: those of a swarm, or virtual nodes.

use futures::stream::{StreamExt, TryStreamExt, iter};

use super::process;
use crate::net::limits::budget::ConnectionBudget;
use crate::net::pool::ConnectionPool;
use crate::node::config::Config;
use crate::node::{Node, StartError};
use crate::protocol::addr::Addr;

/// The configurations of all but the first of `n` nodes, if the first is at `first`: they join through it, and have the
/// ports after that of `config`, or any free ports if that is 0.
pub fn followers(config: &Config, first: Addr, n: u16) -> impl Iterator<Item = Config> {
    // With port 0 each node takes any free port.
    let next = |addr: Addr, k: u16| if addr.port() == 0 { addr } else { addr.with_port(addr.port().saturating_add(k)) };
    (1..n).map(move |k| Config {
        listen: next(config.listen, k),
        advertise: config.advertise.map(|addr| next(addr, k)),
        seeds: vec![first.into()],
        ..config.clone()
    })
}

/// Starts nodes on this thread that share their connections, `at_once` at a time, and calls `told` for each when it is
/// a member. If one can't start, the others stop once their last handles are dropped.
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

/// The budget of connections in each direction if there are too few files for more.
const FEWEST: usize = 64;

/// At most this many virtual nodes join at a time: a thousand that start at once run into each other's timeouts.
const AT_ONCE: usize = 16;

/// Starts `n` nodes on this thread: the first as configured, the others on the next ports, joining through the first.
/// Calls `told` for each when it is a member, beginning with the first. A caller that drops the future or gets an error
/// has to make the nodes that it was told of leave.
pub async fn start(config: Config, n: u16, told: impl Fn(&Node)) -> Result<(), StartError> {
    let config = if n > 1 { sharing_files(config, n) } else { config };
    let pool = ConnectionPool::default();
    let first = Node::start_sharing(config.clone(), pool.clone()).await?;
    told(&first);
    start_all(followers(&config, first.me().addr, n).collect(), pool, AT_ONCE, told).await?;
    Ok(())
}

/// The configuration for nodes that share the open files of the process.
fn sharing_files(config: Config, n: u16) -> Config {
    // If files are too few, nodes still start with a small budget: opening a file too many then fails with its own
    // error.
    let most = process::connections(n.into(), 1).map_or(FEWEST, |most| usize::try_from(most).unwrap_or(usize::MAX));
    Config { budget: Some(ConnectionBudget::new(most)), accepting: Some(ConnectionBudget::new(most)), ..config }
}
