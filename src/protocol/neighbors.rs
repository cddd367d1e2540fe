//! The successor list and the predecessor of one member: all that correctness depends on.
//!
//! The rules are those of Zave's corrected Chord (IEEE TSE 2017). A list that is adopted replaces
//! the old one and is never merged with it; a dead entry is dropped and nothing fills the gap.
//! Padding, where the console or the wire wants a full list, happens there and never here.

use super::id::Id;
use super::peer::Peer;
use super::rpc::Memory;

/// The successor list and the predecessor of one member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Neighbors {
    me: Peer,
    /// The length r of the successor list, at least 1.
    r: usize,
    /// Nearest first, in the order of the circle, at most `r`; never contains `me`; empty when
    /// alone, or when all were lost.
    successors: Vec<Peer>,
    /// The closest node before `me` that has answered; never `me`.
    predecessor: Option<Peer>,
    /// Whether an entry was dropped and no stabilize has completed since. Such a list is not
    /// handed to joiners. A length below `r` means nothing: the ring may be small.
    short: bool,
    /// Whether the first successor has answered, and nothing has cast doubt on it since.
    heard: bool,
    /// Whether this node doubts what it knows, since the last stabilize that completed: it has dropped its first
    /// successor, or it was asleep while the others may have gone on without it. Another node may live between it and
    /// the first successor that it has now.
    unsure: bool,
    /// For how many more rounds this node looks for its place: it was asleep, and no node that was awake has spoken
    /// since. The ring may have gone on without it, and without the nodes that slept beside it.
    astray: u8,
    /// For how many more rounds its word does not count for others that slept: it has found its place by its own list.
    drowsy: u8,
    /// The predecessor that it has lost, until there is another.
    former: Option<Peer>,
    /// Entries that were dropped since the last list was adopted: they were found dead. At most `r`.
    dropped: Vec<Peer>,
}

/// A node that slept looks for its place for this many rounds before it trusts its list. Nodes that have lost
/// neighbours have others after two or three rounds of their own, and these are shorter.
const ASTRAY: u8 = 20;

/// For this many rounds a node that trusts its list is no witness, unless another node tells it earlier where it
/// belongs.
const DROWSY: u8 = 8;

/// Who owns a key, as far as one node can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// This node.
    Me,
    /// Its first successor.
    Successor(Peer),
    /// A node farther on.
    Beyond,
}

impl Neighbors {
    /// A ring of one: no successor, no predecessor, owner of all keys.
    pub fn alone(me: Peer, r: usize) -> Neighbors {
        debug_assert!(r >= 1, "a successor list holds at least one node");
        Neighbors {
            me,
            r,
            successors: Vec::new(),
            predecessor: None,
            short: false,
            heard: false,
            unsure: false,
            astray: 0,
            drowsy: 0,
            former: None,
            dropped: Vec::new(),
        }
    }

    /// The node whose neighbours these are.
    pub fn me(&self) -> Peer {
        self.me
    }

    /// The length r of a full successor list.
    pub fn r(&self) -> usize {
        self.r
    }

    /// Nearest first, without padding; empty when alone.
    pub fn successors(&self) -> &[Peer] {
        &self.successors
    }

    /// The first successor; `None` when alone.
    pub fn successor(&self) -> Option<Peer> {
        self.successors.first().copied()
    }

    /// The closest node before this one that has answered.
    pub fn predecessor(&self) -> Option<Peer> {
        self.predecessor
    }

    /// Whether an entry was dropped and no stabilize has completed since.
    pub fn is_short(&self) -> bool {
        self.short
    }

    /// Whether the first successor has answered, and nothing has cast doubt on it since.
    pub fn is_heard(&self) -> bool {
        self.heard
    }

    /// Whether this node doubts what it knows: then its first successor must confirm what it owns before it is named.
    pub fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// Whether it slept and has not found its place since ([`awaken`](super::awaken)): it claims nothing, tells its
    /// list to no new node, and takes no notifier as predecessor.
    pub fn is_astray(&self) -> bool {
        self.astray > 0
    }

