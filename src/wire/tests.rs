use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use super::node::{MAX_LIST, id_bytes, node};
use super::*;
use crate::protocol::addr::Addr;
use crate::protocol::id::Bits;
use crate::protocol::peer::Peer;
use crate::protocol::rpc::{Code, Dialect, Hop, Memory, Request, Response};

fn at(port: u16) -> Peer {
    Peer::at(Addr::new(Ipv4Addr::LOCALHOST, port), Bits::FULL)
}

fn find() -> Request {
    Request::FindSuccessor { key: at(9).id, hops: 3, want_path: true }
}

/// What the other end reads of a reply that node 1 sends.
fn sent(reply: Reply, request: &Request) -> Result<Response, Code> {
    Reply::heard(proto::Return::from(reply), Ids::Any).read(request, Some(at(1).id)).unwrap()
}

fn plain(value: Option<Bytes>) -> Reply {
    Reply::heard(proto::Return { success: true, value, ..Default::default() }, Ids::Any)
}

fn ours(reply: Reply) -> Reply {
    Reply { call_id: Some(7), responder: Some((at(1).id, 1)), ..reply }
}

#[test]
fn every_call_comes_back_as_it_was_sent() {
    let me = at(2);
    let requests = [
        find(),
        Request::ClosestPrecedingNode { key: at(9).id, doubted: vec![at(4), at(5)], want_path: true },
        Request::ClosestPrecedingNode { key: at(9).id, doubted: vec![], want_path: false },
        Request::Notify { me },
        Request::CheckPredecessor,
        Request::GetPredecessor,
        Request::GetSuccessorList { joiner: Some(me) },
        Request::Nudge { of: me },
        Request::Invite { me },
        Request::Meet { node: me, until: None },
        Request::Meet { node: me, until: Some(at(9).id) },
        Request::Leave { me, predecessor: None },
        Request::Leave { me, predecessor: Some(at(4)) },
        Request::OpenChannel,
    ];
    for request in requests {
        let deadline = Some(Duration::from_millis(1234));
        let question = Question {
            request: Ok(request.clone()),
            call_id: Some(5),
            deadline,
            caller: Some(Box::new((me, 77))),
            to: Some(9),
            ring: Some("music".into()),
        };
        let read = Question::heard(proto::Call::from(question), Ids::Any);
        assert_eq!(read.request.unwrap(), request);
        assert_eq!((read.call_id, read.deadline, read.caller.as_deref()), (Some(5), deadline, Some(&(me, 77))));
        assert_eq!((read.to, read.ring.as_deref()), (Some(9), Some("music")));
    }
}

#[test]
fn port_of_whoever_is_asked_is_checked_and_plain_peers_know_of_none() {
    let call =
        |to, call_id| proto::Call { name: "checkpredecessor".into(), to: Some(to), call_id, ..Default::default() };
    for port in [0, 65_536, u32::MAX] {
        let heard = Question::heard(call(port, Some(1)), Ids::Any);
        assert!(matches!(heard.request, Err(WireError::Port(refused)) if refused == port));
        assert!(Question::heard(call(port, None), Ids::Any).request.is_ok());
    }
    assert_eq!(Question::heard(call(9, None), Ids::Any).to, None);
    let front =
        |front| Reply::heard(proto::Return { success: true, front: Some(front), ..Default::default() }, Ids::Any);
    assert_eq!((front(9).front, front(0).front, front(65_536).front), (Some(9), None, None));
}

#[test]
fn spellings_without_underscores_are_understood() {
    for (name, expected) in [
        ("checkpredecessor", Request::CheckPredecessor),
        ("getpredecessor", Request::GetPredecessor),
        ("getsuccessorlist", Request::GetSuccessorList { joiner: None }),
    ] {
        let call = proto::Call { name: name.into(), ..Default::default() };
        assert_eq!(Question::heard(call, Ids::Any).request.unwrap(), expected);
    }
    let args = proto::FindSuccessorArgs { id: id_bytes(at(9).id), ..Default::default() }.encode_to_vec().into();
    let call = proto::Call { name: "findsuccessor".into(), args, ..Default::default() };
    assert!(matches!(Question::heard(call, Ids::Any).request, Ok(Request::FindSuccessor { .. })));
}

