//! The configuration of a node.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::net::limits::budget::ConnectionBudget;
use crate::net::limits::inbound::Limits;
use crate::net::seed::Seed;
use crate::net::transport::Transport;
use crate::protocol::addr::{Addr, NotCallable, callable};
use crate::protocol::id::{Bits, Id};
use crate::protocol::lookup::iterative::Style;
use crate::protocol::peer::Peer;
use crate::wire::MAX_RING;

/// The configuration of a node. Begin with [`Config::new`] and change what you need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the node listens: an address of this machine, `0.0.0.0` for all its IPv4 addresses, or `[::]` for these
    /// and all its IPv6 addresses. Port 0, the default of [`Config::new`], takes any free port.
    pub listen: Addr,
    /// The address that others call, if it is not `listen`: behind a forwarder, or if the node listens at all
    /// addresses. Port 0 stands for the port that the node listens on. Default none: `listen`, which must be an address
    /// that others can call.
    pub advertise: Option<Addr>,
    /// What connections run over. Default TCP.
    pub transport: Transport,
    /// Nodes of the ring to join, tried in turn: at each try a name is resolved anew, and each of its addresses is
    /// tried. Default none: a new ring is created.
    pub seeds: Vec<Seed>,
    /// The identifier. Default none: SHA-1 of `address:port`.
    pub id: Option<Id>,
    /// Whether to accept only nodes whose identifier is the SHA-1 of their `address:port`, so that no node chooses a
    /// place on the circle without having an address for it. For rings in which all nodes have such identifiers.
    /// Default false, since `id` exists; not together with it.
    pub strict_ids: bool,
    /// The name of the ring, 1 to 64 bytes. Nodes of rings with different names, or of one without, refuse each other, so
    /// that two rings never become one by accident. It is no secret, and no protection. Default none.
    pub ring: Option<String>,
    /// Whether plain peers, which know of no names, may be members. Default true.
    pub plain_peers: bool,
    /// The length r of the successor list, 1 to 32. Default 4. A ring of more than r members survives if any r-1 of
    /// them are lost at once. Nodes of one process are lost at once: see [`r_for`].
    pub successors: usize,
    /// The period of stabilize while nothing changes, 1 ms to 60 s; rounds that change something follow each other at
    /// once. Default 1 s. A silent death goes unnoticed for about this long.
    pub stabilize: Duration,
    /// The period of finger lookups in passes that change nothing, 1 ms to 60 s. Default 1 s.
    pub fix_fingers: Duration,
    /// Whether filled fingers are looked up at one per period and never faster, so that their traffic does not depend
    /// on what happens to the ring. Default false: any change around a node makes it look up all its fingers at once.
    pub paced_fingers: bool,
    /// The period of check_predecessor, 1 ms to 60 s. Default 1 s.
    pub check_predecessor: Duration,
    /// How long to wait for an answer that depends on the callee alone, 1 ms to 60 s. Default 1 s. A node that misses
    /// two calls is taken for dead, so this must cover a busy machine and a lost packet.
    pub rpc_timeout: Duration,
    /// How long a whole lookup may take, 1 ms to 60 s. Default 5 s: enough to find two silent nodes dead on the way.
    pub lookup_timeout: Duration,
    /// How long a call to a service of another node may take, 1 ms to 60 s. Default 10 s.
    pub call_timeout: Duration,
    /// How the node's own lookups go from node to node. Default recursive. Fingers are always looked up recursively,
    /// and requests of others are answered in the style that they use.
    pub lookup_style: Style,
    /// How long a joiner goes on calling seeds that do not answer, up to an hour; then comes [`Config::if_alone`]. Default 10 s: the seeds may be
    /// starting, too.
    pub join_timeout: Duration,
    /// What a joiner does when no member of the ring has answered for that long. Default: it gives up.
    pub if_alone: IfAlone,
    /// Connections that this node may have open to others, at least 1. Default 384, less than half of the files that a
    /// program may have open by default. Beyond this, the connection is closed that has been silent for longest and has
    /// no call on it: most likely one to a finger that is rarely asked.
    pub dialed: usize,
    /// A budget for the connections that this node and others of its process make. `dialed` is then the share of this
    /// node, which it exceeds while connections are plentiful, or while all that it has are in use. At least 1. Default
    /// none.
    pub budget: Option<ConnectionBudget>,
    /// A budget for the connections that others make to this node and to others of its process. Beyond it, the node of
    /// the thread with the most such connections closes its most silent one. Default none: `connections` is the limit.
    pub accepting: Option<ConnectionBudget>,
    /// Connections that others may have open to this node, at least 1. Default 512, half of the files that a program
    /// may have open by default; the node never uses more than half of its file limit. Beyond this, one is closed:
    /// first those that never sent a whole valid frame, then the one silent for longest.
    pub connections: usize,
    /// The same from one address, or one IPv6 network of 64 bits. Loopback and the node's own address are exempt, since
    /// a whole ring may live there. If a forwarder calls for all others, this limits them together: set it to the value
    /// of `connections`. Default 64.
    pub connections_per_address: usize,
}

