//! Finding the owner of a key (paper, figure 5; IV.E.3 for the successor list).

mod guess;
pub mod iterative;
pub mod restarts;
mod retry;

use super::id::Id;
use super::neighbors::{Neighbors, Owner};
use super::peer::Peer;
use super::procedure::{Answer, Procedure, Step};
use super::rpc::{Code, Hop, MAX_HOPS, Memory, Request, Response};
use guess::Guess;
use iterative::Style;
use retry::MAX_RESTS;

/// One node's part in a lookup: it names the owner if it can, else it passes the question on to the closest node before
/// the key among fingers and successor list, or (iterative style) puts the question to that node itself. A dead node is
/// left out and the next best is asked. Each hop lies strictly between this node and the key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lookup {
    question: Question,
    /// A copy of the neighbours, from which the dead are dropped on the way.
    neighbors: Neighbors,
    /// Whether this node was a ring of one when the lookup began.
    alone: bool,
    /// Nodes strictly between this node and the key: fingers, and nodes that others have named.
    fingers: Vec<Peer>,
    style: Style,
    /// Nodes to ping before another node is sent to them.
    doubted: Vec<Peer>,
    /// The node that was asked last.
    asked: Option<Peer>,
    /// Nodes that live but could not answer.
    refused: Vec<Peer>,
    /// Those of `refused` for which it was too early: asked once more when no other node is left.
    too_early: Vec<Peer>,
    /// Nodes that are overloaded: passed over, and asked again when no other node is left.
    busy: Vec<Peer>,
    /// How often the lookup has rested, and whether it rests now.
    rests: u32,
    resting: bool,
    /// Whether the node that was asked last may live between this node and its first successor, of which this node is
    /// unsure.
    contesting: bool,
    dead: Vec<Peer>,
    /// Nodes that are not to be asked again: dead ones, and living ones that block the way to the key.
    left_out: Vec<Peer>,
    /// How many nodes turned out dead.
    timeouts: u32,
    /// The nodes that have answered an iterative lookup, if wanted.
    path: Vec<Hop>,
    /// Whether a living node was dropped from the copy of the neighbours.
    bent: bool,
    /// Whether a hop may be waiting for this very lookup to end ([`Answer::Excused`]).
    excused: bool,
    /// The node that is assumed to be the owner, until that is confirmed or refuted.
    guess: Option<Guess>,
}

/// What a lookup is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    pub key: Id,
    /// Hops that the question has made so far.
    pub hops: u32,
    /// Whether the answer lists the nodes that were asked.
    pub want_path: bool,
}

/// The outcome of a lookup.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finding {
    pub result: Result<Found, LookupFailure>,
    /// Nodes to ask next, closest to the key first, if the question has made too many hops.
    pub preceding: Vec<Peer>,
    /// Nodes that turned out dead and were not [taken](Procedure::take_dead) earlier: to be removed from both tables.
    pub dead: Vec<Peer>,
    /// Whether the owner was named from the copy of the neighbours after a ping: they may have changed during that
    /// time.
    pinged: bool,
}

impl Finding {
    /// The answer to the node that passed its question on to this one; `me` is this node as a hop, if wanted.
    pub fn answer(self, me: Option<Hop>) -> Result<Response, LookupFailure> {
        let Found { owner, path, .. } = self.result?;
        Ok(Response::Successor { owner, path: me.into_iter().chain(path).collect() })
    }

    /// Whether the owner is to be compared with the neighbours as they are now.
    pub fn is_pinged(&self) -> bool {
        self.pinged
    }

    /// Whether the current neighbours, updated with the dead, name another owner than the copy that the lookup began
    /// with: then the lookup must begin again.
    pub fn is_outdated(&self, key: Id, now: &Neighbors) -> bool {
        let named = self.result.as_ref().ok().filter(|_| self.pinged);
        named.is_some_and(|found| now.owner(key) != Owner::Successor(found.owner))
    }
}

/// The owner of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Found {
    pub owner: Peer,
    /// The nodes that were asked, in the order of asking, without the node that began; empty unless wanted.
    pub path: Vec<Hop>,
    /// How many nodes turned out dead when the node that began asked them.
    pub timeouts: u32,
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

/// A node gives up a lookup once this many living nodes could not answer.
///
/// If a hop can't answer for a reason of its own (it has lost its ring, it is overloaded), the node that asked it
/// passes it over. If a hop says that its own ways led nowhere or took its time, all hops before it accept that: only
/// the node that began tries another way. Otherwise a failing lookup would cost three to the power of its hops; so it
/// costs three questions a hop, three times.
///
/// A node that says "too early" does not count, nor does one that is not believed since it was restarted: several nodes
/// that come back together are often all that lies before a key. They are asked once more if need be.
const MAX_REFUSALS: usize = 3;

