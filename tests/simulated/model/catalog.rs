//! Every node state and message that occurred, stored once, and the result of each step from its first run.
//!
//! A ring of four is four node states, of which some thousands occur, in millions of combinations.
//! What a node does depends on its own state and on what reaches it, so that the production code
//! runs once for each such pair; exploring combines the results.

use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};

use chord::protocol::rpc::Request;
use rustc_hash::FxHashMap;

use super::circle::{Place, Turn};
use super::local::{Kind, Local, Rules, Said, Waiting};
use super::masks::{Mask, Masks};

/// Numbered values.
struct Numbered<T> {
    numbers: FxHashMap<T, u32>,
    things: Vec<T>,
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    fn new() -> Numbered<T> {
        Numbered { numbers: FxHashMap::default(), things: Vec::new() }
    }

    fn number(&mut self, thing: T) -> u32 {
        let Numbered { numbers, things } = self;
        *numbers.entry(thing).or_insert_with_key(|thing| {
            things.push(thing.clone());
            u32::try_from(things.len() - 1).expect("fewer than four billion")
        })
    }
}

/// The number of a node state.
pub type LocalId = u32;
/// The number of an answer.
pub type SaidId = u32;
/// The number of a request.
pub type RequestId = u32;

/// What a node can do by itself, and the node state that results.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub begin: Vec<(Kind, LocalId)>,
    pub resume: Option<LocalId>,
    pub admission: Option<LocalId>,
    /// Notifications under way: the receiver, the request as it arrives there, and the node without it.
    pub notifying: Vec<(Place, RequestId, LocalId)>,
    /// The same for its messages about nodes of other rings, with the node that each is about.
    pub hinting: Vec<(Place, Place, RequestId, LocalId)>,
    /// The messages that it sends when it leaves, as they arrive, each with its receiver.
    pub leaving: Vec<(Place, RequestId)>,
    /// The request that waits to arrive, as it arrives.
    pub asking: Option<Asking>,
    /// Nodes in its tables that it may find dead: each with the resulting node state.
    pub burying: Vec<(Place, LocalId)>,
}

#[derive(Clone, Copy, Debug)]
pub enum Asking {
    Question(Place, RequestId),
    Probe(Place),
    /// A lookup, as the asking node sends it.
    Lookup(RequestId),
}

pub struct Catalog {
    pub rules: Rules,
    pub places: usize,
    locals: Numbered<Local>,
    said: Numbered<Said>,
    requests: Numbered<Request>,
    options: Vec<Option<Options>>,
    masks: Vec<Masks>,
    served: FxHashMap<(LocalId, RequestId), (LocalId, SaidId)>,
    probed: FxHashMap<LocalId, SaidId>,
    looked_up: FxHashMap<(LocalId, RequestId, Mask), Option<SaidId>>,
    turned_said: FxHashMap<(SaidId, Place), SaidId>,
    turned_requests: FxHashMap<(RequestId, Place), RequestId>,
    answered: FxHashMap<(LocalId, SaidId), LocalId>,
    /// The panic of production code, if there was one.
    pub panic: Option<String>,
}

impl Catalog {
    pub fn new(rules: Rules, places: usize) -> Catalog {
        let mut catalog = Catalog {
            rules,
            places,
            locals: Numbered::new(),
            said: Numbered::new(),
            requests: Numbered::new(),
            options: Vec::new(),
            masks: Vec::new(),
            served: FxHashMap::default(),
            probed: FxHashMap::default(),
            looked_up: FxHashMap::default(),
            turned_said: FxHashMap::default(),
            turned_requests: FxHashMap::default(),
            answered: FxHashMap::default(),
            panic: None,
        };
        assert_eq!(catalog.number(Local::Down), Catalog::DOWN);
        catalog
    }

    /// No node is up.
    pub const DOWN: LocalId = 0;

    /// How many node states have occurred.
    pub fn len(&self) -> usize {
        self.locals.things.len()
    }

    pub fn number(&mut self, local: Local) -> LocalId {
        let number = self.locals.number(local);
        if number as usize == self.masks.len() {
            let local = &self.locals.things[number as usize];
            self.masks.push(Masks::of(local, self.rules.r, self.places));
            self.options.push(None);
        }
        number
    }

    pub fn local(&self, id: LocalId) -> &Local {
        &self.locals.things[id as usize]
    }

    pub fn said(&self, id: SaidId) -> &Said {
        &self.said.things[id as usize]
    }

    pub fn masks(&self, id: LocalId) -> &Masks {
        &self.masks[id as usize]
    }

    fn turn(&self, by: Place) -> Turn {
        Turn { places: self.places, by: by % self.places }
    }

