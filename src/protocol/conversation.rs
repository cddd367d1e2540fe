//! The conversations of ring maintenance as one type.

use super::check_predecessor::{CheckPredecessor, Checked};
use super::join::{Join, Joined};
use super::procedure::{Answer, Procedure, Step};
use super::rectify::{Rectify, Verdict};
use super::reunite::{Reunion, Reunite};
use super::spread::{News, Spread};
use super::stabilize::{Learned, Stabilize};

/// A conversation that may change the state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Conversation {
    Join(Join),
    Rectify(Rectify),
    Stabilize(Stabilize),
    CheckPredecessor(CheckPredecessor),
    Reunite(Reunite),
    Spread(Spread),
}

/// What came of a [`Conversation`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Join(Joined),
    Rectify(Verdict),
    Stabilize(Learned),
    CheckPredecessor(Checked),
    Reunite(Reunion),
    /// Whom the node has still to tell of another ring.
    Spread(Option<News>),
}

impl Procedure for Conversation {
    type Output = Outcome;

    fn start(&mut self) -> Step<Outcome> {
        match self {
            Conversation::Join(join) => join.start().map(Outcome::Join),
            Conversation::Rectify(rectify) => rectify.start().map(Outcome::Rectify),
            Conversation::Stabilize(stabilize) => stabilize.start().map(Outcome::Stabilize),
            Conversation::CheckPredecessor(check) => check.start().map(Outcome::CheckPredecessor),
            Conversation::Reunite(reunite) => reunite.start().map(Outcome::Reunite),
            Conversation::Spread(spread) => spread.start().map(Outcome::Spread),
        }
    }

    fn resume(&mut self, answer: Answer) -> Step<Outcome> {
        match self {
            Conversation::Join(join) => join.resume(answer).map(Outcome::Join),
            Conversation::Rectify(rectify) => rectify.resume(answer).map(Outcome::Rectify),
            Conversation::Stabilize(stabilize) => stabilize.resume(answer).map(Outcome::Stabilize),
            Conversation::CheckPredecessor(check) => check.resume(answer).map(Outcome::CheckPredecessor),
            Conversation::Reunite(reunite) => reunite.resume(answer).map(Outcome::Reunite),
            Conversation::Spread(spread) => spread.resume(answer).map(Outcome::Spread),
        }
    }
}
