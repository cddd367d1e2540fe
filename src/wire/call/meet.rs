//! `meet`: another ring's node is handed on to where it belongs.

use prost::Message;

use super::{Args, Call};
use crate::protocol::rpc::Request;
use crate::wire::error::WireError;
use crate::wire::node::{Ids, id, id_bytes, node};
use crate::wire::proto;

pub(super) struct Meet;

impl Call for Meet {
    fn names(&self) -> (&'static str, Option<&'static str>) {
        ("meet", None)
    }

    fn args(&self, request: &Request) -> Option<Args> {
        let Request::Meet { node: met, until } = request else { return None };
        Some(Args::of(&proto::MeetArgs { node: node(*met), until: until.map(id_bytes) }))
    }

    fn request(&self, call: &proto::Call, ids: Ids) -> Result<Request, WireError> {
        let args = proto::MeetArgs::decode(call.args.clone())?;
        Ok(Request::Meet { node: ids.peer(&args.node)?, until: args.until.as_deref().map(id).transpose()? })
    }
}
