//! Finding the owner of a key (paper, figure 5; IV.E.3 for the successor list).

mod candidates;
mod guess;
pub mod iterative;
pub mod outcome;
pub mod restarts;
mod retry;

use super::id::Id;
use super::neighbors::{Neighbors, Owner};
use super::peer::Peer;
use super::procedure::{Answer, Procedure, Step};
use super::rpc::{Code, Hop, MAX_HOPS, Memory, Request, Response};
use candidates::Candidates;
use guess::Guess;
use iterative::Style;
pub use outcome::{Finding, Found, LookupFailure, Outcome};
use retry::MAX_RESTS;

/// One node's part in a lookup: it names the owner if it can, else it passes the query on to the closest node before
/// the key among fingers and successor list, or (iterative style) puts the query to that node itself. A dead node is
/// left out and the next best is asked. Each hop lies strictly between this node and the key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lookup {
    query: Query,
    /// A copy of the neighbours, from which the dead are dropped on the way.
    neighbors: Neighbors,
    /// Whether this node was a ring of one when the lookup began.
    alone: bool,
    candidates: Candidates,
    style: Style,
    /// Nodes to ping before another node is sent to them.
    doubted: Vec<Peer>,
    waits_for: WaitsFor,
    /// How often the lookup has rested.
    rests: u32,
    dead: Vec<Peer>,
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

/// What a lookup waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum WaitsFor {
    Nothing,
    /// The answer of a node.
    Answer(Peer),
    /// The same, of a node that may live between this node and its first successor, of which this node is unsure.
    Contender(Peer),
    /// The end of a rest.
    Rest,
}

/// What a lookup is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Query {
    /// The point whose owner is sought; if a finger is looked up, its start.
    pub key: Id,
    /// Whether this node may pass the query on.
    pub scope: Scope,
    /// Whether the answer lists the nodes that were asked.
    pub want_path: bool,
}

/// How far a query goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// From node to node until one names the owner; it has made this many hops so far.
    Ring {
        /// 0 at the node that begins; with [`MAX_HOPS`] the query goes no further.
        hops: u32,
    },
    /// No further than the node that is asked: it names the owner, or the nodes to ask next.
    Here,
}

impl Query {
    /// The query of a lookup that begins.
    pub fn begun(key: Id, want_path: bool) -> Query {
        Query { key, scope: Scope::Ring { hops: 0 }, want_path }
    }

    /// The query what this node itself knows.
    pub fn here(key: Id, want_path: bool) -> Query {
        Query { key, scope: Scope::Here, want_path }
    }

