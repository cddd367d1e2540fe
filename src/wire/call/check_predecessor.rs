//! `check_predecessor`: a ping.

use bytes::Bytes;
use prost::Message;

use super::{Args, Call, Responder, Said};
use crate::protocol::rpc::{Code, Request, Response};
use crate::wire::block::serialized;
use crate::wire::error::WireError;
use crate::wire::node::Ids;
use crate::wire::proto;

pub(super) struct CheckPredecessor;

impl Call for CheckPredecessor {
    fn names(&self) -> (&'static str, Option<&'static str>) {
        ("check_predecessor", Some("checkpredecessor"))
    }

    fn args(&self, _: &Request) -> Option<Args> {
        Some(Args::of(&proto::CheckPredecessorArgs {}))
    }

    fn request(&self, _: &proto::Call, _: Ids) -> Result<Request, WireError> {
        Ok(Request::CheckPredecessor)
    }

    fn ret(&self, response: &Response, _: Responder) -> Option<Option<Bytes>> {
        let Response::Alive { alone, .. } = response else { return None };
        Some(alone.then(|| serialized(&proto::CheckPredecessorRet { alone: Some(true) })))
    }

    fn response(&self, _: &Request, said: Said) -> Result<Result<Response, Code>, WireError> {
        let alone = said.ours && proto::CheckPredecessorRet::decode(said.value)?.alone();
        Ok(Ok(Response::Alive { plain: !said.ours, alone }))
    }
}
