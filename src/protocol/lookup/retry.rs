//! Asking again: of those who are busy, and of those for whom it was too early.
//!
//! A lookup *rests* first, if the budget of its thread has room ([`retry_budget`](crate::protocol::retry_budget)): retries at once are
//! what keeps an overloaded ring overloaded.

use super::{Finding, Lookup, LookupFailure};
use crate::protocol::peer::Peer;
use crate::protocol::procedure::{Answer, Step};

/// A lookup waits this often because somebody is busy, or it was too early for all who are left, before it says so itself:
/// some 300 ms in all, longer than the queues of a thread are. One that another node has passed on waits once: its asker waits, too.
pub const MAX_RESTS: u32 = 5;
const MAX_RESTS_PASSED_ON: u32 = 1;

impl Lookup {
    /// Waits a moment, and then goes round a node that is busy, if more retries may be made.
    pub(super) fn go_round(&mut self, busy: Peer) -> Step<Finding> {
        let most = if self.is_passed_on() { MAX_RESTS_PASSED_ON } else { MAX_RESTS };
        if self.rests >= most {
            return self.lost(LookupFailure::Busy);
        }
        self.busy.push(busy);
        self.rest()
    }

    pub(super) fn rest(&mut self) -> Step<Finding> {
        self.rests += 1;
        self.resting = true;
        Step::Rest { rests: self.rests - 1 }
    }

    /// The moment has passed, if it might: what was too early is not any more.
    pub(super) fn rested(&mut self, answer: Answer) -> Step<Finding> {
        match answer {
            Answer::Rested => {
                for node in std::mem::take(&mut self.too_early) {
                    self.refused.retain(|other| *other != node);
                }
                self.decide()
            }
            _ if self.busy.is_empty() => self.ask_again(),
            _ => self.lost(LookupFailure::Busy),
        }
    }

    /// Asks somebody at once for whom it was too early: nobody else is left.
    pub(super) fn ask_again(&mut self) -> Step<Finding> {
        self.rests = MAX_RESTS;
        match self.too_early.is_empty() {
            true => self.lost(LookupFailure::NoRoute),
            false => {
                let again = self.too_early.remove(0);
                self.go_to(again)
            }
        }
    }
}
