//! Names for the tests beside the code: the nodes of the paper's examples, on a 6-bit circle.

use std::net::Ipv4Addr;

use super::addr::Addr;
use super::id::{Bits, Id};
use super::peer::Peer;

pub(crate) const SIX: Bits = match Bits::new(6) {
    Some(bits) => bits,
    None => unreachable!(),
};

/// The node with this number.
pub(crate) fn peer(n: u8) -> Peer {
    Peer { id: Id::from_number(n.into(), SIX), addr: Addr::new(Ipv4Addr::LOCALHOST, 4000 + u16::from(n)) }
}

pub(crate) fn peers(numbers: &[u8]) -> Vec<Peer> {
    numbers.iter().copied().map(peer).collect()
}
