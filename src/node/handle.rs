//! A running node, as a program holds it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use tokio::sync::{SetOnce, oneshot, watch};
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep, timeout_at};

use super::error::{JoinError, LookupError, ServeError, StartError};
use super::report::{self, Report};
use super::state::State;
use crate::actors::messages::{Join, Leave, Resolve, Stop};
use crate::actors::neighbors::{JoinFailure, Joining};
use crate::actors::node::{Common, NodeActor, Ping, Show, WatchNode, wire};
use crate::net::channel::calling::{Asking, Channels};
use crate::net::gate::TurnedAway;
#[cfg(feature = "http")]
use crate::net::meters::Meters;
use crate::net::names::Names;
use crate::net::pool::ConnectionPool;
use crate::net::seed::Seed;
use crate::net::traffic::{Counters, Traffic};
use crate::node::config::{Config, ConfigError};
use crate::node::events;
use crate::node::worker::Worker;
use crate::protocol::admission::Class;
use crate::protocol::id::{Bits, Id};
use crate::protocol::lookup::iterative::Style;
use crate::protocol::lookup::{Found, LookupFailure, Query};
use crate::protocol::ownership::{Event, Ownership};
use crate::protocol::peer::Peer;
use crate::protocol::procedure::Answer;
use crate::protocol::rpc::Response;
use crate::protocol::service::{self, CallError, Refusal, ServiceCall};
use crate::wire::{Ids, MAX_BODY, MAX_SERVICE};

/// A running node. All clones are the same node; they may be sent to any thread and used from any runtime.
///
/// It stops when [`Node::stop`] or [`Node::leave`] is called, or when the last clone is dropped, also by a runtime that
/// shuts down with the tasks that hold the clones. Only `leave` tells the ring.
#[derive(Clone)]
pub struct Node {
    handle: Arc<Handle>,
    /// The node's own thread, if it has one; dropped after the handle, which stops the node.
    _worker: Option<Arc<Worker>>,
}

struct Handle {
    me: Peer,
    since: Instant,
    lookup_style: Style,
    lookup_timeout: Duration,
    call_timeout: Duration,
    node: actix::Addr<NodeActor>,
    common: Common,
    channels: Channels,
    ousted: Arc<SetOnce<Peer>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.node.do_send(Stop);
    }
}

impl Node {
    /// Starts a node on a thread of its own, and returns once it is a member of its ring. Dropping the future stops the
    /// node.
    ///
    /// # Errors
    ///
    /// Give up if the configuration is invalid, or if another program has the port or another node the identifier.
    /// Retry later if no seed answers, or none is a member, while the joiner tries ([`Config::join_timeout`]).
    pub async fn start(config: Config) -> Result<Node, StartError> {
        let worker = Worker::start("chord node").map_err(StartError::Thread)?;
        let node = Node::start_on(&worker, config).await?;
        Ok(Node { _worker: Some(Arc::new(worker)), ..node })
    }

    /// The same on a thread shared with other nodes, which also share their connections: connections are the scarcest
    /// resource when one process runs many nodes. The node stops with that thread, if not before.
    ///
    /// # Errors
    ///
    /// As [`Node::start`]; [`StartError::Stopped`] if the thread ends first.
    pub async fn start_on(worker: &Worker, config: Config) -> Result<Node, StartError> {
        let started = worker.run(move |pool| Node::start_sharing(config, pool)).await;
        started.unwrap_or(Err(StartError::Stopped))
    }

