//! Connections between nodes of our own kind, over real sockets; and the embedding interface.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use chord::actors::{Call, Stop, Way};
use chord::net::limits::budget::ConnectionBudget;
use chord::net::limits::inbound::Limits;
use chord::net::pending::MAX_ASKED;
use chord::net::pool::ConnectionPool;
use chord::protocol::id::Bits;
use chord::protocol::procedure::Answer;
use chord::protocol::rpc::{Code, Dialect, Request, Response};
use chord::wire::{Frame, FrameCodec, Question, Reply};
use chord::{Config, Id, LookupError, Node, Peer, StartError};
use futures::future::{join, join_all};
use futures::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::{sleep, timeout};
use tokio_util::codec::Framed;

use crate::support::ends::{PATIENCE, Them, Us, Wire, alive, question, wire_is_closed, wire_is_open};

#[actix_rt::test]
async fn many_calls_share_one_connection() {
    let (us, them) = (Us::start(1).await, Them::start().await);
    let calls = join_all((0..100).map(|_| us.call(them.me, Way::Kept)));
    let serve = async {
        let mut wire = them.accept().await;
        let first = question(&mut wire).await;
        let more = timeout(Duration::from_millis(100), wire.next()).await;
        assert!(more.is_err(), "one call until the first echo: {more:?}");
        them.answer(&mut wire, &first).await;
        let mut rest = Vec::new();
        while rest.len() < 99 {
            rest.push(question(&mut wire).await);
        }
        for question in rest.iter().rev() {
            them.answer(&mut wire, question).await;
        }
        assert!(them.is_left_alone().await);
    };
    let (answers, ()) = tokio::join!(calls, serve);
    assert!(answers.iter().all(|answer| *answer == alive()));
}

#[actix_rt::test]
async fn call_on_a_kept_connection_passes_no_mailbox() {
    let (us, them) = (Us::start(1).await, Them::start().await);
    let call = || Call { target: them.me.into(), request: Request::GetPredecessor, way: Way::Kept, patience: None };
    assert!(us.routes.call(call()).is_err(), "there is no connection");
    let (answer, mut wire) = tokio::join!(us.call(them.me, Way::Kept), async {
        let mut wire = them.accept().await;
        let first = question(&mut wire).await;
        let unknown = us.routes.call(call());
        assert!(unknown.is_err(), "whether many calls may be made on it is not known before the first echo");
        them.answer(&mut wire, &first).await;
        wire
    });
    assert_eq!(answer, alive());
    // The peers actor hears of it by message.
    eventually("the connection is kept for calls", async || {
        us.routes.pool.get(them.me.addr).is_some_and(|route| route.incarnation.is_some())
    })
    .await;
    us.peers.send(Stop).await.unwrap();
    assert!(us.routes.pool.get(them.me.addr).is_none(), "nothing is kept after the end");
    assert!(wire_is_closed(&mut wire).await);
}

#[actix_rt::test]
async fn node_that_has_made_too_many_connections_closes_the_one_that_was_silent_longest() {
    let limits = Limits { dialed: 2, ..Limits::default() };
    let us = Us::start_with(1, limits).await;
    let they = [Them::start().await, Them::start().await, Them::start().await];
    let mut wires = Vec::new();
    for them in &they {
        let (answer, wire) = tokio::join!(us.call(them.me, Way::Kept), async {
            let mut wire = them.accept().await;
            let asked = question(&mut wire).await;
            them.answer(&mut wire, &asked).await;
            wire
        });
        assert_eq!(answer, alive());
        wires.push(wire);
    }
    assert!(wire_is_closed(&mut wires[0]).await);
    assert!(wire_is_open(&mut wires[1]).await && wire_is_open(&mut wires[2]).await);
    assert!(us.routes.pool.get(they[0].me.addr).is_none());
    eventually("it counts what is open", async || us.counters.read().open == 2).await;
    assert_eq!(us.counters.read().dialed, 3);
}

