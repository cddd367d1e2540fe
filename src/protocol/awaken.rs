//! Finding one's place again after a sleep.
//!
//! A node that slept for longer than others wait may have been found dead, and other nodes may have joined at its
//! place. Nodes that slept beside it know nothing of these, either: what such nodes say of each other does not count.
//! So the node asks those that it knows until one that did not sleep tells it where it belongs:
//!
//! - its former predecessor, or a node that has notified it since: if that has this node as its first successor, no
//!   node has come in between;
//! - else the nodes of its list, nearest first: a node whose predecessor lies at or before this node, or that has lost
//!   this very node, is its first successor. A node whose predecessor lies farther on leads back to that predecessor,
//!   and so on, until the place is found.
//!
//! If fewer than r nodes in a row slept, each has a node in its list that did not. If all r slept (the ring was one
//! process that was stopped, say), no known node can have come in between, and the node trusts its list.

use super::neighbors::{Neighbors, cut};
use super::peer::Peer;
use super::procedure::{Answer, Procedure, Step};
use super::rpc::{Dialect, Memory, Request, Response};
use super::stabilize::Learned;

/// One search for the place of a node that slept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Awaken {
    me: Peer,
    r: usize,
    /// Nodes that may have it as their first successor, and were not asked yet.
    before: [Option<Peer>; 2],
    /// Its list, nearest first.
    list: Vec<Peer>,
    /// How many of them were asked, or skipped.
    next: usize,
    /// The nodes that were asked, those on the ways back included.
    asked: Vec<Peer>,
    /// Whether a node that did not sleep may be among them.
    awake: bool,
    stage: Stage,
    learned: Learned,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// A node before this one was asked for its list.
    Before(Peer),
    /// A node behind this one was asked for its predecessor.
    Back(Peer),
    /// The first successor, a plain peer, was asked for its list.
    List(Peer),
    /// Another node that has the identifier of this one was asked whether it lives.
    Twin(Peer),
}

/// The outcome.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Awakened {
    /// What a round of stabilize would have learned: the nearest successor that is known to live, and the dead nodes.
    pub learned: Learned,
    /// Where the node belongs, as far as the search could tell.
    pub place: Place,
}

/// What a node knows about its place in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The list that was learned begins with the first successor.
    Confirmed,
    /// No node has come in, on either side: this predecessor has this node as its first successor.
    Kept(Peer),
    /// No node that could tell is awake.
    Trusted,
    /// No node could tell this time.
    Unknown,
}

/// At most this many nodes are asked on the ways back. If more have come in between, the next search goes on from the
/// nearest of them.
const MAX_BACK: usize = 32;

impl Awaken {
    /// A search from these neighbours; `claimant` is a node that has notified this one since it woke.
    pub fn new(neighbors: &Neighbors, claimant: Option<Peer>) -> Awaken {
        let former = neighbors.former();
        Awaken {
            me: neighbors.me(),
            r: neighbors.r(),
            before: [claimant.filter(|claimant| Some(*claimant) != former), former],
            list: neighbors.successors().to_vec(),
            next: 0,
            asked: Vec::new(),
            awake: false,
            stage: Stage::Twin(neighbors.me()),
            learned: Learned::default(),
        }
    }

    fn done(&mut self, place: Place) -> Step<Awakened> {
        Step::Done(Awakened { learned: std::mem::take(&mut self.learned), place })
    }

    fn ask(&mut self, stage: Stage, peer: Peer, request: Request) -> Step<Awakened> {
        self.stage = stage;
        Step::Ask(peer.into(), request)
    }

    /// Asks `peer` for its predecessor.
    fn back(&mut self, peer: Peer) -> Step<Awakened> {
        self.asked.push(peer);
        self.ask(Stage::Back(peer), peer, Request::GetPredecessor)
    }

    /// Goes on with the next node before this one, else with the next entry of the list.
    fn next(&mut self) -> Step<Awakened> {
        if let Some(before) = self.before.iter_mut().rev().find_map(Option::take) {
            return self.ask(Stage::Before(before), before, Request::GetPredecessor);
        }
        while let Some(entry) = self.list.get(self.next).copied() {
            self.next += 1;
            if !self.asked.contains(&entry) {
                return self.back(entry);
            }
        }
        self.done(if self.awake { Place::Unknown } else { Place::Trusted })
    }

    fn dead(&mut self, peer: Peer) -> Step<Awakened> {
        self.learned.dead.push(peer);
        self.next()
    }

