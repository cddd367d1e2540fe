//! Nodes to turn to when the ring is lost, or split.
//!
//! Stabilization can't join two rings that have forgotten each other, so every node remembers its
//! seeds and the peers that it met, and asks one of them now and then.

use std::collections::VecDeque;

use super::addr::Addr;

/// Seeds, and the addresses of past and present peers; asked in turn.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acquaintances {
    me: Addr,
    /// Given by the user; never forgotten.
    seeds: Vec<Known>,
    /// At most [`Acquaintances::MAX_MET`], next to be asked first; no seed, and never `me`.
    met: VecDeque<Known>,
    /// Whose turn it is among the seeds, and whether it is a seed's turn at all.
    next_seed: usize,
    seeds_turn: bool,
    /// Those that are still to be asked before the next rest.
    round: VecDeque<Addr>,
}

/// An acquaintance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Known {
    addr: Addr,
    /// Whether it was a member of this ring when it was asked last; all others are asked more often.
    confirmed: bool,
}

impl Known {
    fn unconfirmed(addr: Addr) -> Known {
        Known { addr, confirmed: false }
    }
}

impl Acquaintances {
    /// At most this many peers are remembered: enough that after a partition some of them are on each side, few enough
    /// that all are asked within minutes.
    pub const MAX_MET: usize = 16;

    /// In one round, at most this many of each kind, seeds and met peers, are asked that are not known to be members of
    /// this ring: each of them may be silent, and keep a node waiting.
    const ROUND: usize = 2;

    /// Of the node at `me`, with these seeds.
    pub fn new(me: Addr, seeds: Vec<Addr>) -> Acquaintances {
        let seeds = seeds.into_iter().filter(|seed| *seed != me).map(Known::unconfirmed).collect();
        Acquaintances { me, seeds, met: VecDeque::new(), next_seed: 0, seeds_turn: true, round: VecDeque::new() }
    }

    /// Replaces the seeds: their names have other addresses now.
    pub fn know_seeds(&mut self, seeds: Vec<Addr>) {
        let seeds = seeds.into_iter().filter(|seed| *seed != self.me);
        let is_confirmed = |addr| self.known().any(|known| known.addr == addr && known.confirmed);
        self.seeds = seeds.map(|addr| Known { addr, confirmed: is_confirmed(addr) }).collect();
        self.next_seed = self.next_seed.min(self.seeds.len().saturating_sub(1));
        self.met.retain(|met| self.seeds.iter().all(|seed| seed.addr != met.addr));
    }

    /// Remembers a peer that is or was alive; the one that waits longest for its turn makes room.
    pub fn meet(&mut self, addr: Addr) {
        if addr == self.me || self.all().any(|known| known == addr) {
            return;
        }
        if self.met.len() == Self::MAX_MET {
            // Members of this ring are met again, others may not be.
            let last = self.met.iter().rposition(|known| known.confirmed);
            self.met.remove(last.unwrap_or(self.met.len() - 1));
        }
        self.met.push_front(Known::unconfirmed(addr));
    }

    /// Remembers a peer that has just been lost: it is the next to be asked, as it may be back
    /// soon.
    pub fn lose(&mut self, addr: Addr) {
        let seed = self.seeds.iter().position(|seed| seed.addr == addr);
        self.seeds_turn = seed.is_some();
        self.next_seed = seed.unwrap_or(self.next_seed);
        self.met.retain(|known| known.addr != addr);
        self.meet(addr);
        self.doubt(addr);
        self.round.clear();
    }

    /// Remembers a peer that may know where the ring is, after some were lost: it is asked right after the one that was
    /// lost last. The one that waits longest for its turn makes room.
    pub fn recall(&mut self, addr: Addr) {
        if addr == self.me || self.all().any(|known| known == addr) {
            return;
        }
        if self.met.len() == Self::MAX_MET {
            self.met.pop_back();
        }
        self.met.insert(self.met.len().min(1), Known::unconfirmed(addr));
    }

    /// A peer is asked: all others are asked before it is again.
    pub fn asked(&mut self, addr: Addr) {
        if let Some(known) = self.met.iter().position(|known| known.addr == addr).and_then(|at| self.met.remove(at)) {
            self.met.push_back(known);
        }
    }