/// Each of a thousand nodes of one process could have eight connections. The nodes through which the others joined had
/// a request on each of theirs, and refused all others, though the process had thousands of connections left.
#[actix_rt::test]
async fn node_whose_share_is_in_use_takes_what_others_leave_and_gives_it_back() {
    let budget = ConnectionBudget::new(2);
    let us = Us::start_in(Some(budget.clone()), 1, Limits { dialed: 1, ..Limits::default() }).await;
    let they = [Them::start().await, Them::start().await, Them::start().await];
    let asked = async |them: &Them| {
        let mut wire = them.accept().await;
        let asked = question(&mut wire).await;
        (wire, asked)
    };
    let calls = join(us.call(they[0].me, Way::Kept), us.call(they[1].me, Way::Kept));
    let meanwhile = async {
        let (mut first, mut second) = (asked(&they[0]).await, asked(&they[1]).await);
        assert_eq!(us.call(they[2].me, Way::Kept).await, Answer::Unasked, "nothing is left");
        assert!(budget.take().is_none());
        they[0].answer(&mut first.0, &first.1).await;
        they[1].answer(&mut second.0, &second.1).await;
        (first.0, second.0)
    };
    let (answers, (mut first, mut second)) = join(calls, meanwhile).await;
    assert_eq!(answers, (alive(), alive()));
    let (answer, _third) = join(us.call(they[2].me, Way::Kept), async {
        let (mut wire, asked) = asked(&they[2]).await;
        they[2].answer(&mut wire, &asked).await;
        wire
    })
    .await;
    assert_eq!(answer, alive());
    assert!(wire_is_closed(&mut first).await && wire_is_closed(&mut second).await, "its share is one");
    assert!(budget.take().is_some(), "and the other is back in the budget");
}

/// A call that is lost is repeated only once: on a connection that is about to close the second try had no answer.
#[actix_rt::test]
async fn connection_that_has_to_go_takes_no_more_calls() {
    let us = Us::start_with(1, Limits { dialed: 1, ..Limits::default() }).await;
    let (them, other) = (Them::start().await, Them::start().await);
    let accept = async |them: &Them| {
        let mut wire = them.accept().await;
        let asked = question(&mut wire).await;
        them.answer(&mut wire, &asked).await;
        wire
    };
    let (answer, _wire) = tokio::join!(us.call(them.me, Way::Kept), accept(&them));
    assert_eq!(answer, alive());
    let lost = Call { target: other.me.into(), request: Request::CheckPredecessor, way: Way::Kept, patience: None };
    us.peers.do_send(lost);
    let (answer, _wires) = tokio::join!(us.call(them.me, Way::Again), accept(&other));
    assert_eq!(answer, Answer::Unasked, "there is no room for another, and none to be lost on");
}

/// Connects to `us` from `ip`, and claims to be the node `claimed`.
async fn introduce(us: &Us, ip: [u8; 4], claimed: Peer, run: u64) -> Wire {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((ip, 0))).unwrap();
    let stream = socket.connect(us.me.addr.into()).await.unwrap();
    let mut wire = Framed::new(stream, FrameCodec::default());
    let mut call = Question::plain(Request::CheckPredecessor);
    (call.call_id, call.caller) = (Some(1), Some(Box::new((claimed, run))));
    wire.send(Frame::Call(call)).await.unwrap();
    assert!(matches!(timeout(PATIENCE, wire.next()).await, Ok(Some(Ok(Frame::Return(_))))));
    wire
}

/// Has `us` call `them`, for which it has to dial.
async fn call_by_dialling(us: &Us, them: &Them) {
    let serve = async {
        let mut wire = them.accept().await;
        let asked = question(&mut wire).await;
        them.answer(&mut wire, &asked).await;
    };
    let (answer, ()) = tokio::join!(us.call(them.me, Way::Fresh), serve);
    assert_eq!(answer, alive());
}

#[actix_rt::test]
async fn calls_go_both_ways_on_one_connection() {
    let (us, them) = (Us::start(1).await, Them::start().await);
    call_by_dialling(&us, &them).await;
    let mut wire = introduce(&us, [127, 0, 0, 2], them.me, 7).await;
    let serve = async {
        let asked = question(&mut wire).await;
        them.answer(&mut wire, &asked).await;
    };
    let (answer, ()) = tokio::join!(us.call(them.me, Way::Kept), serve);
    assert_eq!(answer, alive());
    assert!(them.is_left_alone().await);
}

#[actix_rt::test]
async fn claim_to_be_somebody_is_believed_only_if_the_address_agrees() {
    let (us, them) = (Us::start(1).await, Them::start().await);
    let _unproven = introduce(&us, [127, 0, 0, 2], them.me, 7).await;
    call_by_dialling(&us, &them).await;
    let _another_run = introduce(&us, [127, 0, 0, 2], them.me, 8).await;
    let _another_host = introduce(&us, [127, 0, 0, 9], them.me, 7).await;
    let serve = async {
        let mut wire = them.accept().await;
        let asked = question(&mut wire).await;
        them.answer(&mut wire, &asked).await;
    };
    let (answer, ()) = tokio::join!(us.call(them.me, Way::Kept), serve);
    assert_eq!(answer, alive());
}

