//! Becoming a member of a ring.

use std::time::Duration;

use super::addr::Addr;
use super::id::Id;
use super::neighbors::cut;
use super::peer::Peer;
use super::procedure::{Answer, Procedure, Step, Target};
use super::rpc::{Code, MAX_HOPS, Request, Response};

/// Finds the joiner's successor through a seed, takes from it a complete, fresh successor list, and has the place
/// confirmed by the node before. Nothing is kept of an attempt that fails, and no member changes its neighbours for it:
/// the first stabilize of the new member tells them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Join {
    me: Peer,
    r: usize,
    /// The joiner's identifier + 1: looked up instead of its own, so that a stale entry for the
    /// joiner itself is not found.
    key: Id,
    through: Through,
    /// How many more predecessors the joiner may walk back along.
    walks: u32,
    stage: Stage,
}

/// The node through which the joiner becomes a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Through {
    /// A node that looks up the place.
    Seed(Addr),
    /// A former successor of a member that took all its successors for dead. The place in the ring may still be that
    /// member's: then a lookup ends at the member itself, which can't answer it, and the successor still has it as its
    /// predecessor.
    Former(Peer),
}

impl Through {
    fn addr(self) -> Addr {
        match self {
            Through::Seed(addr) | Through::Former(Peer { addr, .. }) => addr,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// The seed was asked for the successor.
    Locating,
    /// The successor was asked for its list and predecessor.
    Listing(Peer),
    /// The successor, a plain peer, has given its list and was asked for its predecessor.
    Placing(Peer, Vec<Peer>),
    /// The predecessor of the successor to be was asked for its list.
    Confirming(Peer, Vec<Peer>),
    /// A former successor admits no joiner just now, and was asked for its predecessor: the node may never have lost
    /// its place.
    Returning(Peer),
    /// The second node, which is said to have the joiner's identifier, was pinged; the first would be the successor.
    Contesting(Peer, Peer, Vec<Peer>),
}

/// How long a node goes on trying to join a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempts {
    /// When the ring last answered.
    answered: Duration,
    /// For how long it may fail to.
    limit: Duration,
}

impl Attempts {
    /// Attempts that begin now, and end when no member has answered for `limit`.
    pub fn new(now: Duration, limit: Duration) -> Attempts {
        Attempts { answered: now, limit }
    }

    /// An attempt has ended. Says whether the node is to give up.
    pub fn give_up(&mut self, joined: &Joined, now: Duration) -> bool {
        match joined {
            Joined::Member(_) => false,
            Joined::NotNow => {
                self.answered = now;
                false
            }
            Joined::NotJoined | Joined::NoAnswer => now.saturating_sub(self.answered) >= self.limit,
            Joined::IdTaken(_) => true,
        }
    }
}

/// The outcome of one attempt to join.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Joined {
    /// The successor list to begin with.
    Member(Vec<Peer>),
    /// The ring answered, but can't take the joiner just now.
    NotNow,
    /// The seed itself is not a member yet.
    NotJoined,
    /// The seed can't be reached.
    NoAnswer,
    /// A living member at another address has the joiner's identifier.
    IdTaken(Peer),
}

impl Join {
    /// An attempt to join; `next` is the point after the joiner's identifier.
    pub fn new(me: Peer, r: usize, next: Id, through: Through) -> Join {
        Join { me, r, key: next, through, walks: MAX_HOPS, stage: Stage::Locating }
    }

    fn is_former_member(&self) -> bool {
        matches!(self.through, Through::Former(_))
    }

    /// Whether the list of the node before the place shows that no node is in between. The list may begin with the
    /// joiner itself, if that is a former member.
    fn is_confirmed(&self, successor: Peer, list: &[Peer]) -> bool {
        list.first() == Some(&successor) || self.is_former_member() && list.first() == Some(&self.me)
    }

