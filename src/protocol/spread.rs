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
use super::rpc::{Code, Request, Response};

/// What all members between a node and some end are to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct News {
    /// A member of the other ring.
    pub other: Peer,
    /// The end; the node itself for its whole ring.
    pub until: Id,
}

/// Tells one member after the other, until somebody does not answer: then the rest waits, as there may be more
/// to be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spread {
    me: Peer,
    bits: Bits,
    successor: Peer,
    news: News,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// The successor was asked who comes half-way, at this point.
    Halving(Id),
    /// This member was told.
    Telling(Peer),
    /// It was never called before, and is pinged: plain peers don't know the call.
    Greeting(Peer),
}

impl Spread {
    /// `None` if there is nobody to be told.
    pub fn new(neighbors: &Neighbors, bits: Bits, news: News) -> Option<Spread> {
        let (me, successor) = (neighbors.me(), neighbors.successor()?);
        let spread = Spread { me, bits, successor, news, stage: Stage::Halving(me.id) };
        spread.is_near().then_some(spread)
    }

    /// Whether somebody is left.
    fn is_near(&self) -> bool {
        self.successor.id.in_open(self.me.id, self.news.until)
    }

    fn tell(&mut self, member: Peer) -> Step<Option<News>> {
        self.stage = Stage::Telling(member);
        let meet = Request::Meet { node: self.news.other, until: Some(self.news.until) };
        Step::Ask(member.into(), meet)
    }

    /// Everybody from `until` on has been seen to.
    fn rest(&mut self, until: Id) -> Step<Option<News>> {
        self.news.until = until;
        Step::Done(self.is_near().then_some(self.news))
    }

    fn go_on(&mut self, until: Id) -> Step<Option<News>> {
        self.news.until = until;
        if self.is_near() { self.start() } else { Step::Done(None) }
    }
}

impl Procedure for Spread {
    type Output = Option<News>;

    fn start(&mut self) -> Step<Option<News>> {
        let middle = self.me.id.halfway(self.news.until, self.bits);
        if !middle.in_open(self.successor.id, self.news.until) {
            return self.tell(self.successor);
        }
        self.stage = Stage::Halving(middle);
        let question = Request::FindSuccessor { key: middle, hops: 0, want_path: false };
        Step::Ask(self.successor.into(), question)
    }

    fn resume(&mut self, answer: Answer) -> Step<Option<News>> {
        match (self.stage, answer) {
            (Stage::Halving(_), Answer::Reply(Response::Successor { owner, .. }))
                if owner.id.in_open(self.me.id, self.news.until) && owner.id != self.me.id =>
            {
                self.tell(owner)
            }
            // Nobody is in the farther half.
            (Stage::Halving(middle), Answer::Reply(_)) => self.go_on(middle),
            (Stage::Halving(middle), _) => self.rest(middle),
            (Stage::Telling(member), Answer::Reply(_)) => self.go_on(member.id),
            (Stage::Telling(member), Answer::Refused(Code::UnknownCall)) => {
                self.stage = Stage::Greeting(member);
                Step::Ask(member.into(), Request::CheckPredecessor)
            }
            (Stage::Greeting(member), Answer::Reply(Response::Alive { plain: false, .. })) => self.tell(member),
            // Those behind it hear nothing from here.
            (Stage::Telling(member) | Stage::Greeting(member), _) => self.rest(member.id),
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

    fn tells(n: u8, until: u8) -> Step<Option<News>> {
        Step::Ask(peer(n).into(), Request::Meet { node: peer(42), until: Some(peer(until).id) })
    }

    const DONE: Answer = Answer::Reply(Response::Done);

    #[test]
    fn member_half_way_is_told_of_the_farther_half_and_the_successor_last() {
        let mut spread = spread(1).unwrap();
        assert_eq!(spread.start(), asks(32));
        assert_eq!(spread.resume(named(38)), tells(38, 1));
        assert_eq!(spread.resume(DONE), asks(19));
        assert_eq!(spread.resume(named(21)), tells(21, 38));
        assert_eq!(spread.resume(DONE), asks(11));
        assert_eq!(spread.resume(named(14)), tells(14, 21));
        assert_eq!(spread.resume(DONE), tells(8, 14));
        assert_eq!(spread.resume(DONE), Step::Done(None));
        assert_eq!(self::spread(8), None);
    }

    #[test]
    fn half_without_members_is_left_out() {
        let mut spread = spread(1).unwrap();
        spread.start();
        assert_eq!(spread.resume(named(1)), asks(16));
    }

    #[test]
    fn plain_peer_is_told_nothing() {
        let plain = Answer::Reply(Response::Alive { plain: true, alone: false });
        let mut spread = spread(1).unwrap();
        spread.start();
        spread.resume(named(38));
        let ping = Step::Ask(peer(38).into(), Request::CheckPredecessor);
        assert_eq!(spread.resume(Answer::Refused(Code::UnknownCall)), ping);
        let rest = News { other: peer(42), until: peer(38).id };
        assert_eq!(spread.resume(plain), Step::Done(Some(rest)));
    }

    #[test]
    fn rest_waits_while_somebody_does_not_answer() {
        let mut spread = spread(1).unwrap();
        spread.start();
        spread.resume(named(38));
        let rest = News { other: peer(42), until: peer(38).id };
        assert_eq!(spread.resume(Answer::Gone), Step::Done(Some(rest)));
    }
}
