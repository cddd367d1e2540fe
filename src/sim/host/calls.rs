//! Calls and answers as frames, and the connections that carry them.

use std::time::Duration;

use bytes::BytesMut;

use super::super::environment::Environment;
use super::super::events::{Content, Place, Post, Slot};
use super::super::nodes::number_of;
use super::super::recording::call;
use super::Host;
use super::contacts::Known;
use super::run::{Purpose, Sought, Way};
use crate::protocol::admission::Class;
use crate::protocol::failure_detector::Verdict;
use crate::protocol::id::Id;
use crate::protocol::lookup::iterative::Style;
use crate::protocol::lookup::{self, Scope};
use crate::protocol::peer::Peer;
use crate::protocol::procedure::{Answer, Target};
use crate::protocol::rpc::{Code, Request, Response, passed_on};
use crate::wire::{Frame, Question, Reply};

/// A call that was sent and not answered yet.
pub(super) struct Call {
    /// The run that made the call.
    pub run: u64,
    target: Target,
    request: Request,
    patience: Option<Duration>,
    way: Way,
    /// The incarnation of the callee's program that had answered before.
    known: Option<u64>,
    /// Whether it uses a connection to the callee's own address, not to its front.
    direct: bool,
}

/// Calls to other nodes.
impl Host {
    /// Sends a call and returns its number.
    pub(super) fn ask(&mut self, run: u64, target: Target, request: Request, way: Way, env: &mut Environment) -> u64 {
        let forwarded = request.depends_on_others();
        let patience = forwarded.then(|| {
            let left =
                self.runs.get(&run).and_then(|run| run.deadline).map(|deadline| deadline.saturating_sub(env.now));
            passed_on(left.unwrap_or(self.config.lookup_timeout))
        });
        env.tally.forwarded += u64::from(forwarded);
        let known = self.contacts.known(env.slot(target.addr())).map(|known| known.incarnation);
        self.put(Call { run, target, request, patience, way, known, direct: true }, env)
    }

    fn put(&mut self, mut call: Call, env: &mut Environment) -> u64 {
        let (number, to) = (env.number(), env.slot(call.target.addr()));
        let mut question = self.question(number, to, &call.request, call.patience, call.way);
        question.to = self.connect(call.target.addr(), call.way, env);
        call.direct = question.to.is_none();
        self.send(number, to, question, env);
        if let Some(run) = self.runs.get_mut(&call.run) {
            run.calls.push(number);
        }
        self.calls.insert(number, call);
        number
    }

    /// Sends a request whose answer does not matter. A peer that has never answered gets no extension, since plain
    /// peers don't know them.
    pub(super) fn tell(&mut self, peer: Peer, request: Request, env: &mut Environment) {
        let to = env.slot(peer.addr);
        if !request.is_extension() || self.contacts.known(to).is_some() {
            let number = env.number();
            let mut question = self.question(number, to, &request, None, Way::Kept);
            question.to = self.connect(peer.addr, Way::Kept, env);
            self.send(number, to, question, env);
        }
    }

    /// A call; the second one on a kept connection names the caller.
    fn question(&mut self, number: u64, to: Slot, request: &Request, patience: Option<Duration>, way: Way) -> Question {
        let introduces = way == Way::Kept && self.contacts.introduce(to);
        Question {
            request: Ok(request.clone()),
            call_id: Some(number),
            deadline: patience,
            caller: introduces.then(|| Box::new((self.me, self.incarnation))),
            to: None,
            ring: None,
        }
    }

    fn send(&mut self, number: u64, to: Slot, question: Question, env: &mut Environment) {
        self.contacts.meet(to);
        let urgent = question.request.as_ref().map_or(true, |request| Class::of(request) == Class::Maintenance);
        if let Some(bytes) = env.encode(Frame::Call(question)) {
            env.write(Post { from: self.place, to, generation: None, content: Content::Call(number, bytes) }, urgent);
        }
    }
}

/// What arrives from other nodes.
impl Host {
    pub(super) fn heard(&mut self, from: Place, content: Content, env: &mut Environment) {
        match content {
            Content::Call(_, bytes) => {
                if let Some(Frame::Call(question)) = env.decode(bytes) {
                    self.called(from, question, env);
                }
            }
            Content::Return(bytes) => self.returned(from, bytes, env),
            Content::Refused(number) if self.channel_refused(number, env) => {}
            Content::Refused(number) => self.refused(from, number, env),
            Content::Channel { caller, bytes, .. } => self.channel(from, caller, bytes, env),
            Content::ChannelLost => self.channel_lost(from, env),
            Content::Severed => self.severed(from, env),
            Content::Opened => {}
        }
    }

