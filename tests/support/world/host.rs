//! What the actors do for a node, on the virtual clock of a [`World`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;
use std::time::Duration;

use chord::Config;
use chord::protocol::conversation::{Conversation, Outcome};
use chord::protocol::fingers::FingerTable;
use chord::protocol::fix_fingers::{FixFingers, Pace};
use chord::protocol::id::Id;
use chord::protocol::join::Joined;
use chord::protocol::lookup::{Finding, Found, Lookup, Lost, Question};
use chord::protocol::maintenance::{Effect, Maintenance, Setup, Timer};
use chord::protocol::patient::{Patient, patience};
use chord::protocol::peer::Peer;
use chord::protocol::procedure::{Answer, Procedure, Step, Target};
use chord::protocol::rpc::{Code, Hop, Request, Response};
use rand::{Rng, RngExt};

use super::World;

pub struct Node {
    pub me: Peer,
    pub maintenance: Maintenance,
    pub fingers: FixFingers,
    /// The node hears and does nothing before this time; never again if it is `MAX`.
    pub paused_until: Duration,
    config: Config,
    incarnation: u64,
    /// Until it has become a member for the first time: when its ring was last heard of.
    joining: Option<Duration>,
    /// The numbers of the timers that are set.
    armed: [Option<u64>; Timer::COUNT],
    /// The number of the next lookup of a finger; none while one is under way.
    tick: Option<u64>,
    runs: BTreeMap<u64, Run>,
    /// The incarnations of the nodes that were reached.
    known: BTreeMap<SocketAddrV4, u64>,
    /// The other ends of kept connections.
    links: BTreeSet<SocketAddrV4>,
}

/// A conversation or lookup under way.
struct Run {
    talk: Patient<Talk>,
    purpose: Purpose,
    deadline: Option<Duration>,
    /// The numbers of the open question and of the probe.
    open: Option<u64>,
    probe: Option<u64>,
    /// The patience with the open question, and the number of the alarm that is set.
    wait: Duration,
    alarm: u64,
    /// The successor lists that were said to it, each behind the node whose it is.
    lists: Vec<Vec<Peer>>,
}

enum Talk {
    Conversation(Conversation),
    Lookup(Lookup),
}

enum End {
    Outcome(Outcome),
    Finding(Finding),
}

/// What a conversation or lookup is for.
enum Purpose {
    Maintenance,
    Fingers,
    /// To answer this call, which came at this time.
    Caller(Call, Duration),
    Test(u64),
}

/// One incarnation of the node at an address, or whoever lives there.
pub type Place = (SocketAddrV4, Option<u64>);

pub enum Event {
    Called(Call),
    /// The call was answered by the node of this identifier and incarnation, or by nobody.
    Answered(Call, Option<(Id, u64)>, Answer),
    /// The patience of a run is at its end.
    Alarm(u64, u64),
    /// The time of a lookup is over.
    Deadline(u64),
    Fire(Timer, u64),
    FixFinger(u64),
    Severed(SocketAddrV4),
}

pub struct Call {
    from: Place,
    number: u64,
    /// The run that asks; none if the answer does not matter.
    run: Option<u64>,
    target: Target,
    request: Request,
    patience: Option<Duration>,
    /// Whether it takes a connection of its own, which is not kept.
    fresh: bool,
    /// The incarnation that the caller has reached before.
    known: Option<u64>,
}

impl Procedure for Talk {
    type Output = End;

    fn start(&mut self) -> Step<End> {
        match self {
            Talk::Conversation(conversation) => conversation.start().map(End::Outcome),
            Talk::Lookup(lookup) => lookup.start().map(End::Finding),
        }
    }

    fn resume(&mut self, answer: Answer) -> Step<End> {
        match self {
            Talk::Conversation(conversation) => conversation.resume(answer).map(End::Outcome),
            Talk::Lookup(lookup) => lookup.resume(answer).map(End::Finding),
        }
    }
}