    fn list(&mut self, successor: Peer) -> Step<Joined> {
        self.stage = Stage::Listing(successor);
        Step::Ask(successor.into(), Request::GetSuccessorList { joiner: Some(self.me) })
    }

    /// Checks that the joiner belongs right before `successor`, whose list and predecessor these
    /// are.
    fn place(&mut self, successor: Peer, list: Vec<Peer>, predecessor: Option<Peer>) -> Step<Joined> {
        match predecessor {
            Some(taken) if taken.id == self.me.id && taken.addr != self.me.addr => {
                self.stage = Stage::Contesting(successor, taken, list);
                Step::Ask(taken.into(), Request::CheckPredecessor)
            }
            Some(closer) if closer.id != self.me.id && !self.me.id.in_open(closer.id, successor.id) => {
                if self.walks == 0 {
                    return Step::Done(Joined::NotNow);
                }
                self.walks -= 1;
                self.list(closer)
            }
            // What the successor knows may be stale: a dead predecessor hides nodes that have come in between. One that
            // lives, and knows no node in between, confirms the place.
            Some(predecessor) if predecessor.id != self.me.id => {
                self.stage = Stage::Confirming(successor, list);
                Step::Ask(predecessor.into(), Request::GetSuccessorList { joiner: None })
            }
            _ => self.enter(successor, list),
        }
    }

    fn enter(&mut self, successor: Peer, list: Vec<Peer>) -> Step<Joined> {
        let list = cut(self.me, self.r, std::iter::once(successor).chain(list));
        Step::Done(if list.is_empty() { Joined::NotNow } else { Joined::Member(list) })
    }
}

impl Procedure for Join {
    type Output = Joined;

    fn start(&mut self) -> Step<Joined> {
        match self.through {
            Through::Seed(seed) => {
                let question = Request::FindSuccessor { key: self.key, hops: 0, want_path: false };
                Step::Ask(Target::Address(seed), question)
            }
            Through::Former(successor) => self.list(successor),
        }
    }

