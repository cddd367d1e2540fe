//! One node of the model: the production types, and their reaction to each event.
//!
//! Nothing here decides for the protocol. [`Local`] holds a [`Maintenance`] and its current
//! conversation, hands them each message, and keeps their output until the explorer lets it arrive.

use std::collections::BTreeSet;
use std::time::Duration;

use chord::protocol::conversation::{Conversation, Outcome};
use chord::protocol::join::Joined;
use chord::protocol::lookup::{Lookup, Query, Scope};
use chord::protocol::maintenance::{Effect, Maintenance, Setup, Standing, Timer};
use chord::protocol::neighbors::{Neighbors, cut};
use chord::protocol::patient::Patient;
use chord::protocol::peer::Peer;
use chord::protocol::procedure::{Answer, Procedure, Step, Target};
use chord::protocol::rpc::{Code, Dialect, Request, Response};

use super::circle::{BITS, Place, named, peer, place};
use super::deviation::Deviation;

/// One node, at place 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Local {
    /// No node is up there. A node that has begun to join is in this state again after a failed attempt:
    /// it keeps nothing of it, and to the ring it is dead.
    Down,
    Up(Box<Up>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Up {
    node: Maintenance,
    talk: Option<Talk>,
    /// The peers to which notifications are under way.
    notifying: BTreeSet<Peer>,
    /// The peers to be told of a node that belongs right behind them, each with that node.
    hinting: BTreeSet<(Peer, Peer)>,
    /// Whether deaths explain a successor list of fewer than r entries: an entry was dropped since
    /// the list was adopted, or the list was adopted from a node for which this is true.
    reduced: bool,
}

/// The current conversation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Talk {
    kind: Kind,
    conversation: Patient<Conversation>,
    open: Open,
    /// The last received list that may be adopted.
    adoptable: Option<Coming>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Coming {
    /// The list, with its owner in front.
    list: Vec<Peer>,
    /// Whether deaths explain its missing entries.
    reduced: bool,
    /// Whether the node before the joiner's place has confirmed the place.
    confirmed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Open {
    Asked(Target, Request),
    Probed(Target),
    Answered(Answer),
}

/// An answer as its sender sends it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Said {
    pub answer: Answer,
    /// Whether deaths explain the missing entries of the responder's list.
    pub reduced: bool,
}

/// The conversations, named as in scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Join,
    Stabilize,
    Check,
    Rectify,
    Reunite,
    /// Not a conversation, but the end of many: an isolated node that no ring admits decides that it is
    /// alone.
    GiveUp,
}

/// The request that waits to arrive.
#[derive(Clone, Debug)]
pub enum Waiting {
    /// To this node.
    Question(Place, Request),
    Probe(Place),
    /// A lookup, to any node that can name the owner.
    Lookup(Request),
}

/// The parameters of all nodes.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The length of the successor lists.
    pub r: usize,
    pub deviation: Option<Deviation>,
}

impl Rules {
    fn setup(self, seeds: Vec<Peer>) -> Setup {
        Setup {
            me: peer(0),
            bits: BITS,
            r: self.r,
            stabilize_every: Duration::from_secs(1),
            check_predecessor_every: Duration::from_secs(1),
            seeds: seeds.iter().map(|seed| seed.addr).collect(),
            creates: true,
        }
    }

    /// A ring of one.
    pub fn alone(self) -> Local {
        settled(Up::new(Maintenance::new(self.setup(Vec::new()))))
    }

