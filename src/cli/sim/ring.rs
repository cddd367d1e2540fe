//! The flags of `chord sim ring`.

use std::fs::File;
use std::path::{Path, PathBuf};

use chord::Peer;
use chord::node::config::R;
use chord::protocol::id::{Bits, Id};
use chord::sim::ring::members;
use chord::sim::ring::picture::Arrows;
use chord::sim::ring::play::{self, Command};
use clap::{ArgGroup, ValueEnum};

use crate::cli::{NotAccepted, number};
use crate::commands::sim::text;

/// Makes a ring by the protocol's own joins, checks all its tables, and shows it
///
/// Nodes join one after the other on a virtual clock, until every successor list, predecessor and finger is
/// as defined; then keys are looked up. One seed is one ring and one history, on every machine.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("who").args(["nodes", "ids"]), after_help = AFTER_HELP)]
pub struct Args {
    /// Hosts, 1 to 16777216 with --static, else 1 to 100000
    #[arg(long, visible_short_alias = 'n', value_name = "N", value_parser = nodes, default_value = "32", allow_hyphen_values = true)]
    nodes: u32,

    /// Bits m of an identifier, 3 to 160
    #[arg(long, value_name = "M", value_parser = bits, default_value = "160", allow_hyphen_values = true)]
    bits: Bits,

    /// Seed of all random choices, among them addresses and so identifiers: 0 to 2^64 - 1
    #[arg(long, value_name = "S", value_parser = seed, default_value = "0", allow_hyphen_values = true)]
    seed: u64,

    /// A file of identifiers, one per line, instead of hashes of addresses: decimal up to 32 bits, hexadecimal for
    /// more, as tables are printed
    #[arg(long, value_name = "FILE", conflicts_with = "virtual_nodes")]
    ids: Option<PathBuf>,

    /// Nodes of each host, 1 to 1000
    #[arg(long, value_name = "V", value_parser = virtual_nodes, default_value = "1", allow_hyphen_values = true)]
    virtual_nodes: u16,

    /// Fill all tables by definition instead of letting nodes join: for huge rings, which take some 1.3 GB of memory
    /// per million nodes
    #[arg(long = "static")]
    by_definition: bool,

    /// Length of the successor lists, 1 to 32
    #[arg(short = 'r', value_name = "R", value_parser = successors, default_value = "4", allow_hyphen_values = true)]
    r: usize,

    /// Random keys to look up, 0 to 1000000000 [default: 10 for each node, 1000 to 1000000]
    #[arg(long, value_name = "L", value_parser = lookups, allow_hyphen_values = true)]
    lookups: Option<u64>,

    /// Print the tables of every node: start, interval and node of each finger, successors, predecessor
    #[arg(long)]
    print_tables: bool,

    /// Look this key up and print the path: an identifier as tables print it, or a text to be hashed
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    lookup: Option<String>,

    /// The node that looks the key up, by its identifier; with more than 32 bits its first digits are enough [default:
    /// the first of the circle]
    #[arg(long, value_name = "NODE", allow_hyphen_values = true)]
    from: Option<String>,

    /// Draw the ring, the arrows of --show and the path of --lookup into this SVG file
    #[arg(long, value_name = "FILE")]
    draw: Option<PathBuf>,

    /// What to draw: the fingers of the node of --from; the successor of each node; or the successors that change when
    /// the node of --from joins
    #[arg(long, value_name = "WHAT", value_enum, default_value = "fingers", requires = "draw")]
    show: Show,

    /// Carry out the commands of this file, one per line, when the ring has formed; without FILE, or for -, those of
    /// standard input, with a prompt on a terminal. Try: help
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-", conflicts_with = "by_definition")]
    script: Option<PathBuf>,

    /// Record what happens into this file, from the first node on, to be played again: docs/recording.md
    #[arg(long, value_name = "FILE", conflicts_with = "by_definition")]
    record: Option<PathBuf>,

    /// Print everything as JSON
    #[arg(long, conflicts_with = "script")]
    json: bool,
}

const AFTER_HELP: &str = "\
Answers go to standard output, progress (on a terminal) to standard error.
Exit status: 0 all tables and lookups were right, 1 something was not, 2 bad arguments.";

/// The values that each flag accepts, as the error for any other value says.
pub const ACCEPTED: &[(&str, &str)] = &[
    ("--nodes", "a number from 1 to 16777216"),
    ("--bits", "a number from 3 to 160"),
    ("--seed", "a number from 0 to 18446744073709551615"),
    ("--ids", "the path of a file"),
    ("--virtual-nodes", "a number from 1 to 1000"),
    ("-r", "a number from 1 to 32"),
    ("--lookups", "a number from 0 to 1000000000"),
    ("--lookup", "an identifier or a text"),
    ("--from", "the identifier of a node"),
    ("--draw", "the path of a file"),
    ("--show", "fingers, successors or join"),
    ("--script", "the path of a file, or - for standard input"),
    ("--record", "the path of a file"),
];

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Show {
    Fingers,
    Successors,
    Join,
}

/// More nodes would take days to join one after the other.
const MAX_JOINS: usize = 100_000;

