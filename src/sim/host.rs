//! One node: the pure protocol, and around it the work of the actors.
//!
//! A host handles one event at a time, a message or a timer, and answers with messages and timers through the
//! [`Environment`]. It sees no other host. Each part stands for an actor: `calls` for `peers` and `link`, `runs` for
//! `drive` and `node`, this file for `neighbors` and `fingers`.

mod calls;
mod contacts;
mod run;
mod runs;
pub mod services;
mod thread;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::Rng;

use super::environment::Environment;
use super::events::{Happening, Place, Slot};
use crate::net::seed::Seed;
use crate::node::config::Config;
use crate::protocol::fingers::FingerTable;
use crate::protocol::fix_fingers::{FixFingers, Pace};
use crate::protocol::id::{Bits, Id};
use crate::protocol::join::{Attempts, Joined};
use crate::protocol::lookup::iterative::Style;
use crate::protocol::lookup::{LookupFailure, Query};
use crate::protocol::maintenance::{Effect, LEAVING, Maintenance, Setup, Standing, Timer};
use crate::protocol::neighbors::Neighbors;
use crate::protocol::peer::Peer;
use crate::protocol::spread::Spread;

use calls::Call;
use contacts::{Contacts, Known};
use run::{Purpose, Run, Sought, Talk};
use services::{Calling, Service};
use thread::Probing;

/// One run of a node's program.
pub struct Host {
    /// Its identifier need not be the hash of its address.
    pub me: Peer,
    /// The neighbours, and what keeps them right; what an actor for neighbours holds in the program.
    pub maintenance: Maintenance,
    /// The finger table, and which finger is looked up next.
    pub fingers: FixFingers,
    pub(super) place: Place,
    /// The node hears and does nothing before this time; `MAX` means for ever.
    pub(super) paused_until: Duration,
    /// Whether the program has ended by itself: it could not join, or it has left.
    pub(super) ended: bool,
    config: Config,
    /// The number by which the program identifies itself, drawn at random when it starts.
    incarnation: u64,
    /// Until the node first becomes a member.
    joining: Option<Attempts>,
    /// The numbers of the timers that are set.
    armed: [Option<u64>; Timer::COUNT],
    /// The number of the next lookup of a finger, and when it is due; none while one is under way.
    tick: Option<(u64, Pace)>,
    /// Conversations and lookups under way.
    runs: BTreeMap<u64, Box<Run>>,
    /// Open calls whose answers matter.
    calls: BTreeMap<u64, Call>,
    contacts: Contacts,
    /// Nodes that it probes for its thread.
    probes: BTreeMap<u64, Probing>,
    /// What its program offers to others, by name.
    services: BTreeMap<String, Service>,
    /// Calls of its program that are under way.
    calling: BTreeMap<u64, Calling>,
    /// The nodes with which its program has a channel.
    channels: BTreeSet<Slot>,
}

impl Host {
    /// Starts a node that joins through the seeds of `config`, or creates a ring.
    pub(super) fn start(me: Peer, bits: Bits, config: Config, place: Place, env: &mut Environment) -> Host {
        let joining = (!config.seeds.is_empty()).then(|| Attempts::new(env.now, config.join_timeout));
        let fingers = FixFingers::new(FingerTable::alone(me, bits));
        let host = Host::with(Maintenance::new(setup(me, bits, &config)), fingers, config, place, env);
        Host { joining, ..host }.begun(env)
    }

    /// Starts a node that is a member already, with these tables.
    pub(super) fn settle(
        neighbors: Neighbors,
        table: FingerTable,
        bits: Bits,
        config: Config,
        place: Place,
        env: &mut Environment,
    ) -> Host {
        let maintenance = Maintenance::settled(setup(neighbors.me(), bits, &config), neighbors);
        Host::with(maintenance, FixFingers::filled(table), config, place, env).begun(env)
    }

    fn with(
        maintenance: Maintenance,
        fingers: FixFingers,
        config: Config,
        place: Place,
        env: &mut Environment,
    ) -> Host {
        Host {
            me: maintenance.neighbors().me(),
            maintenance,
            fingers: fingers.paced(config.paced_fingers),
            place,
            paused_until: Duration::ZERO,
            ended: false,
            incarnation: env.rng.next_u64(),
            joining: None,
            config,
            armed: [None; Timer::COUNT],
            tick: None,
            runs: BTreeMap::new(),
            calls: BTreeMap::new(),
            contacts: Contacts::default(),
            probes: BTreeMap::new(),
            services: BTreeMap::new(),
            calling: BTreeMap::new(),
            channels: BTreeSet::new(),
        }
    }

