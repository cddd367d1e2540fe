//! What a node leaves to its thread, if it has one: how long to wait, which nodes are dead, which lookups to admit.
//!
//! It stands for `src/actors/thread.rs` and for what `drive` asks of that.

use std::time::Duration;

use super::super::environment::Environment;
use super::super::events::{Content, Place, Post};
use super::Host;
use super::run::{Purpose, Run, Sought, Wait, Way};
use crate::protocol::addr::Addr;
use crate::protocol::admission::Class;
use crate::protocol::failure_detector::{KEPT_SHARE, Suspicion, Verdict};
use crate::protocol::local_health::Ripe;
use crate::protocol::lookup::Scope;
use crate::protocol::peer::Peer;
use crate::protocol::procedure::{Answer, Target};
use crate::protocol::rpc::Request;
use crate::sim::events::Happening;
use crate::sim::storm::thread::{Client, Waiting};

/// A node that is probed for all nodes of the thread that suspect it.
pub(super) struct Probing {
    peer: Peer,
    /// Whether it was also pinged on a fresh connection.
    fresh: bool,
    /// The wait under way.
    wait: Wait,
    alarm: u64,
}

/// Waits.
impl Host {
    /// How long to wait for others where so much was agreed.
    pub(super) fn patience(&self, agreed: Duration, env: &mut Environment) -> Duration {
        env.thread(self.place.slot).map_or(agreed, |thread| thread.patience(agreed))
    }

    /// How much longer a wait has to last although its time has passed, and the wait from then on.
    pub(super) fn goes_on(&self, wait: Wait, env: &mut Environment) -> Option<(Duration, Wait)> {
        let now = env.now;
        match env.thread(self.place.slot)?.is_ripe(wait.began, wait.agreed, now) {
            Ripe::Yes => None,
            Ripe::NotYet { more, again } => Some((more, Wait { began: if again { now } else { wait.began }, ..wait })),
        }
    }
}

/// Hops.
impl Host {
    /// Whether a lookup may go on to that hop now, judged by what its thread knows of the hop.
    pub(super) fn may_pass(&mut self, number: u64, target: Target, env: &mut Environment) -> bool {
        let (hop, now) = (target.addr(), env.now);
        let Some(thread) = env.thread(self.place.slot) else { return true };
        thread.budget.earn();
        let admits = thread.bulkhead.admits(hop, now);
        if admits {
            self.update(number, |run| run.hop = Some((hop, false)));
        }
        admits
    }

    /// The hop of a lookup is overdue.
    pub(super) fn overdue(&mut self, number: u64, env: &mut Environment) {
        let now = env.now;
        let Some(Some((hop, overdue))) = self.runs.get_mut(&number).map(|run| run.hop.as_mut()) else { return };
        if let (false, Some(thread)) = (std::mem::replace(overdue, true), env.thread(self.place.slot)) {
            thread.bulkhead.overdue(*hop, now);
        }
    }

    /// A lookup no longer waits at its hop.
    pub(super) fn settle_hop(&mut self, number: u64, answered: bool, env: &mut Environment) {
        let hop = self.runs.get_mut(&number).and_then(|run| run.hop.take());
        settle(hop, answered, self.place, env);
    }
}

/// A lookup no longer waits at that hop.
pub(super) fn settle(hop: Option<(Addr, bool)>, answered: bool, place: Place, env: &mut Environment) {
    let now = env.now;
    if let (Some((hop, overdue)), Some(thread)) = (hop, env.thread(place.slot)) {
        if answered {
            thread.bulkhead.answered(hop, now);
        }
        if overdue {
            thread.bulkhead.settled(hop);
        }
    }
}

/// Suspicions.
impl Host {
    /// A node stays silent to a run. Returns whether the thread decides if it is dead; without a thread, each run
    /// probes it by itself.
    pub(super) fn suspect(&mut self, run: u64, target: Target, env: &mut Environment) -> bool {
        let (Target::Peer(peer), now) = (target, env.now) else { return false };
        let place = self.place;
        let Some(thread) = env.thread(place.slot) else { return false };
        let Some(suspicion) = thread.suspect(peer, now) else { return false };
        match suspicion {
            Suspicion::Wait | Suspicion::Probe => {
                let alarm = env.number();
                self.set_alarm(run, alarm);
                env.wait_for_verdict(peer, Waiting { place, run, alarm });
            }
            Suspicion::Known(verdict) => self.resume(run, verdict.answer(), env),
        }
        if suspicion == Suspicion::Probe {
            self.probe(peer, env);
        }
        true
    }

    /// The verdict on the node that a run suspects.
    pub(super) fn judged(&mut self, run: u64, alarm: u64, verdict: Verdict, env: &mut Environment) {
        if self.waits_for(run, alarm) {
            self.resume(run, verdict.answer(), env);
        }
    }

    /// Pings a node on the kept connection.
    fn probe(&mut self, peer: Peer, env: &mut Environment) {
        let number = env.number();
        let wait = Wait { began: env.now, agreed: self.config.rpc_timeout / KEPT_SHARE };
        self.probes.insert(number, Probing { peer, fresh: false, wait, alarm: 0 });
        self.ask(number, peer.into(), Request::CheckPredecessor, Way::Kept, env);
        self.set_probe_alarm(number, self.patience(wait.agreed, env), env);
    }

