//! Many nodes in one process, and what they do under load: a swarm.
//!
//! They are real nodes: each has its own socket and its own actors, and calls the others over TCP as if they were far
//! away, unless it is told to use memory; the nodes of a thread share their connections. Only the measuring side sees
//! all nodes, and knows by definition ([`Tables`]) what each of them should know.
//!
//! ```
//! use std::time::Duration;
//! use chord::swarm::{Demand, Load, Swarm, SwarmConfig};
//!
//! # #[actix_rt::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let swarm = Swarm::start(SwarmConfig { nodes: 16, ..SwarmConfig::default() }, |_| ()).await?;
//! let formation = swarm.await_ideal(Duration::from_secs(60)).await?;
//! println!("{formation}");
//! let load = Load { demand: Demand::Clients(4), duration: Duration::from_millis(100), seed: 0 };
//! let figures = swarm.load(load).await?;
//! assert_eq!((figures.wrong, figures.errors), (0, 0));
//! swarm.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! [`Worker`] is a thread of nodes; [`together`] starts nodes together; [`existing_members`] lists the members of a
//! ring that they join; [`local_nodes`] are the nodes of a thread and their right tables; [`watch`] sees a ring form;
//! [`load`] makes the nodes look up keys; [`judge`] decides whether an answer is right while other members come and go;
//! [`timeline`] counts outcomes over time; [`figures`] are the results; [`process`] measures and sets the resources of
//! the process.

pub mod existing_members;
pub mod figures;
pub mod judge;
pub mod load;
pub mod local_nodes;
pub mod process;
pub mod timeline;
pub mod together;
pub mod watch;
pub use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::future::{join_all, try_join_all};
use tokio::time::{Instant, sleep};

use crate::net::limits::budget::ConnectionBudget;
use crate::net::transport::Transport;
use crate::node::config::Config;
use crate::node::worker::{Ended, Worker};
use crate::node::{LookupError, Node, StartError};
use crate::protocol::addr::Addr;
use crate::protocol::fix_fingers::youth;
use crate::protocol::id::Bits;
use crate::protocol::peer::Peer;
use crate::sim::tables::Tables;
use figures::{Figures, Formation, Idle, Memory, ratio};
pub use load::{Demand, Load};
use local_nodes::LocalNodes;
use process::NoRoom;
use together::{followers, start_all};

/// The configuration of a swarm.
#[derive(Clone, Debug)]
pub struct SwarmConfig {
    /// How many nodes, at least 1. Default 1.
    pub nodes: u16,
    /// Threads that the nodes are spread over, 1 to `nodes`. Default 1: then a lookup stays on one thread.
    pub threads: u16,
    /// How many nodes join at a time, at least 1. Default 65535: all.
    pub at_once: u16,
    /// The configuration of each node. The first node has its port and the others the next ones; if the port is 0, each
    /// takes any free port. The first joins the ring of its seeds, if there are any; the others join the first.
    /// Default: any free port at 127.0.0.1, no seeds.
    pub node: Config,
}

impl Default for SwarmConfig {
    fn default() -> SwarmConfig {
        SwarmConfig { nodes: 1, threads: 1, at_once: u16::MAX, node: Config::new(Ipv4Addr::LOCALHOST) }
    }
}

