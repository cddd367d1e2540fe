//! Leaving the ring voluntarily (paper, IV.E.4), and hearing that a neighbour has left.
//!
//! To the ring a leave is a failure that announces itself: nothing depends on the announcement, and nothing that it
//! says is believed. A node that leaves is dead from that moment on. A neighbour that is told asks it at once, gets the
//! answer that it is no member, and need not wait for a timer or a timeout. The successor judges the leaver's
//! predecessor as if it had notified; the predecessor finds its new successor in its own list, and the rest of a list
//! is replaced by the next stabilize, as always.

use std::time::Duration;

use super::{Maintenance, Standing, Wishes};
use crate::protocol::peer::Peer;
use crate::protocol::rpc::Request;

/// A node that has left waits at most this long, some round trips, for its neighbours to hear of it: it must not hold
/// up the program that ends it.
pub const LEAVING: Duration = Duration::from_millis(250);

impl Maintenance {
    /// Leaves the ring, at once and for good. Returns what to say to which neighbour; none of it has to arrive.
    pub fn leave(&mut self) -> Vec<(Peer, Request)> {
        let member = matches!(self.standing, Standing::Member | Standing::Isolated);
        self.end();
        if !member {
            return Vec::new();
        }
        let (successor, predecessor) = (self.neighbors.successor(), self.neighbors.predecessor());
        let leave = Request::Leave { me: self.setup.me, predecessor };
        let told = successor.into_iter().chain(predecessor.filter(|before| Some(*before) != successor));
        told.map(|neighbor| (neighbor, leave.clone())).collect()
    }

    /// Ends the membership, for good.
    pub(super) fn end(&mut self) {
        (self.standing, self.wishes) = (Standing::Left, Wishes::default());
    }

