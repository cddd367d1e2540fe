//! A whole ring: its nodes, and every step that it can take.

use std::ops::Range;

use super::catalog::{Asking, Catalog, LocalId, Options};
use super::circle::Place;
use super::deviation::Deviation;
use super::local::Kind;
use super::masks::Mask;

/// The state of a ring of at most `N` nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct State<const N: usize> {
    pub locals: [LocalId; N],
    /// How often a living node was taken for dead.
    pub suspicions: u32,
}

impl<const N: usize> State<N> {
    /// The same ring seen from `by` places on.
    fn turned(&self, by: Place) -> State<N> {
        let mut locals = self.locals;
        locals.rotate_left(by);
        State { locals, ..*self }
    }

    /// One form for all rotations of a ring, and by how much this one was rotated.
    pub fn canonical(&self) -> (State<N>, Place) {
        let mut best = (*self, 0);
        for by in 1..N {
            let turned = self.turned(by);
            if turned < best.0 {
                best = (turned, by);
            }
        }
        best
    }

    fn with(&self, place: Place, local: LocalId) -> State<N> {
        let mut next = *self;
        next.locals[place] = local;
        next
    }

    /// The places whose node states satisfy `such`.
    pub fn which(&self, such: impl Fn(LocalId) -> bool) -> Mask {
        let of = |place: Place| if such(self.locals[place]) { Mask::of(place) } else { Mask::default() };
        (0..N).fold(Mask::default(), |set, place| set.with(of(place)))
    }
}

/// One event at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Begin(Kind),
    /// The open request arrives at this place and is answered there.
    Arrive(Place),
    /// The answer arrives, and the conversation goes on.
    Answer,
    /// The notification to this place arrives.
    Notify(Place),
    /// The node at the first place is told that the one at the second belongs right behind it.
    Meet(Place, Place),
    /// The target of the open request, at this place, is taken for dead, though it lives.
    Suspect(Place),
    Crash,
    /// The node leaves, and its neighbours hear of it at once. If they don't, that is a crash.
    Leave,
    /// A lookup found the node at this place dead.
    Bury(Place),
    /// The time of the admitted joiner runs out.
    Admission,
}

impl Event {
    /// The same event on a rotated circle.
    pub fn turned(self, by: Place, places: usize) -> Event {
        let turned = |place: Place| (place + by) % places;
        match self {
            Event::Arrive(at) => Event::Arrive(turned(at)),
            Event::Notify(to) => Event::Notify(turned(to)),
            Event::Meet(to, node) => Event::Meet(turned(to), turned(node)),
            Event::Suspect(whom) => Event::Suspect(turned(whom)),
            Event::Bury(whom) => Event::Bury(turned(whom)),
            Event::Begin(_) | Event::Answer | Event::Crash | Event::Leave | Event::Admission => self,
        }
    }
}

/// The cause of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Maintenance, which goes on for ever.
    Maintenance,
    /// The environment: joins, and nodes found dead by lookups.
    Environment,
    /// The failure of the node.
    Failure,
}

/// One step of the ring.
#[derive(Clone, Debug)]
pub struct Move<const N: usize> {
    /// The node that takes the step.
    pub at: Place,
    /// The events at that node, in [`System::events`]: one, or a whole conversation.
    pub events: Range<usize>,
    pub cause: Cause,
    pub to: State<N>,
}

/// A step of a history, on the circle of its first state.
#[derive(Clone, Debug)]
pub struct Step<const N: usize> {
    /// The node that takes the step, and its events.
    pub at: Place,
    pub events: Vec<Event>,
    /// The state after it.
    pub to: State<N>,
}

/// What the environment may do, and how fine steps are.
#[derive(Clone, Copy, Debug)]
pub struct Environment {
    /// Whether a conversation is one step; else any event may come between the sending,
    /// the answering and the digesting of each request.
    pub atomic: bool,
    pub joins: bool,
    pub failures: bool,
    /// Whether a node that may fail may leave instead.
    pub leaves: bool,
    /// How many times a living node may be taken for dead.
    pub suspicions: u32,
    /// Whether notifications may take any time to arrive; else each arrives at once, and only waits
    /// to be judged.
    pub notifications_travel: bool,
    /// Whether a notification is lost where another one waits to be judged.
    pub one_notification: bool,
    /// Conversations under way at once.
    pub conversations: usize,
    /// Whether nodes ask their acquaintances whether there is another ring.
    pub reunion: bool,
}

/// The parts of a step so far.
#[derive(Clone)]
struct Log {
    at: Place,
    cause: Cause,
    events: Vec<Event>,
}

impl Log {
    fn with(&self, event: Event) -> Log {
        Log { events: self.events.iter().copied().chain([event]).collect(), ..*self }
    }
}

pub struct System<const N: usize> {
    pub catalog: Catalog,
    pub environment: Environment,
    /// The steps that were found last, and their events.
    pub moves: Vec<Move<N>>,
    pub events: Vec<Event>,
}

impl<const N: usize> System<N> {
    pub fn new(catalog: Catalog, environment: Environment) -> System<N> {
        assert_eq!(catalog.places, N);
        System { catalog, environment, moves: Vec::new(), events: Vec::new() }
    }

