//! Asks the nodes of a ring from outside, without joining it: who owns a key, by which way that is found, what each
//! node believes, and whether the beliefs make a ring.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = chord::client::Client::new(std::time::Duration::from_secs(2));
//! let key = chord::Id::of_key(b"Hello", chord::protocol::id::Bits::FULL);
//! let answer = client.lookup("127.0.0.1:9000".parse()?, key).await?;
//! println!("{}", answer.owner);
//! # Ok(())
//! # }
//! ```
//!
//! [`Client`] asks single questions; [`walk`] visits all nodes of a ring, [`check`] does so and tells what is wrong
//! ([`finding`]), as [`judge`] compares it with the definitions; [`trace`] follows one lookup from node to node. Plain
//! peers are asked as well, as far as they can answer.

pub mod check;
pub mod finding;
#[cfg(feature = "http")]
pub mod json;
pub mod judge;
mod link;
pub mod trace;
pub mod walk;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::net::channel::calling::{Asking, Channels};
use crate::net::transport::Transport;
use crate::node::report::{Report, SERVICE};
use crate::protocol::addr::Addr;
use crate::protocol::id::Id;
use crate::protocol::peer::Peer;
use crate::protocol::rpc::{Code, Request, Response};
use crate::protocol::service::CallError;
use crate::wire::{Ids, WireError};
use link::Link;

/// Why a node did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No connection could be made. Retry later, or ask another node.
    #[error("{0} can't be reached: {1}")]
    Unreachable(Addr, io::Error),
    /// It did not answer in this time. Retry later, or ask another node.
    #[error("{0} did not answer within {1:?}")]
    Silent(Addr, Duration),
    /// It closed the connection without an answer. Retry later, or ask another node.
    #[error("{0} closed the connection without an answer")]
    Closed(Addr),
    /// Its answer is not one of a Chord node. Give up.
    #[error("{0} does not answer like a Chord node: {1}")]
    Nonsense(Addr, WireError),
    /// It has refused. The code says whether to retry.
    #[error("{0} refused: {1}")]
    Refused(Addr, Code),
    /// Another node is at this address. Give up.
    #[error("{0} is the address of another node: {1}")]
    Other(Addr, Id),
    /// No node before the key is named, and no owner either. Give up.
    #[error("no node before {0} is named, and no owner either")]
    Nobody(Id),
    /// It is a program that does not report its state. Give up.
    #[error("{0} does not tell its state: {1}")]
    Untold(Addr, CallError),
}

/// What a node has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// What it said.
    pub response: Response,
    /// Its identifier; plain peers don't tell it.
    pub responder: Option<Id>,
    /// The run of its program; plain peers don't tell it.
    pub run: Option<u64>,
    /// Whether it is a plain peer.
    pub plain: bool,
    /// From sending the question to reading the answer, without connecting.
    pub took: Duration,
}

/// The owner of a key, as a node has named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The node that owns the key.
    pub owner: Peer,
    /// From sending the question to reading the answer.
    pub took: Duration,
}

/// Asks nodes, on connections that are kept. All clones are the same.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    patience: Duration,
    ways: Mutex<HashMap<Addr, Arc<tokio::sync::Mutex<Way>>>>,
    channels: Channels,
}

/// How long to rest before a node that is busy is asked again; twice as long each time, and jittered.
const REST: Duration = Duration::from_millis(20);

/// How a node is asked.
#[derive(Clone, Default)]
enum Way {
    /// Not known yet.
    #[default]
    Unknown,
    /// One call per connection, without extensions.
    Plain,
    Kept(Link),
}

impl Client {
    /// A client that waits this long for each answer, including the time to connect.
    pub fn new(patience: Duration) -> Client {
        let channels = Channels::new(None, None, Transport::Tcp, Ids::Any, Arc::default());
        Client(Arc::new(Shared { patience, ways: Mutex::default(), channels }))
    }

    /// Asks the node at this address, whose identifier may be known from others: plain peers don't tell their own. The
    /// first call there shows what kind of node it is.
    ///
    /// # Errors
    ///
    /// [`AskError`] says of each when to retry.
    pub async fn ask(&self, addr: Addr, known: Option<Id>, request: Request) -> Result<Answered, AskError> {
        let patience = self.0.patience;
        timeout(patience, self.ask_now(addr, known, request)).await.map_err(|_| AskError::Silent(addr, patience))?
    }

