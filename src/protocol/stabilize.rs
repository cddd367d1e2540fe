//! Keeping the successor list right (Zave's `stabilize`).

use super::neighbors::{Neighbors, cut};
use super::peer::Peer;
use super::procedure::{Answer, Procedure, Step};
use super::rpc::{Dialect, Request, Response};

/// One round: ask the first successor for its predecessor and list, and if that predecessor lies between, ask it for
/// its list. In any case, the runner then applies what was learned and notifies the first successor that the node has
/// after that.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stabilize {
    me: Peer,
    r: usize,
    /// The first successor when the round began; `None` in a ring of one.
    head: Option<Peer>,
    /// Whether the list held others than the head.
    others: bool,
    /// A closer successor to try: in a ring of one the predecessor, else a node of another ring.
    candidate: Option<Peer>,
    stage: Stage,
    learned: Learned,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// The head was asked for predecessor and list.
    Head,
    /// The head, a plain peer, has named its predecessor, and was asked for its list.
    HeadList(Option<Peer>),
    /// A candidate was asked for its list.
    Candidate(Peer),
    /// Another node that has the identifier of this one and comes before the head was asked whether it lives.
    Twin(Peer),
}

/// What a round found out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Learned {
    /// The list to adopt, cut; its head has answered. `None`: keep the old one.
    pub list: Option<Vec<Peer>>,
    /// Nodes that turned out dead: the head of the old list, or a candidate.
    pub dead: Vec<Peer>,
    /// Whether the head of `list` is a plain peer, to which no connection is kept.
    pub plain: bool,
    /// Whether that head says that it is a ring of one.
    pub alone: bool,
    /// Another node that has the identifier of this one, lives, and comes before the head: the ring has taken that one.
    pub twin: Option<Peer>,
}

impl Stabilize {
    /// A round from these neighbours; `hint` is a node of another ring that may lie between.
    pub fn new(neighbors: &Neighbors, hint: Option<Peer>) -> Stabilize {
        let head = neighbors.successor();
        Stabilize {
            me: neighbors.me(),
            r: neighbors.r(),
            head,
            others: neighbors.successors().len() > 1,
            candidate: if head.is_some() { hint } else { neighbors.predecessor().or(hint) },
            stage: Stage::Head,
            learned: Learned::default(),
        }
    }

    fn done(&mut self) -> Step<Learned> {
        Step::Done(std::mem::take(&mut self.learned))
    }

    /// The head is alive.
    fn heard(&mut self, head: Peer, predecessor: Option<Peer>, list: Vec<Peer>, plain: bool) -> Step<Learned> {
        // A member of a ring always has a successor. A head that has none while we know others has
        // been restarted as a ring of one, or fell out: its list would cut us off.
        if list.is_empty() && self.others {
            self.learned.dead.push(head);
            return self.done();
        }
        self.learn(head, list, plain);
        // This node was away, and another has taken its place.
        if let Some(twin) = predecessor.filter(|peer| peer.id == self.me.id && peer.addr != self.me.addr) {
            self.stage = Stage::Twin(twin);
            return Step::Ask(twin.into(), Request::CheckPredecessor);
        }
        let between = |peer: &Peer| peer.id.in_open(self.me.id, head.id);
        // The nearest: while rings become one, the head's predecessor may be one of many nodes in between.
        let nearest = predecessor.into_iter().chain(self.candidate).filter(between);
        match nearest.min_by_key(|peer| peer.id.clockwise_from(self.me.id)) {
            Some(candidate) => self.ask_list(candidate),
            None => self.done(),
        }
    }

    fn learn(&mut self, head: Peer, list: Vec<Peer>, plain: bool) {
        self.learned.plain = plain;
        self.learned.alone = list.is_empty();
        self.learned.list = Some(cut(self.me, self.r, std::iter::once(head).chain(list)));
    }

    fn ask_list(&mut self, candidate: Peer) -> Step<Learned> {
        self.stage = Stage::Candidate(candidate);
        Step::Ask(candidate.into(), Request::GetSuccessorList { joiner: None })
    }
}

impl Procedure for Stabilize {
    type Output = Learned;

    fn start(&mut self) -> Step<Learned> {
        match (self.head, self.candidate) {
            (Some(head), _) => Step::Ask(head.into(), Request::GetPredecessor),
            (None, Some(candidate)) => self.ask_list(candidate),
            (None, None) => self.done(),
        }
    }

