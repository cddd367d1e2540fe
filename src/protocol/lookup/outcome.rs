//! What a lookup finds, and how it is said to others.

use crate::protocol::id::Id;
use crate::protocol::neighbors::{Neighbors, Owner};
use crate::protocol::peer::Peer;
use crate::protocol::rpc::{Code, Hop, MAX_HOPS, Response};

/// The end of a lookup.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finding {
    /// The answer, or why there is none.
    pub outcome: Outcome,
    /// Nodes that turned out dead and were not [taken](crate::protocol::procedure::Procedure::take_dead) earlier: to be
    /// removed from both tables.
    pub dead: Vec<Peer>,
    /// Whether the owner was named from the copy of the neighbours after a ping: they may have changed during that
    /// time.
    pub(super) pinged: bool,
}

/// What a lookup has found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The owner of the key.
    Owner(Found),
    /// Nodes to ask next, closest to the key first: the node can't name the owner, and the query stayed
    /// [here](super::Scope::Here).
    Preceding(Vec<Peer>),
    /// There is no answer: the failure says why, and when to try again.
    Failed(LookupFailure),
}

/// The owner of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Found {
    /// The first member at or after the key, as far as the nodes on the way know.
    pub owner: Peer,
    /// The nodes that were asked, in the order of asking, without the node that began; empty unless wanted.
    pub path: Vec<Hop>,
    /// How many nodes turned out dead when the node that began asked them.
    pub timeouts: u32,
}

impl Finding {
    /// The owner of the key. A query that stayed here and leads on to others has found none.
    pub fn owner(self) -> Result<Found, LookupFailure> {
        match self.outcome {
            Outcome::Owner(found) => Ok(found),
            Outcome::Preceding(_) => Err(LookupFailure::NoRoute),
            Outcome::Failed(why) => Err(why),
        }
    }

    /// The answer to the node that put the query to this one; `me` is this node as a hop, if wanted.
    pub fn answer(self, me: Option<Hop>) -> Result<Response, LookupFailure> {
        let path = me.into_iter();
        match self.outcome {
            Outcome::Owner(Found { owner, path: asked, .. }) => {
                Ok(Response::Successor { owner, path: path.chain(asked).collect() })
            }
            Outcome::Preceding(nodes) if nodes.is_empty() => Err(LookupFailure::NoRoute),
            Outcome::Preceding(nodes) => Ok(Response::Preceding { nodes, path: path.collect() }),
            Outcome::Failed(why) => Err(why),
        }
    }

    /// Whether the owner is to be compared with the neighbours as they are now.
    pub fn is_pinged(&self) -> bool {
        self.pinged
    }

    /// Whether the current neighbours, updated with the dead, name another owner than the copy that the lookup began
    /// with: then the lookup must begin again.
    pub fn is_outdated(&self, key: Id, now: &Neighbors) -> bool {
        match &self.outcome {
            Outcome::Owner(found) if self.pinged => now.owner(key) != Owner::Successor(found.owner),
            _ => false,
        }
    }
}

/// Why a lookup found no owner, and when to repeat it. A lookup changes nothing, so repeating it is always safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LookupFailure {
    /// Later: the node is joining; or never, if it has left.
    #[error("this node has not joined a ring yet")]
    NotJoined,
    /// Later: it takes some seconds to find the ring again, or to know that it is alone.
    #[error("this node has lost all its successors and looks for its ring")]
    Isolated,
    /// Now: the ring is being repaired on the way to the key, which takes a round of stabilize or two.
    #[error("no node on the way to the key could answer")]
    NoRoute,
    /// Later: the ring is large and has hardly any fingers yet.
    #[error("the key was not found within {MAX_HOPS} hops")]
    TooManyHops,
    /// Now: a node on the way fell silent, and will be passed over once it has been found dead.
    #[error("no answer within the time limit")]
    Timeout,
    /// Later, after a pause that grows with each refusal and has jitter: this node or the way to the key is overloaded.
    #[error("too much to do at once")]
    Busy,
    /// Now, or after a moment: asking them takes some calls, or some seconds if many nodes slept.
    #[error("this node doubts its neighbours and is asking them")]
    Unsure,
}

impl From<LookupFailure> for Code {
    fn from(lost: LookupFailure) -> Code {
        match lost {
            LookupFailure::NotJoined => Code::NotJoined,
            LookupFailure::Isolated | LookupFailure::Unsure => Code::Retry,
            LookupFailure::NoRoute => Code::NoRoute,
            LookupFailure::TooManyHops => Code::BadRequest,
            LookupFailure::Timeout => Code::Timeout,
            LookupFailure::Busy => Code::Busy,
        }
    }
}
