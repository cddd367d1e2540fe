//! Wires a node together; and its facade.

use std::cell::Cell;
use std::io;
use std::net::SocketAddrV4;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, MailboxError, ResponseFuture};
use futures::FutureExt;
use futures::future::join4;
use rustix::process::{Resource, getrlimit};
use tokio::sync::{oneshot, watch};

use super::drive::Driver;
use super::drops::DropCounters;
use super::fingers::FingersActor;
use super::inbound::Limits;
use super::listener::Listener;
use super::lookups::Lookups;
use super::neighbors::{JoinFailure, Joining, NeighborsActor};
use super::peers::Peers;
use super::pool::ConnectionPool;
use super::routes::Routes;
use super::serving::Desk;
use super::shared::Shared;
use super::snapshot::Snapshot;
use super::traffic::{Counters, Traffic};
use super::transport::Socket;
use super::worker::Worker;
use super::{Leave, Resolve, ShowFingers, ShowNeighbors, Stop};
use crate::config::{Config, ConfigError};
use crate::protocol::admission::Class;
use crate::protocol::excuses::excuse;
use crate::protocol::fingers::FingerTable;
use crate::protocol::fix_fingers::FixFingers;
use crate::protocol::id::{Bits, Id};
use crate::protocol::lookup::iterative::Style;
use crate::protocol::lookup::{Found, LookupFailure, Question};
use crate::protocol::maintenance::Setup;
use crate::protocol::peer::Peer;
use crate::wire::Ids;

/// A running node. Clones are the same node, and may be sent to any thread and asked from any runtime.
///
/// It stops when [`Node::stop`] or [`Node::leave`] is called, or when the last of them is dropped; so it does when a runtime
/// is dropped with the tasks that have them. Only `leave` tells the ring.
#[derive(Clone)]
pub struct Node {
    handle: Arc<Handle>,
    /// The thread that it has for itself; dropped after the handle, which stops the node.
    _worker: Option<Arc<Worker>>,
}

struct Handle {
    me: Peer,
    lookup_style: Style,
    lookup_timeout: Duration,
    node: Addr<NodeActor>,
    counters: Arc<Counters>,
    ousted: watch::Receiver<Option<Peer>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.node.do_send(Stop);
    }
}

/// What a node knows of its ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub me: Peer,
    /// The length r of a full successor list.
    pub r: usize,
    /// Nearest first, at most r; empty in a ring of one.
    pub successors: Vec<Peer>,
    pub predecessor: Option<Peer>,
    /// All 160 fingers: `fingers[i - 1]` succeeds `me + 2^(i - 1)`.
    pub fingers: Vec<Peer>,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    // Not as the source of the error: whoever prints those, too, would say it twice.
    #[error("can't listen on {addr}: {why}")]
    Listen { addr: SocketAddrV4, why: io::Error },
    #[error("can't start a thread for the node: {0}")]
    Thread(io::Error),
    #[error("no answer from {}: is a node running there?", join(.0))]
    NoAnswer(Vec<SocketAddrV4>),
    #[error("{} answers, but has not joined a ring itself", join(.0))]
    NotJoined(Vec<SocketAddrV4>),
    #[error("identifier {} is taken by the node at {}", .0.id, .0.addr)]
    IdTaken(Peer),
    #[error("the node was stopped")]
    Stopped,
}

fn join(addrs: &[SocketAddrV4]) -> String {
    addrs.iter().map(SocketAddrV4::to_string).collect::<Vec<_>>().join(", ")
}

/// Why a lookup has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    #[error(transparent)]
    LookupFailure(#[from] LookupFailure),
    #[error("the node was stopped")]
    Stopped,
}

impl From<MailboxError> for LookupError {
    fn from(_: MailboxError) -> LookupError {
        LookupError::Stopped
    }
}

impl Node {
    /// Starts a node on a thread of its own, and returns once it is a member of its ring. Whoever waits no longer has
    /// it stop.
    ///
    /// # Errors
    ///
    /// The configuration makes no sense, another program has the port, or another node the identifier: give up. No seed
    /// answers, or none is a member, for as long as a joiner tries ([`Config::join_timeout`]): retry later.
    pub async fn start(config: Config) -> Result<Node, StartError> {
        let worker = Worker::start("chord node").map_err(StartError::Thread)?;
        let node = Node::start_on(&worker, config).await?;
        Ok(Node { _worker: Some(Arc::new(worker)), ..node })
    }

    /// The same on a thread that it shares with other nodes, and their connections with them: what many nodes of one
    /// process need most of is connections. It stops with that thread, if not before.
    ///
    /// # Errors
    ///
    /// As [`Node::start`]; [`StartError::Stopped`] if the thread ends meanwhile.
    pub async fn start_on(worker: &Worker, config: Config) -> Result<Node, StartError> {
        let started = worker.run(move |pool| Node::start_sharing(config, pool)).await;
        started.unwrap_or(Err(StartError::Stopped))
    }

