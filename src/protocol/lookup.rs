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

/// One node's part in a lookup: name the owner if it can, else pass the question on to the
/// closest node before the key among fingers and successor list, or go there itself. A node that is dead is left out
/// and the next best is asked, so that each hop lies strictly between this node and the key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lookup {
    question: Question,
    /// A copy of the neighbours, from which the dead are dropped on the way.
    neighbors: Neighbors,
    /// Whether this node was a ring of one when the lookup began.
    alone: bool,
    /// Nodes strictly between this node and the key: fingers, and whom others have named.
    fingers: Vec<Peer>,
    style: Style,
    /// Nodes that are asked whether they live before anybody is sent to them.
    doubted: Vec<Peer>,
    /// The node that was asked last.
    asked: Option<Peer>,
    /// Nodes that live but could not answer.
    refused: Vec<Peer>,
    /// Those of them that may be asked once more when nobody else is left: it was too early.
    too_early: Vec<Peer>,
    /// Nodes that have too much to do: gone round, and asked again when nobody else is left.
    busy: Vec<Peer>,
    /// How often it has waited because somebody was busy, and whether it waits now.
    rests: u32,
    resting: bool,
    /// Whether the node that was asked last may live between this one and the first successor, of which this one
    /// is unsure.
    contesting: bool,
    dead: Vec<Peer>,
    /// Whoever is not to be asked again: the dead, and those who are in the way.
    left_out: Vec<Peer>,
    /// How many turned out dead.
    timeouts: u32,
    /// Who has answered an iterative lookup, if wanted.
    path: Vec<Hop>,
    /// Whether the copy lacks a node that lives.
    bent: bool,
    /// Whether a hop may be waiting for this very lookup to end.
    excused: bool,
    /// Whoever is taken for the owner, until that turns out right or wrong.
    guess: Option<Guess>,
}

/// What a lookup is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    pub key: Id,
    /// Hops that the question has made so far.
    pub hops: u32,
    /// Whether to tell who was asked.
    pub want_path: bool,
}

/// The outcome of a lookup.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finding {
    pub result: Result<Found, LookupFailure>,
    /// Whom to ask next, the closest to the key first, if the question has made too many hops.
    pub preceding: Vec<Peer>,
    /// Nodes that turned out dead and were not taken on the way: both tables are to hear of it.
    pub dead: Vec<Peer>,
    /// Whether the owner was named from the copy of the neighbours after a ping, which takes its time.
    pinged: bool,
}

impl Finding {
    /// What a lookup says to the node that has passed its question on; `me` is its node as a hop, if
    /// wanted.
    pub fn answer(self, me: Option<Hop>) -> Result<Response, LookupFailure> {
        let Found { owner, path, .. } = self.result?;
        Ok(Response::Successor { owner, path: me.into_iter().chain(path).collect() })
    }

    /// Whether the owner is to be compared with the neighbours as they are now.
    pub fn is_pinged(&self) -> bool {
        self.pinged
    }

    /// Whether the neighbours, as they are now that the tables have heard of the dead, name somebody
    /// else than the copy from which the lookup began: then it is to begin again.
    pub fn is_outdated(&self, key: Id, now: &Neighbors) -> bool {
        let named = self.result.as_ref().ok().filter(|_| self.pinged);
        named.is_some_and(|found| now.owner(key) != Owner::Successor(found.owner))
    }
}

/// The owner of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Found {
    pub owner: Peer,
    /// Who was asked, in the order of asking, without the node that began; empty unless wanted.
    pub path: Vec<Hop>,
    /// How many nodes the one that began has asked in vain: they turned out dead.
    pub timeouts: u32,
}

/// Why a lookup found no owner, and when the same may be asked again. A lookup changes nothing, so that it may always be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LookupFailure {
    /// Later: it is joining; or never, if it has left.
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
    /// Now: somebody on the way fell silent, and will be passed over once it has been found dead.
    #[error("no answer within the time limit")]
    Timeout,
    /// Later, after a pause that grows with each refusal and is jittered: this node or the way to the key has more to do than it can.
    #[error("too much to do at once")]
    Busy,
    /// Now, or after a moment: it takes some calls to find out, some seconds if many slept.
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

