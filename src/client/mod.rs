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
//! [`Client`] asks single questions; [`walk`] visits all nodes of a ring, [`check`] judges what they said, [`trace`]
//! follows one lookup from node to node. Plain peers are asked as well, as far as they can answer.

pub mod check;
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
use crate::protocol::rpc::{Code, Hop, Request, Response};
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
    /// The nodes that were asked, if that was wanted; plain peers don't tell them.
    pub path: Vec<Hop>,
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
        let channels = Channels::new(None, Transport::Tcp, Ids::Any, Arc::default());
        Client(Arc::new(Shared { patience, ways: Mutex::default(), channels }))
    }

    /// How long it waits for each answer.
    pub fn patience(&self) -> Duration {
        self.0.patience
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

    /// Closes the connections to a node: each takes an open file. What kind of node it is stays known.
    pub fn forget(&self, peer: Peer) {
        self.0.channels.forget(peer);
        let mut ways = self.0.ways.lock().unwrap_or_else(PoisonError::into_inner);
        // While others hold it they make calls there.
        let is_plain = |way: &Arc<tokio::sync::Mutex<Way>>| way.try_lock().is_ok_and(|way| matches!(*way, Way::Plain));
        if !ways.get(&peer.addr).is_some_and(is_plain) {
            ways.remove(&peer.addr);
        }
    }

    /// Who owns a key, as the node at this address finds out. A node that is busy or in doubt is asked again within the
    /// patience.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub async fn lookup(&self, addr: Addr, key: Id) -> Result<Owner, AskError> {
        self.find(addr, key, false).await
    }

    /// The same with the nodes that were asked.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub async fn lookup_with_path(&self, addr: Addr, key: Id) -> Result<Owner, AskError> {
        self.find(addr, key, true).await
    }

    async fn find(&self, addr: Addr, key: Id, want_path: bool) -> Result<Owner, AskError> {
        let question = Request::FindSuccessor { key, hops: 0, want_path };
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
            Response::Successor { owner, path } => Ok(Owner { owner, path, took: answered.took }),
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
