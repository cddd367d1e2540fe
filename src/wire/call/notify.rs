//! `notify`: the caller may be the callee's predecessor.

use prost::Message;

use super::{Args, Call};
use crate::protocol::rpc::Request;
use crate::wire::error::WireError;
use crate::wire::node::{Ids, node};
use crate::wire::proto;

pub(super) struct Notify;

impl Call for Notify {
    fn names(&self) -> (&'static str, Option<&'static str>) {
        ("notify", None)
    }

    fn args(&self, request: &Request) -> Option<Args> {
        let Request::Notify { me } = request else { return None };
        Some(Args::of(&proto::NotifyArgs { node: node(*me) }))
    }

    fn request(&self, call: &proto::Call, ids: Ids) -> Result<Request, WireError> {
        Ok(Request::Notify { me: ids.peer(&proto::NotifyArgs::decode(call.args.clone())?.node)? })
    }
}