/// Of the nodes that `me` knows, the last one strictly between it and the key (paper, figure 5). The
/// successors are in the order of the circle; fingers may point anywhere.
pub fn closest_preceding_node(
    me: Id,
    key: Id,
    fingers: impl Iterator<Item = Peer>,
    mut successors: impl DoubleEndedIterator<Item = Peer>,
) -> Option<Peer> {
    let precedes = |node: &Peer| node.id.in_open(me, key);
    let last = successors.rfind(precedes);
    fingers.filter(precedes).chain(last).max_by_key(|node| node.id.clockwise_from(me))
}

impl Lookup {
    /// A lookup by the node with these neighbours; `fingers` are other nodes that precede the key.
    pub fn new(question: Question, neighbors: Neighbors, fingers: Vec<Peer>) -> Lookup {
        Lookup {
            question,
            alone: neighbors.successor().is_none(),
            neighbors,
            fingers,
            style: Style::Recursive,
            doubted: Vec::new(),
            asked: None,
            refused: Vec::new(),
            too_early: Vec::new(),
            busy: Vec::new(),
            rests: 0,
            resting: false,
            contesting: false,
            dead: Vec::new(),
            left_out: Vec::new(),
            timeouts: 0,
            path: Vec::new(),
            bent: false,
            excused: false,
            guess: None,
        }
    }

    fn decide(&mut self) -> Step<Finding> {
        match self.neighbors.owner(self.question.key) {
            Owner::Me if self.alone || self.neighbors.successor().is_some() => {
                self.found(self.neighbors.me(), Vec::new())
            }
            Owner::Me => self.lost(LookupFailure::Isolated),
            Owner::Successor(successor) if self.may_be_named(successor) => self.found(successor, Vec::new()),
            // The successor itself says what it owns.
            Owner::Successor(successor) if self.neighbors.is_unsure() => self.ask(successor, Request::GetPredecessor),
            Owner::Successor(successor) => self.ask(successor, Request::CheckPredecessor),
            Owner::Beyond if self.question.hops >= MAX_HOPS => match self.closest_doubted() {
                Some(doubted) => self.ask(doubted, Request::CheckPredecessor),
                None => self.point_on(),
            },
            Owner::Beyond if self.refused.len() - self.too_early.len() >= MAX_REFUSALS => {
                self.lost(LookupFailure::NoRoute)
            }
            Owner::Beyond => match self.closest_preceding_node() {
                Some(next) => self.go_to(next),
                None if !self.busy.is_empty() => {
                    self.busy.clear();
                    self.decide()
                }
                None if self.too_early.is_empty() => self.lost(LookupFailure::NoRoute),
                None if self.rests < MAX_RESTS && !self.is_passed_on() => self.rest(),
                None => self.ask_again(),
            },
        }
    }

    /// Whether this successor may be named without a question. If the key is its identifier, the asker may be that very
    /// node on its way back into the ring: it must not be named before it has joined.
    fn may_be_named(&self, successor: Peer) -> bool {
        self.neighbors.is_heard() && successor.id != self.question.key && !self.doubted.contains(&successor)
    }

    fn closest_preceding_node(&self) -> Option<Peer> {
        let able = |node: &Peer| !self.refused.contains(node) && !self.busy.contains(node);
        let fingers = self.fingers.iter().copied().filter(able);
        let successors = self.neighbors.successors().iter().copied().filter(able);
        closest_preceding_node(self.neighbors.me().id, self.question.key, fingers, successors)
    }

    /// Whether another node has passed its question on to this one, and will hear the outcome.
    fn is_passed_on(&self) -> bool {
        self.style == Style::Recursive && self.question.hops > 0
    }

    fn knows_others(&self, than: Peer) -> bool {
        self.neighbors.successors().iter().chain(&self.fingers).any(|node| *node != than)
    }

    fn leave_out(&mut self, node: Peer) {
        self.neighbors.drop_successor(node);
        self.fingers.retain(|finger| *finger != node);
        self.left_out.push(node);
    }

    /// Notes that a node can't help. Returns whether that is new.
    fn can_not_help(&mut self, node: Peer) -> bool {
        let is_new = !self.refused.contains(&node);
        self.refused.extend(is_new.then_some(node));
        is_new
    }

    /// The first successor, of which this node is unsure, has named its predecessor.
    fn confirmed(&mut self, successor: Peer, predecessor: Option<Peer>, memory: Memory) -> Step<Finding> {
        let lost_this = memory.former == Some(self.neighbors.me());
        match predecessor {
            Some(before) if self.question.key.in_half_open(before.id, successor.id) => self.found_pinged(successor),
            Some(before) if !self.left_out.contains(&before) && !self.neighbors.has_dropped(before) => {
                let step = self.ask(before, Request::CheckPredecessor);
                self.contesting = true;
                step
            }
            // Others may have joined while this node and its successor slept.
            None if self.neighbors.is_astray() && !lost_this => self.lost(LookupFailure::Unsure),
            // Neither of the two knows a living node in between, and no node joins there before the two have settled.
            _ => self.found_pinged(successor),
        }
    }

    /// Goes on without a node that turned out dead.
    fn found_dead(&mut self, node: Peer) -> Step<Finding> {
        self.leave_out(node);
        self.dead.push(node);
        self.timeouts += 1;
        self.start()
    }

