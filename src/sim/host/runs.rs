//! Conversations and lookups under way: the work of `drive` and `node`.

mod lookups;

use std::time::Duration;

use rand::RngExt;

use super::super::environment::Environment;
use super::super::events::Happening;
use super::run::{End, Purpose, Rest, Run, Sought, Talk, Wait, Way};
use super::{Host, thread};
use crate::protocol::admission::Class;
use crate::protocol::lookup::LookupFailure;
use crate::protocol::lookup::restarts::Restarts;
use crate::protocol::patient::{Patient, longer, patience};
use crate::protocol::peer::Peer;
use crate::protocol::procedure::{Answer, Procedure, Step, Target};
use crate::protocol::retry_budget::rest;
use crate::protocol::rpc::{Code, Request};

/// From a half more to a half less.
fn jittered(time: Duration, env: &mut Environment) -> Duration {
    time.mul_f64(env.rng.random_range(0.5..1.5))
}

/// The driver.
impl Host {
    /// Begins a conversation or lookup. For a lookup, `lookup` gives what it seeks, how often it has begun again, and its
    /// time limit.
    pub(super) fn begin(
        &mut self,
        talk: Talk,
        purpose: Purpose,
        lookup: Option<((Sought, Restarts), Duration)>,
        env: &mut Environment,
    ) {
        let (lookup, patience) = lookup.unzip();
        let number = env.number();
        let mut talk = Patient::new(talk);
        let step = talk.start();
        env.charge(self.place.slot, |prices| prices.step);
        let mut client = None;
        if let (Some((sought, _)), Step::Ask(..)) = (&lookup, &step) {
            let (class, whose) = self.client(&purpose, sought, env);
            if !env.admit(self.place.slot, class, whose) {
                return self.resolved(purpose, Err(LookupFailure::Busy), env);
            }
            client = Some(whose).filter(|_| class != Class::Maintenance);
        }
        let run = Run {
            talk,
            purpose,
            lookup,
            deadline: patience.map(|patience| env.now + patience),
            open: None,
            probe: None,
            target: None,
            rest: None,
            wait: self.config.rpc_timeout,
            alarm: 0,
            waiting: Wait::default(),
            until: Duration::MAX,
            hop: None,
            client,
            calls: Vec::new(),
            lists: Vec::new(),
        };
        self.runs.insert(number, Box::new(run));
        if let (Some(patience), Step::Ask(..)) = (patience, &step) {
            env.schedule(patience, self.place, Happening::Deadline(number));
        }
        self.follow(number, step, env);
    }

