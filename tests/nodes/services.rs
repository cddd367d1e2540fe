//! Calls of applications between nodes.

use std::collections::HashSet;
use std::future::pending;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chord::net::transport::{Switchboard, Transport};
use chord::node::report::{FRESH, Report, SERVICE};
use chord::wire::MAX_BODY;
use chord::{CallError, Config, Node, Peer, Refusal, ServeError, ServiceCall};
use futures::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::embedding::settle;
use crate::support::plain::{Message, Plain, Setup, frame};

/// A condition must hold within this time even on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// Timeouts longer than any test: a call that ends earlier has another reason.
fn alone() -> Config {
    Config { call_timeout: 3 * LIMIT, ..Config::new(Ipv4Addr::LOCALHOST) }
}

fn through(seed: &Node) -> Config {
    Config { seeds: vec![seed.me().addr.into()], ..alone() }
}

/// A ring of two; the second node offers a service that reverses bodies.
async fn two() -> (Node, Node) {
    let first = Node::start(alone()).await.unwrap();
    let second = Node::start(through(&first)).await.unwrap();
    settle(&first, &second).await;
    second.serve("reverse", |call: ServiceCall| async move { Ok(call.body.iter().rev().copied().collect()) }).unwrap();
    (first, second)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn service_of_another_node_answers_as_large_bodies_as_may_be() {
    let (first, second) = two().await;
    assert_eq!(first.call(second.me(), "reverse", "abc").await, Ok(Bytes::from("cba")));
    let body: Bytes = (0..MAX_BODY).map(|n| n as u8).collect();
    let back: Bytes = body.iter().rev().copied().collect();
    let all = join_all((0..8).map(|_| first.call(second.me(), "reverse", body.clone()))).await;
    assert!(all.into_iter().all(|answer| answer.as_ref() == Ok(&back)));
    assert_eq!((first.traffic().called, second.traffic().served), (9, 9));
    let large = vec![0; MAX_BODY + 1];
    assert_eq!(first.call(second.me(), "reverse", large).await, Err(CallError::TooLarge(MAX_BODY + 1)));
}

/// Anyone may ask for a report: it must neither keep the node busy nor fill its memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn report_is_made_now_and_then_and_takes_no_body() {
    let first = Node::start(alone()).await.unwrap();
    let second = Node::start(through(&first)).await.unwrap();
    settle(&first, &second).await;
    second.serve_report().unwrap();
    let report = async |body: Vec<u8>| first.call(second.me(), SERVICE, body).await;
    let begin = Instant::now();
    let told = join_all((0..500).map(|_| report(Vec::new()))).await;
    let made: HashSet<Bytes> = told.into_iter().map(Result::unwrap).collect();
    let most = 1 + begin.elapsed().as_millis() / FRESH.as_millis();
    assert!(made.len() as u128 <= most, "{} reports, at most {most}", made.len());
    assert_eq!(Report::from_bytes(made.into_iter().next().unwrap()).unwrap().state.me, second.me());

    assert_eq!(report(vec![7; MAX_BODY]).await, Err(CallError::Lost), "the channel is closed");
    assert!(report(Vec::new()).await.is_ok(), "and the next one opened");
    second.serve("size", |call: ServiceCall| async move { Ok(call.body.len().to_string().into()) }).unwrap();
    let size = first.call(second.me(), "size", vec![7; MAX_BODY]).await;
    assert_eq!(size, Ok(MAX_BODY.to_string().into()), "a service of the program takes all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_says_who_asks_and_what_the_application_says() {
    let (first, second) = two().await;
    let (asked, tell) = tokio::sync::mpsc::unbounded_channel();
    second
        .serve("fails", move |call: ServiceCall| {
            asked.send(call).unwrap();
            async { Err(Refusal::Failed("no such room".into())) }
        })
        .unwrap();
    let mut tell = tell;
    assert_eq!(first.call(second.me(), "fails", "x").await, Err(CallError::Failed("no such room".into())));
    assert_eq!(tell.recv().await, Some(ServiceCall { from: Some(first.me()), key: None, body: "x".into() }));
    // The node's own program is a caller like any other.
    assert_eq!(second.call(second.me(), "fails", "y").await, Err(CallError::Failed("no such room".into())));
    assert_eq!(tell.recv().await.unwrap().from, Some(second.me()));

    assert_eq!(first.call(second.me(), "nothing", "x").await, Err(CallError::NoService("nothing".into())));
    assert_eq!(second.call(first.me(), "reverse", "x").await, Err(CallError::NothingServed(first.me())));
    assert!(second.withdraw("reverse") && !second.withdraw("reverse"));
    assert_eq!(first.call(second.me(), "reverse", "x").await, Err(CallError::NoService("reverse".into())));
    second.serve("panics", |_| async { panic!("as it is meant to") }).unwrap();
    assert!(matches!(first.call(second.me(), "panics", "x").await, Err(CallError::Failed(_))));
    assert_eq!(second.serve("", |_| async { Ok(Bytes::new()) }), Err(ServeError::Name(0)));
    assert_eq!(second.serve("x".repeat(256), |_| async { Ok(Bytes::new()) }), Err(ServeError::Name(256)));
}

/// Counts the calls that are being answered.
struct Answering(Arc<AtomicUsize>);

impl Answering {
    fn new(count: &Arc<AtomicUsize>) -> Answering {
        count.fetch_add(1, Ordering::SeqCst);
        Answering(count.clone())
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn comes_to(count: &AtomicUsize, n: usize) {
    let reached = async {
        while count.load(Ordering::SeqCst) != n {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, reached).await.unwrap_or_else(|_| panic!("{} of {n}", count.load(Ordering::SeqCst)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_that_nobody_waits_for_is_cancelled_where_it_is_answered() {
    let (first, second) = two().await;
    let under_way = Arc::new(AtomicUsize::new(0));
    let count = under_way.clone();
    second
        .serve("sleeps", move |_| {
            let answering = Answering::new(&count);
            async move {
                let _answering = answering;
                pending().await
            }
        })
        .unwrap();
    let calls: Vec<_> = (0..70)
        .map(|_| {
            let (first, to) = (first.clone(), second.me());
            tokio::spawn(async move { first.call(to, "sleeps", "x").await })
        })
        .collect();
    comes_to(&under_way, 64).await;
    calls.iter().for_each(|call| call.abort());
    comes_to(&under_way, 0).await;
    assert_eq!(first.call(second.me(), "reverse", "abc").await, Ok(Bytes::from("cba")), "the channel is as before");

    let hasty = Node::start(Config { call_timeout: Duration::from_millis(50), ..through(&first) }).await.unwrap();
    assert_eq!(hasty.call(second.me(), "sleeps", "x").await, Err(CallError::Timeout));
    comes_to(&under_way, 0).await;
    let call = tokio::spawn({
        let (first, to) = (first.clone(), second.me());
        async move { first.call(to, "sleeps", "x").await }
    });
    comes_to(&under_way, 1).await;
    second.stop().await;
    assert_eq!(call.await.unwrap(), Err(CallError::Lost));
    comes_to(&under_way, 0).await;
    let gone = first.call(second.me(), "reverse", "abc").await.unwrap_err();
    assert!(matches!(gone, CallError::Gone(_) | CallError::Unreachable(_)) && gone.is_undelivered(), "{gone:?}");
    first.stop().await;
    assert_eq!(first.call(second.me(), "reverse", "abc").await, Err(CallError::Stopped));
}

/// A key is looked up again when its owner has changed, or when the callee says that the key is not its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owner_of_a_key_is_found_again_when_it_has_moved() {
    let (first, second) = two().await;
    for node in [&first, &second] {
        let me = node.me();
        let ownership = node.ownership().await.unwrap();
        let refused = AtomicUsize::new(0);
        node.serve("who", move |call: ServiceCall| {
            let owned = ownership.borrow().range.is_some_and(|range| range.contains(call.key.unwrap()));
            // The first two callees say that the key belongs elsewhere.
            let answer = match refused.fetch_add(1, Ordering::SeqCst) {
                ..2 => Err(Refusal::NotOwner),
                _ if !owned => Err(Refusal::NotOwner),
                _ => Ok(Bytes::from(me.addr.to_string())),
            };
            async move { answer }
        })
        .unwrap();
    }
    for n in 0..20 {
        let key = format!("key {n}");
        let owner: Peer = first.lookup(&key).await.unwrap();
        assert_eq!(first.call_owner(&key, "who", "").await, Ok(Bytes::from(owner.addr.to_string())));
    }
    let key = (0..).map(|n| format!("other {n}"));
    let mut of_second = None;
    for key in key {
        if first.lookup(&key).await == Ok(second.me()) {
            of_second = Some(key);
            break;
        }
    }
    second.leave().await;
    let answer = first.call_owner(of_second.unwrap(), "who", "").await;
    assert_eq!(answer, Ok(Bytes::from(first.me().addr.to_string())));
    let failed = first.call_owner("key", "nothing", "").await;
    assert_eq!(failed, Err(CallError::NoService("nothing".into())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_without_a_network_call_each_other_as_well() {
    let transport = Transport::Memory(Switchboard::default());
    let first = Node::start(Config { transport: transport.clone(), ..alone() }).await.unwrap();
    let second = Node::start(Config { transport, ..through(&first) }).await.unwrap();
    second.serve("echo", |call: ServiceCall| async move { Ok(call.body) }).unwrap();
    let body = Bytes::from(vec![7; MAX_BODY]);
    assert_eq!(first.call(second.me(), "echo", body.clone()).await, Ok(body));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_peers_are_never_asked_for_a_channel() {
    let first = Node::start(alone()).await.unwrap();
    let peer = Plain::start(Setup::default());
    peer.lives();
    assert_eq!(first.call(peer.me(), "reverse", "x").await, Err(CallError::Plain(peer.me())));
    assert_eq!((peer.count("open_channel"), peer.complaints()), (0, vec![]));
}

/// Calls beyond 64 wait at the caller, so that one caller does not delay others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_are_answered_at_once_wait_for_their_turn() {
    let (first, second) = two().await;
    let (begun, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (count, gate) = (begun.clone(), go.clone());
    second
        .serve("gate", move |call: ServiceCall| {
            count.fetch_add(1, Ordering::SeqCst);
            let gate = gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                Ok(call.body)
            }
        })
        .unwrap();
    let calls = join_all((0..200u8).map(|n| {
        let (first, to) = (first.clone(), second.me());
        tokio::spawn(async move { first.call(to, "gate", vec![n]).await })
    }));
    comes_to(&begun, 64).await;
    go.add_permits(200);
    let answers = timeout(LIMIT, calls).await.unwrap();
    assert!(answers.into_iter().zip(0..).all(|(answer, n)| answer.unwrap() == Ok(Bytes::from(vec![n]))));
}

/// The next call was read while as many bodies were being answered as the process may hold, and finished answers did
/// not give up their room any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_bodies_than_there_is_room_for_are_answered_one_after_the_other() {
    let (first, second) = two().await;
    let (begun, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (count, gate) = (begun.clone(), go.clone());
    second
        .serve("length", move |call: ServiceCall| {
            count.fetch_add(1, Ordering::SeqCst);
            let gate = gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                Ok(call.body.len().to_string().into())
            }
        })
        .unwrap();
    let body = Bytes::from(vec![7; MAX_BODY]);
    let calls = tokio::spawn(join_all((0..20).map(|_| {
        let (first, to, body) = (first.clone(), second.me(), body.clone());
        async move { first.call(to, "length", body).await }
    })));
    comes_to(&begun, 4).await;
    go.add_permits(20);
    let answers = timeout(LIMIT, calls).await.expect("in time").unwrap();
    let expected = Ok(Bytes::from(MAX_BODY.to_string()));
    assert!(answers.into_iter().all(|answer| answer == expected));
}

/// The connection was not told that its channel had ended, so that it stayed for ever among the accepted ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channel_ends_with_the_runtime_that_reads_it() {
    let (first, second) = two().await;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let under_way = Arc::new(AtomicUsize::new(0));
    let count = under_way.clone();
    {
        let _within = runtime.enter();
        let never = move |_| {
            let answering = Answering::new(&count);
            async move {
                let _answering = answering;
                pending().await
            }
        };
        second.serve("never", never).unwrap();
    }
    let open = || {
        let second = second.clone();
        async move {
            while second.traffic().open > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    let call = tokio::spawn({
        let (first, to) = (first.clone(), second.me());
        async move { first.call(to, "never", "x").await }
    });
    comes_to(&under_way, 1).await;
    runtime.shutdown_background();
    let ended = timeout(LIMIT, call).await.expect("in time").unwrap();
    assert!(matches!(ended, Err(CallError::Lost | CallError::Failed(_))), "{ended:?}");
    assert!(first.call(second.me(), "never", "x").await.is_err());
    first.stop().await;
    timeout(LIMIT, open()).await.expect("its connections are closed");
}

/// An end that does not read, or sends invalid bytes, delays only itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channel_is_closed_to_whoever_talks_nonsense() {
    use std::io::{Read, Write};
    let (first, second) = two().await;
    let open = frame(&Message::default().bytes(1, b"open_channel").bytes(2, b"").number(15, 1).done());
    for nonsense in [&[0xff; 64][..], &[0, 0, 0, 0, 0, 0, 0, 12, 1, 2, 3, 4], &[0, 0, 0, 0, 0, 0, 0, 8]] {
        let (to, open, nonsense) = (second.me(), open.clone(), nonsense.to_vec());
        let read = tokio::task::spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(to.addr).unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            stream.write_all(&open).unwrap();
            let mut answer = [0; 8];
            stream.read_exact(&mut answer).unwrap();
            let mut rest = vec![0; u64::from_be_bytes(answer) as usize - 8];
            stream.read_exact(&mut rest).unwrap();
            stream.write_all(&nonsense).unwrap();
            stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind())
        });
        let read = read.await.unwrap();
        assert!(matches!(read, Ok(0) | Err(std::io::ErrorKind::ConnectionReset)), "{read:?}");
    }
    assert_eq!(first.call(second.me(), "reverse", "abc").await, Ok(Bytes::from("cba")));
}
