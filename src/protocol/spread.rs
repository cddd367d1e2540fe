//! Telling the whole ring that there is another one.
//!
//! Two rings touch at many places, and each node can find its own place, but only if it hears of the other ring. So a
//! node that has found another ring tells the members of its own, each once. It is responsible for all of them up to
//! some end: it tells those that it knows, fingers and successors, the farthest first, and makes each responsible for
//! the members between that one and the next (broadcast over a finger table; El-Ansary, Alima, Brand, Haridi,
//! "Efficient broadcast in structured P2P networks", 2003). N members need N messages, and each is reached in log N
//! steps.
//!
//! The members that it knows are recorded when it hears the news: soon after, some of its neighbours will be of the
//! other ring. The conversation changes nothing at the node that holds it, which goes on with its maintenance.

use super::id::Id;
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

/// Tells the members that a node knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spread {
    news: News,
    /// Members that have yet to be told, the nearest first.
    members: Vec<Peer>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// The member of the other ring was pinged: no member is sent to an address that does not answer.
    Asking,
    /// This member was pinged: plain peers are told nothing.
    Greeting(Peer),
    /// This member was told.
    Telling(Peer),
}

impl Spread {
    /// News for the ring of the node `me`, which knows these members of it; in any order, also repeated.
    pub fn new(me: Id, members: impl IntoIterator<Item = Peer>, news: News) -> Spread {
        let between = |member: &Peer| member.id != me && member.id.in_open(me, news.until);
        let mut members: Vec<Peer> = members.into_iter().filter(between).collect();
        members.sort_by_key(|member| member.id.clockwise_from(me));
        members.dedup_by_key(|member| member.id);
        Spread { news, members, stage: Stage::Asking }
    }

    fn next(&mut self) -> Step<()> {
        match self.members.pop() {
            None => Step::Done(()),
            Some(member) => {
                self.stage = Stage::Greeting(member);
                Step::Ask(member.into(), Request::CheckPredecessor)
            }
        }
    }
}

impl Procedure for Spread {
    type Output = ();

    fn start(&mut self) -> Step<()> {
        match self.members.is_empty() {
            true => Step::Done(()),
            false => Step::Ask(self.news.other.into(), Request::CheckPredecessor),
        }
    }

    fn resume(&mut self, answer: Answer) -> Step<()> {
        match (self.stage, answer) {
            (Stage::Asking, Answer::Reply(_)) => self.next(),
            (Stage::Asking, _) => Step::Done(()),
            (Stage::Greeting(member), Answer::Reply(Response::Alive { plain: false, .. })) => {
                self.stage = Stage::Telling(member);
                let meet = Request::Meet { node: self.news.other, until: Some(self.news.until) };
                Step::Ask(member.into(), meet)
            }
            (Stage::Telling(member), Answer::Reply(_)) => {
                self.news.until = member.id;
                self.next()
            }
            // It is a plain peer, or does not answer: the member before it is responsible for those behind it, too.
            (Stage::Greeting(_) | Stage::Telling(_), _) => self.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::testing::{peer, peers};

    /// Node 1 of a ring knows these members, and 42 of another one.
    fn spread(members: &[u8], until: u8) -> Spread {
        Spread::new(peer(1).id, peers(members), News { other: peer(42), until: peer(until).id })
    }

    fn pings(n: u8) -> Step<()> {
        Step::Ask(peer(n).into(), Request::CheckPredecessor)
    }

    fn tells(n: u8, until: u8) -> Step<()> {
        Step::Ask(peer(n).into(), Request::Meet { node: peer(42), until: Some(peer(until).id) })
    }

    fn alive(plain: bool) -> Answer {
        Answer::Reply(Response::Alive { plain, alone: false })
    }

    #[test]
    fn each_member_is_told_of_those_between_itself_and_the_next() {
        let mut spread = spread(&[32, 1, 8, 14, 8], 1);
        assert_eq!(spread.start(), pings(42));
        for (member, until, next) in [(32, 1, pings(14)), (14, 32, pings(8)), (8, 14, Step::Done(()))] {
            if member == 32 {
                assert_eq!(spread.resume(alive(false)), pings(32));
            }
            assert_eq!(spread.resume(alive(false)), tells(member, until));
            assert_eq!(spread.resume(Answer::Reply(Response::Done)), next);
        }
    }

    #[test]
    fn members_beyond_the_end_are_somebody_else_s() {
        let mut spread = spread(&[8, 32, 48], 32);
        spread.start();
        assert_eq!(spread.resume(alive(false)), pings(8));
        assert_eq!(self::spread(&[32, 48], 32).start(), Step::Done(()), "no member is to be told");
    }

    #[test]
    fn nobody_is_sent_to_an_address_where_nobody_answers() {
        let mut spread = spread(&[8, 32], 1);
        spread.start();
        assert_eq!(spread.resume(Answer::Gone), Step::Done(()));
    }

    #[test]
    fn plain_peer_is_told_nothing_and_who_comes_before_it_tells_those_behind_it() {
        for answer in [alive(true), Answer::Gone] {
            let mut spread = spread(&[8, 32], 1);
            spread.start();
            spread.resume(alive(false));
            assert_eq!(spread.resume(answer), pings(8));
            assert_eq!(spread.resume(alive(false)), tells(8, 1));
        }
    }
}
