//! Telling one's whole ring that there is another one.
//!
//! Two rings touch at many places, and each node can find its own: but only if it hears of the other ring. So
//! whoever has found it tells the members of its own, each once: it is responsible for all of them up to
//! some end. It looks up who comes half-way there, makes it responsible for the farther half, and goes on with
//! the nearer one until that holds nobody but its own successor. N members need N words, and log N halvings.

use super::id::{Bits, Id};
use super::neighbors::Neighbors;
use super::peer::Peer;
use super::procedure::{Answer, Procedure, Step};
use super::rpc::{Request, Response};

/// What all members between a node and some end are to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct News {
    /// A member of the other ring.
    pub other: Peer,
    /// The end; the node itself for its whole ring.
    pub until: Id,
}

/// One halving: tells one member, and leaves the rest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spread {
    me: Peer,
    successor: Peer,
    news: News,
    middle: Id,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// The successor was asked who comes half-way.
    Halving,
    /// This member was pinged: plain peers are told nothing.
    Greeting(Peer),
    /// It was told.
    Telling,
}

impl Spread {
    /// The next halving; `None` if there is nobody to be told.
    pub fn new(neighbors: &Neighbors, bits: Bits, news: News) -> Option<Spread> {
        let (me, successor) = (neighbors.me(), neighbors.successor()?);
        let middle = me.id.halfway(news.until, bits);
        successor.id.in_open(me.id, news.until).then_some(Spread { me, successor, news, middle, stage: Stage::Halving })
    }

    fn greet(&mut self, member: Peer) -> Step<Option<News>> {
        self.stage = Stage::Greeting(member);
        Step::Ask(member.into(), Request::CheckPredecessor)
    }

    /// What is left once everybody from `until` on has been seen to.
    fn rest(&self, until: Id) -> Step<Option<News>> {
        let near = self.successor.id.in_open(self.me.id, until);
        Step::Done(near.then_some(News { until, ..self.news }))
    }
}

impl Procedure for Spread {
    type Output = Option<News>;

    fn start(&mut self) -> Step<Option<News>> {
        if !self.middle.in_open(self.successor.id, self.news.until) {
            return self.greet(self.successor);
        }
        let question = Request::FindSuccessor { key: self.middle, hops: 0, want_path: false };
        Step::Ask(self.successor.into(), question)
    }

    fn resume(&mut self, answer: Answer) -> Step<Option<News>> {
        match (self.stage, answer) {
            (Stage::Halving, Answer::Reply(Response::Successor { owner, .. }))
                if owner.id.in_open(self.me.id, self.news.until) && owner.id != self.me.id =>
            {
                self.greet(owner)
            }
            (Stage::Greeting(member), Answer::Reply(Response::Alive { plain: false, .. })) => {
                let meet = Request::Meet { node: self.news.other, until: Some(self.news.until) };
                self.stage = Stage::Telling;
                self.news.until = member.id;
                Step::Ask(member.into(), meet)
            }
            // It is a plain peer, or does not answer: those behind it hear nothing from here.
            (Stage::Greeting(member), _) => self.rest(member.id),
            (Stage::Telling, _) => self.rest(self.news.until),
            (Stage::Halving, _) => self.rest(self.middle),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::testing::{SIX, peer, peers};

    /// Node 1 of a ring with 8 as its successor, which knows 42 of another one.
    fn spread(until: u8) -> Option<Spread> {
        let mut neighbors = Neighbors::alone(peer(1), 3);
        neighbors.adopt(peers(&[8, 14, 21]));
        Spread::new(&neighbors, SIX, News { other: peer(42), until: peer(until).id })
    }

    fn asks(n: u8) -> Step<Option<News>> {
        Step::Ask(peer(8).into(), Request::FindSuccessor { key: peer(n).id, hops: 0, want_path: false })
    }

    fn named(n: u8) -> Answer {
        Answer::Reply(Response::Successor { owner: peer(n), path: vec![] })
    }

    fn alive(plain: bool) -> Answer {
        Answer::Reply(Response::Alive { plain, alone: false })
    }

    fn left(until: u8) -> Step<Option<News>> {
        Step::Done(Some(News { other: peer(42), until: peer(until).id }))
    }

    #[test]
    fn member_half_way_is_told_of_the_farther_half() {
        let mut spread = spread(1).unwrap();
        assert_eq!(spread.start(), asks(32));
        assert_eq!(spread.resume(named(38)), Step::Ask(peer(38).into(), Request::CheckPredecessor));
        let meet = Request::Meet { node: peer(42), until: Some(peer(1).id) };
        assert_eq!(spread.resume(alive(false)), Step::Ask(peer(38).into(), meet));
        assert_eq!(spread.resume(Answer::Reply(Response::Done)), left(38));
    }

    #[test]
    fn half_without_members_is_left_out() {
        let mut spread = spread(1).unwrap();
        spread.start();
        assert_eq!(spread.resume(named(1)), left(32));
    }

    #[test]
    fn successor_is_the_last_to_be_told() {
        let mut spread = spread(14).unwrap();
        assert_eq!(spread.start(), Step::Ask(peer(8).into(), Request::CheckPredecessor));
        spread.resume(alive(false));
        assert_eq!(spread.resume(Answer::Reply(Response::Done)), Step::Done(None));
        assert_eq!(self::spread(8), None);
    }

    #[test]
    fn plain_peer_is_told_nothing_and_who_does_not_answer_is_left_out() {
        for answer in [alive(true), Answer::Gone] {
            let mut spread = spread(1).unwrap();
            spread.start();
            spread.resume(named(38));
            assert_eq!(spread.resume(answer), left(38));
        }
    }
}
