//! A node as others know it.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::id::{Bits, Id};

/// A node as others know it: its place on the circle and where it is called.
///
/// Two peers with one identifier at two addresses are two nodes that can't be in one ring.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer {
    pub id: Id,
    pub addr: SocketAddrV4,
}

// Successor lists and finger tables are made of these: a million nodes hold 30 million.
const _: () = assert!(size_of::<Peer>() <= 32);

impl Peer {
    /// The node that follows the rule for identifiers: SHA-1 of `address:port`.
    pub fn at(addr: SocketAddrV4, bits: Bits) -> Peer {
        Peer { id: Id::of_address(addr, bits), addr }
    }
}

/// Whether others can call this address: one of a single host.
pub fn is_unicast(ip: Ipv4Addr) -> bool {
    !(ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast())
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.id, self.addr.ip(), self.addr.port())
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.8}@{}", self.id.to_string(), self.addr)
    }
}
