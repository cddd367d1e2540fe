//! The conversion of messages: any well-formed message is refused or converted to a valid one, which survives the
//! conversion back.

use std::net::Ipv4Addr;

use arbitrary::{Result, Unstructured};
use bytes::BytesMut;
use chord::protocol::rpc::{Dialect, Request, Response};
use chord::wire::{Frame, FrameCodec, MAX_FRAME, Question, Reply, WireError};
use chord::{Addr, Id, Peer};
use tokio_util::codec::{Decoder, Encoder};

use super::words;

pub fn run(data: &[u8]) {
    // An error means that the input is too short for more.
    let _ = convert(&mut Unstructured::new(data));
}

fn convert(u: &mut Unstructured) -> Result<()> {
    let payload = if u.ratio(1, 3)? {
        words::call(u)?
    } else {
        let call = if u.ratio(1, 2)? { Some(words::number(u)?) } else { None };
        words::reply(u, call)?
    };
    match decode(&payload) {
        Ok(Frame::Call(question)) => check_question(question),
        Ok(Frame::Return(reply)) => check_reply(&reply),
        Err(WireError::Protobuf(_) | WireError::Length) => {}
        Err(error) => panic!("{error}"),
    }
    Ok(())
}

fn decode(payload: &[u8]) -> std::result::Result<Frame, WireError> {
    let frame = FrameCodec::default().decode(&mut BytesMut::from(&words::frame(payload)[..]))?;
    Ok(frame.expect("the frame is whole"))
}

/// The frame as the receiver decodes it.
fn sent(frame: Frame) -> Frame {
    let mut bytes = BytesMut::new();
    FrameCodec::default().encode(frame, &mut bytes).expect("what is said fits into a frame");
    assert!(bytes.len() <= MAX_FRAME);
    FrameCodec::default().decode(&mut bytes).expect("what is said is understood").expect("a whole frame")
}

fn check_question(question: Question) {
    let Question { request, call_id, deadline, caller, to, ring } = question;
    if let Some((caller, _)) = caller.as_deref().copied() {
        check_peer(caller);
    }
    let Ok(request) = request else { return };
    match &request {
        Request::Notify { me } | Request::Nudge { of: me } | Request::Invite { me } => check_peer(*me),
        Request::Meet { node, .. } => check_peer(*node),
        Request::Leave { me, predecessor } => [Some(*me), *predecessor].into_iter().flatten().for_each(check_peer),
        Request::GetSuccessorList { joiner } => joiner.iter().for_each(|joiner| check_peer(*joiner)),
        Request::ClosestPrecedingNode { doubted, .. } => {
            assert!(doubted.len() <= 32);
            doubted.iter().for_each(|peer| check_peer(*peer));
        }
        Request::FindSuccessor { .. } | Request::CheckPredecessor | Request::GetPredecessor | Request::OpenChannel => {}
    }
    let expected = match request.clone() {
        // A plain call carries no extension.
        Request::FindSuccessor { key, want_path, .. } if call_id.is_none() => {
            Request::FindSuccessor { key, hops: 0, want_path }
        }
        other => other,
    };
    match sent(Frame::Call(Question {
        request: Ok(request),
        call_id,
        deadline,
        caller: caller.clone(),
        to,
        ring: ring.clone(),
    })) {
        Frame::Call(back) => {
            assert_eq!(back.request.expect("understood once"), expected);
            assert_eq!((back.call_id, back.deadline, back.to), (call_id, deadline, to));
            assert_eq!((back.caller, back.ring), (caller, ring));
        }
        Frame::Return(reply) => panic!("a question comes back as {reply:?}"),
    }
}

fn check_reply(reply: &Reply) {
    let responders = [None, reply.responder.map(|(id, _)| id), Some(Id::from_bytes([1; 20]))];
    for request in requests() {
        for responder in responders {
            if let Ok(Ok(response)) = reply.read(&request, responder) {
                check_response(&request, &response);
            }
        }
    }
}

fn me() -> Peer {
    Peer { id: Id::from_bytes([2; 20]), addr: Addr::new(Ipv4Addr::LOCALHOST, 4170) }
}

/// One of each kind.
pub fn requests() -> [Request; 11] {
    [
        Request::FindSuccessor { key: me().id, hops: 0, want_path: true },
        Request::ClosestPrecedingNode { key: me().id, doubted: vec![me()], want_path: true },
        Request::Notify { me: me() },
        Request::CheckPredecessor,
        Request::GetPredecessor,
        Request::GetSuccessorList { joiner: Some(me()) },
        Request::Nudge { of: me() },
        Request::Invite { me: me() },
        Request::Meet { node: me(), until: Some(me().id) },
        Request::Leave { me: me(), predecessor: Some(me()) },
        Request::OpenChannel,
    ]
}

/// A response is valid, and if this node sends it as its own answer, it is understood.
fn check_response(request: &Request, response: &Response) {
    match response {
        Response::Preceding { nodes, path } => {
            assert!((1..=32).contains(&nodes.len()) && path.len() <= 64);
            nodes.iter().copied().chain(path.iter().map(|hop| hop.node)).for_each(check_peer);
        }
        Response::Successor { owner, path } => {
            check_peer(*owner);
            assert!(path.len() <= 64);
            path.iter().for_each(|hop| check_peer(hop.node));
        }
        Response::Predecessor { predecessor, successors, memory } => {
            predecessor.iter().chain(&memory.former).for_each(|peer| check_peer(*peer));
            successors.iter().for_each(|list| check_list(list));
        }
        Response::SuccessorList { successors, predecessor, .. } => {
            predecessor.iter().flatten().for_each(|peer| check_peer(*peer));
            check_list(successors);
        }
        Response::Done | Response::Alive { .. } => {}
    }
    for r in [1, 4, 32] {
        let mut reply = Reply::to(response, me(), r);
        (reply.call_id, reply.responder) = (Some(u64::MAX), Some((me().id, u64::MAX)));
        match sent(Frame::Return(reply)) {
            Frame::Return(reply) => {
                let back = reply.read(request, Some(me().id)).expect("understood").expect("no refusal");
                assert_eq!(back, told(response, r), "r = {r}");
            }
            Frame::Call(question) => panic!("a reply comes back as {question:?}"),
        }
    }
}

/// What the caller reads of a response that this node, with lists of length `r`, sends to its own kind.
fn told(response: &Response, r: usize) -> Response {
    let not_me = |peer: &Peer| peer.id != me().id;
    match response.clone() {
        Response::Predecessor { predecessor, successors, memory } => Response::Predecessor {
            predecessor: predecessor.filter(not_me),
            successors: Some(successors.unwrap_or_default()),
            memory,
        },
        Response::SuccessorList { successors, predecessor, dialect } => {
            let itself = (dialect == Dialect::PlainItselfFirst).then_some(me());
            let list = itself.into_iter().chain(successors).take(r).take_while(not_me);
            Response::SuccessorList {
                successors: list.collect(),
                predecessor: predecessor.map(|known| known.filter(not_me)),
                dialect: Dialect::Ours,
            }
        }
        Response::Alive { alone, .. } => Response::Alive { plain: false, alone },
        other => other,
    }
}

fn check_list(list: &[Peer]) {
    assert!(list.len() <= 32);
    list.iter().for_each(|peer| check_peer(*peer));
}

fn check_peer(peer: Peer) {
    let ip = peer.addr.ip();
    assert!(peer.addr.port() != 0 && chord::protocol::addr::callable(ip).is_ok(), "{peer:?}");
}
