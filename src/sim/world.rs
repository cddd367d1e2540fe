//! All nodes, and time.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::environment::Environment;
use super::events::{Content, Event, Happening, Place, Post, Slot};
use super::host::Host;
use super::host::services::number_of_call;
use super::nodes;
use super::tables::Tables;
use crate::node::config::Config;
use crate::protocol::addr::Addr;
use crate::protocol::id::{Bits, Id};
use crate::protocol::lookup::iterative::Style;
use crate::protocol::lookup::{Found, LookupFailure};
use crate::protocol::maintenance::Standing;
use crate::protocol::peer::Peer;
use crate::protocol::rpc::Request;

pub mod recorded;
mod services;
mod turns;

/// All nodes, and the events under way between them.
pub struct World {
    /// The configuration of nodes that start from now on; their seeds are given to [`start`](Self::start).
    pub config: Config,
    /// The time, the chance and the network of this world.
    pub env: Environment,
    bits: Bits,
    /// Indexed by slot.
    hosts: Vec<Option<Box<Host>>>,
    /// How many programs were started at each slot.
    generations: Vec<u32>,
    /// The peers that are up, in the order of the circle.
    up: BTreeMap<Peer, Slot>,
}

/// How often a condition is checked.
const TICK: Duration = Duration::from_millis(10);

impl World {
    /// An empty world on a circle of this many bits; successor lists will have `r` entries.
    pub fn new(seed: u64, bits: Bits, r: usize) -> World {
        World {
            config: Config { successors: r, ..Config::new(Ipv4Addr::LOCALHOST) },
            env: Environment::new(seed, bits),
            bits,
            hosts: Vec::new(),
            generations: Vec::new(),
            up: BTreeMap::new(),
        }
    }

    /// The identifiers of this world.
    pub fn bits(&self) -> Bits {
        self.bits
    }

    /// The virtual time since the world began.
    pub fn now(&self) -> Duration {
        self.env.now
    }

    /// Starts a node, or starts it again; without seeds it creates a ring. If it runs already, it is first killed
    /// without notice to other nodes, as if its host had lost power.
    pub fn start(&mut self, me: Peer, seeds: &[Peer]) {
        let (place, config) = (self.place(me), self.config_with(seeds));
        let host = Host::start(me, self.bits, config, place, &mut self.env);
        self.put(host);
    }

    /// Starts all nodes of a ring that has existed for a while: each is a member with these tables, is connected to its
    /// predecessor and its successor, and remembers the seeds.
    pub fn settle(&mut self, tables: &Tables, seeds: &[Peer]) {
        let mut places = Vec::new();
        for (at, me) in tables.ring().iter().enumerate() {
            let (place, config) = (self.place(*me), self.config_with(seeds));
            let (neighbors, fingers) = (tables.neighbors(at).clone(), tables.fingers(at).clone());
            let host = Host::settle(neighbors, fingers, self.bits, config, place, &mut self.env);
            places.push((place, host.incarnation()));
            self.put(host);
        }
        for (one, other) in places.iter().zip(places.iter().cycle().skip(1)).filter(|(one, other)| one != other) {
            for ((me, _), (to, incarnation)) in [(one, other), (other, one)] {
                if let Some(host) = &mut self.hosts[me.slot.index()] {
                    host.meet(*to, *incarnation);
                }
            }
        }
    }

    /// From now on no node maintains a ring: nodes look keys up and answer, but hold no conversations, look up no
    /// fingers, and leave their tables as they are even if a peer turns out dead. Requests to dead nodes are noted.
    pub fn freeze(&mut self) {
        self.env.frozen = true;
    }

    /// Takes the requests that went to dead nodes while tables were frozen.
    pub fn take_vain(&mut self) -> Vec<(Peer, Request)> {
        std::mem::take(&mut self.env.vain)
    }

    /// The place of a program that starts now.
    fn place(&mut self, me: Peer) -> Place {
        let slot = self.env.slot(me.addr);
        if self.hosts.len() <= slot.index() {
            self.hosts.resize_with(slot.index() + 1, || None);
            self.generations.resize(slot.index() + 1, 0);
        }
        if let Some(mut old) = self.hosts[slot.index()].take() {
            self.up.remove(&old.me);
            old.gone(&mut self.env);
            self.show_end(&old);
        }
        self.generations[slot.index()] += 1;
        let place = Place { slot, generation: self.generations[slot.index()] };
        self.env.tally.starts += 1;
        self.env.tally.restarts += u64::from(place.generation > 1);
        self.env.changed = true;
        // First the thread: one that begins anew forgets what was to be written.
        self.env.joins_thread(slot);
        place
    }

