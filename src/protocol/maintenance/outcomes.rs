//! What the outcome of each conversation changes, in the state as it is when it ends.

use std::collections::VecDeque;
use std::time::Duration;

use super::answers::MAX_NOTIFIERS;
use super::backoff::{ISOLATED_ROUND, ISOLATED_ROUNDS, NO_ANSWER, NOT_JOINED, NOT_NOW};
use super::losses::Doubts;
use super::{Effect, Kind, Maintenance, Standing, Timer};
use crate::protocol::awaken::{Awakened, Place};
use crate::protocol::check_predecessor::Checked;
use crate::protocol::conversation::Outcome;
use crate::protocol::join::Joined;
use crate::protocol::neighbors::Neighbors;
use crate::protocol::peer::Peer;
use crate::protocol::rectify::Rectified;
use crate::protocol::rpc::{Dialect, Request};
use crate::protocol::stabilize::Learned;

/// A plain predecessor may withhold its list this often in a row while it answers pings: it may be busy. No node can
/// join next to one that never tells it.
const MAX_UNTOLD: u32 = 3;

/// A plain first successor, to which no connection is kept, is pinged before it is named once it was not heard for
/// this many periods. The next round is due after 1.25 of them at most, and this time is jittered like that one.
const UNHEARD_ROUNDS: u32 = 2;

impl Maintenance {
    /// Applies the outcome of the conversation that was held, to the state as it is now.
    pub fn digest(&mut self, outcome: Outcome) {
        self.holding = false;
        if self.standing == Standing::Left {
            return;
        }
        match outcome {
            Outcome::Join(joined) => self.tried(joined),
            Outcome::Rectify(verdict) => self.rectified(verdict),
            Outcome::Stabilize(learned) => self.stabilized(learned),
            Outcome::Awaken(awakened) => self.awakened(awakened),
            Outcome::CheckPredecessor(checked) => self.checked(checked),
            Outcome::Reunite(reunion) => self.reunited(reunion),
        }
        // They were about this conversation.
        self.doubts = Doubts::default();
    }

    pub(super) fn tried(&mut self, joined: Joined) {
        let was_member = matches!(self.standing, Standing::Member | Standing::Isolated);
        let joined = match joined {
            // A claim ends no membership: only a node that has the same identifier, and answers, does.
            Joined::IdTaken(other) if was_member && other.id != self.setup.me.id => Joined::NotNow,
            joined => joined,
        };
        self.effects.push(Effect::Tried(joined.clone()));
        if was_member && matches!(joined, Joined::IdTaken(_)) {
            return self.end();
        }
        if let Joined::Member(list) = joined {
            let predecessor = self.neighbors.predecessor();
            self.neighbors = Neighbors::alone(self.setup.me, self.setup.r);
            self.adopt(list);
            self.enter();
            // If the predecessor still has this node as its successor, it says so, and this node owns its keys again.
            if let Some(predecessor) = predecessor {
                self.return_to(predecessor);
            }
            return;
        }
        if self.returning {
            // The next attempt goes through another node.
            return self.wake(Timer::Join, Duration::ZERO);
        }
        self.attempts = self.attempts.saturating_add(1);
        let (known, round) = (self.acquaintances.count() as u32, self.acquaintances.count().min(ISOLATED_ROUND) as u32);
        let pause = match (self.standing, joined) {
            (Standing::Member | Standing::Left, _) => return,
            (Standing::Joining, Joined::NoAnswer) => NO_ANSWER.after(self.attempts.div_ceil(known.max(1))),
            (Standing::Joining, Joined::NotJoined) => NOT_JOINED.after(self.attempts),
            (Standing::Joining, _) => NOT_NOW.stepwise(self.attempts),
            (Standing::Isolated, _) if self.attempts >= ISOLATED_ROUNDS * round => return self.be_alone(),
            (Standing::Isolated, _) if !self.attempts.is_multiple_of(round) => Duration::ZERO,
            (Standing::Isolated, _) => NO_ANSWER.most,
        };
        self.wake(Timer::Join, pause);
    }

    fn stabilized(&mut self, learned: Learned) {
        if let Some(twin) = learned.twin {
            self.effects.push(Effect::Tried(Joined::IdTaken(twin)));
            return self.end();
        }
        let before = self.neighbors.successors().to_vec();
        for dead in learned.dead {
            self.mark_dead(dead);
            if self.neighbors.drop_successor(dead) {
                self.miss(dead);
            }
        }
        let mut is_news = true;
        if let Some(list) = learned.list {
            // That the head still names nodes that this node has found dead is none: a round, and a look at all fingers,
            // would find what the last ones found.
            is_news = list.iter().filter(|entry| !self.neighbors.has_dropped(**entry)).ne(&before);
            self.adopt(list);
            self.contradict();
            self.parting = false;
            self.meet_neighbors();
            self.lonely_successor = learned.plain && learned.alone;
            if learned.plain {
                self.wake(Timer::Unheard, UNHEARD_ROUNDS * self.setup.stabilize_every);
            }
        }
        let changed = is_news && self.neighbors.successors() != before;
        if changed {
            self.changed();
            // The predecessor's list follows from this one: without a word it would learn of the change in its next
            // round, and the node before it a round later.
            if let Some(predecessor) = self.neighbors.predecessor() {
                self.effects.push(Effect::Tell(predecessor, Request::Nudge { of: self.setup.me }));
            }
        }
        match self.neighbors.successor() {
            // The head might take this node as its predecessor, though others have come in between.
            Some(_) if self.neighbors.is_astray() => {}
            Some(head) => self.effects.push(Effect::Tell(head, Request::Notify { me: self.setup.me })),
            None if changed => return self.isolate(),
            None => {}
        }
        self.wishes.stabilize |= changed;
        if !changed || !self.may(Kind::Stabilize) {
            self.wake(Timer::Stabilize, self.setup.stabilize_every);
        }
    }

