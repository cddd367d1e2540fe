//! Ring maintenance as one value: what a node does next, and what each outcome changes.
//!
//! [`Maintenance`] owns the neighbours of one node. Whoever runs it tells it what happened (a
//! timer fired, a peer asked, a connection broke), carries out the [`Effect`]s, and holds the one
//! conversation at a time that [`next_conversation`](Maintenance::next_conversation) hands out, back to
//! [`digest`](Maintenance::digest). Questions from others are answered at once from the state as
//! it is, also in the middle of a conversation: nobody ever waits for a busy node.

use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::time::Duration;

use super::acquaintances::Acquaintances;
use super::check_predecessor::{CheckPredecessor, Checked};
use super::conversation::{Conversation, Outcome};
use super::id::Bits;
use super::join::{Join, Joined};
use super::lookup::Lost;
use super::neighbors::Neighbors;
use super::peer::Peer;
use super::rectify::{Rectify, Verdict};
use super::reunite::{Reunion, Reunite};
use super::rpc::{Code, Dialect, Request, Response};
use super::stabilize::{Learned, Stabilize};

/// What a node is set up with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Setup {
    pub me: Peer,
    pub bits: Bits,
    /// The length of the successor list, at least 1.
    pub r: usize,
    /// Between two rounds of stabilize that change nothing.
    pub stabilize_every: Duration,
    /// Between two checks of the predecessor.
    pub check_predecessor_every: Duration,
    /// Nodes through which to join; none creates a ring.
    pub seeds: Vec<SocketAddrV4>,
}

/// The neighbours of a node, and everything that keeps them right.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Maintenance {
    setup: Setup,
    neighbors: Neighbors,
    standing: Standing,
    acquaintances: Acquaintances,
    wishes: Wishes,
    /// The kind of the last conversation; they take turns.
    last: Kind,
    /// Whether a conversation is being held: one at a time changes the state.
    holding: bool,
    /// The joiner that was given our list last and has not notified us since.
    admitted: Option<Peer>,
    /// Whether the last joiner that held up others never came: then the next holds up nobody.
    lapsed: bool,
    predecessor_dialect: Dialect,
    /// Whether the first successor is a plain peer that believes itself to be alone.
    lonely_successor: bool,
    /// Attempts to join, in a row, that came to nothing.
    attempts: u32,
    /// Conversations of each kind that no timer of this node called for, since the last pause.
    errands: [u32; TURNS.len()],
    /// Whether the pause goes on that renews the allowance for them.
    pausing: bool,
    /// The pause before the next acquaintance is asked.
    reunite_after: Duration,
    effects: Vec<Effect>,
}

/// How the node stands to its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Not a member yet: dead, as far as the ring is concerned.
    Joining,
    /// A member; alone if it has no successors.
    Member,
    /// A member that has lost its whole successor list. It names no owners, and asks everyone it
    /// remembers before it believes that it is alone.
    Isolated,
}

/// What is to be talked about as soon as possible.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
struct Wishes {
    join: Option<SocketAddrV4>,
    /// Notifiers to be judged, in the order in which they came; at most [`MAX_NOTIFIERS`].
    rectify: VecDeque<Peer>,
    stabilize: bool,
    /// A node of another ring, for the next stabilize.
    hint: Option<Peer>,
    check_predecessor: bool,
    reunite: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Join,
    Rectify,
    Stabilize,
    CheckPredecessor,
    Reunite,
}

/// Conversations take turns in this order, that of [`Kind`].
const TURNS: [Kind; 5] = [Kind::Join, Kind::Rectify, Kind::Stabilize, Kind::CheckPredecessor, Kind::Reunite];

/// What fires later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    Join,
    Stabilize,
    CheckPredecessor,
    Reunite,
    /// The first successor, to which no connection is kept, was heard too long ago.
    Unheard,
    /// The admitted joiner has used up its time.
    Admission,
    /// The pause is over that followed too many conversations of one kind.
    Pause,
}

impl Timer {
    pub const COUNT: usize = 7;

    /// The conversation that the timer calls for.
    fn kind(self) -> Option<Kind> {
        match self {
            Timer::Join => Some(Kind::Join),
            Timer::Stabilize => Some(Kind::Stabilize),
            Timer::CheckPredecessor => Some(Kind::CheckPredecessor),
            Timer::Reunite => Some(Kind::Reunite),
            Timer::Unheard | Timer::Admission | Timer::Pause => None,
        }
    }
}

