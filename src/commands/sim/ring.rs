//! `chord sim ring`: builds a ring, measures it, shows it and runs scripts on it.

use std::fmt::Display;
use std::fs;
use std::io::{self, BufWriter, IsTerminal, Write, stdin};
use std::process::ExitCode;
use std::time::Duration;

use chord::Peer;
use chord::console::editor::{Editor, Input};
use chord::console::streams::{complain, input, output};
use chord::console::terminal::KeepTerminal;
use chord::protocol::id::Id;
use chord::protocol::lookup::Found;
use chord::protocol::rpc::Hop;
use chord::sim::World;
use chord::sim::recording::{Header, Recorder};
use chord::sim::ring::grow::{Growing, Grown, count_right, grow, world};
use chord::sim::ring::measure::measure;
use chord::sim::ring::picture::{self, Shown};
use chord::sim::ring::play::{COMMANDS, Command, Stage, read};
use chord::sim::ring::report::{Growth, Report};
use chord::sim::ring::{members, print};
use chord::sim::tables::{Tables, Walk};
use chord::sim::world::recorded::Asked;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::recording::Recording;
use super::text;
use crate::cli::{MAX_SCRIPT, Ring, Script};
use crate::commands::progress::Progress;

/// Why the command failed.
enum Trouble {
    /// The ring is not what it should be.
    Wrong(String),
    /// The request can't be carried out.
    Asked(String),
}

/// Builds the ring and prints what is requested.
pub fn run(ring: &Ring) -> ExitCode {
    let (why, status) = match show(ring) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Trouble::Wrong(why)) => (why, 1),
        Err(Trouble::Asked(why)) => (why, 2),
    };
    complain(format_args!("chord: {why}"));
    ExitCode::from(status)
}

fn show(ring: &Ring) -> Result<(), Trouble> {
    let mut stage = (!ring.by_definition).then(|| Stage::new(world(ring.seed, ring.bits, ring.r, ring.peers.len())));
    let (Some(path), Some(stage)) = (&ring.record, &mut stage) else { return show_on(ring, stage.as_mut()) };
    let file = Recording::create(path).map_err(Trouble::Asked)?;
    stage.world().record(Recorder::new(header(ring)));
    let shown = show_on(ring, Some(stage));
    // What went wrong is in the recording, too.
    let recorder = stage.world().take_recorder();
    file.write(&recorder.map(Recorder::finish).unwrap_or_default()).map_err(Trouble::Asked)?;
    shown
}

fn header(ring: &Ring) -> Header {
    let (nodes, m, r) = (ring.peers.len(), ring.bits.count(), ring.r);
    Header {
        title: format!("A ring of {nodes} nodes"),
        text: format!("Nodes join one after the other on a virtual clock (m = {m}, r = {r}, seed {}).", ring.seed),
        r,
        bits: ring.bits,
    }
}

/// Builds the ring on this stage, or from its definition.
fn show_on(ring: &Ring, mut stage: Option<&mut Stage>) -> Result<(), Trouble> {
    let Made { tables, collisions, growth } = make(ring, stage.as_deref_mut())?;
    // Of nodes with the same identifier, the first is in the ring.
    let at = ring.from.and_then(|from| tables.position(from)).unwrap_or_default();
    let from = tables.ring()[at];
    let walk = ring.lookup.map(|key| (key, tables.lookup(at, key)));
    if let (Some((key, walk)), Some(stage)) = (&walk, stage.as_deref_mut()) {
        record_walk(stage.world(), from, *key, walk);
    }
    if let Some(path) = &ring.draw {
        let lookup = walk.as_ref().map(|(key, walk)| Shown { from, key: *key, walk });
        let svg = picture::draw(&tables, at, ring.arrows, lookup.as_ref());
        fs::write(path, svg).map_err(asked(format!("--draw {}", path.display())))?;
    }
    let progress = Progress::of(ring.lookups, "lookups");
    let measured = measure(&tables, ring.lookups, ring.seed, |done| progress.add(done));
    progress.end();

    let (nodes, bits, r, seed, wrong) = (tables.ring().len(), ring.bits, ring.r, ring.seed, measured.wrong);
    let report = Report { nodes, bits, r, seed, collisions, measured, growth };
    if ring.json {
        let mut data = report.to_json();
        if let Some((key, walk)) = &walk {
            data["lookup"] = print::walk_as_data(from, *key, walk, bits);
        }
        let whole = WithTables { data, tables: ring.print_tables.then_some(AsData(&tables)) };
        // An error means that the output is closed.
        let _ = serde_json::to_writer_pretty(BufWriter::new(output()), &whole);
        say("\n");
    } else {
        for at in (0..nodes).filter(|_| ring.print_tables) {
            say(&(print::table(tables.neighbors(at), tables.fingers(at), bits) + "\n"));
        }
        if let Some((key, walk)) = &walk {
            say(&(print::walk(from, *key, walk, bits) + "\n"));
        }
        say(&format!("{report}\n"));
    }
    if wrong > 0 {
        return Err(Trouble::Wrong(format!("{wrong} lookups named a wrong owner")));
    }
    match (&ring.script, stage) {
        (Some(script), Some(stage)) => play(script, stage),
        _ => Ok(()),
    }
}

