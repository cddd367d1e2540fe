//! Ring maintenance as one value: what a node does next, and what each outcome changes.
//!
//! [`Maintenance`] owns the neighbours of one node. Its runner tells it what happened (a timer fired, a peer asked, a
//! connection broke), carries out the [`Effect`]s, and holds one conversation at a time:
//! [`next_conversation`](Maintenance::next_conversation) hands it out, [`digest`](Maintenance::digest) takes its
//! outcome. Questions of other nodes are answered at once from the current state, also during a conversation: no caller
//! ever waits for a busy node.
//!
//! This file says what a node is and which conversation is next; `answers` what it says to others, and `outcomes` what
//! it learns from them; `losses` what it does when neighbours are dead, or may be; `backoff` how long it waits;
//! `reunion` how rings that know of each other become one; `leaving` how it ends.

mod answers;
mod backoff;
mod leaving;
mod losses;
mod outcomes;
mod reunion;

use std::collections::VecDeque;
use std::time::Duration;

use backoff::{Backoff, REUNITE_ALONE, reunite};
pub use leaving::LEAVING;
use losses::Doubts;

use super::acquaintances::Acquaintances;
use super::addr::Addr;
use super::awaken::Awaken;
use super::check_predecessor::CheckPredecessor;
use super::conversation::Conversation;
use super::id::Bits;
use super::join::{Join, Joined, Through};
use super::lookup::LookupFailure;
use super::neighbors::Neighbors;
use super::peer::Peer;
use super::rectify::Rectify;
use super::reunite::Reunite;
use super::rpc::{Dialect, Request};
use super::spread::News;
use super::stabilize::Stabilize;

/// What a node is set up with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Setup {
    /// The node itself, at the address that it advertises.
    pub me: Peer,
    /// The size of the circle, the same for all nodes of a ring.
    pub bits: Bits,
    /// The length of the successor list, at least 1.
    pub r: usize,
    /// Between two rounds of stabilize that change nothing.
    pub stabilize_every: Duration,
    /// Between two checks of the predecessor.
    pub check_predecessor_every: Duration,
    /// Nodes through which to join.
    pub seeds: Vec<Addr>,
    /// Whether it creates a ring if it has no seeds; else it waits until it [knows](Maintenance::know_seeds) some.
    pub creates: bool,
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
    /// What the conversation that is held need not know yet.
    doubts: Doubts,
    /// The joiner that was given our list last and has not notified us since.
    admitted: Option<Peer>,
    /// Whether the last joiner that held up others never came: then the next one holds up no other.
    lapsed: bool,
    /// How the predecessor speaks, once it has shown it; none also if that is [`Dialect::Ours`].
    predecessor_dialect: Option<Dialect>,
    /// Whether the first successor is a plain peer that believes itself to be alone.
    lonely_successor: bool,
    /// Entries of the list that this node had found dead when it adopted the list: another node still takes them for
    /// alive, or reaches them where this one can't.
    returned: Vec<Peer>,
    /// Whether this is a ring of two, and the other node has said that it leaves.
    parting: bool,
    /// Checks, in a row, in which a plain predecessor did not tell its list. The count outlasts the pause in which that
    /// peer is ignored (`mute`), so that one more such check is enough after it.
    untold: u32,
    /// A plain peer that never tells its list, so that no node could join before or after it: it is not taken as
    /// predecessor.
    mute: Option<Peer>,
    /// Farther notifiers that were told to look for the present predecessor, at most [`MAX_NOTIFIERS`]; none if none is
    /// told.
    corrected: Option<Vec<Peer>>,
    /// Attempts to join, in a row, that failed.
    attempts: u32,
    /// Former successors of an isolated node through which it has not yet tried to return, nearest first.
    former: VecDeque<Peer>,
    /// Whether the last attempt was of that kind: such attempts and those through acquaintances take turns, so that the
    /// silence of dead nodes does not keep it from living ones.
    returning: bool,
    /// Conversations of each kind that no timer of this node called for, since the last pause.
    errands: [u32; TURNS.len()],
    /// Whether the pause that renews the allowance for them is under way.
    pausing: bool,
    /// The pause before acquaintances are asked again.
    reunite_after: Duration,
    /// Whether this node has begun to tell others of another ring since acquaintances were asked last: once in that
    /// time is enough, and no peer can make it tell more often.
    spread: bool,
    /// Whether the finger table was told since then that fingers will change.
    merging: bool,
    effects: Vec<Effect>,
}

