//! Conversion between the protocol's types and those of the wire, which are not to be trusted.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use super::error::WireError;
use super::node::{Ids, id, id_bytes, node, port};
use super::proto;
use crate::protocol::id::Id;
use crate::protocol::peer::Peer;
use crate::protocol::rpc::{Code, Dialect, Hop, Memory, Request, Response};

/// A call as it travels.
#[derive(Debug)]
pub struct Question {
    /// What is asked. One that can't be understood is refused, not ignored: see [`Reply::refuse`].
    pub request: Result<Request, WireError>,
    /// Echoed by the reply; plain peers send none.
    pub call_id: Option<u64>,
    /// What is left of the caller's time limit.
    pub deadline: Option<Duration>,
    /// The calling node, and the run of its program.
    pub caller: Option<(Peer, u64)>,
    /// The port of the node that is asked, if it is not the one that the connection was made to.
    pub to: Option<u16>,
}

/// A reply as it travels.
#[derive(Debug)]
pub struct Reply {
    /// The serialized answer, or why there is none, for programs and for people.
    value: Result<Option<Bytes>, (Code, String)>,
    /// Echo of the call.
    pub call_id: Option<u64>,
    /// The node that answers, and the run of its program.
    pub responder: Option<(Id, u64)>,
    /// The port of the node whose connections carry calls for the responder, too.
    pub front: Option<u16>,
    /// Which nodes it may name.
    ids: Ids,
}

/// The longest path that is told, in hops: three times what a ring of a million needs.
const MAX_PATH: usize = 64;

impl Question {
    /// A call without extensions.
    pub fn plain(request: Request) -> Question {
        let request = match request {
            Request::FindSuccessor { key, hops, .. } => Request::FindSuccessor { key, hops, want_path: false },
            Request::ClosestPrecedingNode { key, .. } => Request::FindSuccessor { key, hops: 0, want_path: false },
            Request::GetSuccessorList { .. } => Request::GetSuccessorList { joiner: None },
            other => other,
        };
        Question { request: Ok(request), call_id: None, deadline: None, caller: None, to: None }
    }
}

impl From<Question> for proto::Call {
    fn from(question: Question) -> proto::Call {
        let (name, args, hops) = match &question.request {
            Ok(request) => encode_request(request),
            Err(_) => ("", Bytes::new(), None),
        };
        proto::Call {
            name: name.into(),
            args,
            call_id: question.call_id,
            deadline_ms: question.deadline.map(|left| u32::try_from(left.as_millis()).unwrap_or(u32::MAX)),
            // A plain call carries no extension at all.
            hops: hops.filter(|_| question.call_id.is_some()),
            caller: question.caller.map(|(peer, _)| node(peer)),
            incarnation: question.caller.map(|(_, incarnation)| incarnation),
            to: question.to.map(u32::from),
        }
    }
}

impl Question {
    /// Decodes a received call.
    pub(super) fn heard(call: proto::Call, ids: Ids) -> Question {
        let caller = call.caller.as_ref().and_then(|caller| ids.peer(caller).ok());
        let to = call.to.filter(|_| call.call_id.is_some()).map(port).transpose();
        let (to, request) = match to {
            Ok(to) => (to, decode_request(&call, ids)),
            Err(error) => (None, Err(error)),
        };
        Question {
            request,
            call_id: call.call_id,
            deadline: call.deadline_ms.map(|millis| Duration::from_millis(millis.into())),
            caller: caller.zip(call.incarnation),
            to,
        }
    }
}

