//! The peers with which a program has exchanged messages, and the connections that it keeps.

use std::collections::BTreeMap;

use crate::sim::events::Slot;

/// By the slots of the peers.
#[derive(Default)]
pub(super) struct Contacts(BTreeMap<Slot, Contact>);

#[derive(Default)]
struct Contact {
    known: Option<Known>,
    link: Option<Link>,
}

/// What is known of a node that has answered.
#[derive(Clone, Copy)]
pub(super) struct Known {
    /// The number by which its program identifies itself.
    pub incarnation: u64,
    /// What TCP would tell apart: data from an earlier run never comes after data from this one.
    pub generation: u32,
}

/// A connection that is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    /// The other end does not know the caller yet.
    Nameless,
    Introduced,
}

impl Contacts {
    /// Something is sent there: every peer that has a connection with this program is a contact.
    pub(super) fn meet(&mut self, slot: Slot) {
        self.0.entry(slot).or_default();
    }

    /// All peers that may have a connection with this program.
    pub(super) fn met(&self) -> impl Iterator<Item = Slot> + '_ {
        self.0.keys().copied()
    }

    /// What is known of a node, if it has ever answered.
    pub(super) fn known(&self, slot: Slot) -> Option<Known> {
        self.0.get(&slot)?.known
    }

    /// A node has answered.
    pub(super) fn know(&mut self, slot: Slot, known: Known) {
        self.0.entry(slot).or_default().known = Some(known);
    }

    /// Whether a connection is kept.
    pub(super) fn is_linked(&self, slot: Slot) -> bool {
        self.0.get(&slot).is_some_and(|contact| contact.link.is_some())
    }

    /// A connection is kept from now on.
    pub(super) fn link(&mut self, slot: Slot) {
        self.0.entry(slot).or_default().link.get_or_insert(Link::Nameless);
    }

    /// The other end of a connection has named itself.
    pub(super) fn hear_name(&mut self, slot: Slot) {
        self.0.entry(slot).or_default().link = Some(Link::Introduced);
    }

    /// Whether a call should name the caller: the first one on a connection that is already kept.
    pub(super) fn introduce(&mut self, slot: Slot) -> bool {
        let link = self.0.get_mut(&slot).and_then(|contact| contact.link.as_mut());
        link.is_some_and(|link| std::mem::replace(link, Link::Introduced) == Link::Nameless)
    }

    /// A connection is no longer kept.
    pub(super) fn unlink(&mut self, slot: Slot) {
        if let Some(contact) = self.0.get_mut(&slot) {
            contact.link = None;
        }
    }
}
