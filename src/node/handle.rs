//! A running node, as a program holds it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::error::{LookupError, ServeError, StartError};
use super::state::State;
use crate::actors::messages::{Leave, Resolve, Stop};
use crate::actors::neighbors::{JoinFailure, Joining};
use crate::actors::node::{Common, NodeActor, Ping, Show, WatchNode, wire};
use crate::net::channel::calling::{Asking, Channels};
use crate::net::channel::error::CallError;
use crate::net::channel::services::{Refusal, ServiceCall};
use crate::net::names::Names;
use crate::net::pool::ConnectionPool;
use crate::net::traffic::Traffic;
use crate::node::config::Config;
use crate::node::events;
use crate::node::worker::Worker;
use crate::protocol::admission::Class;
use crate::protocol::id::{Bits, Id};
use crate::protocol::lookup::iterative::Style;
use crate::protocol::lookup::{Found, Question};
use crate::protocol::ownership::{Event, Ownership};
use crate::protocol::peer::Peer;
use crate::protocol::procedure::Answer;
use crate::protocol::rpc::Response;
use crate::wire::{Ids, MAX_SERVICE};

/// How long [`Node::call_owner`] rests before it looks the key up again, twice as long each time, until that long; jittered. Some ten
/// lookups in all, in which a ring has noticed a death.
const FIRST_REST: Duration = Duration::from_millis(10);
const MOST_REST: Duration = Duration::from_secs(1);

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
    call_timeout: Duration,
    node: actix::Addr<NodeActor>,
    common: Common,
    channels: Channels,
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
        let common = Common { counters: Arc::default(), services: Arc::default(), incarnation: rand::random() };
        let (oust, ousted) = watch::channel(None);
        let names = Names::new(&config.seeds, config.rpc_timeout);
        let joining = Joining::new(report, config.join_timeout, oust, names);
        let node = wire(&config, pool, me, socket, joining, common.clone());
        let ids = if config.strict_ids { Ids::OfAddress } else { Ids::Any };
        let channels = Channels::new(me, common.incarnation, config.transport, ids, common.counters.clone());
        let Config { lookup_style, lookup_timeout, call_timeout, .. } = config;
        let handle = Handle { me, lookup_style, lookup_timeout, call_timeout, node, common, channels, ousted };
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

    /// The node that owns a key: that of the SHA-1 of these bytes. Takes [`Config::lookup_timeout`] at most.
    ///
    /// # Errors
    ///
    /// Nobody could name an owner, or this node was stopped. [`LookupFailure`](crate::protocol::lookup::LookupFailure) says when to try
    /// again.
    pub async fn lookup(&self, key: impl AsRef<[u8]>) -> Result<Peer, LookupError> {
        self.lookup_id(Id::of_key(key.as_ref(), Bits::FULL)).await
    }

    /// The node that owns an identifier.
    ///
    /// # Errors
    ///
    /// As [`Node::lookup`].
    pub async fn lookup_id(&self, key: Id) -> Result<Peer, LookupError> {
        Ok(self.resolve(Question { key, hops: 0, want_path: false }).await?.owner)
    }

    /// The node that owns an identifier, and who was asked for it on the way, in that order.
    ///
    /// # Errors
    ///
    /// As [`Node::lookup`].
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

    /// Offers a service to the programs of other nodes, under a name of 1 to 255 bytes, in place of another of that name. Each call is
    /// answered by a task of its own on the runtime in which this was called; it is dropped when its caller waits no longer, or after a minute. At
    /// most 64 calls of one node, with bodies of 16 MiB, are answered at once, and bodies of 64 MiB in the whole process: more wait. Calls are read
    /// on the runtime in which a service was offered last: when that ends, none come until another is offered.
    ///
    /// # Errors
    ///
    /// There is no tokio runtime here, or the name has no such length.
    pub fn serve<F, R>(&self, service: impl Into<String>, answer: F) -> Result<(), ServeError>
    where
        F: Fn(ServiceCall) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Bytes, Refusal>> + Send + 'static,
    {
        let service = service.into();
        if !(1..=MAX_SERVICE).contains(&service.len()) {
            return Err(ServeError::Name(service.len()));
        }
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| ServeError::NoRuntime)?;
        self.handle.common.services.offer(service, Arc::new(answer), runtime);
        Ok(())
    }

    /// Offers a service no more; calls that are being answered still are. Says whether it was offered.
    pub fn withdraw(&self, service: &str) -> bool {
        self.handle.common.services.withdraw(service)
    }

    /// Asks a service of another node, or of this one: a body of at most 4 MiB, and the same comes back. Takes [`Config::call_timeout`] at
    /// most; whoever waits no longer has it cancelled. It has a connection apart from those of the ring, which it never holds up.
    ///
    /// # Errors
    ///
    /// It was not delivered, or not answered. [`CallError`] says which, and whether to try again.
    pub async fn call(&self, peer: Peer, service: &str, body: impl Into<Bytes>) -> Result<Bytes, CallError> {
        let until = Instant::now() + self.handle.call_timeout;
        self.call_until(peer, service, None, body.into(), until).await
    }

    /// Asks a service of the node that owns a key: that of the SHA-1 of these bytes. If the call was not delivered, or that node says that the
    /// key is somebody else's ([`Refusal::NotOwner`]), the key is looked up again, as long as there is time.
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
            let rest = (FIRST_REST * 2u32.saturating_pow(rests)).min(MOST_REST).mul_f64(rand::random_range(0.5..1.5));
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
        self.handle.common.counters.read()
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
        self.handle.channels.close();
    }
}
