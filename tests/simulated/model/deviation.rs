//! Forbidden changes of the protocol, as switches of the checker: a check that does not find these
//! changes checks nothing.

use std::collections::BTreeSet;

use chord::protocol::conversation::Outcome;
use chord::protocol::join::Joined;
use chord::protocol::neighbors::Neighbors;
use chord::protocol::peer::Peer;
use chord::protocol::rpc::Request;

use super::local::Kind;

/// One way to break the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deviation {
    /// A received list is merged with the old one (rule 2).
    MergedLists,
    /// A joiner takes over its successor, but not the list of that successor (rule 1).
    JoinerKnowsOnlyItsHead,
    /// A dead head's place is filled with a repetition of the last entry (rule 4).
    PaddedLists,
    /// A ring of one does not ask a new predecessor for the ring.
    AloneAsksNobody,
    /// A notifier becomes predecessor before it has answered (rule 3).
    UnseenPredecessor,
    /// The predecessor of the successor becomes successor before it has answered (rule 3).
    UnseenSuccessor,
    /// A joiner does not ask the node before its place whether another node has joined in between.
    UnconfirmedPlace,
    /// The environment lets a principal fail though there are only r + 1.
    FailuresAtTheBase,
}

impl Deviation {
    /// Changes the outcome of a conversation.
    pub fn bend(self, neighbors: &Neighbors, outcome: &mut Outcome) {
        match (self, outcome) {
            (Deviation::JoinerKnowsOnlyItsHead, Outcome::Join(Joined::Member(list))) => list.truncate(1),
            (Deviation::MergedLists, Outcome::Stabilize(learned)) => {
                if let Some(list) = &mut learned.list {
                    let old = neighbors.successors().iter().filter(|old| !learned.dead.contains(old));
                    let all: BTreeSet<_> = list.iter().chain(old).copied().collect();
                    *list = all.into_iter().collect();
                    list.sort_by_key(|peer| peer.id.clockwise_from(neighbors.me().id));
                    list.truncate(neighbors.r());
                }
            }
            (Deviation::PaddedLists, Outcome::Stabilize(learned)) if learned.list.is_none() => {
                let left = neighbors.successors().iter().filter(|old| !learned.dead.contains(old));
                let mut left: Vec<_> = left.copied().collect();
                if let Some(last) = left.last().copied()
                    && !learned.dead.is_empty()
                {
                    left.resize(neighbors.successors().len(), last);
                    learned.list = Some(left);
                }
            }
            _ => {}
        }
    }

    /// The answer that a conversation assumes instead of making its next request: the last list that it
    /// received, with its owner in front.
    pub fn presumed(self, kind: Kind, request: &Request, told: &[Peer]) -> Option<Vec<Peer>> {
        let confirms = matches!(request, Request::GetSuccessorList { joiner: None });
        let presumes = match self {
            Deviation::UnseenSuccessor => kind == Kind::Stabilize && confirms,
            Deviation::UnconfirmedPlace => kind == Kind::Join && confirms,
            _ => false,
        };
        presumes.then(|| told.to_vec())
    }
}