    fn learn(&mut self, successor: Peer, list: Vec<Peer>, plain: bool) {
        self.learned.plain = plain;
        self.learned.alone = list.is_empty();
        self.learned.list = Some(cut(self.me, self.r, std::iter::once(successor).chain(list)));
    }

    /// A node behind this one has answered.
    fn told(&mut self, peer: Peer, before: Option<Peer>, list: Option<Vec<Peer>>, memory: Memory) -> Step<Awakened> {
        let is_alone = list.as_ref().is_some_and(|list| list.is_empty());
        // See `Stabilize`: it was restarted, or fell out of the ring.
        if is_alone && self.list.len() > 1 {
            return self.dead(peer);
        }
        self.awake |= !memory.slept;
        if let Some(twin) = before.filter(|before| before.id == self.me.id && before.addr != self.me.addr) {
            return self.ask(Stage::Twin(twin), twin, Request::CheckPredecessor);
        }
        let before = before.or(memory.former.filter(|former| *former == self.me));
        let between = before.filter(|before| before.id.in_open(self.me.id, peer.id));
        match (before, between, list) {
            (_, Some(between), list) => {
                self.learn_nearer(peer, list);
                match self.asked.contains(&between) || self.asked.len() >= MAX_BACK + self.list.len() {
                    true => self.next(),
                    false => self.back(between),
                }
            }
            (None, _, list) if !is_alone => {
                self.learn_nearer(peer, list);
                self.next()
            }
            (_, _, Some(list)) => {
                self.learn(peer, list, false);
                self.done(Place::Confirmed)
            }
            (_, _, None) => self.ask(Stage::List(peer), peer, Request::GetSuccessorList { joiner: None }),
        }
    }

    /// A node that lies before the known first successor is a better one, if not the right one.
    fn learn_nearer(&mut self, peer: Peer, list: Option<Vec<Peer>>) {
        let known = self.learned.list.as_ref().and_then(|list| list.first()).or(self.list.first());
        if let Some(list) = list
            && known.is_some_and(|known| peer.id.in_open(self.me.id, known.id))
        {
            self.learn(peer, list, false);
        }
    }
}

impl Procedure for Awaken {
    type Output = Awakened;

    fn start(&mut self) -> Step<Awakened> {
        self.next()
    }