    /// A peer has shown that it is a member of this ring.
    pub fn confirm(&mut self, addr: Addr) {
        self.set_confirmed(|known| known == addr, true);
    }

    /// A peer may no longer be a member of this ring.
    pub fn doubt(&mut self, addr: Addr) {
        self.set_confirmed(|known| known == addr, false);
    }

    /// The same for all: this node has lost its ring.
    pub fn doubt_all(&mut self) {
        self.set_confirmed(|_| true, false);
    }

    /// The next one to ask about its ring: each round asks the one whose turn it is, and some that are not known to be
    /// members of this ring.
    pub fn next_of_round(&mut self) -> Option<Addr> {
        if self.round.is_empty() {
            let turn = self.take_turn();
            let doubtful = |known: &&Known| !known.confirmed && Some(known.addr) != turn;
            let seeds = self.seeds.iter().filter(doubtful).take(Self::ROUND);
            let met = self.met.iter().filter(doubtful).take(Self::ROUND);
            self.round = turn.into_iter().chain(seeds.chain(met).map(|known| known.addr)).collect();
        }
        let next = self.round.pop_front()?;
        // Only now: the round may be cut short, and whoever is last is forgotten first.
        self.asked(next);
        Some(next)
    }

    /// Whether others are to be asked before the next rest.
    pub fn is_in_round(&self) -> bool {
        !self.round.is_empty()
    }

    /// The one whose turn it is to be asked: a seed and a met peer alternate. `None` when no acquaintance is known.
    pub fn take_turn(&mut self) -> Option<Addr> {
        let seed_first = self.seeds_turn;
        self.seeds_turn = !seed_first;
        if seed_first {
            self.next_seed().or_else(|| self.next_met())
        } else {
            self.next_met().or_else(|| self.next_seed())
        }
    }