fn encode_request(request: &Request) -> (&'static str, Bytes, Option<u32>) {
    let args = |message: &dyn Encoded| message.bytes();
    match request {
        Request::FindSuccessor { key, hops, want_path } => {
            let want_path = want_path.then_some(true);
            let message = proto::FindSuccessorArgs { id: id_bytes(*key), want_path, ..Default::default() };
            ("find_successor", args(&message), Some(*hops))
        }
        Request::ClosestPrecedingNode { key, doubted, want_path } => {
            let message = proto::FindSuccessorArgs {
                id: id_bytes(*key),
                want_path: want_path.then_some(true),
                iterative: Some(true),
                doubted: doubted.iter().copied().map(node).collect(),
            };
            ("find_successor", args(&message), None)
        }
        Request::Notify { me } => ("notify", args(&proto::NotifyArgs { node: node(*me) }), None),
        Request::CheckPredecessor => ("check_predecessor", args(&proto::CheckPredecessorArgs {}), None),
        Request::GetPredecessor => ("get_predecessor", args(&proto::GetPredecessorArgs {}), None),
        Request::GetSuccessorList { joiner } => {
            ("get_successor_list", args(&proto::GetSuccessorListArgs { joiner: joiner.map(node) }), None)
        }
        Request::Nudge { me } => ("nudge", args(&proto::NudgeArgs { node: node(*me) }), None),
        Request::Invite { me } => ("invite", args(&proto::InviteArgs { node: node(*me) }), None),
        Request::Meet { node: met, until } => {
            ("meet", args(&proto::MeetArgs { node: node(*met), until: until.map(id_bytes) }), None)
        }
        Request::Leave { me, predecessor } => {
            ("leave", args(&proto::LeaveArgs { node: node(*me), predecessor: predecessor.map(node) }), None)
        }
        Request::OpenChannel => ("open_channel", args(&proto::OpenChannelArgs {}), None),
    }
}

/// Any message, as bytes.
trait Encoded {
    fn bytes(&self) -> Bytes;
}

impl<M: Message> Encoded for M {
    fn bytes(&self) -> Bytes {
        self.encode_to_vec().into()
    }
}

fn decode_request(call: &proto::Call, ids: Ids) -> Result<Request, WireError> {
    let args = call.args.clone();
    Ok(match call.name.as_str() {
        "find_successor" | "findsuccessor" => {
            let args = proto::FindSuccessorArgs::decode(args)?;
            let (key, want_path) = (id(&args.id)?, args.want_path.unwrap_or(false));
            if args.iterative.unwrap_or(false) {
                Request::ClosestPrecedingNode { key, doubted: ids.list(&args.doubted)?, want_path }
            } else {
                Request::FindSuccessor { key, hops: call.hops.unwrap_or(0), want_path }
            }
        }
        "notify" => Request::Notify { me: ids.peer(&proto::NotifyArgs::decode(args)?.node)? },
        "check_predecessor" | "checkpredecessor" => Request::CheckPredecessor,
        "get_predecessor" | "getpredecessor" => Request::GetPredecessor,
        "get_successor_list" | "getsuccessorlist" => {
            let joiner = proto::GetSuccessorListArgs::decode(args)?.joiner;
            Request::GetSuccessorList { joiner: joiner.as_ref().map(|joiner| ids.peer(joiner)).transpose()? }
        }
        "nudge" => Request::Nudge { me: ids.peer(&proto::NudgeArgs::decode(args)?.node)? },
        "invite" => Request::Invite { me: ids.peer(&proto::InviteArgs::decode(args)?.node)? },
        "meet" => {
            let args = proto::MeetArgs::decode(args)?;
            Request::Meet { node: ids.peer(&args.node)?, until: args.until.as_deref().map(id).transpose()? }
        }
        "leave" => {
            let args = proto::LeaveArgs::decode(args)?;
            Request::Leave { me: ids.peer(&args.node)?, predecessor: ids.maybe(args.predecessor.as_ref())? }
        }
        "open_channel" => Request::OpenChannel,
        unknown => return Err(WireError::UnknownCall(unknown.chars().take(40).collect())),
    })
}