    fn resume(&mut self, answer: Answer) -> Step<Awakened> {
        match (self.stage.clone(), answer) {
            (Stage::Before(before), Answer::Reply(Response::Predecessor { successors: Some(list), memory, .. }))
                if list.first() == Some(&self.me) && !memory.slept =>
            {
                self.done(Place::Kept(before))
            }
            // It is asked nothing else, unless the ring is so small that it is in the list as well.
            (Stage::Before(_), _) => self.next(),
            (Stage::Back(peer) | Stage::List(peer), answer) if answer.is_dead() => self.dead(peer),
            (Stage::Back(peer), Answer::Reply(Response::Predecessor { predecessor, successors, memory })) => {
                self.told(peer, predecessor, successors, memory)
            }
            // It looks for its own place, or for its ring.
            (Stage::Back(_), Answer::Refused(_)) => self.next(),
            (Stage::List(peer), Answer::Reply(Response::SuccessorList { successors, dialect, .. })) => {
                self.learn(peer, successors, dialect != Dialect::Ours);
                self.done(Place::Confirmed)
            }
            (Stage::Twin(twin), Answer::Reply(Response::Alive { .. })) => {
                self.learned.twin = Some(twin);
                self.done(Place::Unknown)
            }
            // Alive, but of no use this time.
            (Stage::Back(_) | Stage::List(_), _) => {
                self.awake = true;
                self.next()
            }
            (Stage::Twin(_), _) => self.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::rpc::Code;
    use crate::protocol::testing::{peer, peers};

    /// Node 21, between 14 and these, after a sleep.
    fn woken(successors: &[u8]) -> Awaken {
        let mut neighbors = Neighbors::alone(peer(21), 4);
        neighbors.adopt(peers(successors));
        neighbors.set_predecessor(peer(14));
        neighbors.doubt_all();
        Awaken::new(&neighbors, None)
    }

    /// The same, when its former predecessor has said nothing.
    fn passed_over(successors: &[u8]) -> Awaken {
        let mut search = woken(successors);
        assert_eq!(search.start(), asks(14));
        search
    }

    fn asks(n: u8) -> Step<Awakened> {
        Step::Ask(peer(n).into(), Request::GetPredecessor)
    }

    fn says(predecessor: Option<u8>, list: &[u8], memory: Memory) -> Answer {
        let predecessor = predecessor.map(peer);
        Answer::Reply(Response::Predecessor { predecessor, successors: Some(peers(list)), memory })
    }

    fn comes_after(predecessor: u8, list: &[u8]) -> Answer {
        says(Some(predecessor), list, Memory::default())
    }

    const SLEPT: Memory = Memory { former: None, slept: true };
    const ASTRAY: Answer = Answer::Refused(Code::Retry);

    fn found(place: Place, list: &[u8]) -> Step<Awakened> {
        Step::Done(Awakened { learned: Learned { list: Some(peers(list)), ..Learned::default() }, place })
    }

    #[test]
    fn node_that_nobody_passed_over_is_where_it_was() {
        let mut search = passed_over(&[32, 38]);
        let kept = Awakened { learned: Learned::default(), place: Place::Kept(peer(14)) };
        assert_eq!(search.resume(comes_after(8, &[21, 32])), Step::Done(kept));
        // A node that slept itself has not heard of others.
        assert_eq!(passed_over(&[32, 38]).resume(says(Some(8), &[21, 32], SLEPT)), asks(32));
        assert_eq!(passed_over(&[32, 38]).resume(comes_after(8, &[26, 32])), asks(32));
    }

    /// Both neighbours of a node had died while it slept: the node before them then had it as its first successor, and
    /// the node behind them waited for it to notify.
    #[test]
    fn node_that_has_become_the_successor_of_another_while_it_slept_is_told_by_that_one() {
        let mut neighbors = Neighbors::alone(peer(21), 4);
        neighbors.adopt(peers(&[32, 38]));
        neighbors.set_predecessor(peer(14));
        neighbors.doubt_all();
        let mut search = Awaken::new(&neighbors, Some(peer(8)));
        assert_eq!(search.start(), asks(14));
        assert_eq!(search.resume(Answer::Gone), asks(8));
        let kept = Awakened { learned: Learned::default(), place: Place::Kept(peer(8)) };
        assert_eq!(search.resume(comes_after(1, &[21, 32])), Step::Done(kept));
        let mut search = Awaken::new(&neighbors, Some(peer(14)));
        assert_eq!(search.start(), asks(14));
        assert_eq!(search.resume(comes_after(8, &[26, 32])), asks(32), "it is asked once");
    }

    #[test]
    fn node_that_was_passed_over_is_told_so_by_its_successor() {
        let mut search = passed_over(&[32, 38]);
        assert_eq!(search.resume(Answer::Silent), asks(32));
        assert_eq!(search.resume(comes_after(14, &[38, 42, 48])), found(Place::Confirmed, &[32, 38, 42, 48]));
    }

    #[test]
    fn successor_that_lost_this_very_node_has_nobody_else_before_it() {
        let mut search = passed_over(&[32, 38]);
        search.resume(Answer::Silent);
        let lost = |n| Memory { former: Some(peer(n)), slept: false };
        assert_eq!(search.clone().resume(says(None, &[38], lost(21))), found(Place::Confirmed, &[32, 38]));
        assert_eq!(search.resume(says(None, &[38], lost(26))), asks(38), "others may live between");
    }

    #[test]
    fn node_that_slept_is_led_back_by_those_that_did_not() {
        let mut search = passed_over(&[32, 38, 42]);
        assert_eq!(search.resume(ASTRAY), asks(32));
        // 32 and 38 slept as well, and were found dead.
        assert_eq!(search.resume(ASTRAY), asks(38));
        assert_eq!(search.resume(ASTRAY), asks(42));
        assert_eq!(search.resume(comes_after(28, &[48])), asks(28));
        assert_eq!(search.resume(comes_after(26, &[42])), asks(26));
        assert_eq!(search.resume(comes_after(8, &[28, 42, 48])), found(Place::Confirmed, &[26, 28, 42, 48]));
    }

    #[test]
    fn way_back_that_is_broken_leads_to_the_nearest_that_is_known() {
        let mut search = passed_over(&[32, 38]);
        search.resume(ASTRAY);
        assert_eq!(search.resume(comes_after(28, &[38])), asks(28));
        assert_eq!(search.resume(comes_after(26, &[32, 38])), asks(26));
        let mut dead = search.clone();
        assert_eq!(dead.resume(Answer::Gone), asks(38));
        let learned = Learned { list: Some(peers(&[28, 32, 38])), dead: peers(&[26]), ..Learned::default() };
        assert_eq!(
            dead.resume(comes_after(32, &[42])),
            Step::Done(Awakened { learned, place: Place::Unknown }),
            "the ways back from both have been gone"
        );
        // It has lost its predecessor, and more nodes before it may have been lost.
        assert_eq!(search.resume(says(None, &[28, 32], Memory::default())), asks(38));
        assert_eq!(search.resume(comes_after(32, &[42])), found(Place::Unknown, &[26, 28, 32]));
    }

    #[test]
    fn node_whose_whole_ring_slept_trusts_its_list() {
        let trusts = |learned| Step::Done(Awakened { learned, place: Place::Trusted });
        let mut search = passed_over(&[32, 38, 42]);
        assert_eq!(search.resume(ASTRAY), asks(32));
        assert_eq!(search.resume(ASTRAY), asks(38));
        // Nodes that trust their lists already have notified it.
        assert_eq!(search.resume(says(Some(32), &[42], SLEPT)), asks(42));
        let mut dead = search.clone();
        assert_eq!(search.resume(says(None, &[48], SLEPT)), trusts(Learned::default()));
        assert_eq!(dead.resume(Answer::Gone), trusts(Learned { dead: peers(&[42]), ..Learned::default() }));
    }

    #[test]
    fn node_that_may_have_been_awake_and_tells_nothing_is_waited_for() {
        for answer in [Answer::Alive, Answer::Excused, Answer::Unasked] {
            let mut search = passed_over(&[32]);
            assert_eq!(search.resume(ASTRAY), asks(32));
            let unknown = Awakened { learned: Learned::default(), place: Place::Unknown };
            assert_eq!(search.resume(answer), Step::Done(unknown));
        }
    }

    #[test]
    fn way_back_that_is_too_long_is_gone_in_parts() {
        let mut neighbors = Neighbors::alone(peer(1), 2);
        neighbors.adopt(peers(&[62]));
        neighbors.doubt_all();
        let mut search = Awaken::new(&neighbors, None);
        assert_eq!(search.start(), asks(62));
        for n in (30..62).rev() {
            assert_eq!(search.resume(comes_after(n, &[n + 1, n + 2])), asks(n));
        }
        assert_eq!(search.resume(comes_after(29, &[31, 32])), found(Place::Unknown, &[30, 31]));
    }

    #[test]
    fn other_of_two_is_found_alone() {
        let mut search = passed_over(&[14]);
        assert_eq!(search.resume(Answer::Silent), asks(14));
        let learned = Learned { list: Some(peers(&[14])), alone: true, ..Learned::default() };
        assert_eq!(
            search.resume(says(None, &[], Memory::default())),
            Step::Done(Awakened { learned, place: Place::Confirmed })
        );
    }

    #[test]
    fn node_that_is_alone_though_others_live_was_started_again() {
        let mut search = passed_over(&[32, 38]);
        search.resume(ASTRAY);
        assert_eq!(search.resume(says(None, &[], Memory::default())), asks(38));
        assert_eq!(search.learned.dead, peers(&[32]));
    }

    #[test]
    fn plain_successor_is_asked_for_its_list() {
        let mut search = passed_over(&[32]);
        search.resume(Answer::Silent);
        let plain = Response::Predecessor { predecessor: Some(peer(14)), successors: None, memory: Memory::default() };
        let request = Request::GetSuccessorList { joiner: None };
        assert_eq!(search.resume(Answer::Reply(plain)), Step::Ask(peer(32).into(), request));
        let list = Response::SuccessorList { successors: peers(&[38]), predecessor: None, dialect: Dialect::Plain };
        let learned = Learned { list: Some(peers(&[32, 38])), plain: true, ..Learned::default() };
        assert_eq!(search.resume(Answer::Reply(list)), Step::Done(Awakened { learned, place: Place::Confirmed }));
    }

    #[test]
    fn place_that_another_has_taken_is_its_own() {
        let twin = Peer { addr: peer(8).addr, ..peer(21) };
        let mut search = passed_over(&[32]);
        search.resume(Answer::Silent);
        let taken = Response::Predecessor {
            predecessor: Some(twin),
            successors: Some(peers(&[38])),
            memory: Memory::default(),
        };
        let step = search.resume(Answer::Reply(taken));
        assert_eq!(step, Step::Ask(twin.into(), Request::CheckPredecessor));
        let Step::Done(awakened) = search.resume(Answer::Reply(Response::Alive { plain: false, alone: false })) else {
            panic!("it is known")
        };
        assert_eq!(awakened.learned.twin, Some(twin));
    }
}