/// Why a swarm did not start.
#[derive(Debug, thiserror::Error)]
pub enum SwarmError {
    /// [`SwarmConfig::nodes`] or [`SwarmConfig::threads`] is 0, or there are more threads than nodes.
    #[error("{nodes} nodes on {threads} threads: at least 1 node, and from 1 thread to one for each node")]
    Sizes {
        /// As configured.
        nodes: u16,
        /// As configured.
        threads: u16,
    },
    /// [`SwarmConfig::at_once`] is 0.
    #[error("0 nodes join at a time: at least 1")]
    NoneAtOnce,
    /// There are not enough ports behind that of [`SwarmConfig::node`].
    #[error("{nodes} nodes from port {port} on: the last port is 65535")]
    Ports {
        /// How many consecutive ports are needed.
        nodes: u16,
        /// That of the first node: the one to listen on, or the one to advertise.
        port: u16,
    },
    /// [`Config::id`] is set, though there are this many nodes, each of which needs its own.
    #[error("an identifier is for one node, not for {0}")]
    OneId(u16),
    /// The nodes need more connections than this process may have.
    #[error(transparent)]
    Files(#[from] NoRoom),
    /// The operating system starts no more threads just now. Retrying may help.
    #[error("can't start a thread: {0}")]
    Thread(io::Error),
    /// No node can run with this configuration, or one of the nodes did not start; the others were stopped.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A lookup failed while the ring that was joined was read member by member. Retrying may help.
    #[error("can't see who is in the ring that was joined: {0}")]
    ExistingMembers(LookupError),
    /// One of the threads has ended, and its nodes with it.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// Why a ring has not formed.
#[derive(Debug, thiserror::Error)]
pub enum NotIdeal {
    /// Some nodes still had other tables than by definition when the time was over; they may be right later.
    #[error("the tables of {wrong} of {nodes} nodes are not right after {limit:?}")]
    Wrong {
        /// From 1 to `nodes`.
        wrong: usize,
        /// All nodes of the swarm; other members of a ring that it joined are not counted.
        nodes: u16,
        /// How long they had.
        limit: Duration,
    },
    /// One of the threads has ended, and its nodes with it: they will never be right.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// A step in the formation of a swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forming {
    /// One more node has become a member.
    Joined,
    /// One more node has right tables.
    Right,
}

/// Called at each step, on the threads of the nodes.
pub type Told = Arc<dyn Fn(Forming) + Send + Sync>;

/// How long a node goes on calling the first node, which is busy with all the others, but lives.
const JOIN_TIMEOUT: Duration = Duration::from_secs(600);

/// Nodes that run in this process. They stop when this is dropped.
pub struct Swarm {
    workers: Vec<Worker>,
    /// The nodes of each worker; the first node is the first one of the first worker.
    local_nodes: Vec<LocalNodes>,
    config: SwarmConfig,
    existing: Vec<Peer>,
    began: Instant,
    joined: Duration,
    memory_before: Option<u64>,
    told: Told,
}

impl Swarm {
    /// Starts all nodes, and returns once they are members: the first, then all others at once. Raises the
    /// number of files that the process may have open to what it is allowed.
    pub async fn start(
        config: SwarmConfig,
        told: impl Fn(Forming) + Send + Sync + 'static,
    ) -> Result<Swarm, SwarmError> {
        config.validate()?;
        process::raise_files();
        let node = config.member()?;
        let told: Told = Arc::new(told);
        let memory_before = process::resident();
        let workers = (0..config.threads).map(|n| Worker::start(format!("nodes {n}"))).collect::<io::Result<Vec<_>>>();
        let workers = workers.map_err(SwarmError::Thread)?;
        let began = Instant::now();

        // The other nodes have to wait for each other, but a seed that does not answer is given up in the configured
        // time.
        let leader = Config { join_timeout: config.node.join_timeout, ..node.clone() };
        let first = workers[0].run(move |pool| Node::start_sharing(leader, pool)).await??;
        told(Forming::Joined);
        let existing = if config.node.seeds.is_empty() { Vec::new() } else { existing_members::of(&first).await? };
        let mut shares = vec![Vec::new(); workers.len()];
        for (n, follower) in (1..).zip(followers(&node, first.me().addr, config.nodes)) {
            shares[n % workers.len()].push(follower);
        }
        let starts = workers.iter().zip(shares).map(|(worker, share)| {
            let told = told.clone();
            let at_once = config.at_once.div_ceil(config.threads).into();
            worker.run(move |pool| start_all(share, pool, at_once, move |_| told(Forming::Joined)))
        });
        let started = try_join_all(starts).await?;
        let joined = began.elapsed();

        let mut nodes = started.into_iter().collect::<Result<Vec<_>, _>>()?;
        // They have become members in any order; sorted, so that a load's random seed chooses the same nodes each time.
        nodes.iter_mut().for_each(|nodes| nodes.sort_by_key(|node| node.me().addr));
        nodes[0].insert(0, first);
        let peers = nodes.iter().flatten().map(Node::me).chain(existing.iter().copied()).collect();
        let tables = Arc::new(Tables::by_definition(peers, Bits::FULL, config.node.successors));
        let others = !config.node.seeds.is_empty();
        let local_nodes = nodes.into_iter().map(|nodes| LocalNodes::new(nodes, tables.clone(), others)).collect();
        Ok(Swarm { workers, local_nodes, config, existing, began, joined, memory_before, told })
    }

    /// All nodes, beginning with the first.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.local_nodes.iter().flat_map(LocalNodes::nodes)
    }

    /// The first node.
    pub fn first(&self) -> &Node {
        self.local_nodes[0].first()
    }

    /// The other members of the ring that it joined, at the time when it joined.
    pub fn existing(&self) -> &[Peer] {
        &self.existing
    }

    /// The configuration that it was started with.
    pub fn config(&self) -> &SwarmConfig {
        &self.config
    }

    /// Waits until every node knows what it should by definition, for at most `limit`. If the swarm joined a ring, its
    /// members must have successor lists of the same length, and stay.
    pub async fn await_ideal(&self, limit: Duration) -> Result<Formation, NotIdeal> {
        let (deadline, told) = (Instant::now() + limit, self.told.clone());
        let seen = self.on_all(move |nodes, _| watch::until_ideal(nodes, deadline, told.clone())).await?;
        let wrong: usize = seen.iter().map(|seen| seen.err().unwrap_or(0)).sum();
        if wrong > 0 {
            return Err(NotIdeal::Wrong { wrong, nodes: self.config.nodes, limit });
        }
        let last = |which: fn(watch::Seen) -> Instant| {
            let times = seen.iter().filter_map(|seen| seen.ok()).map(which);
            times.max().map_or(Duration::ZERO, |last| last - self.began)
        };
        let nodes = f64::from(self.config.nodes);
        let traffic = self.traffic();
        Ok(Formation {
            joined: self.joined,
            neighbors: last(|seen| seen.neighbors),
            ideal: last(|seen| seen.tables),
            calls_per_node: ratio(traffic.asked as f64, nodes),
            connections_per_node: ratio(traffic.open as f64, nodes),
            memory: Memory::new(self.memory_before, process::resident(), self.config.nodes),
        })
    }

    /// What the nodes do while no program asks for anything, over this time. Measures once finger tables are no longer
    /// young, which takes some 20 s if the period of fix fingers is a second.
    pub async fn idle(&self, time: Duration) -> Idle {
        sleep(youth(self.config.node.fix_fingers) * 5 / 4).await;
        let (began, before, processor) = (Instant::now(), self.traffic(), process::processor_time());
        sleep(time).await;
        let (elapsed, after) = (began.elapsed(), self.traffic());
        let processor = process::processor_time().saturating_sub(processor);
        let each = |count: u64| ratio(count as f64, elapsed.as_secs_f64() * f64::from(self.config.nodes));
        Idle {
            elapsed,
            calls: each(after.asked - before.asked),
            bytes: each(after.written - before.written),
            processor_share: ratio(processor.as_secs_f64(), elapsed.as_secs_f64()),
        }
    }

    /// Makes random nodes look up random keys and compares every answer with the definition; then traces some more
    /// lookups. The ring must have formed. In a ring with other members, which come and go, an answer is wrong if the
    /// named node denies it.
    pub async fn load(&self, load: Load) -> Result<Figures, Ended> {
        let threads = self.config.threads;
        let (began, before) = (SystemTime::now(), self.traffic());
        let start = Instant::now();
        let answers = self.on_all(move |nodes, k| load::run(nodes, load.share(k, threads), start)).await?;
        let (elapsed, after) = (start.elapsed(), self.traffic());
        let traced = self.on_all(move |nodes, k| load::trace(nodes, load.traced(k, threads))).await?;
        let (dialed, dead) = (after.dialed - before.dialed, self.traffic().dead - before.dead);
        Ok(Figures { began, dialed, dead, ..Figures::new(load.demand, elapsed, answers, traced) })
    }

    /// Stops all nodes without telling their neighbours.
    pub async fn stop(self) {
        // An error means that they have stopped.
        let _ = self.on_all(|nodes, _| async move { drop(join_all(nodes.nodes().map(Node::stop)).await) }).await;
    }

    /// Makes all nodes leave the ring that they joined, and stops them.
    pub async fn leave(self) {
        // An error means that they have stopped.
        let _ = self.on_all(|nodes, _| async move { drop(join_all(nodes.nodes().map(Node::leave)).await) }).await;
    }

    /// The sum of all nodes' traffic.
    fn traffic(&self) -> crate::Traffic {
        self.nodes().map(Node::traffic).fold(crate::Traffic::default(), |sum, one| crate::Traffic {
            asked: sum.asked + one.asked,
            answered: sum.answered + one.answered,
            written: sum.written + one.written,
            read: sum.read + one.read,
            lookups: sum.lookups + one.lookups,
            dialed: sum.dialed + one.dialed,
            open: sum.open + one.open,
            dead: sum.dead + one.dead,
            called: sum.called + one.called,
            served: sum.served + one.served,
        })
    }

    /// Runs `work` on each thread with its nodes and its number.
    async fn on_all<F>(
        &self,
        work: impl Fn(LocalNodes, u16) -> F + Clone + Send + 'static,
    ) -> Result<Vec<F::Output>, Ended>
    where
        F: Future<Output: Send + 'static> + 'static,
    {
        let threads = (0..).zip(self.workers.iter().zip(&self.local_nodes));
        let done = threads.map(|(k, (worker, nodes))| {
            let (work, nodes) = (work.clone(), nodes.clone());
            worker.run(move |_| work(nodes, k))
        });
        try_join_all(done).await
    }
}

impl SwarmConfig {
    /// The configuration of a node that shares the process with all the others.
    fn member(&self) -> Result<Config, NoRoom> {
        let joining = Config { join_timeout: JOIN_TIMEOUT, ..self.node.clone() };
        if self.node.transport != Transport::Tcp {
            return Ok(joining);
        }
        let most = usize::try_from(process::connections(self.nodes.into(), self.threads.into())?).unwrap_or(usize::MAX);
        Ok(Config {
            budget: Some(ConnectionBudget::new(most)),
            accepting: Some(ConnectionBudget::new(most)),
            ..joining
        })
    }

    /// Checks that a swarm can be started with this.
    pub fn validate(&self) -> Result<(), SwarmError> {
        let SwarmConfig { nodes, threads, at_once, node } = self;
        if !(1..=*nodes).contains(threads) {
            return Err(SwarmError::Sizes { nodes: *nodes, threads: *threads });
        }
        if *at_once == 0 {
            return Err(SwarmError::NoneAtOnce);
        }
        let ports = [Some(node.listen), node.advertise].map(|addr| addr.map_or(0u16, Addr::port));
        if let Some(port) = ports.into_iter().find(|port| port.checked_add(nodes - 1).is_none()) {
            return Err(SwarmError::Ports { nodes: *nodes, port });
        }
        if node.id.is_some() && *nodes > 1 {
            return Err(SwarmError::OneId(*nodes));
        }
        Ok(node.validate().map_err(StartError::from)?)
    }
}
