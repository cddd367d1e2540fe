//! `leave`: the caller leaves its ring.

use prost::Message;

use super::{Args, Call};
use crate::protocol::rpc::Request;
use crate::wire::error::WireError;
use crate::wire::node::{Ids, node};
use crate::wire::proto;

pub(super) struct Leave;

impl Call for Leave {
    fn names(&self) -> (&'static str, Option<&'static str>) {
        ("leave", None)
    }

    fn args(&self, request: &Request) -> Option<Args> {
        let Request::Leave { me, predecessor } = request else { return None };
        Some(Args::of(&proto::LeaveArgs { node: node(*me), predecessor: predecessor.map(node) }))
    }

    fn request(&self, call: &proto::Call, ids: Ids) -> Result<Request, WireError> {
        let args = proto::LeaveArgs::decode(call.args.clone())?;
        Ok(Request::Leave { me: ids.peer(&args.node)?, predecessor: ids.maybe(args.predecessor.as_ref())? })
    }
}
