//! Nodes of one thread that share their connections.

use chord::actors::{Stop, Way};
use chord::net::pending::CallOutcome;
use chord::net::pool::ConnectionPool;
use chord::protocol::procedure::Answer;
use chord::protocol::rpc::{Dialect, Request, Response};
use chord::wire::{Frame, Reply};
use futures::SinkExt;
use futures::future::{join, join3};

use crate::support::ends::{Them, Us, Wire, alive, question, wire_is_closed};

/// Two nodes that may share connections, and a third.
async fn three() -> (Us, Us, Them) {
    let pool = ConnectionPool::default();
    (Us::start_sharing(&pool, 1).await, Us::start_sharing(&pool, 2).await, Them::start().await)
}

/// The same after the first has made a connection to the third, and the second has called on it.
async fn sharing() -> (Us, Us, Them, Wire) {
    let (one, other, them) = three().await;
    let calls = async { (one.call(them.me, Way::Kept).await, other.call(them.me, Way::Kept).await) };
    let (answers, wire) = join(calls, serve(&them, 2)).await;
    assert_eq!(answers, (alive(), alive()));
    (one, other, them, wire)
}

/// Accepts one connection, and answers `questions` requests on it.
async fn serve(them: &Them, questions: usize) -> Wire {
    let mut wire = them.accept().await;
    for _ in 0..questions {
        let asked = question(&mut wire).await;
        them.answer(&mut wire, &asked).await;
    }
    wire
}

#[actix_rt::test]
async fn one_connection_carries_the_calls_of_all() {
    let (one, other, them, _wire) = sharing().await;
    assert!(them.is_left_alone().await);
    assert_eq!((one.counters.read().dialed, other.counters.read().dialed), (1, 0));
}

#[actix_rt::test]
async fn connection_on_its_way_is_waited_for_and_not_made_twice() {
    let (one, other, them) = three().await;
    let (one, other, _wire) =
        join3(one.call(them.me, Way::Kept), other.call(them.me, Way::Kept), serve(&them, 2)).await;
    assert_eq!((one, other), (alive(), alive()));
    assert!(them.is_left_alone().await);
}

#[actix_rt::test]
async fn everyone_hears_when_it_breaks() {
    let (one, other, them, wire) = sharing().await;
    drop(wire);
    let (answer, _wire) = join(one.call(them.me, Way::Kept), serve(&them, 1)).await;
    assert_eq!(answer, alive());
    assert_eq!((&*one.severed.borrow(), &*other.severed.borrow()), (&vec![them.me.addr], &vec![them.me.addr]));
}

/// The first answer of a restarted node counts as its death. Each node must notice the restart, even if it calls on a
/// connection that another node has made.
#[actix_rt::test]
async fn each_notices_by_itself_that_the_other_end_was_started_again() {
    let (one, other, them, wire) = sharing().await;
    drop(wire);
    let ask = Request::GetSuccessorList { joiner: None };
    let alone = Response::SuccessorList { successors: vec![], predecessor: None, dialect: Dialect::Ours };
    let serve = async {
        let mut wire = them.accept().await;
        for _ in 0..3 {
            let asked = question(&mut wire).await;
            let mut reply = Reply::to(&alone, them.me, 4);
            reply.call_id = asked.call_id;
            reply.responder = Some((them.me.id, 8));
            wire.send(Frame::Return(reply)).await.unwrap();
        }
    };
    let calls = async {
        assert_eq!(one.ask(them.me, ask.clone(), Way::Kept).await, Answer::Gone);
        assert_eq!(other.ask(them.me, ask.clone(), Way::Kept).await, Answer::Gone);
        assert_eq!(other.ask(them.me, ask.clone(), Way::Kept).await, Answer::Reply(alone.clone()));
    };
    join(calls, serve).await;
}

#[actix_rt::test]
async fn no_call_is_lost_with_the_node_that_has_made_the_connection() {
    let (one, other, them, mut wire) = sharing().await;
    let stop = async {
        question(&mut wire).await;
        one.peers.send(Stop).await.unwrap();
        assert!(wire_is_closed(&mut wire).await);
        serve(&them, 1).await
    };
    let (answer, _wire) = join(other.call(them.me, Way::Kept), stop).await;
    assert_eq!(answer, alive());
    assert_eq!(other.counters.read().dialed, 1);
}

/// A call that is lost is repeated only once. The node that made the connection hears by message that it takes no
/// more calls; until then the other nodes must not use it either.
#[actix_rt::test]
async fn connection_that_takes_no_more_calls_is_not_taken() {
    let (one, other, them, _wire) = sharing().await;
    let route = one.routes.pool.get(them.me.addr).expect("a connection");
    route.pending.close(|| CallOutcome::Lost);
    for way in [Way::Kept, Way::Again] {
        let us = if way == Way::Kept { &one } else { &other };
        let (answer, wire) = join(us.call(them.me, way), serve(&them, 1)).await;
        assert_eq!(answer, alive(), "{way:?}");
        us.routes.pool.get(them.me.addr).expect("the new one").pending.close(|| CallOutcome::Lost);
        drop(wire);
    }
}

#[actix_rt::test]
async fn plain_peer_gets_a_connection_for_each_call_of_anyone() {
    let (one, other, them) = three().await;
    let serve = async {
        for call in 0..4 {
            let mut wire = them.accept().await;
            let numbered = question(&mut wire).await.call_id.is_some();
            assert_eq!(numbered, call == 0, "callers that waited for the first answer know that the peer is plain");
            let reply = Reply::to(&Response::Alive { plain: false, alone: false }, them.me, 4);
            wire.send(Frame::Return(reply)).await.unwrap();
            assert!(wire_is_closed(&mut wire).await);
        }
    };
    let calls = async {
        let both = join(one.call(them.me, Way::Kept), other.call(them.me, Way::Kept)).await;
        [both.0, both.1, other.call(them.me, Way::Kept).await, one.call(them.me, Way::Kept).await]
    };
    let (answers, ()) = join(calls, serve).await;
    assert!(answers.iter().all(|answer| matches!(answer, Answer::Reply(Response::Alive { .. }))), "{answers:?}");
}

/// A plain peer had died: the refused call was taken for one that a plain peer would answer on another connection,
/// and was repeated thousands of times a second.
#[actix_rt::test]
async fn plain_peer_that_is_gone_is_called_once() {
    let (one, _, them) = three().await;
    let serve = async {
        let mut wire = them.accept().await;
        question(&mut wire).await;
        let reply = Reply::to(&Response::Alive { plain: false, alone: false }, them.me, 4);
        wire.send(Frame::Return(reply)).await.unwrap();
        assert!(wire_is_closed(&mut wire).await);
    };
    let (answer, ()) = join(one.call(them.me, Way::Kept), serve).await;
    assert!(matches!(answer, Answer::Reply(Response::Alive { .. })));
    let gone = them.me;
    drop(them);
    assert_eq!(one.call(gone, Way::Kept).await, Answer::Gone);
    assert_eq!(one.counters.read().dialed, 2);
}
