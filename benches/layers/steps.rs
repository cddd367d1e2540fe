//! The steps of which a call and a lookup consist; benches time them and count their instructions.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use actix_rt::System;
use bytes::BytesMut;
use chord::net::pool::ConnectionPool;
use chord::protocol::fingers::FingerTable;
use chord::protocol::id::{Bits, Id};
use chord::protocol::lookup::{Finding, Lookup, Query as Wanted, Scope};
use chord::protocol::neighbors::Neighbors;
use chord::protocol::peer::Peer;
use chord::protocol::procedure::{Procedure, Step};
use chord::protocol::rpc::{Code, Request, Response};
use chord::sim::tables::Tables;
use chord::wire::{Frame, FrameCodec, Question, Reply};
use chord::{Addr, Config, Node};
use tokio::time::sleep;
use tokio_util::codec::{Decoder, Encoder};

use crate::line::{self, Line};

/// Enough nodes for a table of some ten fingers.
const NODES: u16 = 1000;

/// A call on a kept connection: who owns this key?
pub fn question() -> Frame {
    let request = Request::FindSuccessor { key: Id::of_key(b"Hello", Bits::FULL), hops: 1, want_path: false };
    Frame::Call(Question { call_id: Some(7), ..Question::plain(request) })
}

/// Its answer.
pub fn reply() -> Frame {
    let me = peer(1);
    let mut reply = Reply::to(&Response::Successor { owner: peer(2), path: Vec::new() }, me, 4);
    (reply.call_id, reply.responder) = (Some(7), Some((me.id, 1)));
    Frame::Return(reply)
}

fn peer(port: u16) -> Peer {
    Peer::at(Addr::new(Ipv4Addr::LOCALHOST, port), Bits::FULL)
}

/// A frame as bytes.
pub fn encode(frame: Frame) -> BytesMut {
    let mut bytes = BytesMut::new();
    FrameCodec::default().encode(frame, &mut bytes).expect("a frame that fits");
    bytes
}

/// A frame from its bytes.
pub fn decode(mut bytes: BytesMut) -> Frame {
    FrameCodec::default().decode(&mut bytes).expect("a frame of ours").expect("a whole frame")
}

/// A reply, and the request that it answers.
pub struct Answered {
    reply: Frame,
    request: Request,
    responder: Id,
}

impl Answered {
    /// A reply as the caller that has asked for an owner receives it.
    pub fn new() -> Answered {
        let request = Request::FindSuccessor { key: peer(2).id, hops: 1, want_path: false };
        Answered { reply: decode(encode(reply())), request, responder: peer(1).id }
    }

    /// The response in it.
    pub fn read(&self) -> Result<Response, Code> {
        let Frame::Return(reply) = &self.reply else { panic!("not a reply") };
        reply.read(&self.request, Some(self.responder)).expect("a reply of ours")
    }
}

/// A node of a large ring, and keys for it.
#[derive(Clone)]
pub struct Member {
    pub neighbors: Neighbors,
    pub fingers: FingerTable,
    /// Owned by its successor.
    pub near: Id,
    /// On the other side of the circle.
    pub far: Id,
}

impl Member {
    /// A node with complete tables.
    pub fn settled() -> Member {
        let tables = Tables::by_definition((1..=NODES).map(peer).collect(), Bits::FULL, 4);
        let mut neighbors = tables.neighbors(0).clone();
        // As after a round of stabilize: only a successor that has answered may be named without a ping.
        neighbors.adopt(neighbors.successors().to_vec());
        let me = neighbors.me().id;
        Member {
            near: me.next(Bits::FULL),
            far: me.finger_start(160, Bits::FULL),
            fingers: tables.fingers(0).clone(),
            neighbors,
        }
    }

    /// A node that has yet to find its fingers.
    pub fn young() -> Member {
        let settled = Member::settled();
        Member { fingers: FingerTable::alone(settled.neighbors.me(), Bits::FULL), ..settled }
    }

    /// The first step for a key: names the owner, or chooses the next node to ask.
    pub fn lookup(&self, key: Id) -> Step<Finding> {
        let wanted = Wanted { scope: Scope::Ring { hops: 1 }, ..Wanted::begun(key, false) };
        Lookup::new(wanted, self.neighbors.clone(), self.fingers.preceding(key)).start()
    }

    /// Finds all fingers, as a pass of fix fingers does.
    pub fn fill(mut self, owners: &FingerTable) -> FingerTable {
        let mut i = 1;
        while !self.fingers.is_past(i) {
            i = self.fingers.set(i, owners.node(i)).0 + 1;
        }
        self.fingers
    }

    /// Adopts the list of its successor.
    pub fn adopt(mut self, list: Vec<Peer>) -> Member {
        self.neighbors.adopt(list);
        self
    }
}

/// Two nodes, and a client that asks the first one for its own identifier; all on one thread.
pub struct Served {
    system: actix_rt::SystemRunner,
    line: Line,
    _nodes: [Node; 2],
}

/// A node whose own rounds are so far apart that none falls into what is counted.
fn quiet() -> Config {
    let period = Duration::from_secs(60);
    let usual = Config::new(Ipv4Addr::LOCALHOST);
    Config { stabilize: period, fix_fingers: period, check_predecessor: period, ..usual }
}

/// Waits until the nodes have found each other and ask nothing more.
async fn rest(nodes: [&Node; 2]) {
    let asked = || nodes.map(|node| node.traffic().asked);
    loop {
        let before = asked();
        sleep(Duration::from_millis(500)).await;
        if asked() == before {
            return;
        }
    }
}

impl Served {
    /// Starts the nodes and the client.
    pub fn start() -> io::Result<Served> {
        let system = System::new();
        let (line, nodes) = system.block_on(async {
            let first = Node::start_sharing(quiet(), ConnectionPool::default()).await.map_err(io::Error::other)?;
            let seeds = vec![first.me().addr.into()];
            let second = Node::start_sharing(Config { seeds, ..quiet() }, ConnectionPool::default());
            let second = second.await.map_err(io::Error::other)?;
            rest([&first, &second]).await;
            let (me, call) = (first.me(), line::call(first.me(), false));
            let reply = line::reply(me.addr.into(), &call).await?;
            let line = Line::to(me.addr.into(), &call, reply).await?;
            io::Result::Ok((line, [first, second]))
        })?;
        Ok(Served { system, line, _nodes: nodes })
    }

    /// Makes `times` calls, one after the other.
    pub fn call(&mut self, times: usize) -> io::Result<()> {
        self.system.block_on(async {
            for _ in 0..times {
                self.line.call(1).await?;
            }
            Ok(())
        })
    }
}