    fn resume(&mut self, answer: Answer) -> Step<Learned> {
        let stage = std::mem::replace(&mut self.stage, Stage::Head);
        match (stage, self.head, answer) {
            (Stage::Twin(twin), _, Answer::Reply(Response::Alive { .. })) => {
                self.learned.twin = Some(twin);
                self.done()
            }
            (Stage::Candidate(candidate), _, answer) if answer.is_dead() => {
                self.learned.dead.push(candidate);
                self.done()
            }
            (Stage::Candidate(candidate), _, Answer::Reply(Response::SuccessorList { successors, dialect, .. })) => {
                // A candidate without successors is alone, or fell out: see `heard`.
                if !successors.is_empty() || self.head.is_none() {
                    self.learn(candidate, successors, dialect != Dialect::Ours);
                }
                self.done()
            }
            (Stage::Head | Stage::HeadList(_), Some(head), answer) if answer.is_dead() => {
                self.learned.dead.push(head);
                self.done()
            }
            (Stage::Head, Some(head), Answer::Reply(Response::Predecessor { predecessor, successors, .. })) => {
                match successors {
                    Some(list) => self.heard(head, predecessor, list, false),
                    None => {
                        self.stage = Stage::HeadList(predecessor);
                        Step::Ask(head.into(), Request::GetSuccessorList { joiner: None })
                    }
                }
            }
            (Stage::HeadList(predecessor), Some(head), Answer::Reply(Response::SuccessorList { successors, .. })) => {
                self.heard(head, predecessor, successors, true)
            }
            // Alive, but of no use this time.
            _ => self.done(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::rpc::{Code, Memory};
    use crate::protocol::testing::{peer, peers};

    /// A round of node 21.
    fn round(successors: &[u8]) -> Stabilize {
        let mut neighbors = Neighbors::alone(peer(21), 3);
        neighbors.adopt(peers(successors));
        Stabilize::new(&neighbors, None)
    }

    fn head(predecessor: u8, list: &[u8]) -> Answer {
        Answer::Reply(Response::Predecessor {
            predecessor: Some(peer(predecessor)),
            successors: Some(peers(list)),
            memory: Memory::default(),
        })
    }

    fn list(list: &[u8], dialect: Dialect) -> Answer {
        Answer::Reply(Response::SuccessorList { successors: peers(list), predecessor: None, dialect })
    }

    fn asks_list(n: u8) -> Step<Learned> {
        Step::Ask(peer(n).into(), Request::GetSuccessorList { joiner: None })
    }

    fn learned(list: &[u8]) -> Learned {
        Learned { list: Some(peers(list)), ..Learned::default() }
    }

    #[test]
    fn round_replaces_the_list_and_merges_nothing() {
        let mut round = round(&[32, 38, 42]);
        assert_eq!(round.start(), Step::Ask(peer(32).into(), Request::GetPredecessor));
        assert_eq!(round.resume(head(21, &[48, 51, 56])), Step::Done(learned(&[32, 48, 51])));
    }

    #[test]
    fn round_adopts_a_predecessor_that_lies_between_once_it_has_answered() {
        let mut round = round(&[32, 38, 42]);
        assert_eq!(round.resume(head(26, &[38, 42, 48])), asks_list(26));
        assert_eq!(round.resume(list(&[32, 38, 42], Dialect::Ours)), Step::Done(learned(&[26, 32, 38])));
    }

    #[test]
    fn round_keeps_the_head_when_the_candidate_is_dead_or_silent() {
        let mut first = round(&[32, 38, 42]);
        first.resume(head(26, &[38, 42, 48]));
        let dead = Learned { dead: peers(&[26]), ..learned(&[32, 38, 42]) };
        assert_eq!(first.resume(Answer::Gone), Step::Done(dead));

        let mut second = round(&[32, 38, 42]);
        second.resume(head(26, &[38, 42, 48]));
        assert_eq!(second.resume(Answer::Silent), Step::Done(learned(&[32, 38, 42])));
    }

    #[test]
    fn round_reports_a_dead_head() {
        for answer in [Answer::Gone, Answer::Refused(Code::NotJoined)] {
            let dead = Learned { dead: peers(&[32]), ..Learned::default() };
            assert_eq!(round(&[32, 38, 42]).resume(answer), Step::Done(dead));
        }
    }

    #[test]
    fn head_that_lives_but_can_not_answer_teaches_nothing() {
        for answer in [Answer::Silent, Answer::Refused(Code::Retry)] {
            assert_eq!(round(&[32, 38, 42]).resume(answer), Step::Done(Learned::default()));
        }
    }

    #[test]
    fn head_that_has_become_a_ring_of_one_counts_as_dead() {
        let alone = || {
            Answer::Reply(Response::Predecessor {
                predecessor: None,
                successors: Some(vec![]),
                memory: Memory::default(),
            })
        };
        let dead = Learned { dead: peers(&[32]), ..Learned::default() };
        assert_eq!(round(&[32, 38, 42]).resume(alone()), Step::Done(dead));
        let kept = Learned { alone: true, ..learned(&[32]) };
        assert_eq!(round(&[32]).resume(alone()), Step::Done(kept), "unless no other node is known");
    }

    #[test]
    fn candidate_that_is_a_ring_of_one_is_not_adopted() {
        let mut round = round(&[32, 38, 42]);
        round.resume(head(26, &[38, 42, 48]));
        assert_eq!(round.resume(list(&[], Dialect::Ours)), Step::Done(learned(&[32, 38, 42])));
    }

    #[test]
    fn ring_of_one_adopts_its_predecessor() {
        let mut alone = Neighbors::alone(peer(21), 3);
        assert_eq!(Stabilize::new(&alone, None).start(), Step::Done(Learned::default()));
        alone.set_predecessor(peer(8));
        let mut round = Stabilize::new(&alone, None);
        assert_eq!(round.start(), asks_list(8));
        assert_eq!(round.resume(list(&[21], Dialect::Ours)), Step::Done(learned(&[8])));
    }

    #[test]
    fn plain_head_is_asked_in_two_calls() {
        let mut round = round(&[32, 38, 42]);
        let reply = Response::Predecessor { predecessor: None, successors: None, memory: Memory::default() };
        assert_eq!(round.resume(Answer::Reply(reply)), asks_list(32));
        let plain = Learned { plain: true, ..learned(&[32, 38, 42]) };
        assert_eq!(round.resume(list(&[38, 42, 48], Dialect::Plain)), Step::Done(plain));
    }

    /// While rings become one, each round would otherwise go back by one node only.
    #[test]
    fn nearer_one_of_hint_and_predecessor_of_the_head_is_tried() {
        for (hint, nearest) in [(24, 24), (30, 28)] {
            let mut neighbors = Neighbors::alone(peer(21), 3);
            neighbors.adopt(peers(&[32, 38]));
            let mut round = Stabilize::new(&neighbors, Some(peer(hint)));
            round.start();
            let step = round.resume(head(28, &[38]));
            assert_eq!(step, Step::Ask(peer(nearest).into(), Request::GetSuccessorList { joiner: None }));
        }
    }

    #[test]
    fn hint_of_another_ring_is_tried_if_it_lies_between() {
        let mut neighbors = Neighbors::alone(peer(21), 3);
        neighbors.adopt(peers(&[32, 38]));
        let mut near = Stabilize::new(&neighbors, Some(peer(26)));
        assert_eq!(near.resume(head(21, &[38, 42])), asks_list(26));
        let mut far = Stabilize::new(&neighbors, Some(peer(40)));
        assert_eq!(far.resume(head(21, &[38, 42])), Step::Done(learned(&[32, 38, 42])));
    }

    #[test]
    fn whoever_the_ring_has_taken_in_one_s_place_is_told_by_the_head_and_must_live() {
        let twin = Peer { addr: peer(1).addr, ..peer(21) };
        let named = Answer::Reply(Response::Predecessor {
            predecessor: Some(twin),
            successors: Some(peers(&[38, 42])),
            memory: Memory::default(),
        });
        let alive = Answer::Reply(Response::Alive { plain: false, alone: false });
        for (answer, taken) in [(alive, Some(twin)), (Answer::Gone, None), (Answer::Silent, None)] {
            let mut round = round(&[32, 38, 42]);
            round.start();
            assert_eq!(round.resume(named.clone()), Step::Ask(twin.into(), Request::CheckPredecessor));
            assert_eq!(round.resume(answer), Step::Done(Learned { twin: taken, ..learned(&[32, 38, 42]) }));
        }
        let mut round = round(&[32, 38, 42]);
        round.start();
        assert_eq!(round.resume(head(21, &[38, 42])), Step::Done(learned(&[32, 38, 42])), "the node itself is no twin");
    }
}
