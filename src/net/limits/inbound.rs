//! Accepted connections, and which of them is closed when there are too many.
//!
//! First goes the oldest connection that has never sent a whole valid frame; if all have, the one that has been silent
//! for longest. So a flood of silent or invalid connections pushes out itself, and a neighbour that talks stays.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::net::events::LinkId;
use crate::net::limits::drops::DropReason;
use crate::protocol::addr::network;

/// How many connections a node may have open at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Made by the node itself. Beyond this, an idle one is closed for a new one, the one silent for longest first; if
    /// all carry calls, the new call is not made.
    pub dialed: usize,
    /// Made by others, in all.
    pub in_all: usize,
    /// Made by others from one address, or from one IPv6 network of 64 bits, which one host may hold entirely. Loopback
    /// and the node's own address are exempt: a whole ring may live there.
    pub per_address: usize,
}

impl Default for Limits {
    /// Most nodes are called by about log2 N others. A program may have 1,024 files open by default: half of them are
    /// for accepted connections, the other half for the fewer connections that the node dials and for the rest of the
    /// program. One address may belong to a machine with many nodes.
    fn default() -> Limits {
        Limits { dialed: 384, in_all: 512, per_address: 64 }
    }
}

/// A caller has sent its first frame by this age of the connection.
const SETTLED: Duration = Duration::from_secs(1);

/// When the other end of a connection last sent a whole valid frame; none if it never did.
pub type LastSeen = Rc<Cell<Option<Instant>>>;

/// The accepted connections of a node.
#[derive(Debug)]
pub struct InboundLimiter {
    limits: Limits,
    /// The node's own address.
    home: IpAddr,
    members: BTreeMap<LinkId, Member>,
}

#[derive(Debug)]
struct Member {
    from: IpAddr,
    since: Instant,
    last_seen: LastSeen,
}

impl InboundLimiter {
    /// No connections yet, for a node at `home`.
    pub fn new(limits: Limits, home: IpAddr) -> InboundLimiter {
        InboundLimiter { limits, home, members: BTreeMap::new() }
    }

    /// Adds a connection. Returns the one that has to be closed for it, and why; that one no longer counts from now on.
    pub fn enter(
        &mut self,
        link: LinkId,
        from: IpAddr,
        since: Instant,
        last_seen: LastSeen,
    ) -> Option<(LinkId, DropReason)> {
        let theirs = |member: &Member| network(member.from) == network(from);
        let leaving = if !self.is_home(from) && self.count(theirs) >= self.limits.per_address {
            self.least(theirs).map(|least| (least, DropReason::Overbearing))
        } else if self.members.len() >= self.limits.in_all {
            self.least(|_| true).map(|least| (least, DropReason::Crowded))
        } else {
            None
        };
        if let Some((leaving, _)) = leaving {
            self.leave(leaving);
        }
        self.members.insert(link, Member { from, since, last_seen });
        leaving
    }

    /// The connection to close because the process has too many. One that is too new to have sent its first frame is
    /// closed only if there is no other.
    pub fn thin_out(&mut self, now: Instant) -> Option<LinkId> {
        let settled = |member: &Member| now.saturating_duration_since(member.since) >= SETTLED;
        let spoken = |member: &Member| member.last_seen.get().is_some();
        let leaving = self.least(settled).or_else(|| self.least(spoken)).or_else(|| self.least(|_| true))?;
        self.leave(leaving);
        Some(leaving)
    }

    /// A connection is closed.
    pub fn leave(&mut self, link: LinkId) {
        remove(&mut self.members, link);
    }

    /// Whether a whole ring may live at that address.
    fn is_home(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || ip == self.home
    }

    fn count(&self, which: impl Fn(&Member) -> bool) -> usize {
        self.members.values().filter(|member| which(member)).count()
    }

    fn least(&self, which: impl Fn(&Member) -> bool) -> Option<LinkId> {
        let candidates = self.members.iter().filter(|(_, member)| which(member));
        let least = candidates.min_by_key(|(link, member)| (member.last_seen.get(), member.since, **link));
        least.map(|(link, _)| *link)
    }
}