    /// Starts a node on this very thread, which must run an actix system or a tokio `LocalSet`, and goes on running it. It
    /// shares its connections with all others of this thread that have a clone of the same pool. Their traffic is counted by
    /// whoever has made a connection, and when that one stops, the others make their calls again on a new one.
    ///
    /// # Errors
    ///
    /// As [`Node::start`].
    pub async fn start_sharing(config: Config, pool: ConnectionPool) -> Result<Node, StartError> {
        config.validate()?;
        let addr = SocketAddrV4::new(config.address, config.port);
        let listen = |why| StartError::Listen { addr, why };
        let socket = config.transport.listen(addr).await.map_err(listen)?;
        let port = socket.port().map_err(listen)?;
        let me = config.peer(port);
        let (report, joined) = oneshot::channel();
        let counters = Arc::new(Counters::default());
        let (oust, ousted) = watch::channel(None);
        let joining = Joining::new(report, config.join_timeout, oust);
        let node = wire(&config, pool, me, socket, joining, counters.clone());
        let Config { lookup_style, lookup_timeout, .. } = config;
        let handle = Handle { me, lookup_style, lookup_timeout, node, counters, ousted };
        let node = Node { handle: Arc::new(handle), _worker: None };
        match joined.await {
            Ok(Ok(())) => Ok(node),
            Ok(Err(JoinFailure::NoAnswer)) => Err(StartError::NoAnswer(config.seeds)),
            Ok(Err(JoinFailure::NotJoined)) => Err(StartError::NotJoined(config.seeds)),
            Ok(Err(JoinFailure::IdTaken(taken))) => Err(StartError::IdTaken(taken)),
            Err(_) => Err(StartError::Stopped),
        }
    }

    /// The identifier and address of this node.
    pub fn me(&self) -> Peer {
        self.handle.me
    }

    /// The node that owns a key: that of the SHA-1 of these bytes.
    pub async fn lookup(&self, key: impl AsRef<[u8]>) -> Result<Peer, LookupError> {
        self.lookup_id(Id::of_key(key.as_ref(), Bits::FULL)).await
    }

    /// The node that owns an identifier.
    pub async fn lookup_id(&self, key: Id) -> Result<Peer, LookupError> {
        Ok(self.resolve(Question { key, hops: 0, want_path: false }).await?.owner)
    }

    /// The node that owns an identifier, and who was asked for it on the way, in that order.
    pub async fn trace(&self, key: Id) -> Result<Found, LookupError> {
        self.resolve(Question { key, hops: 0, want_path: true }).await
    }

    async fn resolve(&self, question: Question) -> Result<Found, LookupError> {
        let (style, patience) = (self.handle.lookup_style, self.handle.lookup_timeout);
        let resolve = Resolve { question, guess: None, style, patience, class: Class::Begun };
        Ok(self.handle.node.send(resolve).await??)
    }

    /// What the node knows of its ring; `None` when it was stopped.
    pub async fn state(&self) -> Option<State> {
        self.handle.node.send(Show).await.ok().flatten()
    }

    /// Waits until another node has this one's identifier, which the ring has taken while this one was away; that one. This
    /// one is no member any more then.
    pub async fn ousted(&self) -> Peer {
        let mut ousted = self.handle.ousted.clone();
        match ousted.wait_for(Option::is_some).await.ok().and_then(|taken| *taken) {
            Some(taken) => taken,
            // It was stopped.
            None => std::future::pending().await,
        }
    }

    /// What the node has done on the network since it started; also after it was stopped.
    pub fn traffic(&self) -> Traffic {
        self.handle.counters.read()
    }

    /// Leaves the ring, and stops: the neighbours are told, so that they close the gap at once. Takes a
    /// quarter of a second at most, when they don't answer.
    pub async fn leave(&self) {
        // An error means that it was stopped already.
        let _ = self.handle.node.send(Leave).await;
        self.stop().await;
    }

    /// Stops the node and closes its connections. It takes leave of nobody: a ring has to cope with
    /// worse.
    pub async fn stop(&self) {
        // An error means that it was stopped already.
        let _ = self.handle.node.send(Stop).await;
    }
}

