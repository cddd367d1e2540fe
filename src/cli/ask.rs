//! The flags of the commands that question a running ring.

use std::time::Duration;

use chord::Seed;
use chord::protocol::id::{Bits, Id};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::{Accepted, NotAccepted, TIME, number, timeout};

/// Which nodes to ask, and how to print what they say.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// A node of the ring to ask; may be repeated: the first that answers is asked
    #[arg(long, value_name = "HOST:PORT", value_parser = node, env = "CHORD_AT", value_delimiter = ',', default_value = "127.0.0.1:9000")]
    pub at: Vec<Seed>,

    /// How long to wait for each answer, 1ms to 60s
    #[arg(long, value_name = "TIME", value_parser = timeout, default_value = "5s", allow_hyphen_values = true)]
    pub timeout: Duration,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

fn node(text: &str) -> Result<Seed, NotAccepted> {
    text.parse().map_err(|_| NotAccepted)
}

/// Looks keys up: prints the owner of each
#[derive(Clone, Debug, Args)]
#[command(after_help = LOOKUP_HELP)]
pub struct Lookup {
    /// Keys, hashed as they are; - reads keys from standard input, one per line
    #[arg(value_name = "KEY", required = true, value_parser = NonEmptyStringValueParser::new())]
    pub keys: Vec<String>,

    /// Each KEY is an identifier, 40 hexadecimal digits
    #[arg(long)]
    pub id: bool,

    /// How many lookups are in flight at most, 1 to 4096
    #[arg(long, value_name = "N", value_parser = in_flight, default_value = "256", allow_hyphen_values = true)]
    pub in_flight: usize,

    #[command(flatten)]
    pub common: Common,
}

