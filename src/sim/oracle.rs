//! What can be seen only with a view of all nodes at once.
//!
//! The terms are those of Zave (IEEE TSE 2017). The *extended list* of a member is the member and its successors; a
//! list that was sent to a node which has yet to apply it is one, too. A *principal* is a member that no extended list
//! skips. The first living entries of all lists lead from member to member into a *ring*; members that are not on it
//! are *appendages*, and own nothing yet.

use crate::protocol::id::Id;
use crate::protocol::neighbors::cut;
use crate::protocol::peer::Peer;

use super::host::Host;
use super::world::World;

/// The living members in groups. Any two members of a group are connected by members of which one knows the other, as a
/// neighbour or an acquaintance. No member knows a member of another group.
pub fn knowledge(world: &World) -> Vec<Vec<Peer>> {
    let hosts: Vec<&Host> = world.hosts().filter(|host| host.is_alive() && host.is_member()).collect();
    let mut group: Vec<usize> = (0..hosts.len()).collect();
    for (me, host) in hosts.iter().enumerate() {
        let known: Vec<_> = host.maintenance.known().collect();
        for other in (0..hosts.len()).filter(|other| known.contains(&hosts[*other].me.addr)) {
            let (from, to) = (group[me], group[other]);
            group.iter_mut().filter(|of| **of == from).for_each(|of| *of = to);
        }
    }
    let members = |of: usize| (0..hosts.len()).filter(|at| group[*at] == of).map(|at| hosts[at].me).collect();
    (0..hosts.len()).map(members).filter(|members: &Vec<Peer>| !members.is_empty()).collect()
}

/// The members of a world at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// All living members, paused or not, in the order of the circle.
    members: Vec<Peer>,
    principals: Vec<Peer>,
    /// A member whose list has no living entry although there are others.
    bereft: Option<Peer>,
    /// The cycles of first living successors, each in the order of the circle.
    rings: Vec<Vec<Peer>>,
    /// Whether one of these cycles goes round the circle more than once.
    winding: bool,
}

impl Survey {
    /// Looks at all nodes of a world.
    pub fn of(world: &World) -> Survey {
        let hosts: Vec<&Host> = world.hosts().filter(|host| host.is_alive() && host.is_member()).collect();
        let members: Vec<Peer> = hosts.iter().map(|host| host.me).collect();
        let mut view = View { hosts: &hosts, members: &members, skipped: vec![false; members.len()] };
        let next: Vec<Option<usize>> = (0..hosts.len()).map(|owner| view.read(owner)).collect();
        for host in world.hosts().filter(|host| host.is_alive()) {
            host.lists_said().for_each(|list| view.mark_skipped(list));
        }
        let principal = |(peer, skipped): (&Peer, &bool)| (!skipped).then_some(*peer);
        let principals = members.iter().zip(&view.skipped).filter_map(principal).collect();
        let bereft = (members.len() > 1).then(|| next.iter().position(Option::is_none)).flatten();
        let next: Vec<usize> = next.iter().enumerate().map(|(me, next)| next.unwrap_or(me)).collect();
        let cycles = cycles(&next);
        let winding = cycles.iter().any(|cycle| winds(cycle));
        let ring = |mut cycle: Vec<usize>| {
            cycle.sort_unstable();
            cycle.into_iter().map(|member| members[member]).collect()
        };
        let rings = cycles.into_iter().map(ring).collect();
        Survey { bereft: bereft.map(|member| members[member]), members, principals, rings, winding }
    }

    /// The living members, in the order of the circle.
    pub fn members(&self) -> &[Peer] {
        &self.members
    }

    /// The members that no list skips, in the order of the circle.
    pub fn principals(&self) -> &[Peer] {
        &self.principals
    }

    /// A member whose list has no living entry although there are others.
    pub fn bereft(&self) -> Option<Peer> {
        self.bereft
    }

    /// The ring of first living successors, in the order of the circle; `None` if there are several, or one that goes
    /// round the circle more than once.
    pub fn ring(&self) -> Option<&[Peer]> {
        match &self.rings[..] {
            [ring] if !self.winding => Some(ring),
            _ => None,
        }
    }

    /// All rings of first living successors: more than one if the members have lost each other.
    pub fn rings(&self) -> &[Vec<Peer>] {
        &self.rings
    }

    /// Whether the environment may take these nodes away at once: more than `r` principals remain, and a living node in
    /// every list, including lists that may yet be adopted.
    pub fn can_spare(&self, world: &World, victims: &[Peer]) -> bool {
        let remains = |peer: &Peer| !victims.contains(peer);
        let r = world.config.successors;
        let survivors = world.hosts().filter(|host| host.is_alive() && remains(&host.me));
        let lives = |list: &[Peer]| list.iter().any(|entry| remains(entry) && lives(world, *entry));
        let mut lists = survivors.filter(|host| host.is_member() || host.lists_said().next().is_some()).map(|host| {
            let own = !host.is_member() || lives(host.maintenance.neighbors().successors());
            own && host.lists_said().all(|list| lives(&cut(host.me, r, list.iter().copied())))
        });
        self.principals.iter().filter(|principal| remains(principal)).count() > r && lists.all(|good| good)
    }
}

/// Whether an entry of a list is a living member.
fn lives(world: &World, entry: Peer) -> bool {
    world.host(entry).is_some_and(|host| host.is_alive() && host.is_member())
}

struct View<'a> {
    hosts: &'a [&'a Host],
    members: &'a [Peer],
    skipped: Vec<bool>,
}