/// Starts all actors of a node.
fn wire(
    config: &Config,
    pool: ConnectionPool,
    me: Peer,
    socket: Socket,
    joining: Joining,
    counters: Arc<Counters>,
) -> Addr<NodeActor> {
    let setup = Setup {
        me,
        bits: Bits::FULL,
        r: config.r,
        stabilize_every: config.stabilize,
        check_predecessor_every: config.check_predecessor,
        seeds: config.seeds.clone(),
    };
    // Their addresses come first, since they know each other.
    let (node, peers) = (Context::<NodeActor>::new(), Context::<Peers>::new());
    let (neighbors, fingers) = (Context::<NeighborsActor>::new(), Context::<FingersActor>::new());
    let calls = Rc::new(peers.address().recipient());
    let (joins, finger_lookups) = (pool.joins(), pool.finger_lookups());
    let routes = Routes::over(pool);
    let driver = Rc::new(Driver {
        routes: routes.clone(),
        calls,
        rpc_timeout: config.rpc_timeout,
        lookup_timeout: config.lookup_timeout,
        plain_patience: excuse(config.stabilize, config.rpc_timeout),
        counters: counters.clone(),
    });
    let table = FingerTable::alone(me, Bits::FULL);
    let view = Snapshot::new(table.clone());
    let tables = [neighbors.address().recipient(), fingers.address().recipient()];
    let lookups = Lookups::new(me, view.clone(), driver.clone(), tables);
    let shared = Rc::new(Shared {
        me,
        r: config.r,
        incarnation: rand::random(),
        rpc_timeout: config.rpc_timeout,
        limits: Limits {
            dialed: connections(config.dialed),
            in_all: connections(config.connections),
            per_address: config.connections_per_address,
        },
        accepted: Cell::default(),
        transport: config.transport.clone(),
        ids: if config.strict_ids { Ids::OfAddress } else { Ids::Any },
        serves: Box::new(Desk { lookups: lookups.clone(), neighbors: neighbors.address().recipient() }),
        severed: neighbors.address().recipient(),
        slept: neighbors.address().recipient(),
        routes,
        news: peers.address().recipient(),
        tally: DropCounters::default(),
        counters,
    });
    let peers = peers.run(Peers::new(shared, config.budget.clone(), config.accepting.clone()));
    let listener = Listener::new(socket, peers.clone().recipient()).start();
    let table = FixFingers::new(table).paced(config.paced_fingers);
    let resolve = node.address().recipient();
    let fingers = fingers.run(FingersActor::new(
        table,
        view.clone(),
        resolve,
        finger_lookups,
        config.fix_fingers,
        config.lookup_timeout,
    ));
    let (disturbed, forget) = (fingers.clone().recipient(), fingers.clone().recipient());
    let neighbors = neighbors.run(NeighborsActor::new(setup, view, driver, joins, disturbed, forget, joining));
    node.run(NodeActor(Box::new(Parts { listener, neighbors, fingers, peers, lookups })))
}

/// How many connections there may be: as configured, but no more than half of the files that the program
/// may have open.
fn connections(configured: usize) -> usize {
    let files = getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok());
    files.map_or(configured, |files| configured.min(files / 2))
}

/// Answers embedding programs; the parent of all other actors.
pub struct NodeActor(Box<Parts>);

/// The parts of a node. Its actors are stopped with it.
struct Parts {
    listener: Addr<Listener>,
    neighbors: Addr<NeighborsActor>,
    fingers: Addr<FingersActor>,
    peers: Addr<Peers>,
    lookups: Lookups,
}

/// What the node knows of its ring.
#[derive(Clone, Copy, Debug, actix::Message)]
#[rtype(result = "Option<State>")]
struct Show;

impl Actor for NodeActor {
    type Context = Context<Self>;
}

impl Handler<Resolve> for NodeActor {
    type Result = ResponseFuture<Result<Found, LookupFailure>>;

    fn handle(&mut self, resolve: Resolve, _: &mut Self::Context) -> Self::Result {
        let lookup = self.0.lookups.resolve(resolve);
        Box::pin(async move { lookup.await?.result })
    }
}

impl Handler<Show> for NodeActor {
    type Result = ResponseFuture<Option<State>>;

    fn handle(&mut self, _: Show, _: &mut Self::Context) -> Self::Result {
        let (neighbors, fingers) = (self.0.neighbors.send(ShowNeighbors), self.0.fingers.send(ShowFingers));
        Box::pin(async move {
            let neighbors = neighbors.await.ok()?;
            Some(State {
                me: neighbors.me(),
                r: neighbors.r(),
                successors: neighbors.successors().to_vec(),
                predecessor: neighbors.predecessor(),
                fingers: fingers.await.ok()?,
            })
        })
    }
}

impl Handler<Leave> for NodeActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Leave, _: &mut Self::Context) -> Self::Result {
        let left = self.0.neighbors.send(Leave);
        // An error means that it was stopped already.
        Box::pin(async move { left.await.unwrap_or_default() })
    }
}

impl Handler<Stop> for NodeActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) -> Self::Result {
        ctx.stop();
        let Parts { listener, neighbors, fingers, peers, .. } = &*self.0;
        let stopped = join4(listener.send(Stop), neighbors.send(Stop), fingers.send(Stop), peers.send(Stop));
        // Errors mean that they have stopped already.
        Box::pin(stopped.map(|_| ()))
    }
}