/// What a joiner does when no member of the ring of its seeds has answered within [`Config::join_timeout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum IfAlone {
    /// It does not start: the program decides what to do.
    #[default]
    GiveUp,
    /// It creates a ring of its own, and goes on asking the seeds: when their ring answers, the two become one. Until
    /// then both answer for all keys.
    Create,
    /// It goes on trying for as long as it takes.
    Wait,
}

/// The accepted periods and time limits.
pub const PERIOD: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);

/// The accepted lengths of a successor list.
pub const R: RangeInclusive<usize> = 1..=32;

/// The r for a ring whose processes run at most `virtual_nodes` virtual nodes each. With this r, a process that dies
/// and held at most half of the ring takes the whole successor list of some other node with it in at most one of a
/// thousand cases.
///
/// Nodes lie on the circle at random. If a process holds a share q of N nodes, then on average there are N (1 - q) q^r
/// nodes of other processes whose r successors all belong to it. That grows with q, and at q = 1/2 it is
/// `virtual_nodes` / 2^r: one in a thousand with r = 10 + log2 `virtual_nodes`. No run of nodes of one process is
/// longer than the number of its nodes, so r need never exceed that number by more than 1.
pub fn r_for(virtual_nodes: u16) -> usize {
    let nodes = usize::from(virtual_nodes.max(1));
    let by_chance = 10 + nodes.next_power_of_two().ilog2() as usize;
    // A single node is no run: any list will do.
    if nodes == 1 { 1 } else { by_chance.min(nodes + 1) }
}

/// A configuration that no node can run with: the field, its value, and what was expected. Retrying is useless until it
/// is changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The address that others call ([`Config::advertise`], else [`Config::listen`]).
    #[error("others can't call {ip}: that is {why}")]
    Address {
        /// The address, without its port.
        ip: IpAddr,
        /// Why it does not name one host that others can reach.
        why: NotCallable,
    },
    /// One of the periods and time limits.
    #[error("{field} is {value:?}: from 1ms to 60s")]
    Period {
        /// The name of the field of [`Config`].
        field: &'static str,
        /// What it was set to: below 1 ms or above 60 s.
        value: Duration,
    },
    /// [`Config::join_timeout`].
    #[error("join_timeout is {0:?}: up to 1h")]
    JoinTimeout(Duration),
    /// [`Config::id`] together with [`Config::strict_ids`].
    #[error("a node of a ring with strict identifiers can't choose its identifier")]
    StrictIds,
    /// [`Config::ring`].
    #[error("ring is {0:?}: from 1 to 64 bytes, without control characters")]
    Ring(String),
    /// [`Config::ring`] of a node that shares the connections of nodes of another ring.
    #[error("nodes of different rings can't share their connections")]
    SharedRing,
    /// [`Config::successors`].
    #[error("successors is {0}: from 1 to 32")]
    Successors(usize),
    /// One of the limits of connections.
    #[error("{field} is 0: at least 1")]
    Connections {
        /// The name of the field of [`Config`] whose limit is 0.
        field: &'static str,
    },
    /// One of [`Config::seeds`] is the address of this node.
    #[error("{0} is the node itself: a node can't join through itself")]
    JoinsItself(Addr),
    /// One of [`Config::seeds`] is not an address that can be called.
    #[error("seed {seed} can't be called: that is {why}")]
    Seed {
        /// The first such seed.
        seed: Addr,
        /// Why no node can be called there: its address or its port.
        why: NotCallable,
    },
}

