//! Nodes in programs that know nothing of actors, on any tokio runtime.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use chord::{Addr, Config, Event, KeyRange, LookupError, Node, Worker};
use futures::StreamExt;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// A condition must hold within this time even on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

fn alone() -> Config {
    Config::new(Ipv4Addr::LOCALHOST)
}

fn through(seed: &Node) -> Config {
    Config { seeds: vec![seed.me().addr.into()], ..alone() }
}

/// Waits until two nodes are one ring: until the first has heard of the second it answers for all keys.
pub async fn settle(one: &Node, other: &Node) {
    for (node, before) in [(one, other), (other, one)] {
        let half = KeyRange { behind: before.me().id, up_to: node.me().id };
        let mut ownership = node.ownership().await.unwrap();
        let settled = ownership.wait_for(|now| now.range == Some(half) && now.successors == [before.me()]);
        timeout(LIMIT, settled).await.expect("a ring of two in time").unwrap();
    }
}

/// Each byte that a node writes is read by the other.
#[tokio::test]
async fn bytes_are_counted_where_they_are_written_and_where_they_are_read() {
    let calm = || Config { stabilize: LIMIT, fix_fingers: LIMIT, check_predecessor: LIMIT, ..alone() };
    let first = Node::start(calm()).await.unwrap();
    let second = Node::start(Config { seeds: vec![first.me().addr.into()], ..calm() }).await.unwrap();
    settle(&first, &second).await;
    let counted = async {
        loop {
            let (one, other) = (first.traffic(), second.traffic());
            if one.written > 0 && (one.written, one.read) == (other.read, other.written) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, counted).await.expect("the same on both sides");
}

/// Waits until no program listens there any more.
fn ends(addr: Addr) {
    let began = Instant::now();
    while TcpStream::connect(addr).is_ok() {
        assert!(began.elapsed() < LIMIT, "{addr} still listens");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Handles can be sent, shared and cloned.
fn is_a_handle<T: Send + Sync + Clone + 'static>(_: &T) {}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_is_asked_from_any_task_of_a_runtime_of_many_threads() {
    let first = Node::start(alone()).await.unwrap();
    let second = Node::start(through(&first)).await.unwrap();
    settle(&first, &second).await;
    is_a_handle(&first);
    let asked = (0..32).map(|n| {
        let (first, second) = (first.clone(), second.clone());
        tokio::spawn(async move {
            let key = format!("key {n}");
            (first.lookup(&key).await.unwrap(), second.lookup(&key).await.unwrap())
        })
    });
    for answers in asked {
        let (one, other) = answers.await.unwrap();
        assert_eq!(one, other);
    }
    assert_eq!(first.state().await.unwrap().successors, [second.me()]);
    second.leave().await;
    assert_eq!(second.lookup("key").await, Err(LookupError::Stopped));
    ends(second.me().addr);
}

#[tokio::test]
async fn node_starts_within_a_plain_tokio_test() {
    let node = Node::start(alone()).await.unwrap();
    assert_eq!(node.lookup("Hello").await, Ok(node.me()));
    node.stop().await;
    ends(node.me().addr);
}

#[tokio::test]
async fn node_ends_with_its_last_handle() {
    let node = Node::start(alone()).await.unwrap();
    let (addr, clone) = (node.me().addr, node.clone());
    drop(node);
    assert_eq!(clone.lookup("Hello").await.map(|owner| owner.addr), Ok(addr), "there is another");
    drop(clone);
    spawn_blocking(move || ends(addr)).await.unwrap();
}

#[test]
fn nodes_of_two_runtimes_are_one_ring_and_end_with_the_tasks_that_have_them() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (one, other) = (runtime(), runtime());
    let first = one.block_on(Node::start(alone())).unwrap();
    let second = other.block_on(Node::start(through(&first))).unwrap();
    one.block_on(settle(&first, &second));
    let (first_addr, second_addr) = (first.me().addr, second.me().addr);
    assert_eq!(
        one.block_on(second.lookup("Hello")),
        other.block_on(first.lookup("Hello")),
        "each asks the node of the other"
    );
    one.spawn(async move {
        std::future::pending::<()>().await;
        drop(first);
    });
    drop(one);
    ends(first_addr);
    // It looks for its ring first.
    let began = Instant::now();
    while other.block_on(second.lookup("Hello")).map(|owner| owner.addr) != Ok(second_addr) {
        assert!(began.elapsed() < LIMIT, "the other does not go on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn nodes_of_one_worker_share_their_connections_and_end_with_it() {
    let worker = Worker::start("nodes").unwrap();
    let first = Node::start_on(&worker, alone()).await.unwrap();
    let second = Node::start_on(&worker, through(&first)).await.unwrap();
    settle(&first, &second).await;
    let key = format!("key {}", first.me().addr);
    assert_eq!(first.lookup(&key).await, second.lookup(&key).await);
    drop(worker);
    let (one, other) = (first.me().addr, second.me().addr);
    spawn_blocking(move || [one, other].map(ends)).await.unwrap();
    assert_eq!(first.lookup(&key).await, Err(LookupError::Stopped));
    assert_eq!(first.state().await, None);
}

#[tokio::test]
async fn node_that_nobody_waits_for_does_not_start() {
    let [silent, free] = [0; 2].map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap());
    let addr = |socket: &TcpListener| Addr::from(socket.local_addr().unwrap());
    let (seed, listen) = (addr(&silent), addr(&free));
    drop(free);
    let started = Node::start(Config { seeds: vec![seed.into()], listen, ..alone() });
    assert!(timeout(Duration::from_millis(300), started).await.is_err(), "its seed says nothing");
    spawn_blocking(move || ends(listen)).await.unwrap();
}

#[tokio::test]
async fn program_hears_which_keys_its_node_gains_and_loses() {
    let first = Node::start(alone()).await.unwrap();
    let (mut events, mut ownership) = (first.events().await, first.ownership().await.unwrap());
    let me = first.me().id;
    let all = KeyRange { behind: me, up_to: me };
    assert_eq!((ownership.borrow().epoch, ownership.borrow().range), (0, Some(all)));
    let second = Node::start(through(&first)).await.unwrap();
    let half = KeyRange { behind: second.me().id, up_to: me };
    let owned = async |ownership: &mut tokio::sync::watch::Receiver<chord::Ownership>, range| {
        timeout(LIMIT, ownership.wait_for(|now| now.range == Some(range))).await.unwrap().unwrap().clone()
    };
    let now = owned(&mut ownership, half).await;
    assert!(now.epoch > 0 && now.successors == [second.me()]);
    second.leave().await;
    assert!(owned(&mut ownership, all).await.epoch > now.epoch);
    first.leave().await;
    let heard: Vec<Event> = timeout(LIMIT, events.by_ref().collect()).await.unwrap();
    let at =
        |event: Event| heard.iter().position(|heard| *heard == event).unwrap_or_else(|| panic!("{event:?}: {heard:?}"));
    assert!(at(Event::PredecessorChanged(Some(second.me()))) < at(Event::RangeChanged(Some(half))));
    assert!(at(Event::RangeChanged(Some(half))) < at(Event::Alone));
    assert_eq!(heard[heard.len() - 2..], [Event::Left, Event::RangeChanged(None)], "{heard:?}");
    assert!(first.ownership().await.is_none() && first.events().await.next().await.is_none(), "it has stopped");
}
