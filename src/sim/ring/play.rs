//! Nodes that join and leave on the commands of a script or a user.
//!
//! Scripts are read like those of [`crate::sim::script`], one command per line with `#` for comments, and commands with
//! the same meaning have the same name. But here identifiers have any length and nodes any address, and each command
//! waits until what it began is done.

use std::time::Duration;

use super::{grow, members, print};
use crate::protocol::id::{Bits, Id};
use crate::protocol::lookup::Found;
use crate::protocol::peer::Peer;
use crate::sim::draw;
use crate::sim::nodes::counted;
use crate::sim::script::command::time;
use crate::sim::script::{ScriptError, commands};
use crate::sim::tables::Tables;
use crate::sim::world::recorded::Asked;
use crate::sim::{World, nodes};

/// One command to a ring. Nodes are named by their identifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `join ID`: a node with this identifier joins through a node of the ring; waits until it has.
    Join(Id),
    /// `leave NODE`: the node tells its neighbours that it leaves; waits until it has ended.
    Leave(String),
    /// `crash NODE`: the program of the node ends without notice.
    Crash(String),
    /// `lookup NODE KEY`: the node looks the key up: an identifier, or a text to be hashed.
    Lookup(String, Id),
    /// `run TIME`: this much time passes.
    Run(Duration),
    /// `stabilize`: time passes until all tables are as defined.
    Stabilize,
    /// `print`: a line for each node; `print NODE`: its tables in full.
    Print(Option<String>),
    /// `help`: lists the commands.
    Help,
    /// `quit`: ends the session.
    Quit,
}

/// The list of commands.
pub const HELP: &str = "\
join ID          a node with this identifier joins, and is waited for
leave NODE       the node tells its neighbours that it leaves, and ends
crash NODE       the program of the node ends without a word
lookup NODE KEY  the node looks the key up: an identifier, or a text to be hashed
run TIME         this much time passes, like 500ms or 30s
stabilize        time passes until all tables are as defined
print            a line for each node
print NODE       its fingers, successors and predecessor
help             show this list
quit             end the session
";

/// The commands, as Tab completes them.
pub const COMMANDS: [&str; 9] = ["join ", "leave ", "crash ", "lookup ", "run ", "stabilize", "print", "help", "quit"];

impl Command {
    /// Parses the words of a command, whose first word may be in any case, for a ring of this many bits.
    pub fn parse(words: &[&str], bits: Bits) -> Result<Command, String> {
        let name = words.first().map(|word| word.to_ascii_lowercase());
        let words: Vec<&str> = name.as_deref().into_iter().chain(words.iter().skip(1).copied()).collect();
        Ok(match &words[..] {
            ["join", id] => Command::Join(members::read_label(id, bits)?),
            ["leave", node] => Command::Leave((*node).into()),
            ["crash", node] => Command::Crash((*node).into()),
            ["lookup", node, key] => Command::Lookup((*node).into(), members::read_key(key, bits)?),
            ["run", text] => Command::Run(time(text)?),
            ["stabilize"] => Command::Stabilize,
            ["print"] => Command::Print(None),
            ["print", node] => Command::Print(Some((*node).into())),
            ["help"] => Command::Help,
            ["quit"] => Command::Quit,
            _ => return Err(format!("no command: {}", words.join(" "))),
        })
    }
}

/// Reads a script: commands and the numbers of their lines.
pub fn read(text: &str, bits: Bits) -> Result<Vec<(usize, Command)>, ScriptError> {
    let read = |(line, words): (usize, Vec<&str>)| match Command::parse(&words, bits) {
        Ok(command) => Ok((line, command)),
        Err(why) => Err(ScriptError { line, why }),
    };
    commands(text).map(read).collect()
}

/// A ring that carries commands out.
pub struct Stage {
    world: World,
    /// How many `join` commands there were.
    joined: u32,
}

/// Nodes that join later have this port, which none of the first nodes has.
const PORT: u16 = 1;