    /// A member with these neighbours, as the protocol itself makes it. It remembers an acquaintance;
    /// which one does not matter, since any member may answer.
    pub fn member(self, successors: &[Place], predecessor: Place) -> Local {
        let mut node = Maintenance::new(self.setup(vec![peer(1)]));
        node.next_conversation();
        node.digest(Outcome::Join(Joined::Member(successors.iter().map(|place| peer(*place)).collect())));
        node = node.without_pace();
        node.serve(&Request::Notify { me: peer(predecessor) }, false).expect("a member hears");
        let Some(Conversation::Rectify(mut rectify)) = node.next_conversation() else {
            unreachable!("a notifier is judged")
        };
        rectify.start();
        let Step::Done(verdict) = rectify.resume(Answer::Alive) else { unreachable!("it has answered") };
        node.digest(Outcome::Rectify(verdict));
        let mut up = Up::new(node);
        up.node.effects();
        settled(up)
    }

    /// The node after it has begun a conversation, if it has one to begin.
    pub fn begin(self, local: &Local, kind: Kind) -> Option<Local> {
        let up = match (local, kind) {
            (Local::Down, Kind::Join) => {
                let mut node = Maintenance::new(self.setup(vec![peer(1)]));
                let conversation = node.next_conversation()?;
                return Some(self.hold(Up::new(node), kind, conversation));
            }
            (Local::Up(up), _) if up.talk.is_none() => up,
            _ => return None,
        };
        let mut up = (**up).clone();
        let neighbors = up.node.neighbors();
        match kind {
            Kind::Join if up.node.standing() == Standing::Isolated => up.node.fired(Timer::Join),
            Kind::Join if up.node.is_bound_elsewhere() => {}
            Kind::Join => return None,
            Kind::Stabilize
                if self.deviation == Some(Deviation::AloneAsksNobody) && neighbors.successor().is_none() =>
            {
                return None;
            }
            Kind::Stabilize => up.node.fired(Timer::Stabilize),
            Kind::Check if neighbors.predecessor().is_some() => up.node.fired(Timer::CheckPredecessor),
            Kind::Rectify if up.node.is_notified() => {}
            Kind::Check | Kind::Rectify => return None,
            Kind::Reunite => up.node.fired(Timer::Reunite),
            Kind::GiveUp if up.node.standing() == Standing::Isolated => return Some(given_up(up)),
            Kind::GiveUp => return None,
        }
        let conversation = up.node.next_conversation()?;
        // An isolated node has more urgent conversations than those of its timers.
        let called_for = match kind {
            Kind::Join => matches!(conversation, Conversation::Join(_)),
            Kind::Stabilize => matches!(conversation, Conversation::Stabilize(_)),
            Kind::Check => matches!(conversation, Conversation::CheckPredecessor(_)),
            Kind::Rectify => matches!(conversation, Conversation::Rectify(_)),
            Kind::Reunite => matches!(conversation, Conversation::Reunite(_)),
            Kind::GiveUp => false,
        };
        called_for.then(|| self.hold(up, kind, conversation))
    }

    fn hold(self, mut up: Up, kind: Kind, conversation: Conversation) -> Local {
        let mut conversation = Patient::new(conversation);
        let step = conversation.start();
        let talk = Talk { kind, conversation, open: Open::Answered(Answer::Silent), adoptable: None };
        self.follow(&mut up, talk, step);
        settled(up)
    }

    fn follow(self, up: &mut Up, mut talk: Talk, step: Step<Outcome>) {
        talk.open = match step {
            Step::Ask(target, request) => Open::Asked(target, request),
            Step::Probe(target) | Step::Suspect(target) => Open::Probed(target),
            Step::Wait | Step::Rest { .. } => unreachable!("no node is slow"),
            Step::Done(outcome) => return self.digest(up, talk.adoptable, outcome),
        };
        up.talk = Some(talk);
    }

    fn digest(self, up: &mut Up, adoptable: Option<Coming>, mut outcome: Outcome) {
        if let Some(deviation) = self.deviation {
            deviation.bend(up.node.neighbors(), &mut outcome);
        }
        let adopted = match &outcome {
            Outcome::Join(Joined::Member(_)) => true,
            Outcome::Stabilize(learned) => learned.list.is_some(),
            _ => false,
        };
        up.node.digest(outcome);
        if adopted {
            let thin = up.node.neighbors().successors().len() < self.r;
            up.reduced = thin && adoptable.is_some_and(|coming| coming.reduced);
        }
    }