#[test]
fn unknown_and_malformed_calls_are_told_apart() {
    let unknown = Question::heard(proto::Call { name: "get_money".into(), ..Default::default() }, Ids::Any);
    assert_eq!(unknown.request.unwrap_err().code(), Code::UnknownCall);
    let args =
        proto::FindSuccessorArgs { id: Bytes::from_static(&[1; 19]), ..Default::default() }.encode_to_vec().into();
    let short = Question::heard(proto::Call { name: "find_successor".into(), args, ..Default::default() }, Ids::Any);
    let error = short.request.unwrap_err();
    assert_eq!((error.code(), error.to_string().as_str()), (Code::BadRequest, "identifier of 19 bytes instead of 20"));
    let none = Question::heard(proto::Call { name: "notify".into(), ..Default::default() }, Ids::Any);
    assert_eq!(none.request.unwrap_err().code(), Code::BadRequest);
}

#[test]
fn every_way_to_say_no_predecessor_is_understood() {
    let zero = proto::Node { id: vec![0; 20].into(), address: String::new(), port: 0 };
    let says = |node| Some(proto::GetPredecessorRet { node, ..Default::default() }.encode_to_vec().into());
    let none = Ok(Response::Predecessor { predecessor: None, successors: None, memory: Memory::default() });
    for value in [None, Some(Bytes::new()), says(None), says(Some(zero)), says(Some(node(at(1))))] {
        assert_eq!(sent(plain(value), &Request::GetPredecessor), none);
    }
    let some = Ok(Response::Predecessor { predecessor: Some(at(2)), successors: None, memory: Memory::default() });
    assert_eq!(sent(plain(says(Some(node(at(2))))), &Request::GetPredecessor), some);
}