/// How the node stands to its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Not a member yet: dead, as far as the ring is concerned.
    Joining,
    /// A member; alone if it has no successors.
    Member,
    /// A member that has lost its whole successor list. It names no owners, and asks every node that it remembers
    /// before it believes that it is alone.
    Isolated,
    /// No member any more, and never again: dead, as far as the ring is concerned.
    Left,
}

/// The conversations to hold as soon as possible, and what they need.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
struct Wishes {
    join: Option<Through>,
    /// Notifiers to be judged, in the order in which they came; at most [`MAX_NOTIFIERS`].
    rectify: VecDeque<Peer>,
    /// Notifiers that have lost without being judged, and are to be told so; at most [`MAX_NOTIFIERS`].
    overtaken: Vec<Peer>,
    stabilize: bool,
    /// A node of another ring, for the next stabilize.
    hint: Option<Peer>,
    /// The nearest node that has notified this one while it looks for its place: it may know the place.
    claimant: Option<Peer>,
    check_predecessor: bool,
    reunite: bool,
    /// A node of another ring that a peer has told this one of, and that is to be asked.
    told: Option<Peer>,
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
    /// The next attempt to join is due, of a joiner or of a member that has lost its ring.
    Join,
    /// The next round of stabilize is due.
    Stabilize,
    /// The predecessor is to be pinged.
    CheckPredecessor,
    /// The next acquaintance is to be asked whether its ring is this one.
    Reunite,
    /// The first successor, to which no connection is kept, was heard too long ago.
    Unheard,
    /// The admitted joiner has used up its time.
    Admission,
    /// The pause that followed too many conversations of one kind is over.
    Pause,
}

impl Timer {
    /// The number of variants, for tables indexed by timer.
    pub const COUNT: usize = 7;

    /// Whether a seed may be asked when it fires.
    pub fn asks_seeds(self) -> bool {
        matches!(self, Timer::Join | Timer::Reunite)
    }

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

/// What the runner is to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Fire the timer once, after about this time; a timer of that name that was set before is not to fire any more.
    Wake(Timer, Duration),
    /// Say this; the answer does not matter.
    Tell(Peer, Request),
    /// Hold a [`Spread`](super::spread::Spread) with all members that this node knows now, fingers and successors,
    /// beside its other conversations.
    Spread(News),
    /// The successor list or the predecessor changed.
    Changed,
    /// The ring is about to become one with another: fingers will change, near and far.
    Merging,
    /// A node is dead: it is to be removed from the finger table.
    Dead(Peer),
    /// Neighbours were lost: the fingers are to be [recalled](Maintenance::recall), before they are forgotten.
    Recall,
    /// An attempt to join has ended; or the ring has taken another node with this one's identifier while this one was
    /// away, and it is no member any more.
    Tried(Joined),
}

/// At most this many conversations of one kind are held that no timer of this node called for: rounds that follow a
/// round that changed something, judgements of notifiers, and those that a nudge, an invitation, a broken connection or
/// a dead node calls for. Further ones wait for a pause to end, and only the timers go on. A ring that settles needs
/// fewer; a peer that lies to a node, or keeps it busy, drives it no faster than this.
const MAX_ERRANDS: u32 = 64;

/// How long that pause is.
const PAUSE: Duration = Duration::from_secs(1);

impl Maintenance {
    /// A node that creates a ring, or is about to join the ring of its seeds.
    pub fn new(setup: Setup) -> Maintenance {
        let mut maintenance = Maintenance {
            neighbors: Neighbors::alone(setup.me, setup.r),
            standing: Standing::Joining,
            acquaintances: Acquaintances::new(setup.me.addr, setup.seeds.clone()),
            wishes: Wishes::default(),
            last: Kind::Reunite,
            holding: false,
            doubts: Doubts::default(),
            admitted: None,
            lapsed: false,
            predecessor_dialect: None,
            lonely_successor: false,
            returned: Vec::new(),
            parting: false,
            untold: 0,
            mute: None,
            corrected: Some(Vec::new()),
            attempts: 0,
            former: VecDeque::new(),
            returning: false,
            errands: [0; TURNS.len()],
            pausing: false,
            reunite_after: reunite(setup.stabilize_every).first,
            spread: false,
            merging: false,
            effects: Vec::new(),
            setup,
        };
        match maintenance.acquaintances.take_turn() {
            Some(seed) => maintenance.wishes.join = Some(Through::Seed(seed)),
            None if maintenance.setup.creates => maintenance.enter(),
            None => maintenance.wake(Timer::Join, Duration::ZERO),
        }
        maintenance
    }

