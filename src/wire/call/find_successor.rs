//! `find_successor`: of recursive lookups, and of iterative ones, which ask for the next nodes.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use super::{Args, Call, Responder, Said};
use crate::protocol::rpc::{Code, Hop, Request, Response};
use crate::wire::block::serialized;
use crate::wire::error::WireError;
use crate::wire::node::{Ids, id, id_bytes, node};
use crate::wire::proto;

/// The longest path that is told, in hops: three times what a ring of a million needs.
const MAX_PATH: usize = 64;

pub(super) struct FindSuccessor;

impl Call for FindSuccessor {
    fn names(&self) -> (&'static str, Option<&'static str>) {
        ("find_successor", Some("findsuccessor"))
    }

    fn args(&self, request: &Request) -> Option<Args> {
        match request {
            Request::FindSuccessor { key, hops, want_path } => {
                let want_path = want_path.then_some(true);
                let args = proto::FindSuccessorArgs { id: id_bytes(*key), want_path, ..Default::default() };
                Some(Args { hops: Some(*hops), ..Args::of(&args) })
            }
            Request::ClosestPrecedingNode { key, doubted, want_path } => Some(Args::of(&proto::FindSuccessorArgs {
                id: id_bytes(*key),
                want_path: want_path.then_some(true),
                iterative: Some(true),
                doubted: doubted.iter().copied().map(node).collect(),
            })),
            _ => None,
        }
    }

    fn request(&self, call: &proto::Call, ids: Ids) -> Result<Request, WireError> {
        let args = proto::FindSuccessorArgs::decode(call.args.clone())?;
        let (key, want_path) = (id(&args.id)?, args.want_path.unwrap_or(false));
        Ok(if args.iterative.unwrap_or(false) {
            Request::ClosestPrecedingNode { key, doubted: ids.list(&args.doubted)?, want_path }
        } else {
            Request::FindSuccessor { key, hops: call.hops.unwrap_or(0), want_path }
        })
    }

    fn ret(&self, response: &Response, by: Responder) -> Option<Option<Bytes>> {
        let (named, path, preceding) = match response {
            Response::Successor { owner, path } => (*owner, path, Vec::new()),
            Response::Preceding { nodes, path } => (by.me, path, nodes.iter().copied().map(node).collect()),
            _ => return None,
        };
        Some(Some(serialized(&proto::FindSuccessorRet { node: node(named), path: hops(path), preceding })))
    }

    fn response(&self, request: &Request, said: Said) -> Result<Result<Response, Code>, WireError> {
        let ret = proto::FindSuccessorRet::decode(said.value)?;
        let hop = |hop: &proto::Hop| {
            let node = said.ids.known(&hop.node)?;
            Ok(node.map(|node| Hop { node, took: Duration::from_micros(hop.micros) }))
        };
        let path = ret.path.iter().take(MAX_PATH).filter_map(|told| hop(told).transpose());
        let path = path.collect::<Result<_, WireError>>()?;
        let iterative = matches!(request, Request::ClosestPrecedingNode { .. });
        if !iterative || !said.ours || ret.preceding.is_empty() {
            return Ok(Ok(Response::Successor { owner: said.ids.peer(&ret.node)?, path }));
        }
        Ok(match said.ids.list(&ret.preceding)? {
            // None of the named nodes is believed to exist.
            nodes if nodes.is_empty() => Err(Code::Unspecified),
            nodes => Ok(Response::Preceding { nodes, path }),
        })
    }
}

/// Hops as they travel.
fn hops(path: &[Hop]) -> Vec<proto::Hop> {
    let hop = |hop: &Hop| proto::Hop {
        node: node(hop.node),
        micros: u64::try_from(hop.took.as_micros()).unwrap_or(u64::MAX),
    };
    path.iter().take(MAX_PATH).map(hop).collect()
}