#[test]
fn plain_list_is_read_in_both_dialects() {
    let request = Request::GetSuccessorList { joiner: None };
    let read = |ports: &[u16]| {
        let successors = ports.iter().map(|port| node(at(*port))).collect();
        let message = proto::GetSuccessorListRet { successors, known: None, predecessor: None };
        match sent(plain(Some(message.encode_to_vec().into())), &request) {
            Ok(Response::SuccessorList { successors, dialect, .. }) => (successors, dialect),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(read(&[2, 3, 1, 1]), (vec![at(2), at(3)], Dialect::Plain));
    assert_eq!(read(&[1, 2, 3, 1]), (vec![at(2), at(3)], Dialect::PlainItselfFirst));
    assert_eq!(
        read(&[2, 2, 3, 1]),
        (vec![at(2), at(3)], Dialect::Plain),
        "copied from a list that begins with its owner"
    );
    assert_eq!(read(&[1, 1, 1]), (vec![], Dialect::Plain), "a ring of one shows no dialect");
    assert_eq!(read(&[]), (vec![], Dialect::Plain));
}

#[test]
fn list_is_served_with_exactly_r_entries() {
    let served = |successors: &[u16], dialect| {
        let successors = successors.iter().map(|port| at(*port)).collect();
        let response = Response::SuccessorList { successors, predecessor: None, dialect };
        let value = Reply::to(&response, at(1), 4).value.unwrap().unwrap();
        let message = proto::GetSuccessorListRet::decode(value).unwrap();
        (message.successors.iter().map(|node| node.port).collect::<Vec<_>>(), message.known)
    };
    assert_eq!(served(&[2, 3], Dialect::Ours), (vec![2, 3, 1, 2], Some(2)));
    assert_eq!(served(&[], Dialect::Plain), (vec![1, 1, 1, 1], None));
    assert_eq!(served(&[2], Dialect::Plain), (vec![2, 1, 2, 1], None), "round and round");
    assert_eq!(served(&[2], Dialect::PlainItselfFirst), (vec![1, 2, 1, 2], None));
    assert_eq!(served(&[2, 3, 4, 5], Dialect::PlainItselfFirst), (vec![1, 2, 3, 4], None));
}

#[test]
fn our_own_answers_come_back_as_they_were_sent() {
    let hop = Hop { node: at(3), took: Duration::from_micros(250) };
    let answers = [
        (find(), Response::Successor { owner: at(2), path: vec![hop] }),
        (point(), Response::Successor { owner: at(1), path: vec![] }),
        (point(), Response::Preceding { nodes: vec![at(5), at(4)], path: vec![hop] }),
        (Request::Notify { me: at(2) }, Response::Done),
        (Request::CheckPredecessor, Response::Alive { plain: false, alone: false }),
        (Request::CheckPredecessor, Response::Alive { plain: false, alone: true }),
        (
            Request::GetPredecessor,
            Response::Predecessor { predecessor: None, successors: Some(vec![at(2)]), memory: Memory::default() },
        ),
        (
            Request::GetSuccessorList { joiner: Some(at(2)) },
            Response::SuccessorList { successors: vec![at(3)], predecessor: Some(Some(at(4))), dialect: Dialect::Ours },
        ),
    ];
    for (request, response) in answers {
        assert_eq!(sent(ours(Reply::to(&response, at(1), 4)), &request), Ok(response));
    }
}

fn point() -> Request {
    Request::ClosestPrecedingNode { key: at(9).id, doubted: vec![], want_path: true }
}

/// A plain peer passes the question on.
#[test]
fn plain_peer_is_asked_for_the_owner_instead_of_the_next_hop() {
    let Question { request, .. } = Question::plain(point());
    assert_eq!(request.unwrap(), Request::FindSuccessor { key: at(9).id, hops: 0, want_path: false });
    let said = Reply::to(&Response::Preceding { nodes: vec![at(5)], path: vec![] }, at(2), 4);
    let named = Response::Successor { owner: at(2), path: vec![] };
    assert_eq!(sent(said, &point()), Ok(named), "and what else it says means nothing");
    let said = Reply::to(&Response::Preceding { nodes: vec![at(5)], path: vec![] }, at(2), 4);
    let named = Response::Successor { owner: at(2), path: vec![] };
    assert_eq!(sent(ours(said), &find()), Ok(named), "nor does it to a caller that did not ask for it");
}

#[test]
fn refusal_carries_its_code_and_reason() {
    let refusal = proto::Return::from(ours(Reply::refuse(Code::Retry, "another joins")));
    assert_eq!((refusal.success, refusal.error.as_deref()), (false, Some("another joins")));
    assert_eq!(sent(Reply::heard(refusal, Ids::Any), &find()), Err(Code::Retry));
    let to_plain = proto::Return::from(Reply::refuse(Code::Retry, "another joins"));
    assert_eq!(to_plain, proto::Return { success: false, ..Default::default() }, "a plain caller knows no extension");
    let silent = proto::Return { success: false, ..Default::default() };
    assert_eq!(sent(Reply::heard(silent, Ids::Any), &find()), Err(Code::Unspecified));
}

#[test]
fn answer_without_an_owner_is_an_error() {
    assert!(matches!(plain(None).read(&find(), None), Err(WireError::Id(0))));
}

/// What a node that believes in these nodes reads of this message.
fn read_by(ids: Ids, value: &impl Message, request: &Request) -> Result<Response, String> {
    let message = proto::Return {
        success: true,
        value: Some(value.encode_to_vec().into()),
        call_id: Some(1),
        ..Default::default()
    };
    let read = Reply::heard(message, ids).read(request, None);
    read.map(|said| said.expect("no refusal")).map_err(|error| error.to_string())
}

#[test]
fn strict_node_refuses_questions_about_nodes_with_other_identifiers() {
    let liar = Peer { id: at(3).id, ..at(2) };
    let about = |peer| {
        let [node, joiner] = [node(peer), node(peer)];
        [
            ("notify", proto::NotifyArgs { node: node.clone() }.encode_to_vec().into()),
            ("nudge", proto::NudgeArgs { node: node.clone() }.encode_to_vec().into()),
            ("invite", proto::InviteArgs { node: node.clone() }.encode_to_vec().into()),
            ("meet", proto::MeetArgs { node: node.clone(), until: None }.encode_to_vec().into()),
            ("leave", proto::LeaveArgs { node, predecessor: None }.encode_to_vec().into()),
            ("get_successor_list", proto::GetSuccessorListArgs { joiner: Some(joiner) }.encode_to_vec().into()),
        ]
    };
    let understood = |ids, (name, args): (&str, Bytes), caller| {
        let caller = Some(node(caller));
        let call = proto::Call { name: name.into(), args, caller, incarnation: Some(1), ..Default::default() };
        let question = Question::heard(call, ids);
        (question.request.is_ok(), question.caller.is_some())
    };
    for (lie, truth) in about(liar).into_iter().zip(about(at(2))) {
        assert_eq!(understood(Ids::OfAddress, lie.clone(), liar), (false, false), "{}", lie.0);
        assert_eq!(understood(Ids::Any, lie, liar), (true, true));
        assert_eq!(understood(Ids::OfAddress, truth, at(2)), (true, true));
    }
}

#[test]
fn strict_node_hears_of_no_node_with_another_identifier() {
    let liar = Peer { id: at(3).id, ..at(2) };
    let lists = |successors: Vec<Peer>, predecessor| {
        let successors: Vec<_> = successors.into_iter().map(node).collect();
        let list = proto::GetSuccessorListRet {
            successors: successors.clone(),
            known: None,
            predecessor: Some(node(predecessor)),
        };
        (list, proto::GetPredecessorRet { node: Some(node(predecessor)), successors, ..Default::default() })
    };
    let (list, both) = lists(vec![at(5), liar, at(6)], liar);
    let request = Request::GetSuccessorList { joiner: None };
    let left = |predecessor, successors| Response::SuccessorList {
        successors,
        predecessor: Some(predecessor),
        dialect: Dialect::Ours,
    };
    assert_eq!(read_by(Ids::OfAddress, &list, &request), Ok(left(None, vec![at(5), at(6)])));
    assert_eq!(read_by(Ids::Any, &list, &request), Ok(left(Some(liar), vec![at(5), liar, at(6)])));
    let left =
        Response::Predecessor { predecessor: None, successors: Some(vec![at(5), at(6)]), memory: Memory::default() };
    assert_eq!(read_by(Ids::OfAddress, &both, &Request::GetPredecessor), Ok(left));

    let hops = |peer| vec![proto::Hop { node: node(peer), micros: 1 }];
    let found = proto::FindSuccessorRet { node: node(liar), path: vec![], preceding: vec![] };
    assert!(read_by(Ids::OfAddress, &found, &find()).unwrap_err().contains("is not the SHA-1 of"));
    let found = proto::FindSuccessorRet { node: node(at(5)), path: hops(liar), preceding: vec![] };
    let left = Response::Successor { owner: at(5), path: vec![] };
    assert_eq!(read_by(Ids::OfAddress, &found, &find()), Ok(left));
}

#[test]
fn endless_lists_are_cut() {
    let successors = (1000..1100).map(|port| node(at(port))).collect();
    let value =
        proto::GetSuccessorListRet { successors, known: Some(u32::MAX), predecessor: None }.encode_to_vec().into();
    match sent(plain(Some(value)), &Request::GetSuccessorList { joiner: None }) {
        Ok(Response::SuccessorList { successors, .. }) => assert_eq!(successors.len(), MAX_LIST),
        other => panic!("{other:?}"),
    }
}
