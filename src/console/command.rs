//! The meaning of a line.

use crate::net::seed::{Host, Seed};

/// The meaning of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The owner of this key.
    Lookup(Vec<u8>),
    /// The successor list and the fingers.
    PrintState,
    /// Become one ring with that of this node.
    Join(Seed),
    /// The nodes that this one knows.
    Peers,
    /// All nodes of the ring.
    Ring,
    /// What is wrong with the ring.
    Check,
    /// The way of a lookup of this key.
    Trace(Vec<u8>),
    /// The list of commands.
    Help,
    /// The end of the node.
    Quit,
}

/// The commands that a console understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Those of the course, for programs that rely on them.
    Course,
    /// Those of a node that people look after.
    Service,
}

/// The longest line that is read, in bytes: a key is hashed as a whole, so all of it has to be in memory.
pub const MAX_LINE: usize = 64 * 1024;

/// A line that is not a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    #[error("{0} needs a key: {0} <key>")]
    NoKey(&'static str),
    #[error("Join needs the address or name of a node and its port: Join <host> <port>")]
    NoSeed,
    #[error("unknown command; there are {}", .0.listed())]
    Unknown(Language),
    #[error("the line is longer than {MAX_LINE} bytes")]
    TooLong,
    #[error("the line can't be read: {0}")]
    Unreadable(String),
}

/// A command's name and argument, and what it does.
type Entry = (&'static str, &'static str);

const LOOKUP: Entry = ("Lookup <key>", "the node that owns the key: the rest of the line, spaces inside count");
const PRINT_STATE: Entry = ("PrintState", "this node, its successors and its fingers");
const HELP: Entry = ("Help", "this text");
const QUIT: Entry = ("Quit", "end this node");

const COURSE: &[Entry] = &[LOOKUP, PRINT_STATE, HELP, QUIT];

const SERVICE: &[Entry] = &[
    LOOKUP,
    PRINT_STATE,
    ("Join <host> <port>", "become one ring with that of this node"),
    ("Peers", "the nodes that this one knows"),
    ("Ring", "all nodes of the ring, with their shares of the keys"),
    ("Check", "what is wrong with the ring, and what to do about it"),
    ("Trace <key>", "the way of a lookup from node to node"),
    HELP,
    ("Leave", "leave the ring and end this node"),
    QUIT,
];

impl Language {
    fn entries(self) -> &'static [Entry] {
        match self {
            Language::Course => COURSE,
            Language::Service => SERVICE,
        }
    }

    /// The commands, as Tab completes them.
    pub fn commands(self) -> &'static [&'static str] {
        match self {
            Language::Course => &["Lookup ", "PrintState", "Help", "Quit"],
            Language::Service => {
                &["Lookup ", "PrintState", "Join ", "Peers", "Ring", "Check", "Trace ", "Help", "Leave", "Quit"]
            }
        }
    }

    fn listed(self) -> String {
        self.entries().iter().map(|(command, _)| *command).collect::<Vec<_>>().join(", ")
    }

    /// The list of commands, as an answer.
    pub fn help(self) -> Vec<u8> {
        let width = if self == Language::Course { 14 } else { 18 };
        let line = |(command, does): &Entry| format!("< {command:width$} {does}\n");
        self.entries().iter().map(line).collect::<String>().into_bytes()
    }

    /// The command in a line; `None` if the line is empty. The case of a command does not matter, nor does white space
    /// around command and key; white space inside the key does.
    pub fn parse(self, line: &[u8]) -> Result<Option<Command>, BadLine> {
        let line = line.trim_ascii();
        let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
        let (command, rest) = line.split_at(end);
        match (&*command.to_ascii_lowercase(), rest.trim_ascii()) {
            (b"", _) => Ok(None),
            (b"lookup", b"") => Err(BadLine::NoKey("Lookup")),
            (b"lookup", key) => Ok(Some(Command::Lookup(key.to_vec()))),
            (b"printstate", b"") => Ok(Some(Command::PrintState)),
            (b"help", b"") => Ok(Some(Command::Help)),
            (b"quit", b"") => Ok(Some(Command::Quit)),
            (_, _) if self == Language::Course => Err(BadLine::Unknown(self)),
            (b"trace", b"") => Err(BadLine::NoKey("Trace")),
            (b"trace", key) => Ok(Some(Command::Trace(key.to_vec()))),
            (b"join", whom) => seed(whom).map(|seed| Some(Command::Join(seed))),
            (b"peers", b"") => Ok(Some(Command::Peers)),
            (b"ring", b"") => Ok(Some(Command::Ring)),
            (b"check", b"") => Ok(Some(Command::Check)),
            (b"leave", b"") => Ok(Some(Command::Quit)),
            _ => Err(BadLine::Unknown(self)),
        }
    }
}