    /// An ideal ring of the nodes at these places.
    pub fn ideal(&mut self, members: &[Place]) -> State<N> {
        let mut state = State { locals: [Catalog::DOWN; N], suspicions: 0 };
        let rules = self.catalog.rules;
        for (i, me) in members.iter().enumerate() {
            let way = |k: usize| (members[(i + k) % members.len()] + N - me) % N;
            let successors: Vec<Place> = (1..members.len()).take(rules.r).map(way).collect();
            let local = match members.len() {
                1 => rules.alone(),
                n => rules.member(&successors, way(n - 1)),
            };
            state.locals[*me] = self.catalog.number(local);
        }
        state
    }

    /// Two ideal rings without a node of the other in any table.
    pub fn two_rings(&mut self, one: &[Place], other: &[Place]) -> State<N> {
        let (mut state, others) = (self.ideal(one), self.ideal(other));
        other.iter().for_each(|at| state.locals[*at] = others.locals[*at]);
        state
    }

    pub fn members(&self, state: &State<N>) -> Mask {
        state.which(|local| self.catalog.masks(local).member)
    }

    /// Finds every step from a state, into `moves`.
    pub fn find_moves(&mut self, state: &State<N>) {
        self.moves.clear();
        self.events.clear();
        let talking = state.which(|local| self.catalog.masks(local).talking).count();
        let may_begin = talking < self.environment.conversations;
        for at in 0..N {
            let local = state.locals[at];
            // The numbers are copied out, since the code below may add to the catalogue.
            let options = self.catalog.options(local).clone();
            self.find_own(state, at, &options, may_begin);
            if self.catalog.masks(local).up {
                self.find_others(state, at, &options);
            }
        }
    }

    fn find_own(&mut self, state: &State<N>, at: Place, options: &Options, may_begin: bool) {
        for (kind, after) in &options.begin {
            let joins = *kind == Kind::Join && !self.catalog.masks(state.locals[at]).up;
            let allowed = match kind {
                Kind::Join => self.environment.joins || !joins,
                Kind::Reunite | Kind::GiveUp => self.environment.reunion,
                _ => true,
            };
            if allowed && may_begin {
                let cause = if joins { Cause::Environment } else { Cause::Maintenance };
                // A check of the predecessor has one effect, at the moment when a dead one is found:
                // splitting it into pieces would only multiply states.
                let whole = self.environment.atomic || *kind == Kind::Check;
                let log = Log { at, cause, events: vec![Event::Begin(*kind)] };
                self.go_on(state.with(at, *after), whole, log);
            }
        }
        if let Some(after) = options.resume {
            let log = Log { at, cause: Cause::Maintenance, events: vec![Event::Answer] };
            self.go_on(state.with(at, after), false, log);
        }
        if let Some(after) = options.admission {
            self.push(at, Event::Admission, Cause::Maintenance, state.with(at, after));
        }
    }

    /// Lets a conversation go on to its next answer, or to its end if it is one step.
    ///
    /// The requests of a conversation depend on what it copied when it began, and on the answers; other nodes
    /// can't observe that it digests an answer and makes another request. So a request takes no time, and only
    /// answers wait.
    fn go_on(&mut self, state: State<N>, whole: bool, log: Log) {
        let at = log.at;
        let options = self.catalog.options(state.locals[at]).clone();
        if let Some(asking) = options.asking {
            let members = self.members(&state);
            for (to, next) in self.arrivals(&state, at, asking) {
                let log = log.with(Event::Arrive(to));
                // The death of a node is known at once: see `Environment`.
                if whole || !members.has(to) {
                    self.digest_at_once(next, whole, log);
                } else {
                    self.push_all(log, next);
                }
            }
            if let Asking::Question(way, _) | Asking::Probe(way) = asking
                && members.has((at + way) % N)
                && state.suspicions < self.environment.suspicions
            {
                let gone = self.catalog.gone();
                let mut next = state.with(at, self.catalog.answered(state.locals[at], gone));
                next.suspicions += 1;
                let log = Log { cause: Cause::Environment, ..log.with(Event::Suspect((at + way) % N)) };
                self.digest_at_once(next, whole, log);
            }
        } else if let Some((way, node, request, without)) = options.hinting.first() {
            let to = (at + way) % N;
            let state = state.with(at, *without);
            let (after, _) = self.catalog.serve(state.locals[to], *request);
            self.go_on(state.with(to, after), whole, log.with(Event::Meet(to, (at + node) % N)));
        } else if let Some((way, request, without)) = options.notifying.first()
            && !self.environment.notifications_travel
        {
            let next = self.notified(&state.with(at, *without), at, *way, *request);
            self.go_on(next, whole, log.with(Event::Notify((at + way) % N)));
        } else {
            self.push_all(log, state);
        }
    }

    fn digest_at_once(&mut self, state: State<N>, whole: bool, log: Log) {
        if let Some(after) = self.catalog.options(state.locals[log.at]).resume {
            let log = log.with(Event::Answer);
            self.go_on(state.with(log.at, after), whole, log);
        }
    }