    /// The messages of a node that leaves, each with its receiver.
    pub fn leave(self, local: &Local) -> Vec<(Place, Request)> {
        let Local::Up(up) = local else { return Vec::new() };
        let told = up.node.clone().leave().into_iter();
        told.map(|(to, request)| (place(to), request)).collect()
    }

    /// The answer of a node to a request of another node.
    pub fn serve(self, local: &Local, request: &Request) -> (Local, Said) {
        let Local::Up(up) = local else {
            return (Local::Down, Said { answer: Answer::Gone, reduced: false });
        };
        let mut up = (**up).clone();
        let answer = up.node.serve(request, false).map_or_else(Answer::Refused, Answer::Reply);
        let reduced = up.reduced;
        (settled(up), Said { answer, reduced })
    }

    /// The answer of a node to a probe.
    pub fn probed(self, local: &Local) -> Said {
        let (_, said) = self.serve(local, &Request::CheckPredecessor);
        let answer = match said.answer {
            _ if self.deviation == Some(Deviation::UnseenPredecessor) => Answer::Alive,
            Answer::Reply(_) => Answer::Alive,
            Answer::Refused(code) if code != Code::NotJoined => Answer::Alive,
            other => other,
        };
        Said { answer, reduced: false }
    }

    /// The answer of a member to a lookup, if it can name the owner or knows that it can't; `lives` says
    /// which nodes answer its pings.
    pub fn look_up(self, local: &Local, request: &Request, lives: impl Fn(Place) -> bool) -> Option<Said> {
        let (Local::Up(up), Request::FindSuccessor { key, hops, want_path }) = (local, request) else { return None };
        let query = Query { key: *key, scope: Scope::Ring { hops: *hops }, want_path: *want_path };
        let mut lookup = Lookup::new(query, up.node.vantage().ok()?.clone(), Vec::new());
        let mut step = lookup.start();
        loop {
            match step {
                Step::Done(finding) => return Some(Said { answer: named(finding.owner()), reduced: false }),
                Step::Ask(Target::Peer(peer), Request::CheckPredecessor) => {
                    let pong = Answer::Reply(Response::Alive { plain: false, alone: false });
                    step = lookup.resume(if lives(place(peer)) { pong } else { Answer::Gone });
                }
                _ => return None,
            }
        }
    }

    /// The node once the answer to its request is under way.
    pub fn answered(self, local: &Local, said: &Said) -> Local {
        let Local::Up(up) = local else { unreachable!("it has asked") };
        let mut up = (**up).clone();
        let Some(talk) = &mut up.talk else { unreachable!("it has asked") };
        if let Open::Asked(Target::Peer(of), request) = &talk.open {
            let before = talk.adoptable.take();
            talk.adoptable = match offer(talk.kind, *of, request, &said.answer, before.as_ref()) {
                Offer::List(list) => Some(Coming {
                    list: std::iter::once(*of).chain(list).collect(),
                    reduced: said.reduced,
                    confirmed: false,
                }),
                Offer::None => None,
                Offer::AsBefore => before,
                Offer::Confirmed => before.map(|coming| Coming { confirmed: true, ..coming }),
            };
        }
        talk.open = Open::Answered(said.answer.clone());
        Local::Up(Box::new(up))
    }

    /// The node after it has digested the answer.
    pub fn resume(self, local: &Local) -> Option<Local> {
        let Local::Up(up) = local else { return None };
        let mut up = (**up).clone();
        let Some(Talk { open: Open::Answered(answer), .. }) = &up.talk else { return None };
        let answer = answer.clone();
        let mut talk = up.talk.take()?;
        let mut step = talk.conversation.resume(answer);
        if let (Some(deviation), Step::Ask(_, request), Some(coming)) = (self.deviation, &step, &talk.adoptable)
            && let Some(list) = deviation.presumed(talk.kind, request, &coming.list)
        {
            let successors = Response::SuccessorList { successors: list, predecessor: None, dialect: Dialect::Ours };
            step = talk.conversation.resume(Answer::Reply(successors));
        }
        self.follow(&mut up, talk, step);
        Some(settled(up))
    }