    pub(super) fn resume(&mut self, number: u64, answer: Answer, env: &mut Environment) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        if let Some(probe) = run.probe.take() {
            self.calls.remove(&probe);
        }
        let step = run.talk.resume(answer);
        env.charge(self.place.slot, |prices| prices.step);
        let dead = run.talk.take_dead();
        self.mark_dead(&dead, env);
        self.follow(number, step, env);
    }

    fn follow(&mut self, number: u64, step: Step<End>, env: &mut Environment) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        let (open, wait, deadline) = (run.open.is_some(), run.wait, run.deadline);
        let wait = match step {
            Step::Done(end) => return self.finish(number, end, env),
            Step::Ask(target, request) => {
                let wait = patience(&request, self.config.rpc_timeout);
                if let Some(given_up) = self.runs.get_mut(&number).and_then(|run| run.open.take()) {
                    self.calls.remove(&given_up);
                }
                self.settle_hop(number, false, env);
                if request.depends_on_others() && !self.may_pass(number, target, env) {
                    return self.resume(number, Answer::Unasked, env);
                }
                let limit = if request.depends_on_others() {
                    self.config.lookup_timeout
                } else {
                    // The target is probed after one time-out, and given up after the second.
                    self.config.rpc_timeout * 3
                };
                let until = deadline.unwrap_or(env.now + limit);
                let call = self.ask(number, target, request, Way::Kept, env);
                self.update(number, |run| {
                    (run.open, run.wait, run.target, run.until) = (Some(call), wait, Some(target), until);
                });
                wait
            }
            Step::Suspect(target) if self.suspect(number, target, env) => return,
            Step::Probe(target) | Step::Suspect(target) => {
                let call = self.ask(number, target, Request::CheckPredecessor, Way::Fresh, env);
                self.update(number, |run| (run.probe, run.target) = (Some(call), Some(target)));
                self.config.rpc_timeout
            }
            Step::Rest { .. } if env.thread(self.place.slot).is_some_and(|thread| !thread.budget.spend()) => {
                return self.resume(number, Answer::Unasked, env);
            }
            Step::Rest { rests } => {
                self.update(number, |run| run.rest = Some(Rest::BeforeQuestion));
                jittered(rest(rests), env)
            }
            Step::Wait if open => {
                let wait = longer(wait, self.config.rpc_timeout);
                self.update(number, |run| run.wait = wait);
                wait
            }
            // The target lives, but the question is no longer open.
            Step::Wait => return self.resume(number, Answer::Refused(Code::Unspecified), env),
        };
        let waiting = Wait { began: env.now, agreed: wait };
        self.update(number, |run| run.waiting = waiting);
        let time = self.patience(wait, env);
        let until = self.runs.get(&number).filter(|run| run.waits_for_answer()).map(|run| run.until);
        let time = until.map_or(time, |until| time.min(until.saturating_sub(env.now)));
        self.wait(number, time, env);
    }

    fn wait(&mut self, number: u64, time: Duration, env: &mut Environment) {
        let alarm = env.number();
        self.set_alarm(number, alarm);
        env.schedule(time, self.place, Happening::Alarm { run: number, alarm });
    }

    pub(super) fn set_alarm(&mut self, number: u64, alarm: u64) {
        self.update(number, |run| run.alarm = alarm);
    }

    pub(super) fn waits_for(&self, number: u64, alarm: u64) -> bool {
        self.runs.get(&number).is_some_and(|run| run.alarm == alarm)
    }

    pub(super) fn update(&mut self, number: u64, change: impl FnOnce(&mut Run)) {
        if let Some(run) = self.runs.get_mut(&number) {
            change(run);
        }
    }

    /// The time of a wait is over.
    pub(super) fn waited(&mut self, number: u64, alarm: u64, env: &mut Environment) {
        if self.pinged_in_vain(number, alarm, env) {
            return;
        }
        let Some(run) = self.runs.get_mut(&number).filter(|run| run.alarm == alarm) else { return };
        match run.rest.take() {
            Some(Rest::BeforeQuestion) => return self.resume(number, Answer::Rested, env),
            Some(Rest::BeforeRestart) => return self.restart(number, env),
            None => {}
        }
        let waiting = run.waiting;
        if run.waits_for_answer() && env.now >= run.until {
            if let Some(given_up) = run.open.take() {
                self.calls.remove(&given_up);
            }
        } else if let Some((more, waiting)) = self.goes_on(waiting, env) {
            self.update(number, |run| run.waiting = waiting);
            return self.wait(number, more, env);
        }
        self.overdue(number, env);
        let Some(run) = self.runs.get(&number) else { return };
        env.tally.timeouts += 1;
        if let (Some(_), Some(Target::Peer(target))) = (run.probe, run.target) {
            env.tally.given_up += 1;
            env.suspected.push((target, self.me));
        }
        self.resume(number, Answer::Silent, env);
    }

    /// The time limit of a lookup has passed.
    pub(super) fn out_of_time(&mut self, number: u64, env: &mut Environment) {
        if let Some(run) = self.end(number, env) {
            self.resolved(run.purpose, Err(LookupFailure::Timeout), env);
        }
    }

    pub(super) fn end(&mut self, number: u64, env: &mut Environment) -> Option<Box<Run>> {
        let run = self.runs.remove(&number)?;
        for call in &run.calls {
            self.calls.remove(call);
        }
        thread::settle(run.hop, false, self.place, env);
        if let (Some(client), Some(thread)) = (run.client, env.thread(self.place.slot)) {
            thread.done(client);
        }
        Some(run)
    }

    fn finish(&mut self, number: u64, end: End, env: &mut Environment) {
        let Some(run) = self.end(number, env) else { return };
        match end {
            End::Outcome(outcome) => {
                self.maintenance.digest(outcome);
                self.advance(env);
            }
            End::Told => {}
            End::Finding(finding) => {
                self.mark_dead(&finding.dead, env);
                self.found(run, finding, env);
            }
        }
    }

    /// Gives up the conversations under way: their outcome no longer matters.
    pub(super) fn stop_talking(&mut self, env: &mut Environment) {
        let talks = self.runs.iter().filter(|(_, run)| matches!(run.purpose, Purpose::Maintenance | Purpose::News));
        for number in talks.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.end(number, env);
        }
    }

    /// Tells both tables which peers turned out dead.
    fn mark_dead(&mut self, dead: &[Peer], env: &mut Environment) {
        if !dead.is_empty() && !env.frozen {
            self.maintenance.forget(dead);
            self.forget_fingers(dead, env);
            self.advance(env);
        }
    }

    /// An open call continues under another number.
    pub(super) fn renumber(&mut self, run: u64, old: u64, new: u64) {
        let Some(run) = self.runs.get_mut(&run) else { return };
        for number in [&mut run.open, &mut run.probe].into_iter().flatten() {
            if *number == old {
                *number = new;
            }
        }
    }

    /// The run that asked with this call.
    pub(in super::super) fn run_of_call(&mut self, call: u64) -> Option<&mut Run> {
        let run = self.calls.get(&call)?.run;
        self.runs.get_mut(&run).map(Box::as_mut)
    }

    /// The lists that were sent to conversations under way.
    pub(in super::super) fn lists_said(&self) -> impl Iterator<Item = &Vec<Peer>> + '_ {
        self.runs.values().flat_map(|run| &run.lists)
    }
}