/// What is to be done in the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Fire the timer once, about so much later; a timer of that name that was set before is not
    /// to fire any more.
    Wake(Timer, Duration),
    /// Say this; the answer does not matter.
    Tell(Peer, Request),
    /// The successor list or the predecessor changed.
    Changed,
    /// A node is dead: the finger table is to hear of it.
    Dead(Peer),
    /// An attempt to join has ended.
    Tried(Joined),
}

/// The joiner that was admitted last holds up others in the same gap for no longer than this: one
/// that lives notifies within a few round trips.
const ADMISSION: Duration = Duration::from_secs(1);

/// So many notifiers wait to be judged. Only the closest can win, so that more are not needed.
const MAX_NOTIFIERS: usize = 16;

/// So many conversations of one kind are held that no timer of this node called for: rounds that
/// follow a round that changed something, judgements of notifiers, whatever a nudge, an invitation, a
/// broken connection or a dead node calls for. Then such wishes wait for a pause to end, and only the
/// timers go on. A ring that settles needs fewer; whoever lies to a node, or keeps it busy, drives
/// it no faster than this.
const MAX_ERRANDS: u32 = 64;

/// How long that pause is.
const PAUSE: Duration = Duration::from_secs(1);

/// The pause before another attempt to join when the ring said "not now": a few round trips, and
/// longer each time.
const NOT_NOW: Backoff = Backoff { first: Duration::from_millis(10), most: Duration::from_millis(500) };

/// The same when the seed is joining, too: a chain of nodes that start together must not add up long
/// pauses.
const NOT_JOINED: Backoff = Backoff { first: Duration::from_millis(10), most: Duration::from_millis(100) };

/// The same when the seed did not answer: it may be starting.
const NO_ANSWER: Backoff = Backoff { first: Duration::from_millis(50), most: Duration::from_millis(500) };

/// The pause between questions to acquaintances: short after a loss, since whoever was lost may be
/// back soon; then longer and longer, since in a healthy ring they find nothing.
const REUNITE: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(32) };

/// The same in a ring of one, which has nothing better to do.
const REUNITE_ALONE: Duration = Duration::from_secs(2);

/// An isolated node makes this many rounds of attempts, of at most so many each, before it
/// believes that it is alone.
const ISOLATED_ROUNDS: u32 = 3;
const ISOLATED_ROUND: usize = 4;

struct Backoff {
    first: Duration,
    most: Duration,
}

impl Backoff {
    /// The pause after `failures` in a row.
    fn after(&self, failures: u32) -> Duration {
        let doubled = 2u32.saturating_pow(failures.saturating_sub(1));
        self.first.saturating_mul(doubled).min(self.most)
    }
}

impl Maintenance {
    /// A node that creates a ring, or is about to join that of its seeds.
    pub fn new(setup: Setup) -> Maintenance {
        let mut maintenance = Maintenance {
            neighbors: Neighbors::alone(setup.me, setup.r),
            standing: Standing::Joining,
            acquaintances: Acquaintances::new(setup.me.addr, setup.seeds.clone()),
            wishes: Wishes::default(),
            last: Kind::Reunite,
            holding: false,
            admitted: None,
            lapsed: false,
            predecessor_dialect: Dialect::Ours,
            lonely_successor: false,
            attempts: 0,
            errands: [0; TURNS.len()],
            pausing: false,
            reunite_after: REUNITE.first,
            effects: Vec::new(),
            setup,
        };
        match maintenance.acquaintances.take_turn() {
            Some(seed) => maintenance.wishes.join = Some(seed),
            None => maintenance.enter(),
        }
        maintenance
    }

    /// The successor list and the predecessor.
    pub fn neighbors(&self) -> &Neighbors {
        &self.neighbors
    }

    /// How the node stands to its ring.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// The neighbours from which a lookup may begin.
    pub fn vantage(&self) -> Result<&Neighbors, Lost> {
        match self.standing {
            Standing::Joining => Err(Lost::NotJoined),
            Standing::Isolated => Err(Lost::Isolated),
            Standing::Member => Ok(&self.neighbors),
        }
    }

