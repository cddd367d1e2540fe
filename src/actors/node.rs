//! Wires a node together, and has the actor that answers its handles.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, ResponseFuture};
use futures::FutureExt;
use futures::future::join4;
use rustix::process::{Resource, getrlimit};

use crate::actors::desk::Desk;
use crate::actors::drive::Driver;
use crate::actors::fingers::FingersActor;
use crate::actors::lookups::Lookups;
use crate::actors::messages::{Join, Leave, Resolve, ShowFingers, ShowNeighbors, Stop, Watch};
use crate::actors::neighbors::{Joining, NeighborsActor};
use crate::actors::snapshot::Snapshot;
use crate::net::channel::services::Services;
use crate::net::limits::drops::DropCounters;
use crate::net::limits::inbound::Limits;
use crate::net::listener::Listener;
use crate::net::peers::Peers;
use crate::net::pool::ConnectionPool;
use crate::net::resident::Resident;
use crate::net::routes::Routes;
use crate::net::seed::Seed;
use crate::net::shared::Shared;
use crate::net::traffic::Counters;
use crate::net::transport::Socket;
use crate::node::config::Config;
use crate::node::events::Watched;
use crate::node::state::State;
use crate::protocol::excuses::excuse;
use crate::protocol::fingers::FingerTable;
use crate::protocol::fix_fingers::FixFingers;
use crate::protocol::id::Bits;
use crate::protocol::lookup::{Found, LookupFailure};
use crate::protocol::maintenance::Setup;
use crate::protocol::peer::Peer;
use crate::protocol::procedure::Answer;
use crate::wire::Ids;

/// What a node shares with its handles.
#[derive(Clone)]
pub struct Common {
    pub counters: Arc<Counters>,
    pub services: Arc<Services>,
    /// Identifies this run of the program.
    pub incarnation: u64,
}

/// Starts all actors of a node.
pub fn wire(
    config: &Config,
    pool: ConnectionPool,
    me: Peer,
    socket: Socket,
    joining: Joining,
    Common { counters, services, incarnation }: Common,
) -> Addr<NodeActor> {
    let setup = Setup {
        me,
        bits: Bits::FULL,
        r: config.successors,
        stabilize_every: config.stabilize,
        check_predecessor_every: config.check_predecessor,
        seeds: config.seeds.iter().filter_map(Seed::addr).collect(),
        creates: config.seeds.is_empty(),
    };
    // The actors' addresses come first, since the actors refer to each other.
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
    let calling = driver.clone();
    let table = FingerTable::alone(me, Bits::FULL);
    let snapshot = Snapshot::new(table.clone());
    let tables = [neighbors.address().recipient(), fingers.address().recipient()];
    let lookups = Lookups::new(me, snapshot.clone(), driver.clone(), tables);
    let resident = Rc::new(Resident {
        me,
        r: config.successors,
        incarnation,
        ring: config.ring.as_deref().map(Arc::from),
        plain_peers: config.plain_peers,
        rpc_timeout: config.rpc_timeout,
        accepted: Cell::default(),
        serves: Box::new(Desk { lookups: lookups.clone(), neighbors: neighbors.address().recipient() }),
        severed: neighbors.address().recipient(),
        slept: neighbors.address().recipient(),
        events: peers.address().recipient(),
        drops: DropCounters::default(),
        counters,
    });
    let shared = Rc::new(Shared {
        resident,
        limits: Limits {
            dialed: connections(config.dialed),
            in_all: connections(config.connections),
            per_address: config.connections_per_address,
        },
        transport: config.transport.clone(),
        ids: if config.strict_ids { Ids::OfAddress } else { Ids::Any },
        routes,
        services,
    });
    let peers = peers.run(Peers::new(shared, config.budget.clone(), config.accepting.clone()));
    let listener = Listener::new(socket, peers.clone().recipient()).start();
    let table = FixFingers::new(table).paced(config.paced_fingers);
    let resolve = node.address().recipient();
    let fingers = fingers.run(FingersActor::new(
        table,
        snapshot.clone(),
        resolve,
        finger_lookups,
        config.fix_fingers,
        config.lookup_timeout,
    ));
    let (disturbed, forget) = (fingers.clone().recipient(), fingers.clone().recipient());
    let neighbors = neighbors.run(NeighborsActor::new(setup, snapshot, driver, joins, disturbed, forget, joining));
    node.run(NodeActor(Box::new(Parts { listener, neighbors, fingers, peers, lookups, driver: calling })))
}

/// How many connections there may be: as configured, but at most half of the files that the program may have open.
fn connections(configured: usize) -> usize {
    let files = getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok());
    files.map_or(configured, |files| configured.min(files / 2))
}

/// Answers embedding programs; the parent of all other actors.
pub struct NodeActor(Box<Parts>);

/// The parts of a node; its actors are stopped with it.
struct Parts {
    listener: Addr<Listener>,
    neighbors: Addr<NeighborsActor>,
    fingers: Addr<FingersActor>,
    peers: Addr<Peers>,
    lookups: Lookups,
    driver: Rc<Driver>,
}

/// Find out whether a node lives, and of which kind it is.
#[derive(Clone, Copy, Debug, actix::Message)]
#[rtype(result = "Answer")]
pub struct Ping(pub Peer);

/// Return what the node knows of its ring.
#[derive(Clone, Copy, Debug, actix::Message)]
#[rtype(result = "Option<State>")]
pub struct Show;

/// Subscribe to changes.
#[derive(Clone, Copy, Debug, actix::Message)]
#[rtype(result = "Option<Watched>")]
pub struct WatchNode;

impl Actor for NodeActor {
    type Context = Context<Self>;
}

impl Handler<Resolve> for NodeActor {
    type Result = ResponseFuture<Result<Found, LookupFailure>>;

    fn handle(&mut self, resolve: Resolve, _: &mut Self::Context) -> Self::Result {
        let lookup = self.0.lookups.resolve(resolve);
        Box::pin(async move { lookup.await?.owner() })
    }
}

impl Handler<Ping> for NodeActor {
    type Result = ResponseFuture<Answer>;

    fn handle(&mut self, Ping(peer): Ping, _: &mut Self::Context) -> Self::Result {
        let driver = self.0.driver.clone();
        Box::pin(async move { driver.ping(peer).await })
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

impl Handler<WatchNode> for NodeActor {
    type Result = ResponseFuture<Option<Watched>>;

    fn handle(&mut self, _: WatchNode, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.0.neighbors.send(Watch).map(Result::ok))
    }
}

impl Handler<Join> for NodeActor {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, join: Join, _: &mut Self::Context) -> Self::Result {
        let told = self.0.neighbors.send(join);
        Box::pin(async move { told.await.unwrap_or_default() })
    }
}

impl Handler<Leave> for NodeActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Leave, _: &mut Self::Context) -> Self::Result {
        let left = self.0.neighbors.send(Leave);
        // An error means that the actor has stopped already.
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
