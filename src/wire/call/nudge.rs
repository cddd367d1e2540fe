//! `nudge`: the callee's first successor has changed.

use prost::Message;

use super::{Args, Call};
use crate::protocol::rpc::Request;
use crate::wire::error::WireError;
use crate::wire::node::{Ids, node};
use crate::wire::proto;

pub(super) struct Nudge;

impl Call for Nudge {
    fn names(&self) -> (&'static str, Option<&'static str>) {
        ("nudge", None)
    }

    fn args(&self, request: &Request) -> Option<Args> {
        let Request::Nudge { of } = request else { return None };
        Some(Args::of(&proto::NudgeArgs { node: node(*of) }))
    }

    fn request(&self, call: &proto::Call, ids: Ids) -> Result<Request, WireError> {
        Ok(Request::Nudge { of: ids.peer(&proto::NudgeArgs::decode(call.args.clone())?.node)? })
    }
}