    fn set_probe_alarm(&mut self, number: u64, after: Duration, env: &mut Environment) {
        let alarm = env.number();
        if let Some(probe) = self.probes.get_mut(&number) {
            probe.alarm = alarm;
            env.schedule(after, self.place, Happening::Alarm { run: number, alarm });
        }
    }

    /// Nothing was heard of a node that is probed: it is pinged on a fresh connection, or it is dead. Returns whether
    /// the alarm belongs to a probe.
    pub(super) fn pinged_in_vain(&mut self, number: u64, alarm: u64, env: &mut Environment) -> bool {
        let Some(probe) = self.probes.get(&number) else { return false };
        let (peer, fresh, wait) = (probe.peer, probe.fresh, probe.wait);
        if probe.alarm != alarm {
            return true;
        }
        if let Some((more, wait)) = self.goes_on(wait, env) {
            self.probes.entry(number).and_modify(|probe| probe.wait = wait);
            self.set_probe_alarm(number, more, env);
        } else if fresh {
            self.conclude(number, Verdict::Dead, env);
        } else {
            let left = self.config.rpc_timeout - self.config.rpc_timeout / KEPT_SHARE;
            let wait = Wait { began: env.now, agreed: left };
            self.probes.entry(number).and_modify(|probe| (probe.fresh, probe.wait) = (true, wait));
            self.ask(number, peer.into(), Request::CheckPredecessor, Way::Fresh, env);
            self.set_probe_alarm(number, self.patience(left, env), env);
        }
        true
    }

    /// A node that is probed has answered. Returns whether `number` is a probe.
    pub(super) fn pinged(&mut self, number: u64, answer: &Answer, env: &mut Environment) -> bool {
        if !self.probes.contains_key(&number) {
            return false;
        }
        let verdict = if answer.is_dead() { Verdict::Dead } else { Verdict::Alive };
        self.conclude(number, verdict, env);
        true
    }

    fn conclude(&mut self, number: u64, verdict: Verdict, env: &mut Environment) {
        if let Some(probe) = self.probes.remove(&number) {
            self.calls.retain(|_, call| call.run != number);
            env.note(|env| format!("{} finds {} {verdict:?}", env.name(self.me.id), env.name(probe.peer.id)));
            env.conclude((self.me, self.place.slot), probe.peer, verdict);
        }
    }
}

/// Admission.
impl Host {
    /// The class of a lookup for admission, and the client for which it is made.
    pub(super) fn client(&self, purpose: &Purpose, sought: &Sought, env: &Environment) -> (Class, Client) {
        match purpose {
            Purpose::Maintenance | Purpose::News | Purpose::Fingers => (Class::Maintenance, None),
            Purpose::Outside(_) | Purpose::Service(_) => (Class::Begun, None),
            Purpose::Caller { from, .. } => {
                let class = match sought.query.scope {
                    Scope::Ring { hops: 1.. } => Class::Forwarded,
                    Scope::Ring { .. } | Scope::Here => Class::Begun,
                };
                (class, env.threads.index(from.slot))
            }
        }
    }

    /// The program has ended.
    pub(super) fn end_all(&mut self, env: &mut Environment) {
        for number in self.runs.keys().copied().collect::<Vec<_>>() {
            self.end(number, env);
        }
    }

    /// That program has ended: drops the runs that answer its calls.
    pub(super) fn give_up_for(&mut self, asker: Place, env: &mut Environment) {
        let for_it = |run: &Run| matches!(run.purpose, Purpose::Caller { from, .. } if from == asker);
        let given_up = self.runs.iter().filter(|(_, run)| for_it(run)).map(|(number, _)| *number);
        for number in given_up.collect::<Vec<_>>() {
            self.end(number, env);
        }
    }

    /// The program has ended: its thread drops what it keeps for it.
    pub(in crate::sim) fn gone(&mut self, env: &mut Environment) {
        if env.thread(self.place.slot).is_none() {
            return;
        }
        self.end_all(env);
        for number in self.probes.keys().copied().collect::<Vec<_>>() {
            self.conclude(number, Verdict::Unknown, env);
        }
        env.leaves_thread(self.place.slot);
    }

    /// The thread has slept: other nodes may have gone on without this node.
    pub(in crate::sim) fn slept(&mut self, env: &mut Environment) {
        env.note(|env| format!("{} slept", env.name(self.me.id)));
        env.changed = true;
        self.maintenance.slept();
        self.advance(env);
    }
}

/// Connections.
impl Host {
    /// Opens a connection for a call if it needs one. Returns the port that the call is for, if the connection leads to
    /// another.
    pub(super) fn connect(&mut self, target: Addr, way: Way, env: &mut Environment) -> Option<u16> {
        let thread = env.thread(self.place.slot)?;
        let route = if way == Way::Kept { thread.route(target) } else { target };
        let opens = match way {
            Way::Kept => thread.link(route),
            Way::Again => {
                thread.link(route);
                true
            }
            Way::Fresh => true,
        };
        if opens {
            env.charge(self.place.slot, |prices| prices.connection);
            let to = env.slot(target);
            env.post(Post { from: self.place, to, generation: None, content: Content::Opened });
        }
        (route != target).then_some(target.port())
    }
}