/// What tests make happen, and look into.
impl World {
    /// Starts a node, or starts it again; without seeds it creates a ring.
    pub fn start(&mut self, me: Peer, seeds: &[Peer]) {
        let config = self.config.clone();
        let maintenance = Maintenance::new(Setup {
            me,
            bits: self.bits,
            r: config.r,
            stabilize_every: config.stabilize,
            check_predecessor_every: config.check_predecessor,
            seeds: seeds.iter().map(|seed| seed.addr).collect(),
        });
        let node = Node {
            me,
            maintenance,
            fingers: FixFingers::new(FingerTable::alone(me, self.bits)),
            paused_until: Duration::ZERO,
            config,
            incarnation: self.rng.next_u64(),
            joining: (!seeds.is_empty()).then_some(self.now),
            armed: [None; Timer::COUNT],
            tick: None,
            runs: BTreeMap::new(),
            known: BTreeMap::new(),
            links: BTreeSet::new(),
        };
        let old = self.nodes.insert(me.addr, node);
        assert!(old.is_none_or(|old| old.paused_until == Duration::MAX), "{} runs already", self.name(me));
        self.schedule_finger(me.addr, Pace::NextPeriod);
        self.advance(me.addr);
    }

    /// Ends a node's program: its connections break, and whoever calls it is refused.
    pub fn crash(&mut self, peer: Peer) {
        let node = self.nodes.remove(&peer.addr).expect("a node to crash");
        for addr in node.links {
            if let Some(other) = self.nodes.get_mut(&addr) {
                other.links.remove(&peer.addr);
                let place = other.place();
                self.send(place, Event::Severed(peer.addr));
            }
        }
        for run in node.runs.into_values() {
            if let Purpose::Caller(call, _) = run.purpose {
                self.send(call.from, Event::Answered(call, None, Answer::Gone));
            }
        }
    }

    /// Stops a node for a while, without a word to anybody; for ever if that is `MAX`.
    pub fn pause(&mut self, peer: Peer, time: Duration) {
        let until = self.now.saturating_add(time);
        self.at(peer.addr).paused_until = until;
    }

    /// Begins a lookup; `found` will tell what came of it by the number that is returned.
    pub fn lookup(&mut self, from: Peer, key: Id) -> u64 {
        let number = self.number();
        let patience = self.at(from.addr).config.lookup_timeout;
        self.resolve(from.addr, Question { key, hops: 0, want_path: true }, patience, Purpose::Test(number));
        number
    }

    /// The successor lists that were said to somebody who has yet to apply them, each behind the
    /// node whose it is.
    pub fn lists_in_flight(&self) -> Vec<(Peer, Vec<Peer>)> {
        let said = self.nodes.values().filter(|node| node.paused_until < Duration::MAX).flat_map(|node| {
            let lists = node.runs.values().flat_map(|run| &run.lists);
            lists.map(|list| (node.me, list.clone()))
        });
        said.collect()
    }

    /// Lets the next thing happen.
    pub fn step(&mut self) {
        let Some(((now, _), (place, event))) = self.queue.pop_first() else { return };
        self.now = now;
        let (at, incarnation) = place;
        let Some(node) = self.nodes.get_mut(&at) else {
            if let Event::Called(call) = event {
                self.send(call.from, Event::Answered(call, None, Answer::Gone));
            }
            return;
        };
        if node.paused_until > now {
            if node.paused_until < Duration::MAX {
                let left = node.paused_until - now;
                self.schedule(left, place, event);
            }
            return;
        }
        if incarnation.is_some_and(|incarnation| incarnation != node.incarnation) {
            return;
        }
        match event {
            Event::Called(call) => self.called(at, call),
            Event::Answered(call, responder, answer) => self.answered(at, call, responder, answer),
            Event::Alarm(run, number) if node.runs.get(&run).is_some_and(|run| run.alarm == number) => {
                self.resume(at, run, Answer::Silent);
            }
            Event::Deadline(run) => {
                if let Some(run) = node.runs.remove(&run) {
                    self.resolved(at, run.purpose, Err(Lost::Timeout));
                }
            }
            Event::Fire(timer, number) if node.armed[timer as usize] == Some(number) => {
                node.armed[timer as usize] = None;
                node.maintenance.fired(timer);
                self.advance(at);
            }
            Event::FixFinger(number) if node.tick == Some(number) => {
                node.tick = None;
                let question = Question { key: node.fingers.key(), hops: 0, want_path: false };
                let patience = node.config.lookup_timeout;
                self.resolve(at, question, patience, Purpose::Fingers);
            }
            Event::Severed(addr) => {
                node.maintenance.severed(addr);
                self.advance(at);
            }
            Event::Alarm(..) | Event::Fire(..) | Event::FixFinger(_) => {}
        }
    }
}