    async fn ask_now(&self, addr: Addr, known: Option<Id>, request: Request) -> Result<Answered, AskError> {
        let way = {
            let mut ways = self.0.ways.lock().unwrap_or_else(PoisonError::into_inner);
            ways.entry(addr).or_default().clone()
        };
        let mut held = way.lock().await;
        match &*held {
            Way::Plain => {
                drop(held);
                link::ask_plain(addr, known, request).await
            }
            Way::Kept(link) if link.is_open() => {
                let link = link.clone();
                drop(held);
                link.ask(known, request, self.0.patience).await
            }
            _ => {
                let link = Link::open(addr).await?;
                // Others wait meanwhile: it turns out with this answer how they have to ask.
                let answered = link.ask(known, request, self.0.patience).await;
                *held = match &answered {
                    Ok(Answered { plain: true, .. }) => Way::Plain,
                    _ if link.is_open() => Way::Kept(link),
                    _ => Way::Unknown,
                };
                answered
            }
        }
    }

    /// Forgets a node and closes the connections to it, when the calls on them have ended: each takes an open file.
    pub fn forget(&self, peer: Peer) {
        self.0.channels.forget(peer);
        self.0.ways.lock().unwrap_or_else(PoisonError::into_inner).remove(&peer.addr);
    }

    /// Who owns a key, as the node at this address finds out. A node that is busy or in doubt is asked again within the
    /// patience.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub async fn lookup(&self, addr: Addr, key: Id) -> Result<Owner, AskError> {
        let question = Request::FindSuccessor { key, hops: 0, want_path: false };
        let (until, mut rest) = (Instant::now() + self.0.patience, REST);
        let answered = loop {
            let answered = self.ask(addr, None, question.clone()).await;
            let again = rest.mul_f64(rand::random_range(0.5..1.5));
            match answered {
                Err(AskError::Refused(_, Code::Busy | Code::Retry)) if Instant::now() + again < until => {
                    sleep(again).await;
                    rest *= 2;
                }
                answered => break answered?,
            }
        };
        match answered.response {
            Response::Successor { owner, .. } => Ok(Owner { owner, took: answered.took }),
            _ => Err(AskError::Nonsense(addr, WireError::Misplaced)),
        }
    }

    /// What a node of our own kind says of itself. It was asked something before, which showed that it is one.
    ///
    /// # Errors
    ///
    /// It does not answer, or does not offer its report.
    pub async fn report(&self, peer: Peer) -> Result<Report, AskError> {
        let patience = self.0.patience;
        let asking = Asking { service: SERVICE, key: None, body: Default::default(), patience };
        let asked = timeout(patience, self.0.channels.call(peer, asking, async { Ok(()) })).await;
        let body = asked.map_err(|_| AskError::Silent(peer.addr, patience))?;
        let body = body.map_err(|why| AskError::Untold(peer.addr, why))?;
        Report::from_bytes(body).map_err(|why| AskError::Nonsense(peer.addr, why))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures::{SinkExt, StreamExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::codec::Framed;

    use super::*;
    use crate::protocol::id::Bits;
    use crate::wire::{Frame, FrameCodec, Question, Reply};

    const PATIENCE: Duration = Duration::from_secs(5);

    fn key() -> Id {
        Id::of_key(b"Hello", Bits::FULL)
    }

    type Wire = Framed<TcpStream, FrameCodec>;

    /// A node that is played by the test.
    struct Played {
        socket: TcpListener,
        me: Peer,
    }

    impl Played {
        async fn start() -> Played {
            let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let me = Peer::at(socket.local_addr().unwrap().into(), Bits::FULL);
            Played { socket, me }
        }

        async fn accept(&self) -> Wire {
            Framed::new(self.socket.accept().await.unwrap().0, FrameCodec::default())
        }

        fn owner(&self) -> Reply {
            Reply::to(&Response::Successor { owner: self.me, path: Vec::new() }, self.me, 4)
        }

        /// Answers a call, as our own kind does.
        async fn answer(&self, wire: &mut Wire, asked: &Question, mut reply: Reply) {
            (reply.call_id, reply.responder) = (asked.call_id, Some((self.me.id, 7)));
            wire.send(Frame::Return(reply)).await.unwrap();
        }
    }

    async fn asked(wire: &mut Wire) -> Question {
        match wire.next().await {
            Some(Ok(Frame::Call(question))) => question,
            other => panic!("no call: {other:?}"),
        }
    }

    #[tokio::test]
    async fn busy_node_is_asked_again() {
        let (node, client) = (Played::start().await, Client::new(PATIENCE));
        let serve = async {
            let mut wire = node.accept().await;
            for code in [Code::Busy, Code::Retry] {
                let question = asked(&mut wire).await;
                node.answer(&mut wire, &question, Reply::refuse(code, "later")).await;
            }
            let question = asked(&mut wire).await;
            node.answer(&mut wire, &question, node.owner()).await;
        };
        let (found, ()) = tokio::join!(client.lookup(node.me.addr, key()), serve);
        assert_eq!(found.unwrap().owner, node.me);
    }

    #[tokio::test]
    async fn other_refusals_are_told_at_once() {
        let (node, client) = (Played::start().await, Client::new(PATIENCE));
        let serve = async {
            let mut wire = node.accept().await;
            let question = asked(&mut wire).await;
            node.answer(&mut wire, &question, Reply::refuse(Code::NoRoute, "none")).await;
            wire
        };
        let (found, _wire) = tokio::join!(client.lookup(node.me.addr, key()), serve);
        assert!(matches!(found, Err(AskError::Refused(_, Code::NoRoute))), "{found:?}");
    }

    #[tokio::test]
    async fn plain_peer_gets_a_connection_for_each_call_and_no_extension() {
        let (peer, client) = (Played::start().await, Client::new(PATIENCE));
        let serve = async {
            for call in 0..3 {
                let mut wire = peer.accept().await;
                let question = asked(&mut wire).await;
                assert_eq!(question.call_id.is_some(), call == 0, "only the first call shows of which kind it is");
                // It closes after the answer, which is not to be lost.
                wire.send(Frame::Return(peer.owner())).await.unwrap();
            }
        };
        let lookups = async {
            for _ in 0..3 {
                assert_eq!(client.lookup(peer.me.addr, key()).await.unwrap().owner, peer.me);
            }
        };
        tokio::join!(lookups, serve);
    }

    #[tokio::test]
    async fn node_that_closes_or_stays_silent_is_told_of_and_asked_on_a_new_connection_then() {
        let (node, client) = (Played::start().await, Client::new(Duration::from_millis(200)));
        let serve = async {
            let mut wire = node.accept().await;
            let question = asked(&mut wire).await;
            node.answer(&mut wire, &question, node.owner()).await;
            asked(&mut wire).await;
            drop(wire);
            // As long as it is not known of which kind it is, a connection is for one call.
            let mut silent = [node.accept().await, node.accept().await];
            for wire in &mut silent {
                asked(wire).await;
            }
            silent
        };
        let calls = async {
            let lookup = || client.lookup(node.me.addr, key());
            assert!(lookup().await.is_ok());
            let closed = lookup().await;
            assert!(matches!(closed, Err(AskError::Closed(_))), "{closed:?}");
            for _ in 0..2 {
                let silent = lookup().await;
                assert!(matches!(silent, Err(AskError::Silent(..))), "{silent:?}");
            }
        };
        let _silent = tokio::join!(calls, serve);
    }

    #[tokio::test]
    async fn what_is_no_answer_of_a_node_is_nonsense() {
        let (node, client) = (Played::start().await, Client::new(PATIENCE));
        let serve = async {
            let mut wire = node.accept().await;
            let question = asked(&mut wire).await;
            let alive = Reply::to(
                &Response::SuccessorList {
                    successors: vec![],
                    predecessor: None,
                    dialect: crate::protocol::rpc::Dialect::Ours,
                },
                node.me,
                4,
            );
            node.answer(&mut wire, &question, alive).await;
            wire
        };
        let (found, _wire) = tokio::join!(client.lookup(node.me.addr, key()), serve);
        assert!(matches!(found, Err(AskError::Nonsense(..))), "{found:?}");
    }
}