    fn called(&mut self, from: Place, question: Question, env: &mut Environment) {
        let Some(number) = question.call_id else { return };
        env.note(|env| {
            let asker = number_of(env.address(from.slot));
            format!("{} is asked #{number} by {asker}: {:?}", env.name(self.me.id), question.request)
        });
        let (now, caller) = (env.now, env.address(from.slot));
        if let (Some(recorder), Ok(request)) = (&mut env.recorder, &question.request) {
            recorder.hear(now, caller, self.me.id, call(request));
        }
        if let Some((caller, _)) = question.caller.as_deref().copied() {
            self.contacts.hear_name(env.slot(caller.addr));
        }
        let patience = question.deadline.unwrap_or(self.config.lookup_timeout).min(self.config.lookup_timeout);
        let (now, class) = (env.now, question.request.as_ref().map_or(Class::Maintenance, Class::of));
        let age = env.thread(self.place.slot).map(|thread| thread.age_of_arrivals(now));
        if class != Class::Maintenance && question.deadline.is_some_and(|deadline| Some(deadline) <= age) {
            let late = Reply::refuse(Code::Retry, "it has waited too long");
            return self.reply(from, number, late, None, false, env);
        }
        match question.request {
            Err(error) => self.reply(from, number, Reply::complain(&error), None, true, env),
            Ok(Request::FindSuccessor { key, hops, want_path }) => {
                let sought =
                    Sought::by(Style::Recursive, lookup::Query { key, scope: Scope::Ring { hops }, want_path });
                let purpose = Purpose::Caller { from, number, want_path, asked: env.now };
                self.resolve(sought, patience, purpose, env);
            }
            Ok(Request::ClosestPrecedingNode { key, doubted, want_path }) => {
                let here = lookup::Query::here(key, want_path);
                let sought = Sought { doubted, ..Sought::by(Style::Recursive, here) };
                let purpose = Purpose::Caller { from, number, want_path, asked: env.now };
                self.resolve(sought, patience, purpose, env);
            }
            Ok(request) => {
                let answer = self.maintenance.serve(&request, false).map_err(|code| (code, code.to_string()));
                self.answer(from, number, answer, true, env);
                self.advance(env);
            }
        }
    }

    /// Answers a call.
    pub(super) fn answer(
        &mut self,
        to: Place,
        number: u64,
        answer: Result<Response, (Code, String)>,
        urgent: bool,
        env: &mut Environment,
    ) {
        match answer {
            Ok(response) => {
                let reply = Reply::to(&response, self.me, self.config.successors);
                let list = match response {
                    Response::Predecessor { successors, .. } => successors,
                    Response::SuccessorList { successors, .. } => Some(successors),
                    _ => None,
                };
                self.reply(to, number, reply, list, urgent, env);
            }
            Err((code, why)) => self.reply(to, number, Reply::refuse(code, why), None, urgent, env),
        }
    }

    fn reply(
        &mut self,
        to: Place,
        number: u64,
        mut reply: Reply,
        list: Option<Vec<Peer>>,
        urgent: bool,
        env: &mut Environment,
    ) {
        reply.call_id = Some(number);
        reply.responder = Some((self.me.id, self.incarnation));
        reply.front = env.front(self.place.slot);
        if let Some(mut list) = list {
            list.insert(0, self.me);
            env.said.push((to, number, list));
        }
        self.contacts.meet(to.slot);
        if let Some(bytes) = env.encode(Frame::Return(reply)) {
            let generation = Some(to.generation);
            env.write(Post { from: self.place, to: to.slot, generation, content: Content::Return(bytes) }, urgent);
        }
    }

    fn returned(&mut self, from: Place, bytes: BytesMut, env: &mut Environment) {
        if self.contacts.known(from.slot).is_some_and(|known| known.generation > from.generation) {
            // The connection to an earlier run of that program is closed.
            return;
        }
        let Some(Frame::Return(reply)) = env.decode(bytes) else { return };
        let call = reply.call_id.and_then(|number| self.calls.remove(&number));
        if let Some((responder, incarnation)) = reply.responder {
            self.contacts.know(from.slot, Known { incarnation, generation: from.generation });
            self.thread_hears(from, (responder, incarnation), reply.front, call.as_ref(), env);
        }
        if call.as_ref().is_none_or(|call| call.way != Way::Fresh) {
            self.contacts.link(from.slot);
        }
        match (call, reply.call_id) {
            (Some(call), Some(number)) => {
                let answer = understand(&call, &reply);
                env.note(|env| {
                    let (me, to) = (env.name(self.me.id), number_of(env.address(from.slot)));
                    format!("{me} hears on #{number} from {to}: {answer:?}")
                });
                self.resolved_call(call.run, number, answer, env);
            }
            _ => env.tally.stale += 1,
        }
    }