/// The peers actor: calls and answers.
impl World {
    /// Puts a question. Whoever was never reached is told nothing that plain peers don't know.
    fn call(&mut self, at: SocketAddrV4, run: Option<u64>, target: Target, request: Request, fresh: bool) -> u64 {
        let (number, now) = (self.number(), self.now);
        let node = self.at(at);
        let known = node.known.get(&target.addr()).copied();
        let deadline = run.and_then(|run| node.runs[&run].deadline);
        let left = deadline.map_or(node.config.lookup_timeout, |deadline| deadline.saturating_sub(now));
        let patience = matches!(request, Request::FindSuccessor { .. }).then(|| left * 3 / 4);
        if known.is_some() || !matches!(request, Request::Nudge { .. } | Request::Invite { .. }) {
            let call = Call { from: node.place(), number, run, target, request, patience, fresh, known };
            self.send((target.addr(), None), Event::Called(call));
        }
        number
    }

    fn called(&mut self, at: SocketAddrV4, call: Call) {
        let now = self.now;
        let node = self.at(at);
        if let Request::FindSuccessor { key, hops, want_path } = call.request {
            let patience = call.patience.unwrap_or(node.config.lookup_timeout).min(node.config.lookup_timeout);
            self.resolve(at, Question { key, hops, want_path }, patience, Purpose::Caller(call, now));
        } else {
            let answer = node.maintenance.serve(&call.request, false);
            self.reply(at, call, answer.map_or_else(Answer::Refused, Answer::Reply));
            self.advance(at);
        }
    }

    fn reply(&mut self, at: SocketAddrV4, call: Call, answer: Answer) {
        let node = self.at(at);
        let responder = Some((node.me.id, node.incarnation));
        let asker = self.nodes.get_mut(&call.from.0).filter(|asker| asker.place() == call.from);
        if let Some(run) = asker.and_then(|asker| asker.runs.get_mut(&call.run?)) {
            run.lists.extend(extended_list(call.target, &answer));
        }
        self.send(call.from, Event::Answered(call, responder, answer));
    }

    fn answered(&mut self, at: SocketAddrV4, call: Call, responder: Option<(Id, u64)>, mut answer: Answer) {
        let addr = call.target.addr();
        if let Some((id, incarnation)) = responder {
            self.at(at).known.insert(addr, incarnation);
            let restarted = call.known.is_some_and(|known| known != incarnation);
            if matches!(call.target, Target::Peer(peer) if peer.id != id || restarted) {
                answer = Answer::Gone;
            }
            let callee = self.nodes.get_mut(&addr).filter(|callee| callee.incarnation == incarnation);
            if let Some(callee) = callee.filter(|_| !call.fresh) {
                callee.links.insert(at);
                self.at(at).links.insert(addr);
            }
        }
        let Some(number) = call.run else { return };
        let Some(run) = self.at(at).runs.get_mut(&number) else { return };
        if run.open == Some(call.number) {
            run.open = None;
            self.resume(at, number, answer);
        } else if run.probe == Some(call.number) {
            let alive = match answer {
                Answer::Reply(_) => Answer::Alive,
                Answer::Refused(code) if code != Code::NotJoined => Answer::Alive,
                other => other,
            };
            self.resume(at, number, alive);
        }
    }
}