    /// Whether no other node has put the query before.
    pub fn begins(self) -> bool {
        self.scope == Scope::Ring { hops: 0 }
    }
}

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
    pub fn new(query: Query, neighbors: Neighbors, fingers: Vec<Peer>) -> Lookup {
        Lookup {
            query,
            alone: neighbors.successor().is_none(),
            neighbors,
            candidates: Candidates::new(fingers),
            style: Style::Recursive,
            doubted: Vec::new(),
            waits_for: WaitsFor::Nothing,
            rests: 0,
            dead: Vec::new(),
            timeouts: 0,
            path: Vec::new(),
            bent: false,
            excused: false,
            guess: None,
        }
    }

    fn decide(&mut self) -> Step<Finding> {
        match self.neighbors.owner(self.query.key) {
            Owner::Me if self.alone || self.neighbors.successor().is_some() => {
                self.found(self.neighbors.me(), Vec::new())
            }
            Owner::Me => self.lost(LookupFailure::Isolated),
            Owner::Successor(successor) if self.may_be_named(successor) => self.found(successor, Vec::new()),
            // The successor itself says what it owns.
            Owner::Successor(successor) if self.neighbors.is_unsure() => self.ask(successor, Request::GetPredecessor),
            Owner::Successor(successor) => self.ask(successor, Request::CheckPredecessor),
            Owner::Beyond => match self.query.scope {
                Scope::Here => self.point_on(),
                Scope::Ring { hops } if hops >= MAX_HOPS => self.lost(LookupFailure::TooManyHops),
                Scope::Ring { hops } => self.go_on(hops),
            },
        }
    }

    /// Goes on to the closest preceding node of those that may still help.
    fn go_on(&mut self, hops: u32) -> Step<Finding> {
        if self.candidates.are_enough() {
            return self.lost(LookupFailure::NoRoute);
        }
        match self.closest_preceding_node() {
            Some(next) => self.go_to(next, hops),
            None if self.candidates.come_back_to_busy() => self.go_on(hops),
            None if !self.candidates.is_too_early() => self.lost(LookupFailure::NoRoute),
            None if self.rests < MAX_RESTS && !self.is_passed_on() => self.rest(),
            None => self.ask_again(),
        }
    }

    /// Whether this successor may be named without a query. If the key is its identifier, the asker may be that very
    /// node on its way back into the ring: it must not be named before it has joined.
    fn may_be_named(&self, successor: Peer) -> bool {
        self.neighbors.is_heard() && successor.id != self.query.key && !self.doubted.contains(&successor)
    }

    fn closest_preceding_node(&self) -> Option<Peer> {
        self.candidates.closest(&self.neighbors, self.query.key)
    }

    /// Whether another node has passed its query on to this one, and will hear the outcome.
    fn is_passed_on(&self) -> bool {
        self.style == Style::Recursive && !self.query.begins()
    }

    fn knows_others(&self, than: Peer) -> bool {
        self.neighbors.successors().iter().chain(self.candidates.known()).any(|node| *node != than)
    }

    fn leave_out(&mut self, node: Peer) {
        self.neighbors.drop_successor(node);
        self.candidates.leave_out(node);
    }

    /// The first successor, of which this node is unsure, has named its predecessor.
    fn confirmed(&mut self, successor: Peer, predecessor: Option<Peer>, memory: Memory) -> Step<Finding> {
        let lost_this = memory.former == Some(self.neighbors.me());
        match predecessor {
            Some(before) if self.query.key.in_half_open(before.id, successor.id) => self.found_pinged(successor),
            Some(before) if !self.candidates.has_left_out(before) && !self.neighbors.has_dropped(before) => {
                self.waits_for = WaitsFor::Contender(before);
                Step::Ask(before.into(), Request::CheckPredecessor)
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
        self.waits_for = WaitsFor::Answer(peer);
        Step::Ask(peer.into(), request)
    }

    fn found(&mut self, owner: Peer, path: Vec<Hop>) -> Step<Finding> {
        let mut asked = std::mem::take(&mut self.path);
        asked.extend(path);
        self.finish(Outcome::Owner(Found { owner, path: asked, timeouts: self.timeouts }))
    }

    fn lost(&mut self, why: LookupFailure) -> Step<Finding> {
        // Unlike `NoRoute`, `Timeout` does not make the lookup begin again: the hop that waits for it is free to
        // answer.
        let excused = self.excused && why == LookupFailure::NoRoute;
        self.finish(Outcome::Failed(if excused { LookupFailure::Timeout } else { why }))
    }

    fn finish(&mut self, outcome: Outcome) -> Step<Finding> {
        let dead = std::mem::take(&mut self.dead);
        Step::Done(Finding { outcome, dead, pinged: false })
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
        let (asked, contends) = match std::mem::replace(&mut self.waits_for, WaitsFor::Nothing) {
            WaitsFor::Answer(asked) => (asked, false),
            WaitsFor::Contender(asked) => (asked, true),
            WaitsFor::Rest => return self.rested(answer),
            WaitsFor::Nothing => return self.lost(LookupFailure::NoRoute),
        };
        if let Some(guess) = self.guess.take() {
            return self.guessed(guess, answer);
        }
        let pinged = self.neighbors.owner(self.query.key) == Owner::Successor(asked);
        match answer {
            answer if answer.is_dead() => self.found_dead(asked),
            Answer::Unasked if pinged => self.lost(LookupFailure::Busy),
            _ if contends => self.lost(LookupFailure::Unsure),
            Answer::Reply(Response::Predecessor { predecessor, memory, .. })
                if pinged && self.neighbors.is_unsure() =>
            {
                self.confirmed(asked, predecessor, memory)
            }
            _ if pinged && self.neighbors.is_unsure() => self.lost(LookupFailure::Unsure),
            // The successor may be that very node on its way back into the ring: it waits for this answer and serves no
            // calls meanwhile.
            Answer::Excused if pinged && asked.id == self.query.key => {
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
                self.candidates.refuse(asked);
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
            Answer::Reply(Response::Successor { owner, path }) if owner.id.in_open(asked.id, self.query.key) => {
                // At most `MAX_REFUSALS` may say so, each once: a liar can't lead the lookup on for ever.
                self.candidates.refuse(asked);
                self.pointed(asked, vec![owner], path)
            }
            Answer::Reply(Response::Successor { owner, path }) => self.found(owner, path),
            Answer::Reply(Response::Preceding { nodes, path }) => self.pointed(asked, nodes, path),
            // The query has made too many hops: every other way would make as many.
            Answer::Refused(Code::BadRequest) => self.lost(LookupFailure::TooManyHops),
            // Others have tried: see `MAX_REFUSALS`.
            Answer::Refused(Code::NoRoute) if self.is_passed_on() => self.lost(LookupFailure::NoRoute),
            Answer::Refused(Code::Timeout) if self.is_passed_on() => self.lost(LookupFailure::Timeout),
            Answer::Refused(Code::Busy) | Answer::Unasked => self.go_round(asked),
            _ if self.excused => self.lost(LookupFailure::Timeout),
            Answer::Refused(Code::Retry) => {
                self.candidates.refuse_too_early(asked);
                self.decide()
            }
            _ => {
                self.candidates.refuse(asked);
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