    /// All that are known.
    pub fn all(&self) -> impl Iterator<Item = Addr> + '_ {
        self.known().map(|known| known.addr)
    }

    /// How many nodes are known.
    pub fn count(&self) -> usize {
        self.seeds.len() + self.met.len()
    }

    fn known(&self) -> impl Iterator<Item = &Known> {
        self.seeds.iter().chain(&self.met)
    }

    fn set_confirmed(&mut self, which: impl Fn(Addr) -> bool, confirmed: bool) {
        let known = self.seeds.iter_mut().chain(&mut self.met);
        known.filter(|known| which(known.addr)).for_each(|known| known.confirmed = confirmed);
    }

    fn next_seed(&mut self) -> Option<Addr> {
        let seed = self.seeds.get(self.next_seed % self.seeds.len().max(1))?.addr;
        self.next_seed = (self.next_seed + 1) % self.seeds.len();
        Some(seed)
    }

    fn next_met(&mut self) -> Option<Addr> {
        let next = self.met.front()?.addr;
        self.met.rotate_left(1);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> Addr {
        Addr::new([127, 0, 0, 1], port)
    }

    fn of(seeds: &[u16]) -> Acquaintances {
        Acquaintances::new(addr(1), seeds.iter().copied().map(addr).collect())
    }

    fn turns(acquaintances: &mut Acquaintances, n: usize) -> Vec<u16> {
        (0..n).filter_map(|_| acquaintances.take_turn()).map(|addr| addr.port()).collect()
    }

    fn round(acquaintances: &mut Acquaintances) -> Vec<u16> {
        let mut asked = Vec::from_iter(acquaintances.next_of_round());
        while acquaintances.is_in_round() {
            asked.extend(acquaintances.next_of_round());
        }
        asked.iter().map(|addr| addr.port()).collect()
    }

    #[test]
    fn nobody_knows_nobody() {
        assert_eq!(of(&[]).take_turn(), None);
        assert_eq!(of(&[1]).take_turn(), None, "a node is no seed of its own");
    }

    #[test]
    fn seeds_and_met_peers_take_turns() {
        let mut known = of(&[2, 3]);
        known.meet(addr(10));
        known.meet(addr(11));
        assert_eq!(turns(&mut known, 6), [2, 11, 3, 10, 2, 11]);
    }

    #[test]
    fn who_is_recalled_is_asked_after_who_was_lost_and_takes_the_place_of_who_waits_longest() {
        let mut known = of(&[]);
        (10..26).for_each(|port| known.meet(addr(port)));
        known.lose(addr(10));
        known.recall(addr(30));
        known.recall(addr(30));
        assert_eq!(known.count(), Acquaintances::MAX_MET);
        assert_eq!(turns(&mut known, 3), [10, 30, 25]);
        assert!(!known.all().any(|known| known == addr(11)), "it would have been the last");
    }

    #[test]
    fn seeds_that_have_moved_are_asked_where_they_are_and_all_else_is_as_before() {
        let mut known = of(&[2, 3]);
        known.meet(addr(4));
        known.meet(addr(10));
        assert_eq!(turns(&mut known, 1), [2]);
        (2..=4).for_each(|port| known.confirm(addr(port)));
        known.know_seeds([1, 3, 4, 5].map(addr).to_vec());
        assert_eq!(turns(&mut known, 5), [10, 4, 10, 5, 10], "a node is no seed of its own, and a seed is no met peer");
        known.know_seeds(vec![addr(3)]);
        assert_eq!(turns(&mut known, 3), [3, 10, 3]);
        known.know_seeds(Vec::new());
        assert_eq!(turns(&mut known, 2), [10, 10]);
    }

    #[test]
    fn confirmed_ones_are_asked_in_their_turns_only_whatever_becomes_of_the_lists() {
        let mut known = of(&[2, 3]);
        (4..=5).for_each(|port| known.meet(addr(port)));
        assert_eq!(round(&mut known), [2, 3, 5, 4]);
        (2..=5).for_each(|port| known.confirm(addr(port)));
        assert_eq!(round(&mut known), [5]);
        known.know_seeds([3, 4].map(addr).to_vec());
        assert_eq!([round(&mut known), round(&mut known), round(&mut known)], [[4], [5], [3]]);
        known.lose(addr(5));
        assert_eq!([round(&mut known), round(&mut known)], [vec![5], vec![4, 5]]);
        known.confirm(addr(5));
        known.doubt(addr(3));
        assert_eq!(round(&mut known), [5, 3]);
        known.doubt_all();
        assert_eq!(round(&mut known), [3, 4, 5]);
        (3..=5).for_each(|port| known.confirm(addr(port)));
        known.lose(addr(3));
        assert_eq!([round(&mut known), round(&mut known)], [vec![3], vec![5, 3]]);
    }

    #[test]
    fn either_kind_alone_has_every_turn() {
        assert_eq!(turns(&mut of(&[2, 3]), 3), [2, 3, 2]);
        let mut known = of(&[]);
        known.meet(addr(10));
        assert_eq!(turns(&mut known, 2), [10, 10]);
    }

    #[test]
    fn who_was_just_lost_is_the_next_to_be_asked() {
        let mut known = of(&[]);
        for port in 10..13 {
            known.meet(addr(port));
        }
        known.lose(addr(10));
        assert_eq!(turns(&mut known, 3), [10, 12, 11]);

        let mut seeded = of(&[2, 3]);
        seeded.lose(addr(10));
        assert_eq!(turns(&mut seeded, 2), [10, 2]);
        seeded.lose(addr(3));
        assert_eq!(turns(&mut seeded, 3), [3, 10, 2]);
    }

    /// A node forgot the one peer through which two rings knew of each other: it was to be asked, was last in the queue
    /// already, and made room when another ring was found just then.
    #[test]
    fn peer_that_is_still_to_be_asked_is_not_the_one_that_makes_room() {
        let mut known = of(&[]);
        (10..26).for_each(|port| known.meet(addr(port)));
        assert_eq!(known.next_of_round(), Some(addr(25)));
        assert_eq!(known.next_of_round(), Some(addr(24)));
        assert!(known.is_in_round(), "23 is to be asked");
        known.lose(addr(30));
        let forgotten: Vec<_> = (10..26).filter(|port| known.all().all(|known| known != addr(*port))).collect();
        assert_eq!(forgotten, [24], "it was asked last");
        let asked: Vec<_> = (0..3).filter_map(|_| known.next_of_round()).map(|addr| addr.port()).collect();
        assert_eq!(asked, [30, 23, 22]);
    }

    #[test]
    fn memory_is_bounded_and_has_no_repetitions() {
        let mut known = of(&[2]);
        for port in (10..200).chain(10..200).chain([1, 2]) {
            known.meet(addr(port));
        }
        assert_eq!(known.count(), 1 + Acquaintances::MAX_MET);
    }
}
