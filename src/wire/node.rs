//! Nodes as they are named on the wire, and which of them are believed to exist.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;

use super::block::bytes_of;
use super::error::WireError;
use super::proto;
use crate::protocol::addr::{Addr, callable};
use crate::protocol::id::{Bits, Id};
use crate::protocol::peer::Peer;

/// Which nodes are believed to exist when a peer names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ids {
    /// All: the node at an address may have any identifier.
    #[default]
    Any,
    /// Those whose identifier is the SHA-1 of their address. A question about any other is refused; in
    /// a reply it is left out, as if its sender had not heard of it.
    OfAddress,
}

/// The longest list that is read, in nodes. Every node cuts it to its own r, which is no more.
pub(super) const MAX_LIST: usize = 32;

/// An identifier as it travels.
pub(super) fn id_bytes(id: Id) -> Bytes {
    bytes_of(id.as_bytes())
}

/// A received identifier.
pub(super) fn id(bytes: &[u8]) -> Result<Id, WireError> {
    bytes.try_into().map(Id::from_bytes).map_err(|_| WireError::Id(bytes.len()))
}

/// A node as it travels.
pub(super) fn node(peer: Peer) -> proto::Node {
    proto::Node { id: id_bytes(peer.id), address: text(peer.addr.ip()), port: peer.addr.port().into() }
}

fn text(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => dotted(ip),
        IpAddr::V6(ip) => ip.to_string(),
    }
}

/// An IPv4 address as text. A frame has one for each node that it names: the general formatter took a tenth of the
/// simulator's time.
fn dotted(ip: Ipv4Addr) -> String {
    let digit = |n: u8| char::from(b'0' + n % 10);
    let mut text = String::with_capacity("255.255.255.255".len());
    for (i, octet) in ip.octets().into_iter().enumerate() {
        if i > 0 {
            text.push('.');
        }
        if octet >= 100 {
            text.push(digit(octet / 100));
        }
        if octet >= 10 {
            text.push(digit(octet / 10));
        }
        text.push(digit(octet));
    }
    text
}

fn peer(node: &proto::Node) -> Result<Peer, WireError> {
    let id = id(&node.id)?;
    let ip = node.address.parse().ok().and_then(|ip| callable(ip).ok());
    let ip = ip.ok_or_else(|| WireError::Address(node.address.chars().take(40).collect()))?;
    Ok(Peer { id, addr: Addr::new(ip, port(node.port)?) })
}

/// A received port.
pub(super) fn port(port: u32) -> Result<u16, WireError> {
    u16::try_from(port).ok().filter(|port| *port != 0).ok_or(WireError::Port(port))
}

/// Some plain peers write a node of zeros for none.
fn is_zero(node: &proto::Node) -> bool {
    node.port == 0 && node.address.is_empty() && node.id.iter().all(|byte| *byte == 0)
}

/// Every node that a peer names comes in through one of these.
impl Ids {
    /// A node that must be there, and be believed to exist.
    pub(super) fn peer(self, node: &proto::Node) -> Result<Peer, WireError> {
        let peer = peer(node)?;
        if self == Ids::OfAddress && peer != Peer::at(peer.addr, Bits::FULL) {
            return Err(WireError::NotItsId(peer));
        }
        Ok(peer)
    }

    /// A node that is left out if it is not believed to exist.
    pub(super) fn known(self, node: &proto::Node) -> Result<Option<Peer>, WireError> {
        match self.peer(node) {
            Err(WireError::NotItsId(_)) => Ok(None),
            other => other.map(Some),
        }
    }

    /// A node, or none.
    pub(super) fn maybe(self, node: Option<&proto::Node>) -> Result<Option<Peer>, WireError> {
        Ok(node.filter(|node| !is_zero(node)).map(|node| self.known(node)).transpose()?.flatten())
    }

    /// A list of nodes, up to the first node of zeros.
    pub(super) fn list(self, nodes: &[proto::Node]) -> Result<Vec<Peer>, WireError> {
        let nodes = nodes.iter().take_while(|node| !is_zero(node)).take(MAX_LIST);
        nodes.filter_map(|node| self.known(node).transpose()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_everybody_writes_them() {
        for octet in 0..=255 {
            for ip in [[octet, 0, 9, 10], [99, octet, 100, 255], [1, 2, octet, 3], [4, 5, 6, octet]].map(Ipv4Addr::from)
            {
                assert_eq!(dotted(ip), ip.to_string());
            }
        }
    }

    #[test]
    fn node_that_nobody_can_call_is_refused() {
        let id = || id_bytes(Id::from_bytes([1; 20]));
        let with = |address: &str, port| Ids::Any.peer(&proto::Node { id: id(), address: address.into(), port });
        assert!(with("10.1.2.3", 65535).is_ok() && with("2001:db8::1", 65535).is_ok());
        assert_eq!(with("::ffff:10.1.2.3", 7).unwrap(), with("10.1.2.3", 7).unwrap());
        for address in ["0.0.0.0", "255.255.255.255", "224.0.0.1", "localhost", "127.1", "", "1.2.3.4.5"] {
            assert!(matches!(with(address, 1), Err(WireError::Address(_))), "{address}");
        }
        for address in
            ["::", "ff02::1", "fe80::1", "::ffff:224.0.0.1", "[2001:db8::1]", "fe80::1%eth0", "2001:db8::1::"]
        {
            assert!(matches!(with(address, 1), Err(WireError::Address(_))), "{address}");
        }
        for port in [0, 65536, u32::MAX] {
            assert!(matches!(with("10.1.2.3", port), Err(WireError::Port(_))), "{port}");
        }
    }
}
