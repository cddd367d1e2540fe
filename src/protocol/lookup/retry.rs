//! Asking again: nodes that are busy, and nodes for which it was too early.
//!
//! A lookup *rests* first, if the budget of its thread has room ([`retry_budget`](crate::protocol::retry_budget)):
//! immediate retries keep an overloaded ring overloaded.

use super::{Finding, Lookup, LookupFailure, Scope, WaitsFor};
use crate::protocol::peer::Peer;
use crate::protocol::procedure::{Answer, Step};

/// How often a lookup rests, because a node is busy or it was too early for all nodes that are left, before it fails
/// for that reason: some 300 ms in all, longer than the queues of a thread. A lookup that another node has passed on
/// rests once, and only if a node is busy, since its asker rests, too.
pub(super) const MAX_RESTS: u32 = 5;
const MAX_RESTS_PASSED_ON: u32 = 1;

impl Lookup {
    /// Rests, and then passes over a node that is busy, if more retries may be made.
    pub(super) fn go_round(&mut self, busy: Peer) -> Step<Finding> {
        let most = if self.is_passed_on() { MAX_RESTS_PASSED_ON } else { MAX_RESTS };
        if self.rests >= most {
            return self.lost(LookupFailure::Busy);
        }
        self.candidates.pass_over(busy);
        self.rest()
    }

    pub(super) fn rest(&mut self) -> Step<Finding> {
        self.rests += 1;
        self.waits_for = WaitsFor::Rest;
        Step::Rest { rests: self.rests - 1 }
    }

    /// The rest is over, or was refused. After a rest it is no longer too early.
    pub(super) fn rested(&mut self, answer: Answer) -> Step<Finding> {
        match answer {
            Answer::Rested => {
                self.candidates.no_longer_too_early();
                self.decide()
            }
            _ if !self.candidates.is_busy() => self.ask_again(),
            _ => self.lost(LookupFailure::Busy),
        }
    }

    /// Asks a node for which it was too early again, at once: no other node is left.
    pub(super) fn ask_again(&mut self) -> Step<Finding> {
        self.rests = MAX_RESTS;
        match (self.query.scope, self.candidates.take_too_early()) {
            (Scope::Ring { hops }, Some(again)) => self.go_to(again, hops),
            _ => self.lost(LookupFailure::NoRoute),
        }
    }
}
