//! A plain peer that has died, beside our nodes.

use super::*;

/// No connection to a plain peer is kept, so that only the node before it asks it each round, and others find it dead
/// first: that node went on to name it, it was found dead again, and so on, hundreds of times a second.
#[actix_rt::test]
async fn dead_peer_that_one_node_still_names_is_not_called_again_and_again() {
    join_all([1, 3, 8, 8].map(dies_beside)).await;
}

/// A ring of this many nodes and a plain peer, which dies.
async fn dies_beside(ours: usize) {
    let second = Duration::from_secs(1);
    let config = || Config {
        stabilize: second,
        fix_fingers: second,
        check_predecessor: second,
        ..Config::new(Ipv4Addr::LOCALHOST)
    };
    let mut nodes = vec![start(config()).await];
    for _ in 1..ours {
        nodes.push(start(through(nodes[0].me(), config())).await);
    }
    let peer = Plain::start(Setup::default());
    peer.joins(nodes[0].me().addr);
    let nodes: Vec<&Node> = nodes.iter().collect();
    becomes_ideal(&nodes, &[&peer]).await;
    let dialed = || nodes.iter().map(|node| node.traffic().dialed).collect::<Vec<_>>();
    let (before, began) = (dialed(), Instant::now());
    peer.dies();
    if ours > 1 {
        becomes_ideal(&nodes, &[]).await;
    }
    sleep(3 * second).await;
    let more: Vec<u64> = dialed().iter().zip(before).map(|(now, before)| now - before).collect();
    // Until the node before it asks, a young finger table has it named, and finds it dead, after rests that grow by a
    // quarter: 16 times in the first second. A lone node looks for its ring, and some calls are to each other: one or two a
    // second.
    let most = 40 + 3 * began.elapsed().as_secs();
    assert!(more.iter().all(|dialed| *dialed <= most), "{more:?}, at most {most}");
}
