//! The flags of `chord sim storm`.

use std::ops::RangeInclusive;
use std::time::Duration;

use chord::sim::storm::{Fault, Options};
use clap::ValueEnum;

use super::shown::{SEED, Shown, seed};
use crate::cli::{NotAccepted, number};

/// Runs a ring under load whose threads stumble, and measures what it still answers
///
/// Nodes share threads, and work takes time: reading a frame, a step of a lookup, a connection. First the capacity of
/// the ring is measured. Then, at each load, lookups begin whether or not earlier ones are answered, and a fault
/// strikes. One seed is one history, on every machine.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Nodes of the ring, 8 to 4096
    #[arg(long, visible_short_alias = 'n', value_name = "N", value_parser = nodes, default_value = "64", allow_hyphen_values = true)]
    nodes: u32,

    /// Threads that the nodes share, 2 to half as many as nodes
    #[arg(long, value_name = "T", value_parser = threads, default_value = "2", allow_hyphen_values = true)]
    threads: u32,

    /// Shares of the ring's capacity, each 0.01 to 10: one storm for each
    #[arg(
        long,
        value_name = "SHARE,…",
        value_parser = load,
        value_delimiter = ',',
        default_value = "0.25,0.5,0.8,1.5",
        allow_hyphen_values = true
    )]
    load: Vec<f64>,

    /// What happens to a thread: it does nothing for a while; it ends; it ends and other nodes start on other ports; or
    /// one of its nodes leaves
    #[arg(long, value_name = "FAULT", value_enum, default_value = "pause")]
    fault: What,

    /// The length of a pause, 1ms to 1h
    #[arg(long, value_name = "TIME", value_parser = pause, default_value = "600ms", allow_hyphen_values = true)]
    pause: Duration,

    /// How many threads are struck at once, 1 to all of them; not all of them may end
    #[arg(long, value_name = "K", value_parser = threads_struck, default_value = "1", allow_hyphen_values = true)]
    struck: u32,

    /// The seed, 0 to 2^63
    #[arg(long, value_name = "S", value_parser = seed, default_value = "0", allow_hyphen_values = true)]
    seed: u64,

    #[command(flatten)]
    shown: Shown,
}

const AFTER_HELP: &str = "\
The result goes to standard output, progress (on a terminal) and violations to standard error. No node that is up and
reachable throughout may be found dead, and no answer may be wrong. Up to a load of 0.8, goodput from 2 s after the
fault on has to be at least 0.95 of that before; beyond a load of 1, at least 0.8 of the best.
Exit status: 0 all was well, 1 something was violated, 2 bad arguments, 130 interrupted.";

/// The values that each flag accepts, as the error for any other value says.
pub const ACCEPTED: &[(&str, &str)] = &[
    ("--nodes", "a number from 8 to 4096"),
    ("--threads", "a number from 2 to 1024"),
    ("--load", "shares like 0.25,0.8,1.5, each from 0.01 to 10"),
    ("--fault", "pause, kill, restart or leave"),
    ("--pause", "a time like 600ms, from 1ms to 1h"),
    ("--struck", "a number from 1 to 1024"),
    SEED,
    ("--plot", "the path of a file"),
];

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    Pause,
    Kill,
    Restart,
    Leave,
}

/// Storms to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Storm {
    pub options: Options,
    pub shown: Shown,
}

fn nodes(text: &str) -> Result<u32, NotAccepted> {
    number(text, 8..=4096)
}

fn threads(text: &str) -> Result<u32, NotAccepted> {
    number(text, 2..=1024)
}

fn threads_struck(text: &str) -> Result<u32, NotAccepted> {
    number(text, 1..=1024)
}

fn load(text: &str) -> Result<f64, NotAccepted> {
    text.parse().ok().filter(|share| LOADS.contains(share)).ok_or(NotAccepted)
}

const LOADS: RangeInclusive<f64> = 0.01..=10.0;

fn pause(text: &str) -> Result<Duration, NotAccepted> {
    let range = Duration::from_millis(1)..=Duration::from_secs(3600);
    humantime::parse_duration(text).ok().filter(|time| range.contains(time)).ok_or(NotAccepted)
}

impl Args {
    /// The storms to run, or what is wrong with the flags.
    pub fn read(self) -> Result<Storm, String> {
        let fault = match self.fault {
            What::Pause => Fault::Pause,
            What::Kill => Fault::Kill,
            What::Restart => Fault::Restart,
            What::Leave => Fault::Leave,
        };
        if self.threads > self.nodes / 2 {
            return Err(format!(
                "--threads is {}: {} nodes are for {} at most",
                self.threads,
                self.nodes,
                self.nodes / 2
            ));
        }
        let most = if fault == Fault::Pause { self.threads } else { self.threads - 1 };
        if self.struck > most {
            return Err(format!("--struck is {}: of {} threads it may be {most} at most", self.struck, self.threads));
        }
        let options = Options {
            nodes: self.nodes,
            threads: self.threads,
            loads: self.load,
            fault,
            pause: self.pause,
            struck: self.struck,
            seed: self.seed,
            ..Options::default()
        };
        Ok(Storm { options, shown: self.shown })
    }
}
