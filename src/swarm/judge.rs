//! Decides whether an answer is right in a ring that has other members, too. They come and go, and the tables by
//! definition are those of the ring as it was when it was joined: if the named node is not the owner by the tables, it
//! is asked itself.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::codec::Framed;

use crate::node::Node;
use crate::protocol::id::Id;
use crate::protocol::peer::Peer;
use crate::protocol::rpc::{Request, Response};
use crate::wire::{Frame, FrameCodec, Question};

/// What members of a ring say they own. One question at a time, for any number of lookups.
#[derive(Debug, Default)]
pub struct Judge(Mutex<HashMap<Peer, (Instant, Id)>>);

/// How long the answer of a node is reused: a load may judge thousands of lookups a second.
const BELIEVED: Duration = Duration::from_secs(1);

/// How long a node may take to answer: more than the default `rpc_timeout`.
const PATIENCE: Duration = Duration::from_secs(2);

impl Judge {
    /// Whether `node`'s answer that `named` owns a key is wrong. It counts as wrong only if that is certain: the named
    /// node says that it does not own the key, is named once more, and denies it again. If the ring has changed
    /// meanwhile, or the named node is gone, the answer may have been right.
    pub async fn is_wrong(&self, node: &Node, key: Id, named: Peer) -> bool {
        self.denies(named, key).await && node.lookup_id(key).await == Ok(named) && self.denies_again(named, key).await
    }

    /// Whether a node says that it does not own a key.
    pub async fn denies(&self, named: Peer, key: Id) -> bool {
        let mut believed = self.0.lock().await;
        let predecessor = match believed.get(&named) {
            Some((said, predecessor)) if said.elapsed() < BELIEVED => Some(*predecessor),
            _ => predecessor(named).await.ok().flatten(),
        };
        let Some(predecessor) = predecessor else { return false };
        believed.insert(named, (Instant::now(), predecessor));
        !key.in_half_open(predecessor, named.id)
    }

    async fn denies_again(&self, named: Peer, key: Id) -> bool {
        self.0.lock().await.remove(&named);
        self.denies(named, key).await
    }
}

/// Asks a node for its predecessor, which is where its own range of keys begins; `None` if it has none.
async fn predecessor(of: Peer) -> io::Result<Option<Id>> {
    timeout(PATIENCE, ask(of)).await?
}

/// Asks as a plain peer does, on a connection of its own, so that this does not affect what is measured.
async fn ask(of: Peer) -> io::Result<Option<Id>> {
    let request = Request::GetPredecessor;
    let mut frames = Framed::new(TcpStream::connect(of.addr.socket()).await?, FrameCodec::default());
    frames.send(Frame::Call(Question::plain(request.clone()))).await.map_err(io::Error::other)?;
    let Some(Frame::Return(reply)) = frames.next().await.transpose().map_err(io::Error::other)? else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    match reply.read(&request, Some(of.id)).map_err(io::Error::other)? {
        Ok(Response::Predecessor { predecessor, .. }) => Ok(predecessor.map(|peer| peer.id)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
