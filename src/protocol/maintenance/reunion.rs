//! How rings that know of each other become one: what a node does that has found another ring, or heard of it.
//!
//! Everything here is a hint. A node of another ring becomes a successor in a round of stabilize, after it has
//! answered, and a predecessor by notifying: ownership moves as it does when a node joins.

use super::backoff::REUNITE_ALONE;
use super::{Effect, Maintenance, Timer};
use crate::protocol::id::Id;
use crate::protocol::join::Through;
use crate::protocol::peer::Peer;
use crate::protocol::reunite::{Reunion, Touch};
use crate::protocol::rpc::Request;
use crate::protocol::spread::News;

impl Maintenance {
    /// An acquaintance was asked how its ring stands to this one.
    pub(super) fn reunited(&mut self, reunion: Reunion) {
        let pause = self.reunite_pause();
        let calm = matches!(reunion, Reunion::Nothing | Reunion::Same(..));
        match reunion {
            Reunion::Nothing => {}
            Reunion::Same(acquaintance, other) => {
                self.acquaintances.confirm(acquaintance);
                if let Some(other) = other {
                    self.acquaintances.meet(other.addr);
                    self.acquaintances.confirm(other.addr);
                }
            }
            Reunion::JoinThrough(acquaintance) => self.wishes.join = Some(Through::Seed(acquaintance)),
            Reunion::Alone(peer) => self.effects.push(Effect::Tell(peer, Request::Invite { me: self.setup.me })),
            Reunion::Touch(touch) => self.touched(touch),
        }
        self.reunite_after = match calm {
            _ if self.is_alone() => REUNITE_ALONE,
            // The acquaintances of a round follow one another; then comes a rest that grows each time.
            true if self.acquaintances.is_in_round() => return self.wake(Timer::Reunite, pause.first),
            true => self.reunite_after.saturating_mul(2).min(pause.most),
            false => pause.first,
        };
        self.wake(Timer::Reunite, self.reunite_after);
    }

    fn touched(&mut self, Touch { candidate, hints, other }: Touch) {
        if let Some(candidate) = candidate {
            self.hinted(candidate);
        }
        for (before, node) in hints {
            if before.id != self.setup.me.id {
                // If the other ring is new to this one, this one is new to the other: the member before this node's
                // place there tells all.
                let until = other.filter(|_| node == self.setup.me).map(|_| before.id);
                self.effects.push(Effect::Tell(before, Request::Meet { node, until }));
            }
        }
        if let Some(other) = other {
            // It is asked again until it belongs to this ring.
            self.acquaintances.lose(other.addr);
            self.tell_all(News { other, until: self.setup.me.id });
        }
    }

    /// A peer has found another ring, to which `node` belongs.
    pub(super) fn met(&mut self, node: Peer, until: Option<Id>) {
        let Some(successor) = self.neighbors.successor() else {
            // See `Request::Invite`.
            if self.is_alone() && self.neighbors.predecessor().is_none() && node.id != self.setup.me.id {
                self.wishes.join = Some(Through::Seed(node.addr));
            }
            return;
        };
        // `node` may be the successor that this node has, and wait to hear from it.
        self.wishes.stabilize |= node == successor && until.is_none();
        if node.id.in_open(self.setup.me.id, successor.id) {
            self.hinted(node);
        }
        if let Some(until) = until
            && node.id != self.setup.me.id
            && self.tell_all(News { other: node, until })
        {
            self.wishes.told = Some(node);
            // While rings change, its first answer may be of no use: it is the next to be asked again.
            self.acquaintances.lose(node.addr);
        }
    }

    /// A node that lies between this one and its successor: the nearest such node is tried in the next round.
    fn hinted(&mut self, node: Peer) {
        let me = self.setup.me.id;
        if self.wishes.hint.is_none_or(|other| node.id.clockwise_from(me) < other.id.clockwise_from(me)) {
            self.wishes.hint = Some(node);
        }
        self.wishes.stabilize = true;
        self.merge();
    }

    /// Has all fingers looked up soon, at most once in a while.
    fn merge(&mut self) {
        if !std::mem::replace(&mut self.merging, true) {
            self.effects.push(Effect::Merging);
        }
    }

    /// Begins to tell others, unless it has done so just now.
    fn tell_all(&mut self, news: News) -> bool {
        if self.spread {
            return false;
        }
        self.spread = true;
        self.effects.push(Effect::Spread(news));
        self.merge();
        self.reunite_after = self.reunite_pause().first;
        self.wake(Timer::Reunite, self.reunite_after);
        true
    }
}
