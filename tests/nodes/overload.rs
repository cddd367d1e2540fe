//! Callers of nodes that have more to do than they can.

use std::net::Ipv4Addr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use chord::net::pool::ConnectionPool;
use chord::protocol::lookup::LookupFailure;
use chord::{Config, LookupError, Node};
use futures::future::join_all;

const NODES: usize = 8;

/// More than may be under way and wait.
const CALLERS: usize = 2000;

/// Longer than a burst may last: then lookups are refused without a question to the thread.
const BURST: Duration = Duration::from_secs(2);

/// It must end within this time even on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A refusal takes no time: callers on the node's own thread would never let it do anything else.
#[test]
fn callers_that_ask_a_busy_node_again_and_again_leave_it_time_to_answer() {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(actix_rt::System::new().block_on(crowd())));
    let refused = told.recv_timeout(LIMIT).expect("an answer for all in time");
    assert!(refused > CALLERS, "{refused} refused");
}

/// How many lookups were refused until all callers had an answer after the burst.
async fn crowd() -> usize {
    let pool = ConnectionPool::default();
    let mut nodes: Vec<Node> = Vec::new();
    for _ in 0..NODES {
        let seeds = nodes.first().map(|first| first.me().addr.into()).into_iter().collect();
        let config = Config { seeds, ..Config::new(Ipv4Addr::LOCALHOST) };
        nodes.push(Node::start_sharing(config, pool.clone()).await.unwrap());
    }
    let began = Instant::now();
    let callers = (0..CALLERS).map(async |caller| {
        let mut refused = 0;
        for lookup in 0.. {
            match nodes[caller % NODES].lookup(format!("{caller}, {lookup}")).await {
                Ok(_) if began.elapsed() > BURST => break,
                Err(LookupError::Failed(LookupFailure::Busy)) => refused += 1,
                _ => {}
            }
        }
        refused
    });
    join_all(callers).await.into_iter().sum()
}