    /// Runs production code; a panic is recorded, and leaves everything as it was.
    fn run<T>(&mut self, what: impl FnOnce() -> T) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(what)) {
            Ok(result) => Some(result),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
                self.panic = Some(text.lines().next().unwrap_or_default().to_string());
                None
            }
        }
    }

    /// What a node can do by itself.
    pub fn options(&mut self, id: LocalId) -> &Options {
        if self.options[id as usize].is_none() {
            let options = self.find_options(id);
            self.options[id as usize] = Some(options);
        }
        self.options[id as usize].as_ref().expect("found above")
    }

    fn find_options(&mut self, id: LocalId) -> Options {
        let (rules, local) = (self.rules, self.local(id).clone());
        let mut options = Options::default();
        for kind in [Kind::Join, Kind::Stabilize, Kind::Check, Kind::Rectify, Kind::Reunite, Kind::GiveUp] {
            if let Some(after) = self.run(|| rules.begin(&local, kind)).flatten() {
                options.begin.push((kind, self.number(after)));
            }
        }
        let resumed = self.run(|| rules.resume(&local)).flatten();
        options.resume = resumed.map(|after| self.number(after));
        let admission = self.run(|| rules.admission_ends(&local)).flatten();
        options.admission = admission.map(|after| self.number(after));
        for to in local.notifying() {
            let notify = self.requests.number(Request::Notify { me: super::circle::peer(0) });
            let (arriving, without) = (self.arriving(notify, to), self.number(local.notified(to)));
            options.notifying.push((to, arriving, without));
        }
        for (to, node) in local.hinting() {
            let meet = Request::Meet { node: super::circle::peer(node), until: None };
            let meet = self.requests.number(meet);
            let (arriving, without) = (self.arriving(meet, to), self.number(local.hinted(to, node)));
            options.hinting.push((to, node, arriving, without));
        }
        for (to, request) in self.run(|| rules.leave(&local)).unwrap_or_default() {
            let leave = self.requests.number(request);
            options.leaving.push((to, self.arriving(leave, to)));
        }
        options.asking = local.waiting().map(|waiting| match waiting {
            Waiting::Question(to, request) => {
                let request = self.requests.number(request);
                Asking::Question(to, self.arriving(request, to))
            }
            Waiting::Probe(to) => Asking::Probe(to),
            Waiting::Lookup(request) => Asking::Lookup(self.requests.number(request)),
        });
        for other in 1..self.places {
            if let Some(after) = self.run(|| rules.mark_dead(&local, other)).flatten() {
                options.burying.push((other, self.number(after)));
            }
        }
        options
    }

    /// A request of the node at place 0 as the node at `to` receives it.
    pub fn arriving(&mut self, request: RequestId, to: Place) -> RequestId {
        if let Some(turned) = self.turned_requests.get(&(request, to)) {
            return *turned;
        }
        let turned = self.turn(self.places - to).request(&self.requests.things[request as usize]);
        let turned = self.requests.number(turned);
        self.turned_requests.insert((request, to), turned);
        turned
    }

    /// An answer of the node at `from` as the node at place 0 receives it.
    pub fn returning(&mut self, said: SaidId, from: Place) -> SaidId {
        if let Some(turned) = self.turned_said.get(&(said, from)) {
            return *turned;
        }
        let Said { answer, reduced } = &self.said.things[said as usize];
        let turned = Said { answer: self.turn(from).answer(answer), reduced: *reduced };
        let turned = self.said.number(turned);
        self.turned_said.insert((said, from), turned);
        turned
    }

    /// The answer of a node to a request, and the resulting node state.
    pub fn serve(&mut self, local: LocalId, request: RequestId) -> (LocalId, SaidId) {
        if let Some(served) = self.served.get(&(local, request)) {
            return *served;
        }
        let (rules, node) = (self.rules, self.local(local).clone());
        let asked = self.requests.things[request as usize].clone();
        let (after, said) =
            self.run(|| rules.serve(&node, &asked)).unwrap_or_else(|| rules.serve(&Local::Down, &asked));
        let served = (self.number(after), self.said.number(said));
        self.served.insert((local, request), served);
        served
    }

    /// The answer of a node to a probe.
    pub fn probe(&mut self, local: LocalId) -> SaidId {
        if let Some(said) = self.probed.get(&local) {
            return *said;
        }
        let said = self.rules.probed(self.local(local));
        let said = self.said.number(said);
        self.probed.insert(local, said);
        said
    }

    /// The answer of a member to a lookup that ends there; `lives` are the nodes that answer.
    pub fn look_up(&mut self, local: LocalId, request: RequestId, lives: Mask) -> Option<SaidId> {
        if let Some(known) = self.looked_up.get(&(local, request, lives)) {
            return *known;
        }
        let request_said = &self.requests.things[request as usize];
        let said = self.rules.look_up(self.local(local), request_said, |place| lives.has(place));
        let said = said.map(|said| self.said.number(said));
        self.looked_up.insert((local, request, lives), said);
        said
    }

    /// The answer for a node that is not there, or is taken for dead.
    pub fn gone(&mut self) -> SaidId {
        self.said.number(Said { answer: chord::protocol::procedure::Answer::Gone, reduced: false })
    }

    /// The node once an answer to it is under way.
    pub fn answered(&mut self, local: LocalId, said: SaidId) -> LocalId {
        if let Some(after) = self.answered.get(&(local, said)) {
            return *after;
        }
        let after = self.rules.answered(self.local(local), self.said(said));
        let after = self.number(after);
        self.answered.insert((local, said), after);
        after
    }
}
