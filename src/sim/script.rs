//! Scenarios as text: one command per line, and the ring that results.
//!
//! There are two kinds. Most run on the virtual clock of a [`World`](super::World); their commands are those of
//! [`Command`](command::Command). A scenario that begins with the line `stepwise` runs in a world without time
//! ([`stepwise`]): no timer fires and no message moves unless a command says so. The counter-examples of a model checker
//! need that.
//!
//! A scenario of either kind may be recorded ([`record`]). Its `title`, `about` and `say` lines have the words of the
//! recording, which begins with the first `say`; they change nothing in what happens.
//!
//! Nodes are named by their numbers on a circle of `bits` bits. Empty lines and comments from `#` on are skipped. A
//! line `---` ends the commands: below it a file keeps the expected result.

pub mod command;
pub mod stepwise;
pub mod timed;

use std::collections::BTreeMap;

use crate::protocol::id::Bits;
use crate::protocol::neighbors::Neighbors;
use crate::protocol::peer::Peer;

use super::nodes::{name, numbered};
use super::recording::{Header, Recorder};

/// A scenario that was played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Played {
    /// What it printed, and the ring at the end.
    pub drawing: String,
    /// The neighbours that each node had at the end, by its number.
    pub neighbors: BTreeMap<u32, Neighbors>,
    /// The fingerprint of all events; 0 stepwise, where only commands happen.
    pub fingerprint: u64,
}

/// A line of a scenario that can't be read or carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct ScriptError {
    /// The number of the line; the first is 1.
    pub line: usize,
    /// What is wrong with it, in words.
    pub why: String,
}

/// The line that ends the commands of a file.
const END: &str = "---";

/// Plays a scenario.
pub fn run(text: &str) -> Result<Played, ScriptError> {
    let mut lines = commands(text).peekable();
    match lines.next_if(|(_, words)| words[..] == ["stepwise"]) {
        Some(_) => play(stepwise::Stepwise::default(), Script::default(), lines),
        None => play(timed::Timed::default(), Script::default(), lines),
    }
    .map(|(played, _)| played)
}

/// Plays a scenario and records it from its first `say` on.
pub fn record(text: &str) -> Result<String, ScriptError> {
    let mut lines = commands(text).peekable();
    let script = Script { is_recorded: true, ..Script::default() };
    let played = match lines.next_if(|(_, words)| words[..] == ["stepwise"]) {
        Some(_) => play(stepwise::Stepwise::default(), script, lines),
        None => play(timed::Timed::default(), script, lines),
    };
    let (_, recorder) = played?;
    recorder
        .map(Recorder::finish)
        .ok_or_else(|| ScriptError { line: 1, why: "it says nothing: a recording needs a say".into() })
}

/// The commands of a file and the expected result.
pub fn split(text: &str) -> (&str, &str) {
    let bar = format!("\n{END}\n");
    text.split_once(&bar).unwrap_or((text, ""))
}

/// Carries the commands of a scenario out.
trait Player {
    /// Carries one command out; the error says what is wrong with it.
    fn command(&mut self, words: &[&str]) -> Result<(), String>;

    /// The circle of the nodes, once it is given.
    fn circle(&self) -> Circle;

    /// Begins to record.
    fn record(&mut self, recorder: Recorder) -> Result<(), String>;

    /// Begins a step of the recording, if there is one.
    fn say(&mut self, text: &str);

    /// Ends the recording, if there is one.
    fn take_recorder(&mut self) -> Option<Recorder>;

    fn end(self) -> Result<Played, String>;
}

/// The words of a scenario.
#[derive(Default)]
struct Script {
    title: String,
    about: String,
    is_recorded: bool,
    has_begun: bool,
}

impl Script {
    /// Takes a line of words for the recording; returns whether it was one.
    fn command(&mut self, words: &[&str], player: &mut impl Player) -> Result<bool, String> {
        match words {
            ["title", title @ ..] => self.title = title.join(" "),
            ["about", about @ ..] => self.about = about.join(" "),
            ["say", text @ ..] if self.is_recorded => {
                if !std::mem::replace(&mut self.has_begun, true) {
                    let Circle { bits, r } = player.circle();
                    let (title, text) = (self.title.clone(), self.about.clone());
                    player.record(Recorder::new(Header { title, text, r, bits }))?;
                }
                player.say(&text.join(" "));
            }
            ["say", ..] => {}
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn play<'a>(
    mut player: impl Player,
    mut script: Script,
    lines: impl Iterator<Item = (usize, Vec<&'a str>)>,
) -> Result<(Played, Option<Recorder>), ScriptError> {
    let mut last = 1;
    for (line, words) in lines {
        let taken = script.command(&words, &mut player);
        let done = taken.and_then(|taken| if taken { Ok(()) } else { player.command(&words) });
        done.map_err(|why| ScriptError { line, why })?;
        last = line;
    }
    let recorder = player.take_recorder();
    player.end().map(|played| (played, recorder)).map_err(|why| ScriptError { line: last, why })
}

/// The words of each line that is not empty, with its number.
pub(super) fn commands(text: &str) -> impl Iterator<Item = (usize, Vec<&str>)> {
    let lines = text.lines().take_while(|line| line.trim_end() != END);
    let words = lines.map(|line| line.split('#').next().unwrap_or_default().split_whitespace().collect());
    (1..).zip(words).filter(|(_, words): &(usize, Vec<&str>)| !words.is_empty())
}

/// The parameters with which scenarios of both kinds begin.
#[derive(Clone, Copy, Debug)]
struct Circle {
    bits: Bits,
    r: usize,
}

impl Default for Circle {
    /// The circle of the paper's examples.
    fn default() -> Circle {
        Circle { bits: Bits::new(6).unwrap_or(Bits::FULL), r: 3 }
    }
}

impl Circle {
    /// Takes `bits M` or `r R`; returns whether it was one of these.
    fn command(&mut self, words: &[&str]) -> Result<bool, String> {
        match words {
            ["bits", m] => {
                let m = m.parse().ok().filter(|m| (1..=24).contains(m)).and_then(Bits::new);
                self.bits = m.ok_or("bits takes a number from 1 to 24")?;
            }
            ["r", r] => {
                let r = r.parse().ok().filter(|r| crate::node::config::R.contains(r));
                self.r = r.ok_or("r takes a number from 1 to 32")?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn number(&self, word: &str) -> Result<u32, String> {
        let bits = self.bits.count();
        let number = word.parse().ok().filter(|n: &u32| u64::from(*n) < 1 << bits);
        number.ok_or_else(|| format!("{word:?} is no number below 2^{bits}"))
    }

    fn peer(&self, word: &str) -> Result<Peer, String> {
        self.number(word).map(|n| numbered(n, self.bits))
    }

    fn peers(&self, words: &[&str]) -> Result<Vec<Peer>, String> {
        words.iter().map(|word| self.peer(word)).collect()
    }

    fn name(&self, peer: Peer) -> String {
        name(peer.id, self.bits)
    }
}