/// A node to join: a host and a port, or both as one word.
fn seed(whom: &[u8]) -> Result<Seed, BadLine> {
    let words = std::str::from_utf8(whom).unwrap_or_default().split_ascii_whitespace().collect::<Vec<_>>();
    let read = match words[..] {
        [one] => one.parse().ok(),
        [host, port] => {
            let port = port.parse().ok().filter(|port| *port != 0);
            host.parse::<Host>().ok().zip(port).map(|(host, port)| Seed { host, port })
        }
        _ => None,
    };
    read.ok_or(BadLine::NoSeed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[u8]) -> Result<Option<Command>, BadLine> {
        Language::Course.parse(line)
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
        assert_eq!(parse(b"PrintState now"), Err(BadLine::Unknown(Language::Course)));
    }

    /// `sim ring` has its commands in lower case, and users are used to that.
    #[test]
    fn command_in_another_case_is_understood() {
        assert_eq!(parse(b"lookup Hello"), Ok(Some(Command::Lookup("Hello".into()))));
        assert_eq!(parse(b"LOOKUP Hello"), Ok(Some(Command::Lookup("Hello".into()))));
        assert_eq!(parse(b"printstate"), Ok(Some(Command::PrintState)));
        assert_eq!(parse(b"hELP"), Ok(Some(Command::Help)));
        assert_eq!(parse(b"QUIT"), Ok(Some(Command::Quit)));
        assert_eq!(parse(b"lookup"), Err(BadLine::NoKey("Lookup")));
    }

    #[test]
    fn empty_line_asks_for_nothing() {
        assert_eq!(parse(b""), Ok(None));
        assert_eq!(parse(b" \t\r"), Ok(None));
    }

    #[test]
    fn line_that_means_nothing_is_an_error() {
        assert_eq!(parse(b"Lookup "), Err(BadLine::NoKey("Lookup")));
        for line in ["Lookups", "LookupHello", "\u{1}", "?"] {
            assert_eq!(parse(line.as_bytes()), Err(BadLine::Unknown(Language::Course)), "{line:?}");
        }
        let listed = BadLine::Unknown(Language::Course).to_string();
        assert!(["Lookup", "PrintState", "Help", "Quit"].iter().all(|command| listed.contains(command)));
    }

    #[test]
    fn course_knows_no_commands_of_the_service() {
        for line in ["Join 127.0.0.1 9000", "Peers", "Ring", "Check", "Trace Hello", "Leave"] {
            assert_eq!(parse(line.as_bytes()), Err(BadLine::Unknown(Language::Course)), "{line}");
            assert!(Language::Service.parse(line.as_bytes()).is_ok(), "{line}");
        }
    }

    #[test]
    fn node_to_join_is_a_host_and_a_port() {
        let join = |line: &str| Language::Service.parse(line.as_bytes());
        let seed = |text: &str| Ok(Some(Command::Join(text.parse().unwrap())));
        assert_eq!(join("join 127.0.0.1 9001"), seed("127.0.0.1:9001"));
        assert_eq!(join("Join example.org:9001"), seed("example.org:9001"));
        assert_eq!(join("Join ::1  9001"), seed("[::1]:9001"));
        for line in
            ["Join", "Join 127.0.0.1", "Join 127.0.0.1 0", "Join 127.0.0.1 9001 now", "Join a/b 1", "Join \u{e9} 1"]
        {
            assert_eq!(join(line), Err(BadLine::NoSeed), "{line}");
        }
    }

    #[test]
    fn every_command_is_completed_and_explained() {
        for language in [Language::Course, Language::Service] {
            let explained: Vec<_> =
                language.entries().iter().map(|(command, _)| command.split(' ').next().unwrap()).collect();
            let completed: Vec<_> = language.commands().iter().map(|command| command.trim()).collect();
            assert_eq!(explained, completed);
            assert!(language.entries().iter().all(|(command, _)| {
                let line = command.replace("<key>", "key").replace("<host> <port>", "127.0.0.1 1");
                language.parse(line.as_bytes()).is_ok_and(|command| command.is_some())
            }));
        }
    }
}
