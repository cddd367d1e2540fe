//! Plain peers: programs of the family that take one call per connection and answer in dialects.
//! Some are well behaved, some break every rule. The node under test is always spoken to over TCP.

mod dead;
mod hurry;
mod rightness;
mod single;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use chord::net::pool::ConnectionPool;
use chord::protocol::lookup::iterative::Style;
use chord::{Addr, Config, Id, LookupError, Node, Peer, StartError};
use futures::future::{join, join_all};
use tokio::time::sleep;
use tracing::Dispatch;
use tracing::subscriber::NoSubscriber;

use crate::support::plain::{
    self, Caller, Dialect, HOME, Manner, Message, Nobody, Plain, Setup, ask, call, frame, key, lying_frame, notifier,
};
use crate::support::process::free_range_at;

/// A condition must hold within this time even on a busy machine.
const LIMIT: Duration = Duration::from_secs(10);

/// An address whose ports are taken only by the test that needs a certain port.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 6);

const DIALECTS: [Dialect; 2] = [Dialect::Others, Dialect::ItselfFirst];

/// A node with short timers and timeouts.
fn config() -> Config {
    let often = Duration::from_millis(50);
    Config {
        stabilize: often,
        fix_fingers: often,
        check_predecessor: often,
        rpc_timeout: Duration::from_millis(300),
        lookup_timeout: Duration::from_secs(2),
        join_timeout: Duration::from_secs(5),
        ..Config::new(Ipv4Addr::LOCALHOST)
    }
}

/// The same with long timeouts, so that a busy machine does not make it suspect others.
fn calm() -> Config {
    Config { rpc_timeout: Duration::from_secs(1), lookup_timeout: Duration::from_secs(5), ..config() }
}

/// A node that does nothing of its own accord once it has settled.
fn idle() -> Config {
    let seldom = Duration::from_secs(60);
    Config { stabilize: seldom, fix_fingers: seldom, check_predecessor: seldom, ..calm() }
}

fn through(seed: Peer, config: Config) -> Config {
    Config { seeds: vec![seed.addr.into()], ..config }
}

async fn start(config: Config) -> Node {
    tokio::time::timeout(2 * LIMIT, Node::start_sharing(config, ConnectionPool::default()))
        .await
        .expect("it starts in time")
        .unwrap()
}

/// The point this many sixteenths of the circle further on.
fn on(id: Id, sixteenths: u8) -> Id {
    let mut bytes = *id.as_bytes();
    bytes[0] = bytes[0].wrapping_add(16 * sixteenths);
    Id::from_bytes(bytes)
}