    fn config_with(&self, seeds: &[Peer]) -> Config {
        Config { seeds: seeds.iter().map(|seed| seed.addr.into()).collect(), ..self.config.clone() }
    }

    fn put(&mut self, host: Host) {
        let (me, slot) = (host.me, host.place.slot);
        self.hosts[slot.index()] = Some(Box::new(host));
        self.up.insert(me, slot);
        self.show(slot);
    }

    /// Ends a node's program: its connections break, and calls to it are refused. Nothing happens if it is not up.
    pub fn crash(&mut self, peer: Peer) {
        self.env.tally.crashes += u64::from(self.end(peer));
    }

    /// Makes a node leave its ring: it tells its neighbours, is no longer a member, and ends a quarter of a second
    /// later. Nothing happens if it is not up, or paused.
    pub fn leave(&mut self, peer: Peer) {
        let World { up, hosts, env, .. } = self;
        let host = up.get(&peer).and_then(|slot| hosts[slot.index()].as_mut());
        if let Some(host) = host.filter(|host| host.paused_until <= env.now) {
            env.tally.leaves += 1;
            host.leave(env);
            let slot = host.place.slot;
            self.show(slot);
        }
    }

    /// Ends a program; returns whether it was up.
    fn end(&mut self, peer: Peer) -> bool {
        let Some(host) = self.take_down(peer) else { return false };
        let met = host.met().filter_map(|slot| self.hosts.get(slot.index())?.as_deref());
        let mut told: Vec<&Host> =
            met.filter(|other| other.is_linked(host.place.slot) || host.is_linked(other.place.slot)).collect();
        told.sort_unstable_by_key(|other| other.me);
        for other in told {
            let (to, generation) = (other.place.slot, Some(other.generation()));
            self.env.post(Post { from: host.place, to, generation, content: Content::Severed });
        }
        for to in host.channels() {
            self.env.post(Post { from: host.place, to, generation: None, content: Content::ChannelLost });
        }
        true
    }

    fn take_down(&mut self, peer: Peer) -> Option<Box<Host>> {
        let slot = self.up.remove(&peer)?;
        self.env.changed = true;
        let mut host = self.hosts[slot.index()].take()?;
        host.gone(&mut self.env);
        self.show_end(&host);
        Some(host)
    }

    /// Stops a node for a while, without notice to other nodes; `MAX` means for ever. Messages, timers and time limits
    /// wait until the pause ends; then all are due at once. A node that is already paused continues when both pauses
    /// are over.
    /// The whole thread of the node stops with it, except if the node falls silent for ever.
    pub fn pause(&mut self, peer: Peer, time: Duration) {
        let until = self.env.now.saturating_add(time);
        if let Some(host) = self.host_mut(peer) {
            host.paused_until = host.paused_until.max(until);
            self.env.changed = true;
            self.pause_others(peer, until);
            if let Some(slot) = self.up.get(&peer) {
                self.show(*slot);
            }
            if until == Duration::MAX {
                self.env.tally.vanished += 1;
            } else {
                self.env.tally.pauses += 1;
            }
        }
    }

    /// Breaks the connection between two live nodes, as routers and firewalls do. Both notice.
    pub fn sever(&mut self, one: Peer, other: Peer) {
        self.env.tally.severed += 1;
        for (from, to) in [(one, other), (other, one)] {
            let (Some(from), Some(to)) = (self.host(from), self.host(to)) else { return };
            if from.is_linked(to.place.slot) || to.is_linked(from.place.slot) {
                let (from, to, generation) = (from.place, to.place.slot, Some(to.generation()));
                self.env.post(Post { from, to, generation, content: Content::Severed });
            }
        }
    }

    /// Ends a hold on the link from one node to another: see [`Network::hold`](super::network::Network).
    pub fn release(&mut self, from: Slot, to: Slot) {
        for post in self.env.network.release(from, to) {
            self.env.post(post);
        }
    }

    /// Ends every trouble of the network; what was held up arrives.
    pub fn heal(&mut self) {
        for (from, to) in self.env.network.heal() {
            self.release(from, to);
        }
    }

    /// Begins a lookup and returns its number, under which [`found`](Self::found) will give the outcome. `None` if the
    /// node is not up.
    pub fn lookup(&mut self, from: Peer, key: Id) -> Option<u64> {
        self.look_up(from, key, None)
    }