/// Hops as they travel.
fn hops(path: &[Hop]) -> Vec<proto::Hop> {
    let hop = |hop: &Hop| proto::Hop {
        node: node(hop.node),
        micros: u64::try_from(hop.took.as_micros()).unwrap_or(u64::MAX),
    };
    path.iter().take(MAX_PATH).map(hop).collect()
}

impl Reply {
    /// The reply of node `me`, with successor lists of length `r`, that says `response`.
    pub fn to(response: &Response, me: Peer, r: usize) -> Reply {
        let value = match response {
            Response::Done | Response::Alive { alone: false, .. } => None,
            Response::Alive { alone, .. } => Some(proto::CheckPredecessorRet { alone: Some(*alone) }.bytes()),
            Response::Successor { owner, path } => {
                Some(proto::FindSuccessorRet { node: node(*owner), path: hops(path), preceding: Vec::new() }.bytes())
            }
            Response::Preceding { nodes, path } => {
                let preceding = nodes.iter().copied().map(node).collect();
                Some(proto::FindSuccessorRet { node: node(me), path: hops(path), preceding }.bytes())
            }
            Response::Predecessor { predecessor, successors, memory } => Some(
                proto::GetPredecessorRet {
                    // The responder itself for none: an empty answer crashes some plain peers.
                    node: Some(node(predecessor.unwrap_or(me))),
                    successors: successors.iter().flatten().copied().map(node).collect(),
                    former: memory.former.map(node),
                    slept: memory.slept.then_some(true),
                }
                .bytes(),
            ),
            Response::SuccessorList { successors, predecessor, dialect } => {
                let (first, last) = match dialect {
                    Dialect::PlainItselfFirst => (Some(me), None),
                    Dialect::Plain | Dialect::Ours => (None, Some(me)),
                };
                // Repeated until there are r entries.
                let padded = first.into_iter().chain(successors.iter().copied()).chain(last).cycle().take(r);
                let plain = *dialect != Dialect::Ours;
                let message = proto::GetSuccessorListRet {
                    successors: padded.map(node).collect(),
                    known: (!plain).then_some(successors.len() as u32),
                    predecessor: predecessor.map(|known| node(known.unwrap_or(me))),
                };
                Some(message.bytes())
            }
        };
        Reply { value: Ok(value), call_id: None, responder: None, front: None, ids: Ids::Any }
    }

    /// The reply that says why there is no answer.
    pub fn refuse(code: Code, why: impl Into<String>) -> Reply {
        Reply { value: Err((code, why.into())), call_id: None, responder: None, front: None, ids: Ids::Any }
    }

    /// Why there is no answer, if there is none.
    pub fn refusal(&self) -> Option<Code> {
        self.value.as_ref().err().map(|(code, _)| *code)
    }

    /// The reply to a call that can't be understood.
    pub fn complain(error: &WireError) -> Reply {
        Reply::refuse(error.code(), error.to_string())
    }