    /// A member with these neighbours, which were given to it without a join: for rings whose tables are filled by
    /// definition.
    pub fn settled(setup: Setup, neighbors: Neighbors) -> Maintenance {
        let mut maintenance = Maintenance::new(Setup { seeds: Vec::new(), creates: true, ..setup.clone() });
        maintenance.acquaintances = Acquaintances::new(setup.me.addr, setup.seeds.clone());
        maintenance.neighbors = neighbors;
        maintenance.meet_neighbors();
        // Nothing has changed: these neighbours were given.
        maintenance.effects.retain(|effect| *effect != Effect::Changed);
        maintenance.setup = setup;
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

    /// The addresses of the nodes that it knows: its neighbours, its seeds and the peers that it remembers.
    pub fn known(&self) -> impl Iterator<Item = Addr> + '_ {
        let neighbors = self.neighbors.successors().iter().copied().chain(self.neighbors.predecessor());
        neighbors.map(|peer| peer.addr).chain(self.acquaintances.all())
    }

    /// The neighbours from which a lookup may begin.
    pub fn vantage(&self) -> Result<&Neighbors, LookupFailure> {
        match self.standing {
            Standing::Joining | Standing::Left => Err(LookupFailure::NotJoined),
            Standing::Isolated => Err(LookupFailure::Isolated),
            Standing::Member => Ok(&self.neighbors),
        }
    }

    /// Takes the effects that have come up since the last time.
    pub fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// The same node without the state that only decides when it acts, and without the peers that it has met: for
    /// explorers of the state space, in which any timer may fire at any time. Its next conversation is the one whose
    /// timer is fired then, else the judgement of a notifier.
    pub fn without_pace(&self) -> Maintenance {
        Maintenance {
            setup: self.setup.clone(),
            neighbors: self.neighbors.without_memory(),
            standing: self.standing,
            acquaintances: Acquaintances::new(self.setup.me.addr, self.setup.seeds.clone()),
            wishes: Wishes {
                join: self.wishes.join.filter(|_| self.is_unbound()),
                rectify: self.wishes.rectify.clone(),
                hint: self.wishes.hint,
                ..Wishes::default()
            },
            last: Kind::Rectify,
            holding: self.holding,
            doubts: self.doubts.clone(),
            admitted: self.admitted,
            lapsed: false,
            predecessor_dialect: self.predecessor_dialect,
            lonely_successor: self.lonely_successor,
            returned: Vec::new(),
            parting: false,
            untold: 0,
            mute: None,
            corrected: None,
            attempts: 0,
            former: self.former.clone(),
            returning: false,
            errands: [0; TURNS.len()],
            pausing: false,
            reunite_after: self.reunite_pause().first,
            spread: false,
            merging: false,
            effects: Vec::new(),
        }
    }

    /// The same node, which remembers only this one of the nodes that came into doubt during its conversation: for
    /// explorers that know whose list the conversation may adopt. A doubt about a node that has not answered yet only
    /// has that node asked once more.
    pub fn doubting_only(self, head: Option<Addr>) -> Maintenance {
        Maintenance { doubts: self.doubts.only(head), ..self }
    }

    /// Whether notifiers wait to be judged.
    pub fn is_notified(&self) -> bool {
        !self.wishes.rectify.is_empty()
    }

    /// Whether it is alone and has found a ring to join.
    pub fn is_bound_elsewhere(&self) -> bool {
        self.wishes.join.is_some()
    }

    /// Whether it is isolated and has former successors through which it tries to return before it asks a seed.
    pub fn may_return(&self) -> bool {
        !self.former.is_empty()
    }

    /// The joiner that was given the list last, while it holds up others.
    pub fn admitted(&self) -> Option<Peer> {
        self.admitted
    }

    /// Creates a ring although there are seeds: none of them has answered for as long as the joiner was to wait. They
    /// are asked again from time to time, and their ring and this one become one.
    pub fn create(&mut self) {
        if self.standing == Standing::Joining && !self.holding {
            self.wishes.join = None;
            self.be_alone();
        }
    }

    /// Where the seeds are now.
    pub fn know_seeds(&mut self, seeds: Vec<Addr>) {
        self.acquaintances.know_seeds(seeds);
    }