#[actix_rt::test]
async fn call_that_a_closing_connection_swallowed_is_repeated_once() {
    let (us, them) = (Us::start(1).await, Them::start().await);
    let serve = async {
        let mut wire = them.accept().await;
        let first = question(&mut wire).await;
        them.answer(&mut wire, &first).await;
        question(&mut wire).await;
        drop(wire);
        let mut again = them.accept().await;
        let second = question(&mut again).await;
        them.answer(&mut again, &second).await;
        (wire_is_open(&mut again).await, them.is_left_alone().await)
    };
    let calls = async {
        assert_eq!(us.call(them.me, Way::Kept).await, alive());
        assert_eq!(us.call(them.me, Way::Kept).await, alive());
    };
    let ((open, alone), ()) = tokio::join!(serve, calls);
    assert!(open && alone, "the fresh connection is kept, and the only one");
    assert_eq!(*us.severed.borrow(), [them.me.addr], "a kept connection that breaks is a hint");
}

#[actix_rt::test]
async fn call_that_is_swallowed_twice_has_no_answer() {
    let (us, them) = (Us::start(1).await, Them::start().await);
    let serve = async {
        let mut wire = them.accept().await;
        let first = question(&mut wire).await;
        them.answer(&mut wire, &first).await;
        question(&mut wire).await;
        drop(wire);
        question(&mut them.accept().await).await;
        assert!(them.is_left_alone().await, "not a third time");
    };
    let calls = async {
        us.call(them.me, Way::Kept).await;
        assert_eq!(us.call(them.me, Way::Kept).await, Answer::Silent);
    };
    tokio::join!(serve, calls);
}

#[actix_rt::test]
async fn nobody_there_is_gone() {
    let us = Us::start(1).await;
    let nobody = Them::start().await.me;
    assert_eq!(us.call(nobody, Way::Kept).await, Answer::Gone);
    assert_eq!(us.call(nobody, Way::Fresh).await, Answer::Gone);
}

#[actix_rt::test]
async fn somebody_else_at_the_address_means_that_the_target_is_gone() {
    let (us, them) = (Us::start(1).await, Them::start().await);
    let serve = async {
        let mut wire = them.accept().await;
        for (id, incarnation) in [(Id::of_key(b"another", Bits::FULL), 7), (them.me.id, 7)] {
            let asked = question(&mut wire).await;
            them.answer_as(&mut wire, &asked, id, incarnation).await;
        }
        drop(wire);
    };
    let calls = async {
        assert_eq!(us.call(them.me, Way::Kept).await, Answer::Gone, "another identifier");
        assert_eq!(us.call(them.me, Way::Kept).await, alive());
    };
    tokio::join!(serve, calls);
}

/// While a member was away another program had its address. The connection to that program was kept: when the
/// member was back, nodes that still asked on that connection took it for gone.
#[actix_rt::test]
async fn whoever_held_the_address_of_a_member_for_a_while_does_not_stand_for_it() {
    let (us, them) = (Us::start(1).await, Them::start().await);
    let another = Id::of_key(b"another", Bits::FULL);
    let meanwhile = async {
        let mut wire = them.accept().await;
        let asked = question(&mut wire).await;
        them.answer_as(&mut wire, &asked, another, 7).await;
        wire
    };
    let (answer, mut wire) = tokio::join!(us.call(them.me, Way::Kept), meanwhile);
    assert_eq!(answer, Answer::Gone, "it is away");
    let back = async {
        let asked = question(&mut wire).await;
        them.answer_as(&mut wire, &asked, another, 7).await;
        let mut wire = them.accept().await;
        let asked = question(&mut wire).await;
        them.answer(&mut wire, &asked).await;
        wire
    };
    let (answer, _wire) = tokio::join!(us.call(them.me, Way::Kept), back);
    assert_eq!(answer, alive());
}