    /// What the reply answers to `request`, if it was sent by the node `responder`.
    ///
    /// A plain peer's reply is read leniently: a missing, zero or own predecessor means none, and a successor list may
    /// begin with its owner and ends before its owner comes again.
    pub fn read(&self, request: &Request, responder: Option<Id>) -> Result<Result<Response, Code>, WireError> {
        let value = match &self.value {
            Ok(value) => value.clone().unwrap_or_default(),
            Err((code, _)) => return Ok(Err(*code)),
        };
        let (ours, ids) = (self.call_id.is_some(), self.ids);
        let is_responder = |peer: &Peer| Some(peer.id) == responder;
        let response = match request {
            Request::FindSuccessor { .. } | Request::ClosestPrecedingNode { .. } => {
                let ret = proto::FindSuccessorRet::decode(value)?;
                let hop = |hop: &proto::Hop| {
                    let node = ids.known(&hop.node)?;
                    Ok(node.map(|node| Hop { node, took: Duration::from_micros(hop.micros) }))
                };
                let path = ret.path.iter().take(MAX_PATH).filter_map(|told| hop(told).transpose());
                let path = path.collect::<Result<_, WireError>>()?;
                let iterative = matches!(request, Request::ClosestPrecedingNode { .. });
                if !iterative || !ours || ret.preceding.is_empty() {
                    Response::Successor { owner: ids.peer(&ret.node)?, path }
                } else {
                    match ids.list(&ret.preceding)? {
                        // None of the named nodes is believed to exist.
                        nodes if nodes.is_empty() => return Ok(Err(Code::Unspecified)),
                        nodes => Response::Preceding { nodes, path },
                    }
                }
            }
            Request::Notify { .. }
            | Request::Nudge { .. }
            | Request::Invite { .. }
            | Request::Meet { .. }
            | Request::Leave { .. }
            | Request::OpenChannel => Response::Done,
            Request::CheckPredecessor => {
                let alone = ours && proto::CheckPredecessorRet::decode(value)?.alone();
                Response::Alive { plain: !ours, alone }
            }
            Request::GetPredecessor => {
                let ret = proto::GetPredecessorRet::decode(value)?;
                Response::Predecessor {
                    predecessor: ids.maybe(ret.node.as_ref())?.filter(|peer| !is_responder(peer)),
                    successors: ours.then(|| ids.list(&ret.successors)).transpose()?,
                    memory: Memory { former: ids.maybe(ret.former.as_ref())?, slept: ret.slept() },
                }
            }
            Request::GetSuccessorList { .. } => {
                let ret = proto::GetSuccessorListRet::decode(value)?;
                let predecessor = ids.maybe(ret.predecessor.as_ref())?;
                let mut successors = ids.list(&ret.successors)?;
                let itself_first = !ours && successors.first().is_some_and(is_responder);
                let others = successors.iter().any(|peer| !is_responder(peer));
                if itself_first {
                    successors.remove(0);
                }
                if !ours {
                    // A plain peer that puts a node before a list that begins with that node names it twice.
                    successors.dedup();
                }
                let real = successors.iter().take_while(|peer| !is_responder(peer)).count();
                let known = ret.known.map_or(real, |known| real.min(known as usize));
                successors.truncate(known);
                Response::SuccessorList {
                    successors,
                    predecessor: ret.predecessor.map(|_| predecessor.filter(|peer| !is_responder(peer))),
                    dialect: match (ours, itself_first && others) {
                        (true, _) => Dialect::Ours,
                        (false, true) => Dialect::PlainItselfFirst,
                        (false, false) => Dialect::Plain,
                    },
                }
            }
        };
        Ok(Ok(response))
    }
}

impl From<Reply> for proto::Return {
    fn from(reply: Reply) -> proto::Return {
        let (success, value, why) = match reply.value {
            Ok(value) => (true, value, None),
            Err(why) => (false, None, Some(why)),
        };
        // A plain caller is told only that the call failed.
        let (code, error) = why.filter(|_| reply.call_id.is_some()).unzip();
        proto::Return {
            success,
            value,
            call_id: reply.call_id,
            error,
            code: code.map(|code| proto::Code::from(code).into()),
            responder: reply.responder.map(|(id, _)| id_bytes(id)),
            incarnation: reply.responder.map(|(_, incarnation)| incarnation),
            front: reply.front.map(u32::from),
        }
    }
}

impl Reply {
    /// Decodes a received return.
    pub(super) fn heard(message: proto::Return, ids: Ids) -> Reply {
        let code = message.code().into();
        let responder = message.responder.as_ref().and_then(|bytes| id(bytes).ok());
        Reply {
            value: if message.success { Ok(message.value) } else { Err((code, message.error.unwrap_or_default())) },
            call_id: message.call_id,
            responder: responder.zip(message.incarnation),
            front: message.front.and_then(|front| port(front).ok()),
            ids,
        }
    }
}

#[cfg(test)]
mod tests;
