//! The places of a small ring, and messages as seen from another place.
//!
//! The protocol compares identifiers only by their order on the circle, so that a ring and the same
//! ring rotated by some places behave alike. Every node is therefore stored as if it stood at place 0;
//! messages between two nodes are rotated by the distance between them. `tests/simulated/protocol.rs` shows that
//! intervals rotate with the circle, and every history that is replayed in the simulator runs on
//! real identifiers.

use std::net::Ipv4Addr;

use chord::Addr;
use chord::protocol::id::{Bits, Id};
use chord::protocol::lookup::{Found, LookupFailure};
use chord::protocol::peer::Peer;
use chord::protocol::procedure::Answer;
use chord::protocol::rpc::{Memory, Request, Response};

/// A node's place, or the clockwise distance to another: from 0 to less than the number of places.
pub type Place = usize;

/// A circle with room between the places, so that the point after a node is not another node.
pub const BITS: Bits = Bits::new(5).unwrap();

/// The identifier at a place is this many times the place.
pub const SPACING: usize = 4;

/// The largest number of places.
pub const MOST: usize = 8;

/// The port of the node at place 0; the others have the next ones.
const FIRST_PORT: u16 = 4170;

/// The node at a place.
pub fn peer(place: Place) -> Peer {
    assert!(place < MOST);
    Peer {
        id: Id::from_number((place * SPACING) as u128, BITS),
        addr: Addr::new(Ipv4Addr::LOCALHOST, FIRST_PORT + place as u16),
    }
}

/// The place of a node.
pub fn place(peer: Peer) -> Place {
    usize::from(peer.addr.port() - FIRST_PORT)
}

/// One rotation of a circle with a given number of places.
#[derive(Clone, Copy)]
pub struct Turn {
    pub places: usize,
    pub by: Place,
}

impl Turn {
    pub fn place(self, place: Place) -> Place {
        (place + self.by) % self.places
    }

    pub fn peer(self, node: Peer) -> Peer {
        peer(self.place(place(node)))
    }

    fn peers(self, nodes: &[Peer]) -> Vec<Peer> {
        nodes.iter().map(|node| self.peer(*node)).collect()
    }

    /// A place, or a point right after one.
    fn id(self, id: Id) -> Id {
        let number = usize::from(id.as_bytes()[0] >> (8 - BITS.count()));
        let turned = self.place(number / SPACING) * SPACING + number % SPACING;
        Id::from_number(turned as u128, BITS)
    }

    pub fn request(self, request: &Request) -> Request {
        match request {
            Request::FindSuccessor { key, hops, want_path } => {
                Request::FindSuccessor { key: self.id(*key), hops: *hops, want_path: *want_path }
            }
            Request::ClosestPrecedingNode { key, doubted, want_path } => Request::ClosestPrecedingNode {
                key: self.id(*key),
                doubted: self.peers(doubted),
                want_path: *want_path,
            },
            Request::Notify { me } => Request::Notify { me: self.peer(*me) },
            Request::CheckPredecessor => Request::CheckPredecessor,
            Request::GetPredecessor => Request::GetPredecessor,
            Request::GetSuccessorList { joiner } => {
                Request::GetSuccessorList { joiner: joiner.map(|joiner| self.peer(joiner)) }
            }
            Request::Nudge { of } => Request::Nudge { of: self.peer(*of) },
            Request::Invite { me } => Request::Invite { me: self.peer(*me) },
            Request::Meet { node, until } => {
                Request::Meet { node: self.peer(*node), until: until.map(|until| self.id(until)) }
            }
            Request::OpenChannel => Request::OpenChannel,
            Request::Leave { me, predecessor } => {
                Request::Leave { me: self.peer(*me), predecessor: predecessor.map(|before| self.peer(before)) }
            }
        }
    }

    pub fn answer(self, answer: &Answer) -> Answer {
        match answer {
            Answer::Reply(response) => Answer::Reply(self.response(response)),
            other => other.clone(),
        }
    }

    fn response(self, response: &Response) -> Response {
        match response {
            Response::Successor { owner, .. } => Response::Successor { owner: self.peer(*owner), path: Vec::new() },
            Response::Predecessor { predecessor, successors, memory } => Response::Predecessor {
                predecessor: predecessor.map(|peer| self.peer(peer)),
                successors: successors.as_ref().map(|list| self.peers(list)),
                memory: Memory { former: memory.former.map(|peer| self.peer(peer)), ..*memory },
            },
            Response::SuccessorList { successors, predecessor, dialect } => Response::SuccessorList {
                successors: self.peers(successors),
                predecessor: predecessor.map(|known| known.map(|peer| self.peer(peer))),
                dialect: *dialect,
            },
            Response::Preceding { nodes, .. } => Response::Preceding { nodes: self.peers(nodes), path: Vec::new() },
            Response::Done | Response::Alive { .. } => response.clone(),
        }
    }
}

/// The answer to the asking node of a lookup that ended without another node's help.
pub fn named(result: Result<Found, LookupFailure>) -> Answer {
    match result {
        Ok(Found { owner, path, .. }) => Answer::Reply(Response::Successor { owner, path }),
        Err(lost) => Answer::Refused(lost.into()),
    }
}