const LOOKUP_HELP: &str = "\
Prints a line for each key, in the order of the keys: the owner's identifier, its address, and the key. With --json a
line of JSON for each: {\"key\", \"id\", \"owner\": {\"id\", \"addr\"}, \"millis\"} or {\"key\", \"id\", \"error\"}.
Exit status: 0 all have an owner, 1 some have none, 2 bad arguments, 3 no node answered.";

/// Follows a lookup from node to node, and says why each was asked
#[derive(Clone, Debug, Args)]
#[command(after_help = TRACE_HELP)]
pub struct Trace {
    /// The key, hashed as it is
    #[arg(value_name = "KEY", value_parser = NonEmptyStringValueParser::new())]
    pub key: String,

    /// KEY is an identifier, 40 hexadecimal digits
    #[arg(long)]
    pub id: bool,

    #[command(flatten)]
    pub common: Common,
}

const TRACE_HELP: &str = "\
The nodes are asked one after the other, as an iterative lookup does. Each line is a node: how far it is from the key,
how long it took, and why the node before named it. Plain peers ask further nodes themselves and don't say which.
Exit status: 0 an owner was found, 1 none was, 2 bad arguments, 3 no node answered.";

/// Prints what a node knows of its ring, and what it has done
#[derive(Clone, Debug, Args)]
#[command(after_help = STATE_HELP)]
pub struct State {
    #[command(flatten)]
    pub common: Common,
}

const STATE_HELP: &str = "\
A plain peer tells its predecessor and successors only.
Exit status: 0 it answered, 2 bad arguments, 3 no node answered.";

/// Walks the ring: prints each node with its share of the keys
#[derive(Clone, Debug, Args)]
#[command(after_help = RING_HELP)]
pub struct Ring {
    /// Draw the ring into this SVG file
    #[arg(long, value_name = "FILE")]
    pub draw: Option<std::path::PathBuf>,

    /// Print a graph of successors for Graphviz instead of a table
    #[arg(long, conflicts_with = "json")]
    pub dot: bool,

    #[command(flatten)]
    pub common: Common,
}

const RING_HELP: &str = "\
Nodes are found through successors, predecessors and fingers, and printed in the order of the circle. With --json a
line of JSON for each: {\"id\", \"addr\", \"share\", \"millis\", \"plain\", \"version\", \"predecessor\", \"successors\"}, and
{\"id\", \"addr\", \"error\"} for each that others name and that does not answer.
Exit status: 0 the ring was walked, 1 FILE can't be written, 2 bad arguments, 3 no node answered.";

/// Examines the ring, says what is wrong with it and what to do
#[derive(Clone, Debug, Args)]
#[command(after_help = CHECK_HELP)]
pub struct Check {
    /// Compare the fingers of all nodes, not of 16
    #[arg(long)]
    pub thorough: bool,

    /// How many members the ring should have at least, 1 to 100000
    #[arg(long, value_name = "N", value_parser = members, default_value = "1", allow_hyphen_values = true)]
    pub nodes: usize,

    /// Check again, for at most this many seconds, until the ring is healthy, 1 to 86400
    #[arg(long, value_name = "SECS", value_parser = seconds, allow_hyphen_values = true)]
    pub wait: Option<Duration>,

    #[command(flatten)]
    pub common: Common,
}

const CHECK_HELP: &str = "\
Visits all nodes and compares successors, lists, predecessors and fingers with their definition, and the owners that 16
nodes name with the right ones. What is wrong must be found twice, half a second apart: a ring may change meanwhile.
Exit status: 0 healthy, 1 degraded (it heals by itself), 2 broken (answers may be wrong) or bad arguments, 3 no node
answered.";

/// Loads the ring with lookups of random keys, and tells how many it answers and how fast
#[derive(Clone, Debug, Args)]
#[command(after_help = BENCH_HELP)]
pub struct Bench {
    /// This many clients, each of which begins its next lookup when it has its answer, 1 to 4096
    #[arg(long, value_name = "N", value_parser = in_flight, default_value = "16", conflicts_with = "rate", allow_hyphen_values = true)]
    pub clients: usize,

    /// Instead, this many lookups a second at random times, whether earlier ones are answered or not, 1 to 1000000
    #[arg(long, value_name = "N", value_parser = rate, allow_hyphen_values = true)]
    pub rate: Option<u32>,

    /// For how long, 1 to 86400
    #[arg(long, value_name = "SECS", value_parser = whole_seconds, default_value = "10", allow_hyphen_values = true)]
    pub seconds: u64,

    #[command(flatten)]
    pub common: Common,
}

const BENCH_HELP: &str = "\
Each lookup is of a random key and asked of a random member. An owner is wrong if it is not the one that follows from
the members, both before and after the load.
Exit status: 0 all lookups were right, 1 some were wrong or failed, 2 bad arguments, 3 no node answered.";

/// Shows the ring on this terminal as it changes: members, events, lookups, and what check says
#[derive(Clone, Debug, Args)]
#[command(after_help = WATCH_HELP)]
pub struct Watch {
    /// How often to walk the ring at most, 200ms to 60s; with --json also how often to print figures
    #[arg(long, value_name = "TIME", value_parser = every, default_value = "1s", allow_hyphen_values = true)]
    pub every: Duration,

    /// End after this many seconds, 1 to 86400 [default: when it is told to]
    #[arg(long, value_name = "SECS", value_parser = whole_seconds, allow_hyphen_values = true)]
    pub seconds: Option<u64>,

    #[command(flatten)]
    pub common: Common,
}

const WATCH_HELP: &str = "\
Keys: q or Esc ends, arrows and PageUp and PageDown scroll the members, c checks now, ? explains what is shown.
Events are what changed from one walk to the next. Four lookups a second, of random keys by random members, give the
percentiles. In rings of more than 100 members walks are rarer, a hundred members a second in all, and checks twice as
rare. When the nodes of --at are silent, the ring is watched through other members, until they answer again.
With --json it prints lines of JSON: figures with \"members\", and events with \"event\". NO_COLOR turns colours off.
Exit status: 0 ended as asked, 1 the terminal is gone, 2 bad arguments or no terminal, 3 no node answered at the start.";

fn every(text: &str) -> Result<Duration, NotAccepted> {
    timeout(text).ok().filter(|time| *time >= Duration::from_millis(200)).ok_or(NotAccepted)
}

fn rate(text: &str) -> Result<u32, NotAccepted> {
    number(text, 1..=1_000_000)
}

fn whole_seconds(text: &str) -> Result<u64, NotAccepted> {
    number(text, 1..=86_400)
}

fn in_flight(text: &str) -> Result<usize, NotAccepted> {
    number(text, 1..=4096)
}

fn members(text: &str) -> Result<usize, NotAccepted> {
    number(text, 1..=chord::client::walk::MAX_NODES)
}

fn seconds(text: &str) -> Result<Duration, NotAccepted> {
    number(text, 1..=86_400).map(Duration::from_secs)
}

/// The values that each flag accepts, as the error for any other value says.
pub const ACCEPTED: Accepted = &[
    ("--at", "the address or name of a node and its port, like 128.8.126.63:9000"),
    ("--timeout", TIME),
    ("--json", "no value"),
    ("--id", "no value"),
    ("--in-flight", "a number from 1 to 4096"),
    ("--clients", "a number from 1 to 4096"),
    ("--rate", "a number of lookups a second from 1 to 1000000"),
    ("--seconds", "a number of seconds from 1 to 86400"),
    ("--every", "a time from 200ms to 60s"),
    ("--draw", "the path of a file"),
    ("--dot", "no value"),
    ("--thorough", "no value"),
    ("--nodes", "a number from 1 to 100000"),
    ("--wait", "a number of seconds from 1 to 86400"),
    ("<KEY>", "a text that is not empty"),
    ("<KEY>...", "texts that are not empty"),
];

/// What to ask.
#[derive(Clone, Debug)]
pub enum Ask {
    Lookup(Lookup),
    Trace(Trace),
    State(State),
    Ring(Ring),
    Check(Check),
    Bench(Bench),
    Watch(Watch),
}

/// The names of these commands.
pub const NAMES: [&str; 7] = ["lookup", "trace", "state", "ring", "check", "bench", "watch"];

/// Adds them to the command line.
pub fn augment(command: clap::Command) -> clap::Command {
    command
        .subcommand(Lookup::augment_args(clap::Command::new("lookup")))
        .subcommand(Trace::augment_args(clap::Command::new("trace")))
        .subcommand(State::augment_args(clap::Command::new("state")))
        .subcommand(Ring::augment_args(clap::Command::new("ring")))
        .subcommand(Check::augment_args(clap::Command::new("check")))
        .subcommand(Bench::augment_args(clap::Command::new("bench")))
        .subcommand(Watch::augment_args(clap::Command::new("watch")))
}

/// Reads the arguments of one of them.
pub fn read(name: &str, matches: &clap::ArgMatches) -> Result<Ask, clap::Error> {
    use clap::FromArgMatches as _;
    Ok(match name {
        "lookup" => Ask::Lookup(Lookup::from_arg_matches(matches)?),
        "trace" => Ask::Trace(Trace::from_arg_matches(matches)?),
        "state" => Ask::State(State::from_arg_matches(matches)?),
        "ring" => Ask::Ring(Ring::from_arg_matches(matches)?),
        "check" => Ask::Check(Check::from_arg_matches(matches)?),
        "bench" => Ask::Bench(Bench::from_arg_matches(matches)?),
        _ => Ask::Watch(Watch::from_arg_matches(matches)?),
    })
}

impl Ask {
    /// Checks what clap can't: identifiers.
    pub fn checked(self) -> Result<Ask, String> {
        let not_an_id = |key: &str| {
            let why = format!("KEY is {:?}: with --id it takes 40 hexadecimal digits", super::words::shown(key));
            identifier(key, true).is_none().then_some(why)
        };
        let wrong = match &self {
            Ask::Lookup(Lookup { keys, id: true, .. }) => {
                keys.iter().filter(|key| *key != "-").find_map(|key| not_an_id(key))
            }
            Ask::Trace(Trace { key, id: true, .. }) => not_an_id(key),
            _ => None,
        };
        wrong.map_or(Ok(self), Err)
    }
}

/// The identifier of a key: of the text, or the one that the text is.
pub fn identifier(key: &str, is_id: bool) -> Option<Id> {
    if is_id { key.parse().ok() } else { Some(Id::of_key(key.as_bytes(), Bits::FULL)) }
}
