//! `get_predecessor`: the predecessor, and between nodes of this program the successor list and what is remembered.

use bytes::Bytes;
use prost::Message;

use super::{Args, Call, Responder, Said};
use crate::protocol::rpc::{Code, Memory, Request, Response};
use crate::wire::block::serialized;
use crate::wire::error::WireError;
use crate::wire::node::{Ids, node};
use crate::wire::proto;

pub(super) struct GetPredecessor;

impl Call for GetPredecessor {
    fn names(&self) -> (&'static str, Option<&'static str>) {
        ("get_predecessor", Some("getpredecessor"))
    }

    fn args(&self, _: &Request) -> Option<Args> {
        Some(Args::of(&proto::GetPredecessorArgs {}))
    }

    fn request(&self, _: &proto::Call, _: Ids) -> Result<Request, WireError> {
        Ok(Request::GetPredecessor)
    }

    fn ret(&self, response: &Response, by: Responder) -> Option<Option<Bytes>> {
        let Response::Predecessor { predecessor, successors, memory } = response else { return None };
        Some(Some(serialized(&proto::GetPredecessorRet {
            // The responder itself for none: an empty answer crashes some plain peers.
            node: Some(node(predecessor.unwrap_or(by.me))),
            successors: successors.iter().flatten().copied().map(node).collect(),
            former: memory.former.map(node),
            slept: memory.slept.then_some(true),
        })))
    }

    /// A plain peer's answer is read leniently: a missing, zero or own predecessor means none.
    fn response(&self, _: &Request, said: Said) -> Result<Result<Response, Code>, WireError> {
        let ret = proto::GetPredecessorRet::decode(said.value.clone())?;
        Ok(Ok(Response::Predecessor {
            predecessor: said.ids.maybe(ret.node.as_ref())?.filter(|peer| !said.is_responder(peer)),
            successors: said.ours.then(|| said.ids.list(&ret.successors)).transpose()?,
            memory: Memory { former: said.ids.maybe(ret.former.as_ref())?, slept: ret.slept() },
        }))
    }
}