impl Stage {
    /// A ring that has grown, or is about to.
    pub fn new(world: World) -> Stage {
        Stage { world, joined: 0 }
    }

    /// The world of the ring.
    pub fn world(&mut self) -> &mut World {
        &mut self.world
    }

    /// The identifiers of this ring.
    pub fn bits(&self) -> Bits {
        self.world.bits()
    }

    /// How many nodes are up.
    pub fn living(&self) -> usize {
        self.world.live().len()
    }

    /// Carries a command out and returns its output; an error says why it could not be done. While a ring settles,
    /// calls `told` with its state and the final tables.
    pub fn perform(&mut self, command: &Command, told: impl Fn(&World, &Tables)) -> Result<String, String> {
        let bits = self.world.bits();
        let label = |peer: Peer| members::label(peer.id, bits);
        Ok(match command {
            Command::Join(id) => {
                let peer = Peer { id: *id, addr: nodes::address(self.joined).with_port(PORT) };
                self.joined += 1;
                let (ring, before) = (self.world.live(), self.world.now());
                if grow::join(&mut self.world, &ring, peer)? {
                    format!("{} has joined after {}\n", label(peer), seconds(self.world.now() - before))
                } else {
                    format!("{} is refused: a node of the ring has that identifier\n", label(peer))
                }
            }
            Command::Leave(node) => {
                let (peer, before) = (self.find(node)?, self.world.now());
                self.world.say(&format!("Node {} leaves, and tells its neighbours.", label(peer)));
                self.world.leave(peer);
                while self.world.is_up(peer) {
                    self.world.step();
                }
                format!("{} has left after {}\n", label(peer), seconds(self.world.now() - before))
            }
            Command::Crash(node) => {
                let peer = self.find(node)?;
                self.world.say(&format!("Node {} dies: its connections break, and calls are refused.", label(peer)));
                self.world.crash(peer);
                String::new()
            }
            Command::Lookup(node, key) => {
                let (from, key_label) = (self.find(node)?, members::label(*key, bits));
                self.world.say(&format!("Node {} looks {key_label} up.", label(from)));
                let asked = Asked { from, key: *key, text: None, at: self.world.now() };
                let found = self.world.ask(from, *key).ok_or("the node is not up")?;
                self.world.record_lookup(asked, &found, false);
                match found {
                    Ok(Found { owner, path, .. }) => {
                        let asked: Vec<String> = path.iter().map(|hop| label(hop.node)).collect();
                        let (from, owner, asked) = (label(from), label(owner), asked.join(" "));
                        format!("{from} finds {key_label} at {owner} by way of [{asked}]\n")
                    }
                    Err(lost) => format!("{} does not find {key_label}: {lost}\n", label(from)),
                }
            }
            Command::Run(time) => {
                self.world.run(*time);
                String::new()
            }
            Command::Stabilize => {
                let ring = self.world.live();
                if ring.is_empty() {
                    return Err("no node is left".into());
                }
                let tables = Tables::by_definition(ring, bits, self.world.config.successors);
                self.world.say("stabilize and fix_fingers go on until all tables are as defined.");
                let took = grow::settle(&mut self.world, &tables, |world| told(world, &tables))?;
                let n = tables.ring().len();
                let verb = if n == 1 { "is" } else { "are" };
                format!("{} {verb} ideal after {}\n", counted(n, "node"), seconds(took))
            }
            Command::Print(None) => draw::draw(&self.world),
            Command::Print(Some(node)) => {
                let peer = self.find(node)?;
                let host = self.world.host(peer).ok_or("the node is not up")?;
                print::table(host.maintenance.neighbors(), host.fingers.table(), bits)
            }
            Command::Help => HELP.into(),
            Command::Quit => String::new(),
        })
    }