    /// A timer fired.
    pub fn fired(&mut self, timer: Timer) {
        if self.standing == Standing::Left {
            return;
        }
        if let Some(kind) = timer.kind() {
            let errands = &mut self.errands[kind as usize];
            *errands = errands.saturating_sub(1);
        }
        match timer {
            Timer::Join => {
                let former = if self.returning { None } else { self.former.pop_front() };
                // An attempt through the only node that it remembers is one like any other: the next one would go there, too.
                self.returning = former.is_some_and(|peer| !self.acquaintances.all().eq([peer.addr]));
                former.inspect(|peer| self.acquaintances.asked(peer.addr));
                let seed = || self.acquaintances.take_turn().map(Through::Seed);
                match former.map(Through::Former).or_else(seed) {
                    Some(through) => self.wishes.join = Some(through),
                    None if self.standing == Standing::Joining => self.tried(Joined::NoAnswer),
                    None => self.be_alone(),
                }
            }
            Timer::Stabilize => {
                self.wishes.stabilize = true;
                self.neighbors.count_round();
            }
            Timer::CheckPredecessor => self.wishes.check_predecessor = true,
            Timer::Reunite => {
                self.mute = None;
                (self.wishes.reunite, self.spread, self.merging) = (true, false, false);
            }
            Timer::Unheard => self.neighbors.doubt_successor(),
            Timer::Admission => self.lapsed = self.admitted.take().is_some(),
            Timer::Pause => {
                self.pausing = false;
                self.errands = [0; TURNS.len()];
            }
        }
    }

    /// The conversation to hold now, if any. There is no other until its outcome was digested.
    pub fn next_conversation(&mut self) -> Option<Conversation> {
        if self.holding || self.standing == Standing::Left {
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
                let through = self.wishes.join.take()?;
                self.is_unbound().then(|| Conversation::Join(Join::new(me, r, me.id.next(bits), through)))
            }
            (_, Standing::Joining | Standing::Left) => None,
            (Kind::Rectify, _) => {
                let notifier = self.wishes.rectify.pop_front().or_else(|| self.wishes.overtaken.pop())?;
                // There is one a round: memory for four would be held at each node for nothing.
                self.wishes.rectify.shrink_to_fit();
                let tells = self.may_correct(notifier);
                Some(Conversation::Rectify(Rectify::new(&self.neighbors, notifier).telling(tells)))
            }
            (Kind::CheckPredecessor, _) => {
                if !std::mem::take(&mut self.wishes.check_predecessor) {
                    return None;
                }
                self.wake(Timer::CheckPredecessor, self.setup.check_predecessor_every);
                CheckPredecessor::new(&self.neighbors).map(Conversation::CheckPredecessor)
            }
            (_, Standing::Isolated) => None,
            (Kind::Stabilize, _) => {
                std::mem::take(&mut self.wishes.stabilize).then(|| match self.neighbors.is_astray() {
                    true => Conversation::Awaken(Awaken::new(&self.neighbors, self.wishes.claimant.take())),
                    false => Conversation::Stabilize(Stabilize::new(&self.neighbors, self.wishes.hint.take())),
                })
            }
            (Kind::Reunite, _) => self.begin_reunion(),
        }
    }

    fn begin_reunion(&mut self) -> Option<Conversation> {
        if let Some(other) = self.wishes.told.take() {
            return Some(Conversation::Reunite(Reunite::told(&self.neighbors, other.addr)));
        }
        // Lost nodes are asked first, and may be as silent as before: meanwhile a list with gaps would stay as it is,
        // and nothing would notice if its next entry is dead as well.
        let repairing = self.wishes.stabilize && self.neighbors.is_short();
        if repairing || !std::mem::take(&mut self.wishes.reunite) {
            return None;
        }
        let Some(acquaintance) = self.acquaintances.next_of_round() else {
            self.wake(Timer::Reunite, REUNITE_ALONE);
            return None;
        };
        Some(Conversation::Reunite(Reunite::new(&self.neighbors, acquaintance)))
    }

    /// Becomes a member, with the neighbours that it has.
    fn enter(&mut self) {
        self.standing = Standing::Member;
        self.parting = false;
        self.attempts = 0;
        self.former.clear();
        self.returning = false;
        self.admitted = None;
        self.wishes.stabilize = true;
        self.meet_neighbors();
        self.changed();
        self.wake(Timer::CheckPredecessor, self.setup.check_predecessor_every);
        self.wake(Timer::Reunite, self.reunite_after);
    }

    /// Whether it belongs to no ring with other nodes, so that it may join one.
    fn is_unbound(&self) -> bool {
        self.standing != Standing::Member || self.is_alone()
    }

    fn reunite_pause(&self) -> Backoff {
        reunite(self.setup.stabilize_every)
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
