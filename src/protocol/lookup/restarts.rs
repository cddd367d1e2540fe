//! When a lookup whose end is no answer yet begins again.

use super::retry::MAX_RESTS;
use super::{Finding, LookupFailure, Outcome, Query};
use crate::protocol::neighbors::Neighbors;

/// A lookup whose owner was outdated when it was named begins at most this often: a ring that changes faster has no stable
/// answer.
const MAX_BEGINNINGS: u32 = 4;

/// How often a lookup has begun again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Restarts {
    rests: u32,
    outdated: u32,
}

/// What follows from what a lookup has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The finding is the answer.
    Answer,
    /// The node, or one that it asked, does not know enough yet: after the
    /// [`rest`](crate::protocol::retry_budget::rest) that follows this many others, the lookup begins again.
    Rest(u32),
    /// Both tables are to hear of the dead. Then [`compare`](Restarts::compare) says whether the lookup begins again.
    Compare,
}

impl Restarts {
    /// What follows from this finding. `may_retry` asks the thread for one more retry
    /// ([`retry_budget`](crate::protocol::retry_budget)).
    ///
    /// A ring that was just hit settles in a few round trips, and so does a node that was asleep. Only the node where the
    /// lookup began rests for them: the others would keep it waiting.
    pub fn after(&mut self, finding: &Finding, query: Query, may_retry: impl FnOnce() -> bool) -> Next {
        let too_early = matches!(finding.outcome, Outcome::Failed(LookupFailure::Unsure | LookupFailure::NoRoute));
        if too_early && query.begins() && self.rests < MAX_RESTS && may_retry() {
            self.rests += 1;
            return Next::Rest(self.rests - 1);
        }
        if finding.is_pinged() { Next::Compare } else { Next::Answer }
    }

    /// Whether the lookup begins again, since the neighbours as they are now name another owner.
    pub fn compare(&mut self, finding: &Finding, query: Query, now: &Neighbors) -> Result<bool, LookupFailure> {
        let outdated = finding.is_outdated(query.key, now);
        self.outdated += u32::from(outdated);
        if self.outdated < MAX_BEGINNINGS { Ok(outdated) } else { Err(LookupFailure::NoRoute) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::lookup::{Found, Scope};
    use crate::protocol::testing::{peer, peers};

    fn query(hops: u32) -> Query {
        Query { key: peer(12).id, scope: Scope::Ring { hops }, want_path: false }
    }

    fn finding(result: Result<u8, LookupFailure>, pinged: bool) -> Finding {
        let outcome = match result {
            Ok(owner) => Outcome::Owner(Found { owner: peer(owner), path: Vec::new(), timeouts: 0 }),
            Err(why) => Outcome::Failed(why),
        };
        Finding { outcome, dead: Vec::new(), pinged }
    }

    #[test]
    fn lookup_that_came_too_early_rests_where_it_began_while_the_budget_lasts() {
        for why in [LookupFailure::Unsure, LookupFailure::NoRoute] {
            let early = finding(Err(why), false);
            let mut restarts = Restarts::default();
            let rests: Vec<Next> = (0..MAX_RESTS).map(|_| restarts.after(&early, query(0), || true)).collect();
            assert_eq!(rests, (0..MAX_RESTS).map(Next::Rest).collect::<Vec<_>>());
            assert_eq!(restarts.after(&early, query(0), || true), Next::Answer, "enough");
            assert_eq!(Restarts::default().after(&early, query(0), || false), Next::Answer, "no budget");
            assert_eq!(Restarts::default().after(&early, query(1), || true), Next::Answer, "passed on");
        }
    }

    #[test]
    fn other_failures_are_answers_and_take_nothing_of_the_budget() {
        for why in [LookupFailure::Timeout, LookupFailure::Busy, LookupFailure::TooManyHops, LookupFailure::Isolated] {
            let next = Restarts::default().after(&finding(Err(why), false), query(0), || unreachable!("{why}"));
            assert_eq!(next, Next::Answer);
        }
    }

    #[test]
    fn owner_that_was_pinged_is_compared_until_the_ring_has_changed_too_often() {
        let mut now = Neighbors::alone(peer(8), 4);
        now.adopt(peers(&[13, 21]));
        let (stale, right) = (finding(Ok(21), true), finding(Ok(13), true));
        let mut restarts = Restarts::default();
        assert_eq!(restarts.after(&stale, query(0), || true), Next::Compare);
        assert_eq!(restarts.after(&finding(Ok(21), false), query(0), || true), Next::Answer, "not pinged");
        assert_eq!(restarts.compare(&right, query(0), &now), Ok(false));
        for _ in 1..MAX_BEGINNINGS {
            assert_eq!(restarts.compare(&stale, query(0), &now), Ok(true));
        }
        assert_eq!(restarts.compare(&stale, query(0), &now), Err(LookupFailure::NoRoute));
    }
}