/// Each member of a ring by definition takes more than 1 KiB.
const MAX_MEMBERS: u64 = 1 << 24;

/// At most [`MAX_MEMBERS`] identifiers, each with its digits on its own line, and room for comments.
const MAX_IDS: u64 = 64 * MAX_MEMBERS;

/// Longer scripts would take longer than a user would wait.
pub const MAX_SCRIPT: u64 = 16 << 20;

/// A ring to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// In the order in which they join. Several may have the same identifier.
    pub peers: Vec<Peer>,
    pub bits: Bits,
    pub seed: u64,
    pub by_definition: bool,
    pub r: usize,
    pub lookups: u64,
    pub print_tables: bool,
    /// A key to look up.
    pub lookup: Option<Id>,
    /// The node that looks it up, and that is drawn in detail.
    pub from: Option<Peer>,
    pub draw: Option<PathBuf>,
    pub arrows: Arrows,
    pub script: Option<Script>,
    /// A file for the recording of what happens.
    pub record: Option<PathBuf>,
    pub json: bool,
}

/// What to do when the ring has formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Script {
    /// Commands from standard input.
    StandardInput,
    /// The commands of a file, with the numbers of their lines.
    File(PathBuf, Vec<(usize, Command)>),
}

fn nodes(text: &str) -> Result<u32, NotAccepted> {
    number(text, 1..=members::MAX_HOSTS)
}

fn bits(text: &str) -> Result<Bits, NotAccepted> {
    number(text, 3..=160).ok().and_then(Bits::new).ok_or(NotAccepted)
}

fn seed(text: &str) -> Result<u64, NotAccepted> {
    number(text, 0..=u64::MAX)
}

fn virtual_nodes(text: &str) -> Result<u16, NotAccepted> {
    number(text, 1..=1000)
}

fn successors(text: &str) -> Result<usize, NotAccepted> {
    number(text, R)
}

fn lookups(text: &str) -> Result<u64, NotAccepted> {
    number(text, 0..=1_000_000_000)
}

fn read(path: &Path, most: u64) -> std::io::Result<String> {
    text::read(File::open(path)?, most)
}

fn script(path: &Path, bits: Bits) -> Result<Script, String> {
    if path == Path::new("-") {
        return Ok(Script::StandardInput);
    }
    let complain = |why: &dyn std::fmt::Display| format!("--script {}: {why}", path.display());
    let text = read(path, MAX_SCRIPT).map_err(|error| complain(&error))?;
    let commands = play::read(&text, bits).map_err(|error| complain(&error))?;
    Ok(Script::File(path.into(), commands))
}

impl Args {
    /// The ring to make, or what is wrong with the flags.
    pub fn read(self) -> Result<Ring, String> {
        let key = self.lookup.as_deref().map(|text| members::read_key(text, self.bits)).transpose();
        let key = key.map_err(|why| format!("--lookup: {why}"))?;
        let script = self.script.as_ref().map(|path| script(path, self.bits)).transpose()?;
        let peers = self.peers()?;
        if !self.by_definition && peers.len() > MAX_JOINS {
            let n = peers.len();
            return Err(format!("{n} nodes can't join one after the other, {MAX_JOINS} can: add --static"));
        }
        let from = self.from.as_deref().map(|text| members::find(&peers, text, self.bits)).transpose();
        let from = from.map_err(|why| format!("--from: {why}"))?;
        let lookups = self.lookups.unwrap_or((10 * peers.len() as u64).clamp(1_000, 1_000_000));
        Ok(Ring {
            peers,
            bits: self.bits,
            seed: self.seed,
            by_definition: self.by_definition,
            r: self.r,
            lookups,
            print_tables: self.print_tables,
            lookup: key,
            from,
            draw: self.draw,
            arrows: match self.show {
                Show::Fingers => Arrows::Fingers,
                Show::Successors => Arrows::Successors,
                Show::Join => Arrows::Join,
            },
            script,
            record: self.record,
            json: self.json,
        })
    }

    fn peers(&self) -> Result<Vec<Peer>, String> {
        let m = self.bits.count();
        if let Some(path) = &self.ids {
            let complain = |why: &dyn std::fmt::Display| format!("--ids {}: {why}", path.display());
            let text = read(path, MAX_IDS).map_err(|error| complain(&error))?;
            let ids = members::read_ids(&text, self.bits).map_err(|why| complain(&why))?;
            return match ids.len() as u64 {
                0 => Err(complain(&"no identifiers")),
                1..=MAX_MEMBERS => Ok(members::given(ids)),
                _ => Err(complain(&format!("more than {MAX_MEMBERS} identifiers"))),
            };
        }
        let members = u64::from(self.nodes) * u64::from(self.virtual_nodes);
        if members > MAX_MEMBERS {
            return Err(format!(
                "--nodes {} --virtual-nodes {}: more than {MAX_MEMBERS} members",
                self.nodes, self.virtual_nodes
            ));
        }
        if m < 64 && members > 1 << m {
            return Err(format!(
                "--nodes {}: more members ({members}) than identifiers of {m} bits ({})",
                self.nodes,
                1u64 << m
            ));
        }
        Ok(members::draw(self.nodes, self.virtual_nodes, self.bits, self.seed))
    }
}
