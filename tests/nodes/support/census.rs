//! Which nodes were in the ring at which time; this decides whether an answer was right.
//!
//! A ring of processes can't be observed as a whole at one instant, so that some nodes are uncertain
//! for a while. The test strikes the nodes itself, and so it knows that
//!
//! - a node is **surely** a member from the moment at which the ring was seen to be ideal with it,
//!   until a fault strikes it;
//! - it is **surely not** a member from the moment at which its process was reaped, or, if it is only
//!   silent (stopped, or cut off), from the moment at which the others were seen to be ideal
//!   without it; until it is started, continued or connected again;
//! - else it is **perhaps** a member: it may be named, and it may be passed over.
//!
//! At one moment the owner of a key is the first sure member at or after it, or any uncertain
//! one in between. An answer is right if it names the owner at some moment between request and
//! answer. One exception: a silent node wakes with its old neighbours, and until it has heard from them it
//! answers requests that are put to *itself* with its old knowledge. Such an answer may be right at any
//! moment since the node fell silent. An answer that names a dead node is never right.

use std::collections::BTreeMap;
use std::sync::RwLock;
use std::time::{Duration, Instant};

use chord::{Id, Peer};

/// The state of a living node in its ring. The dead are not listed at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// A member.
    Surely,
    /// Starting, or dying.
    Perhaps,
    /// Silent since then, perhaps unnoticed so far.
    Silent(Instant),
    /// Silent since then, and no member any more: the others are a ring without it.
    Missed(Instant),
    /// Was silent since then, and is on its way back.
    Waking(Instant),
}

/// The history of a ring.
pub struct Census {
    moments: RwLock<Vec<Moment>>,
}

/// The members from some instant until the next moment begins.
#[derive(Clone)]
struct Moment {
    since: Instant,
    nodes: BTreeMap<Id, (Peer, Presence)>,
    /// Nodes whose answers others may wait for in vain.
    unanswering: usize,
    /// When a silent node last came back.
    woke: Option<Instant>,
}

/// A node that comes back, in the middle of others that do, refuses lookups until one of them has confirmed its place:
/// within the period of these tests, since it asks four times in that time.
const FINDS_PLACE: Duration = Duration::from_secs(1);

impl Census {
    pub fn new() -> Census {
        let nothing = Moment { since: Instant::now(), nodes: BTreeMap::new(), unanswering: 0, woke: None };
        Census { moments: RwLock::new(vec![nothing]) }
    }

    /// From now on these nodes have this state, or are dead (`None`).
    pub fn set(&self, presence: Option<Presence>, peers: impl IntoIterator<Item = Peer>) {
        let mut moments = self.moments.write().unwrap();
        let mut moment = moments.last().expect("there is a first moment").clone();
        for peer in peers {
            match presence {
                Some(presence) => moment.nodes.insert(peer.id, (peer, presence)),
                None => moment.nodes.remove(&peer.id),
            };
        }
        moment.since = Instant::now();
        if matches!(presence, Some(Presence::Waking(_))) {
            moment.woke = Some(moment.since);
        }
        let waited_for = |(_, presence): &&(Peer, Presence)| matches!(presence, Presence::Silent(_));
        moment.unanswering = moment.nodes.values().filter(waited_for).count();
        moments.push(moment);
    }

    /// The nodes that are now surely members.
    pub fn sure(&self) -> Vec<Peer> {
        self.now(|presence| presence == Presence::Surely)
    }

    /// The nodes that are now perhaps members.
    pub fn uncertain(&self) -> Vec<Peer> {
        self.now(Presence::is_uncertain)
    }

    fn now(&self, which: impl Fn(Presence) -> bool) -> Vec<Peer> {
        let moments = self.moments.read().unwrap();
        let nodes = moments.iter().last().into_iter().flat_map(|moment| moment.nodes.values());
        nodes.filter(|(_, presence)| which(*presence)).map(|(peer, _)| *peer).collect()
    }

    /// Whether `of` was right to name `owner` in answer to a request that was open from `asked` to
    /// `answered`.
    pub fn is_right(&self, of: Peer, key: Id, owner: Peer, asked: Instant, answered: Instant) -> bool {
        let moments = self.moments.read().unwrap();
        let open = span(&moments, asked, answered);
        let alive = open.iter().any(|moment| moment.nodes.contains_key(&owner.id));
        let of_asked = open.iter().filter_map(|moment| moment.nodes.get(&of.id)?.1.silent_since());
        let since = of_asked.min().map_or(asked, |silent| silent.min(asked));
        alive && span(&moments, since, answered).iter().any(|moment| moment.may_own(key, owner))
    }

    /// Whether some node was on its way back at some time between these instants.
    pub fn was_waking(&self, from: Instant, to: Instant) -> bool {
        span(&self.moments.read().unwrap(), from, to)
            .iter()
            .any(|moment| moment.nodes.values().any(|(_, presence)| matches!(presence, Presence::Waking(_))))
    }

    /// Whether some node was silent and possibly unnoticed at some time between these instants, or had just come back.
    pub fn was_silence(&self, from: Instant, to: Instant) -> bool {
        let just_back = |moment: &Moment| moment.woke.is_some_and(|woke| from < woke + FINDS_PLACE);
        span(&self.moments.read().unwrap(), from, to).iter().any(|moment| moment.unanswering > 0 || just_back(moment))
    }

    /// Whether a node surely was a member all the time between these instants.
    pub fn was_sure(&self, node: Peer, from: Instant, to: Instant) -> bool {
        let sure = |moment: &Moment| matches!(moment.nodes.get(&node.id), Some((_, Presence::Surely)));
        span(&self.moments.read().unwrap(), from, to).iter().all(sure)
    }

    /// The time since the start.
    pub fn time(&self, at: Instant) -> Duration {
        at - self.moments.read().unwrap()[0].since
    }

    /// The ring around a key between two instants, as readable text.
    pub fn describe(&self, key: Id, from: Instant, to: Instant) -> String {
        let moments = self.moments.read().unwrap();
        let around = span(&moments, from, to).iter().map(|moment| {
            let next = moment.clockwise(key).take(5).map(|(peer, presence)| format!("{peer} {presence:?}"));
            format!("  {:?} before the answer: {}", to - moment.since.min(to), next.collect::<Vec<_>>().join(", "))
        });
        around.collect::<Vec<_>>().join("\n")
    }
}

/// The moments that were at least partly between two instants.
fn span(moments: &[Moment], from: Instant, to: Instant) -> &[Moment] {
    let first = moments.partition_point(|moment| moment.since <= from).saturating_sub(1);
    let end = moments.partition_point(|moment| moment.since <= to).max(first + 1);
    &moments[first..end]
}

impl Presence {
    fn silent_since(self) -> Option<Instant> {
        match self {
            Presence::Surely | Presence::Perhaps => None,
            Presence::Silent(since) | Presence::Missed(since) | Presence::Waking(since) => Some(since),
        }
    }

    fn is_uncertain(self) -> bool {
        matches!(self, Presence::Perhaps | Presence::Silent(_) | Presence::Waking(_))
    }
}

impl Moment {
    fn clockwise(&self, from: Id) -> impl Iterator<Item = &(Peer, Presence)> {
        self.nodes.range(from..).chain(self.nodes.range(..from)).map(|(_, node)| node)
    }

    fn may_own(&self, key: Id, owner: Peer) -> bool {
        for (peer, presence) in self.clockwise(key) {
            match presence {
                Presence::Surely => return *peer == owner,
                uncertain if uncertain.is_uncertain() && *peer == owner => return true,
                _ => {}
            }
        }
        false
    }
}
