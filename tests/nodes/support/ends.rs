//! Both ends of a connection: the connections of a node without the rest of it, and a fully scripted
//! node.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler};
use chord::actors::{Call, CallRefusal, Serve, Severed, Slept, Way};
use chord::net::limits::budget::ConnectionBudget;
use chord::net::limits::drops::DropCounters;
use chord::net::limits::inbound::Limits;
use chord::net::listener::Listener;
use chord::net::peers::Peers;
use chord::net::pool::ConnectionPool;
use chord::net::resident::Resident;
use chord::net::routes::Routes;
use chord::net::shared::Shared;
use chord::net::traffic::Counters;
use chord::net::transport::Transport;
use chord::protocol::id::Bits;
use chord::protocol::procedure::{Answer, Target};
use chord::protocol::rpc::{Request, Response};
use chord::wire::{Frame, FrameCodec, Ids, Question, Reply};
use chord::{Addr, Id, Peer};
use futures::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::codec::Framed;

pub const PATIENCE: Duration = Duration::from_secs(10);

/// Answers everything with "alive", and counts broken connections.
#[derive(Default)]
pub struct Local {
    severed: Rc<RefCell<Vec<Addr>>>,
}

impl Actor for Local {
    type Context = Context<Local>;
}

impl Handler<Serve> for Local {
    type Result = Result<Response, CallRefusal>;
    fn handle(&mut self, _: Serve, _: &mut Self::Context) -> Self::Result {
        Ok(Response::Alive { plain: false, alone: false })
    }
}

impl Handler<Severed> for Local {
    type Result = ();
    fn handle(&mut self, Severed(addrs): Severed, _: &mut Self::Context) {
        self.severed.borrow_mut().extend(addrs.iter());
    }
}

impl Handler<Slept> for Local {
    type Result = ();
    fn handle(&mut self, _: Slept, _: &mut Self::Context) {}
}

/// The connections of a node without the rest of it.
pub struct Us {
    pub me: Peer,
    pub peers: actix::Addr<Peers>,
    pub severed: Rc<RefCell<Vec<Addr>>>,
    pub routes: Routes,
    pub counters: Arc<Counters>,
}

impl Us {
    pub async fn start(incarnation: u64) -> Us {
        Us::start_with(incarnation, Limits::default()).await
    }

    pub async fn start_with(incarnation: u64, limits: Limits) -> Us {
        Us::start_in(None, incarnation, limits).await
    }

    pub async fn start_in(budget: Option<ConnectionBudget>, incarnation: u64, limits: Limits) -> Us {
        Us::start_over(ConnectionPool::default(), Ipv4Addr::LOCALHOST, budget, incarnation, limits).await
    }

    /// Nodes with the same pool share their connections.
    pub async fn start_sharing(pool: &ConnectionPool, incarnation: u64) -> Us {
        Us::start_sharing_at(pool, Ipv4Addr::LOCALHOST, incarnation).await
    }

    pub async fn start_sharing_at(pool: &ConnectionPool, ip: Ipv4Addr, incarnation: u64) -> Us {
        Us::start_over(pool.clone(), ip, None, incarnation, Limits::default()).await
    }

    async fn start_over(
        pool: ConnectionPool,
        ip: Ipv4Addr,
        budget: Option<ConnectionBudget>,
        incarnation: u64,
        limits: Limits,
    ) -> Us {
        let any = Addr::new(ip, 0);
        let socket = Transport::Tcp.listen(any).await.unwrap();
        let me = Peer::at(Addr::new(any.ip(), socket.port().unwrap()), Bits::FULL);
        let severed = Rc::new(RefCell::new(Vec::new()));
        let local = Local { severed: severed.clone() }.start();
        let (routes, counters) = (Routes::over(pool), Arc::<Counters>::default());
        let peers = Peers::create(|ctx| {
            let resident = Rc::new(Resident {
                me,
                r: 4,
                incarnation,
                ring: None,
                plain_peers: true,
                rpc_timeout: Duration::from_millis(200),
                accepted: Default::default(),
                serves: Box::new(local.clone().recipient::<Serve>()),
                severed: local.clone().recipient(),
                slept: local.recipient(),
                events: ctx.address().recipient(),
                drops: DropCounters::default(),
                counters: counters.clone(),
            });
            let shared = Shared {
                resident,
                limits,
                transport: Transport::Tcp,
                ids: Ids::Any,
                routes: routes.clone(),
                services: Arc::default(),
            };
            Peers::new(Rc::new(shared), budget, None)
        });
        Listener::new(socket, peers.clone().recipient()).start();
        Us { me, peers, severed, routes, counters }
    }

    pub async fn call(&self, target: impl Into<Target>, way: Way) -> Answer {
        self.ask(target, Request::CheckPredecessor, way).await
    }

    pub async fn ask(&self, target: impl Into<Target>, request: Request, way: Way) -> Answer {
        let call = Call { target: target.into(), request, way, patience: None };
        timeout(PATIENCE, self.peers.send(call)).await.expect("an answer in time").unwrap()
    }
}

pub fn at(addr: SocketAddr) -> Peer {
    Peer::at(addr.into(), Bits::FULL)
}

pub fn alive() -> Answer {
    Answer::Reply(Response::Alive { plain: false, alone: false })
}

/// A fully scripted node of our own kind.
pub struct Them {
    pub me: Peer,
    socket: TcpListener,
}

pub type Wire = Framed<TcpStream, FrameCodec>;

impl Them {
    pub async fn start() -> Them {
        let socket = TcpListener::bind("127.0.0.2:0").await.unwrap();
        Them { me: at(socket.local_addr().unwrap()), socket }
    }

    pub async fn accept(&self) -> Wire {
        let (stream, _) = timeout(PATIENCE, self.socket.accept()).await.expect("a connection in time").unwrap();
        Framed::new(stream, FrameCodec::default())
    }

    /// Whether no connection is made to it for a while.
    pub async fn is_left_alone(&self) -> bool {
        timeout(Duration::from_millis(100), self.socket.accept()).await.is_err()
    }

    pub async fn answer(&self, wire: &mut Wire, question: &Question) {
        self.answer_as(wire, question, self.me.id, 7).await;
    }

    pub async fn answer_as(&self, wire: &mut Wire, question: &Question, id: Id, incarnation: u64) {
        let mut reply = Reply::to(&Response::Alive { plain: false, alone: false }, self.me, 4);
        reply.call_id = question.call_id;
        reply.responder = Some((id, incarnation));
        wire.send(Frame::Return(reply)).await.unwrap();
    }
}

pub async fn question(wire: &mut Wire) -> Question {
    match timeout(PATIENCE, wire.next()).await.expect("a frame in time") {
        Some(Ok(Frame::Call(question))) => question,
        other => panic!("a call expected: {other:?}"),
    }
}

pub async fn wire_is_closed(wire: &mut Wire) -> bool {
    timeout(PATIENCE, wire.next()).await.expect("an end in time").is_none()
}

pub async fn wire_is_open(wire: &mut Wire) -> bool {
    timeout(Duration::from_millis(100), wire.next()).await.is_err()
}