    /// Tells those that name nodes that this node has found dead: each is the node before the dead one. It keeps no
    /// connection to a plain peer, whose end would tell it, and asks that peer only once a round.
    fn contradict(&mut self) {
        for pair in self.neighbors.successors().windows(2) {
            if self.returned.contains(&pair[1]) && !self.returned.contains(&pair[0]) {
                self.effects.push(Effect::Tell(pair[0], Request::Nudge { of: pair[1] }));
            }
        }
    }

    /// A node that slept has looked for its place.
    fn awakened(&mut self, Awakened { learned, place }: Awakened) {
        let former = self.neighbors.former();
        match place {
            Place::Unknown if !self.neighbors.is_tired() => {}
            Place::Unknown | Place::Trusted => self.neighbors.trust_list(),
            Place::Confirmed => self.neighbors.confirm_place(),
            // The next round finds the successor.
            Place::Kept(predecessor) => {
                self.neighbors.confirm_place();
                self.neighbors.set_predecessor(predecessor);
                self.wishes.stabilize = true;
                self.changed();
            }
        }
        self.stabilized(learned);
        match former {
            _ if self.neighbors.is_astray() => self.wake(Timer::Stabilize, self.setup.stabilize_every / 4),
            Some(former) => self.return_to(former),
            None => {}
        }
    }

    fn rectified(&mut self, verdict: Rectified) {
        let Rectified { notifier, answered, dead } = verdict;
        if let Some(dead) = dead {
            self.mark_dead(dead);
        }
        if self.admitted == Some(notifier) {
            self.admitted = None;
            self.lapsed = !answered;
        }
        if self.neighbors.is_astray() {
            return;
        }
        if !self.neighbors.is_closer_predecessor(notifier) {
            if answered && dead.is_none() && self.may_correct(notifier) {
                self.correct(notifier);
            }
            return;
        }
        if !answered {
            return;
        }
        // The old predecessor has a new successor. And the list here may have changed since the new one read it, when
        // this node did not know yet that the new one was to be told.
        for nudged in self.neighbors.predecessor().into_iter().chain([notifier]) {
            self.effects.push(Effect::Tell(nudged, Request::Nudge { of: self.setup.me }));
        }
        self.neighbors.set_predecessor(notifier);
        self.corrected.iter_mut().for_each(Vec::clear);
        self.acquaintances.meet(notifier.addr);
        // Farther notifiers lose against a predecessor that has just answered.
        let waiting = std::mem::take(&mut self.wishes.rectify).into_iter();
        let (closer, farther): (VecDeque<Peer>, VecDeque<Peer>) =
            waiting.partition(|peer| self.neighbors.is_closer_predecessor(*peer));
        self.wishes.rectify = closer;
        self.wishes.overtaken = farther.into_iter().filter(|peer| self.may_correct(*peer)).collect();
        self.predecessor_dialect = None;
        self.wishes.check_predecessor = true;
        self.wishes.stabilize |= self.is_alone();
        self.changed();
    }

    /// Whether a notifier that loses is told of it: once for each predecessor, which it may be unable to reach, and no
    /// more of them than may wait.
    pub(super) fn may_correct(&self, notifier: Peer) -> bool {
        let told = self.corrected.as_ref().is_some_and(|told| told.len() < MAX_NOTIFIERS && !told.contains(&notifier));
        told && self.neighbors.predecessor().is_some_and(|predecessor| predecessor != notifier)
    }

    /// A notifier does not know of the predecessor, which has come between: it takes the predecessor's keys for this
    /// node's until it asks again.
    fn correct(&mut self, notifier: Peer) {
        self.corrected.iter_mut().for_each(|told| told.push(notifier));
        self.effects.push(Effect::Tell(notifier, Request::Nudge { of: self.setup.me }));
    }

    fn checked(&mut self, checked: Checked) {
        match checked {
            Checked::Alive(peer, dialect) if self.neighbors.predecessor() == Some(peer) => {
                self.predecessor_dialect = dialect.filter(|dialect| *dialect != Dialect::Ours);
                self.untold = 0;
            }
            Checked::Dead(peer) => self.mark_dead(peer),
            Checked::Mute(peer) if self.neighbors.predecessor() == Some(peer) => {
                self.untold = self.untold.saturating_add(1);
                if self.untold >= MAX_UNTOLD && self.neighbors.drop_predecessor(peer) {
                    self.mute = Some(peer);
                    self.changed();
                }
            }
            Checked::Alive(..) | Checked::Mute(_) | Checked::Unclear => {}
        }
    }
}