    /// What it remembers of the time before, for nodes that look for their place.
    pub fn memory(&self) -> Memory {
        let slept = self.astray > 0 || self.drowsy > 0;
        Memory { former: self.former.filter(|_| !slept), slept }
    }

    /// The predecessor that it has lost, or had when it fell asleep, until there is another.
    pub fn former(&self) -> Option<Peer> {
        self.former
    }

    /// Whether that node was dropped since the last stabilize that completed.
    pub fn has_dropped(&self, peer: Peer) -> bool {
        self.dropped.contains(&peer)
    }

    /// The nodes that were dropped since then, nearest first. Once the list is empty, this node may have taken them for
    /// dead by mistake.
    pub fn dropped(&self) -> Vec<Peer> {
        let mut dropped = self.dropped.clone();
        dropped.sort_by_key(|peer| peer.id.clockwise_from(self.me.id));
        dropped
    }

    /// Forgets the dropped nodes and the former predecessor: for explorers of the state space, whose lookups do not ask
    /// and whose nodes do not sleep.
    pub fn without_memory(&self) -> Neighbors {
        Neighbors { dropped: Vec::new(), former: None, ..self.clone() }
    }

    /// Who owns `key`: a node speaks for its own keys and for those of its first successor; the
    /// rest of the list only routes.
    pub fn owner(&self, key: Id) -> Owner {
        let me = self.me.id;
        match (self.predecessor, self.successor()) {
            (_, None) => Owner::Me,
            (Some(predecessor), _) if key.in_half_open(predecessor.id, me) => Owner::Me,
            (_, Some(successor)) if key.in_half_open(me, successor.id) => Owner::Successor(successor),
            _ => Owner::Beyond,
        }
    }

    /// Whether `peer` would be a closer predecessor.
    pub fn is_closer_predecessor(&self, peer: Peer) -> bool {
        peer.id != self.me.id && self.predecessor.is_none_or(|old| peer.id.in_open(old.id, self.me.id))
    }

    /// Replaces the successor list by one whose head has just answered, and forgets that entries
    /// were missing. Says whether the list changed.
    pub fn adopt(&mut self, list: Vec<Peer>) -> bool {
        debug_assert_eq!(list, cut(self.me, self.r, list.iter().copied()), "cut before adopting");
        let changed = self.successors != list;
        self.successors = list;
        self.short = false;
        self.heard = true;
        self.unsure = self.is_astray();
        self.dropped.clear();
        changed
    }

    /// Drops an entry of the successor list that is dead; the rest moves up. Says whether it was
    /// there.
    pub fn drop_successor(&mut self, dead: Peer) -> bool {
        let Some(at) = self.successors.iter().position(|entry| *entry == dead) else {
            return false;
        };
        self.successors.remove(at);
        if at == 0 {
            self.heard = false;
            self.unsure = true;
        }
        if self.dropped.len() < self.r {
            self.dropped.push(dead);
        }
        self.short = true;
        true
    }

    /// The first successor is in doubt: it is to be pinged before it is named.
    pub fn doubt_successor(&mut self) {
        self.heard = false;
    }

    /// The ring may have gone on without this node: it claims nothing until it has found its place. Its predecessor
    /// notifies it then, if it still is that.
    pub fn doubt_all(&mut self) {
        if !self.successors.is_empty() {
            self.heard = false;
            self.unsure = true;
            self.astray = ASTRAY;
            self.former = self.predecessor.take().or(self.former);
        }
    }

    /// A node that did not sleep has told it where it belongs.
    pub fn confirm_place(&mut self) {
        (self.astray, self.drowsy) = (0, 0);
        self.former = None;
    }

    /// No node tells it anything but what its list says.
    pub fn trust_list(&mut self) {
        (self.astray, self.drowsy) = (0, DROWSY);
        self.unsure = false;
        self.former = None;
    }