    /// Takes the effects that have come up since the last time.
    pub fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// The same node without everything that only says when it does something, and whom it has met:
    /// for explorers of the state space, in which any timer may fire at any time. Its next
    /// conversation is the one whose timer is fired then, else the judgement of a notifier.
    pub fn without_pace(&self) -> Maintenance {
        Maintenance {
            setup: self.setup.clone(),
            neighbors: self.neighbors.clone(),
            standing: self.standing,
            acquaintances: Acquaintances::new(self.setup.me.addr, self.setup.seeds.clone()),
            wishes: Wishes {
                join: self.wishes.join,
                rectify: self.wishes.rectify.clone(),
                hint: self.wishes.hint,
                ..Wishes::default()
            },
            last: Kind::Rectify,
            holding: self.holding,
            admitted: self.admitted,
            lapsed: false,
            predecessor_dialect: self.predecessor_dialect,
            lonely_successor: self.lonely_successor,
            attempts: 0,
            errands: [0; TURNS.len()],
            pausing: false,
            reunite_after: REUNITE.first,
            effects: Vec::new(),
        }
    }

    /// Whether notifiers wait to be judged.
    pub fn is_notified(&self) -> bool {
        !self.wishes.rectify.is_empty()
    }

    /// Whether it is alone and has found a ring to join.
    pub fn is_bound_elsewhere(&self) -> bool {
        self.wishes.join.is_some()
    }

    /// The joiner that was given the list last, while it holds up others.
    pub fn admitted(&self) -> Option<Peer> {
        self.admitted
    }

    /// Answers any question but `FindSuccessor`, which a lookup answers; `plain` says whether the
    /// caller is a plain peer.
    pub fn serve(&mut self, request: &Request, plain: bool) -> Result<Response, Code> {
        if self.standing == Standing::Joining {
            return Err(Code::NotJoined);
        }
        match request {
            Request::FindSuccessor { .. } => Err(Code::BadRequest),
            Request::CheckPredecessor => Ok(Response::Alive { plain: false, alone: !plain && self.is_alone() }),
            Request::Notify { me: notifier } => {
                self.notified(*notifier);
                Ok(Response::Done)
            }
            Request::Nudge { me: successor } => {
                self.wishes.stabilize |= self.neighbors.successor() == Some(*successor);
                Ok(Response::Done)
            }
            Request::Invite { me: member } => {
                if self.is_alone() && self.neighbors.predecessor().is_none() {
                    self.wishes.join = Some(member.addr);
                }
                Ok(Response::Done)
            }
            _ if self.standing == Standing::Isolated => Err(Code::Retry),
            Request::GetPredecessor => Ok(Response::Predecessor {
                predecessor: self.neighbors.predecessor(),
                successors: (!plain).then(|| self.neighbors.successors().to_vec()),
            }),
            Request::GetSuccessorList { joiner } => {
                if let Some(joiner) = joiner {
                    self.admit(*joiner)?;
                }
                Ok(Response::SuccessorList {
                    successors: self.neighbors.successors().to_vec(),
                    predecessor: joiner.map(|_| self.neighbors.predecessor()),
                    // The plain peer that asks for our list is most likely our predecessor.
                    dialect: match self.predecessor_dialect {
                        _ if !plain => Dialect::Ours,
                        Dialect::PlainItselfFirst if self.neighbors.predecessor().is_some() => {
                            Dialect::PlainItselfFirst
                        }
                        // A ring of one shows no dialect. In this form either finds us in the list;
                        // in the other one some would copy themselves, and stay alone.
                        _ if self.lonely_successor => Dialect::PlainItselfFirst,
                        _ => Dialect::Plain,
                    },
                })
            }
        }
    }

    /// Nodes that a lookup found dead.
    pub fn forget(&mut self, dead: &[Peer]) {
        for peer in dead {
            self.bury(*peer);
        }
    }

    /// A kept connection to `addr` broke: whoever lived there may have died.
    pub fn severed(&mut self, addr: SocketAddrV4) {
        if self.neighbors.successor().is_some_and(|head| head.addr == addr) {
            self.neighbors.doubt_successor();
            self.wishes.stabilize = true;
        }
        if self.neighbors.predecessor().is_some_and(|predecessor| predecessor.addr == addr) {
            self.wishes.check_predecessor = true;
        }
    }

