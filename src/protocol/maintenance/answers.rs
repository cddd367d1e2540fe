//! Questions of other nodes, answered at once from the current state, and what they call for.

use std::time::Duration;

use super::{Maintenance, Standing, Timer};
use crate::protocol::join::Through;
use crate::protocol::peer::Peer;
use crate::protocol::rpc::{Code, Dialect, Memory, Request, Response};

/// The joiner that was admitted last holds up others in the same gap for no longer than this: one
/// that lives notifies within a few round trips.
pub(super) const ADMISSION: Duration = Duration::from_secs(1);

/// At most this many notifiers wait to be judged. Only the closest can win, so more are not needed.
pub(super) const MAX_NOTIFIERS: usize = 16;

impl Maintenance {
    /// Answers any question but those that a lookup answers; `plain` says whether the
    /// caller is a plain peer.
    pub fn serve(&mut self, request: &Request, plain: bool) -> Result<Response, Code> {
        if matches!(self.standing, Standing::Joining | Standing::Left) {
            return Err(Code::NotJoined);
        }
        match request {
            Request::FindSuccessor { .. } | Request::ClosestPrecedingNode { .. } => Err(Code::BadRequest),
            // The layer that holds the connections answers this call, where it offers services.
            Request::OpenChannel => Err(Code::UnknownCall),
            Request::CheckPredecessor => Ok(Response::Alive { plain: false, alone: !plain && self.is_alone() }),
            Request::Notify { me: notifier } => {
                if self.neighbors.is_astray() {
                    self.claimed(*notifier);
                } else {
                    self.notified(*notifier);
                }
                Ok(Response::Done)
            }
            Request::Nudge { of: successor } => {
                self.wishes.stabilize |= self.neighbors.successor() == Some(*successor);
                Ok(Response::Done)
            }
            Request::Invite { me: member } => {
                if self.is_alone() && self.neighbors.predecessor().is_none() {
                    self.wishes.join = Some(Through::Seed(member.addr));
                }
                Ok(Response::Done)
            }
            Request::Meet { node, until } => {
                self.met(*node, *until);
                Ok(Response::Done)
            }
            Request::Leave { me: leaver, predecessor } => {
                self.parted(*leaver, *predecessor);
                Ok(Response::Done)
            }
            _ if self.standing == Standing::Isolated => Err(Code::Retry),
            Request::GetPredecessor => Ok(Response::Predecessor {
                predecessor: self.neighbors.predecessor(),
                successors: (!plain).then(|| self.neighbors.successors().to_vec()),
                memory: if plain { Memory::default() } else { self.neighbors.memory() },
            }),
            // Others may have come in behind this node: no node is to take it as successor that has not done so
            // already.
            Request::GetSuccessorList { .. } if self.neighbors.is_astray() => Err(Code::Retry),
            Request::GetSuccessorList { joiner } => {
                if let Some(joiner) = joiner {
                    self.admit(*joiner)?;
                }
                Ok(Response::SuccessorList {
                    successors: self.neighbors.successors().to_vec(),
                    predecessor: joiner.map(|_| self.neighbors.predecessor()),
                    dialect: if plain { self.dialect_for_plain_callers() } else { Dialect::Ours },
                })
            }
        }
    }

    /// A node has notified this one, which has slept and may be reading a call from before it was found dead: it asks
    /// that node.
    fn claimed(&mut self, notifier: Peer) {
        let me = self.setup.me.id;
        let nearer = |other: Peer| notifier.id.in_open(other.id, me);
        if notifier.id != me && self.wishes.claimant.is_none_or(nearer) {
            self.wishes.claimant = Some(notifier);
            self.wishes.stabilize = true;
        }
    }

    /// The form of our list for a plain peer, which does not say who it is: most likely it is our predecessor, but it
    /// may be a joiner. Either kind finds us in a list that begins with us, though one finds us twice. In the other
    /// form one kind misses us, and copies a list that begins behind us: that form is for a predecessor that has shown
    /// that it expects it.
    fn dialect_for_plain_callers(&self) -> Dialect {
        let shown = self.neighbors.predecessor().and(self.predecessor_dialect);
        if shown == Some(Dialect::Plain) && !self.lonely_successor { Dialect::Plain } else { Dialect::PlainItselfFirst }
    }

    pub(super) fn notified(&mut self, notifier: Peer) {
        let known = self.mute == Some(notifier) || self.wishes.rectify.contains(&notifier);
        if notifier.id == self.setup.me.id || known {
            return;
        }
        self.wishes.rectify.push_back(notifier);
        if self.wishes.rectify.len() > MAX_NOTIFIERS {
            // The farthest is the least likely to win.
            let me = self.setup.me.id;
            let queue = self.wishes.rectify.iter().enumerate();
            if let Some((farthest, _)) = queue.min_by_key(|(_, peer)| peer.id.clockwise_from(me)) {
                self.wishes.rectify.remove(farthest);
            }
        }
    }

    /// Gives a joiner leave to become a member right before this node. One at a time in one gap:
    /// joiners that were let in together would find each other only after many rounds.
    fn admit(&mut self, joiner: Peer) -> Result<(), Code> {
        if joiner.id == self.setup.me.id {
            return Err(Code::IdTaken);
        }
        // Our predecessor is back as a joiner, it seems: then it was dead. But any peer can say so.
        if self.neighbors.predecessor() == Some(joiner) {
            self.wishes.check_predecessor = true;
            return Err(Code::Retry);
        }
        // A member that does not know its predecessor does not know its gap: another node may have come in between.
        let predecessor = self.neighbors.predecessor();
        let gap_unknown = predecessor.is_none() && !self.is_alone();
        if self.neighbors.is_short() || gap_unknown {
            return Err(Code::Retry);
        }
        let belongs_here =
            predecessor.is_none_or(|old| old.id == joiner.id || self.neighbors.is_closer_predecessor(joiner));
        if !belongs_here {
            return Ok(());
        }
        match self.admitted {
            Some(other) if other != joiner && !self.lapsed => Err(Code::Retry),
            _ => {
                self.admitted = Some(joiner);
                self.wake(Timer::Admission, ADMISSION);
                Ok(())
            }
        }
    }
}
