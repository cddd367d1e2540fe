//! Seeds that do not answer while a node starts, and what it does then.

use std::time::Duration;

use chord::{Addr, Config, IfAlone, Node};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

use crate::support::process::free_range;

/// What is to happen must happen within this time, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// A joiner that gives its seeds a moment. These have ports below the range of outgoing ones: a joiner that connects
/// to a port of that range again and again is connected to itself before long, and has the port for a moment.
fn joiner(seeds: &[Addr], if_alone: IfAlone) -> Config {
    let seeds = seeds.iter().copied().map(Into::into).collect();
    Config { seeds, join_timeout: Duration::from_millis(200), if_alone, ..Config::new([127, 0, 0, 1]) }
}

/// Waits until each of two nodes has the other as its successor.
async fn become_one(nodes: [&Node; 2]) {
    let are_one = async || {
        let [a, b] = [nodes[0].state().await.unwrap(), nodes[1].state().await.unwrap()];
        a.successors == [b.me] && b.successors == [a.me]
    };
    let together = async {
        while !are_one().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, together).await.expect("one ring");
}

#[tokio::test]
async fn ring_created_for_want_of_an_answer_becomes_one_with_that_of_a_late_seed() {
    let seed = free_range(1);
    let alone = timeout(LIMIT, Node::start(joiner(&[seed], IfAlone::Create))).await.unwrap().unwrap();
    assert_eq!(alone.lookup("Hello").await, Ok(alone.me()), "a ring of one answers");
    let seed = Node::start(Config::at(seed)).await.unwrap();
    become_one([&alone, &seed]).await;
}

#[tokio::test]
async fn nodes_that_are_each_others_seeds_become_one_ring() {
    let first = free_range(2);
    let addrs = [first, first.with_port(first.port() + 1)];
    let start = |me: usize| Node::start(Config { listen: addrs[me], ..joiner(&[addrs[1 - me]], IfAlone::Create) });
    let (a, b) = timeout(LIMIT, async { tokio::join!(start(0), start(1)) }).await.expect("both start");
    become_one([&a.unwrap(), &b.unwrap()]).await;
}

#[tokio::test]
async fn joiner_that_waits_joins_whenever_its_seed_starts() {
    // Hangs up on everybody.
    let seed = free_range(1);
    let rude = TcpListener::bind(seed.socket()).await.unwrap();
    let config = joiner(&[seed], IfAlone::Wait);
    let (began, limit) = (Instant::now(), 5 * config.join_timeout);
    let joining = tokio::spawn(Node::start(config));
    while began.elapsed() < limit {
        timeout(LIMIT, rude.accept()).await.expect("it goes on").unwrap();
    }
    assert!(!joining.is_finished());
    drop(rude);
    let seed = Node::start(Config::at(seed)).await.unwrap();
    let joined = timeout(LIMIT, joining).await.expect("it joins").unwrap().unwrap();
    become_one([&joined, &seed]).await;
}
