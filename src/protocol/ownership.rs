//! Which keys a member takes for its own, and what changes around it: what an application that keeps something for each
//! key has to know.
//!
//! Membership is local knowledge, and so is this. A range is what the member answers for when it is asked: from behind
//! its predecessor up to itself (paper, section IV.B). `docs/correctness.md`, "Ownership", says for how long two
//! members may both take a key for theirs, and when no member does.

use super::id::Id;
use super::maintenance::{Effect, Maintenance, Standing};
use super::peer::Peer;

/// The keys behind one point of the circle, up to and including another. Equal points are the whole circle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyRange {
    /// Not in the range: the identifier of the predecessor, or the member's own if it is alone.
    pub behind: Id,
    /// The last key of the range: the member's own identifier.
    pub up_to: Id,
}

impl KeyRange {
    /// Whether a key is in the range.
    pub fn contains(self, key: Id) -> bool {
        key.in_half_open(self.behind, self.up_to)
    }

    /// Whether some key is in both ranges.
    pub fn meets(self, other: KeyRange) -> bool {
        self.contains(other.up_to) || other.contains(self.up_to)
    }
}

/// What a member takes for its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// Grows by one with each change of the fields below.
    pub epoch: u64,
    /// Its keys; none while it does not know its predecessor, has lost its ring, or has left.
    pub range: Option<KeyRange>,
    /// The nodes that are next to own its keys, nearest first: its successor list. Empty when it is alone.
    pub successors: Vec<Peer>,
}

impl Ownership {
    /// What a node takes for its own now.
    fn of(node: &Maintenance, epoch: u64) -> Ownership {
        Ownership { epoch, range: range(node), successors: node.neighbors().successors().to_vec() }
    }
}

/// The keys that a node answers for now.
pub fn range(node: &Maintenance) -> Option<KeyRange> {
    let neighbors = node.vantage().ok()?;
    let up_to = neighbors.me().id;
    match neighbors.successor() {
        None => Some(KeyRange { behind: up_to, up_to }),
        Some(_) => neighbors.predecessor().map(|predecessor| KeyRange { behind: predecessor.id, up_to }),
    }
}

/// What has happened around a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It has become a member again, after it had lost its ring.
    Joined,
    /// It has left its ring, or another node has its identifier: it is no longer a member.
    Left,
    /// It has another predecessor; `None` from when the old one is dropped or doubted until another is known.
    PredecessorChanged(Option<Peer>),
    /// It has another successor list, nearest first; empty when it is alone or has lost its ring.
    SuccessorsChanged(Vec<Peer>),
    /// It answers for other keys than before.
    RangeChanged(Option<KeyRange>),
    /// Its first successor was not heard for too long, or has broken a connection. It is asked whether it lives.
    Suspected(Peer),
    /// A node is dead, as far as this one can tell.
    Dead(Peer),
    /// No other node of its ring is left.
    Alone,
    /// Its ring becomes one with another.
    Reunited,
    /// This many events were lost, because they were not taken in time.
    Lagged(u64),
}

/// Compares a node with what it was.
#[derive(Clone, Debug)]
pub struct Observer {
    ownership: Ownership,
    predecessor: Option<Peer>,
    standing: Standing,
    /// Whether the first successor has answered, and nothing has cast doubt on it since.
    heard: bool,
}

impl Observer {
    /// Takes the current state of the node as known.
    pub fn new(node: &Maintenance) -> Observer {
        Observer {
            ownership: Ownership::of(node, 0),
            predecessor: node.neighbors().predecessor(),
            standing: node.standing(),
            heard: node.neighbors().is_heard(),
        }
    }

    /// What it took for its own when it was looked at last.
    pub fn ownership(&self) -> &Ownership {
        &self.ownership
    }

    fn is_alone(&self) -> bool {
        self.standing == Standing::Member && self.ownership.successors.is_empty()
    }

    /// What has happened since the last look, and what these effects tell.
    pub fn look(&mut self, node: &Maintenance, effects: &[Effect]) -> Vec<Event> {
        let mut events: Vec<Event> = effects.iter().filter_map(told).collect();
        let now = Ownership::of(node, self.ownership.epoch);
        let before = std::mem::replace(self, Observer { ownership: now, ..Observer::new(node) });
        if self.standing != before.standing {
            events.extend(match self.standing {
                Standing::Member if !self.is_alone() => Some(Event::Joined),
                Standing::Left => Some(Event::Left),
                Standing::Member | Standing::Joining | Standing::Isolated => None,
            });
        }
        let (was, is) = (&before.ownership, &self.ownership);
        let head = is.successors.first();
        if before.heard && !self.heard && head == was.successors.first() {
            events.extend(head.copied().map(Event::Suspected));
        }
        if self.predecessor != before.predecessor {
            events.push(Event::PredecessorChanged(self.predecessor));
        }
        if is.successors != was.successors {
            events.push(Event::SuccessorsChanged(is.successors.clone()));
        }
        if self.is_alone() && !before.is_alone() {
            events.push(Event::Alone);
        }
        if is.range != was.range {
            events.push(Event::RangeChanged(is.range));
        }
        if is != was {
            self.ownership.epoch += 1;
        }
        events
    }
}

