//! The flags of `chord sim merge`.

use chord::sim::merge::Pair;

use super::shown::{SEED, Shown, seed};
use crate::cli::{NotAccepted, number};

/// Merges two rings, and measures how long that takes and how much each node sends
///
/// A node joins one of two ideal rings and remembers a member of the other. From the first contact on, messages are
/// counted until all successor lists are right. Each pair is run twice: with the nodes of both rings mixed, and with
/// each ring on its own part of the circle. One seed is one history, on every machine.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Nodes of one ring, each 2 to 4096: one pair for each
    #[arg(
        long,
        visible_short_alias = 'n',
        value_name = "N,…",
        value_parser = nodes,
        value_delimiter = ',',
        default_value = "10,30,100,300,1000",
        allow_hyphen_values = true
    )]
    nodes: Vec<u32>,

    /// Nodes of the other ring, 2 to 4096 [default: the same number]
    #[arg(long, value_name = "N", value_parser = nodes, allow_hyphen_values = true)]
    with: Option<u32>,

    /// The seed, 0 to 2^63
    #[arg(long, value_name = "S", value_parser = seed, default_value = "0", allow_hyphen_values = true)]
    seed: u64,

    #[command(flatten)]
    shown: Shown,
}

const AFTER_HELP: &str = "\
The result goes to standard output, progress (on a terminal) to standard error.
Exit status: 0 each pair became one ideal ring, 1 one did not in time, 2 bad arguments, 130 interrupted.";

/// The values that each flag accepts, as the error for any other value says.
pub const ACCEPTED: &[(&str, &str)] = &[
    ("--nodes", "numbers like 10,100, each from 2 to 4096"),
    ("--with", "a number from 2 to 4096"),
    SEED,
    ("--plot", "the path of a file"),
];

/// Rings to merge.
#[derive(Clone, Debug, PartialEq)]
pub struct Merge {
    pub pairs: Vec<Pair>,
    pub shown: Shown,
}

fn nodes(text: &str) -> Result<u32, NotAccepted> {
    number(text, 2..=4096)
}

impl Args {
    /// The rings to merge.
    pub fn read(self) -> Merge {
        let pair =
            |apart| move |nodes: &u32| Pair { nodes: (*nodes, self.with.unwrap_or(*nodes)), apart, seed: self.seed };
        let pairs = self.nodes.iter().map(pair(false)).chain(self.nodes.iter().map(pair(true))).collect();
        Merge { pairs, shown: self.shown }
    }
}
