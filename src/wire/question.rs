//! Calls as they travel.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::error::WireError;
use super::node::{Ids, node, port};
use super::{call, proto};
use crate::protocol::peer::Peer;
use crate::protocol::rpc::Request;

/// A call as it travels.
#[derive(Debug)]
pub struct Question {
    /// What is asked. One that can't be understood is refused, not ignored: see [`Reply::refuse`](super::Reply::refuse).
    pub request: Result<Request, WireError>,
    /// Echoed by the reply; plain peers send none.
    pub call_id: Option<u64>,
    /// What is left of the caller's time limit.
    pub deadline: Option<Duration>,
    /// The calling node, and the run of its program. Boxed, since one call of a connection names it and all are moved.
    pub caller: Option<Box<(Peer, u64)>>,
    /// The port of the node that is asked, if it is not the one that the connection was made to.
    pub to: Option<u16>,
    /// The name of the caller's ring, which need not be an acceptable one.
    pub ring: Option<Arc<str>>,
}

impl Question {
    /// A call without extensions.
    pub fn plain(request: Request) -> Question {
        let request = match request {
            Request::FindSuccessor { key, hops, .. } => Request::FindSuccessor { key, hops, want_path: false },
            Request::ClosestPrecedingNode { key, .. } => Request::FindSuccessor { key, hops: 0, want_path: false },
            Request::GetSuccessorList { .. } => Request::GetSuccessorList { joiner: None },
            other => other,
        };
        Question { request: Ok(request), call_id: None, deadline: None, caller: None, to: None, ring: None }
    }
}

impl From<Question> for proto::Call {
    fn from(question: Question) -> proto::Call {
        let (name, args, hops) = match &question.request {
            Ok(request) => call::encode(request),
            Err(_) => ("", Bytes::new(), None),
        };
        proto::Call {
            name: name.into(),
            args,
            call_id: question.call_id,
            deadline_ms: question.deadline.map(|left| u32::try_from(left.as_millis()).unwrap_or(u32::MAX)),
            // A plain call carries no extension at all.
            hops: hops.filter(|_| question.call_id.is_some()),
            caller: question.caller.as_ref().map(|caller| node(caller.0)),
            incarnation: question.caller.map(|caller| caller.1),
            to: question.to.map(u32::from),
            ring: question.ring.map(|ring| ring.to_string()),
        }
    }
}

impl Question {
    /// Decodes a received call.
    pub(super) fn heard(call: proto::Call, ids: Ids) -> Question {
        let caller = call.caller.as_ref().and_then(|caller| ids.peer(caller).ok());
        let to = call.to.filter(|_| call.call_id.is_some()).map(port).transpose();
        let (to, request) = match to {
            Ok(to) => (to, call::decode(&call, ids)),
            Err(error) => (None, Err(error)),
        };
        Question {
            request,
            call_id: call.call_id,
            deadline: call.deadline_ms.map(|millis| Duration::from_millis(millis.into())),
            caller: caller.zip(call.incarnation).map(Box::new),
            to,
            ring: call.ring.filter(|_| call.call_id.is_some()).map(Arc::from),
        }
    }
}