/// Found by random histories: a node that had long been a member again was taken for dead by all nodes that
/// had known it before. Only its answers show whether it is in a ring.
#[actix_rt::test]
async fn node_that_was_started_again_is_dead_only_as_a_ring_of_one() {
    let (us, them) = (Us::start(1).await, Them::start().await);
    let list = |successors| Response::SuccessorList { successors, predecessor: None, dialect: Dialect::Ours };
    let ask = Request::GetSuccessorList { joiner: None };
    for (incarnation, successors) in [(7, vec![]), (8, vec![us.me]), (9, vec![])] {
        let serve = async {
            let mut wire = them.accept().await;
            let asked = question(&mut wire).await;
            let mut reply = Reply::to(&list(successors.clone()), them.me, 4);
            reply.call_id = asked.call_id;
            reply.responder = Some((them.me.id, incarnation));
            wire.send(Frame::Return(reply)).await.unwrap();
        };
        let (_, answer) = tokio::join!(serve, us.ask(them.me, ask.clone(), Way::Kept));
        let restarted_alone = incarnation == 9;
        let expected = if restarted_alone { Answer::Gone } else { Answer::Reply(list(successors)) };
        assert_eq!(answer, expected, "run {incarnation}");
    }
}

#[actix_rt::test]
async fn connection_that_leads_nowhere_is_closed_when_in_doubt() {
    let (us, them) = (Us::start(1).await, Them::start().await);
    let serve = async {
        let mut kept = them.accept().await;
        let first = question(&mut kept).await;
        them.answer(&mut kept, &first).await;
        let mut fresh = them.accept().await;
        let asked = question(&mut fresh).await;
        them.answer(&mut fresh, &asked).await;
        assert!(timeout(PATIENCE, fresh.next()).await.unwrap().is_none(), "a fresh connection is for one call");
        question(&mut kept).await;
        let closed = timeout(PATIENCE, async { while kept.next().await.is_some() {} }).await;
        assert!(closed.is_ok(), "a ping on the kept connection goes unanswered");
    };
    let calls = async {
        us.call(them.me, Way::Kept).await;
        assert_eq!(us.call(them.me, Way::Fresh).await, alive());
    };
    tokio::join!(serve, calls);
}

#[actix_rt::test]
async fn target_with_too_many_questions_is_busy() {
    let (us, them) = (Us::start(1).await, Them::start().await);
    let calls: Vec<_> = (0..MAX_ASKED)
        .map(|_| Call { target: them.me.into(), request: Request::CheckPredecessor, way: Way::Kept, patience: None })
        .map(|call| Box::pin(us.peers.send(call)))
        .collect();
    let mut calls = join_all(calls);
    let waiting = timeout(Duration::from_millis(100), &mut calls).await;
    assert!(waiting.is_err(), "no node answers");
    assert_eq!(us.call(them.me, Way::Kept).await, Answer::Unasked);
}

#[actix_rt::test]
async fn calls_of_our_own_go_only_to_our_own_kind() {
    let (us, them) = (Us::start(1).await, Them::start().await);
    let invite =
        Call { target: them.me.into(), request: Request::Invite { me: us.me }, way: Way::Kept, patience: None };
    assert_eq!(us.peers.send(invite.clone()).await.unwrap(), Answer::Refused(Code::UnknownCall));
    assert!(them.is_left_alone().await);
    let serve = async {
        let mut wire = them.accept().await;
        for _ in 0..2 {
            let asked = question(&mut wire).await;
            them.answer(&mut wire, &asked).await;
        }
    };
    let calls = async {
        us.call(them.me, Way::Kept).await;
        assert_eq!(us.peers.send(invite).await.unwrap(), Answer::Reply(Response::Done));
    };
    tokio::join!(serve, calls);
}

fn config() -> Config {
    Config {
        stabilize: Duration::from_millis(50),
        fix_fingers: Duration::from_millis(50),
        check_predecessor: Duration::from_millis(50),
        ..Config::new(Ipv4Addr::LOCALHOST)
    }
}

async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"));
}

#[actix_rt::test]
async fn several_nodes_of_one_process_form_a_ring() {
    let first = Node::start_sharing(config(), ConnectionPool::default()).await.unwrap();
    let seeded = Config { seeds: vec![first.me().addr.into()], ..config() };
    let more = join_all((0..7).map(|_| Node::start_sharing(seeded.clone(), ConnectionPool::default()))).await;
    let mut nodes = vec![first];
    nodes.extend(more.into_iter().map(Result::unwrap));
    let mut ring: Vec<Peer> = nodes.iter().map(Node::me).collect();
    ring.sort();
    let owner = |key: Id| *ring.iter().find(|node| node.id >= key).unwrap_or(&ring[0]);
    eventually("a ring", async || {
        let states = join_all(nodes.iter().map(Node::state)).await;
        states.into_iter().flatten().all(|state| {
            let at = ring.iter().position(|node| *node == state.me).unwrap();
            let next: Vec<_> = ring.iter().cycle().skip(at + 1).take(4).copied().collect();
            let before = ring[(at + ring.len() - 1) % ring.len()];
            let fingers = (1..=160).map(|i| owner(state.me.id.finger_start(i, Bits::FULL)));
            state.successors == next && state.predecessor == Some(before) && state.fingers.iter().copied().eq(fingers)
        })
    })
    .await;
    for (i, node) in nodes.iter().enumerate() {
        let key = format!("key {i}");
        assert_eq!(node.lookup(&key).await, Ok(owner(Id::of_key(key.as_bytes(), Bits::FULL))));
    }
}