    fn ask(&mut self, peer: Peer, request: Request) -> Step<Finding> {
        self.asked = Some(peer);
        self.contesting = false;
        Step::Ask(peer.into(), request)
    }

    fn found(&mut self, owner: Peer, path: Vec<Hop>) -> Step<Finding> {
        let mut asked = std::mem::take(&mut self.path);
        asked.extend(path);
        self.finish(Ok(Found { owner, path: asked, timeouts: self.timeouts }))
    }

    fn lost(&mut self, why: LookupFailure) -> Step<Finding> {
        // Unlike `NoRoute`, `Timeout` does not make the lookup begin again: the hop that waits for it is free to
        // answer.
        self.finish(Err(if self.excused && why == LookupFailure::NoRoute { LookupFailure::Timeout } else { why }))
    }

    fn finish(&mut self, result: Result<Found, LookupFailure>) -> Step<Finding> {
        let dead = std::mem::take(&mut self.dead);
        Step::Done(Finding { result, preceding: Vec::new(), dead, pinged: false })
    }

    /// Names the successor that has just been pinged.
    fn found_pinged(&mut self, owner: Peer) -> Step<Finding> {
        match self.found(owner, Vec::new()) {
            Step::Done(finding) => Step::Done(Finding { pinged: !self.bent, ..finding }),
            other => other,
        }
    }
}

impl Procedure for Lookup {
    type Output = Finding;

    fn start(&mut self) -> Step<Finding> {
        self.try_guess().unwrap_or_else(|| self.decide())
    }

    fn resume(&mut self, answer: Answer) -> Step<Finding> {
        if std::mem::take(&mut self.resting) {
            return self.rested(answer);
        }
        let Some(asked) = self.asked.take() else {
            return self.lost(LookupFailure::NoRoute);
        };
        if let Some(guess) = self.guess.take() {
            return self.guessed(guess, answer);
        }
        let pinged = self.neighbors.owner(self.question.key) == Owner::Successor(asked);
        match answer {
            answer if answer.is_dead() => self.found_dead(asked),
            Answer::Unasked if pinged => self.lost(LookupFailure::Busy),
            _ if self.contesting => self.lost(LookupFailure::Unsure),
            Answer::Reply(Response::Predecessor { predecessor, memory, .. })
                if pinged && self.neighbors.is_unsure() =>
            {
                self.confirmed(asked, predecessor, memory)
            }
            _ if pinged && self.neighbors.is_unsure() => self.lost(LookupFailure::Unsure),
            // The successor may be that very node on its way back into the ring: it waits for this answer and serves no
            // calls meanwhile.
            Answer::Excused if pinged && asked.id == self.question.key => {
                self.leave_out(asked);
                self.bent = true;
                self.decide()
            }
            // It was not found dead, so it is named, no matter what it answered.
            _ if pinged => self.found_pinged(asked),
            _ if self.doubted.contains(&asked) => self.found_alive(asked, &answer),
            // Past an excused hop one other way is tried, by the node that began.
            Answer::Excused if self.is_passed_on() => self.lost(LookupFailure::Timeout),
            Answer::Excused if !std::mem::replace(&mut self.excused, true) => {
                self.can_not_help(asked);
                self.decide()
            }
            // A node before the key that names itself as owner is a ring of one. If this node knows any other node,
            // then that one was restarted, and blocks the way.
            Answer::Reply(Response::Successor { owner, .. }) if owner == asked && self.knows_others(asked) => {
                self.leave_out(asked);
                self.bent = true;
                self.decide()
            }
            // A node that lies before the key can't own it, though some plain peers name one: it may know the owner.
            Answer::Reply(Response::Successor { owner, path }) if owner.id.in_open(asked.id, self.question.key) => {
                // At most [`MAX_REFUSALS`] may say so, each once: a liar can't lead the lookup on for ever.
                self.can_not_help(asked);
                self.pointed(asked, vec![owner], path)
            }
            Answer::Reply(Response::Successor { owner, path }) => self.found(owner, path),
            Answer::Reply(Response::Preceding { nodes, path }) => self.pointed(asked, nodes, path),
            // The question has made too many hops: every other way would make as many.
            Answer::Refused(Code::BadRequest) => self.lost(LookupFailure::TooManyHops),
            // Others have tried: see MAX_REFUSALS.
            Answer::Refused(Code::NoRoute) if self.is_passed_on() => self.lost(LookupFailure::NoRoute),
            Answer::Refused(Code::Timeout) if self.is_passed_on() => self.lost(LookupFailure::Timeout),
            Answer::Refused(Code::Busy) | Answer::Unasked => self.go_round(asked),
            _ if self.excused => self.lost(LookupFailure::Timeout),
            answer => {
                let is_first = self.can_not_help(asked);
                self.too_early.extend((is_first && answer == Answer::Refused(Code::Retry)).then_some(asked));
                self.decide()
            }
        }
    }

    fn take_dead(&mut self) -> Vec<Peer> {
        std::mem::take(&mut self.dead)
    }
}

#[cfg(test)]
mod tests;