    /// Starts a node on the current thread, which must run an actix system or a tokio `LocalSet`, and keep running it.
    /// The node shares its connections with all nodes of this thread that have a clone of the same pool. Traffic on a
    /// connection is counted by the node that made it; when that node stops, the others repeat their calls on a new
    /// connection.
    ///
    /// # Errors
    ///
    /// As [`Node::start`].
    pub async fn start_sharing(config: Config, pool: ConnectionPool) -> Result<Node, StartError> {
        config.validate()?;
        if !pool.is_of_ring(&config.ring) {
            return Err(ConfigError::SharedRing.into());
        }
        let addr = config.listens_at();
        let listen = |why| StartError::Listen { addr, why };
        let socket = config.transport.listen(addr).await.map_err(listen)?;
        let port = socket.port().map_err(listen)?;
        let me = config.peer(port);
        let (report, joined) = oneshot::channel();
        let common = Common {
            counters: Arc::new(Counters::of(pool.meters())),
            services: Arc::default(),
            incarnation: rand::random(),
        };
        let ousted = Arc::<SetOnce<Peer>>::default();
        let names = Names::new(&config.seeds, config.rpc_timeout);
        let joining = Joining::new(report, config.join_timeout, config.if_alone, ousted.clone(), names);
        let node = wire(&config, pool, me, socket, joining, common.clone());
        let ids = if config.strict_ids { Ids::OfAddress } else { Ids::Any };
        let ring = config.ring.as_deref().map(Arc::from);
        let caller = Some((me, common.incarnation));
        let channels = Channels::new(caller, ring, config.transport, ids, common.counters.clone());
        let Config { lookup_style, lookup_timeout, call_timeout, .. } = config;
        let since = Instant::now();
        let handle = Handle { me, since, lookup_style, lookup_timeout, call_timeout, node, common, channels, ousted };
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

    /// The node that owns a key, the SHA-1 of these bytes. Takes at most [`Config::lookup_timeout`].
    ///
    /// # Errors
    ///
    /// No node could name the owner, or this node was stopped.
    /// [`LookupFailure`] says when to try again.
    pub async fn lookup(&self, key: impl AsRef<[u8]>) -> Result<Peer, LookupError> {
        self.lookup_id(Id::of_key(key.as_ref(), Bits::FULL)).await
    }

    /// The node that owns an identifier.
    ///
    /// # Errors
    ///
    /// As [`Node::lookup`].
    pub async fn lookup_id(&self, key: Id) -> Result<Peer, LookupError> {
        Ok(self.resolve(Query::begun(key, false)).await?.owner)
    }

    /// The node that owns an identifier, and the nodes that were asked for it on the way, in that order.
    ///
    /// # Errors
    ///
    /// As [`Node::lookup`].
    pub async fn trace(&self, key: Id) -> Result<Found, LookupError> {
        self.resolve(Query::begun(key, true)).await
    }

    async fn resolve(&self, query: Query) -> Result<Found, LookupError> {
        let pass = match self.handle.common.counters.meters.gate.enter() {
            Ok(pass) => pass,
            Err(TurnedAway) if self.handle.node.connected() => {
                // A caller on the node's own thread that asks again and again would keep it from all other work.
                consume_budget().await;
                return Err(LookupFailure::Busy.into());
            }
            Err(TurnedAway) => return Err(LookupError::Stopped),
        };
        let (style, patience) = (self.handle.lookup_style, self.handle.lookup_timeout);
        let resolve = Resolve {
            query,
            guess: None,
            style,
            asked: std::time::Instant::now(),
            patience,
            class: Class::Begun,
            pass,
        };
        Ok(self.handle.node.send(resolve).await??)
    }

    /// Makes one ring of this node's and that of another node, which this node asks at once, and from then on as it
    /// asks its [seeds](Config::seeds). Returns before the rings are one: that node need not even run yet.
    ///
    /// # Errors
    ///
    /// This node was stopped, has been told of too many others, or is that node.
    pub async fn join(&self, seed: Seed) -> Result<(), JoinError> {
        if seed.addr() == Some(self.me().addr) {
            return Err(JoinError::Itself);
        }
        match self.handle.node.send(Join(seed)).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(JoinError::TooMany),
            Err(_) => Err(JoinError::Stopped),
        }
    }

    /// What the node knows of its ring; `None` if it was stopped.
    pub async fn state(&self) -> Option<State> {
        self.handle.node.send(Show).await.ok().flatten()
    }

    /// What happens around the node, from now on and in order: changes of its neighbours, of the keys that it answers
    /// for and of its membership, suspicions, and deaths. Ends when the node stops. A slow reader misses the oldest
    /// events, and hears how many ([`Event::Lagged`]); [`ownership`](Node::ownership) is never behind.
    pub async fn events(&self) -> impl Stream<Item = Event> + Send + Unpin + use<> {
        let watched = self.handle.node.send(WatchNode).await.ok().flatten();
        stream::iter(watched.map(|(events, _)| events::stream(events))).flatten()
    }

