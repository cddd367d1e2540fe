//! `open_channel`: the connection is for calls of applications from now on.

use super::{Args, Call};
use crate::protocol::rpc::Request;
use crate::wire::error::WireError;
use crate::wire::node::Ids;
use crate::wire::proto;

pub(super) struct OpenChannel;

impl Call for OpenChannel {
    fn names(&self) -> (&'static str, Option<&'static str>) {
        ("open_channel", None)
    }

    fn args(&self, _: &Request) -> Option<Args> {
        Some(Args::of(&proto::OpenChannelArgs {}))
    }

    fn request(&self, _: &proto::Call, _: Ids) -> Result<Request, WireError> {
        Ok(Request::OpenChannel)
    }
}
