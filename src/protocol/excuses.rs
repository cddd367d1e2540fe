//! Plain peers that serve no calls while they ask.
//!
//! Some plain peers are programs of a single thread: while they wait for an answer, calls to them wait. A node that
//! takes such a silent peer for dead buries a living member. A node that waits for it, while it waits for that same
//! node, waits in a circle. So the silence of a plain peer (not a refused connection, which proves its death) is
//! excused
//!
//! - for a while in any case, since the peer may be asking another node;
//! - as long as a question from its host is being answered here: the question may be its own;
//! - and for the same while again after that.
//!
//! A plain caller does not say who it is: only its IP address is known, which other programs may share. So only
//! questions count that came before the silence began or soon after, and each ends at its deadline: a peer that has
//! stopped is found dead no matter how many other programs ask from its host.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::peer::Peer;

/// At most this many silent plain peers are recorded; beyond, silence is not excused.
const MAX_SILENT: usize = 256;

/// Silence that was not noticed again for this long is forgotten: much longer than any excuse lasts.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// How long the silence of a plain peer is excused: two periods of maintenance, so that it may miss a round; but at
/// least the time that three calls may take, so that a lookup of its own may go one other way meanwhile, and at most
/// that of four.
pub fn excuse(period: Duration, rpc_timeout: Duration) -> Duration {
    (2 * period).clamp(3 * rpc_timeout, 4 * rpc_timeout)
}

/// Which plain peers are silent, and which of them may be asking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excuses {
    /// Questions of plain callers that are being answered, by host: when each was read.
    open: BTreeMap<IpAddr, BTreeMap<u64, Duration>>,
    last: u64,
    silent: BTreeMap<Peer, Silent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Silent {
    since: Duration,
    /// When a question from its host was last being answered, or when the silence began.
    excused: Duration,
    /// How long silence is excused in any case.
    patience: Duration,
    /// When it was last noticed.
    noticed: Duration,
}

impl Silent {
    /// Whether a question that was read at that time may be why the peer is silent.
    fn is_excused_by(&self, read: Duration) -> bool {
        read <= self.since + self.patience
    }
}

/// All loopback addresses belong to one host, and a program listens at one and calls from another.
fn host(addr: IpAddr) -> IpAddr {
    if addr.is_loopback() { Ipv4Addr::LOCALHOST.into() } else { addr }
}

impl Excuses {
    /// A question of a plain caller was read, and will be answered. Returns its number.
    pub fn begins(&mut self, from: IpAddr, now: Duration) -> u64 {
        self.last += 1;
        self.open.entry(host(from)).or_default().insert(self.last, now);
        self.last
    }

    /// It was answered, or its caller no longer waits for the answer.
    pub fn ends(&mut self, from: IpAddr, number: u64, now: Duration) {
        let host = self::host(from);
        let Some(open) = self.open.get_mut(&host) else { return };
        let Some(read) = open.remove(&number) else { return };
        if open.is_empty() {
            self.open.remove(&host);
        }
        let there = self.silent.iter_mut().filter(|(peer, _)| self::host(peer.addr.ip()) == host);
        for silent in there.map(|(_, silent)| silent).filter(|silent| silent.is_excused_by(read)) {
            silent.excused = now;
        }
    }

    /// Whether a plain peer may be waiting for an answer from here.
    pub fn may_be_asking(&self, peer: Peer) -> bool {
        let Some(open) = self.open.get(&host(peer.addr.ip())) else { return false };
        self.silent.get(&peer).is_none_or(|silent| open.values().any(|read| silent.is_excused_by(*read)))
    }

    /// A plain peer has been silent since `since`, or longer. Returns whether that is excused; else it is dead.
    pub fn excuse(&mut self, peer: Peer, since: Duration, patience: Duration, now: Duration) -> bool {
        if self.silent.len() >= MAX_SILENT && !self.silent.contains_key(&peer) {
            return false;
        }
        let new = Silent { since, excused: since, patience, noticed: now };
        let silent = self.silent.entry(peer).or_insert(new);
        silent.noticed = now;
        let open = self.open.get(&host(peer.addr.ip()));
        if open.is_some_and(|open| open.values().any(|read| silent.is_excused_by(*read))) {
            silent.excused = now;
        }
        now.saturating_sub(silent.excused) < patience
    }