    /// A timer fired.
    pub fn fired(&mut self, timer: Timer) {
        if let Some(kind) = timer.kind() {
            let errands = &mut self.errands[kind as usize];
            *errands = errands.saturating_sub(1);
        }
        match timer {
            Timer::Join => match self.acquaintances.take_turn() {
                Some(seed) => self.wishes.join = Some(seed),
                None => self.be_alone(),
            },
            Timer::Stabilize => self.wishes.stabilize = true,
            Timer::CheckPredecessor => self.wishes.check_predecessor = true,
            Timer::Reunite => self.wishes.reunite = true,
            Timer::Unheard => self.neighbors.doubt_successor(),
            Timer::Admission => self.lapsed = self.admitted.take().is_some(),
            Timer::Pause => {
                self.pausing = false;
                self.errands = [0; TURNS.len()];
            }
        }
    }

    /// The conversation to hold now, if any. It is held alone: there is no other until its outcome
    /// was digested.
    pub fn next_conversation(&mut self) -> Option<Conversation> {
        if self.holding {
            return None;
        }
        let last = TURNS.iter().position(|kind| *kind == self.last).unwrap_or_default();
        let mut turns = TURNS.into_iter().cycle().skip(last + 1).take(TURNS.len());
        let (kind, conversation) = turns.find_map(|kind| Some((kind, self.begin(kind)?)))?;
        self.errands[kind as usize] += 1;
        if !self.may(kind) && !self.pausing {
            self.pausing = true;
            self.wake(Timer::Pause, PAUSE);
        }
        self.last = kind;
        self.holding = true;
        Some(conversation)
    }

    /// Whether another conversation of this kind may be held before the next pause.
    fn may(&self, kind: Kind) -> bool {
        self.errands[kind as usize] < MAX_ERRANDS
    }

    fn begin(&mut self, kind: Kind) -> Option<Conversation> {
        let Setup { me, r, bits, .. } = self.setup;
        match (kind, self.standing) {
            _ if !self.may(kind) => None,
            (Kind::Join, _) => {
                let seed = self.wishes.join.take()?;
                let unbound = self.standing != Standing::Member || self.is_alone();
                unbound.then(|| Conversation::Join(Join::new(me, r, me.id.next(bits), seed)))
            }
            (_, Standing::Joining) => None,
            (Kind::Rectify, _) => {
                let notifier = self.wishes.rectify.pop_front()?;
                Some(Conversation::Rectify(Rectify::new(&self.neighbors, notifier)))
            }
            (Kind::CheckPredecessor, _) => {
                if !std::mem::take(&mut self.wishes.check_predecessor) {
                    return None;
                }
                self.wake(Timer::CheckPredecessor, self.setup.check_predecessor_every);
                CheckPredecessor::new(&self.neighbors).map(Conversation::CheckPredecessor)
            }
            (_, Standing::Isolated) => None,
            (Kind::Stabilize, _) => std::mem::take(&mut self.wishes.stabilize)
                .then(|| Conversation::Stabilize(Stabilize::new(&self.neighbors, self.wishes.hint.take()))),
            (Kind::Reunite, _) => {
                // Whoever was lost is asked first, and may be as silent as before: meanwhile a list with
                // gaps would stay as it is, and its next entry unnoticed if it is dead as well.
                let repairing = self.wishes.stabilize && self.neighbors.is_short();
                if repairing || !std::mem::take(&mut self.wishes.reunite) {
                    return None;
                }
                let Some(acquaintance) = self.acquaintances.take_turn() else {
                    self.wake(Timer::Reunite, REUNITE_ALONE);
                    return None;
                };
                Some(Conversation::Reunite(Reunite::new(&self.neighbors, acquaintance)))
            }
        }
    }

    /// Applies the outcome of the conversation that was held, to the state as it is now.
    pub fn digest(&mut self, outcome: Outcome) {
        self.holding = false;
        match outcome {
            Outcome::Join(joined) => self.tried(joined),
            Outcome::Rectify(verdict) => self.rectified(verdict),
            Outcome::Stabilize(learned) => self.stabilized(learned),
            Outcome::CheckPredecessor(checked) => self.checked(checked),
            Outcome::Reunite(reunion) => self.reunited(reunion),
        }
    }