    fn find_others(&mut self, state: &State<N>, at: Place, options: &Options) {
        for (to, request, without) in &options.notifying {
            let notified = self.notified(&state.with(at, *without), at, *to, *request);
            self.push(at, Event::Notify((at + to) % N), Cause::Maintenance, notified);
        }
        let members = self.members(state);
        for (other, after) in &options.burying {
            if !members.has((at + other) % N) {
                self.push(at, Event::Bury((at + other) % N), Cause::Environment, state.with(at, *after));
            }
        }
        if self.environment.failures && self.may_fail(state, at) {
            let without = state.with(at, Catalog::DOWN);
            self.push(at, Event::Crash, Cause::Failure, without);
            if self.environment.leaves && !options.leaving.is_empty() {
                let left = options
                    .leaving
                    .iter()
                    .fold(without, |state, (to, request)| self.notified(&state, at, *to, *request));
                self.push(at, Event::Leave, Cause::Failure, left);
            }
        }
    }

    fn push(&mut self, at: Place, event: Event, cause: Cause, to: State<N>) {
        self.push_all(Log { at, cause, events: vec![event] }, to);
    }

    fn push_all(&mut self, log: Log, to: State<N>) {
        let first = self.events.len();
        self.events.extend_from_slice(&log.events);
        self.moves.push(Move { at: log.at, events: first..self.events.len(), cause: log.cause, to });
    }

    fn notified(&mut self, state: &State<N>, at: Place, way: Place, request: u32) -> State<N> {
        let to = (at + way) % N;
        if self.environment.one_notification && self.catalog.local(state.locals[to]).is_notified() {
            return *state;
        }
        let (after, _) = self.catalog.serve(state.locals[to], request);
        state.with(to, after)
    }

    /// The places at which the open request of the node at `at` may arrive, and the resulting states: a lookup
    /// may be answered at several places, every other request at one.
    fn arrivals(&mut self, state: &State<N>, at: Place, asking: Asking) -> Vec<(Place, State<N>)> {
        let local = state.locals[at];
        match asking {
            Asking::Question(way, request) => {
                let to = (at + way) % N;
                let (served, said) = self.catalog.serve(state.locals[to], request);
                let said = self.catalog.returning(said, way);
                vec![(to, state.with(to, served).with(at, self.catalog.answered(local, said)))]
            }
            Asking::Probe(way) => {
                let to = (at + way) % N;
                let said = self.catalog.probe(state.locals[to]);
                vec![(to, state.with(at, self.catalog.answered(local, said)))]
            }
            Asking::Lookup(request) => {
                let members = self.members(state);
                let mut found = Vec::new();
                // Also by the asking node itself, if it is a member: the lookup may come back to it.
                for to in members.places() {
                    let way = (to + N - at) % N;
                    let arriving = self.catalog.arriving(request, way);
                    let lives = members.turned(N - to, N);
                    if let Some(said) = self.catalog.look_up(state.locals[to], arriving, lives) {
                        let said = self.catalog.returning(said, way);
                        found.push((to, state.with(at, self.catalog.answered(local, said))));
                    }
                }
                found
            }
        }
    }

    /// The steps along a path of states in canonical form, where each state is one step after the one before.
    pub fn history(&mut self, path: &[State<N>]) -> Vec<Step<N>> {
        let (mut history, mut turned) = (Vec::new(), 0);
        for pair in path.windows(2) {
            self.find_moves(&pair[0]);
            let (to, _) = pair[1].canonical();
            let step = self.moves.iter().find(|step| step.to.canonical().0 == to).expect("a step leads there");
            let events = self.events[step.events.clone()].iter().map(|event| event.turned(turned, N)).collect();
            history.push(Step { at: (step.at + turned) % N, events, to: step.to.turned(N - turned) });
            turned = (turned + step.to.canonical().1) % N;
        }
        history
    }

    /// The members that no list passes over, whether it is adopted or still under way.
    pub fn principals(&self, state: &State<N>) -> Mask {
        let mut principals = self.members(state);
        for at in 0..N {
            let masks = self.catalog.masks(state.locals[at]);
            principals = principals.without(masks.skipped.with(masks.skipped_coming).turned(at, N));
        }
        principals
    }

    /// Whether some list has no living entry: a member's, or one under way to a future member.
    pub fn is_cut_off(&self, state: &State<N>, members: Mask) -> bool {
        (0..N).any(|at| {
            let masks = self.catalog.masks(state.locals[at]);
            let dead = |list: Mask| list.turned(at, N).common(members).is_empty();
            masks.member && dead(masks.list) || masks.coming.is_some_and(dead)
        })
    }

    /// Whether the environment's rules let this node fail: r + 1 principals remain, and a
    /// living entry in every list.
    fn may_fail(&self, state: &State<N>, at: Place) -> bool {
        let after = state.with(at, Catalog::DOWN);
        let base_off = self.catalog.rules.deviation == Some(Deviation::FailuresAtTheBase);
        let enough = base_off || self.principals(&after).count() > self.catalog.rules.r;
        enough && !self.is_cut_off(&after, self.members(&after))
    }
}