/// The driver: conversations and lookups.
impl World {
    fn begin(&mut self, at: SocketAddrV4, talk: Talk, purpose: Purpose, patience: Option<Duration>) {
        let (number, deadline) = (self.number(), patience.map(|patience| self.now + patience));
        let (mut talk, node) = (Patient::new(talk), self.at(at));
        let (step, wait, place) = (talk.start(), node.config.rpc_timeout, node.place());
        let run = Run { talk, purpose, deadline, open: None, probe: None, wait, alarm: 0, lists: Vec::new() };
        node.runs.insert(number, run);
        if let Some(patience) = patience {
            self.schedule(patience, place, Event::Deadline(number));
        }
        self.follow(at, number, step);
    }

    fn resume(&mut self, at: SocketAddrV4, number: u64, answer: Answer) {
        let run = self.run_of(at, number);
        run.probe = None;
        let step = run.talk.resume(answer);
        self.follow(at, number, step);
    }

    fn follow(&mut self, at: SocketAddrV4, number: u64, step: Step<End>) {
        let rpc_timeout = self.at(at).config.rpc_timeout;
        let wait = match step {
            Step::Done(end) => return self.finish(at, number, end),
            Step::Ask(target, request) => {
                let wait = patience(&request, rpc_timeout);
                let open = Some(self.call(at, Some(number), target, request, false));
                let run = self.run_of(at, number);
                (run.open, run.wait) = (open, wait);
                wait
            }
            Step::Probe(target) => {
                let probe = self.call(at, Some(number), target, Request::CheckPredecessor, true);
                self.run_of(at, number).probe = Some(probe);
                rpc_timeout
            }
            Step::Wait => match self.run_of(at, number) {
                run if run.open.is_some() => run.wait,
                _ => return self.resume(at, number, Answer::Refused(Code::Unspecified)),
            },
        };
        let alarm = self.number();
        self.run_of(at, number).alarm = alarm;
        let place = self.at(at).place();
        self.schedule(wait, place, Event::Alarm(number, alarm));
    }

    fn finish(&mut self, at: SocketAddrV4, number: u64, end: End) {
        let node = self.at(at);
        let Some(run) = node.runs.remove(&number) else { return };
        match end {
            End::Outcome(outcome) => {
                node.maintenance.digest(outcome);
                self.advance(at);
            }
            End::Finding(Finding { result, dead }) => {
                if !dead.is_empty() {
                    node.maintenance.forget(&dead);
                    self.forget_fingers(at, &dead);
                    self.advance(at);
                }
                self.resolved(at, run.purpose, result);
            }
        }
    }

    fn run_of(&mut self, at: SocketAddrV4, number: u64) -> &mut Run {
        self.at(at).runs.get_mut(&number).expect("a run under way")
    }
}

/// The node actor: lookups.
impl World {
    fn resolve(&mut self, at: SocketAddrV4, question: Question, patience: Duration, purpose: Purpose) {
        let node = self.at(at);
        match node.maintenance.vantage().cloned() {
            Ok(neighbors) => {
                let preceding = node.fingers.table().preceding(question.key);
                let lookup = Talk::Lookup(Lookup::new(question, neighbors, preceding));
                self.begin(at, lookup, purpose, Some(patience));
            }
            Err(lost) => self.resolved(at, purpose, Err(lost)),
        }
    }

    fn resolved(&mut self, at: SocketAddrV4, purpose: Purpose, result: Result<Found, Lost>) {
        match purpose {
            Purpose::Maintenance => unreachable!("maintenance holds conversations only"),
            Purpose::Fingers => {
                let pace = self.at(at).fingers.digest(result.ok().map(|found| found.owner));
                self.schedule_finger(at, pace);
            }
            Purpose::Caller(call, asked) => {
                let hop = Hop { node: self.at(at).me, took: self.now - asked };
                let wanted = matches!(call.request, Request::FindSuccessor { want_path: true, .. });
                let answer = match result {
                    Ok(Found { owner, path }) => {
                        let path = wanted.then_some(hop).into_iter().chain(path).collect();
                        Answer::Reply(Response::Successor { owner, path })
                    }
                    Err(lost) => Answer::Refused(lost.into()),
                };
                self.reply(at, call, answer);
            }
            Purpose::Test(number) => {
                self.found.insert(number, result);
            }
        }
    }
}