    fn tried(&mut self, joined: Joined) {
        self.effects.push(Effect::Tried(joined.clone()));
        if let Joined::Member(list) = joined {
            self.neighbors = Neighbors::alone(self.setup.me, self.setup.r);
            self.neighbors.adopt(list);
            self.enter();
            return;
        }
        self.attempts = self.attempts.saturating_add(1);
        let (known, round) = (self.acquaintances.count() as u32, self.acquaintances.count().min(ISOLATED_ROUND) as u32);
        let pause = match (self.standing, joined) {
            (Standing::Member, _) => return,
            (Standing::Joining, Joined::NoAnswer) => NO_ANSWER.after(self.attempts.div_ceil(known.max(1))),
            (Standing::Joining, Joined::NotJoined) => NOT_JOINED.after(self.attempts),
            (Standing::Joining, _) => NOT_NOW.after(self.attempts),
            (Standing::Isolated, _) if self.attempts >= ISOLATED_ROUNDS * round => return self.be_alone(),
            (Standing::Isolated, _) if !self.attempts.is_multiple_of(round) => Duration::ZERO,
            (Standing::Isolated, _) => NO_ANSWER.most,
        };
        self.wake(Timer::Join, pause);
    }

    /// Becomes a member, with neighbours as they are.
    fn enter(&mut self) {
        self.standing = Standing::Member;
        self.attempts = 0;
        self.admitted = None;
        self.wishes.stabilize = true;
        self.meet_neighbors();
        self.changed();
        self.wake(Timer::CheckPredecessor, self.setup.check_predecessor_every);
        self.wake(Timer::Reunite, self.reunite_after);
    }

    fn isolate(&mut self) {
        self.standing = Standing::Isolated;
        self.attempts = 0;
        self.wake(Timer::Join, Duration::ZERO);
    }

    /// Nobody answers: a ring of one again. A predecessor that has answered lately is kept: it is
    /// the first to try as a successor.
    fn be_alone(&mut self) {
        let predecessor = self.neighbors.predecessor();
        self.neighbors = Neighbors::alone(self.setup.me, self.setup.r);
        if let Some(predecessor) = predecessor {
            self.neighbors.set_predecessor(predecessor);
        }
        self.reunite_after = REUNITE_ALONE;
        self.enter();
    }

    fn stabilized(&mut self, learned: Learned) {
        let before = self.neighbors.successors().to_vec();
        for dead in learned.dead {
            self.bury(dead);
            if self.neighbors.drop_successor(dead) {
                self.miss(dead);
            }
        }
        if let Some(list) = learned.list {
            self.neighbors.adopt(list);
            self.meet_neighbors();
            self.lonely_successor = learned.plain && learned.alone;
            if learned.plain {
                self.wake(Timer::Unheard, self.setup.stabilize_every);
            }
        }
        let changed = self.neighbors.successors() != before;
        if changed {
            self.changed();
        }
        match self.neighbors.successor() {
            Some(head) => self.effects.push(Effect::Tell(head, Request::Notify { me: self.setup.me })),
            None if changed => return self.isolate(),
            None => {}
        }
        self.wishes.stabilize |= changed;
        if !changed || !self.may(Kind::Stabilize) {
            self.wake(Timer::Stabilize, self.setup.stabilize_every);
        }
    }

    fn notified(&mut self, notifier: Peer) {
        if notifier.id == self.setup.me.id || self.wishes.rectify.contains(&notifier) {
            return;
        }
        self.wishes.rectify.push_back(notifier);
        if self.wishes.rectify.len() > MAX_NOTIFIERS {
            // The farthest has the least to hope for.
            let me = self.setup.me.id;
            let queue = self.wishes.rectify.iter().enumerate();
            if let Some((farthest, _)) = queue.min_by_key(|(_, peer)| peer.id.clockwise_from(me)) {
                self.wishes.rectify.remove(farthest);
            }
        }
    }

    fn rectified(&mut self, verdict: Verdict) {
        let Verdict { notifier, answered, dead } = verdict;
        if let Some(dead) = dead {
            self.bury(dead);
        }
        if self.admitted == Some(notifier) {
            self.admitted = None;
            self.lapsed = !answered;
        }
        if !answered || !self.neighbors.is_closer_predecessor(notifier) {
            return;
        }
        if let Some(old) = self.neighbors.predecessor() {
            self.effects.push(Effect::Tell(old, Request::Nudge { me: self.setup.me }));
        }
        self.neighbors.set_predecessor(notifier);
        self.acquaintances.meet(notifier.addr);
        // Farther notifiers lose against a predecessor that has just answered.
        let Maintenance { wishes, neighbors, .. } = self;
        wishes.rectify.retain(|peer| neighbors.is_closer_predecessor(*peer));
        self.predecessor_dialect = Dialect::Ours;
        self.wishes.check_predecessor = true;
        self.wishes.stabilize |= self.is_alone();
        self.changed();
    }