/// Most nodes of a thread have no connections when the ring is quiet: an empty tree should take no memory.
pub(crate) fn remove<T>(open: &mut BTreeMap<LinkId, T>, link: LinkId) {
    open.remove(&link);
    if open.is_empty() {
        *open = BTreeMap::new();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

    fn stranger(n: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 1, n))
    }

    /// At most six, two of an address; connections enter a second apart.
    struct Door {
        inbound: InboundLimiter,
        opened: Instant,
        pulses: BTreeMap<LinkId, LastSeen>,
    }

    impl Door {
        fn open() -> Door {
            let limits = Limits { dialed: 6, in_all: 6, per_address: 2 };
            Door { inbound: InboundLimiter::new(limits, HOME), opened: Instant::now(), pulses: BTreeMap::new() }
        }

        fn at(&self, second: u64) -> Instant {
            self.opened + Duration::from_secs(second)
        }

        fn enter(&mut self, link: LinkId, from: IpAddr) -> Option<(LinkId, DropReason)> {
            let last_seen = LastSeen::default();
            self.pulses.insert(link, last_seen.clone());
            self.inbound.enter(link, from, self.at(link), last_seen)
        }

        fn talks(&self, link: LinkId, second: u64) {
            self.pulses[&link].set(Some(self.at(second)));
        }
    }

    #[test]
    fn whoever_never_talked_goes_first_and_the_oldest_of_them() {
        let mut door = Door::open();
        for link in 1..=6 {
            assert_eq!(door.enter(link, LOOPBACK), None);
        }
        door.talks(1, 6);
        assert_eq!(door.enter(7, LOOPBACK), Some((2, DropReason::Crowded)));
        assert_eq!(door.enter(8, LOOPBACK), Some((3, DropReason::Crowded)));
    }

    #[test]
    fn then_whoever_has_longest_sent_nothing() {
        let mut door = Door::open();
        for link in 1..=6 {
            door.enter(link, LOOPBACK);
            door.talks(link, 100 - link);
        }
        assert_eq!(door.enter(7, LOOPBACK), Some((6, DropReason::Crowded)));
        assert_eq!(door.enter(8, LOOPBACK), Some((7, DropReason::Crowded)), "a newcomer that is still silent");
    }

    #[test]
    fn one_address_pushes_out_only_its_own() {
        let mut door = Door::open();
        assert_eq!(door.enter(1, stranger(1)), None);
        assert_eq!(door.enter(2, stranger(2)), None);
        assert_eq!(door.enter(3, stranger(2)), None);
        assert_eq!(door.enter(4, stranger(2)), Some((2, DropReason::Overbearing)));
        assert_eq!(door.enter(5, stranger(3)), None);
    }

    #[test]
    fn one_ipv6_network_is_one_address() {
        let from = |network, host| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, host));
        let mut door = Door::open();
        assert_eq!(door.enter(1, from(1, 1)), None);
        assert_eq!(door.enter(2, from(2, 1)), None);
        assert_eq!(door.enter(3, from(1, 2)), None);
        assert_eq!(door.enter(4, from(1, 3)), Some((1, DropReason::Overbearing)));
    }

    #[test]
    fn a_whole_ring_may_live_on_this_machine() {
        for home in [LOOPBACK, HOME] {
            let mut door = Door::open();
            assert!((1..=6).all(|link| door.enter(link, home).is_none()), "{home}");
            assert_eq!(door.enter(7, home), Some((1, DropReason::Crowded)), "but not without bound");
        }
    }

    #[test]
    fn whoever_left_is_not_counted() {
        let mut door = Door::open();
        for link in 1..=6 {
            door.enter(link, LOOPBACK);
        }
        door.inbound.leave(4);
        assert_eq!(door.enter(7, LOOPBACK), None);
        assert_eq!(door.enter(8, LOOPBACK), Some((1, DropReason::Crowded)));
        assert_eq!(door.inbound.members.len(), 6);
    }

    /// A connection with a fresh ping was closed before the ping was read, since the connections of a flood were just
    /// as new.
    #[test]
    fn whoever_has_just_come_and_not_spoken_yet_is_not_thinned_out() {
        let mut door = Door::open();
        door.enter(1, stranger(1));
        door.enter(2, stranger(2));
        door.talks(1, 1);
        assert_eq!(door.inbound.thin_out(door.at(1)), Some(1), "it has spoken at least");
        door.enter(3, stranger(3));
        assert_eq!(door.inbound.thin_out(door.at(4)), Some(2), "it has had its time");
        assert_eq!(door.inbound.thin_out(door.at(4)), Some(3));
        assert_eq!(door.inbound.thin_out(door.at(4)), None);
    }
}