    /// Another round is due.
    pub fn count_round(&mut self) {
        self.drowsy = self.drowsy.saturating_sub(1);
        self.astray = self.astray.saturating_sub(1).max(self.astray.min(1));
    }

    /// Whether its search has lasted all its rounds: it is to trust its list if no node tells it anything now.
    pub fn is_tired(&self) -> bool {
        self.astray == 1
    }

    /// Takes a predecessor that has just answered.
    pub fn set_predecessor(&mut self, peer: Peer) -> bool {
        debug_assert_ne!(peer.id, self.me.id, "a node does not precede itself");
        self.former = None;
        self.predecessor.replace(peer) != Some(peer)
    }

    /// Forgets the predecessor if it is still `dead`. Says whether it was.
    pub fn drop_predecessor(&mut self, dead: Peer) -> bool {
        let was = self.predecessor == Some(dead);
        if was {
            self.former = self.predecessor.take();
        }
        was
    }
}

/// The first `r` entries as long as they run clockwise without passing `me`.
///
/// So a list ends at `me`, at its own first entry and at any repetition: it has then gone round a ring of at most r
/// nodes and is complete.
pub fn cut(me: Peer, r: usize, list: impl IntoIterator<Item = Peer>) -> Vec<Peer> {
    let mut last = me.id;
    list.into_iter()
        .take_while(|entry| {
            let onwards = entry.id.in_open(last, me.id);
            last = entry.id;
            onwards
        })
        .take(r)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::testing::{peer, peers};

    fn node_21() -> Neighbors {
        let mut neighbors = Neighbors::alone(peer(21), 3);
        neighbors.adopt(peers(&[32, 38, 42]));
        neighbors.set_predecessor(peer(14));
        neighbors
    }

    #[test]
    fn ring_of_one_owns_every_key() {
        let alone = Neighbors::alone(peer(21), 3);
        for key in [0, 20, 21, 22, 63] {
            assert_eq!(alone.owner(peer(key).id), Owner::Me);
        }
    }

    #[test]
    fn node_speaks_for_itself_and_its_first_successor_only() {
        let node = node_21();
        assert_eq!(node.owner(peer(14).id), Owner::Beyond);
        assert_eq!(node.owner(peer(15).id), Owner::Me);
        assert_eq!(node.owner(peer(21).id), Owner::Me);
        assert_eq!(node.owner(peer(22).id), Owner::Successor(peer(32)));
        assert_eq!(node.owner(peer(32).id), Owner::Successor(peer(32)));
        assert_eq!(node.owner(peer(33).id), Owner::Beyond);
    }

    #[test]
    fn node_without_predecessor_does_not_claim_its_own_keys() {
        let mut node = node_21();
        assert!(node.drop_predecessor(peer(14)));
        assert_eq!(node.owner(peer(21).id), Owner::Beyond);
    }

    #[test]
    fn dead_head_is_dropped_and_the_list_is_short_until_a_list_is_adopted() {
        let mut node = node_21();
        assert!(node.drop_successor(peer(32)));
        assert_eq!(node.successors(), peers(&[38, 42]));
        assert!(node.is_short());
        assert!(!node.is_heard(), "the new head has not answered yet");
        assert!(node.adopt(peers(&[38, 42, 48])));
        assert!(!node.is_short());
    }

    #[test]
    fn dead_entry_behind_the_head_leaves_the_head_heard() {
        let mut node = node_21();
        assert!(node.drop_successor(peer(38)));
        assert!(!node.drop_successor(peer(38)));
        assert_eq!(node.successors(), peers(&[32, 42]));
        assert!(node.is_heard() && node.is_short());
    }

    #[test]
    fn node_that_has_dropped_its_head_is_unsure_until_a_list_is_adopted() {
        let mut node = node_21();
        node.drop_successor(peer(38));
        assert!(!node.is_unsure(), "the head is still heard");
        node.drop_successor(peer(32));
        assert!(node.is_unsure() && node.has_dropped(peer(32)) && node.has_dropped(peer(38)));
        node.adopt(peers(&[42, 48]));
        assert!(!node.is_unsure() && !node.has_dropped(peer(32)));
    }

    #[test]
    fn node_that_was_asleep_claims_nothing_until_its_neighbours_have_spoken() {
        let mut node = node_21();
        node.doubt_all();
        assert!(node.is_unsure() && !node.is_heard());
        assert_eq!(node.owner(peer(21).id), Owner::Beyond, "another node may have its keys");
        node.adopt(peers(&[32, 38, 42]));
        assert!(node.is_unsure() && node.is_astray(), "others may have come in, on either side");
        node.confirm_place();
        node.adopt(peers(&[32, 38, 42]));
        assert!(!node.is_unsure() && !node.memory().slept);
        let mut alone = Neighbors::alone(peer(21), 3);
        alone.doubt_all();
        assert!(!alone.is_unsure(), "a ring of one has no node to ask");
    }

    #[test]
    fn node_that_looks_for_its_place_in_vain_is_tired_of_it() {
        let mut node = node_21();
        node.doubt_all();
        for _ in 1..ASTRAY {
            assert!(!node.is_tired());
            node.count_round();
        }
        node.count_round();
        assert!(node.is_tired() && node.is_astray());
        node.trust_list();
        assert!(!node.is_astray() && !node.is_unsure());
        for _ in 0..DROWSY {
            assert!(node.memory().slept, "it has only its own word for it");
            node.count_round();
        }
        assert!(!node.memory().slept);
    }

    #[test]
    fn node_remembers_whom_it_has_lost_until_another_comes() {
        let mut node = node_21();
        node.drop_predecessor(peer(14));
        assert_eq!(node.memory(), Memory { former: Some(peer(14)), slept: false });
        node.set_predecessor(peer(8));
        assert_eq!(node.memory(), Memory::default());
        node.doubt_all();
        assert_eq!(node.memory(), Memory { former: None, slept: true }, "others may have come before it since");
        assert_eq!(node.former(), Some(peer(8)));
    }

    #[test]
    fn only_the_predecessor_that_was_meant_is_dropped() {
        let mut node = node_21();
        assert!(!node.drop_predecessor(peer(8)));
        assert_eq!(node.predecessor(), Some(peer(14)));
    }

    #[test]
    fn closer_predecessor_lies_between_the_old_one_and_oneself() {
        let mut node = node_21();
        assert!(node.is_closer_predecessor(peer(15)));
        assert!(!node.is_closer_predecessor(peer(14)));
        assert!(!node.is_closer_predecessor(peer(8)));
        assert!(!node.is_closer_predecessor(peer(21)));
        node.drop_predecessor(peer(14));
        assert!(node.is_closer_predecessor(peer(8)));
        assert!(!node.is_closer_predecessor(peer(21)));
    }

    #[test]
    fn cut_keeps_r_entries() {
        assert_eq!(cut(peer(1), 2, peers(&[8, 14, 21])), peers(&[8, 14]));
    }

    #[test]
    fn cut_stops_at_oneself_at_the_responder_and_at_a_repetition() {
        assert_eq!(cut(peer(1), 9, peers(&[8, 14, 1, 21])), peers(&[8, 14]));
        assert_eq!(cut(peer(1), 9, peers(&[8, 14, 8, 21])), peers(&[8, 14]));
        assert_eq!(cut(peer(1), 9, peers(&[8, 14, 14, 21])), peers(&[8, 14]));
        assert_eq!(cut(peer(1), 9, peers(&[1, 8])), peers(&[]));
    }

    #[test]
    fn cut_stops_where_a_list_turns_back_or_passes_oneself() {
        assert_eq!(cut(peer(15), 9, peers(&[20, 30, 10, 17])), peers(&[20, 30, 10]));
        assert_eq!(cut(peer(1), 9, peers(&[8, 21, 14])), peers(&[8, 21]));
    }
}