impl Config {
    /// A node at `address`, on any free port, that creates a ring.
    pub fn new(address: impl Into<IpAddr>) -> Config {
        Config {
            listen: Addr::new(address, 0),
            advertise: None,
            transport: Transport::Tcp,
            seeds: Vec::new(),
            id: None,
            strict_ids: false,
            ring: None,
            plain_peers: true,
            successors: 4,
            stabilize: Duration::from_secs(1),
            fix_fingers: Duration::from_secs(1),
            paced_fingers: false,
            check_predecessor: Duration::from_secs(1),
            rpc_timeout: Duration::from_secs(1),
            lookup_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(10),
            lookup_style: Style::Recursive,
            join_timeout: Duration::from_secs(10),
            if_alone: IfAlone::GiveUp,
            dialed: Limits::default().dialed,
            budget: None,
            accepting: None,
            connections: Limits::default().in_all,
            connections_per_address: Limits::default().per_address,
        }
    }

    /// The same, listening at this address and port.
    pub fn at(listen: impl Into<Addr>) -> Config {
        let listen = listen.into();
        Config { listen, ..Config::new(listen.ip()) }
    }

    /// Checks that a node can run with this.
    ///
    /// # Errors
    ///
    /// The first field that no node can run with, its value, and what was expected.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let called = self.advertise.unwrap_or(self.listen).ip();
        callable(called).map_err(|why| ConfigError::Address { ip: called, why })?;
        let periods = [
            ("stabilize", self.stabilize),
            ("fix_fingers", self.fix_fingers),
            ("check_predecessor", self.check_predecessor),
            ("rpc_timeout", self.rpc_timeout),
            ("lookup_timeout", self.lookup_timeout),
            ("call_timeout", self.call_timeout),
        ];
        if let Some((field, value)) = periods.into_iter().find(|(_, value)| !PERIOD.contains(value)) {
            return Err(ConfigError::Period { field, value });
        }
        if self.join_timeout > Duration::from_secs(3600) {
            return Err(ConfigError::JoinTimeout(self.join_timeout));
        }
        if !R.contains(&self.successors) {
            return Err(ConfigError::Successors(self.successors));
        }
        let is_name = |name: &String| (1..=MAX_RING).contains(&name.len()) && !name.contains(char::is_control);
        if let Some(name) = self.ring.as_ref().filter(|name| !is_name(name)) {
            return Err(ConfigError::Ring(name.clone()));
        }
        if self.strict_ids && self.id.is_some() {
            return Err(ConfigError::StrictIds);
        }
        let connections = [
            ("dialed", self.dialed),
            ("budget", self.budget.as_ref().map_or(1, ConnectionBudget::limit)),
            ("accepting", self.accepting.as_ref().map_or(1, ConnectionBudget::limit)),
            ("connections", self.connections),
            ("connections_per_address", self.connections_per_address),
        ];
        if let Some((field, _)) = connections.into_iter().find(|(_, limit)| *limit == 0) {
            return Err(ConfigError::Connections { field });
        }
        for seed in self.seeds.iter().filter_map(Seed::addr) {
            if seed == self.advertised(self.listen.port()) {
                return Err(ConfigError::JoinsItself(seed));
            }
            seed.check().map_err(|why| ConfigError::Seed { seed, why })?;
        }
        Ok(())
    }

    /// The address that others call when the node listens on `port`.
    fn advertised(&self, port: u16) -> Addr {
        let addr = self.advertise.unwrap_or(self.listen);
        if addr.port() == 0 || self.advertise.is_none() { addr.with_port(port) } else { addr }
    }

    /// Where the node listens. In memory there is no forwarder, so it listens at the address that others call.
    pub(crate) fn listens_at(&self) -> Addr {
        if self.transport == Transport::Tcp { self.listen } else { self.advertised(self.listen.port()) }
    }

    /// The node that listens on `port`.
    pub(crate) fn peer(&self, port: u16) -> Peer {
        let addr = self.advertised(port);
        Peer { id: self.id.unwrap_or_else(|| Id::of_address(addr, Bits::FULL)), addr }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn config() -> Config {
        Config::new(Ipv4Addr::LOCALHOST)
    }

    #[test]
    fn defaults_work() {
        assert_eq!(config().validate(), Ok(()));
    }

    #[test]
    fn each_limit_is_checked_at_both_ends() {
        for ip in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 1)] {
            assert!(
                matches!(Config::new(ip).validate(), Err(ConfigError::Address { ip: refused, .. }) if refused == ip)
            );
        }
        for (r, good) in [(0, false), (1, true), (32, true), (33, false)] {
            assert_eq!(Config { successors: r, ..config() }.validate().is_ok(), good, "r = {r}");
        }
        for (millis, good) in [(0, false), (1, true), (60_000, true), (60_001, false)] {
            let time = Duration::from_millis(millis);
            for config in [
                Config { stabilize: time, ..config() },
                Config { fix_fingers: time, ..config() },
                Config { check_predecessor: time, ..config() },
                Config { rpc_timeout: time, ..config() },
                Config { lookup_timeout: time, ..config() },
            ] {
                assert_eq!(config.validate().is_ok(), good, "{config:?}");
            }
        }
    }

    #[test]
    fn lists_are_to_reach_beyond_the_nodes_of_one_process() {
        let expected = [(1, 1), (2, 3), (3, 4), (12, 13), (16, 14), (17, 15), (64, 16), (1024, 20)];
        expected.iter().for_each(|(nodes, r)| assert_eq!(r_for(*nodes), *r, "{nodes} nodes"));
        for nodes in 2..=1024 {
            assert!(R.contains(&r_for(nodes)) && r_for(nodes) <= r_for(nodes + 1));
            assert!(r_for(nodes) > nodes.into() || f64::from(nodes) / f64::powi(2.0, r_for(nodes) as i32) <= 1e-3);
        }
    }

    #[test]
    fn identifier_of_ones_own_is_not_strict() {
        let id = Some(Id::from_bytes([7; 20]));
        assert_eq!(Config { strict_ids: true, id, ..config() }.validate(), Err(ConfigError::StrictIds));
        assert_eq!(Config { strict_ids: true, ..config() }.validate(), Ok(()));
    }

    #[test]
    fn node_that_takes_no_connections_is_none() {
        let field = "connections";
        assert_eq!(Config { connections: 0, ..config() }.validate(), Err(ConfigError::Connections { field }));
        let field = "connections_per_address";
        assert_eq!(
            Config { connections_per_address: 0, ..config() }.validate(),
            Err(ConfigError::Connections { field })
        );
        let budget = |limit| Config { budget: Some(ConnectionBudget::new(limit)), ..config() };
        assert_eq!(budget(0).validate(), Err(ConfigError::Connections { field: "budget" }));
        assert_eq!(budget(1).validate(), Ok(()));
        assert_eq!(Config { connections: 1, connections_per_address: 1, ..config() }.validate(), Ok(()));
    }

    #[test]
    fn what_is_advertised_is_what_others_call() {
        let everywhere = Config::new(Ipv4Addr::UNSPECIFIED);
        assert!(matches!(everywhere.validate(), Err(ConfigError::Address { why: NotCallable::Unspecified, .. })));
        let advertise = |text: &str| Config { advertise: Some(text.parse().unwrap()), ..everywhere.clone() };
        let peer = |text: &str| advertise(text).peer(7).addr.to_string();
        assert_eq!(advertise("192.0.2.1:0").validate(), Ok(()));
        assert_eq!(peer("192.0.2.1:0"), "192.0.2.1:7");
        assert_eq!(peer("[2001:db8::1]:9"), "[2001:db8::1]:9", "a forwarder may have another port");
        assert!(advertise("[fe80::1]:0").validate().is_err());
    }

    #[test]
    fn node_can_not_join_through_itself() {
        let itself = Config { seeds: vec!["127.0.0.1:4170".parse().unwrap()], ..Config::at(([127, 0, 0, 1], 4170)) };
        assert!(matches!(itself.validate(), Err(ConfigError::JoinsItself(_))));
    }
}