/// A peer that no program runs.
fn nobody(id: Id) -> Peer {
    // No program listens on port 1: a connection is refused.
    Peer { id, addr: Addr::new(HOME, 1) }
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !holds().await {
        assert!(begin.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until this many more rounds of stabilize have asked `peer`.
async fn rounds(peer: &Plain, more: usize) {
    let before = peer.count("get_predecessor");
    eventually("rounds of stabilize", async || peer.count("get_predecessor") >= before + more).await;
}

async fn successors(node: &Node) -> Vec<Peer> {
    node.state().await.unwrap().successors
}

async fn predecessor(node: &Node) -> Option<Peer> {
    node.state().await.unwrap().predecessor
}

/// The ring of these members, in the order of the circle.
fn ring(ours: &[&Node], plain: &[&Plain]) -> Vec<Peer> {
    let mut ring: Vec<Peer> = ours.iter().map(|node| node.me()).chain(plain.iter().map(|peer| peer.me())).collect();
    ring.sort();
    ring
}

/// The differences between the ring of these members and an ideal ring.
async fn flaws(ours: &[&Node], plain: &[&Plain]) -> Vec<String> {
    let ring = ring(ours, plain);
    let around = |me: Peer| ring.iter().copied().cycle().skip_while(move |peer| *peer != me).skip(1);
    let mut flaws = Vec::new();
    let mut judge = |me: Peer, successors: Vec<Peer>, predecessor: Option<Peer>| {
        let before = around(me).nth(ring.len() - 2).filter(|_| ring.len() > 1);
        let after: Vec<Peer> = around(me).take(ring.len() - 1).take(4).collect();
        if successors != after || predecessor != before {
            flaws.push(format!("{me:?} has {predecessor:?} and {successors:?}, not {before:?} and {after:?}"));
        }
    };
    for node in ours {
        let state = node.state().await.unwrap();
        judge(state.me, state.successors, state.predecessor);
    }
    for peer in plain {
        let me = peer.me();
        judge(me, peer.successors().into_iter().take_while(|entry| *entry != me).collect(), peer.predecessor());
    }
    flaws
}

async fn becomes_ideal(ours: &[&Node], plain: &[&Plain]) {
    let begin = Instant::now();
    loop {
        let flaws = flaws(ours, plain).await;
        if flaws.is_empty() {
            return;
        }
        assert!(begin.elapsed() < LIMIT, "not ideal within {LIMIT:?}: {flaws:#?}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Every member finds the owners of many keys, and also names them to a plain caller.
async fn lookups_are_right(ours: &[&Node], plain: &[&Plain]) {
    let ring = ring(ours, plain);
    let owner = |key: Id| *ring.iter().find(|peer| peer.id >= key).unwrap_or(&ring[0]);
    let keys = (0..16).map(|n| on(ring[0].id, n)).chain((0..16u8).map(|n| plain::sha1(&[n])));
    let mut owners = BTreeSet::new();
    for id in keys.chain(ring.iter().map(|peer| peer.id)) {
        owners.insert(owner(id));
        for node in ours {
            assert_eq!(node.lookup_id(id).await, Ok(owner(id)), "{id} from {:?}", node.me());
            assert_eq!(ask(node.me().addr, "find_successor", &key(id)).await.node(), owner(id));
        }
        for peer in plain {
            assert_eq!(peer.lookup(id).await, Some(owner(id)), "{id} from {peer:?}");
        }
    }
    assert_eq!(owners.len(), ring.len(), "each member owned a key");
}

fn nobody_complains(peers: &[&Plain]) {
    for peer in peers {
        assert_eq!(peer.complaints(), [""; 0]);
        assert!(!peer.connections().is_empty(), "it was called");
    }
}

/// The log of the nodes of this thread.
struct Log {
    lines: Arc<Mutex<Vec<u8>>>,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Log {
    fn open() -> Log {
        struct Page(Arc<Mutex<Vec<u8>>>);
        impl Write for Page {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        // With a single subscriber, tracing lets the first thread that reaches a message decide whether it is
        // enabled, and that may be a thread of another test, without a log. With more subscribers it asks all.
        static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));
        LazyLock::force(&ANOTHER);
        let lines = Arc::<Mutex<Vec<u8>>>::default();
        let page = lines.clone();
        let writer = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_ansi(false);
        let writer = writer.with_writer(move || Page(page.clone())).finish();
        Log { lines, _guard: tracing::subscriber::set_default(writer) }
    }

    /// Whether one line contains all of these words.
    fn says(&self, words: &[&str]) -> bool {
        let text = self.text();
        text.lines().any(|line| words.iter().all(|word| line.contains(word)))
    }

    fn text(&self) -> String {
        String::from_utf8(self.lines.lock().unwrap().clone()).unwrap()
    }
}

#[test]
fn log_hears_what_a_thread_without_a_log_has_come_by_first() {
    fn say() {
        tracing::warn!("once more");
    }
    let log = Log::open();
    std::thread::spawn(say).join().unwrap();
    say();
    assert!(log.says(&["once more"]));
}

// ---- The scripted peers themselves ----

/// Frames as programs of the family were seen to send them.
#[test]
fn scripted_peers_speak_as_the_family_does() {
    let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let at = |addr: &str| Peer { id: plain::sha1(addr.as_bytes()), addr: addr.parse().unwrap() };
    let found = Message::default().bytes(1, &plain::node(at("127.0.0.1:4170"))).done();
    for (frame, seen) in [
        (call("check_predecessor", &[]), "000000000000001d0a11636865636b5f7072656465636573736f721200"),
        (call("get_predecessor", &[]), "000000000000001b0a0f6765745f7072656465636573736f721200"),
        (call("get_successor_list", &[]), "000000000000001e0a126765745f737563636573736f725f6c6973741200"),
        (
            call("find_successor", &key(plain::sha1(b"Hello"))),
            "00000000000000300a0e66696e645f737563636573736f7212160a14f7ff9e8b7bb2e09b70935a5d785e0cc5d9d0abf0",
        ),
        (
            call("notify", &notifier(at("127.0.0.9:7777"))),
            "00000000000000380a066e6f7469667912260a240a14a1cc973d2d4c68eebb3701c0f4133194a423e0b3\
             12093132372e302e302e3918e13c",
        ),
        (plain::answer(None), "000000000000000a0801"),
        (
            plain::answer(Some(&found)),
            "0000000000000032080112260a240a1410f78bab790612c304ca2d91da6da30e59be9056\
             12093132372e302e302e3118ca20",
        ),
    ] {
        assert_eq!(hex(frame), seen);
    }
}

#[actix_rt::test]
async fn scripted_peers_keep_a_ring_of_their_own() {
    let peers = [(); 3].map(|()| Plain::alive(Setup::default()));
    peers[1].joins(peers[0].me().addr);
    peers[2].joins(peers[0].me().addr);
    let all: Vec<&Plain> = peers.iter().collect();
    becomes_ideal(&[], &all).await;
    lookups_are_right(&[], &all).await;
    nobody_complains(&all);
}

// ---- Plain callers ----

#[actix_rt::test]
async fn plain_caller_is_answered_in_the_family_s_bytes() {
    let node = start(config()).await;
    let me = node.me();
    let itself = plain::answer(Some(&Message::default().bytes(1, &plain::node(me)).done()));
    let padded = (0..4).fold(Message::default(), |list, _| list.bytes(1, &plain::node(me))).done();
    for (question, expected) in [
        (call("check_predecessor", &[]), plain::answer(None)),
        (call("notify", &notifier(nobody(on(me.id, 4)))), plain::answer(None)),
        (call("get_predecessor", &[]), itself.clone()),
        (call("get_successor_list", &[]), plain::answer(Some(&padded))),
        (call("find_successor", &key(on(me.id, 4))), itself),
    ] {
        let mut caller = Caller::connect(me.addr).await;
        caller.send(&question).await;
        assert_eq!(frame(&caller.payload().await.unwrap()), expected, "to {question:02x?}");
    }
}

#[actix_rt::test]
async fn successor_list_is_served_with_exactly_r_entries() {
    let peer = Plain::start(Setup { r: 32, ..Setup::default() });
    for r in [1, 2, 4, 32] {
        let node = start(through(peer.me(), Config { successors: r, ..calm() })).await;
        let round: Vec<Peer> = [node.me(), peer.me()].into_iter().cycle().take(r).collect();
        assert_eq!(ask(node.me().addr, "get_successor_list", &[]).await.nodes(), round);
    }
}

#[actix_rt::test]
async fn calls_spelt_without_underscores_are_answered() {
    let node = start(config()).await;
    let me = node.me();
    assert_eq!(ask(me.addr, "findsuccessor", &key(me.id)).await.node(), me);
    assert_eq!(ask(me.addr, "getpredecessor", &[]).await.node(), me);
    assert_eq!(ask(me.addr, "getsuccessorlist", &[]).await.nodes(), [me; 4]);
    assert!(ask(me.addr, "checkpredecessor", &[]).await.success);
}

#[actix_rt::test]
async fn call_that_makes_no_sense_is_refused_and_the_next_is_answered() {
    let node = start(config()).await;
    let me = node.me();
    let mut caller = Caller::connect(me.addr).await;
    let odd_node = |id: &[u8], address: &str, port| {
        let node = Message::default().bytes(1, id).bytes(2, address.as_bytes()).number(3, port).done();
        Message::default().bytes(1, &node).done()
    };
    for (name, args) in [
        ("shutdown", vec![]),
        ("", vec![]),
        ("Notify", notifier(nobody(on(me.id, 4)))),
        ("find_successor", vec![]),
        ("find_successor", Message::default().bytes(1, &[7; 19]).done()),
        ("find_successor", Message::default().bytes(1, &[7; 21]).done()),
        ("find_successor", Message::default().number(1, 7).done()),
        ("find_successor", vec![0xff; 9]),
        ("notify", vec![]),
        ("notify", odd_node(&[7; 19], "127.0.0.2", 80)),
        ("notify", odd_node(&[7; 20], "localhost", 80)),
        ("notify", odd_node(&[7; 20], "0.0.0.0", 80)),
        ("notify", odd_node(&[7; 20], "127.0.0.2", 0)),
        ("notify", odd_node(&[7; 20], "127.0.0.2", 65_536)),
        ("notify", Message::default().bytes(1, &plain::zero_node()).done()),
    ] {
        let refusal = caller.ask(name, &args).await;
        assert_eq!((refusal.success, &refusal.extensions[..]), (false, &[][..]), "{name} {args:02x?}");
        assert!(caller.ask("check_predecessor", &[]).await.success, "after {name} {args:02x?}");
    }
    assert_eq!(predecessor(&node).await, None);
}

#[actix_rt::test]
async fn call_without_arguments_is_answered() {
    let node = start(config()).await;
    for name in ["check_predecessor", "get_predecessor", "get_successor_list"] {
        let mut caller = Caller::connect(node.me().addr).await;
        caller.send(&frame(&Message::default().bytes(1, name.as_bytes()).done())).await;
        assert!(caller.reply().await.success, "{name}");
    }
    let mut caller = Caller::connect(node.me().addr).await;
    caller.send(&frame(&Message::default().bytes(1, b"find_successor").done())).await;
    assert!(!caller.reply().await.success);
}

#[actix_rt::test]
async fn call_in_single_bytes_is_answered() {
    let node = start(config()).await;
    let mut caller = Caller::connect(node.me().addr).await;
    for byte in call("get_predecessor", &[]) {
        caller.send(&[byte]).await;
        sleep(Duration::from_micros(200)).await;
    }
    assert_eq!(caller.reply().await.node(), node.me());
}

#[actix_rt::test]
async fn frame_that_lies_about_its_length_is_refused_and_the_connection_closed() {
    let log = Log::open();
    let node = start(config()).await;
    for length in [0, 7, 16 * 1024 + 1, 1 << 32, 1 << 63, u64::MAX] {
        for tail in [0, 60_000] {
            let mut caller = Caller::connect(node.me().addr).await;
            caller.send(&lying_frame(length, &vec![0x0a; tail])).await;
            assert!(!caller.reply().await.success, "{length}");
            caller.until_closed(LIMIT).await;
        }
    }
    assert!(log.says(&["WARN", "closing a connection", "frame length", "from=Accepted(127.0.0.1)"]), "{}", log.text());
    assert!(ask(node.me().addr, "check_predecessor", &[]).await.success);
}

#[actix_rt::test]
async fn frame_that_is_no_message_is_refused_and_the_connection_closed() {
    let log = Log::open();
    let node = start(config()).await;
    // Not protobuf; a name that is not text; a name longer than the frame; a field of number 0.
    let broken = [vec![0xff; 24], vec![0x0a, 0x02, 0xff, 0xff, 0x12, 0x00], vec![0x0a, 0x7f, b'x'], vec![0x00, 0x00]];
    for payload in broken {
        let mut caller = Caller::connect(node.me().addr).await;
        caller.send(&frame(&payload)).await;
        assert!(!caller.reply().await.success, "{payload:02x?}");
        caller.until_closed(LIMIT).await;
    }
    assert!(log.says(&["WARN", "closing a connection", "not a protobuf message"]), "{}", log.text());
    assert!(ask(node.me().addr, "check_predecessor", &[]).await.success);
}

/// A node whose lookups beyond a slow plain successor take long, and a key of such a lookup.
async fn node_before_a_slow_peer() -> (Node, Plain, Id) {
    let peer = Plain::start(Setup::default());
    let node = start(Config { id: Some(on(peer.me().id, 8)), ..through(peer.me(), idle()) }).await;
    let stable = async || peer.count("notify") > 0 && successors(&node).await == [peer.me()];
    eventually("a ring of two", stable).await;
    peer.believes(&[node.me()], Some(node.me()));
    peer.behaves_in("find_successor", Manner::After(Duration::from_millis(200)));
    let key = on(peer.me().id, 4);
    (node, peer, key)
}

#[actix_rt::test]
async fn plain_calls_in_one_write_are_answered_in_their_order() {
    let (node, peer, slow) = node_before_a_slow_peer().await;
    let mut caller = Caller::connect(node.me().addr).await;
    let find = call("find_successor", &key(slow));
    let calls = [find.clone(), call("check_predecessor", &[]), call("get_successor_list", &[]), find];
    caller.send(&calls.concat()).await;
    let sizes = [caller.reply().await, caller.reply().await, caller.reply().await, caller.reply().await];
    assert_eq!(sizes.map(|reply| reply.nodes().len()), [1, 0, 4, 1]);
    nobody_complains(&[&peer]);
}

#[actix_rt::test]
async fn nonsense_after_a_plain_call_is_answered_after_it() {
    let (node, _peer, slow) = node_before_a_slow_peer().await;
    let mut caller = Caller::connect(node.me().addr).await;
    caller.send(&[call("find_successor", &key(slow)), lying_frame(0, &[])].concat()).await;
    assert_eq!(caller.reply().await.node(), node.me());
    assert!(!caller.reply().await.success);
    caller.until_closed(LIMIT).await;
}

#[actix_rt::test]
async fn caller_that_closes_its_half_is_answered() {
    let (node, _peer, slow) = node_before_a_slow_peer().await;
    let mut caller = Caller::connect(node.me().addr).await;
    caller.send(&[call("find_successor", &key(slow)), call("check_predecessor", &[])].concat()).await;
    caller.close_half().await;
    assert_eq!(caller.reply().await.node(), node.me());
    assert!(caller.reply().await.success);
    caller.until_closed(LIMIT).await;
}

#[actix_rt::test]
async fn caller_that_closes_after_notify_without_reading_is_heard() {
    let log = Log::open();
    let peer = Plain::start(Setup::default());
    let node = start(idle()).await;
    let mut caller = Caller::connect(node.me().addr).await;
    caller.send(&call("notify", &notifier(peer.me()))).await;
    drop(caller);
    eventually("the notifier is the predecessor", async || predecessor(&node).await == Some(peer.me())).await;
    assert!(!log.says(&["WARN"]) && !log.says(&["ERROR"]), "{}", log.text());
}

#[actix_rt::test]
async fn plain_connection_is_closed_after_five_seconds_without_a_call() {
    let node = start(idle()).await;
    let about_five = |time: Duration| assert!((4.5..8.0).contains(&time.as_secs_f64()), "{time:?}");
    let idle_after = async |bytes: Vec<u8>, replies: usize| {
        let mut caller = Caller::connect(node.me().addr).await;
        caller.send(&bytes).await;
        for _ in 0..replies {
            caller.reply().await;
        }
        about_five(caller.until_closed(LIMIT).await);
    };
    let whole = call("check_predecessor", &[]);
    let used = async {
        let mut caller = Caller::connect(node.me().addr).await;
        for _ in 0..2 {
            assert!(caller.ask("check_predecessor", &[]).await.success);
            sleep(Duration::from_secs(3)).await;
        }
        assert!(caller.ask("check_predecessor", &[]).await.success, "in use for six seconds");
    };
    let idle = [
        idle_after(vec![], 0),
        idle_after(whole[..4].to_vec(), 0),
        idle_after(whole[..20].to_vec(), 0),
        idle_after([&whole[..], &whole[..4]].concat(), 1),
        idle_after(whole, 1),
    ];
    join(join_all(idle), used).await;
}

#[actix_rt::test]
async fn callers_that_stall_or_leave_early_keep_nobody_waiting() {
    let node = start(config()).await;
    let whole = call("get_predecessor", &[]);
    let mut stalled = Vec::new();
    for n in 0..150 {
        let mut caller = Caller::connect(node.me().addr).await;
        caller.send(&whole[..n % whole.len()]).await;
        stalled.push(caller);
        let mut early = Caller::connect(node.me().addr).await;
        early.send(&whole[..(7 * n) % (whole.len() + 1)]).await;
    }
    let begin = Instant::now();
    assert_eq!(ask(node.me().addr, "get_predecessor", &[]).await.node(), node.me());
    assert!(begin.elapsed() < Duration::from_secs(3));
    assert_eq!(predecessor(&node).await, None);
}

#[actix_rt::test]
async fn caller_that_never_reads_is_dropped() {
    use tokio::io::AsyncWriteExt;
    let node = start(Config { successors: 32, ..idle() }).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(node.me().addr.into()).await.unwrap();
    let calls = call("get_successor_list", &[]).repeat(100);
    let writing = async { while stream.write_all(&calls).await.is_ok() {} };
    // Five seconds of silence, and the time that it takes to fill the buffers before.
    tokio::time::timeout(2 * LIMIT, writing).await.expect("the node closes the connection");
    assert!(ask(node.me().addr, "check_predecessor", &[]).await.success);
}

#[actix_rt::test]
async fn node_that_is_still_joining_refuses_instead_of_keeping_silent() {
    let seed = Plain::start(Setup::default());
    seed.behaves(Manner::Stalls);
    let me = free_range_at(ELSEWHERE, 1);
    let config = Config { listen: me, join_timeout: LIMIT, ..through(seed.me(), config()) };
    let starting = actix_rt::spawn(start(config));
    eventually("the seed is called", async || !seed.connections().is_empty()).await;
    for (name, args) in [
        ("find_successor", key(seed.me().id)),
        ("notify", notifier(seed.me())),
        ("check_predecessor", vec![]),
        ("get_predecessor", vec![]),
        ("get_successor_list", vec![]),
    ] {
        assert!(!ask(me, name, &args).await.success, "{name}");
    }
    seed.behaves(Manner::Well);
    let node = starting.await.unwrap();
    assert_eq!(successors(&node).await, [seed.me()]);
    assert_eq!(ask(me, "get_predecessor", &[]).await.node(), node.me());
}

#[actix_rt::test]
async fn node_can_be_started_again_on_its_port() {
    let first = start(Config { listen: Addr::new(ELSEWHERE, 0), ..idle() }).await;
    let port = first.me().addr.port();
    let mut caller = Caller::connect(first.me().addr).await;
    assert!(caller.ask("check_predecessor", &[]).await.success);
    first.stop().await;
    // The node's end closes first, and leaves the address in TIME_WAIT.
    caller.until_closed(LIMIT).await;
    drop(caller);
    let refused = async || tokio::net::TcpStream::connect(first.me().addr.socket()).await.is_err();
    eventually("no program listens any more", refused).await;
    let second = start(Config { listen: Addr::new(ELSEWHERE, port), ..idle() }).await;
    assert!(ask(second.me().addr, "check_predecessor", &[]).await.success);
}

#[actix_rt::test]
async fn plain_caller_is_answered_without_extensions() {
    let (node, peer, _) = node_before_a_slow_peer().await;
    for (name, args) in [
        ("find_successor", key(node.me().id)),
        ("notify", notifier(peer.me())),
        ("check_predecessor", vec![]),
        ("get_successor_list", vec![]),
        ("get_predecessor", vec![]),
    ] {
        let reply = ask(node.me().addr, name, &args).await;
        assert!(reply.success);
        assert_eq!(reply.extensions, [0; 0], "{name}");
    }
}

// ---- Plain members ----

#[actix_rt::test]
async fn node_joins_a_ring_through_a_plain_seed() {
    for dialect in DIALECTS {
        let seed = Plain::alive(Setup { dialect, ..Setup::default() });
        let node = start(through(seed.me(), calm())).await;
        becomes_ideal(&[&node], &[&seed]).await;
        lookups_are_right(&[&node], &[&seed]).await;
        nobody_complains(&[&seed]);
    }
}

#[actix_rt::test]
async fn node_joins_a_ring_of_three_plain_peers() {
    let log = Log::open();
    for dialect in DIALECTS {
        let peers = [(); 3].map(|()| Plain::alive(Setup { dialect, ..Setup::default() }));
        peers[1].joins(peers[0].me().addr);
        peers[2].joins(peers[0].me().addr);
        let all: Vec<&Plain> = peers.iter().collect();
        if dialect == Dialect::Others {
            becomes_ideal(&[], &all).await;
        }
        let node = start(through(peers[1].me(), calm())).await;
        becomes_ideal(&[&node], &all).await;
        lookups_are_right(&[&node], &all).await;
        nobody_complains(&all);
    }
    assert!(!log.says(&["WARN"]), "{}", log.text());
}

#[actix_rt::test]
async fn plain_peer_joins_through_our_node() {
    for dialect in DIALECTS {
        let node = start(calm()).await;
        let peer = Plain::start(Setup { dialect, ..Setup::default() });
        peer.joins(node.me().addr);
        becomes_ideal(&[&node], &[&peer]).await;
        lookups_are_right(&[&node], &[&peer]).await;
        nobody_complains(&[&peer]);
    }
}

#[actix_rt::test]
async fn two_of_our_nodes_and_a_plain_peer_become_an_ideal_ring_and_stay_it() {
    let log = Log::open();
    let rings = DIALECTS.map(async |dialect| {
        let first = start(calm()).await;
        let peer = Plain::start(Setup { dialect, ..Setup::default() });
        peer.joins(first.me().addr);
        let second = start(through(peer.me(), calm())).await;
        becomes_ideal(&[&first, &second], &[&peer]).await;
        lookups_are_right(&[&first, &second], &[&peer]).await;
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(1500) {
            assert_eq!(flaws(&[&first, &second], &[&peer]).await, [""; 0]);
            sleep(Duration::from_millis(10)).await;
        }
        lookups_are_right(&[&first, &second], &[&peer]).await;
        nobody_complains(&[&peer]);
    });
    join_all(rings).await;
    assert!(!log.says(&["WARN"]), "{}", log.text());
}

#[actix_rt::test]
async fn plain_peer_joins_a_ring_of_two_of_our_nodes() {
    let rings = DIALECTS.map(async |dialect| {
        let first = start(calm()).await;
        let second = start(through(first.me(), calm())).await;
        becomes_ideal(&[&first, &second], &[]).await;
        let peer = Plain::start(Setup { dialect, ..Setup::default() });
        peer.joins(first.me().addr);
        becomes_ideal(&[&first, &second], &[&peer]).await;
        lookups_are_right(&[&first, &second], &[&peer]).await;
        nobody_complains(&[&peer]);
    });
    join_all(rings).await;
}

#[actix_rt::test]
async fn iterative_lookups_have_plain_peers_pass_them_on() {
    let iterative = || Config { lookup_style: Style::Iterative, ..calm() };
    let rings = DIALECTS.map(async |dialect| {
        let first = start(iterative()).await;
        let peer = Plain::start(Setup { dialect, ..Setup::default() });
        peer.joins(first.me().addr);
        let second = start(through(peer.me(), iterative())).await;
        becomes_ideal(&[&first, &second], &[&peer]).await;
        lookups_are_right(&[&first, &second], &[&peer]).await;
        nobody_complains(&[&peer]);
    });
    join_all(rings).await;
}

#[actix_rt::test]
async fn iterative_lookups_of_a_ring_of_our_own_are_right() {
    let first = start(Config { lookup_style: Style::Iterative, ..calm() }).await;
    let mut ring = vec![first.clone()];
    for _ in 0..6 {
        ring.push(start(Config { lookup_style: Style::Iterative, ..through(first.me(), calm()) }).await);
    }
    let ring: Vec<&Node> = ring.iter().collect();
    becomes_ideal(&ring, &[]).await;
    lookups_are_right(&ring, &[]).await;
    let mut paths = BTreeSet::new();
    for n in 0..16 {
        let found = first.trace(on(first.me().id, n)).await.unwrap();
        assert!(found.path.iter().all(|hop| ring.iter().any(|node| node.me() == hop.node)), "{found:?}");
        paths.insert(found.path.len());
    }
    assert!(paths.iter().any(|hops| *hops >= 1), "{paths:?}");
}

/// Two of our nodes join a plain peer that was alone, at once.
async fn crowd_around_a_lonely_peer(dialect: Dialect) {
    let peer = Plain::alive(Setup { dialect, ..Setup::default() });
    let (first, second) = join(start(through(peer.me(), calm())), start(through(peer.me(), calm()))).await;
    becomes_ideal(&[&first, &second], &[&peer]).await;
    lookups_are_right(&[&first, &second], &[&peer]).await;
    nobody_complains(&[&peer]);
}

#[actix_rt::test]
async fn plain_ring_of_one_can_be_joined_by_two_at_once() {
    crowd_around_a_lonely_peer(Dialect::Others).await;
}

#[actix_rt::test]
async fn plain_ring_of_one_that_puts_itself_first_can_be_joined_by_two_at_once() {
    crowd_around_a_lonely_peer(Dialect::ItselfFirst).await;
}

#[actix_rt::test]
async fn peer_that_never_tells_its_list_holds_up_no_joiner_for_long() {
    for manner in [Manner::Stalls, Manner::refuses()] {
        let node = start(config()).await;
        let me = node.me();
        let peer = Plain::start(Setup { id: Some(on(me.id, 8)), ..Setup::default() });
        peer.behaves_in("get_successor_list", manner.clone());
        let (it, addr) = (peer.me(), me.addr);
        let notifying = actix_rt::spawn(async move {
            loop {
                ask(addr, "notify", &notifier(it)).await;
                sleep(Duration::from_millis(50)).await;
            }
        });
        eventually("it has come before the node", async || predecessor(&node).await == Some(it)).await;
        let patient = Config { join_timeout: 2 * LIMIT, ..config() };
        let joiner = |sixteenths| Config { id: Some(on(me.id, sixteenths)), ..through(me, patient.clone()) };
        for joiner in join_all([start(joiner(4)), start(joiner(12))]).await {
            assert_ne!(successors(&joiner).await, [], "{manner:?}");
        }
        notifying.abort();
    }
}

#[actix_rt::test]
async fn every_form_of_no_predecessor_is_understood() {
    let log = Log::open();
    for nobody in Nobody::ALL {
        let seed = Plain::start(Setup { nobody, ..Setup::default() });
        seed.believes(&[], None);
        let node = start(through(seed.me(), config())).await;
        rounds(&seed, 3).await;
        assert_eq!(successors(&node).await, [seed.me()], "{nobody:?}");
        assert_eq!(predecessor(&node).await, None, "{nobody:?}");

        let peer = Plain::alive(Setup { nobody, ..Setup::default() });
        let node = start(through(peer.me(), calm())).await;
        becomes_ideal(&[&node], &[&peer]).await;
        lookups_are_right(&[&node], &[&peer]).await;
        nobody_complains(&[&seed, &peer]);
    }
    assert!(!log.says(&["WARN"]), "{}", log.text());
}

#[actix_rt::test]
async fn list_begins_with_ourselves_while_that_of_our_plain_predecessor_begins_with_itself() {
    let node = start(Config { check_predecessor: Duration::from_millis(50), ..idle() }).await;
    let me = node.me();
    let peer = Plain::start(Setup { dialect: Dialect::ItselfFirst, id: Some(on(me.id, 8)), ..Setup::default() });
    peer.believes(&[me], Some(me));
    let list = async || ask(me.addr, "get_successor_list", &[]).await.nodes();
    assert!(ask(me.addr, "notify", &notifier(peer.me())).await.success);
    let (ours, theirs) = ([me, peer.me(), me, peer.me()], [peer.me(), me, peer.me(), me]);
    eventually("itself first", async || list().await == ours).await;
    // A round that is still under way would notice the change of the list.
    eventually("both rounds of the change are over", async || peer.count("notify") == 2).await;

    // Nodes of our own kind are served as before.
    let mut caller = Caller::connect(me.addr).await;
    let numbered = Message::default().bytes(1, b"get_successor_list").bytes(2, &[]).number(15, 7).done();
    caller.send(&frame(&numbered)).await;
    assert_eq!(caller.reply().await.nodes(), theirs);

    // A list that names only its owner shows no dialect, not even the other one.
    peer.believes(&[], Some(me));
    let checks = peer.count("get_successor_list");
    eventually("more checks", async || peer.count("get_successor_list") > checks + 2).await;
    assert_eq!(list().await, ours);
    nobody_complains(&[&peer]);
}

#[actix_rt::test]
async fn list_does_not_begin_with_ourselves_for_other_plain_predecessors() {
    let node = start(Config { check_predecessor: Duration::from_millis(50), ..idle() }).await;
    let me = node.me();
    let peer = Plain::start(Setup::default());
    peer.believes(&[me], Some(me));
    assert!(ask(me.addr, "notify", &notifier(peer.me())).await.success);
    eventually("its list is fetched", async || peer.count("get_successor_list") > 5).await;
    assert_eq!(ask(me.addr, "get_successor_list", &[]).await.nodes(), [peer.me(), me, peer.me(), me]);
}

#[actix_rt::test]
async fn list_begins_with_ourselves_again_when_the_plain_predecessor_has_died() {
    let node = start(Config { check_predecessor: Duration::from_millis(50), ..idle() }).await;
    let me = node.me();
    let other = start(Config { id: Some(on(me.id, 4)), ..through(me, idle()) }).await;
    let peer = Plain::start(Setup { id: Some(on(me.id, 8)), ..Setup::default() });
    peer.believes(&[me, other.me()], Some(other.me()));
    let list = async || ask(me.addr, "get_successor_list", &[]).await.nodes();
    assert!(ask(me.addr, "notify", &notifier(peer.me())).await.success);
    // The other node is told, in whichever order the two notify.
    eventually("the form that it has shown", async || list().await[..2] == [other.me(), peer.me()]).await;
    peer.dies();
    eventually("it is missed", async || predecessor(&node).await != Some(peer.me())).await;
    assert_eq!(list().await[..2], [me, other.me()]);
}

#[actix_rt::test]
async fn key_that_equals_an_identifier_is_named_after_a_ping() {
    let first = Plain::start(Setup::default());
    let second = Plain::start(Setup { id: Some(on(first.me().id, 4)), ..Setup::default() });
    first.believes(&[second.me()], None);
    // The seed need not know the ring: only its answer about this joiner matters.
    let found = Message::default().bytes(1, &plain::node(first.me())).done();
    first.behaves_in("find_successor", Manner::Says(plain::answer(Some(&found))));
    let node = start(Config { id: Some(on(first.me().id, 12)), ..through(first.me(), idle()) }).await;
    eventually("both are known", async || successors(&node).await == [first.me(), second.me()]).await;
    let find = async |id: Id| ask(node.me().addr, "find_successor", &key(id)).await;

    let pings = first.count("check_predecessor");
    assert_eq!(find(on(first.me().id, 15)).await.node(), first.me());
    assert_eq!(first.count("check_predecessor"), pings, "a key before its identifier");
    assert_eq!(find(first.me().id).await.node(), first.me());
    assert_eq!(first.count("check_predecessor"), pings + 1, "its identifier");

    // A member that has died and is about to join again asks for its own identifier: it must not
    // be named, or it would stay a ring of one for ever.
    first.dies();
    assert_eq!(find(first.me().id).await.node(), second.me());
    second.dies();
    let reply = find(second.me().id).await;
    assert!(!reply.success || reply.node() == node.me(), "{reply:?}");
}

#[actix_rt::test]
async fn notifier_that_does_not_answer_is_no_predecessor() {
    let node = start(config()).await;
    let me = node.me();
    let stalling = Plain::start(Setup { id: Some(on(me.id, 14)), ..Setup::default() });
    stalling.behaves(Manner::Stalls);
    let sound = Plain::start(Setup { id: Some(on(me.id, 8)), ..Setup::default() });
    for notifying in [nobody(on(me.id, 15)), stalling.me(), sound.me()] {
        assert!(ask(me.addr, "notify", &notifier(notifying)).await.success);
    }
    eventually("the sound one is taken", async || {
        let predecessor = predecessor(&node).await;
        assert!(predecessor.is_none_or(|peer| peer == sound.me()), "{predecessor:?}");
        predecessor.is_some()
    })
    .await;
    nobody_complains(&[&stalling, &sound]);
}

#[actix_rt::test]
async fn node_answers_while_it_waits_for_an_answer() {
    let peer = Plain::alive(Setup::default());
    let node = start(through(peer.me(), calm())).await;
    becomes_ideal(&[&node], &[&peer]).await;
    for name in ["get_predecessor", "get_successor_list", "check_predecessor", "notify", "find_successor"] {
        peer.behaves_in(name, Manner::CallsBackFirst(node.me().addr));
    }
    rounds(&peer, 5).await;
    lookups_are_right(&[&node], &[&peer]).await;
    assert_eq!(flaws(&[&node], &[&peer]).await, [""; 0]);
    nobody_complains(&[&peer]);
}

#[actix_rt::test]
async fn calls_of_our_own_are_never_sent_to_plain_peers() {
    // If nudges went to plain peers, a predecessor that is replaced would get one.
    let node = start(config()).await;
    let me = node.me();
    let [far, near] = [8, 12].map(|place| Plain::start(Setup { id: Some(on(me.id, place)), ..Setup::default() }));
    for peer in [&far, &near] {
        peer.believes(&[me], None);
        assert!(ask(me.addr, "notify", &notifier(peer.me())).await.success);
        eventually("it is taken", async || predecessor(&node).await == Some(peer.me())).await;
    }
    rounds(&far, 2).await;
    // If news of a leave went to plain peers, the neighbours would get it.
    assert_eq!((successors(&node).await, predecessor(&node).await), (vec![far.me()], Some(near.me())));
    node.leave().await;

    // If invitations went to plain peers, a member that is found alone would get one.
    let peer = Plain::alive(Setup::default());
    let first = start(Config { id: Some(on(peer.me().id, 12)), ..through(peer.me(), calm()) }).await;
    let second = start(Config { id: Some(on(peer.me().id, 4)), ..through(peer.me(), calm()) }).await;
    becomes_ideal(&[&first, &second], &[&peer]).await;
    nobody_complains(&[&far, &near, &peer]);
    let peer = peer.starts_again();
    let asked = async || {
        let calls = peer.calls("find_successor");
        let found = calls.iter().any(|call| call.args == key(first.me().id)) && peer.count("get_predecessor") > 0;
        found && successors(&first).await == [second.me()]
    };
    eventually("the lost member is dropped, and asked for the ring", asked).await;

    // The plain peer itself has to come back.
    peer.joins(second.me().addr);
    becomes_ideal(&[&first, &second], &[&peer]).await;
    nobody_complains(&[&peer]);
}

#[actix_rt::test]
async fn plain_peer_that_dies_is_dropped_and_joins_again() {
    let first = start(calm()).await;
    let second = start(through(first.me(), calm())).await;
    let peer = Plain::start(Setup::default());
    peer.joins(first.me().addr);
    becomes_ideal(&[&first, &second], &[&peer]).await;
    nobody_complains(&[&peer]);
    peer.dies();
    becomes_ideal(&[&first, &second], &[]).await;
    lookups_are_right(&[&first, &second], &[]).await;
    let peer = peer.starts_again();
    peer.joins(second.me().addr);
    becomes_ideal(&[&first, &second], &[&peer]).await;
    lookups_are_right(&[&first, &second], &[&peer]).await;
    nobody_complains(&[&peer]);
}

#[actix_rt::test]
async fn peer_that_serves_one_connection_at_a_time_is_never_blocked() {
    let rings = DIALECTS.map(async |dialect| {
        let first = start(calm()).await;
        let peer = Plain::start(Setup { dialect, one_at_a_time: true, ..Setup::default() });
        peer.joins(first.me().addr);
        let second = start(through(peer.me(), calm())).await;
        becomes_ideal(&[&first, &second], &[&peer]).await;
        lookups_are_right(&[&first, &second], &[&peer]).await;
        rounds(&peer, 20).await;
        assert_eq!(flaws(&[&first, &second], &[&peer]).await, [""; 0]);
        nobody_complains(&[&peer]);
    });
    join_all(rings).await;
}

// ---- Broken members ----

/// Ways to break a connection, and the words of the log about each.
fn breakages() -> Vec<(Manner, Option<&'static str>)> {
    vec![
        (Manner::Stalls, None),
        (Manner::ClosesAtOnce, None),
        (Manner::ClosesOnTheCall, None),
        (Manner::breaks_off(), Some("a connection broke")),
        (Manner::garbles(), Some("not a protobuf message")),
        (Manner::lies(0), Some("frame length")),
        (Manner::lies(7), Some("frame length")),
        (Manner::lies(1 << 63), Some("frame length")),
    ]
}

/// Answers without meaning, and the words of the log about each.
fn empty_words() -> Vec<(Manner, Option<&'static str>)> {
    let names = |node: Vec<u8>| Manner::Says(plain::answer(Some(&Message::default().bytes(1, &node).done())));
    let odd = Message::default().bytes(1, &[7; 19]).bytes(2, b"127.0.0.2").number(3, 80).done();
    vec![
        (Manner::refuses(), None),
        (Manner::garbles_the_value(), Some("a reply that can't be understood")),
        (Manner::Says(plain::answer(None)), Some("a reply that can't be understood")),
        (Manner::Says(plain::answer(Some(&[]))), Some("a reply that can't be understood")),
        (names(plain::zero_node()), Some("a reply that can't be understood")),
        (names(odd), Some("a reply that can't be understood")),
    ]
}

#[actix_rt::test]
async fn broken_seed_is_no_answer() {
    let log = Log::open();
    let limit = Duration::from_millis(500);
    let attempts = breakages().into_iter().chain(empty_words()).map(async |(manner, word)| {
        let seed = Plain::start(Setup::default());
        seed.behaves(manner.clone());
        let begin = Instant::now();
        let started = Node::start_sharing(
            Config { join_timeout: limit, ..through(seed.me(), config()) },
            ConnectionPool::default(),
        )
        .await;
        assert!(begin.elapsed() >= limit, "{manner:?}");
        assert!(begin.elapsed() < LIMIT, "{manner:?}");
        match started {
            Err(StartError::NoAnswer(seeds)) => assert_eq!(seeds, vec![seed.me().addr.into()], "{manner:?}"),
            Err(other) => panic!("{manner:?}: {other}"),
            Ok(_) => panic!("{manner:?}: joined nothing"),
        }
        if let Some(word) = word {
            assert!(log.says(&[word, &seed.me().addr.to_string()]), "{manner:?}: {}", log.text());
        }
        assert_eq!(seed.complaints(), [""; 0], "{manner:?}");
    });
    join_all(attempts).await;
}

#[actix_rt::test]
async fn seed_that_breaks_half_way_is_no_answer() {
    let limit = Duration::from_millis(500);
    let attempts = breakages().into_iter().map(async |(manner, _)| {
        let seed = Plain::start(Setup::default());
        seed.behaves_in("get_successor_list", manner.clone());
        let starting = Node::start_sharing(
            Config { join_timeout: limit, ..through(seed.me(), config()) },
            ConnectionPool::default(),
        );
        let started = tokio::time::timeout(LIMIT, starting).await;
        assert!(matches!(started, Ok(Err(StartError::NoAnswer(_)))), "{manner:?}: {:?}", started.map(|_| ()));
    });
    join_all(attempts).await;
}

#[actix_rt::test]
async fn seed_that_recovers_is_joined_through() {
    let attempts = breakages().into_iter().chain(empty_words()).map(async |(manner, _)| {
        let seed = Plain::start(Setup::default());
        seed.behaves(manner.clone());
        let starting = start(Config { join_timeout: LIMIT, ..through(seed.me(), config()) });
        let recovering = async {
            eventually("it is called twice", async || seed.connections().len() >= 2).await;
            seed.behaves(Manner::Well);
        };
        let (node, ()) = join(starting, recovering).await;
        assert_eq!(successors(&node).await, [seed.me()], "{manner:?}");
        assert_eq!(seed.complaints(), [""; 0], "{manner:?}");
    });
    join_all(attempts).await;
}

#[actix_rt::test]
async fn member_that_breaks_is_dropped_and_taken_again_when_it_recovers() {
    let log = Log::open();
    let pace = Duration::from_millis(100);
    let paced = Config { stabilize: pace, check_predecessor: pace, fix_fingers: pace, ..calm() };
    let rings = breakages().into_iter().map(async |(manner, word)| {
        let peer = Plain::alive(Setup::default());
        let first = start(through(peer.me(), paced.clone())).await;
        let second = start(through(peer.me(), paced.clone())).await;
        becomes_ideal(&[&first, &second], &[&peer]).await;
        peer.behaves(manner.clone());
        becomes_ideal(&[&first, &second], &[]).await;
        lookups_are_right(&[&first, &second], &[]).await;
        if let Some(word) = word {
            assert!(log.says(&[word, &peer.me().addr.to_string()]), "{manner:?}: {}", log.text());
        }
        peer.behaves(Manner::Well);
        // Calls made before this may still time out, and then their callers find it dead once more; later calls do not.
        let before = peer.connections().len();
        let over = async || peer.connections()[..before].iter().all(|connection| connection.ended.is_some());
        eventually("all calls from before have ended", over).await;
        becomes_ideal(&[&first, &second], &[&peer]).await;
        lookups_are_right(&[&first, &second], &[&peer]).await;
        nobody_complains(&[&peer]);
    });
    join_all(rings).await;
}

#[actix_rt::test]
async fn member_that_answers_without_meaning_keeps_its_place_and_confuses_nobody() {
    let log = Log::open();
    let rings = empty_words().into_iter().map(async |(manner, word)| {
        let peer = Plain::alive(Setup::default());
        let first = start(Config { id: Some(on(peer.me().id, 12)), ..through(peer.me(), calm()) }).await;
        let second = start(Config { id: Some(on(peer.me().id, 4)), ..through(peer.me(), calm()) }).await;
        becomes_ideal(&[&first, &second], &[&peer]).await;
        peer.behaves_in("find_successor", manner.clone());
        peer.behaves_in("get_predecessor", manner.clone());
        rounds(&peer, 3).await;
        assert_eq!(flaws(&[&first, &second], &[&peer]).await, [""; 0]);
        // Keys beyond it: the lookup finds their owner, or says that there is no answer.
        let beyond = first.lookup_id(second.me().id).await;
        assert!(matches!(beyond, Err(LookupError::Failed(_))) || beyond == Ok(second.me()), "{manner:?}: {beyond:?}");
        assert_eq!(first.lookup_id(on(peer.me().id, 14)).await, Ok(peer.me()), "{manner:?}");
        if let Some(word) = word {
            assert!(log.says(&[word, &peer.me().addr.to_string()]), "{manner:?}: {}", log.text());
        }
        peer.behaves(Manner::Well);
        becomes_ideal(&[&first, &second], &[&peer]).await;
        lookups_are_right(&[&first, &second], &[&peer]).await;
        nobody_complains(&[&peer]);
    });
    join_all(rings).await;
}

#[actix_rt::test]
async fn member_that_answers_in_single_bytes_is_as_good_as_any() {
    let peer = Plain::alive(Setup::default());
    peer.behaves(Manner::InSingleBytes);
    let first = start(through(peer.me(), calm())).await;
    let second = start(through(peer.me(), calm())).await;
    becomes_ideal(&[&first, &second], &[&peer]).await;
    lookups_are_right(&[&first, &second], &[&peer]).await;
    nobody_complains(&[&peer]);
}

#[actix_rt::test]
async fn nonsense_of_a_plain_peer_is_not_answered() {
    let seed = Plain::start(Setup::default());
    seed.behaves(Manner::garbles());
    let _ = Node::start_sharing(
        Config { join_timeout: Duration::ZERO, ..through(seed.me(), config()) },
        ConnectionPool::default(),
    )
    .await;
    let answered = async || seed.connections().iter().all(|connection| connection.ended.is_some());
    eventually("all connections are closed", answered).await;
    for connection in seed.connections() {
        assert_eq!(connection.rest(), [0; 0], "after {:?}", connection.call());
    }
}

#[actix_rt::test]
async fn log_says_who_was_found_dead() {
    let log = Log::open();
    let peer = Plain::alive(Setup::default());
    let first = start(through(peer.me(), config())).await;
    let second = start(through(peer.me(), config())).await;
    becomes_ideal(&[&first, &second], &[&peer]).await;
    peer.dies();
    becomes_ideal(&[&first, &second], &[]).await;
    assert!(log.says(&[&peer.me().addr.to_string()]), "{}", log.text());
}

#[actix_rt::test]
async fn log_says_why_a_plain_connection_was_closed() {
    let log = Log::open();
    let node = start(idle()).await;
    let mut caller = Caller::connect(node.me().addr).await;
    caller.send(&call("check_predecessor", &[])[..20]).await;
    caller.until_closed(LIMIT).await;
    assert!(log.says(&["clos", "Accepted(127.0.0.1)"]), "{}", log.text());
}

/// A peer whose server hangs while its client runs: its requests arrive, but calls to it get no answer.
#[actix_rt::test]
async fn notifier_that_never_answers_does_not_keep_others_from_being_heard() {
    let node = start(config()).await;
    let me = node.me();
    let [sound, hung] = [8, 14].map(|place| Plain::start(Setup { id: Some(on(me.id, place)), ..Setup::default() }));
    sound.believes(&[me], None);
    hung.behaves(Manner::Stalls);
    eventually("the sound one is taken", async || {
        for peer in [&hung, &sound] {
            assert!(ask(me.addr, "notify", &notifier(peer.me())).await.success);
        }
        predecessor(&node).await == Some(sound.me())
    })
    .await;
}

#[actix_rt::test]
async fn connection_on_which_a_plain_peer_stays_silent_is_closed() {
    let peer = Plain::start(Setup::default());
    let node = start(Config { id: Some(on(peer.me().id, 8)), ..through(peer.me(), idle()) }).await;
    peer.behaves_in("find_successor", Manner::Stalls);
    let waiting = async |peer: &Plain| {
        peer.connections().iter().any(|connection| {
            connection.call().is_some_and(|call| call.name == "find_successor") && connection.ended.is_none()
        })
    };
    let (owner, ()) = join(node.lookup_id(on(peer.me().id, 1)), async {
        eventually("the question", async || waiting(&peer).await).await;
    })
    .await;
    assert!(owner.is_err(), "{owner:?}");
    eventually("its connection is closed", async || !waiting(&peer).await).await;
}

#[actix_rt::test]
async fn notifications_that_are_never_answered_do_not_pile_up() {
    let peer = Plain::alive(Setup::default());
    let node = start(through(peer.me(), calm())).await;
    becomes_ideal(&[&node], &[&peer]).await;
    peer.behaves_in("notify", Manner::Stalls);
    rounds(&peer, 3).await;
    let first = peer.connections().into_iter().position(|connection| {
        connection.ended.is_none() && connection.call().is_some_and(|call| call.name == "notify")
    });
    let first = first.expect("a notification that waits for its answer");
    eventually("its connection is closed", async || peer.connections()[first].ended.is_some()).await;
    assert_eq!(flaws(&[&node], &[&peer]).await, [""; 0]);
}

// ---- Telling plain peers from our own ----

#[actix_rt::test]
async fn one_call_at_most_is_in_flight_until_the_peer_is_known() {
    let patient = Config { rpc_timeout: Duration::from_secs(4), lookup_timeout: Duration::from_secs(8), ..idle() };
    let seed = Plain::start(Setup::default());
    let peer = Plain::start(Setup { id: Some(on(seed.me().id, 4)), ..Setup::default() });
    let found = Message::default().bytes(1, &plain::node(seed.me())).done();
    seed.behaves_in("find_successor", Manner::Says(plain::answer(Some(&found))));
    seed.believes(&[peer.me()], None);
    peer.believes(&[seed.me()], None);
    peer.behaves(Manner::After(Duration::from_millis(300)));
    let node = start(Config { id: Some(on(seed.me().id, 12)), ..through(seed.me(), patient) }).await;
    // Keys beyond the peer, of which only the address is known.
    let lookups = (0..6).map(|n| node.lookup_id(on(peer.me().id, 1 + n)));
    for owner in join_all(lookups).await {
        assert_eq!(owner, Ok(seed.me()));
    }
    let connections = peer.connections();
    assert!(connections.len() >= 6, "{connections:#?}");
    let known = connections[0].answered.expect("an answer");
    assert!(connections[1..].iter().all(|connection| connection.since >= known), "{connections:#?}");
    nobody_complains(&[&seed, &peer]);
}

#[actix_rt::test]
async fn many_lookups_at_once_are_one_connection_each() {
    let (node, peer, slow) = node_before_a_slow_peer().await;
    let before = peer.count("find_successor");
    let owners = join_all((0..50).map(|_| node.lookup_id(slow))).await;
    assert!(owners.iter().all(|owner| *owner == Ok(node.me())), "{owners:?}");
    let calls = peer.calls("find_successor").split_off(before);
    assert!(calls.len() >= 50 && calls.iter().all(|call| call.extensions.is_empty()), "{calls:?}");
    nobody_complains(&[&peer]);
}

#[actix_rt::test]
async fn rounds_carry_no_extensions_once_a_peer_is_known_as_plain() {
    let peer = Plain::alive(Setup::default());
    let node = start(through(peer.me(), calm())).await;
    assert!(peer.connections()[0].call().unwrap().extensions.contains(&15), "the first call tries them");
    becomes_ideal(&[&node], &[&peer]).await;
    let since = Instant::now();
    rounds(&peer, 3).await;
    let later = peer.connections().into_iter().filter(|connection| connection.since > since);
    let calls: Vec<plain::Call> = later.filter_map(|connection| connection.call()).collect();
    for name in ["get_predecessor", "get_successor_list", "notify"] {
        let mut named = calls.iter().filter(|call| call.name == name).peekable();
        assert!(named.peek().is_some(), "{name}");
        assert!(named.all(|call| call.extensions.is_empty()), "{calls:?}");
    }
}

#[actix_rt::test]
async fn probe_carries_no_extensions_once_a_peer_is_known_as_plain() {
    let peer = Plain::start(Setup::default());
    peer.believes(&[], None);
    let node = start(through(peer.me(), idle())).await;
    eventually("it is known", async || peer.count("notify") > 0).await;
    assert_eq!(peer.count("check_predecessor"), 0);
    assert!(ask(node.me().addr, "notify", &notifier(peer.me())).await.success);
    eventually("it is probed", async || peer.count("check_predecessor") > 0).await;
    assert_eq!(peer.calls("check_predecessor")[0].extensions, [0; 0]);
}

#[actix_rt::test]
async fn joiner_asks_a_plain_successor_for_its_list_without_extensions() {
    let peer = Plain::start(Setup::default());
    let _node = start(through(peer.me(), idle())).await;
    let calls: Vec<plain::Call> = peer.connections().iter().filter_map(|connection| connection.call()).collect();
    assert_eq!(calls[0].name, "find_successor");
    assert_eq!(calls[1].name, "get_successor_list");
    assert_eq!(calls[1].extensions, [0; 0]);
}

#[actix_rt::test]
async fn trace_asks_a_plain_peer_without_extensions() {
    let (node, peer, slow) = node_before_a_slow_peer().await;
    let before = peer.count("find_successor");
    let found = node.trace(slow).await.unwrap();
    assert_eq!(found.owner, node.me());
    assert_eq!(peer.calls("find_successor")[before].extensions, [0; 0]);
}

#[actix_rt::test]
async fn peer_is_taken_for_plain_only_for_a_while() {
    let peer = Plain::start(Setup::default());
    peer.believes(&[], None);
    // A round falls due in each of the two waits below.
    let config = Config { stabilize: Duration::from_secs(20), ..idle() };
    let _node = start(through(peer.me(), config)).await;
    eventually("it has settled", async || peer.count("notify") > 0 && peer.open() == 0).await;
    let passes = async |time: Duration| {
        tokio::time::pause();
        tokio::time::advance(time).await;
        tokio::time::resume();
    };
    let extended_since = |before: usize| {
        let connections = peer.connections().split_off(before);
        let calls = connections.iter().filter_map(|connection| connection.call());
        calls.map(|call| call.extensions.contains(&15)).collect::<Vec<bool>>()
    };

    let before = peer.connections().len();
    passes(Duration::from_secs(30)).await;
    eventually("another call", async || !extended_since(before).is_empty() && peer.open() == 0).await;
    assert!(!extended_since(before).contains(&true), "still known to be plain");

    let before = peer.connections().len();
    passes(Duration::from_secs(100)).await;
    eventually("the extensions are tried again", async || extended_since(before).contains(&true)).await;
    eventually("another call", async || extended_since(before).last() == Some(&false) && peer.open() == 0).await;
    assert_eq!(extended_since(before).iter().filter(|extended| **extended).count(), 1);
    nobody_complains(&[&peer]);
}