    /// The same in this style, not in the configured one.
    pub fn lookup_in_style(&mut self, from: Peer, key: Id, style: Style) -> Option<u64> {
        self.look_up(from, key, Some(style))
    }

    fn look_up(&mut self, from: Peer, key: Id, style: Option<Style>) -> Option<u64> {
        let slot = *self.up.get(&from)?;
        let host = self.hosts[slot.index()].as_mut()?;
        self.env.tally.lookups += 1;
        let number = self.env.number();
        if self.env.thread(slot).is_some() {
            self.env.schedule(
                Duration::ZERO,
                host.place,
                Happening::LookUp { number, asked: self.env.now, key, style },
            );
        } else {
            host.look_up(number, key, style, &mut self.env);
        }
        Some(number)
    }

    /// The outcome of a lookup; `None` while it is under way, and for ever if the node that began it has died.
    pub fn found(&self, number: u64) -> Option<&Result<Found, LookupFailure>> {
        self.env.found.get(&number)
    }

    /// The same, and forgets it.
    pub fn take_found(&mut self, number: u64) -> Option<Result<Found, LookupFailure>> {
        self.env.found.remove(&number)
    }

    /// Looks a key up and waits for the answer; `None` if the node is not up or dies before the answer.
    pub fn ask(&mut self, from: Peer, key: Id) -> Option<Result<Found, LookupFailure>> {
        let number = self.lookup(from, key)?;
        self.wait_for(number, from)
    }

    /// The same in this style, not in the configured one.
    pub fn ask_in_style(&mut self, from: Peer, key: Id, style: Style) -> Option<Result<Found, LookupFailure>> {
        let number = self.lookup_in_style(from, key, style)?;
        self.wait_for(number, from)
    }

    fn wait_for(&mut self, number: u64, from: Peer) -> Option<Result<Found, LookupFailure>> {
        while !self.env.found.contains_key(&number) && self.is_up(from) {
            self.step();
        }
        self.take_found(number)
    }

