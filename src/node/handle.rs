//! A running node, as a program holds it.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt};
use tokio::sync::{oneshot, watch};

use super::error::{LookupError, StartError};
use super::state::State;
use crate::actors::messages::{Leave, Resolve, Stop};
use crate::actors::neighbors::{JoinFailure, Joining};
use crate::actors::node::{NodeActor, Show, WatchNode, wire};
use crate::net::names::Names;
use crate::net::pool::ConnectionPool;
use crate::net::traffic::{Counters, Traffic};
use crate::node::config::Config;
use crate::node::events;
use crate::node::worker::Worker;
use crate::protocol::admission::Class;
use crate::protocol::id::{Bits, Id};
use crate::protocol::lookup::iterative::Style;
use crate::protocol::lookup::{Found, Question};
use crate::protocol::ownership::{Event, Ownership};
use crate::protocol::peer::Peer;

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
    node: actix::Addr<NodeActor>,
    counters: Arc<Counters>,
    ousted: watch::Receiver<Option<Peer>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.node.do_send(Stop);
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
        let addr = config.listens_at();
        let listen = |why| StartError::Listen { addr, why };
        let socket = config.transport.listen(addr).await.map_err(listen)?;
        let port = socket.port().map_err(listen)?;
        let me = config.peer(port);
        let (report, joined) = oneshot::channel();
        let counters = Arc::new(Counters::default());
        let (oust, ousted) = watch::channel(None);
        let names = Names::new(&config.seeds, config.rpc_timeout);
        let joining = Joining::new(report, config.join_timeout, oust, names);
        let node = wire(&config, pool, me, socket, joining, counters.clone());
        let Config { lookup_style, lookup_timeout, .. } = config;
        let handle = Handle { me, lookup_style, lookup_timeout, node, counters, ousted };
        let node = Node { handle: Arc::new(handle), _worker: None };
        match joined.await {
            Ok(Ok(())) => Ok(node),
            Ok(Err(JoinFailure::NoAnswer)) => Err(StartError::NoAnswer(config.seeds)),
            Ok(Err(JoinFailure::NoAddress)) => Err(StartError::NoAddress(config.seeds)),
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

    /// What happens around the node, from now on and in order: changes of its neighbours and of the keys that it answers for, deaths,
    /// and how it fares. Ends when the node stops. Who takes them slower than they come misses the oldest, and hears how many
    /// ([`Event::Lagged`]); [`ownership`](Node::ownership) is never behind.
    pub async fn events(&self) -> impl Stream<Item = Event> + Send + Unpin + use<> {
        let watched = self.handle.node.send(WatchNode).await.ok().flatten();
        stream::iter(watched.map(|(events, _)| events::stream(events))).flatten()
    }

    /// The keys that the node takes for its own, now and whenever that changes; `None` when it was stopped. A hint: what it says of
    /// others may be over already. `docs/correctness.md`, "Ownership", says how far it is to be trusted.
    pub async fn ownership(&self) -> Option<watch::Receiver<Ownership>> {
        self.handle.node.send(WatchNode).await.ok().flatten().map(|(_, ownership)| ownership)
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
