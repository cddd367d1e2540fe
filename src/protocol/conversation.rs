//! The conversations of ring maintenance as one type.

use super::awaken::{Awaken, Awakened};
use super::check_predecessor::{CheckPredecessor, Checked};
use super::join::{Join, Joined};
use super::procedure::{Answer, Procedure, Step};
use super::rectify::{Rectified, Rectify};
use super::reunite::{Reunion, Reunite};
use super::stabilize::{Learned, Stabilize};

/// A conversation that may change the state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Conversation {
    /// Held by a joiner, by a member that has lost its ring, and by a node that is alone and has found a ring.
    Join(Join),
    /// Held for each notifier, to find out whether it is to be the predecessor.
    Rectify(Rectify),
    /// Held each period, and at once after a change. A notify to the first successor follows.
    Stabilize(Stabilize),
    /// Held in place of stabilize by a node that slept, until it knows its place.
    Awaken(Awaken),
    /// Held each period, and at once if the predecessor is doubted or new.
    CheckPredecessor(CheckPredecessor),
    /// Held with one acquaintance after another, to find rings that do not know this one.
    Reunite(Reunite),
}

/// The outcome of a [`Conversation`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The node becomes a member, or tries again after a pause; if another has its identifier, it gives up.
    Join(Joined),
    /// If the notifier has answered and is closer, it becomes the predecessor, and both it and the old one are nudged.
    Rectify(Rectified),
    /// The new list is adopted and the dead are dropped; a change is followed by another round at once.
    Stabilize(Learned),
    /// The place is confirmed, trusted or still unknown; what was learned is applied like that of a round of stabilize.
    Awaken(Awakened),
    /// A dead predecessor is dropped, as is one that has not told its list several times in a row.
    CheckPredecessor(Checked),
    /// If there is another ring, members of both are told; a node that is alone joins, or is invited.
    Reunite(Reunion),
}

impl Procedure for Conversation {
    type Output = Outcome;

    fn start(&mut self) -> Step<Outcome> {
        match self {
            Conversation::Join(join) => join.start().map(Outcome::Join),
            Conversation::Rectify(rectify) => rectify.start().map(Outcome::Rectify),
            Conversation::Stabilize(stabilize) => stabilize.start().map(Outcome::Stabilize),
            Conversation::Awaken(awaken) => awaken.start().map(Outcome::Awaken),
            Conversation::CheckPredecessor(check) => check.start().map(Outcome::CheckPredecessor),
            Conversation::Reunite(reunite) => reunite.start().map(Outcome::Reunite),
        }
    }

    fn resume(&mut self, answer: Answer) -> Step<Outcome> {
        match self {
            Conversation::Join(join) => join.resume(answer).map(Outcome::Join),
            Conversation::Rectify(rectify) => rectify.resume(answer).map(Outcome::Rectify),
            Conversation::Stabilize(stabilize) => stabilize.resume(answer).map(Outcome::Stabilize),
            Conversation::Awaken(awaken) => awaken.resume(answer).map(Outcome::Awaken),
            Conversation::CheckPredecessor(check) => check.resume(answer).map(Outcome::CheckPredecessor),
            Conversation::Reunite(reunite) => reunite.resume(answer).map(Outcome::Reunite),
        }
    }

    /// A member that looks for another ring does nothing else meanwhile: it waits for an answer for about the time that
    /// it takes to find a silent node dead, and no longer.
    fn waits(&self) -> u8 {
        match self {
            Conversation::Join(join) => join.waits(),
            _ => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::neighbors::Neighbors;
    use crate::protocol::patient::Patient;
    use crate::protocol::testing::{peer, peers};

    #[test]
    fn acquaintance_that_never_answers_a_lookup_holds_up_maintenance_for_no_longer_than_a_dead_one() {
        let mut neighbors = Neighbors::alone(peer(21), 3);
        neighbors.adopt(peers(&[32]));
        let mut talk = Patient::new(Conversation::Reunite(Reunite::new(&neighbors, peer(8).addr)));
        talk.start();
        let mut waits = 0;
        while !matches!(talk.resume(Answer::Silent), Step::Done(_)) {
            waits += 1;
            if let Step::Done(outcome) = talk.resume(Answer::Alive) {
                assert_eq!(outcome, Outcome::Reunite(Reunion::Nothing));
                break;
            }
        }
        assert_eq!(waits, 3, "a quarter, a half, and the whole of the patience with a call");
    }
}