impl View<'_> {
    /// Reads the list of a member: marks the members that it skips and returns the first living entry.
    fn read(&mut self, owner: usize) -> Option<usize> {
        let (mut before, mut best) = (self.members[owner], None);
        for entry in self.hosts[owner].maintenance.neighbors().successors() {
            let at = self.mark_between(before, *entry);
            best = best.or(at);
            before = *entry;
        }
        best
    }

    fn mark_skipped(&mut self, list: &[Peer]) {
        for pair in list.windows(2) {
            self.mark_between(pair[0], pair[1]);
        }
    }

    /// Marks the members between two neighbours of a list; returns the later one if it is a member.
    fn mark_between(&mut self, from: Peer, to: Peer) -> Option<usize> {
        let n = self.members.len();
        let end = self.members.partition_point(|member| *member < to);
        for k in 1..=n {
            let at = (end + n - k) % n;
            if !self.members[at].id.in_open(from.id, to.id) {
                break;
            }
            self.skipped[at] = true;
        }
        (self.members.get(end) == Some(&to)).then_some(end)
    }
}

/// The cycles of a graph in which each node has one arrow, each in the direction of the arrows.
pub(super) fn cycles(next: &[usize]) -> Vec<Vec<usize>> {
    let mut reached = vec![usize::MAX; next.len()];
    let mut cycles = Vec::new();
    for start in 0..next.len() {
        let mut at = start;
        while reached[at] == usize::MAX {
            reached[at] = start;
            at = next[at];
        }
        // A walk that meets itself has found a cycle.
        if reached[at] == start {
            let on = std::iter::successors(Some(next[at]), |on| Some(next[*on])).take_while(|on| *on != at);
            cycles.push([at].into_iter().chain(on).collect());
        }
    }
    cycles
}

/// Whether a cycle goes round the circle more than once; its nodes are numbered in the order of the circle.
pub(super) fn winds(cycle: &[usize]) -> bool {
    let back = cycle.iter().zip(cycle.iter().cycle().skip(1)).filter(|(from, to)| to <= from);
    back.count() > 1
}

/// The owner of a key on a ring.
pub fn owner(ring: &[Peer], key: Id) -> Option<Peer> {
    (!ring.is_empty()).then(|| super::nodes::owner(ring, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::id::Bits;
    use crate::sim::numbered;
    use std::time::Duration;

    const SIX: Bits = Bits::new(6).unwrap();

    fn peer(n: u32) -> Peer {
        numbered(n, SIX)
    }

    fn ring_of(numbers: &[u32], r: usize) -> World {
        let mut world = World::new(1, SIX, r);
        world.start(peer(numbers[0]), &[]);
        numbers[1..].iter().for_each(|n| world.start(peer(*n), &[peer(numbers[0])]));
        world.run_until(Duration::from_secs(60), World::ideal).unwrap();
        world
    }

    #[test]
    fn branches_lead_to_cycles() {
        assert_eq!(cycles(&[1, 3, 3, 0]), [[0, 1, 3]], "2 is an appendage");
        assert_eq!(cycles(&[0]), [[0]]);
        assert_eq!(cycles(&[1, 0, 3, 2]), [[0, 1], [2, 3]]);
        assert_eq!(cycles(&[0, 2, 1]), [vec![0], vec![1, 2]]);
    }

    #[test]
    fn a_cycle_goes_round_once_or_winds() {
        assert!(!winds(&[2, 3, 0, 1]));
        assert!(!winds(&[0]));
        assert!(winds(&[0, 2, 1, 3]));
    }

    #[test]
    fn all_members_of_an_ideal_ring_are_principals() {
        let world = ring_of(&[1, 8, 14, 21, 32], 2);
        let survey = Survey::of(&world);
        assert_eq!(survey.principals(), survey.members());
        assert_eq!(survey.ring(), Some(survey.members()));
        assert_eq!(survey.bereft(), None);
    }

    #[test]
    fn a_ring_can_spare_r_minus_1_neighbours_and_keeps_r_plus_1_principals() {
        let world = ring_of(&[1, 8, 14, 21, 32], 2);
        let survey = Survey::of(&world);
        assert!(survey.can_spare(&world, &[peer(8)]));
        assert!(survey.can_spare(&world, &[peer(8), peer(21)]));
        assert!(!survey.can_spare(&world, &[peer(8), peer(14)]), "the whole list of 1");
        assert!(!survey.can_spare(&world, &[peer(1), peer(8), peer(21)]), "two are left");
    }

    #[test]
    fn a_member_whose_list_is_dead_is_bereft_and_the_ring_is_lost() {
        let mut world = ring_of(&[1, 8, 14, 21, 32], 2);
        world.crash(peer(8));
        assert_eq!(Survey::of(&world).bereft(), None);
        assert!(Survey::of(&world).ring().is_some());
        world.crash(peer(14));
        assert_eq!(Survey::of(&world).bereft(), Some(peer(1)));
    }

    #[test]
    fn a_new_member_is_no_principal_before_all_lists_know_it() {
        let mut world = ring_of(&[1, 8, 14, 21, 32], 2);
        world.start(peer(10), &[peer(1)]);
        while !world.host(peer(10)).unwrap().is_member() {
            world.step();
        }
        let survey = Survey::of(&world);
        assert!(survey.members().contains(&peer(10)) && !survey.principals().contains(&peer(10)));
        assert!(!survey.ring().unwrap().contains(&peer(10)), "an appendage owns nothing");
        world.run_until(Duration::from_secs(60), World::ideal).unwrap();
        world.run(Duration::from_secs(3));
        assert_eq!(Survey::of(&world).principals().len(), 6);
    }
}