    /// The peer has answered something.
    pub fn heard(&mut self, peer: Peer) {
        if !self.silent.is_empty() {
            self.silent.remove(&peer);
        }
    }

    /// Forgets silence that no longer matters; to be called now and then.
    pub fn fade(&mut self, now: Duration) {
        self.silent.retain(|_, silent| now.saturating_sub(silent.noticed) < FORGOTTEN_AFTER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::addr::Addr;
    use crate::protocol::testing::peer;

    const PATIENCE: Duration = Duration::from_secs(2);

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn at(last: u8) -> Peer {
        Peer { addr: Addr::new([10, 0, 0, last], 7), ..peer(last) }
    }

    #[test]
    fn silence_is_excused_for_a_while_and_not_for_ever() {
        let mut excuses = Excuses::default();
        assert!(excuses.excuse(at(1), ms(1000), PATIENCE, ms(2000)));
        assert!(excuses.excuse(at(1), ms(2500), PATIENCE, ms(2999)), "it has been silent since the first time");
        assert!(!excuses.excuse(at(1), ms(2500), PATIENCE, ms(3000)));
    }

    #[test]
    fn silence_ends_with_any_answer() {
        let mut excuses = Excuses::default();
        assert!(excuses.excuse(at(1), ms(1000), PATIENCE, ms(2000)));
        excuses.heard(at(1));
        assert!(excuses.excuse(at(1), ms(4000), PATIENCE, ms(5000)));
    }

    /// A plain peer was taken for dead while it waited for our answer.
    #[test]
    fn peer_lives_while_its_question_is_being_answered_and_for_a_while_after() {
        let mut excuses = Excuses::default();
        let question = excuses.begins(at(1).addr.ip(), ms(500));
        assert!(excuses.may_be_asking(at(1)));
        assert!(!excuses.may_be_asking(at(2)), "another host");
        assert!(excuses.excuse(at(1), ms(1000), PATIENCE, ms(5000)));
        excuses.ends(at(1).addr.ip(), question, ms(6000));
        assert!(!excuses.may_be_asking(at(1)));
        assert!(excuses.excuse(at(1), ms(5000), PATIENCE, ms(7999)));
        assert!(!excuses.excuse(at(1), ms(5000), PATIENCE, ms(8000)));
    }

    #[test]
    fn others_who_ask_from_the_host_of_a_stopped_peer_excuse_it_not_for_ever() {
        let mut excuses = Excuses::default();
        let mut last = excuses.begins(at(1).addr.ip(), ms(0));
        let end = (0..100).map(|n| ms(n * 100)).find(|now| {
            // A question is always open.
            let next = excuses.begins(at(1).addr.ip(), *now);
            excuses.ends(at(1).addr.ip(), std::mem::replace(&mut last, next), *now);
            !excuses.excuse(at(1), ms(0), PATIENCE, *now)
        });
        assert!(end.is_some_and(|end| end <= 3 * PATIENCE), "{end:?}");
        assert!(!excuses.may_be_asking(at(1)), "the open question is another program's");
    }

    #[test]
    fn loopback_addresses_are_one_host() {
        let mut excuses = Excuses::default();
        excuses.begins(Ipv4Addr::LOCALHOST.into(), ms(0));
        let there = Peer { addr: "127.0.0.2:7".parse().unwrap(), ..peer(7) };
        assert!(excuses.may_be_asking(there));
    }

    #[test]
    fn silence_that_nobody_notices_again_is_forgotten() {
        let mut excuses = Excuses::default();
        assert!(excuses.excuse(at(1), ms(0), PATIENCE, ms(1000)));
        excuses.fade(ms(61_000));
        assert_eq!(excuses, Excuses::default());
    }

    #[test]
    fn silent_peers_that_are_remembered_are_bounded() {
        let mut excuses = Excuses::default();
        let others = |n: usize| Peer { addr: Addr::new([10, 0, 0, 1], n as u16), ..peer(1) };
        assert!((1..=MAX_SILENT).all(|n| excuses.excuse(others(n), ms(0), PATIENCE, ms(0))));
        assert!(!excuses.excuse(others(MAX_SILENT + 1), ms(0), PATIENCE, ms(0)));
        assert!(excuses.excuse(others(1), ms(0), PATIENCE, ms(0)));
    }
}
