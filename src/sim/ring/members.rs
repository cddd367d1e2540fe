//! The nodes of a ring, and how identifiers are written for people.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::protocol::addr::Addr;
use crate::protocol::id::{Bits, Id};
use crate::protocol::peer::Peer;
use crate::sim::nodes;

/// Hosts have addresses in 10.0.0.0/8, which has this many.
pub const MAX_HOSTS: u32 = 1 << 24;

/// Two nodes with the same identifier: they can't be in one ring, so the second is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Collision {
    /// The node that would have joined later, and is left out.
    pub refused: Peer,
    /// The node that keeps the identifier.
    pub holder: Peer,
}

/// `hosts` hosts with `virtual_nodes` nodes each, in the order in which they join. Identifiers are the SHA-1 of
/// "ip:port". Hosts have consecutive addresses from a random one, and the nodes of each host consecutive ports from a
/// random one.
pub fn draw(hosts: u32, virtual_nodes: u16, bits: Bits, seed: u64) -> Vec<Peer> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (first_host, first_port) = (rng.random_range(0..MAX_HOSTS), rng.random_range(1024..=u16::MAX - virtual_nodes));
    let ip = |host: u32| nodes::address(first_host.wrapping_add(host) % MAX_HOSTS).ip();
    let of_host = |host: u32| (0..virtual_nodes).map(move |k| Addr::new(ip(host), first_port + k));
    (0..hosts).into_par_iter().flat_map_iter(|host| of_host(host).map(|addr| Peer::at(addr, bits))).collect()
}

/// Nodes with given identifiers, at consecutive addresses.
pub fn given(ids: impl IntoIterator<Item = Id>) -> Vec<Peer> {
    (0..).zip(ids).map(|(n, id)| Peer { id, addr: nodes::address(n) }).collect()
}

/// Leaves out each node whose identifier an earlier node has.
pub fn without_collisions(peers: &[Peer]) -> (Vec<Peer>, Vec<Collision>) {
    let mut by_id: Vec<(Id, usize)> = (0..).zip(peers).map(|(at, peer)| (peer.id, at)).collect();
    by_id.par_sort_unstable();
    let mut holder = by_id.first().map_or(0, |(_, at)| *at);
    let mut left_out: BTreeMap<usize, usize> = BTreeMap::new();
    for (id, at) in by_id {
        if id == peers[holder].id && at != holder {
            left_out.insert(at, holder);
        } else {
            holder = at;
        }
    }
    let kept = (0..).zip(peers).filter(|(at, _)| !left_out.contains_key(at)).map(|(_, peer)| *peer).collect();
    let collision = |(refused, holder): (usize, usize)| Collision { refused: peers[refused], holder: peers[holder] };
    (kept, left_out.into_iter().map(collision).collect())
}

/// An identifier in full: its number on a circle of up to 32 bits; on larger circles its hexadecimal digits, as many as
/// the bits need.
pub fn label(id: Id, bits: Bits) -> String {
    if bits.count() <= 32 { nodes::name(id, bits) } else { id.to_string()[..digits(bits)].to_owned() }
}

fn digits(bits: Bits) -> usize {
    usize::from(bits.count().div_ceil(4))
}

/// Reads what [`label`] writes; the error names the expected form.
pub fn read_label(text: &str, bits: Bits) -> Result<Id, String> {
    let m = bits.count();
    if m <= 32 {
        let number = text.parse().ok().filter(|n: &u128| *n < 1 << m);
        return number.map(|n| Id::from_number(n, bits)).ok_or_else(|| format!("{text:?} is no number below 2^{m}"));
    }
    let id: Option<Id> = (text.len() == digits(bits)).then(|| format!("{text:0<40}").parse().ok()).flatten();
    id.filter(|id| *id == id.truncated(bits)).ok_or_else(|| {
        format!("{text:?} is no identifier of {m} bits: {} hexadecimal digits, the first {m} bits of 160", digits(bits))
    })
}

