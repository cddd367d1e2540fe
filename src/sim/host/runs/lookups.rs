//! Lookups: how they begin, when they begin again, and what becomes of their answers.
//!
//! It stands for `src/actors/lookups.rs`.

use std::time::Duration;

use super::jittered;
use crate::protocol::lookup::restarts::{Next, Restarts};
use crate::protocol::lookup::{Finding, Lookup, LookupFailure};
use crate::protocol::retry_budget::rest;
use crate::protocol::rpc::Hop;
use crate::sim::environment::Environment;
use crate::sim::events::Happening;
use crate::sim::host::Host;
use crate::sim::host::run::{Purpose, Rest, Run, Sought, Talk};

impl Host {
    pub(in super::super) fn resolve(
        &mut self,
        sought: Sought,
        patience: Duration,
        purpose: Purpose,
        env: &mut Environment,
    ) {
        self.seek((sought, Restarts::default()), patience, purpose, env);
    }

    fn seek(&mut self, lookup: (Sought, Restarts), patience: Duration, purpose: Purpose, env: &mut Environment) {
        let Sought { query, style, doubted, guess } = lookup.0.clone();
        match self.maintenance.vantage().cloned() {
            Ok(neighbors) => {
                let preceding = self.fingers.table().preceding(query.key);
                let talk = Lookup::new(query, neighbors, preceding).in_style(style).doubting(doubted).guessing(guess);
                self.begin(Talk::Lookup(Box::new(talk)), purpose, Some((lookup, patience)), env);
            }
            Err(lost) => self.resolved(purpose, Err(lost), env),
        }
    }

    pub(super) fn resolved(&mut self, purpose: Purpose, found: Result<Finding, LookupFailure>, env: &mut Environment) {
        match purpose {
            // Maintenance holds conversations, which have no time limit.
            Purpose::Maintenance | Purpose::News => {}
            Purpose::Fingers => {
                let found = found.and_then(Finding::owner);
                let pace = self.fingers.digest(found.ok().map(|found| found.owner));
                self.schedule_finger(pace, env);
            }
            Purpose::Caller { from, number, want_path, asked } => {
                let hop = want_path.then(|| Hop { node: self.me, took: env.now - asked });
                let answer = found.and_then(|finding| finding.answer(hop));
                self.answer(from, number, answer.map_err(|lost| (lost.into(), lost.to_string())), false, env);
            }
            Purpose::Service(number) => self.found_owner(number, found, env),
            Purpose::Outside(number) => {
                let found = found.and_then(Finding::owner);
                env.tally.hops += found.as_ref().map_or(0, |found| found.path.len() as u64);
                env.found.insert(number, found);
            }
        }
    }

    /// A lookup has ended, unless it begins again in the time that is left. In frozen tables the dead stay: a new lookup
    /// would end in the same way.
    pub(super) fn found(&mut self, run: Box<Run>, finding: Finding, env: &mut Environment) {
        let Some((sought, mut restarts)) = run.lookup.clone() else { return };
        let slot = self.place.slot;
        let next = match env.frozen {
            true => Next::Answer,
            false => {
                restarts.after(&finding, sought.query, || env.thread(slot).is_none_or(|thread| thread.budget.spend()))
            }
        };
        let again = match next {
            Next::Answer => Ok(false),
            Next::Rest(rests) => {
                return self.rest_and_restart(Run { lookup: Some((sought, restarts)), ..*run }, rests, env);
            }
            Next::Compare => self.maintenance.vantage().and_then(|now| restarts.compare(&finding, sought.query, now)),
        };
        match again {
            Ok(true) => {
                let patience = run.deadline.unwrap_or_default().saturating_sub(env.now);
                self.seek((sought, restarts), patience, run.purpose, env);
            }
            Ok(false) => self.resolved(run.purpose, Ok(finding), env),
            Err(lost) => self.resolved(run.purpose, Err(lost), env),
        }
    }

    /// A lookup that has ended rests before it begins again.
    fn rest_and_restart(&mut self, run: Run, rests: u32, env: &mut Environment) {
        let (number, deadline) = (env.number(), run.deadline.unwrap_or_default());
        let run = Run { rest: Some(Rest::BeforeRestart), client: None, hop: None, ..run };
        self.runs.insert(number, Box::new(run));
        env.schedule(deadline.saturating_sub(env.now), self.place, Happening::Deadline(number));
        let time = jittered(rest(rests), env);
        self.wait(number, time, env);
    }

    pub(super) fn restart(&mut self, number: u64, env: &mut Environment) {
        let Some(run) = self.end(number, env) else { return };
        let left = run.deadline.unwrap_or_default().saturating_sub(env.now);
        if let Some(lookup) = run.lookup {
            self.seek(lookup, left, run.purpose, env);
        }
    }
}
