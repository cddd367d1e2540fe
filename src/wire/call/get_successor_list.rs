//! `get_successor_list`: the successor list, in the form that the caller understands.

use bytes::Bytes;
use prost::Message;

use super::{Args, Call, Responder, Said};
use crate::protocol::rpc::{Code, Dialect, Request, Response};
use crate::wire::block::serialized;
use crate::wire::error::WireError;
use crate::wire::node::{Ids, node};
use crate::wire::proto;

pub(super) struct GetSuccessorList;

impl Call for GetSuccessorList {
    fn names(&self) -> (&'static str, Option<&'static str>) {
        ("get_successor_list", Some("getsuccessorlist"))
    }

    fn args(&self, request: &Request) -> Option<Args> {
        let Request::GetSuccessorList { joiner } = request else { return None };
        Some(Args::of(&proto::GetSuccessorListArgs { joiner: joiner.map(node) }))
    }

    fn request(&self, call: &proto::Call, ids: Ids) -> Result<Request, WireError> {
        let joiner = proto::GetSuccessorListArgs::decode(call.args.clone())?.joiner;
        Ok(Request::GetSuccessorList { joiner: joiner.as_ref().map(|joiner| ids.peer(joiner)).transpose()? })
    }

    fn ret(&self, response: &Response, by: Responder) -> Option<Option<Bytes>> {
        let Response::SuccessorList { successors, predecessor, dialect } = response else { return None };
        let (first, last) = match dialect {
            Dialect::PlainItselfFirst => (Some(by.me), None),
            Dialect::Plain | Dialect::Ours => (None, Some(by.me)),
        };
        // Repeated until there are r entries.
        let padded = first.into_iter().chain(successors.iter().copied()).chain(last).cycle().take(by.r);
        let plain = *dialect != Dialect::Ours;
        Some(Some(serialized(&proto::GetSuccessorListRet {
            successors: padded.map(node).collect(),
            known: (!plain).then_some(successors.len() as u32),
            predecessor: predecessor.map(|known| node(known.unwrap_or(by.me))),
        })))
    }

    /// A plain peer's list is read leniently: it may begin with its owner, and ends before its owner comes again.
    fn response(&self, _: &Request, said: Said) -> Result<Result<Response, Code>, WireError> {
        let ret = proto::GetSuccessorListRet::decode(said.value.clone())?;
        let is_responder = |peer: &_| said.is_responder(peer);
        let predecessor = said.ids.maybe(ret.predecessor.as_ref())?;
        let mut successors = said.ids.list(&ret.successors)?;
        let itself_first = !said.ours && successors.first().is_some_and(is_responder);
        let others = successors.iter().any(|peer| !is_responder(peer));
        if itself_first {
            successors.remove(0);
        }
        if !said.ours {
            // A plain peer that puts a node before a list that begins with that node names it twice.
            successors.dedup();
        }
        let real = successors.iter().take_while(|peer| !is_responder(peer)).count();
        let known = ret.known.map_or(real, |known| real.min(known as usize));
        successors.truncate(known);
        Ok(Ok(Response::SuccessorList {
            successors,
            predecessor: ret.predecessor.map(|_| predecessor.filter(|peer| !is_responder(peer))),
            dialect: match (said.ours, itself_first && others) {
                (true, _) => Dialect::Ours,
                (false, true) => Dialect::PlainItselfFirst,
                (false, false) => Dialect::Plain,
            },
        }))
    }
}
