//! The console: the meaning of a line, and the form of an answer.
//!
//! Both are pure. The thread that reads standard input is in [`input`]; lines from a terminal come from the [`editor`]
//! with its [`history`]; the streams themselves are in [`streams`]; [`terminal`] tells when a terminal may be used.

pub mod editor;
pub mod history;
pub mod input;
pub mod streams;
pub mod terminal;

use std::fmt;
use std::io::Write;

use crate::node::{LookupError, State};
use crate::protocol::id::{Bits, Id};
use crate::protocol::peer::Peer;

/// The meaning of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The owner of this key.
    Lookup(Vec<u8>),
    /// The successor list and the fingers.
    PrintState,
    /// The list of commands.
    Help,
    /// The end of the node.
    Quit,
}

/// The longest line that is read, in bytes: a key is hashed as a whole, so all of it has to be in memory.
pub const MAX_LINE: usize = 64 * 1024;

/// A line that is not a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    #[error("Lookup needs a key: Lookup <key>")]
    NoKey,
    #[error("unknown command; there are Lookup <key>, PrintState, Help, Quit")]
    Unknown,
    #[error("the line is longer than {MAX_LINE} bytes")]
    TooLong,
    #[error("the line can't be read: {0}")]
    Unreadable(String),
}

/// The commands, as Tab completes them.
pub const COMMANDS: [&str; 4] = ["Lookup ", "PrintState", "Help", "Quit"];

/// The command in a line; `None` if the line is empty. The case of a command does not matter, nor does white space
/// around command and key; white space inside the key does.
pub fn parse(line: &[u8]) -> Result<Option<Command>, BadLine> {
    let line = line.trim_ascii();
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let (command, rest) = line.split_at(end);
    match (&*command.to_ascii_lowercase(), rest.trim_ascii()) {
        (b"", _) => Ok(None),
        (b"lookup", b"") => Err(BadLine::NoKey),
        (b"lookup", key) => Ok(Some(Command::Lookup(key.to_vec()))),
        (b"printstate", b"") => Ok(Some(Command::PrintState)),
        (b"help", b"") => Ok(Some(Command::Help)),
        (b"quit", b"") => Ok(Some(Command::Quit)),
        _ => Err(BadLine::Unknown),
    }
}

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

/// The list of commands.
pub fn render_help() -> Vec<u8> {
    b"< Lookup <key>   the node that owns the key: the rest of the line, spaces inside count\n\
      < PrintState     this node, its successors and its fingers\n\
      < Help           this text\n\
      < Quit           end this node\n"
        .to_vec()
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
    fn key_is_the_rest_of_the_line() {
        let lookup = |key: &str| Ok(Some(Command::Lookup(key.into())));
        assert_eq!(parse(b"Lookup Hello"), lookup("Hello"));
        assert_eq!(parse(b"  Lookup   to be  or not \t\r"), lookup("to be  or not"));
        assert_eq!(parse(b"Lookup PrintState"), lookup("PrintState"));
        assert_eq!(parse(b"Lookup \xff\x00"), Ok(Some(Command::Lookup(vec![0xff, 0]))));
    }

    #[test]
    fn other_commands_stand_alone() {
        assert_eq!(parse(b"PrintState"), Ok(Some(Command::PrintState)));
        assert_eq!(parse(b"Help "), Ok(Some(Command::Help)));
        assert_eq!(parse(b"Quit"), Ok(Some(Command::Quit)));
        assert_eq!(parse(b"PrintState now"), Err(BadLine::Unknown));
    }

    /// `sim ring` has its commands in lower case, and users are used to that.
    #[test]
    fn command_in_another_case_is_understood() {
        assert_eq!(parse(b"lookup Hello"), Ok(Some(Command::Lookup("Hello".into()))));
        assert_eq!(parse(b"LOOKUP Hello"), Ok(Some(Command::Lookup("Hello".into()))));
        assert_eq!(parse(b"printstate"), Ok(Some(Command::PrintState)));
        assert_eq!(parse(b"hELP"), Ok(Some(Command::Help)));
        assert_eq!(parse(b"QUIT"), Ok(Some(Command::Quit)));
        assert_eq!(parse(b"lookup"), Err(BadLine::NoKey));
    }

    #[test]
    fn empty_line_asks_for_nothing() {
        assert_eq!(parse(b""), Ok(None));
        assert_eq!(parse(b" \t\r"), Ok(None));
    }

    #[test]
    fn line_that_means_nothing_is_an_error() {
        assert_eq!(parse(b"Lookup "), Err(BadLine::NoKey));
        for line in ["Lookups", "LookupHello", "\u{1}", "?"] {
            assert_eq!(parse(line.as_bytes()), Err(BadLine::Unknown), "{line:?}");
        }
        let listed = BadLine::Unknown.to_string();
        assert!(["Lookup", "PrintState", "Help", "Quit"].iter().all(|command| listed.contains(command)));
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
