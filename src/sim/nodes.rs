//! Nodes by number, and their names.

use std::net::{IpAddr, Ipv4Addr};

use crate::protocol::addr::Addr;
use crate::protocol::id::{Bits, Id};
use crate::protocol::peer::Peer;

/// The node with the identifier `n` on a circle of this many bits, at the address [`address`]`(n)`.
pub fn numbered(n: u32, bits: Bits) -> Peer {
    Peer { id: Id::from_number(n.into(), bits), addr: address(n) }
}

/// The `n`th of the nodes whose identifiers are hashes of their addresses.
pub fn hashed(n: u32) -> Peer {
    Peer::at(address(n), Bits::FULL)
}

/// The address of the `n`th node: port 4170 on a host of 10.0.0.0/8 (which has 2^24; larger numbers continue in
/// 11.0.0.0/8).
pub fn address(n: u32) -> Addr {
    Addr::new(Ipv4Addr::from(0x0a00_0000u32.wrapping_add(n)), 4170)
}

/// The number of the node at this address.
pub fn number_of(addr: Addr) -> u32 {
    match addr.ip() {
        IpAddr::V4(ip) => u32::from(ip).wrapping_sub(0x0a00_0000),
        IpAddr::V6(ip) => unreachable!("simulated nodes have IPv4 addresses, and not {ip}"),
    }
}

/// A point's number on a circle of up to 32 bits; on larger circles its first eight hexadecimal digits.
pub fn name(id: Id, bits: Bits) -> String {
    let (bits, [a, b, c, d, ..]) = (bits.count(), *id.as_bytes());
    let top = u32::from_be_bytes([a, b, c, d]);
    if bits <= 32 { (top >> (32 - bits)).to_string() } else { format!("{top:08x}") }
}

/// The names of nodes, separated by spaces.
pub fn names(peers: impl IntoIterator<Item = Peer>, bits: Bits) -> String {
    peers.into_iter().map(|peer| name(peer.id, bits)).collect::<Vec<_>>().join(" ")
}

/// A count and a noun, in the singular or plural form; `one` is the singular.
pub fn counted(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// The first node at or after a key. The ring is ordered by number and not empty.
pub fn owner(ring: &[Peer], key: Id) -> Peer {
    ring[ring.partition_point(|peer| peer.id < key) % ring.len()]
}