/// The lookup of `--lookup`, which takes no time.
fn record_walk(world: &mut World, from: Peer, key: Id, walk: &Walk) {
    world.say(&format!(
        "Node {} looks {} up.",
        members::label(from.id, world.bits()),
        members::label(key, world.bits())
    ));
    let hop = |node: &Peer| Hop { node: *node, took: Duration::ZERO };
    let found = Found { owner: walk.owner, path: walk.path.iter().map(hop).collect(), timeouts: 0 };
    world.record_lookup(Asked { from, key, text: None, at: world.now() }, &Ok(found), false);
}

/// A report as data; the tables of a large ring are produced one at a time, never all held in memory.
#[derive(Serialize)]
struct WithTables<'a> {
    #[serde(flatten)]
    data: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    tables: Option<AsData<'a>>,
}

struct AsData<'a>(&'a Tables);

impl Serialize for AsData<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let AsData(tables) = self;
        let table = |at| print::table_as_data(tables.neighbors(at), tables.fingers(at), tables.bits());
        serializer.collect_seq((0..tables.ring().len()).map(table))
    }
}

const SETTLING: &str = "nodes have right tables";

struct Made {
    tables: Tables,
    collisions: Vec<members::Collision>,
    /// `None` if its tables were filled by definition.
    growth: Option<Growth>,
}

fn make(ring: &Ring, stage: Option<&mut Stage>) -> Result<Made, Trouble> {
    let Some(stage) = stage else {
        let (peers, collisions) = members::without_collisions(&ring.peers);
        let filling = Progress::of(peers.len() as u64, "tables are filled");
        let tables = Tables::fill(peers, ring.bits, ring.r, || filling.add(1));
        filling.end();
        return Ok(Made { tables, collisions, growth: None });
    };
    let bar = |what| Progress::of(ring.peers.len() as u64, what);
    let (joining, settling) = (bar("nodes have joined"), bar(SETTLING));
    let world = stage.world();
    let grown = grow(world, &ring.peers, |growing| match growing {
        Growing::Joined => joining.add(1),
        Growing::Settles(world, tables) => {
            joining.end();
            settling.look(|| count_right(world, tables));
        }
    });
    joining.end();
    settling.end();
    let Grown { tables, collisions, joined, ideal } = grown.map_err(Trouble::Wrong)?;
    let growth = Some(Growth { tally: world.env.tally.clone(), joined, ideal });
    Ok(Made { tables, collisions, growth })
}

/// Carries out a script, or the commands typed at a terminal.
fn play(script: &Script, stage: &mut Stage) -> Result<(), Trouble> {
    match script {
        Script::File(path, commands) => carry_out(stage, commands, &format!("--script {}", path.display())),
        Script::StandardInput if stdin().is_terminal() => talk(stage).map_err(asked("the terminal")),
        Script::StandardInput => {
            let name = "standard input";
            let text = text::read(input(), MAX_SCRIPT).map_err(asked(name))?;
            let commands = read(&text, stage.bits()).map_err(asked(name))?;
            carry_out(stage, &commands, name)
        }
    }
}

fn carry_out(stage: &mut Stage, commands: &[(usize, Command)], name: &str) -> Result<(), Trouble> {
    for (line, command) in commands.iter().take_while(|(_, command)| *command != Command::Quit) {
        say(&perform(stage, command).map_err(asked(format!("{name}: line {line}")))?);
    }
    Ok(())
}

/// Answers commands from a terminal until the input ends; an invalid line does not end it.
fn talk(stage: &mut Stage) -> io::Result<()> {
    let _terminal = KeepTerminal;
    let mut editor = Editor::new(&COMMANDS, "sim-ring")?;
    loop {
        let line = match editor.read()? {
            Input::Line(line) => line,
            Input::Unreadable(why) => {
                say(&format!("{why}\n"));
                continue;
            }
            Input::Interrupted | Input::End => return Ok(()),
        };
        let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
        if words.is_empty() {
            continue;
        }
        let told = match Command::parse(&words, stage.bits()) {
            Ok(Command::Quit) => return Ok(()),
            Ok(command) => perform(stage, &command),
            Err(why) => Err(format!("{why}; try: help")),
        };
        say(&told.unwrap_or_else(|why| why + "\n"));
    }
}

fn perform(stage: &mut Stage, command: &Command) -> Result<String, String> {
    let settling = Progress::of(stage.living() as u64, SETTLING);
    let told = stage.perform(command, |world, tables| settling.look(|| count_right(world, tables)));
    settling.end();
    told
}

/// The request at this place can't be carried out, and why.
fn asked<E: Display>(place: impl Display) -> impl FnOnce(E) -> Trouble {
    move |why| Trouble::Asked(format!("{place}: {why}"))
}

fn say(text: &str) {
    // An error means that the output is closed.
    let _ = output().write_all(text.as_bytes());
}