    /// Lets this much time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.env.now + time;
        while self.env.queue.next_at().is_some_and(|at| at <= end) {
            self.step();
        }
        self.env.now = end;
    }

    /// Lets time pass until a condition holds, and returns how much; after `limit`, returns an error with the last
    /// complaint of the condition.
    pub fn run_until(
        &mut self,
        limit: Duration,
        condition: impl Fn(&World) -> Result<(), String>,
    ) -> Result<Duration, String> {
        let begin = self.env.now;
        while let Err(complaint) = condition(self) {
            if self.env.now - begin >= limit {
                return Err(format!("not within {limit:?}: {complaint}"));
            }
            self.run(TICK);
        }
        Ok(self.env.now - begin)
    }

    /// When the next event is due.
    pub fn next_at(&self) -> Option<Duration> {
        self.env.queue.next_at()
    }

    /// Handles the next event.
    pub fn step(&mut self) {
        let Some((now, event)) = self.env.queue.pop() else { return };
        self.env.now = now;
        match (&event.happening, self.env.threads.index(event.slot)) {
            (Happening::Turn(thread), _) => self.take_turn(*thread, event.slot),
            (Happening::Beat(thread, _), _) => self.env.enqueue(*thread, event),
            // The thread of the nodes has no part in channels.
            (Happening::Heard(_, Content::Channel { .. } | Content::ChannelLost), _) => self.deliver(event),
            (_, Some(thread)) if self.hosts.get(event.slot.index()).is_some_and(Option::is_some) => {
                self.env.enqueue(thread, event);
            }
            _ => self.deliver(event),
        }
    }

    fn deliver(&mut self, Event { slot, generation, happening }: Event) {
        let now = self.env.now;
        let Some(host) = self.hosts.get_mut(slot.index()).and_then(Option::as_mut) else {
            return self.nobody_there(slot, happening);
        };
        if host.paused_until > now {
            if host.paused_until < Duration::MAX {
                self.env.tally.postponed += 1;
                self.env.queue.push(host.paused_until, Event { slot, generation, happening });
            }
            return;
        }
        if generation.is_some_and(|generation| generation != host.place.generation) {
            return;
        }
        if matches!(&happening, Happening::Heard(_, Content::Channel { callee, .. }) if !host.is_called(*callee)) {
            return self.nobody_there(slot, happening);
        }
        self.env.tally.events += 1;
        self.env.fingerprint(slot, &happening);
        host.handle(happening, &mut self.env);
        if host.ended {
            let (me, left) = (host.me, host.maintenance.standing() == Standing::Left);
            self.env.tally.unjoined += u64::from(!left);
            self.end(me);
        }
        self.file_lists();
        self.show(slot);
    }

    /// A host on which the program does not run refuses calls.
    fn nobody_there(&mut self, slot: Slot, happening: Happening) {
        let (caller, number) = match happening {
            Happening::Heard(caller, Content::Call(number, _)) => (caller, Some(number)),
            Happening::Heard(caller, Content::Channel { bytes, .. }) => (caller, number_of_call(&bytes)),
            _ => return,
        };
        if let Some(number) = number {
            let from = Place { slot, generation: self.generations.get(slot.index()).copied().unwrap_or(0) };
            let (to, generation) = (caller.slot, Some(caller.generation));
            self.env.post(Post { from, to, generation, content: Content::Refused(number) });
        }
    }

    /// Stores the lists that were just sent with the runs that may adopt them.
    fn file_lists(&mut self) {
        for (to, call, list) in self.env.said.drain(..) {
            let asker = self.hosts.get_mut(to.slot.index()).and_then(Option::as_mut);
            if let Some(run) = asker.filter(|asker| asker.place == to).and_then(|asker| asker.run_of_call(call)) {
                run.lists.push(list);
            }
        }
    }

    /// The successor lists that were sent and have yet to be applied: each behind the node that sent it, and with the
    /// receiver in front.
    pub fn lists_in_flight(&self) -> Vec<(Peer, Vec<Peer>)> {
        let alive = self.hosts().filter(|host| host.is_alive());
        alive.flat_map(|host| host.lists_said().map(|list| (host.me, list.clone()))).collect()
    }

    /// A node that is up, perhaps paused.
    pub fn host(&self, peer: Peer) -> Option<&Host> {
        self.hosts[self.up.get(&peer)?.index()].as_deref()
    }

    fn host_mut(&mut self, peer: Peer) -> Option<&mut Host> {
        self.hosts[self.up.get(&peer)?.index()].as_deref_mut()
    }

    /// All nodes that are up, perhaps paused, in the order of the circle.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> + '_ {
        self.up.values().filter_map(|slot| self.hosts[slot.index()].as_deref())
    }

    /// How many nodes are up, perhaps paused.
    pub fn count(&self) -> u32 {
        // Memory is full before there are 2^32 of them.
        self.up.len() as u32
    }

    /// Whether a node is up, perhaps paused.
    pub fn is_up(&self, peer: Peer) -> bool {
        self.up.contains_key(&peer)
    }

    /// The nodes that are up and not paused, in the order of the circle.
    pub fn live(&self) -> Vec<Peer> {
        self.hosts().filter(|host| host.paused_until <= self.env.now).map(|host| host.me).collect()
    }

    /// The live nodes that are members of a ring, in the order of the circle.
    pub fn members(&self) -> Vec<&Host> {
        self.hosts().filter(|host| host.paused_until <= self.env.now && host.is_member()).collect()
    }

    /// The live node that owns a key, if all are one ring.
    pub fn owner(&self, key: Id) -> Option<Peer> {
        let live = self.live();
        (!live.is_empty()).then(|| nodes::owner(&live, key))
    }

    /// The first living member at or after a key: its owner, once all members are one ring.
    pub fn successor(&self, key: Id) -> Option<Peer> {
        self.clockwise(key).next().map(|host| host.me)
    }

    /// The living members in clockwise order, once round the circle, from the first at or after a key.
    pub fn clockwise(&self, key: Id) -> impl DoubleEndedIterator<Item = &Host> {
        let first = Peer { id: key, addr: Addr::new(Ipv4Addr::UNSPECIFIED, 0) };
        let slots = self.up.range(first..).chain(self.up.range(..first)).map(|(_, slot)| slot);
        let lives = |host: &&Host| host.paused_until <= self.env.now && host.is_member();
        slots.filter_map(|slot| self.hosts[slot.index()].as_deref()).filter(lives)
    }

    /// A node's number on a small circle, else the beginning of its identifier.
    pub fn name(&self, peer: Peer) -> String {
        nodes::name(peer.id, self.bits)
    }

    /// The names of nodes, with spaces between.
    pub fn names(&self, peers: impl IntoIterator<Item = Peer>) -> String {
        nodes::names(peers, self.bits)
    }
}

#[cfg(test)]
mod tests;