    /// A peer says that `leaver` has left. Any peer can say so: the leaver is doubted and asked, as if the connection
    /// to it had broken. A node that has left answers that it is no member.
    pub(super) fn parted(&mut self, leaver: Peer, before: Option<Peer>) {
        self.severed(&[leaver.addr].into());
        // These two were the whole ring: see `isolate`.
        let pair = self.neighbors.successors() == [leaver] && self.neighbors.predecessor() == Some(leaver);
        self.parting = pair && before == Some(self.setup.me);
        if let Some(before) = before
            && self.neighbors.predecessor() == Some(leaver)
        {
            self.notified(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::backoff::ISOLATED_ROUNDS;
    use super::super::tests::{member, member_after, settle};
    use super::*;
    use crate::protocol::check_predecessor::Checked;
    use crate::protocol::conversation::{Conversation, Outcome};
    use crate::protocol::join::Joined;
    use crate::protocol::lookup::LookupFailure;
    use crate::protocol::maintenance::Timer;
    use crate::protocol::rpc::{Code, Response};
    use crate::protocol::stabilize::Learned;
    use crate::protocol::testing::{peer, peers};

    fn leave(n: u8, before: Option<u8>) -> Request {
        Request::Leave { me: peer(n), predecessor: before.map(peer) }
    }

    #[test]
    fn who_leaves_tells_its_neighbours_and_is_no_member_any_more() {
        let mut node = member_after(14, &[32, 38, 42]);
        let leave = leave(21, Some(14));
        assert_eq!(node.leave(), [(peer(32), leave.clone()), (peer(14), leave)]);
        assert_eq!(node.serve(&Request::CheckPredecessor, false), Err(Code::NotJoined));
        assert_eq!(node.vantage(), Err(LookupFailure::NotJoined));
        assert_eq!(node.leave(), [], "once");
    }

    #[test]
    fn neighbour_on_both_sides_is_told_once_and_a_ring_of_one_has_none() {
        assert_eq!(member_after(32, &[32]).leave(), [(peer(32), leave(21, Some(32)))]);
        assert_eq!(member(&[32, 38, 42]).leave(), [(peer(32), leave(21, None))]);
        let mut alone = Maintenance::new(super::super::tests::setup(21, 3, &[]));
        assert_eq!(alone.leave(), []);
    }

    #[test]
    fn nothing_brings_back_who_has_left() {
        let mut node = member_after(14, &[32, 38, 42]);
        node.fired(Timer::Stabilize);
        assert!(node.next_conversation().is_some());
        node.leave();
        node.digest(Outcome::Join(Joined::Member(peers(&[32, 38, 42]))));
        for timer in [Timer::Join, Timer::Stabilize, Timer::CheckPredecessor, Timer::Reunite] {
            node.fired(timer);
            assert_eq!((node.next_conversation(), node.standing()), (None, Standing::Left));
        }
    }

    #[test]
    fn joiner_that_leaves_tells_nobody() {
        let mut joiner = Maintenance::new(super::super::tests::setup(21, 3, &[8]));
        assert_eq!(joiner.leave(), []);
        assert_eq!(joiner.next_conversation(), None);
    }

    #[test]
    fn successor_that_is_said_to_have_left_is_asked_and_kept_until_it_has_said_so() {
        let mut node = member_after(14, &[32, 38, 42]);
        assert_eq!(node.serve(&leave(32, Some(21)), false), Ok(Response::Done));
        assert_eq!(node.neighbors().successors(), peers(&[32, 38, 42]));
        assert!(!node.neighbors().is_heard(), "it is not named before it has been pinged");
        assert!(matches!(node.next_conversation(), Some(Conversation::Stabilize(_))));
    }

    #[test]
    fn predecessor_that_is_said_to_have_left_is_asked_and_the_one_before_judged() {
        let mut node = member_after(14, &[32, 38, 42]);
        node.serve(&leave(14, Some(8)), false).unwrap();
        assert_eq!(node.neighbors().predecessor(), Some(peer(14)));
        let mut begun = Vec::new();
        while let Some(conversation) = node.next_conversation() {
            node.digest(match &conversation {
                Conversation::Rectify(_) => Outcome::Rectify(crate::protocol::rectify::Rectified {
                    notifier: peer(8),
                    answered: true,
                    dead: Some(peer(14)),
                }),
                Conversation::CheckPredecessor(_) => {
                    Outcome::CheckPredecessor(crate::protocol::check_predecessor::Checked::Unclear)
                }
                other => panic!("{other:?}"),
            });
            begun.push(conversation);
        }
        assert!(begun.iter().any(|talk| matches!(talk, Conversation::Rectify(_))));
        assert_eq!(node.neighbors().predecessor(), Some(peer(8)));
    }

    #[test]
    fn leave_of_a_stranger_is_no_reason_to_ask_anybody() {
        let mut node = member_after(14, &[32, 38, 42]);
        for stranger in [8, 38, 50] {
            node.serve(&leave(stranger, Some(20)), false).unwrap();
            assert_eq!(node.next_conversation(), None);
        }
        settle(&mut node, &[32, 38, 42]);
    }

    #[test]
    fn other_node_of_a_ring_of_two_asks_everyone_once_and_is_alone() {
        for (announced, rounds) in [(true, 1), (false, ISOLATED_ROUNDS)] {
            let mut node = member_after(32, &[32]);
            if announced {
                node.serve(&leave(32, Some(21)), false).unwrap();
            }
            node.fired(Timer::Stabilize);
            let mut asked = 0;
            while node.standing() != Standing::Member || node.neighbors().successor().is_some() {
                node.effects();
                match node.next_conversation() {
                    Some(Conversation::Stabilize(_)) => {
                        node.digest(Outcome::Stabilize(Learned { dead: peers(&[32]), ..Learned::default() }));
                    }
                    Some(Conversation::CheckPredecessor(_)) => {
                        node.digest(Outcome::CheckPredecessor(Checked::Dead(peer(32))));
                    }
                    Some(Conversation::Join(_)) => {
                        asked += 1;
                        node.digest(Outcome::Join(Joined::NoAnswer));
                    }
                    Some(other) => panic!("{other:?}"),
                    None => node.fired(Timer::Join),
                }
            }
            // In each round the seed and the lost node; before that, the lost node as a former successor, unless it has
            // said that it leaves.
            assert_eq!(asked, 2 * rounds + u32::from(!announced), "announced: {announced}");
        }
    }

    #[test]
    fn other_node_of_a_ring_of_two_is_alone_at_once() {
        let mut node = member_after(32, &[32]);
        node.serve(&leave(32, Some(21)), false).unwrap();
        assert!(node.wishes.stabilize && node.wishes.check_predecessor && node.wishes.rectify.is_empty());
    }
}
