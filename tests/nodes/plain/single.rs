//! Plain peers that are single-threaded programs: they serve no requests while they ask.

use super::*;

fn single() -> Setup {
    Setup { serves_while_asking: false, ..Setup::default() }
}

/// Waits until this node pings its plain successor before it names it, since it has not heard it for too long.
async fn becomes_unsure_of(node: &Node, successor: &Plain) {
    successor.behaves_in("get_predecessor", Manner::refuses());
    eventually("the successor is pinged", async || {
        let before = successor.count("check_predecessor");
        assert_eq!(node.lookup_id(on(successor.me().id, 15)).await, Ok(successor.me()));
        successor.count("check_predecessor") > before
    })
    .await;
}

/// The peer was pinged, and found dead because it did not answer: it was waiting for that very lookup.
#[actix_rt::test]
async fn peer_that_waits_for_our_answer_is_not_taken_for_dead() {
    let log = Log::open();
    let config = Config { stabilize: Duration::from_millis(200), check_predecessor: 2 * LIMIT, ..calm() };
    let peer = Plain::start(single());
    let node = start(Config { id: Some(on(peer.me().id, 8)), ..through(peer.me(), config.clone()) }).await;
    eventually("a ring", async || peer.count("notify") > 0).await;
    peer.believes(&[node.me()], Some(node.me()));
    becomes_unsure_of(&node, &peer).await;
    let begin = Instant::now();
    assert_eq!(peer.asks(node.me().addr, on(peer.me().id, 15)).await, Some(peer.me()), "{}", log.text());
    assert!(begin.elapsed() < config.rpc_timeout, "it waited for its answer for {:?}", begin.elapsed());
    assert!(!log.says(&["found dead"]), "{}", log.text());
    assert_eq!(successors(&node).await, [peer.me()]);
    nobody_complains(&[&peer]);
}

/// The peer asks another node than the one that pings it.
#[actix_rt::test]
async fn peer_whose_question_was_passed_on_is_not_taken_for_dead() {
    let log = Log::open();
    let config = Config { stabilize: Duration::from_secs(1), check_predecessor: 2 * LIMIT, ..calm() };
    let peer = Plain::alive(single());
    let before = start(Config { id: Some(on(peer.me().id, 12)), ..through(peer.me(), config.clone()) }).await;
    let asked = start(Config { id: Some(on(peer.me().id, 4)), ..through(peer.me(), config) }).await;
    becomes_ideal(&[&before, &asked], &[&peer]).await;
    becomes_unsure_of(&before, &peer).await;
    assert_eq!(peer.asks(asked.me().addr, on(peer.me().id, 15)).await, Some(peer.me()), "{}", log.text());
    assert!(!log.says(&["found dead"]), "{}", log.text());
    nobody_complains(&[&peer]);
}

/// The peer restarts, and asks its ring for its own successor: an answer that names the peer itself leaves it alone for
/// ever.
#[actix_rt::test]
async fn peer_that_looks_its_own_place_up_is_not_named_though_its_silence_is_excused() {
    let config = Config { stabilize: Duration::from_secs(1), ..calm() };
    let peer = Plain::alive(single());
    let first = start(Config { id: Some(on(peer.me().id, 4)), ..through(peer.me(), config.clone()) }).await;
    let second = start(Config { id: Some(on(peer.me().id, 12)), ..through(peer.me(), config) }).await;
    becomes_ideal(&[&first, &second], &[&peer]).await;
    assert_eq!(peer.asks(second.me().addr, peer.me().id).await, Some(first.me()));
    assert_eq!(second.lookup_id(peer.me().id).await, Ok(peer.me()), "unless others ask");
}

/// A peer that was stopped sends nothing any more, but the kernel accepts connections to it.
#[actix_rt::test]
async fn peer_that_has_stopped_is_found_dead_though_others_ask_from_its_host() {
    let config = Config { stabilize: Duration::from_millis(300), ..calm() };
    let peer = Plain::alive(single());
    let first = start(Config { id: Some(on(peer.me().id, 8)), ..through(peer.me(), config.clone()) }).await;
    let second = start(Config { id: Some(on(peer.me().id, 4)), ..through(peer.me(), config) }).await;
    becomes_ideal(&[&first, &second], &[&peer]).await;
    peer.behaves(Manner::Stalls);
    let asking = async {
        loop {
            let _ = ask(first.me().addr, "find_successor", &key(peer.me().id)).await;
        }
    };
    let dropped = eventually("it is dropped", async || {
        successors(&first).await == [second.me()] && successors(&second).await == [first.me()]
    });
    futures::future::select(std::pin::pin!(asking), std::pin::pin!(dropped)).await;
}