    /// A node has answered in its own name: its thread learns that it lives, and what its front is.
    fn thread_hears(
        &self,
        from: Place,
        who: (Id, u64),
        front: Option<u16>,
        call: Option<&Call>,
        env: &mut Environment,
    ) {
        let (addr, now) = (env.address(from.slot), env.now);
        let Some(thread) = env.thread(self.place.slot) else { return };
        let peer = Peer { id: who.0, addr };
        let probed = thread.detector.heard(peer, now);
        if call.is_some_and(|call| call.direct) {
            thread.fronts.learn(addr, front, who.1, now);
        }
        if probed {
            env.conclude((self.me, self.place.slot), peer, Verdict::Alive);
        }
    }

    fn refused(&mut self, from: Place, number: u64, env: &mut Environment) {
        self.contacts.unlink(from.slot);
        let addr = env.address(from.slot);
        if let Some(thread) = env.thread(self.place.slot) {
            thread.unlink(addr);
        }
        if let Some(call) = self.calls.remove(&number) {
            env.note(|env| format!("{} is refused #{number}", env.name(self.me.id)));
            if let (true, Target::Peer(peer)) = (env.frozen, call.target) {
                env.vain.push((peer, call.request));
            }
            self.resolved_call(call.run, number, Answer::Gone, env);
        }
    }

    /// A kept connection broke: its open calls are sent once more.
    fn severed(&mut self, from: Place, env: &mut Environment) {
        let addr = env.address(from.slot);
        if self.contacts.known(from.slot).is_some_and(|known| known.generation > from.generation) {
            return;
        }
        self.contacts.unlink(from.slot);
        if let Some(thread) = env.thread(self.place.slot) {
            thread.unlink(addr);
            self.give_up_for(from, env);
        }
        env.note(|env| {
            let (me, to) = (env.name(self.me.id), number_of(addr));
            format!("{me} loses its connection to {to}")
        });
        let on_it = |call: &Call| call.target.addr() == addr && call.way == Way::Kept;
        let open: Vec<u64> = self.calls.iter().filter(|(_, call)| on_it(call)).map(|(number, _)| *number).collect();
        for number in open {
            let Some(call) = self.calls.remove(&number) else { continue };
            let run = call.run;
            env.tally.repeated += 1;
            let again = self.put(Call { way: Way::Again, ..call }, env);
            self.renumber(run, number, again);
        }
        self.maintenance.severed(&[addr].into());
        self.advance(env);
    }

    /// An answer to a call of a run: to its open question, or to its probe.
    fn resolved_call(&mut self, run: u64, number: u64, answer: Answer, env: &mut Environment) {
        if self.pinged(run, &answer, env) {
            return;
        }
        let Some(talk) = self.runs.get_mut(&run) else { return };
        if let (true, Some(Target::Peer(target))) = (answer.is_dead(), talk.target) {
            // The target may have become a member while that news was on its way.
            env.suspected.push((target, self.me));
        }
        if talk.open == Some(number) {
            talk.open = None;
            self.settle_hop(run, matches!(answer, Answer::Reply(_)), env);
            self.resume(run, answer, env);
        } else if talk.probe == Some(number) {
            self.resume(run, answer.to_probe(), env);
        }
    }
}

/// What a reply to this call means.
fn understand(call: &Call, reply: &Reply) -> Answer {
    let expected: Option<Id> = match call.target {
        Target::Peer(peer) => Some(peer.id),
        Target::Address(_) => None,
    };
    let mut restarted = None;
    if let (Some(expected), Some((responder, incarnation))) = (expected, reply.responder) {
        if responder != expected {
            return Answer::Gone;
        }
        restarted = call.known.filter(|known| *known != incarnation).map(|_| responder);
    }
    let responder = expected.or(reply.responder.map(|(responder, _)| responder));
    let answer = match reply.read(&call.request, responder) {
        Ok(Ok(response)) => Answer::Reply(response),
        Ok(Err(code)) => Answer::Refused(code),
        Err(_) => Answer::Refused(Code::Unspecified),
    };
    match restarted {
        Some(responder) => answer.after_restart(&call.request, responder),
        None => answer,
    }
}
