//! Nodes with a front: one node of their thread, whose connections carry calls for all of them.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use chord::actors::{Stop, Way};
use chord::net::pool::ConnectionPool;
use chord::protocol::procedure::Answer;
use chord::protocol::rpc::{Code, Dialect, Request, Response};
use chord::wire::{Frame, FrameCodec, Question, Reply};
use chord::{Config, Node, Peer};
use futures::future::join;
use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::codec::Framed;

use crate::support::ends::{PATIENCE, Them, Us, Wire, alive, question, wire_is_closed, wire_is_open};

/// Waits until the condition holds.
async fn until(mut so: impl FnMut() -> bool) {
    let waiting = async {
        while !so() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("in time");
}

/// The answer of a living node with this front.
fn reply(me: Peer, asked: &Question, front: Option<u16>) -> Reply {
    numbered(Reply::to(&Response::Alive { plain: false, alone: false }, me, 4), me, asked, front)
}

fn numbered(mut reply: Reply, me: Peer, asked: &Question, front: Option<u16>) -> Reply {
    (reply.call_id, reply.responder, reply.front) = (asked.call_id, Some((me.id, 7)), front);
    reply
}

async fn say(wire: &mut Wire, reply: Reply) {
    wire.send(Frame::Return(reply)).await.unwrap();
}

/// Expects a request with this `to`, and answers that the node lives and has this front.
async fn answer(wire: &mut Wire, me: Peer, to: Option<u16>, front: Option<u16>) {
    let asked = question(wire).await;
    assert_eq!(asked.to, to);
    say(wire, reply(me, &asked, front)).await;
}

/// A node and two others of one thread, which it has called: the front, and one behind it.
async fn behind_a_front() -> (Us, Them, Them, Wire) {
    let (us, front, behind) = (Us::start(1).await, Them::start().await, Them::start().await);
    let serve = async {
        let mut wire = behind.accept().await;
        answer(&mut wire, behind.me, None, Some(front.me.addr.port())).await;
        let mut to_front = front.accept().await;
        let asked = question(&mut to_front).await;
        assert!(matches!(asked.request, Ok(Request::CheckPredecessor)) && asked.to.is_none());
        front.answer(&mut to_front, &asked).await;
        assert!(wire_is_closed(&mut wire).await, "it is needed no more");
        to_front
    };
    let (answer, wire) = join(us.call(behind.me, Way::Kept), serve).await;
    assert_eq!(answer, alive());
    (us, front, behind, wire)
}

#[actix_rt::test]
async fn one_connection_leads_to_all_nodes_of_a_thread() {
    let pool = ConnectionPool::default();
    let us = Us::start(1).await;
    let mut they = Vec::new();
    for incarnation in 2..10 {
        they.push(Us::start_sharing(&pool, incarnation).await);
    }
    for _ in 0..3 {
        for (node, incarnation) in they.iter().zip(2..) {
            assert_eq!(us.call(node.me, Way::Kept).await, alive());
            assert_eq!(us.routes.known.incarnation(node.me.addr), Some(incarnation), "each answers for itself");
        }
    }
    until(|| us.counters.read().open == 1).await;
    assert_eq!(us.counters.read().dialed, 8, "each for itself, once");
    let answered: Vec<_> = they.iter().map(|node| node.counters.read().answered).collect();
    assert_eq!(answered.iter().sum::<u64>(), 24);
    assert!(answered.iter().all(|answered| *answered == 3), "each called node answers itself: {answered:?}");
}

#[actix_rt::test]
async fn next_call_goes_by_the_front() {
    let (us, front, behind, mut wire) = behind_a_front().await;
    let serve = async {
        // A front that names a front for another node is not believed.
        answer(&mut wire, behind.me, Some(behind.me.addr.port()), Some(9)).await;
        answer(&mut wire, behind.me, Some(behind.me.addr.port()), None).await;
        let asked = question(&mut wire).await;
        assert_eq!(asked.to, None);
        front.answer(&mut wire, &asked).await;
    };
    let calls = async {
        assert_eq!(us.call(behind.me, Way::Kept).await, alive());
        assert_eq!(us.call(behind.me, Way::Kept).await, alive());
        assert_eq!(us.call(front.me, Way::Kept).await, alive());
    };
    join(calls, serve).await;
    assert!(behind.is_left_alone().await && front.is_left_alone().await);
}

/// A front's answer that the node is not there is no proof that the node is dead: it may have another front by now.
#[actix_rt::test]
async fn node_that_is_not_behind_its_front_any_more_is_called_itself() {
    let (us, front, behind, mut wire) = behind_a_front().await;
    let serve = async {
        let asked = question(&mut wire).await;
        assert_eq!(asked.to, Some(behind.me.addr.port()));
        let refusal = Reply::refuse(Code::NotHere, "it has left");
        say(&mut wire, numbered(refusal, front.me, &asked, None)).await;
        let mut wire = behind.accept().await;
        for _ in 0..2 {
            answer(&mut wire, behind.me, None, None).await;
        }
        wire
    };
    let calls = async { [us.call(behind.me, Way::Kept).await, us.call(behind.me, Way::Kept).await] };
    let (answers, mut own) = join(calls, serve).await;
    assert_eq!(answers, [alive(), alive()]);
    assert!(wire_is_open(&mut own).await, "it is kept");
}

/// Each of its answers taught the caller the same front anew: there was a connection for nearly each call.
#[actix_rt::test]
async fn front_that_refuses_costs_no_connection_for_each_call() {
    const CALLS: usize = 1000;
    let (us, front, behind, mut wire) = behind_a_front().await;
    let before = us.counters.read().dialed;
    let serve = async {
        let asked = question(&mut wire).await;
        say(&mut wire, numbered(Reply::refuse(Code::NotHere, "who?"), front.me, &asked, None)).await;
        let mut own = behind.accept().await;
        for _ in 0..CALLS {
            answer(&mut own, behind.me, None, Some(front.me.addr.port())).await;
        }
    };
    let calls = async {
        for _ in 0..CALLS {
            assert_eq!(us.call(behind.me, Way::Kept).await, alive());
        }
    };
    join(calls, serve).await;
    assert_eq!(us.counters.read().dialed, before + 1, "for {CALLS} calls");
}

/// Neither is a front that answers in its own name.
#[actix_rt::test]
async fn front_that_answers_for_itself_kills_nobody() {
    let (us, front, behind, mut wire) = behind_a_front().await;
    let serve = async {
        answer(&mut wire, front.me, Some(behind.me.addr.port()), None).await;
        answer(&mut behind.accept().await, behind.me, None, None).await;
    };
    assert_eq!(join(us.call(behind.me, Way::Kept), serve).await.0, alive());
}

#[actix_rt::test]
async fn doubt_about_a_node_is_settled_by_the_node_itself() {
    let (us, _front, behind, mut wire) = behind_a_front().await;
    let serve = async {
        let mut fresh = behind.accept().await;
        answer(&mut fresh, behind.me, None, None).await;
        assert_eq!(question(&mut wire).await.to, None, "the front is pinged, too");
    };
    let (answer, ()) = join(us.call(behind.me, Way::Fresh), serve).await;
    assert_eq!(answer, alive());
}

#[actix_rt::test]
async fn all_who_are_behind_a_front_are_doubted_when_it_breaks() {
    let (us, front, behind, wire) = behind_a_front().await;
    drop(wire);
    until(|| us.severed.borrow().len() == 2).await;
    let severed: BTreeSet<_> = us.severed.take().into_iter().collect();
    assert_eq!(severed, BTreeSet::from([front.me.addr, behind.me.addr]));
    let serve = async {
        let mut wire = behind.accept().await;
        let asked = question(&mut wire).await;
        say(&mut wire, reply(behind.me, &asked, None)).await;
    };
    let (answer, ()) = join(us.call(behind.me, Way::Kept), serve).await;
    assert_eq!(answer, alive());
}

#[actix_rt::test]
async fn calls_in_flight_are_answered_before_a_connection_is_given_up_for_the_front() {
    let (us, front, behind) = (Us::start(1).await, Them::start().await, Them::start().await);
    let serve = async {
        let mut wire = behind.accept().await;
        let asked = question(&mut wire).await;
        // The next request to the node is on its way before the caller knows of the front.
        say(&mut wire, reply(behind.me, &asked, Some(front.me.addr.port()))).await;
        let asked = question(&mut wire).await;
        assert_eq!(asked.caller, None, "it will close, so the other end must not use it for calls");
        let mut to_front = front.accept().await;
        let ping = question(&mut to_front).await;
        front.answer(&mut to_front, &ping).await;
        assert!(wire_is_open(&mut wire).await);
        say(&mut wire, reply(behind.me, &asked, None)).await;
        assert!(wire_is_closed(&mut wire).await);
    };
    let calls = join(us.call(behind.me, Way::Kept), us.call(behind.me, Way::Kept));
    let (answers, ()) = join(calls, serve).await;
    assert_eq!(answers, (alive(), alive()));
    assert!(us.severed.borrow().is_empty(), "no node is suspected for it");
}

#[actix_rt::test]
async fn node_whose_front_cannot_be_reached_is_called_itself() {
    let (us, behind) = (Us::start(1).await, Them::start().await);
    let nobody = Them::start().await.me.addr.port();
    let serve = async {
        let mut wire = behind.accept().await;
        for front in [Some(nobody), None, None] {
            answer(&mut wire, behind.me, None, front).await;
        }
    };
    let calls = async {
        for _ in 0..3 {
            assert_eq!(us.call(behind.me, Way::Kept).await, alive());
        }
    };
    join(calls, serve).await;
    assert!(behind.is_left_alone().await);
}

/// The front is not called twice either, whichever node names it.
#[actix_rt::test]
async fn front_that_does_not_answer_holds_nobody_up() {
    let (us, front, one, other) = (Us::start(1).await, Them::start().await, Them::start().await, Them::start().await);
    let serve = async {
        for them in [&one, &other] {
            let mut wire = them.accept().await;
            for _ in 0..2 {
                answer(&mut wire, them.me, None, Some(front.me.addr.port())).await;
            }
        }
    };
    let calls = async {
        for them in [&one, &one, &other, &other] {
            assert_eq!(us.call(them.me, Way::Kept).await, alive());
        }
    };
    join(calls, serve).await;
    let _silent = front.accept().await;
    assert!(front.is_left_alone().await);
}

#[actix_rt::test]
async fn node_that_was_started_again_behind_its_front_is_noticed_once() {
    let (us, _front, behind, mut wire) = behind_a_front().await;
    let alone = Response::SuccessorList { successors: vec![], predecessor: None, dialect: Dialect::Ours };
    let serve = async {
        for _ in 0..2 {
            let asked = question(&mut wire).await;
            let mut again = numbered(Reply::to(&alone, behind.me, 4), behind.me, &asked, None);
            again.responder = Some((behind.me.id, 8));
            say(&mut wire, again).await;
        }
    };
    let ask = || us.ask(behind.me, Request::GetSuccessorList { joiner: None }, Way::Kept);
    let (answers, ()) = join(async { [ask().await, ask().await] }, serve).await;
    // The first answer of a restarted node that is alone counts as its death; the second one as an answer.
    assert_eq!(answers, [Answer::Gone, Answer::Reply(alone)]);
}

/// A node that says NOT_HERE of itself, on a connection of its own, is lying, and is asked only once.
#[actix_rt::test]
async fn node_that_is_not_here_itself_has_refused() {
    let (us, them) = (Us::start(1).await, Them::start().await);
    let serve = async {
        let mut wire = them.accept().await;
        let asked = question(&mut wire).await;
        say(&mut wire, numbered(Reply::refuse(Code::NotHere, "who?"), them.me, &asked, None)).await;
        assert!(wire_is_open(&mut wire).await, "and is not asked again");
    };
    let (answer, ()) = join(us.call(them.me, Way::Kept), serve).await;
    assert_eq!(answer, Answer::Refused(Code::NotHere));
}

#[actix_rt::test]
async fn nodes_at_different_addresses_have_no_common_front() {
    let (pool, us) = (ConnectionPool::default(), Us::start(1).await);
    let one = Us::start_sharing_at(&pool, Ipv4Addr::new(127, 0, 0, 3), 2).await;
    let other = Us::start_sharing_at(&pool, Ipv4Addr::new(127, 0, 0, 4), 3).await;
    for _ in 0..3 {
        assert_eq!(us.call(one.me, Way::Kept).await, alive());
        assert_eq!(us.call(other.me, Way::Kept).await, alive());
    }
    assert_eq!((us.counters.read().dialed, us.counters.read().open), (2, 2));
}

#[actix_rt::test]
async fn plain_peers_hear_nothing_of_fronts() {
    let pool = ConnectionPool::default();
    let (front, behind) = (Us::start_sharing(&pool, 1).await, Us::start_sharing(&pool, 2).await);
    // The first node that is called becomes the front.
    assert_eq!(behind.call(front.me, Way::Kept).await, alive());
    for numbered in [false, true] {
        let mut stream = TcpStream::connect(behind.me.addr.socket()).await.unwrap();
        let ask = Question { call_id: numbered.then_some(1), ..Question::plain(Request::CheckPredecessor) };
        let mut wire = Framed::new(&mut stream, FrameCodec::default());
        wire.send(Frame::Call(ask)).await.unwrap();
        let Some(Ok(Frame::Return(reply))) = timeout(PATIENCE, wire.next()).await.unwrap() else { panic!("a reply") };
        assert_eq!(reply.front.is_some(), numbered);
    }
}

#[actix_rt::test]
async fn node_that_names_itself_has_no_front() {
    let (us, them) = (Us::start(1).await, Them::start().await);
    let serve = async {
        let mut wire = them.accept().await;
        for _ in 0..2 {
            answer(&mut wire, them.me, None, Some(them.me.addr.port())).await;
        }
    };
    let calls = async { [us.call(them.me, Way::Kept).await, us.call(them.me, Way::Kept).await] };
    assert_eq!(join(calls, serve).await.0, [alive(), alive()]);
    assert!(them.is_left_alone().await);
}

#[actix_rt::test]
async fn next_node_is_the_front_when_the_front_has_stopped() {
    let pool = ConnectionPool::default();
    let us = Us::start(1).await;
    let [first, second, third] = [2, 3, 4].map(|incarnation| Us::start_sharing(&pool, incarnation));
    let (first, second, third) = (first.await, second.await, third.await);
    for node in [&first, &second, &third] {
        assert_eq!(us.call(node.me, Way::Kept).await, alive());
    }
    first.peers.send(Stop).await.unwrap();
    for _ in 0..2 {
        for node in [&second, &third] {
            assert_eq!(us.call(node.me, Way::Kept).await, alive());
        }
    }
    until(|| us.counters.read().open == 1).await;
    assert!(matches!(us.call(first.me, Way::Fresh).await, Answer::Gone | Answer::Silent));
}

#[actix_rt::test]
async fn node_that_has_stopped_behind_its_front_is_gone() {
    let (pool, us) = (ConnectionPool::default(), Us::start(1).await);
    let config = Config::new(Ipv4Addr::new(127, 0, 0, 5));
    let front = Node::start_sharing(config.clone(), pool.clone()).await.unwrap();
    let behind = Config { seeds: vec![front.me().addr.into()], ..config };
    let behind = Node::start_sharing(behind, pool).await.unwrap();
    for node in [&front, &behind, &behind] {
        assert!(matches!(us.call(node.me(), Way::Kept).await, Answer::Reply(_)));
    }
    until(|| us.counters.read().open == 1).await;
    behind.stop().await;
    assert_eq!(us.call(behind.me(), Way::Kept).await, Answer::Gone);
    assert!(matches!(us.call(front.me(), Way::Kept).await, Answer::Reply(_)));
    front.stop().await;
}

#[actix_rt::test]
async fn question_to_a_stranger_is_refused_and_the_next_one_answered() {
    let pool = ConnectionPool::default();
    let (front, behind) = (Us::start_sharing(&pool, 1).await, Us::start_sharing(&pool, 2).await);
    let stream = TcpStream::connect(front.me.addr.socket()).await.unwrap();
    let mut wire = Framed::new(stream, FrameCodec::default());
    let ask = Question { call_id: Some(1), to: Some(9), ..Question::plain(Request::CheckPredecessor) };
    wire.send(Frame::Call(ask)).await.unwrap();
    let ask =
        Question { call_id: Some(2), to: Some(behind.me.addr.port()), ..Question::plain(Request::CheckPredecessor) };
    wire.send(Frame::Call(ask)).await.unwrap();
    let mut next = async || match timeout(PATIENCE, wire.next()).await.expect("a frame in time") {
        Some(Ok(Frame::Return(reply))) => reply,
        other => panic!("a reply expected: {other:?}"),
    };
    let (refused, answered) = (next().await, next().await);
    assert_eq!((refused.call_id, refused.refusal(), refused.front), (Some(1), Some(Code::NotHere), None));
    assert_eq!((answered.call_id, answered.refusal()), (Some(2), None));
    assert_eq!(answered.responder, Some((behind.me.id, 2)));
}
