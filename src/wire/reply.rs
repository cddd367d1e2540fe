//! Replies as they travel.

use std::sync::Arc;

use bytes::Bytes;

use super::call::{self, Responder, Said};
use super::error::WireError;
use super::node::{Ids, id, id_bytes, port};
use super::proto;
use crate::protocol::id::Id;
use crate::protocol::peer::Peer;
use crate::protocol::rpc::{Code, Request, Response};

/// A reply as it travels.
#[derive(Debug)]
pub struct Reply {
    /// The serialized answer, or why there is none, for programs and for people.
    pub(super) value: Result<Option<Bytes>, (Code, String)>,
    /// Echo of the call.
    pub call_id: Option<u64>,
    /// The node that answers, and the run of its program.
    pub responder: Option<(Id, u64)>,
    /// The port of the node whose connections carry calls for the responder, too.
    pub front: Option<u16>,
    /// The name of the responder's ring, which need not be an acceptable one.
    pub ring: Option<Arc<str>>,
    /// Which nodes it may name.
    pub(super) ids: Ids,
}

impl Reply {
    /// The reply of node `me`, with successor lists of length `r`, that says `response`.
    pub fn to(response: &Response, me: Peer, r: usize) -> Reply {
        let value = call::encode_response(response, Responder { me, r });
        Reply { value: Ok(value), call_id: None, responder: None, front: None, ring: None, ids: Ids::Any }
    }

    /// The reply that says why there is no answer.
    pub fn refuse(code: Code, why: impl Into<String>) -> Reply {
        Reply { value: Err((code, why.into())), call_id: None, responder: None, front: None, ring: None, ids: Ids::Any }
    }

    /// Why there is no answer, if there is none.
    pub fn refusal(&self) -> Option<Code> {
        self.value.as_ref().err().map(|(code, _)| *code)
    }

    /// The reply to a call that can't be understood.
    pub fn complain(error: &WireError) -> Reply {
        Reply::refuse(error.code(), error.to_string())
    }

    /// What the reply answers to `request`, if it was sent by the node `responder`.
    pub fn read(&self, request: &Request, responder: Option<Id>) -> Result<Result<Response, Code>, WireError> {
        let value = match &self.value {
            Ok(value) => value.clone().unwrap_or_default(),
            Err((code, _)) => return Ok(Err(*code)),
        };
        call::decode_response(request, Said { value, ours: self.call_id.is_some(), responder, ids: self.ids })
    }
}

impl From<Reply> for proto::Return {
    fn from(reply: Reply) -> proto::Return {
        let (success, value, why) = match reply.value {
            Ok(value) => (true, value, None),
            Err(why) => (false, None, Some(why)),
        };
        // A plain caller is told only that the call failed.
        let (code, error) = why.filter(|_| reply.call_id.is_some()).unzip();
        proto::Return {
            success,
            value,
            call_id: reply.call_id,
            error,
            code: code.map(|code| proto::Code::from(code).into()),
            responder: reply.responder.map(|(id, _)| id_bytes(id)),
            incarnation: reply.responder.map(|(_, incarnation)| incarnation),
            front: reply.front.map(u32::from),
            ring: reply.ring.map(|ring| ring.to_string()),
        }
    }
}

impl Reply {
    /// Decodes a received return.
    pub(super) fn heard(message: proto::Return, ids: Ids) -> Reply {
        let code = message.code().into();
        let responder = message.responder.as_ref().and_then(|bytes| id(bytes).ok());
        Reply {
            value: if message.success { Ok(message.value) } else { Err((code, message.error.unwrap_or_default())) },
            call_id: message.call_id,
            responder: responder.zip(message.incarnation),
            front: message.front.and_then(|front| port(front).ok()),
            ring: message.ring.map(Arc::from),
            ids,
        }
    }
}