/// The two tables' actors.
impl World {
    fn advance(&mut self, at: SocketAddrV4) {
        let node = self.at(at);
        let conversation = node.maintenance.next_conversation();
        for effect in node.maintenance.effects() {
            self.carry_out(at, effect);
            if !self.nodes.contains_key(&at) {
                return;
            }
        }
        if let Some(conversation) = conversation {
            self.begin(at, Talk::Conversation(conversation), Purpose::Maintenance, None);
        }
    }

    fn carry_out(&mut self, at: SocketAddrV4, effect: Effect) {
        match effect {
            Effect::Wake(timer, after) => {
                let (number, after) = (self.number(), self.jittered(after));
                self.at(at).armed[timer as usize] = Some(number);
                let place = self.at(at).place();
                self.schedule(after, place, Event::Fire(timer, number));
            }
            Effect::Tell(peer, request) => {
                self.call(at, None, peer.into(), request, false);
            }
            Effect::Changed => {
                self.at(at).fingers.disturb();
                self.hurry_fingers(at);
            }
            Effect::Dead(peer) => self.forget_fingers(at, &[peer]),
            Effect::Tried(joined) => self.tried(at, joined),
        }
    }

    /// The program of a node that can't join ends.
    fn tried(&mut self, at: SocketAddrV4, joined: Joined) {
        let now = self.now;
        let node = self.at(at);
        let (Some(answered), limit) = (node.joining, node.config.join_timeout) else { return };
        match joined {
            Joined::Member(_) => node.joining = None,
            Joined::NotNow => node.joining = Some(now),
            Joined::NotJoined | Joined::NoAnswer if now - answered < limit => {}
            Joined::NotJoined | Joined::NoAnswer | Joined::IdTaken(_) => self.crash(self.nodes[&at].me),
        }
    }

    fn forget_fingers(&mut self, at: SocketAddrV4, dead: &[Peer]) {
        for peer in dead {
            if self.at(at).fingers.forget(*peer) {
                self.hurry_fingers(at);
            }
        }
    }

    fn hurry_fingers(&mut self, at: SocketAddrV4) {
        if self.at(at).tick.is_some() {
            self.schedule_finger(at, Pace::AtOnce);
        }
    }

    fn schedule_finger(&mut self, at: SocketAddrV4, pace: Pace) {
        let (number, every) = (self.number(), self.at(at).config.fix_fingers);
        let pause = if pace == Pace::AtOnce { Duration::ZERO } else { self.jittered(every) };
        self.at(at).tick = Some(number);
        let place = self.at(at).place();
        self.schedule(pause, place, Event::FixFinger(number));
    }
}

/// Numbers, time and chance.
impl World {
    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn schedule(&mut self, after: Duration, place: Place, event: Event) {
        let number = self.number();
        self.queue.insert((self.now + after, number), (place, event));
    }

    fn send(&mut self, place: Place, event: Event) {
        let delay = self.rng.random_range(self.delay.clone());
        self.schedule(delay, place, event);
    }

    fn jittered(&mut self, time: Duration) -> Duration {
        time.mul_f64(self.rng.random_range(0.75..1.25))
    }

    fn at(&mut self, at: SocketAddrV4) -> &mut Node {
        self.nodes.get_mut(&at).expect("a node that is up")
    }
}

impl Node {
    fn place(&self) -> Place {
        (self.me.addr, Some(self.incarnation))
    }
}

fn extended_list(target: Target, answer: &Answer) -> Option<Vec<Peer>> {
    let (Target::Peer(peer), Answer::Reply(reply)) = (target, answer) else { return None };
    let list = match reply {
        Response::Predecessor { successors, .. } => successors.as_ref()?,
        Response::SuccessorList { successors, .. } => successors,
        _ => return None,
    };
    Some(std::iter::once(peer).chain(list.iter().copied()).collect())
}