#[actix_rt::test]
async fn trace_tells_who_was_asked() {
    let first = Node::start_sharing(config(), ConnectionPool::default()).await.unwrap();
    assert_eq!(first.trace(first.me().id).await.unwrap().path, [], "no node was asked");
    let second =
        Node::start_sharing(Config { seeds: vec![first.me().addr.into()], ..config() }, ConnectionPool::default())
            .await
            .unwrap();
    let third = Node::start_sharing(
        Config { seeds: vec![first.me().addr.into()], successors: 1, ..config() },
        ConnectionPool::default(),
    )
    .await
    .unwrap();
    let nodes = [&first, &second, &third];
    eventually("a path", async || {
        let mut asked = Vec::new();
        for (node, key) in nodes.iter().flat_map(|node| nodes.map(|other| (node, other.me().id))) {
            let found = node.trace(key).await.unwrap();
            asked.extend(found.path.iter().map(|hop| hop.node));
            assert!(found.path.iter().all(|hop| hop.node != node.me()));
        }
        !asked.is_empty()
    })
    .await;
}

#[actix_rt::test]
async fn node_can_start_again_on_its_port_at_once() {
    let first = Node::start_sharing(config(), ConnectionPool::default()).await.unwrap();
    let second =
        Node::start_sharing(Config { seeds: vec![first.me().addr.into()], ..config() }, ConnectionPool::default())
            .await
            .unwrap();
    let listen = second.me().addr;
    eventually("a ring of two", async || first.state().await.unwrap().predecessor == Some(second.me())).await;
    second.stop().await;
    let again = Node::start_sharing(
        Config { listen, seeds: vec![first.me().addr.into()], ..config() },
        ConnectionPool::default(),
    )
    .await
    .unwrap();
    eventually("a ring of two", async || {
        again.state().await.unwrap().predecessor == Some(first.me())
            && first.state().await.unwrap().predecessor == Some(again.me())
    })
    .await;
    assert_eq!(second.lookup("Hello").await, Err(LookupError::Stopped));
    assert_eq!(second.state().await, None);
}

#[actix_rt::test]
async fn node_stops_when_its_last_handle_is_dropped() {
    let node = Node::start_sharing(config(), ConnectionPool::default()).await.unwrap();
    let addr = node.me().addr;
    let clone = node.clone();
    drop(node);
    assert_eq!(clone.lookup("Hello").await, Ok(clone.me()), "not the last");
    drop(clone);
    eventually("the port is free", async || TcpListener::bind(addr.socket()).await.is_ok()).await;
}

#[actix_rt::test]
async fn failure_to_start_says_why() {
    let first = Node::start_sharing(config(), ConnectionPool::default()).await.unwrap();
    let taken = Config { listen: first.me().addr, ..config() };
    assert!(
        matches!(Node::start_sharing(taken, ConnectionPool::default()).await, Err(StartError::Listen { addr, .. }) if addr == first.me().addr)
    );
    let nobody = Them::start().await.me.addr;
    let lonely = Config { seeds: vec![nobody.into()], join_timeout: Duration::from_millis(200), ..config() };
    assert!(
        matches!(Node::start_sharing(lonely, ConnectionPool::default()).await, Err(StartError::NoAnswer(seeds)) if seeds == vec![nobody.into()])
    );
    let twin = Config { seeds: vec![first.me().addr.into()], id: Some(first.me().id), ..config() };
    assert!(
        matches!(Node::start_sharing(twin, ConnectionPool::default()).await, Err(StartError::IdTaken(taken)) if taken == first.me())
    );
    assert!(matches!(
        Node::start_sharing(Config { successors: 0, ..config() }, ConnectionPool::default()).await,
        Err(StartError::Config(_))
    ));
}