    fn checked(&mut self, checked: Checked) {
        match checked {
            Checked::Alive(peer, dialect) if self.neighbors.predecessor() == Some(peer) => {
                self.predecessor_dialect = dialect;
            }
            Checked::Dead(peer) => self.bury(peer),
            Checked::Alive(..) | Checked::Unclear => {}
        }
    }

    fn reunited(&mut self, reunion: Reunion) {
        self.reunite_after = match reunion {
            _ if self.is_alone() => REUNITE_ALONE,
            Reunion::Nothing => (self.reunite_after * 2).min(REUNITE.most),
            _ => REUNITE.first,
        };
        match reunion {
            Reunion::Nothing => {}
            Reunion::JoinThrough(acquaintance) => self.wishes.join = Some(acquaintance),
            Reunion::Candidate(peer) => {
                self.wishes.hint = Some(peer);
                self.wishes.stabilize = true;
            }
            Reunion::Alone(peer) => self.effects.push(Effect::Tell(peer, Request::Invite { me: self.setup.me })),
        }
        self.wake(Timer::Reunite, self.reunite_after);
    }

    /// Gives a joiner leave to become a member right before this node. One at a time in one gap:
    /// joiners that were let in together would find each other only after many rounds.
    fn admit(&mut self, joiner: Peer) -> Result<(), Code> {
        if joiner.id == self.setup.me.id {
            return Err(Code::IdTaken);
        }
        // Our predecessor is back as a joiner, it seems: then it was dead. But anybody can say so.
        if self.neighbors.predecessor() == Some(joiner) {
            self.wishes.check_predecessor = true;
            return Err(Code::Retry);
        }
        // A member that does not know who comes before it does not know what its gap is: somebody may
        // have come in between.
        let predecessor = self.neighbors.predecessor();
        let gap_unknown = predecessor.is_none() && !self.is_alone();
        if self.neighbors.is_short() || gap_unknown {
            return Err(Code::Retry);
        }
        let belongs_here =
            predecessor.is_none_or(|old| old.id == joiner.id || self.neighbors.is_closer_predecessor(joiner));
        if !belongs_here {
            return Ok(());
        }
        match self.admitted {
            Some(other) if other != joiner && !self.lapsed => Err(Code::Retry),
            _ => {
                self.admitted = Some(joiner);
                self.wake(Timer::Admission, ADMISSION);
                Ok(())
            }
        }
    }

    /// Takes a dead node out of the neighbours, and lets the fingers know. The last successor stays
    /// until stabilize itself finds it dead: without it the node falls out of the ring.
    fn bury(&mut self, dead: Peer) {
        let last = self.neighbors.successors() == [dead];
        if last {
            self.neighbors.doubt_successor();
        }
        let successor = !last && self.neighbors.drop_successor(dead);
        let predecessor = self.neighbors.drop_predecessor(dead);
        self.wishes.stabilize |= successor || last;
        self.effects.push(Effect::Dead(dead));
        if successor || predecessor {
            self.miss(dead);
            self.changed();
        }
    }

    /// Somebody was lost, and may be back soon.
    fn miss(&mut self, lost: Peer) {
        self.acquaintances.lose(lost.addr);
        if self.reunite_after > REUNITE.first {
            self.reunite_after = REUNITE.first;
            self.wake(Timer::Reunite, self.reunite_after);
        }
    }

    fn is_alone(&self) -> bool {
        self.standing == Standing::Member && self.neighbors.successor().is_none()
    }

    fn meet_neighbors(&mut self) {
        if let Some(head) = self.neighbors.successor() {
            self.acquaintances.meet(head.addr);
        }
    }

    fn changed(&mut self) {
        if !self.effects.contains(&Effect::Changed) {
            self.effects.push(Effect::Changed);
        }
    }

    fn wake(&mut self, timer: Timer, after: Duration) {
        self.effects.push(Effect::Wake(timer, after));
    }
}

#[cfg(test)]
mod tests;
