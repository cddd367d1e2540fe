//! The faults, as applied to processes. The census is told before each action that makes a node
//! uncertain, and after each that makes it certain.

use std::collections::BTreeMap;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use chord::{Addr, Peer};
use rustix::process::Signal;

use super::{IDEAL_WITHIN, Role, State, Torture};
use crate::support::census::Presence;
use crate::support::faults::Fault;
use crate::support::figures::Cost;
use crate::support::ideal::Ideal;
use crate::support::process::{CHORD, Process, eventually};

impl Torture<'_> {
    pub(super) fn start_at(&mut self, at: &[usize], seed: Option<Addr>) {
        self.census.set(Some(Presence::Perhaps), self.peers(at));
        for at in at {
            let place = &mut self.places[*at];
            place.process = Some(Process::start_by(Command::new(CHORD), place.peer, seed, self.r));
            place.state = State::Up;
            place.run += 1;
        }
        self.last_fault = Instant::now();
    }

    pub(super) fn kill(&mut self, victims: &[usize]) {
        // A node that was silent, and missed by the others, is no member, and can't become one by dying.
        let members = |at: &&usize| !matches!(self.places[**at].state, State::Silent(..));
        let dying: Vec<_> = victims.iter().filter(members).map(|at| self.places[*at].peer).collect();
        self.census.set(Some(Presence::Perhaps), dying);
        self.struck.extend(victims);
        let processes: Vec<_> = victims.iter().filter_map(|at| self.places[*at].process.take()).collect();
        processes.iter().for_each(|process| process.signal(Signal::KILL));
        for process in processes {
            check_errors(&process);
            process.kill();
        }
        self.census.set(None, self.peers(victims));
        for at in victims {
            let place = &mut self.places[*at];
            place.state = State::Down;
            place.remembers.clear();
        }
        self.last_fault = Instant::now();
    }

    pub(super) fn stop(&mut self, victims: &[usize], until: usize) {
        let now = Instant::now();
        self.census.set(Some(Presence::Silent(now)), self.peers(victims));
        self.struck.extend(victims);
        for at in victims {
            let successors = self.settled.range(at + 1..).chain(self.settled.range(..at)).take(self.r);
            let remembers = successors.map(|at| (*at, self.places[*at].run)).collect();
            let place = &mut self.places[*at];
            place.remembers = remembers;
            place.state = State::Silent(now, until);
            place.process.iter().for_each(|process| process.signal(Signal::STOP));
        }
        self.last_fault = Instant::now();
    }

    pub(super) fn wake(&mut self, sleepers: &[usize]) {
        for at in sleepers {
            let place = &mut self.places[*at];
            let State::Silent(since, _) = place.state else { continue };
            self.census.set(Some(Presence::Waking(since)), [place.peer]);
            place.process.iter().for_each(|process| process.signal(Signal::CONT));
            place.state = State::Up;
        }
        self.last_fault = Instant::now();
    }

    pub(super) fn peers(&self, at: &[usize]) -> Vec<Peer> {
        at.iter().map(|at| self.places[*at].peer).collect()
    }

    /// Lets time pass, and continues nodes that were stopped long enough.
    pub(super) fn pause(&mut self, time: Duration) {
        let end = Instant::now() + time;
        self.flickering.sort();
        while let Some((due, at)) = self.flickering.first().copied().filter(|(due, _)| *due <= end) {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            self.flickering.remove(0);
            self.log(&format!("{:?} goes on", self.places[at].peer));
            self.wake(&[at]);
        }
        thread::sleep(end.saturating_duration_since(Instant::now()));
    }

    /// Waits until the ring is ideal, without the nodes that are still silent.
    pub(super) fn settle(&mut self) {
        while let Some((due, _)) = self.flickering.iter().max() {
            self.pause(due.saturating_duration_since(Instant::now()));
        }
        let up = self.which(|place| place.state == State::Up);
        let mut processes: Vec<_> = self
            .places
            .iter_mut()
            .filter(|place| place.state == State::Up)
            .filter_map(|place| place.process.as_mut())
            .collect();
        let ideal = Ideal::of(processes.iter().map(|process| &**process));
        eventually(IDEAL_WITHIN.saturating_sub(self.last_fault.elapsed()), || {
            processes.iter_mut().try_for_each(|process| {
                assert!(process.runs(), "{:?} has ended by itself", process.peer);
                check_errors(process);
                ideal.check(process, self.r)
            })
        });
        self.healed.push(self.last_fault.elapsed());
        self.census.set(Some(Presence::Surely), self.peers(&up));
        for place in &mut self.places {
            match place.state {
                State::Silent(since, _) => self.census.set(Some(Presence::Missed(since)), [place.peer]),
                State::Up => place.remembers.clear(),
                State::Down => {}
            }
        }
        self.log(&format!("{} members, ideal after {:?}", up.len(), self.last_fault.elapsed()));
        self.settled = up.into_iter().collect();
        self.struck.clear();
        if self.warm.is_empty() && self.faults.contains_key(&Fault::Leave) && !self.has_extras() {
            self.warm = self.costs();
        }
    }

    fn has_extras(&self) -> bool {
        self.places.iter().any(|place| place.role == Role::Extra && place.state != State::Down)
    }

    pub(super) fn costs(&self) -> BTreeMap<(usize, u32), Cost> {
        let up = self.places.iter().enumerate().filter(|(_, place)| place.state == State::Up);
        up.filter_map(|(at, place)| Some(((at, place.run), Cost::of(place.process.as_ref()?).ok()?))).collect()
    }
}

/// An actor that panics dies without ending its process.
fn check_errors(process: &Process) {
    let errors = process.errors();
    assert!(!errors.contains("panicked"), "{:?} has panicked:\n{errors}", process.peer);
}