    /// The keys that the node believes it owns, now and after each change; `None` if it was stopped. A hint: what it
    /// says of other nodes may be outdated already. `docs/correctness.md`, "Ownership", says how far to trust it.
    pub async fn ownership(&self) -> Option<watch::Receiver<Ownership>> {
        self.handle.node.send(WatchNode).await.ok().flatten().map(|(_, ownership)| ownership)
    }

    /// Offers a service to the programs of other nodes, under a name of 1 to 255 bytes, in place of any earlier one of
    /// that name. A task of its own answers each call, on the runtime in which `serve` was called; the task is dropped
    /// when its caller no longer waits, or after a minute. At most 64 calls of one node are answered at once, with
    /// bodies of 16 MiB together, and bodies of 64 MiB in the whole process: more calls wait. Calls are read on the
    /// runtime in which a service was last offered: when that runtime ends, no calls are read until another service is
    /// offered.
    ///
    /// # Errors
    ///
    /// There is no tokio runtime here, or the length of the name is out of range.
    pub fn serve<F, R>(&self, service: impl Into<String>, answer: F) -> Result<(), ServeError>
    where
        F: Fn(ServiceCall) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Bytes, Refusal>> + Send + 'static,
    {
        let service = service.into();
        if !(1..=MAX_SERVICE).contains(&service.len()) {
            return Err(ServeError::Name(service.len()));
        }
        self.offer(service, answer, MAX_BODY)
    }

