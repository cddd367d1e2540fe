//! The face of the nodes of a process for people and for monitoring, over HTTP: health, metrics, an API in JSON, and a
//! page that shows the ring.
//!
//! It answers on a thread of its own, so that a question that takes long (a walk of the whole ring) delays no node. It
//! only tells: no request changes anything. `docs/openapi.json` describes the API.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use chord::{Config, Node};
//! use chord::http::Face;
//!
//! let face = Face::start(std::net::TcpListener::bind("127.0.0.1:9080")?)?;
//! let config = Config::new(std::net::Ipv4Addr::LOCALHOST);
//! let node = Node::start(config).await?;
//! let at = node.me().addr;
//! face.show(node, at);
//! # Ok(())
//! # }
//! ```

mod answer;
mod api;
mod events;
mod metrics;
mod page;
mod process;
mod ready;
mod routes;
mod server;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore, oneshot, watch};

use crate::client::Client;
use crate::client::check::Checked;
use crate::client::walk::Walk;
use crate::node::Node;
use crate::node::worker::runtime;
use crate::protocol::addr::Addr;
use answer::Fresh;
use ready::Readiness;

/// How long to wait for each node that is asked.
const PATIENCE: Duration = Duration::from_secs(2);

/// A walk of the ring is told again for this long, however many pages look at it.
const WALK_LASTS: Duration = Duration::from_secs(1);

/// The same for a check, which looks twice and compares more.
const CHECK_LASTS: Duration = Duration::from_secs(2);

/// The actors of all nodes answer in this time, unless they are very busy.
const NODES_ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// At most this many lookups and traces are under way; more are refused.
const MAX_LOOKUPS: usize = 64;

/// At most this many clients follow the events; more are refused.
const MAX_STREAMS: usize = 32;

/// Answers over HTTP until it is dropped.
pub struct Face {
    shown: Arc<Shown>,
    _end: oneshot::Sender<()>,
}

/// What all answers are made of.
struct Shown {
    /// The nodes of the process that are members, and where each can be asked from here.
    nodes: RwLock<Vec<(Node, Addr)>>,
    /// Held by whoever asks all nodes of the process: what a thousand of them tell takes some memory.
    asks_all: Mutex<()>,
    /// Whether the first node is ready.
    readiness: watch::Sender<Readiness>,
    walk: Fresh<Walk>,
    check: Fresh<Checked>,
    lookups: Semaphore,
    streams: Arc<Semaphore>,
    /// Whether only programs of this machine can connect. Then a name in `Host` other than `localhost` is that of a
    /// page in a browser here whose owner has pointed the name at this machine.
    is_local: bool,
    /// What `/` shows.
    feed: Feed,
}

/// What the page shows.
enum Feed {
    /// The ring of the nodes.
    Live,
    /// A recording, as text.
    Recording(bytes::Bytes),
}

impl Face {
    /// Answers what arrives at this listener.
    ///
    /// # Errors
    ///
    /// There are too few files or threads: retry when there are more.
    pub fn start(listener: TcpListener) -> io::Result<Face> {
        Face::with(listener, Feed::Live)
    }

    /// Shows a recording: a text in the form of `docs/recording.md`.
    ///
    /// # Errors
    ///
    /// As [`Face::start`].
    pub fn play(listener: TcpListener, recording: impl Into<bytes::Bytes>) -> io::Result<Face> {
        Face::with(listener, Feed::Recording(recording.into()))
    }

    fn with(listener: TcpListener, feed: Feed) -> io::Result<Face> {
        listener.set_nonblocking(true)?;
        let shown = Arc::new(Shown {
            nodes: RwLock::default(),
            asks_all: Mutex::default(),
            readiness: watch::Sender::new(Readiness::joining()),
            walk: Fresh::lasting(WALK_LASTS),
            check: Fresh::lasting(CHECK_LASTS),
            lookups: Semaphore::new(MAX_LOOKUPS),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            is_local: listener.local_addr()?.ip().is_loopback(),
            feed,
        });
        let runtime = runtime()?;
        let (end, ended) = oneshot::channel::<()>();
        let served = shown.clone();
        thread::Builder::new().name("chord http".into()).spawn(move || {
            runtime.block_on(async {
                let listener = match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => listener,
                    Err(error) => return tracing::error!(%error, "can't answer over HTTP"),
                };
                tokio::select! {
                    () = server::serve(listener, served.clone()) => {}
                    () = ready::watch(&served) => {}
                    // An error means that the face was dropped.
                    _ = ended => {}
                }
            });
        })?;
        Ok(Face { shown, _end: end })
    }

    /// Shows this node from now on, which can be asked at this address from here; the answers about one node are about
    /// the first. The face has a handle of the node, which does not stop before the face is dropped, unless it is told
    /// to.
    pub fn show(&self, node: Node, at: Addr) {
        self.shown.nodes.write().unwrap_or_else(PoisonError::into_inner).push((node, at));
    }
}

/// Asks nodes for one request. Its connections end with it: a client that lived as long as the face would have some
/// with every node that was ever asked.
fn client() -> Client {
    Client::new(PATIENCE)
}

impl Shown {
    /// The first node, and where it can be asked.
    fn first(&self) -> Option<(Node, Addr)> {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner).first().cloned()
    }

    fn all(&self) -> Vec<Node> {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner).iter().map(|(node, _)| node.clone()).collect()
    }
}

/// Where a node can be asked on this machine that listens there.
pub fn local(listens: Addr) -> Addr {
    match listens.ip() {
        ip if !ip.is_unspecified() => listens,
        ip if ip.is_ipv6() => Addr::new(Ipv6Addr::LOCALHOST, listens.port()),
        _ => Addr::new(Ipv4Addr::LOCALHOST, listens.port()),
    }
}
