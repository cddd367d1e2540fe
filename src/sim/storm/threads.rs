//! All threads of nodes.

use super::thread::Thread;
use crate::sim::events::Slot;

/// The threads of a world. A node without a thread is alone, and needs no time to serve.
#[derive(Default)]
pub(in crate::sim) struct Threads {
    all: Vec<Thread>,
    /// Indexed by slot.
    of: Vec<Option<usize>>,
}

impl Threads {
    /// The number of a node's thread.
    pub(crate) fn index(&self, slot: Slot) -> Option<usize> {
        self.of.get(slot.index()).copied().flatten()
    }

    /// The thread of a node, if it has one.
    pub(crate) fn of(&mut self, slot: Slot) -> Option<&mut Thread> {
        let index = self.index(slot)?;
        self.all.get_mut(index)
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> &mut Thread {
        &mut self.all[index]
    }

    /// Puts nodes on a new thread, from now on; returns its number.
    pub(crate) fn add(&mut self, slots: &[Slot], thread: Thread) -> usize {
        let index = self.all.len();
        self.all.push(thread);
        for slot in slots {
            if self.of.len() <= slot.index() {
                self.of.resize(slot.index() + 1, None);
            }
            self.of[slot.index()] = Some(index);
        }
        index
    }
}
