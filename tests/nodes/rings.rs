//! Rings with names, and what becomes of nodes of other ones.

use std::time::Duration;

use bytes::Bytes;
use chord::protocol::id::Bits;
use chord::protocol::rpc::{Code, Request, Response};
use chord::wire::{Frame, FrameCodec, Question, Reply};
use chord::{CallError, Config, Node, Peer, StartError};
use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::codec::Framed;

use crate::support::plain::{Plain, Setup};

const LIMIT: Duration = Duration::from_secs(30);

/// A node of the ring of this name, which joins through that node.
async fn start(ring: Option<&str>, seed: Option<&Node>) -> Result<Node, StartError> {
    let config = Config {
        ring: ring.map(String::from),
        seeds: seed.map(|seed| seed.me().addr.into()).into_iter().collect(),
        join_timeout: Duration::from_millis(200),
        stabilize: Duration::from_millis(100),
        ..Config::new([127, 0, 0, 1])
    };
    timeout(LIMIT, Node::start(config)).await.expect("it starts or not")
}

#[tokio::test]
async fn nodes_of_one_name_are_a_ring_with_services() {
    let first = start(Some("music"), None).await.unwrap();
    let second = start(Some("music"), Some(&first)).await.unwrap();
    second.serve("echo", |call| async move { Ok(call.body) }).unwrap();
    let echoed = first.call(second.me(), "echo", Bytes::from_static(b"la")).await;
    assert_eq!(echoed.unwrap(), "la");
    let owners = async {
        while first.lookup_id(second.me().id).await != Ok(second.me()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, owners).await.expect("it is a member");
}

#[tokio::test]
async fn node_of_another_ring_is_refused_whoever_of_the_two_has_a_name() {
    for (theirs, ours) in [(Some("a"), Some("b")), (Some("a"), None), (None, Some("b"))] {
        let seed = start(theirs, None).await.unwrap();
        let refused = start(ours, Some(&seed)).await;
        assert!(
            matches!(refused, Err(StartError::NoAnswer(_))),
            "{theirs:?}, {ours:?}: {:?}",
            refused.map(|node| node.me())
        );
        let other = start(ours, None).await.unwrap();
        other.join(seed.me().addr.into()).await.unwrap();
        seed.serve("echo", |call| async move { Ok(call.body) }).unwrap();
        let called = other.call(seed.me(), "echo", Bytes::new()).await;
        assert!(
            matches!(called, Err(CallError::Unreachable(_) | CallError::Gone(_))),
            "{theirs:?}, {ours:?}: {called:?}"
        );
        // Both answer, and for themselves.
        assert_eq!(seed.lookup("key").await, Ok(seed.me()));
        assert_eq!(other.lookup("key").await, Ok(other.me()));
    }
}

/// The other end of a connection to a node.
struct End(Framed<TcpStream, FrameCodec>);

impl End {
    async fn to(node: &Node) -> End {
        End(Framed::new(TcpStream::connect(node.me().addr.socket()).await.unwrap(), FrameCodec::default()))
    }

    /// The reply; `None` if the connection is closed.
    async fn ask(&mut self, question: Question) -> Option<Reply> {
        // An error means that the other end has closed.
        let _ = self.0.send(Frame::Call(question)).await;
        match timeout(LIMIT, self.0.next()).await.expect("a reply or the end") {
            Some(Ok(Frame::Return(reply))) => Some(reply),
            Some(Ok(other)) => panic!("{other:?}"),
            Some(Err(_)) | None => None,
        }
    }
}

fn question(call: u64, ring: Option<&str>, caller: Option<Peer>) -> Question {
    Question {
        call_id: Some(call),
        ring: ring.map(Into::into),
        caller: caller.map(|caller| Box::new((caller, 7))),
        ..Question::plain(Request::CheckPredecessor)
    }
}

#[tokio::test]
async fn caller_that_names_another_ring_is_told_so_and_heard_no_more() {
    let node = start(Some("a"), None).await.unwrap();
    let mut end = End::to(&node).await;
    let reply = end.ask(question(1, Some("b"), None)).await.unwrap();
    assert_eq!((reply.refusal(), reply.ring.as_deref()), (Some(Code::NotJoined), Some("a")));
    assert!(end.ask(question(2, Some("a"), None)).await.is_none(), "it is closed");
    // Names of any length and content do no harm.
    for name in ["", "\u{1}\u{202e}", &"long".repeat(3000)] {
        let reply = End::to(&node).await.ask(question(1, Some(name), None)).await.unwrap();
        assert_eq!(reply.refusal(), Some(Code::NotJoined));
    }
}

#[tokio::test]
async fn program_that_only_asks_needs_no_name_but_a_node_does() {
    let node = start(Some("a"), None).await.unwrap();
    let mut end = End::to(&node).await;
    let reply = end.ask(question(1, None, None)).await.unwrap();
    assert!(matches!(reply.read(&Request::CheckPredecessor, None), Ok(Ok(Response::Alive { .. }))), "{reply:?}");
    assert_eq!(reply.ring.as_deref(), Some("a"), "it is said on the first reply");
    let reply = end.ask(question(2, None, None)).await.unwrap();
    assert_eq!((reply.refusal(), reply.ring), (None, None), "and on no other");
    // An earlier version of this program: it knows of no names, and takes itself for a member.
    let itself = Peer::at("127.0.0.1:9".parse().unwrap(), Bits::FULL);
    let reply = end.ask(question(3, None, Some(itself))).await.unwrap();
    assert_eq!(reply.refusal(), Some(Code::NotJoined));
    assert!(end.ask(question(4, None, None)).await.is_none(), "it is closed");
}

#[tokio::test]
async fn plain_peers_are_members_of_a_named_ring_unless_they_are_refused() {
    let node = start(Some("a"), None).await.unwrap();
    let plain = || Question::plain(Request::CheckPredecessor);
    let reply = End::to(&node).await.ask(plain()).await.unwrap();
    assert_eq!((reply.refusal(), reply.ring), (None, None), "a plain peer sees no extension");
    let strict = Config { plain_peers: false, ..Config::new([127, 0, 0, 1]) };
    let strict = Node::start(strict).await.unwrap();
    let mut end = End::to(&strict).await;
    assert!(end.ask(plain()).await.unwrap().refusal().is_some());
    assert!(end.ask(plain()).await.is_none(), "it is closed");
    // Nor is one joined.
    let peer = tokio::task::spawn_blocking(|| Plain::start(Setup::default())).await.unwrap();
    let seeds = vec![peer.me().addr.into()];
    let joiner = Config { plain_peers: false, seeds, join_timeout: LIMIT / 100, ..Config::new([127, 0, 0, 1]) };
    assert!(matches!(Node::start(joiner).await, Err(StartError::NoAnswer(_))));
}

#[tokio::test]
async fn nodes_of_two_rings_do_not_share_connections() {
    let worker = chord::Worker::start("two rings").unwrap();
    let config = |ring: &str| Config { ring: Some(ring.into()), ..Config::new([127, 0, 0, 1]) };
    let _first = Node::start_on(&worker, config("a")).await.unwrap();
    assert!(Node::start_on(&worker, config("a")).await.is_ok());
    let why = Node::start_on(&worker, config("b")).await.err().unwrap();
    assert_eq!(why.to_string(), "nodes of different rings can't share their connections");
    for name in ["", "line\nbreak", &"x".repeat(65)] {
        let why = Node::start(config(name)).await.err().unwrap().to_string();
        assert!(why.contains("from 1 to 64 bytes, without control characters"), "{why}");
    }
}
