//! Nodes of one thread that share their connections.

#[path = "support/ends.rs"]
mod ends;

use chord::actors::exchange::Exchange;
use chord::actors::{Stop, Way};
use chord::protocol::procedure::Answer;
use chord::protocol::rpc::{Dialect, Request, Response};
use chord::wire::{Frame, Reply};
use ends::{Them, Us, Wire, alive, question, wire_is_closed};
use futures::SinkExt;
use futures::future::{join, join3};

/// Two nodes that share a connection to a third, which the first has made.
async fn sharing() -> (Us, Us, Them, Wire) {
    let exchange = Exchange::default();
    let (one, other) = (Us::start_sharing(&exchange, 1).await, Us::start_sharing(&exchange, 2).await);
    let them = Them::start().await;
    let serve = async {
        let mut wire = them.accept().await;
        for _ in 0..2 {
            let asked = question(&mut wire).await;
            them.answer(&mut wire, &asked).await;
        }
        wire
    };
    let calls = async { (one.call(them.me, Way::Kept).await, other.call(them.me, Way::Kept).await) };
    let (answers, wire) = join(calls, serve).await;
    assert_eq!(answers, (alive(), alive()));
    (one, other, them, wire)
}

#[actix_rt::test]
async fn one_connection_carries_the_calls_of_all() {
    let (one, other, them, _wire) = sharing().await;
    assert!(them.is_left_alone().await);
    assert_eq!((one.counters.read().dialed, other.counters.read().dialed), (1, 0));
}

#[actix_rt::test]
async fn connection_on_its_way_is_waited_for_and_not_made_twice() {
    let exchange = Exchange::default();
    let (one, other) = (Us::start_sharing(&exchange, 1).await, Us::start_sharing(&exchange, 2).await);
    let them = Them::start().await;
    let serve = async {
        let mut wire = them.accept().await;
        for _ in 0..2 {
            let asked = question(&mut wire).await;
            them.answer(&mut wire, &asked).await;
        }
        them.is_left_alone().await
    };
    let answers = join3(one.call(them.me, Way::Kept), other.call(them.me, Way::Kept), serve).await;
    assert_eq!(answers, (alive(), alive(), true));
}

#[actix_rt::test]
async fn everyone_hears_when_it_breaks() {
    let (one, other, them, wire) = sharing().await;
    drop(wire);
    let serve = async {
        let mut wire = them.accept().await;
        let asked = question(&mut wire).await;
        them.answer(&mut wire, &asked).await;
        wire
    };
    let (answer, _wire) = join(one.call(them.me, Way::Kept), serve).await;
    assert_eq!(answer, alive());
    assert_eq!((&*one.severed.borrow(), &*other.severed.borrow()), (&vec![them.me.addr], &vec![them.me.addr]));
}

/// What a node says first after it was started again is not taken from it: nobody may miss that for having
/// called on a connection that somebody else has made.
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
    let serve = async {
        question(&mut wire).await;
        one.peers.send(Stop).await.unwrap();
        assert!(wire_is_closed(&mut wire).await);
        let mut again = them.accept().await;
        let asked = question(&mut again).await;
        them.answer(&mut again, &asked).await;
    };
    let (answer, ()) = join(other.call(them.me, Way::Kept), serve).await;
    assert_eq!(answer, alive());
    assert_eq!(other.counters.read().dialed, 1);
}

#[actix_rt::test]
async fn plain_peer_gets_a_connection_for_each_call_of_anyone() {
    let exchange = Exchange::default();
    let (one, other) = (Us::start_sharing(&exchange, 1).await, Us::start_sharing(&exchange, 2).await);
    let them = Them::start().await;
    let serve = async {
        for _ in 0..4 {
            let mut wire = them.accept().await;
            question(&mut wire).await;
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