    fn begun(mut self, env: &mut Environment) -> Host {
        self.schedule_finger(Pace::NextPeriod, env);
        self.advance(env);
        self
    }

    /// Whether the node is a member of a ring. Others treat a node that is joining or has left as dead.
    pub fn is_member(&self) -> bool {
        matches!(self.maintenance.standing(), Standing::Member | Standing::Isolated)
    }

    /// Whether the node is up: it may be paused, but not for ever.
    pub fn is_alive(&self) -> bool {
        self.paused_until < Duration::MAX
    }

    /// The number of this run among the runs of the program at this address; the first is 1.
    pub fn generation(&self) -> u32 {
        self.place.generation
    }

    /// Whether a connection to that node is kept.
    pub(super) fn is_linked(&self, slot: Slot) -> bool {
        self.contacts.is_linked(slot)
    }

    /// Keeps a connection to that program, which has this incarnation.
    pub(super) fn meet(&mut self, other: Place, incarnation: u64) {
        self.contacts.know(other.slot, Known { incarnation, generation: other.generation });
        self.contacts.link(other.slot);
    }

    /// The number by which the program identifies itself.
    pub(super) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// All nodes that may have a connection with this node.
    pub(super) fn met(&self) -> impl Iterator<Item = Slot> + '_ {
        self.contacts.met()
    }

    /// The nodes with which its program has a channel.
    pub(super) fn channels(&self) -> impl Iterator<Item = Slot> + '_ {
        self.channels.iter().copied()
    }

    /// Whether it answers calls of programs to the node with this identifier.
    pub(super) fn is_called(&self, callee: Id) -> bool {
        callee == self.me.id && self.is_member()
    }

    /// Begins a lookup for a caller outside, in `style` or else the configured style. The outcome is stored under
    /// `number`.
    pub(super) fn look_up(&mut self, number: u64, key: Id, style: Option<Style>, env: &mut Environment) {
        let question = Query::begun(key, true);
        let sought = Sought::by(style.unwrap_or(self.config.lookup_style), question);
        self.resolve(sought, self.config.lookup_timeout, Purpose::Outside(number), env);
    }

    /// Leaves the ring. The program ends after its neighbours have had time to hear of it.
    pub(super) fn leave(&mut self, env: &mut Environment) {
        for (peer, request) in self.maintenance.leave() {
            self.tell(peer, request, env);
        }
        self.stop_talking(env);
        env.changed = true;
        env.schedule(LEAVING, self.place, Happening::End);
    }

    pub(super) fn handle(&mut self, happening: Happening, env: &mut Environment) {
        match happening {
            Happening::Heard(from, content) => self.heard(from, content, env),
            Happening::Alarm { run, alarm } => self.waited(run, alarm, env),
            Happening::Deadline(run) => self.out_of_time(run, env),
            Happening::Fire(timer, number) => self.fire(timer, number, env),
            Happening::FixFinger(number) => self.fix_finger(number, env),
            Happening::End => self.ended = true,
            // The caller no longer waits.
            Happening::LookUp { number, asked, .. } if env.now >= asked + self.config.lookup_timeout => {
                env.found.insert(number, Err(LookupFailure::Timeout));
            }
            Happening::LookUp { number, key, style, .. } => self.look_up(number, key, style, env),
            Happening::Verdict { run, alarm, verdict } => self.judged(run, alarm, verdict, env),
            Happening::CallDeadline(number) => self.call_out_of_time(number, env),
            Happening::CallAgain(number) => self.find_owner(number, env),
            // The thread handles these.
            Happening::Turn(_) | Happening::Beat(..) => {}
        }
    }

    fn fire(&mut self, timer: Timer, number: u64, env: &mut Environment) {
        if self.armed[timer as usize] == Some(number) {
            env.note(|env| format!("{} {timer:?} fires", env.name(self.me.id)));
            self.armed[timer as usize] = None;
            self.maintenance.fired(timer);
            self.advance(env);
        }
    }

    fn fix_finger(&mut self, number: u64, env: &mut Environment) {
        if env.frozen {
            return;
        }
        if let Some((_, pace)) = self.tick.take_if(|(tick, _)| *tick == number) {
            let question = Query::begun(self.fingers.begin(pace), false);
            let guess = self.fingers.guess();
            let sought = Sought { guess, ..Sought::by(Style::Recursive, question) };
            self.resolve(sought, self.config.lookup_timeout, Purpose::Fingers, env);
        }
    }

    /// Carries out all due work; called after every event.
    fn advance(&mut self, env: &mut Environment) {
        if env.frozen {
            return;
        }
        let conversation = self.maintenance.next_conversation();
        for effect in self.maintenance.effects() {
            self.carry_out(effect, env);
        }
        if let Some(conversation) = conversation {
            self.begin(Talk::Conversation(conversation), Purpose::Maintenance, None, env);
        }
    }

    fn carry_out(&mut self, effect: Effect, env: &mut Environment) {
        match effect {
            Effect::Wake(timer, after) => {
                let number = env.number();
                self.armed[timer as usize] = Some(number);
                env.schedule_jittered(after, self.place, Happening::Fire(timer, number));
            }
            Effect::Tell(peer, request) => self.tell(peer, request, env),
            Effect::Spread(news) => {
                let known = self.fingers.table().distinct().chain(self.maintenance.neighbors().successors().to_vec());
                let spread = Spread::new(self.me.id, known, news);
                self.begin(Talk::Spread(spread), Purpose::News, None, env);
            }
            Effect::Merging => {
                self.fingers.grow_young();
                self.hurry_fingers(env);
            }
            Effect::Changed => {
                env.changed = true;
                self.fingers.disturb();
                self.hurry_fingers(env);
            }
            Effect::Dead(peer) => {
                env.note(|env| format!("{} found {} dead", env.name(self.me.id), env.name(peer.id)));
                self.forget_fingers(&[peer], env);
            }
            Effect::Recall => {
                let fingers: Vec<_> = self.fingers.table().distinct().collect();
                self.maintenance.recall(fingers.into_iter());
            }
            Effect::Tried(joined) => self.tried(&joined, env),
        }
    }

    /// Ends the program of a node that can't join.
    fn tried(&mut self, joined: &Joined, env: &mut Environment) {
        env.note(|env| match joined {
            Joined::Member(_) => format!("{} is a member", env.name(self.me.id)),
            failed => format!("{} could not join: {failed:?}", env.name(self.me.id)),
        });
        env.tally.joins += u64::from(matches!(joined, Joined::Member(_)));
        self.ended |= match &mut self.joining {
            Some(attempts) => attempts.give_up(joined, env.now),
            // Another node has taken its place.
            None => matches!(joined, Joined::IdTaken(_)),
        };
        if matches!(joined, Joined::Member(_)) {
            self.joining = None;
        }
    }

    fn forget_fingers(&mut self, dead: &[Peer], env: &mut Environment) {
        for peer in dead {
            if self.fingers.forget(*peer) {
                self.hurry_fingers(env);
            }
        }
    }

    /// A lookup under way will see the hurry by itself; a pause ends.
    fn hurry_fingers(&mut self, env: &mut Environment) {
        if self.tick.is_some() && self.fingers.is_hurried() {
            self.schedule_finger(Pace::AtOnce, env);
        }
    }

    fn schedule_finger(&mut self, pace: Pace, env: &mut Environment) {
        let number = env.number();
        self.tick = Some((number, pace));
        let after = match pace {
            Pace::AtOnce => Duration::ZERO,
            Pace::After(rest) => rest.min(self.config.fix_fingers),
            Pace::NextPeriod => self.config.fix_fingers,
        };
        env.schedule_jittered(after, self.place, Happening::FixFinger(number));
    }
}

fn setup(me: Peer, bits: Bits, config: &Config) -> Setup {
    Setup {
        me,
        bits,
        r: config.successors,
        stabilize_every: config.stabilize,
        check_predecessor_every: config.check_predecessor,
        seeds: config.seeds.iter().filter_map(Seed::addr).collect(),
        creates: true,
    }
}
