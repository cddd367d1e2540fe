//! The calls of the contract, one a file: what each asks and answers on the wire.
//!
//! A new call is a file here, a line in the list below, and its messages in `proto/chord.proto`.

mod check_predecessor;
mod find_successor;
mod get_predecessor;
mod get_successor_list;
mod invite;
mod leave;
mod meet;
mod notify;
mod nudge;
mod open_channel;

use bytes::Bytes;
use prost::Message;

use super::block::serialized;
use super::error::WireError;
use super::node::Ids;
use super::proto;
use crate::protocol::id::Id;
use crate::protocol::peer::Peer;
use crate::protocol::rpc::{Code, Request, Response};

macro_rules! calls {
    ($($call:path: $request:pat,)+) => {
        static CALLS: &[&dyn Call] = &[$(&$call),+];

        /// The call of a request.
        fn of(request: &Request) -> &'static dyn Call {
            match request {
                $($request => &$call,)+
            }
        }
    };
}

// The list: the most frequent first.
calls! {
    find_successor::FindSuccessor: Request::FindSuccessor { .. } | Request::ClosestPrecedingNode { .. },
    check_predecessor::CheckPredecessor: Request::CheckPredecessor,
    get_predecessor::GetPredecessor: Request::GetPredecessor,
    notify::Notify: Request::Notify { .. },
    get_successor_list::GetSuccessorList: Request::GetSuccessorList { .. },
    nudge::Nudge: Request::Nudge { .. },
    invite::Invite: Request::Invite { .. },
    meet::Meet: Request::Meet { .. },
    leave::Leave: Request::Leave { .. },
    open_channel::OpenChannel: Request::OpenChannel,
}

/// One call, as it travels.
trait Call: Sync {
    /// Its name in a `Call`, and the name that some plain peers give it instead.
    fn names(&self) -> (&'static str, Option<&'static str>);

    /// The arguments of a request of this call; none of another.
    fn args(&self, request: &Request) -> Option<Args>;

    /// The request that a peer has sent, under one of its names.
    fn request(&self, call: &proto::Call, ids: Ids) -> Result<Request, WireError>;

    /// Its serialized `…Ret`, which may be empty; `None` if the response is of another call.
    fn ret(&self, response: &Response, by: Responder) -> Option<Option<Bytes>> {
        let _ = by;
        matches!(response, Response::Done).then_some(None)
    }

    /// The response that a peer has sent.
    fn response(&self, request: &Request, said: Said) -> Result<Result<Response, Code>, WireError> {
        let _ = (request, said);
        Ok(Ok(Response::Done))
    }
}

/// What is asked.
#[derive(Default)]
struct Args {
    message: Bytes,
    /// Hops that the question has made, where they are counted.
    hops: Option<u32>,
}

impl Args {
    fn of(message: &impl Message) -> Args {
        Args { message: serialized(message), hops: None }
    }
}

/// The node that answers.
#[derive(Clone, Copy)]
pub(super) struct Responder {
    pub me: Peer,
    /// The length of its successor lists.
    pub r: usize,
}

/// What was answered.
pub(super) struct Said {
    /// The serialized `…Ret`.
    pub value: Bytes,
    /// Whether the peer speaks the extensions.
    pub ours: bool,
    /// The node that answers, if it is known.
    pub responder: Option<Id>,
    /// Which nodes it may name.
    pub ids: Ids,
}

impl Said {
    fn is_responder(&self, peer: &Peer) -> bool {
        Some(peer.id) == self.responder
    }
}

/// The name, serialized arguments and hops of a request.
pub(super) fn encode(request: &Request) -> (&'static str, Bytes, Option<u32>) {
    let call = of(request);
    let Args { message, hops } = call.args(request).unwrap_or_default();
    (call.names().0, message, hops)
}

/// The request that a peer has sent.
pub(super) fn decode(call: &proto::Call, ids: Ids) -> Result<Request, WireError> {
    let name = call.name.as_str();
    let called = |call: &&&'static dyn Call| {
        let (ours, plain) = call.names();
        name == ours || Some(name) == plain
    };
    match CALLS.iter().find(called) {
        Some(known) => known.request(call, ids),
        None => Err(WireError::UnknownCall(name.chars().take(40).collect())),
    }
}

/// A serialized response, which may be empty.
pub(super) fn encode_response(response: &Response, by: Responder) -> Option<Bytes> {
    CALLS.iter().find_map(|call| call.ret(response, by)).flatten()
}

/// The response to `request` that a peer has sent.
pub(super) fn decode_response(request: &Request, said: Said) -> Result<Result<Response, Code>, WireError> {
    of(request).response(request, said)
}
