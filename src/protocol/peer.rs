//! A node as others know it.

use std::fmt;
use std::str::FromStr;

use super::addr::Addr;
use super::id::{Bits, Id};

/// A node as others know it: its place on the circle and where it is called.
///
/// Two peers with one identifier at two addresses are two nodes that can't be in one ring.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer {
    /// The place on the circle: SHA-1 of `address:port`, unless the node has chosen another.
    pub id: Id,
    /// The address that the node advertises.
    pub addr: Addr,
}

// Successor lists and finger tables are made of these: a million nodes hold 30 million.
const _: () = assert!(size_of::<Peer>() <= 40);

impl Peer {
    /// The node that follows the rule for identifiers: SHA-1 of `address:port`.
    pub fn at(addr: Addr, bits: Bits) -> Peer {
        Peer { id: Id::of_address(addr, bits), addr }
    }
}

/// Identifier and address with `@` between, as [`FromStr`] reads it.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.addr)
    }
}

/// A text is not a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 40 hexadecimal digits, @, and an address with a port")]
pub struct NotAPeer;

/// Reads what [`Display`](fmt::Display) writes. Does not check that the identifier is the hash of the address: nodes
/// may choose theirs.
impl FromStr for Peer {
    type Err = NotAPeer;

    fn from_str(text: &str) -> Result<Peer, NotAPeer> {
        let (id, addr) = text.split_once('@').ok_or(NotAPeer)?;
        Ok(Peer { id: id.parse().map_err(|_| NotAPeer)?, addr: addr.parse().map_err(|_| NotAPeer)? })
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.8}@{}", self.id.to_string(), self.addr)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_peer_is_read_as_it_is_written(id: [u8; 20], v4: [u8; 4], v6: [u8; 16], port: u16) {
            for addr in [Addr::new(v4, port), Addr::new(v6, port)] {
                let peer = Peer { id: Id::from_bytes(id), addr };
                prop_assert_eq!(peer.to_string().parse(), Ok(peer));
            }
        }
    }

    #[test]
    fn what_is_no_peer_is_refused() {
        let peer = Peer::at("128.8.126.63:4170".parse().unwrap(), Bits::FULL).to_string();
        assert_eq!(peer.parse::<Peer>().map(|peer| peer.addr.port()), Ok(4170));
        let without_port = peer.trim_end_matches(":4170");
        for text in ["", "@", &peer[1..], without_port, &format!("{peer} "), &peer.replace('@', " ")] {
            assert_eq!(text.parse::<Peer>(), Err(NotAPeer), "{text:?}");
        }
    }
}