    fn offer<F, R>(&self, service: String, answer: F, body: usize) -> Result<(), ServeError>
    where
        F: Fn(ServiceCall) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Bytes, Refusal>> + Send + 'static,
    {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| ServeError::NoRuntime)?;
        self.handle.common.services.offer(service, Arc::new(answer), body, runtime);
        Ok(())
    }

    /// Offers the report of this node, under the name [`report::SERVICE`], to whoever asks for it from outside
    /// ([`Client::report`](crate::client::Client::report)): all that it knows of its ring, its version and what it has
    /// done, as of the last 50 ms. The node does not live longer for it.
    ///
    /// # Errors
    ///
    /// There is no tokio runtime here.
    pub fn serve_report(&self) -> Result<(), ServeError> {
        let handle = Arc::downgrade(&self.handle);
        let last = Arc::new(tokio::sync::Mutex::new(None));
        let answer = move |_| {
            let (node, last) = (handle.upgrade().map(|handle| Node { handle, _worker: None }), last.clone());
            async move {
                let mut last = last.lock().await;
                if let Some((_, report)) = last.as_ref().filter(|(at, _): &&(Instant, _)| at.elapsed() < report::FRESH)
                {
                    return Ok(Bytes::clone(report));
                }
                let report = match node {
                    Some(node) => node.report().await,
                    None => None,
                };
                let report = report.ok_or_else(|| Refusal::Failed("the node was stopped".into()))?.to_bytes();
                *last = Some((Instant::now(), report.clone()));
                Ok(report)
            }
        };
        self.offer(report::SERVICE.into(), answer, 0)
    }

    /// What the node knows of its ring, and what it has done; `None` if it was stopped.
    pub async fn report(&self) -> Option<Report> {
        Some(Report {
            state: self.state().await?,
            version: env!("CARGO_PKG_VERSION").into(),
            uptime: self.handle.since.elapsed(),
            run: self.handle.common.incarnation,
            traffic: self.traffic(),
        })
    }

    /// Withdraws a service; calls in progress are still answered. Returns whether it was offered.
    pub fn withdraw(&self, service: &str) -> bool {
        self.handle.common.services.withdraw(service)
    }

    /// Calls a service of another node, or of this one. The body and the answer have at most 4 MiB each. Takes at most
    /// [`Config::call_timeout`]; dropping the future cancels the call. Calls have a connection apart from those of the
    /// ring, and never delay it.
    ///
    /// # Errors
    ///
    /// The call was not delivered, or not answered. [`CallError`] says which, and whether to try again.
    pub async fn call(&self, peer: Peer, service: &str, body: impl Into<Bytes>) -> Result<Bytes, CallError> {
        let until = Instant::now() + self.handle.call_timeout;
        self.call_until(peer, service, None, body.into(), until).await
    }

    /// Calls a service of the node that owns a key, the SHA-1 of these bytes. If the call was not delivered, or the
    /// node says that the key belongs to another ([`Refusal::NotOwner`]), the key is looked up again, as long as there
    /// is time.
    ///
    /// # Errors
    ///
    /// As [`Node::call`].
    pub async fn call_owner(
        &self,
        key: impl AsRef<[u8]>,
        service: &str,
        body: impl Into<Bytes>,
    ) -> Result<Bytes, CallError> {
        let (key, body) = (Id::of_key(key.as_ref(), Bits::FULL), body.into());
        let until = Instant::now() + self.handle.call_timeout;
        for rests in 0.. {
            let failed = match self.lookup_id(key).await {
                Ok(owner) => match self.call_until(owner, service, Some(key), body.clone(), until).await {
                    Err(error) if error.may_move() => error,
                    ended => return ended,
                },
                Err(LookupError::Stopped) => return Err(LookupError::Stopped.into()),
                Err(error) => error.into(),
            };
            let rest = service::rest(rests).mul_f64(rand::random_range(0.5..1.5));
            if Instant::now() + rest >= until {
                return Err(failed);
            }
            sleep(rest).await;
        }
        Err(CallError::Timeout)
    }

    async fn call_until(
        &self,
        peer: Peer,
        service: &str,
        key: Option<Id>,
        body: Bytes,
        until: Instant,
    ) -> Result<Bytes, CallError> {
        let Handle { me, node, common, channels, .. } = &*self.handle;
        let patience = until.saturating_duration_since(Instant::now());
        let asking = Asking { service, key, body, patience };
        asking.check()?;
        let call = async {
            if peer == *me {
                let call = ServiceCall { from: Some(*me), key, body: asking.body };
                let no_service = || CallError::NoService(service.into());
                let answering = common.services.call(service, call).ok_or_else(no_service)?;
                return answering.answer().await.map_err(CallError::from);
            }
            let ours = async {
                match node.send(Ping(peer)).await.map_err(LookupError::from)? {
                    Answer::Reply(Response::Alive { plain: false, .. }) => Ok(()),
                    Answer::Reply(_) => Err(CallError::Plain(peer)),
                    Answer::Gone | Answer::Refused(_) => Err(CallError::Gone(peer)),
                    Answer::Unasked => Err(CallError::Overloaded),
                    _ => Err(CallError::Unreachable(peer)),
                }
            };
            channels.call(peer, asking, ours).await
        };
        timeout_at(until, call).await.unwrap_or(Err(CallError::Timeout))
    }

    /// Waits until another node turns out to have this node's identifier, because the ring accepted it while this node
    /// was away. Returns that node; this one is then no longer a member.
    pub async fn ousted(&self) -> Peer {
        *self.handle.ousted.wait().await
    }

    /// What the node has done on the network since it started; also works after it was stopped.
    pub fn traffic(&self) -> Traffic {
        self.handle.common.counters.read()
    }

    /// What the nodes of this node's thread have done, call by call.
    #[cfg(feature = "http")]
    pub(crate) fn meters(&self) -> Arc<Meters> {
        self.handle.common.counters.meters.clone()
    }

    /// How many connections of other nodes it has open.
    #[cfg(feature = "http")]
    pub(crate) fn accepted(&self) -> u64 {
        self.handle.common.counters.accepted.get()
    }

    /// Leaves the ring and stops. The neighbours are told, so that they close the gap at once; if they don't answer,
    /// this takes at most a quarter of a second.
    pub async fn leave(&self) {
        // An error means that it was stopped already.
        let _ = self.handle.node.send(Leave).await;
        self.stop().await;
    }

    /// Stops the node and closes its connections. The ring is not told: it has to cope with worse.
    pub async fn stop(&self) {
        // An error means that it was stopped already.
        let _ = self.handle.node.send(Stop).await;
        self.handle.channels.close();
    }
}