    /// The node after a lookup of its own found another one dead.
    pub fn mark_dead(self, local: &Local, dead: Place) -> Option<Local> {
        let Local::Up(up) = local else { return None };
        let (neighbors, dead) = (up.node.neighbors(), peer(dead));
        if !neighbors.successors().contains(&dead) && neighbors.predecessor() != Some(dead) {
            return None;
        }
        let mut up = (**up).clone();
        up.node.forget(&[dead]);
        Some(settled(up))
    }

    /// The node after the time of the joiner that it has admitted has run out.
    pub fn admission_ends(self, local: &Local) -> Option<Local> {
        let Local::Up(up) = local else { return None };
        up.node.admitted()?;
        let mut up = (**up).clone();
        up.node.fired(Timer::Admission);
        Some(settled(up))
    }
}

/// An isolated node after all its questions stayed without an answer.
fn given_up(mut up: Up) -> Local {
    while up.node.standing() == Standing::Isolated {
        up.node.fired(Timer::Join);
        up.node.next_conversation();
        up.node.digest(Outcome::Join(Joined::NoAnswer));
    }
    settled(up)
}

/// Collects the messages that the node sends, and drops the state that only sets its pace.
fn settled(mut up: Up) -> Local {
    for effect in up.node.effects() {
        // A nudge only advances a stabilize, which may begin at any time here; an invitation only
        // saves a ring of one a question.
        match effect {
            Effect::Tell(peer, Request::Notify { .. }) => drop(up.notifying.insert(peer)),
            Effect::Tell(peer, Request::Meet { node, .. }) => drop(up.hinting.insert((peer, node))),
            _ => {}
        }
    }
    let adoptable = up.talk.as_ref().and_then(|talk| talk.adoptable.as_ref()?.list.first());
    up.node = up.node.without_pace().doubting_only(adoptable.map(|head| head.addr));
    up.reduced |= up.node.neighbors().is_short();
    if up.node.standing() == Standing::Joining && up.talk.is_none() {
        return Local::Down;
    }
    Local::Up(Box::new(up))
}

/// What an answer means for the list that the asking node may adopt.
enum Offer {
    List(Vec<Peer>),
    /// No list may be adopted any more.
    None,
    AsBefore,
    Confirmed,
}

fn offer(kind: Kind, of: Peer, request: &Request, answer: &Answer, before: Option<&Coming>) -> Offer {
    match (kind, request, answer) {
        (Kind::Stabilize, _, Answer::Reply(Response::Predecessor { successors: Some(list), .. }))
        | (Kind::Stabilize, _, Answer::Reply(Response::SuccessorList { successors: list, .. })) => {
            Offer::List(list.clone())
        }
        // A joiner that does not belong right before this node walks back.
        (Kind::Join, _, Answer::Reply(Response::SuccessorList { successors, predecessor: Some(predecessor), .. })) => {
            let me = peer(0);
            let belongs = |before: &Peer| before.id == me.id || me.id.in_open(before.id, of.id);
            if predecessor.as_ref().is_none_or(belongs) { Offer::List(successors.clone()) } else { Offer::None }
        }
        // The node before the place confirms the place, or does not; its own list is not adopted.
        (
            Kind::Join,
            Request::GetSuccessorList { joiner: None },
            Answer::Reply(Response::SuccessorList { successors, .. }),
        ) if successors.first() == before.and_then(|coming| coming.list.first()) => Offer::Confirmed,
        (Kind::Join, _, _) => Offer::None,
        _ => Offer::AsBefore,
    }
}