    fn find(&self, node: &str) -> Result<Peer, String> {
        members::find(&self.world.live(), node, self.world.bits())
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIX: Bits = Bits::new(6).unwrap();

    fn ring_of_ten() -> Result<Stage, String> {
        let ids = [1, 8, 14, 21, 32, 38, 42, 48, 51, 56].map(|n| Id::from_number(n, SIX));
        let mut world = grow::world(1, SIX, 3, ids.len());
        grow::grow(&mut world, &members::given(ids), |_| ())?;
        Ok(Stage::new(world))
    }

    /// The output of these lines on the paper's ring of ten.
    fn told(script: &str) -> Result<String, String> {
        let mut stage = ring_of_ten()?;
        let commands = read(script, SIX).map_err(|error| error.to_string())?;
        commands.iter().map(|(_, command)| stage.perform(command, |_, _| ())).collect()
    }

    #[test]
    fn node_26_joins_takes_key_24_and_crashes_again() {
        let script =
            "lookup 8 24\njoin 26 # between 21 and 32\nstabilize\nlookup 8 24\ncrash 26\nstabilize\nlookup 8 24";
        let told = told(script).unwrap();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines[0], "8 finds 24 at 32 by way of [21]");
        assert!(lines[1].starts_with("26 has joined after "));
        assert!(lines[2].starts_with("11 nodes are ideal after "));
        assert_eq!(lines[3], "8 finds 24 at 26 by way of [21]");
        assert!(lines[4].starts_with("10 nodes are ideal after "));
        assert_eq!(lines[5], lines[0]);
    }

    #[test]
    fn a_node_that_has_left_leaves_no_gap() {
        let told = told("leave 32\nlookup 8 24\nlookup 21 30\nstabilize").unwrap();
        let lines: Vec<&str> = told.lines().collect();
        assert!(lines[0].starts_with("32 has left after 0.25"), "{told}");
        assert_eq!(lines[1..3], ["8 finds 24 at 38 by way of [21]", "21 finds 30 at 38 by way of []"]);
        assert!(lines[3].starts_with("9 nodes are ideal"), "{told}");
    }

    #[test]
    fn an_identifier_can_be_in_a_ring_once() {
        assert_eq!(told("join 8").unwrap(), "8 is refused: a node of the ring has that identifier\n");
    }

    #[test]
    fn it_is_told_how_far_a_ring_has_come_that_settles() {
        let mut stage = ring_of_ten().unwrap();
        stage.perform(&Command::Crash("32".into()), |_, _| ()).unwrap();
        let told = std::cell::Cell::new(0);
        let look = |world: &World, tables: &Tables| {
            assert!(grow::count_right(world, tables) < 9);
            told.set(told.get() + 1);
        };
        stage.perform(&Command::Stabilize, look).unwrap();
        assert!(told.get() > 0);
    }

    #[test]
    fn a_node_is_printed_as_it_is_not_as_it_should_be() {
        let told = told("join 26\nprint 21").unwrap();
        assert!(told.contains("successors   32 38 42"), "21 has not heard of 26 yet: {told}");
    }

    /// The console of a node has its commands in capitals, and users are used to that.
    #[test]
    fn command_in_another_case_is_understood() {
        assert_eq!(told("Lookup 8 24\nLOOKUP 8 24").unwrap(), "8 finds 24 at 32 by way of [21]\n".repeat(2));
        for (word, command) in [("Help", Command::Help), ("QUIT", Command::Quit), ("Print", Command::Print(None))] {
            assert_eq!(Command::parse(&[word], SIX), Ok(command));
        }
    }

    #[test]
    fn commands_that_tab_completes_are_those_of_the_help() {
        let helped: std::collections::BTreeSet<&str> = HELP.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(COMMANDS.iter().map(|command| command.trim()).collect::<std::collections::BTreeSet<_>>(), helped);
    }

    #[test]
    fn lines_that_make_no_sense_are_named() {
        for (script, why) in [
            ("\nfly 1", "line 2: no command: fly 1"),
            ("join 64", "line 1: \"64\" is no number below 2^6"),
            ("run soon", "line 1: \"soon\" is no time like 250ms or 30s"),
            ("crash 9", "there is no node 9"),
        ] {
            assert_eq!(told(script), Err(why.into()));
        }
    }
}
