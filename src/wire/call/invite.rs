//! `invite`: the caller has found its ring, and the callee is of another.

use prost::Message;

use super::{Args, Call};
use crate::protocol::rpc::Request;
use crate::wire::error::WireError;
use crate::wire::node::{Ids, node};
use crate::wire::proto;

pub(super) struct Invite;

impl Call for Invite {
    fn names(&self) -> (&'static str, Option<&'static str>) {
        ("invite", None)
    }

    fn args(&self, request: &Request) -> Option<Args> {
        let Request::Invite { me } = request else { return None };
        Some(Args::of(&proto::InviteArgs { node: node(*me) }))
    }

    fn request(&self, call: &proto::Call, ids: Ids) -> Result<Request, WireError> {
        Ok(Request::Invite { me: ids.peer(&proto::InviteArgs::decode(call.args.clone())?.node)? })
    }
}