/// Reads a key: an identifier, or any other text, which is hashed.
pub fn read_key(text: &str, bits: Bits) -> Result<Id, String> {
    let looks_like_an_id = if bits.count() <= 32 {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
    } else {
        text.len() == digits(bits) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    if looks_like_an_id { read_label(text, bits) } else { Ok(Id::of_key(text.as_bytes(), bits)) }
}

/// The first node of a ring with that identifier. On circles of more than 32 bits its first digits are enough if no
/// other node's identifier begins with them.
pub fn find(ring: &[Peer], text: &str, bits: Bits) -> Result<Peer, String> {
    let text = text.to_ascii_lowercase();
    let text = text.as_str();
    if bits.count() <= 32 || text.len() == digits(bits) {
        let id = read_label(text, bits)?;
        return ring.iter().find(|peer| peer.id == id).copied().ok_or_else(|| format!("there is no node {text}"));
    }
    let begins = |peer: &&Peer| !text.is_empty() && peer.id.to_string().starts_with(text);
    let mut found = ring.iter().filter(begins);
    match found.next() {
        Some(peer) if found.all(|other| other.id == peer.id) => Ok(*peer),
        Some(_) => Err(format!("more than one node begins with {text}")),
        None => Err(format!("there is no node {text}")),
    }
}

/// Reads identifiers, one per line. Empty lines and comments from `#` on are skipped; an error names the line.
pub fn read_ids(text: &str, bits: Bits) -> Result<Vec<Id>, String> {
    let lines = (1..).zip(text.lines()).map(|(n, line)| (n, line.split('#').next().unwrap_or_default().trim()));
    let ids = lines.filter(|(_, line)| !line.is_empty());
    ids.map(|(n, line)| read_label(line, bits).map_err(|why| format!("line {n}: {why}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(m: u8) -> Bits {
        Bits::new(m).unwrap()
    }

    #[test]
    fn a_seed_draws_distinct_addresses_and_their_hashes() {
        let peers = draw(100, 3, bits(160), 1);
        let mut addresses: Vec<_> = peers.iter().map(|peer| peer.addr).collect();
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), 300);
        addresses.dedup_by_key(|addr| addr.ip());
        assert_eq!(addresses.len(), 100);
        assert!(peers.iter().all(|peer| *peer == Peer::at(peer.addr, bits(160))));
        assert_eq!(peers, draw(100, 3, bits(160), 1));
        assert_ne!(peers, draw(100, 3, bits(160), 2));
    }

    #[test]
    fn of_two_nodes_with_one_identifier_the_second_is_left_out() {
        let six = bits(6);
        let peers = given([8, 1, 8, 14, 1, 8].map(|n| Id::from_number(n, six)));
        let (kept, collisions) = without_collisions(&peers);
        assert_eq!(kept, [peers[0], peers[1], peers[3]]);
        let expected = [(2, 0), (4, 1), (5, 0)]
            .map(|(refused, holder)| Collision { refused: peers[refused], holder: peers[holder] });
        assert_eq!(collisions, expected);
    }

    #[test]
    fn labels_can_be_read_again() {
        for m in [3, 6, 16, 32, 33, 47, 128, 160] {
            for peer in draw(20, 1, bits(m), 7) {
                assert_eq!(read_label(&label(peer.id, bits(m)), bits(m)), Ok(peer.id), "{m} bits");
            }
        }
    }

    #[test]
    fn text_that_is_no_label_is_refused() {
        for (m, text) in [(6, "64"), (6, "-1"), (6, ""), (32, "4294967296"), (33, "000000001"), (33, "00"), (160, "é")]
        {
            assert!(read_label(text, bits(m)).is_err(), "{text} of {m} bits");
        }
        assert_eq!(read_label("000000008", bits(33)), Ok(Id::from_number(1, bits(33))));
    }

    #[test]
    fn a_key_is_an_identifier_or_a_text() {
        assert_eq!(read_key("54", bits(6)), Ok(Id::from_number(54, bits(6))));
        assert!(read_key("64", bits(6)).is_err());
        assert_eq!(read_key("", bits(6)), Ok(Id::of_key(b"", bits(6))));
        assert_eq!(read_key("Hello", bits(6)), Ok(Id::of_key(b"Hello", bits(6))));
        assert_eq!(read_key("54", bits(160)), Ok(Id::of_key(b"54", bits(160))));
    }

    #[test]
    fn a_node_of_many_bits_is_found_by_its_first_digits() {
        let ring = draw(50, 1, bits(160), 1);
        let digits = &ring[3].id.to_string()[..8];
        assert_eq!(find(&ring, digits, bits(160)), Ok(ring[3]));
        assert_eq!(find(&ring, &digits.to_uppercase(), bits(160)), Ok(ring[3]));
        let twice = [ring[3], Peer { addr: ring[4].addr, ..ring[3] }];
        assert_eq!(find(&twice, digits, bits(160)), Ok(ring[3]), "the other will be left out");
        assert!(find(&ring, "", bits(160)).is_err());
        let six = given([8, 1].map(|n| Id::from_number(n, bits(6))));
        assert_eq!(find(&six, "8", bits(6)), Ok(six[0]));
        assert_eq!(find(&six, "9", bits(6)), Err("there is no node 9".into()));
    }

    #[test]
    fn a_line_that_is_no_identifier_is_named() {
        assert_eq!(read_ids("1 # one\n\n8\n", bits(6)).map(|ids| ids.len()), Ok(2));
        assert_eq!(read_ids("1\n\n64", bits(6)), Err("line 3: \"64\" is no number below 2^6".into()));
    }
}
