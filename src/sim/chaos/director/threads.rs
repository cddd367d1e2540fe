//! Trouble where nodes share threads, and work takes time.

use rand::RngExt;
use rand::seq::IndexedRandom;

use super::Director;
use super::trouble::OF_THREADS;
use crate::protocol::peer::Peer;
use crate::sim::nodes::number_of;
use crate::sim::oracle::Survey;
use crate::sim::script::command::Command;
use crate::sim::world::World;

/// At most this many nodes share a thread.
const MOST_OF_A_THREAD: usize = 8;

impl Director {
    /// Makes nodes share threads, whose work takes time.
    pub(in super::super) fn share_threads(mut self) -> Director {
        let mut nodes = &self.cast[..];
        while !nodes.is_empty() {
            let (thread, rest) = nodes.split_at(self.rng.random_range(1..=MOST_OF_A_THREAD).min(nodes.len()));
            self.threads.push(thread.to_vec());
            nodes = rest;
        }
        self.dearness = self.rng.random_range(1..=if self.lawful() { 8 } else { 30 });
        self.troubles.extend(OF_THREADS);
        self
    }

    /// Whether nodes of one thread are on both sides of the partition that is to make two rings. A message to one of
    /// them proves to all of them that its sender lives, so that they may never believe that the other side is dead.
    pub(in super::super) fn cuts_a_thread(&self) -> bool {
        let (one, other) = &self.sides;
        self.threads.iter().any(|thread| [one, other].into_iter().all(|side| thread.iter().any(|n| side.contains(n))))
    }

    /// All nodes of a thread crash. In half of the cases they start again, at once or soon.
    pub(super) fn lose_thread(&mut self, world: &World, survey: &Survey, members: &[Peer]) -> Vec<Command> {
        let Some(thread) = self.threads.choose(&mut self.rng).cloned() else { return Vec::new() };
        let up = members.iter().copied().filter(|peer| thread.contains(&number_of(peer.addr)));
        let victims: Vec<Peer> = up.collect();
        if victims.is_empty() || !self.can_lose(world, survey, members, &victims) {
            return Vec::new();
        }
        let numbers = victims.iter().map(|peer| number_of(peer.addr));
        if self.rng.random_bool(0.5) {
            let after = self.between(0, 2000);
            let left: Vec<Peer> = members.iter().copied().filter(|peer| !victims.contains(peer)).collect();
            for n in numbers.clone() {
                let start = self.start(n, &left);
                self.ends(world.now(), after, start);
            }
        }
        numbers.map(Command::Crash).collect()
    }

    /// Many lookups, and perhaps a pause of a node that has to answer some of them.
    pub(super) fn load(&mut self, members: &[Peer], bits: u8) -> Vec<Command> {
        let mut commands = Vec::new();
        for _ in 0..self.rng.random_range(20..=200) {
            let Some(from) = self.choose(members) else { break };
            commands.push(Command::Lookup(number_of(from.addr), self.key(bits)));
        }
        if let Some(stumbles) = self.choose(members).filter(|_| self.rng.random_bool(0.5)) {
            commands.push(Command::Pause(number_of(stumbles.addr), self.between(50, 600)));
        }
        commands
    }
}