impl Up {
    fn new(node: Maintenance) -> Up {
        Up { node, talk: None, notifying: BTreeSet::new(), hinting: BTreeSet::new(), reduced: false }
    }
}

impl Local {
    /// The neighbours of a member.
    pub fn neighbors(&self) -> Option<&Neighbors> {
        match self {
            Local::Up(up) if up.node.standing() != Standing::Joining => Some(up.node.neighbors()),
            _ => None,
        }
    }

    pub fn standing(&self) -> Option<Standing> {
        match self {
            Local::Up(up) => Some(up.node.standing()),
            Local::Down => None,
        }
    }

    pub fn is_down(&self) -> bool {
        *self == Local::Down
    }

    /// Whether a notifier waits to be judged.
    pub fn is_notified(&self) -> bool {
        matches!(self, Local::Up(up) if up.node.is_notified())
    }

    pub fn is_talking(&self) -> bool {
        matches!(self, Local::Up(up) if up.talk.is_some())
    }

    /// Whether deaths explain the missing entries of its list.
    pub fn is_reduced(&self) -> bool {
        matches!(self, Local::Up(up) if up.reduced)
    }

    /// The places to which its notifications are under way.
    pub fn notifying(&self) -> Vec<Place> {
        match self {
            Local::Up(up) => up.notifying.iter().map(|peer| place(*peer)).collect(),
            Local::Down => Vec::new(),
        }
    }

    /// The places that it will tell of a node that belongs right behind them, each with that node.
    pub fn hinting(&self) -> Vec<(Place, Place)> {
        match self {
            Local::Up(up) => up.hinting.iter().map(|(to, node)| (place(*to), place(*node))).collect(),
            Local::Down => Vec::new(),
        }
    }

    /// The node when it has told `to` of `node`.
    pub fn hinted(&self, to: Place, node: Place) -> Local {
        let Local::Up(up) = self else { unreachable!("it has told") };
        let mut up = (**up).clone();
        up.hinting.remove(&(peer(to), peer(node)));
        Local::Up(Box::new(up))
    }

    /// The node when its notification to `to` has arrived.
    pub fn notified(&self, to: Place) -> Local {
        let Local::Up(up) = self else { unreachable!("it has notified") };
        let mut up = (**up).clone();
        up.notifying.remove(&peer(to));
        Local::Up(Box::new(up))
    }

    /// The request that waits to arrive.
    pub fn waiting(&self) -> Option<Waiting> {
        let Local::Up(up) = self else { return None };
        match &up.talk.as_ref()?.open {
            Open::Asked(_, lookup @ Request::FindSuccessor { .. }) => Some(Waiting::Lookup(lookup.clone())),
            Open::Asked(Target::Peer(to), request) => Some(Waiting::Question(place(*to), request.clone())),
            Open::Probed(Target::Peer(to)) => Some(Waiting::Probe(place(*to))),
            Open::Asked(Target::Address(_), _) | Open::Probed(Target::Address(_)) => {
                unreachable!("an address is only looked up at")
            }
            Open::Answered(_) => None,
        }
    }

    /// The list that a conversation may adopt: as received, with its owner in front; and as it
    /// would be adopted. Once the place of a joiner is confirmed the joiner stands before the list: from then
    /// on it passes over nodes that join in between; the joiner's becoming a member changes nothing in that.
    pub fn adoptable(&self, r: usize) -> Option<(Vec<Place>, Vec<Place>)> {
        let Local::Up(up) = self else { return None };
        let Coming { list, confirmed, .. } = up.talk.as_ref()?.adoptable.as_ref()?;
        let joiner = confirmed.then_some(0);
        let whole = joiner.into_iter().chain(list.iter().map(|peer| place(*peer))).collect();
        Some((whole, cut(peer(0), r, list.iter().copied()).into_iter().map(place).collect()))
    }
}
