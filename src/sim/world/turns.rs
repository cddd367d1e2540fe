//! Threads of nodes and their turns, where work takes time.

use std::time::Duration;

use super::World;
use crate::protocol::addr::Addr;
use crate::protocol::peer::Peer;
use crate::sim::events::{Happening, Slot};
use crate::sim::storm::prices::Prices;
use crate::sim::storm::thread::Defences;

impl World {
    /// Puts the nodes at these addresses on a thread of their own, now and at each later start.
    pub fn share_thread(&mut self, nodes: &[Addr], prices: Prices, defences: Defences) {
        let slots: Vec<Slot> = nodes.iter().map(|addr| self.env.slot(*addr)).collect();
        self.env.add_thread(&slots, prices, defences);
    }

    /// A thread handles waiting events until one of them has taken time.
    pub(super) fn take_turn(&mut self, index: usize, slot: Slot) {
        while let Some(event) = self.env.next_of_thread(index, slot) {
            if let Some(length) = self.env.look_at_clock(index, &event) {
                self.slept(index, length);
            }
            if !matches!(event.happening, Happening::Beat(..)) {
                self.deliver(event);
            }
            if !self.env.is_free(index, slot) {
                break;
            }
        }
    }

    /// A thread has not run for `length`; after the time limit of a call, other nodes may have given its nodes up.
    fn slept(&mut self, index: usize, length: Duration) {
        if length < self.config.rpc_timeout {
            return;
        }
        for slot in self.env.nodes_of_thread(index) {
            if let Some(host) = self.hosts[slot.index()].as_mut() {
                host.slept(&mut self.env);
            }
        }
    }

    /// The other nodes of a thread stop with one of them.
    pub(super) fn pause_others(&mut self, peer: Peer, until: Duration) {
        let Some(index) = self.up.get(&peer).and_then(|slot| self.env.threads.index(*slot)) else { return };
        if until == Duration::MAX {
            // Its thread goes on, but no longer waits for what this node has begun.
            if let Some(host) = self.up.get(&peer).and_then(|slot| self.hosts[slot.index()].as_mut()) {
                host.gone(&mut self.env);
            }
            return;
        }
        self.env.pause_thread(index, until);
        for slot in self.env.nodes_of_thread(index) {
            if let Some(host) = self.hosts[slot.index()].as_mut() {
                host.paused_until = host.paused_until.max(until);
            }
        }
    }
}