/// The event that an effect tells.
fn told(effect: &Effect) -> Option<Event> {
    match effect {
        Effect::Dead(peer) => Some(Event::Dead(*peer)),
        Effect::Merging => Some(Event::Reunited),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::maintenance::Setup;
    use crate::protocol::neighbors::Neighbors;
    use crate::protocol::testing::{SIX, peer, peers};

    /// Node 21, a member with these neighbours.
    fn node(predecessor: Option<u8>, successors: &[u8]) -> Maintenance {
        let mut neighbors = Neighbors::alone(peer(21), 3);
        neighbors.adopt(peers(successors));
        if let Some(predecessor) = predecessor {
            neighbors.set_predecessor(peer(predecessor));
        }
        let period = Duration::from_secs(1);
        let (stabilize_every, check_predecessor_every) = (period, period);
        let setup = Setup {
            me: peer(21),
            bits: SIX,
            r: 3,
            stabilize_every,
            check_predecessor_every,
            seeds: Vec::new(),
            creates: true,
        };
        Maintenance::settled(setup, neighbors)
    }

    fn keys(behind: u8, up_to: u8) -> KeyRange {
        KeyRange { behind: peer(behind).id, up_to: peer(up_to).id }
    }

    #[test]
    fn member_answers_for_what_lies_between_its_predecessor_and_itself() {
        assert_eq!(range(&node(Some(8), &[32])), Some(keys(8, 21)));
        assert_eq!(range(&node(None, &[32])), None, "it can't tell where its keys begin");
        assert_eq!(range(&node(None, &[])), Some(keys(21, 21)), "alone, for all");
    }

    #[test]
    fn ranges_that_touch_do_not_meet() {
        assert!(!keys(8, 21).meets(keys(21, 32)) && !keys(21, 32).meets(keys(8, 21)));
        assert!(keys(8, 21).meets(keys(14, 32)) && keys(8, 32).meets(keys(14, 21)));
        assert!(keys(21, 21).meets(keys(8, 14)) && keys(8, 14).meets(keys(21, 21)), "all keys");
        assert!(keys(56, 8).meets(keys(1, 4)) && !keys(56, 8).meets(keys(8, 14)), "over the top");
    }

    #[test]
    fn each_change_is_told_once_and_has_an_epoch() {
        let mut observer = Observer::new(&node(None, &[]));
        assert_eq!((observer.ownership().epoch, observer.ownership().range), (0, Some(keys(21, 21))));
        assert_eq!(observer.look(&node(None, &[]), &[]), []);
        let joined = node(Some(8), &[32, 8]);
        assert_eq!(
            observer.look(&joined, &[Effect::Merging]),
            [
                Event::Reunited,
                Event::PredecessorChanged(Some(peer(8))),
                Event::SuccessorsChanged(peers(&[32, 8])),
                Event::RangeChanged(Some(keys(8, 21)))
            ]
        );
        assert_eq!((observer.ownership().epoch, &observer.ownership().successors), (1, &peers(&[32, 8])));
        assert_eq!(observer.look(&joined, &[]), []);
        let lost = [Event::Dead(peer(8)), Event::PredecessorChanged(None), Event::RangeChanged(None)];
        assert_eq!(observer.look(&node(None, &[32, 8]), &[Effect::Dead(peer(8))]), lost);
        let alone = observer.look(&node(None, &[]), &[]);
        assert_eq!(
            alone,
            [Event::SuccessorsChanged(Vec::new()), Event::Alone, Event::RangeChanged(Some(keys(21, 21)))]
        );
        assert_eq!(observer.ownership().epoch, 3);
    }

    #[test]
    fn doubt_and_departure_are_told() {
        let mut member = node(Some(8), &[32]);
        let mut observer = Observer::new(&member);
        member.severed(&[peer(32).addr].into());
        assert_eq!(observer.look(&member, &[]), [Event::Suspected(peer(32))]);
        member.leave();
        assert_eq!(observer.look(&member, &[]), [Event::Left, Event::RangeChanged(None)]);
        assert_eq!(observer.ownership().range, None);
    }
}