    fn resume(&mut self, answer: Answer) -> Step<Joined> {
        let stage = std::mem::replace(&mut self.stage, Stage::Locating);
        match (stage, answer) {
            // The ring still takes an earlier run of the joiner for a member; it will find out.
            (Stage::Locating, Answer::Reply(Response::Successor { owner, .. })) if owner.addr == self.me.addr => {
                Step::Done(Joined::NotNow)
            }
            (Stage::Locating, Answer::Reply(Response::Successor { owner, .. })) => self.list(owner),
            (Stage::Locating, Answer::Refused(Code::Retry | Code::Busy | Code::Timeout | Code::NoRoute)) => {
                Step::Done(Joined::NotNow)
            }
            (Stage::Locating, Answer::Refused(Code::NotJoined)) => Step::Done(Joined::NotJoined),
            (Stage::Locating, _) => Step::Done(Joined::NoAnswer),

            (Stage::Listing(successor), Answer::Refused(Code::IdTaken)) => Step::Done(Joined::IdTaken(successor)),
            (Stage::Listing(successor), Answer::Reply(Response::SuccessorList { successors, predecessor, .. })) => {
                match predecessor {
                    Some(predecessor) => self.place(successor, successors, predecessor),
                    None => {
                        self.stage = Stage::Placing(successor, successors);
                        Step::Ask(successor.into(), Request::GetPredecessor)
                    }
                }
            }
            (Stage::Placing(successor, list), Answer::Reply(Response::Predecessor { predecessor, .. })) => {
                self.place(successor, list, predecessor)
            }
            (Stage::Confirming(successor, list), Answer::Reply(Response::SuccessorList { successors, .. }))
                if self.is_confirmed(successor, &successors) =>
            {
                self.enter(successor, list)
            }
            (Stage::Contesting(successor, _, list), answer) if answer.is_dead() => self.enter(successor, list),
            (Stage::Contesting(..), Answer::Unasked | Answer::Excused) => Step::Done(Joined::NotNow),
            (Stage::Contesting(_, taken, _), _) => Step::Done(Joined::IdTaken(taken)),

            (Stage::Listing(successor), Answer::Refused(Code::Retry)) if self.is_former_member() => {
                self.stage = Stage::Returning(successor);
                Step::Ask(successor.into(), Request::GetPredecessor)
            }
            (
                Stage::Returning(successor),
                Answer::Reply(Response::Predecessor { predecessor: Some(predecessor), successors: Some(list), .. }),
            ) if predecessor == self.me => self.enter(successor, list),
            (Stage::Returning(_), _) => Step::Done(Joined::NotNow),
            (Stage::Listing(_) | Stage::Placing(..), Answer::Refused(Code::Retry | Code::Busy)) => {
                Step::Done(Joined::NotNow)
            }
            (Stage::Listing(seed) | Stage::Placing(seed, _), _) if seed.addr == self.through.addr() => {
                Step::Done(Joined::NoAnswer)
            }
            // The ring has answered: it will find out that this node does not, and name another.
            (Stage::Listing(_) | Stage::Placing(..), _) => Step::Done(Joined::NotNow),
            // The node before the place is dead, or knows a node in between: the ring will settle.
            (Stage::Confirming(..), _) => Step::Done(Joined::NotNow),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::id::Bits;
    use crate::protocol::rpc::{Dialect, Memory};
    use crate::protocol::testing::{SIX, peer, peers};

    /// Node 26, whose seed is node 8.
    fn join() -> Join {
        Join::new(peer(26), 3, peer(26).id.next(SIX), Through::Seed(peer(8).addr))
    }

    fn named(n: u8) -> Answer {
        Answer::Reply(Response::Successor { owner: peer(n), path: vec![] })
    }

    fn list(successors: &[u8], predecessor: Option<Option<u8>>) -> Answer {
        Answer::Reply(Response::SuccessorList {
            successors: peers(successors),
            predecessor: predecessor.map(|known| known.map(peer)),
            dialect: Dialect::Ours,
        })
    }

    fn asks_list(n: u8) -> Step<Joined> {
        Step::Ask(peer(n).into(), Request::GetSuccessorList { joiner: Some(peer(26)) })
    }

    #[test]
    fn joiner_gives_up_when_no_member_has_answered_for_its_limit() {
        let seconds = Duration::from_secs;
        let mut attempts = Attempts::new(seconds(1), seconds(10));
        assert!(!attempts.give_up(&Joined::NoAnswer, seconds(10)));
        assert!(!attempts.give_up(&Joined::NotNow, seconds(20)), "the ring has answered");
        assert!(!attempts.give_up(&Joined::NotJoined, seconds(29)));
        assert!(attempts.give_up(&Joined::NoAnswer, seconds(30)));
        assert!(attempts.give_up(&Joined::IdTaken(peer(8)), seconds(20)), "at once");
        assert!(!attempts.give_up(&Joined::Member(vec![]), seconds(99)));
    }

    #[test]
    fn joiner_looks_up_the_point_after_its_own() {
        let question = Request::FindSuccessor { key: peer(27).id, hops: 0, want_path: false };
        assert_eq!(join().start(), Step::Ask(Target::Address(peer(8).addr), question));
    }

    /// The outcome when node 21 says that this is its list.
    fn confirmed(join: &mut Join, step: Step<Joined>, successors: &[u8]) -> Step<Joined> {
        assert_eq!(step, Step::Ask(peer(21).into(), Request::GetSuccessorList { joiner: None }));
        join.resume(list(successors, None))
    }

    #[test]
    fn joiner_enters_with_a_complete_list_of_r_entries() {
        let mut join = join();
        assert_eq!(join.resume(named(32)), asks_list(32));
        let step = join.resume(list(&[38, 42, 48], Some(Some(21))));
        let entered = confirmed(&mut join, step, &[32, 38, 42]);
        assert_eq!(entered, Step::Done(Joined::Member(peers(&[32, 38, 42]))));
    }

    #[test]
    fn joiner_does_not_pass_over_a_node_that_its_successor_has_not_heard_of() {
        let mut join = join();
        join.resume(named(32));
        let step = join.resume(list(&[38, 42, 48], Some(Some(21))));
        assert_eq!(confirmed(&mut join, step, &[30, 32, 38]), Step::Done(Joined::NotNow));
    }

    #[test]
    fn dead_predecessor_vouches_for_nothing() {
        let mut join = join();
        join.resume(named(32));
        join.resume(list(&[38, 42, 48], Some(Some(21))));
        assert_eq!(join.resume(Answer::Gone), Step::Done(Joined::NotNow));
    }

    #[test]
    fn joiner_that_does_not_belong_there_walks_back() {
        let mut join = join();
        join.resume(named(38));
        assert_eq!(join.resume(list(&[42, 48, 51], Some(Some(32)))), asks_list(32));
        let step = join.resume(list(&[38, 42, 48], Some(Some(21))));
        let entered = confirmed(&mut join, step, &[32, 38, 42]);
        assert_eq!(entered, Step::Done(Joined::Member(peers(&[32, 38, 42]))));
    }

    #[test]
    fn walk_back_along_a_liar_ends() {
        let far = |n: u32| Peer { id: Id::from_number(n.into(), Bits::FULL), addr: peer(1).addr };
        let me = Peer { addr: peer(2).addr, ..far(0) };
        let mut join = Join::new(me, 3, far(1).id, Through::Seed(peer(8).addr));
        join.resume(Answer::Reply(Response::Successor { owner: far(9000), path: vec![] }));
        let mut closer = |n| {
            let predecessor = Some(Some(far(9000 - n)));
            join.resume(Answer::Reply(Response::SuccessorList {
                successors: vec![],
                predecessor,
                dialect: Dialect::Ours,
            }))
        };
        for n in 1..=MAX_HOPS {
            assert!(matches!(closer(n), Step::Ask(..)));
        }
        assert_eq!(closer(MAX_HOPS + 1), Step::Done(Joined::NotNow));
    }

    #[test]
    fn successor_without_predecessor_is_taken() {
        let mut join = join();
        join.resume(named(32));
        assert_eq!(join.resume(list(&[], Some(None))), Step::Done(Joined::Member(peers(&[32]))));
    }

    #[test]
    fn stale_entry_for_the_joiner_itself_is_no_obstacle() {
        let mut join = join();
        join.resume(named(32));
        let entered = join.resume(list(&[38, 26, 42], Some(Some(26))));
        assert_eq!(entered, Step::Done(Joined::Member(peers(&[32, 38]))));
    }

    #[test]
    fn joiner_that_is_named_itself_keeps_nothing() {
        assert_eq!(join().resume(named(26)), Step::Done(Joined::NotNow));
    }

    #[test]
    fn plain_successor_is_asked_in_two_calls() {
        let mut join = join();
        join.resume(named(32));
        assert_eq!(join.resume(list(&[38, 42], None)), Step::Ask(peer(32).into(), Request::GetPredecessor));
        let predecessor = Answer::Reply(Response::Predecessor {
            predecessor: Some(peer(21)),
            successors: None,
            memory: Memory::default(),
        });
        let step = join.resume(predecessor);
        let entered = confirmed(&mut join, step, &[32, 38, 42]);
        assert_eq!(entered, Step::Done(Joined::Member(peers(&[32, 38, 42]))));
    }

    /// Node 26, a member that took node 32 and all others for dead.
    fn back() -> Join {
        Join::new(peer(26), 3, peer(26).id.next(SIX), Through::Former(peer(32)))
    }

    #[test]
    fn member_that_took_all_for_dead_has_its_place_while_its_successor_says_so() {
        let says = |predecessor| {
            let mut join = back();
            assert_eq!(join.start(), asks_list(32));
            let step = join.resume(Answer::Refused(Code::Retry));
            assert_eq!(step, Step::Ask(peer(32).into(), Request::GetPredecessor));
            let predecessor = Some(peer(predecessor));
            join.resume(Answer::Reply(Response::Predecessor {
                predecessor,
                successors: Some(peers(&[38, 42, 48])),
                memory: Memory::default(),
            }))
        };
        assert_eq!(says(26), Step::Done(Joined::Member(peers(&[32, 38, 42]))));
        assert_eq!(says(30), Step::Done(Joined::NotNow), "the ring has gone on");
    }

    #[test]
    fn member_that_took_all_for_dead_is_found_in_the_list_of_the_one_before() {
        let named_by = |mut join: Join, predecessor| {
            join.start();
            if matches!(join.through, Through::Seed(_)) {
                join.resume(named(32));
            }
            let step = join.resume(list(&[38, 42, 48], Some(Some(21))));
            confirmed(&mut join, step, predecessor)
        };
        let member = Step::Done(Joined::Member(peers(&[32, 38, 42])));
        assert_eq!(named_by(back(), &[26, 38]), member, "the list that it had itself before");
        assert_eq!(named_by(back(), &[32, 38]), member, "where it was taken for dead as well");
        assert_eq!(named_by(back(), &[30, 32]), Step::Done(Joined::NotNow), "a node has come in between");
        assert_eq!(
            named_by(join(), &[26, 38]),
            Step::Done(Joined::NotNow),
            "a former self of a joiner is to be forgotten"
        );
    }

    #[test]
    fn identifier_is_taken_only_by_a_living_node() {
        let twin = Peer { addr: peer(1).addr, ..peer(26) };
        let reply = Answer::Reply(Response::SuccessorList {
            successors: peers(&[38]),
            predecessor: Some(Some(twin)),
            dialect: Dialect::Ours,
        });
        let contested = || {
            let mut join = join();
            join.resume(named(32));
            assert_eq!(join.resume(reply.clone()), Step::Ask(twin.into(), Request::CheckPredecessor));
            join
        };
        assert_eq!(
            contested().resume(Answer::Reply(Response::Alive { plain: false, alone: false })),
            Step::Done(Joined::IdTaken(twin))
        );
        assert_eq!(contested().resume(Answer::Unasked), Step::Done(Joined::NotNow), "no node has answered");
        assert_eq!(contested().resume(Answer::Gone), Step::Done(Joined::Member(peers(&[32, 38]))));
    }

    #[test]
    fn successor_may_say_that_the_identifier_is_its_own() {
        let mut join = join();
        join.resume(named(32));
        assert_eq!(join.resume(Answer::Refused(Code::IdTaken)), Step::Done(Joined::IdTaken(peer(32))));
    }

    #[test]
    fn seed_that_is_dead_not_joined_or_busy_is_told_apart() {
        for answer in [Answer::Gone, Answer::Silent] {
            assert_eq!(join().resume(answer), Step::Done(Joined::NoAnswer));
        }
        assert_eq!(join().resume(Answer::Refused(Code::NotJoined)), Step::Done(Joined::NotJoined));
        for code in [Code::Retry, Code::Busy, Code::Timeout, Code::NoRoute] {
            assert_eq!(join().resume(Answer::Refused(code)), Step::Done(Joined::NotNow), "{code}");
        }
        for answer in [Answer::Refused(Code::Retry), Answer::Gone, Answer::Silent, Answer::Refused(Code::Unspecified)] {
            let mut join = join();
            join.resume(named(32));
            assert_eq!(join.resume(answer), Step::Done(Joined::NotNow), "the seed has answered");
        }
        let mut join = join();
        join.resume(named(8));
        assert_eq!(join.resume(Answer::Silent), Step::Done(Joined::NoAnswer), "it has not said all");
    }
}