/// So many living nodes may fail to answer before a node gives up.
///
/// A hop that could not answer for a reason of its own (it has lost its ring, it has too much to do)
/// is gone round by whoever has asked it. One whose own ways have led nowhere, or have taken its time, is
/// believed by all hops before it: only the node that began tries another way, else a lookup that fails
/// would cost three to the power of its hops. So it costs three questions a hop, three times.
///
/// Whoever says that it is too early, or is not believed since it was started again, does not count: several
/// nodes that come back together are often all that lies before a key. They are asked once more if need be.
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
    /// Looks a key up from the node with these neighbours, past these nodes that precede the key.
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
            // It says itself what it owns.
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

    /// Whether nothing speaks against this successor. A key that equals a node's identifier may be asked
    /// by that very node on its way back into the ring: then it must not be named before it has joined.
    fn may_be_named(&self, successor: Peer) -> bool {
        self.neighbors.is_heard() && successor.id != self.question.key && !self.doubted.contains(&successor)
    }

    fn closest_preceding_node(&self) -> Option<Peer> {
        let able = |node: &Peer| !self.refused.contains(node) && !self.busy.contains(node);
        let fingers = self.fingers.iter().copied().filter(able);
        let successors = self.neighbors.successors().iter().copied().filter(able);
        closest_preceding_node(self.neighbors.me().id, self.question.key, fingers, successors)
    }

    /// Whether another node passes its question on through this one, and will hear what comes of it.
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

    /// Notes that a node can't help. Says whether that is new.
    fn can_not_help(&mut self, node: Peer) -> bool {
        let is_new = !self.refused.contains(&node);
        self.refused.extend(is_new.then_some(node));
        is_new
    }

    /// The first successor, of which this node is unsure, has said who comes before it.
    fn confirmed(&mut self, successor: Peer, predecessor: Option<Peer>, memory: Memory) -> Step<Finding> {
        let lost_this = memory.former == Some(self.neighbors.me());
        match predecessor {
            Some(before) if self.question.key.in_half_open(before.id, successor.id) => self.found_pinged(successor),
            Some(before) if !self.left_out.contains(&before) && !self.neighbors.has_dropped(before) => {
                let step = self.ask(before, Request::CheckPredecessor);
                self.contesting = true;
                step
            }
            // Others may have joined while both of them slept.
            None if self.neighbors.is_astray() && !lost_this => self.lost(LookupFailure::Unsure),
            // Neither of both knows anybody in between who lives: nobody joins there, either, before they have settled.
            _ => self.found_pinged(successor),
        }
    }

    /// Goes on without a node that was asked in vain.
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
        // It does not begin again, so that whoever waits for it is free to answer.
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
            // It may be that very node, on its way back into the ring, that waits for this answer and serves nobody
            // meanwhile.
            Answer::Excused if pinged && asked.id == self.question.key => {
                self.leave_out(asked);
                self.bent = true;
                self.decide()
            }
            // Whatever it says to a ping, it lives.
            _ if pinged => self.found_pinged(asked),
            _ if self.doubted.contains(&asked) => self.found_alive(asked, &answer),
            // One other way is tried, by the node that began.
            Answer::Excused if self.is_passed_on() => self.lost(LookupFailure::Timeout),
            Answer::Excused if !std::mem::replace(&mut self.excused, true) => {
                self.can_not_help(asked);
                self.decide()
            }
            // Before the key and yet its owner: whoever says so of itself is a ring of one. To somebody
            // who knows more than that one node it was started again, and is in the way.
            Answer::Reply(Response::Successor { owner, .. }) if owner == asked && self.knows_others(asked) => {
                self.leave_out(asked);
                self.bent = true;
                self.decide()
            }
            // Nor can a node that lies before the key own it, as some plain peers say: it may know who does.
            Answer::Reply(Response::Successor { owner, path }) if owner.id.in_open(asked.id, self.question.key) => {
                // So few may say so, and each is asked once: a liar leads nobody from node to node for ever.
                self.can_not_help(asked);
                self.pointed(asked, vec![owner], path)
            }
            Answer::Reply(Response::Successor { owner, path }) => self.found(owner, path),
            Answer::Reply(Response::Preceding { nodes, path }) => self.pointed(asked, nodes, path),
            // The question has gone too far: every other way would only go as far again.
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
