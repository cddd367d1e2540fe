//! The console: the meaning of a line ([`command`]), and the form of an answer.
//!
//! Both are pure. The thread that reads standard input is in [`input`]; lines from a terminal come from the [`editor`]
//! with its [`history`]; the streams themselves are in [`streams`]; [`terminal`] tells when a terminal may be used.

pub mod command;
pub mod editor;
pub mod history;
pub mod input;
pub mod streams;
pub mod terminal;

use std::fmt;
use std::io::Write;

pub use command::{Command, Language};

use crate::node::{LookupError, State};
use crate::protocol::id::{Bits, Id};
use crate::protocol::peer::Peer;

/// A peer in the form that programs which read the console rely on: identifier, address and port, separated by spaces.
struct Spaced(Peer);

impl fmt::Display for Spaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spaced(Peer { id, addr }) = self;
        write!(f, "{id} {} {}", addr.ip(), addr.port())
    }
}

/// The answer to a lookup: the key with its identifier, then the owner or the reason why there is none.
pub fn render_lookup(key: &[u8], owner: Result<Peer, LookupError>) -> Vec<u8> {
    let mut answer = b"< ".to_vec();
    answer.extend_from_slice(key);
    answer.extend_from_slice(format!(" {}\n", Id::of_key(key, Bits::FULL)).as_bytes());
    match owner {
        Ok(owner) => answer.extend_from_slice(format!("< {}\n", Spaced(owner)).as_bytes()),
        Err(error) => answer.extend_from_slice(&render_error(&error)),
    }
    answer
}

/// The state of a node: always r successors, and all fingers. In a ring with fewer nodes the list of successors goes
/// round and round, with the node itself in its place.
pub fn render_state(state: &State) -> Vec<u8> {
    let mut answer = format!("< Self {}\n", Spaced(state.me)).into_bytes();
    let successors = state.successors.iter().chain([&state.me]).cycle().take(state.r);
    let lines = [("Successor", successors.collect::<Vec<_>>()), ("Finger", state.fingers.iter().collect())];
    for (name, peers) in lines {
        for (i, peer) in (1..).zip(peers) {
            // Writing to memory does not fail.
            let _ = writeln!(answer, "< {name} [{i}] {}", Spaced(*peer));
        }
    }
    answer
}

/// The reason why a line has no answer.
pub fn render_error(error: &impl std::fmt::Display) -> Vec<u8> {
    format!("< Error: {error}\n").into_bytes()
}

/// A text of whole lines as an answer.
pub fn render_text(text: &str) -> Vec<u8> {
    text.lines().map(|line| format!("< {line}\n")).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use crate::protocol::addr::Addr;
    use std::net::Ipv4Addr;

    use super::*;
    use crate::protocol::lookup::LookupFailure;

    fn node() -> Peer {
        Peer::at("128.8.126.63:2001".parse().unwrap(), Bits::FULL)
    }

    #[test]
    fn lookup_shows_key_identifier_and_owner() {
        let answer = String::from_utf8(render_lookup(b"Hello", Ok(node()))).unwrap();
        let expected = format!("< Hello f7ff9e8b7bb2e09b70935a5d785e0cc5d9d0abf0\n< {} 128.8.126.63 2001\n", node().id);
        assert_eq!(answer, expected);
    }

    #[test]
    fn failed_lookup_says_why_in_its_second_line() {
        let answer = String::from_utf8(render_lookup(b"Hello", Err(LookupFailure::Timeout.into()))).unwrap();
        assert_eq!(answer.lines().nth(1), Some("< Error: no answer within the time limit"));
    }

    #[test]
    fn list_longer_than_the_ring_goes_round_and_round() {
        let [me, b, c] = [1, 2, 3].map(|port| Peer::at(Addr::new(Ipv4Addr::LOCALHOST, port), Bits::FULL));
        let state = State { me, r: 6, successors: vec![b, c], predecessor: None, fingers: vec![] };
        let answer = String::from_utf8(render_state(&state)).unwrap();
        let expected = [b, c, me, b, c, me]
            .into_iter()
            .enumerate()
            .map(|(i, peer)| format!("< Successor [{}] {}", i + 1, Spaced(peer)));
        assert!(answer.lines().skip(1).eq(expected), "{answer}");
    }

    #[test]
    fn ring_of_one_prints_itself_everywhere() {
        let me = node();
        let state = State { me, r: 3, successors: vec![], predecessor: None, fingers: vec![me; 160] };
        let answer = String::from_utf8(render_state(&state)).unwrap();
        let lines: Vec<_> = answer.lines().collect();
        assert_eq!(lines.len(), 1 + 3 + 160);
        assert_eq!(lines[0], format!("< Self {} 128.8.126.63 2001", me.id));
        let me = Spaced(me);
        assert_eq!(lines[3], format!("< Successor [3] {me}"));
        assert_eq!(lines[4], format!("< Finger [1] {me}"));
        assert_eq!(lines[163], format!("< Finger [160] {me}"));
    }
}
