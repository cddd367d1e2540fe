//! The flags of `chord sim churn`.

use std::num::NonZeroUsize;
use std::ops::{Range, RangeInclusive};
use std::thread;
use std::time::Duration;

use chord::Config;
use chord::node::config::R;
use chord::sim::churn::Workload;
use chord::sim::delay::Delay;

use crate::cli::{NotAccepted, number};

/// Runs a ring whose nodes come and go, and judges the lookups that they make
///
/// Lives and absences are exponentially distributed; nodes leave without notice, and come back under their old
/// identifiers. The defaults are a workload with which simulators are compared. One seed is one history, on every
/// machine.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Nodes that come and go, 2 to 1000000; the ring begins with those that live at first
    #[arg(long, visible_short_alias = 'n', value_name = "N", value_parser = nodes, default_value = "1024", allow_hyphen_values = true)]
    nodes: u32,

    /// How long a node lives on average, 1s to 1000d
    #[arg(long, value_name = "TIME", value_parser = long, default_value = "1h", allow_hyphen_values = true)]
    mean_life: Duration,

    /// How long a node is away on average, 1s to 1000d
    #[arg(long, value_name = "TIME", value_parser = long, default_value = "1h", allow_hyphen_values = true)]
    mean_absence: Duration,

    /// The time between two lookups of a node on average, 1s to 1000d
    #[arg(long, value_name = "TIME", value_parser = long, default_value = "10m", allow_hyphen_values = true)]
    lookup_every: Duration,

    /// How long the workload runs on the virtual clock, 1s to 1000d
    #[arg(long, value_name = "TIME", value_parser = long, default_value = "6h", allow_hyphen_values = true)]
    time: Duration,

    /// Time between two rounds of stabilize, two lookups of fingers, two checks of the predecessor, 1ms to 1d
    #[arg(long, value_name = "TIME", value_parser = period, default_value = "2m", allow_hyphen_values = true)]
    period: Duration,

    /// Look up all fingers at once whenever something changes, as nodes do by default, instead of one per period
    #[arg(long)]
    hurry: bool,

    /// Length of the successor lists, 1 to 32
    #[arg(short = 'r', value_name = "R", value_parser = successors, default_value = "4", allow_hyphen_values = true)]
    r: usize,

    /// How long messages take: plane:SIDE, by the distance in a square; exponential:MEAN; or uniform:FROM..TO; each
    /// time 1us to 10s
    #[arg(long, value_name = "MODEL", value_parser = delay, default_value = "plane:100ms", allow_hyphen_values = true)]
    delay: Delay,

    /// The first seed, 0 to 2^63
    #[arg(long, value_name = "S", value_parser = seed, default_value = "0", allow_hyphen_values = true)]
    seed: u64,

    /// Run this many histories, with that seed and the next ones, 1 to 1000000000
    #[arg(long, value_name = "N", value_parser = seeds, default_value = "1", allow_hyphen_values = true)]
    seeds: u64,

    /// Threads, 1 to 1024 [default: one for each processor]
    #[arg(long, value_name = "J", value_parser = jobs, allow_hyphen_values = true)]
    jobs: Option<usize>,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
The result goes to standard output, progress (on a terminal) and the time it took to standard error.
Ctrl-C ends the run; the result covers the histories that have finished.
Exit status: 0 all was run, 2 bad arguments, 130 interrupted.";

/// The values that each flag accepts, as the error for any other value says.
pub const ACCEPTED: &[(&str, &str)] = &[
    ("--nodes", "a number from 2 to 1000000"),
    ("--mean-life", LONG),
    ("--mean-absence", LONG),
    ("--lookup-every", LONG),
    ("--time", LONG),
    ("--period", "a time like 30s, from 1ms to 1d"),
    ("-r", "a number from 1 to 32"),
    ("--delay", "plane:100ms, exponential:50ms or uniform:1ms..20ms, each time from 1us to 10s"),
    ("--seed", "a number from 0 to 9223372036854775808"),
    ("--seeds", "a number from 1 to 1000000000"),
    ("--jobs", "a number from 1 to 1024"),
];

const LONG: &str = "a time like 90m, from 1s to 1000d";

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Histories to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Churn {
    pub seeds: Range<u64>,
    pub workload: Workload,
    pub jobs: usize,
    pub json: bool,
}

fn nodes(text: &str) -> Result<u32, NotAccepted> {
    number(text, 2..=1_000_000)
}

fn successors(text: &str) -> Result<usize, NotAccepted> {
    number(text, R)
}

fn seed(text: &str) -> Result<u64, NotAccepted> {
    number(text, 0..=1 << 63)
}

fn seeds(text: &str) -> Result<u64, NotAccepted> {
    number(text, 1..=1_000_000_000)
}

fn jobs(text: &str) -> Result<usize, NotAccepted> {
    number(text, 1..=1024)
}

fn long(text: &str) -> Result<Duration, NotAccepted> {
    time(text, Duration::from_secs(1)..=1000 * DAY)
}

fn period(text: &str) -> Result<Duration, NotAccepted> {
    time(text, Duration::from_millis(1)..=DAY)
}

fn time(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, NotAccepted> {
    humantime::parse_duration(text).ok().filter(|time| range.contains(time)).ok_or(NotAccepted)
}

fn delay(text: &str) -> Result<Delay, NotAccepted> {
    let time = |text| time(text, Duration::from_micros(1)..=Duration::from_secs(10));
    match text.split_once(':').ok_or(NotAccepted)? {
        ("plane", side) => Ok(Delay::Plane(time(side)?)),
        ("exponential", mean) => Ok(Delay::Exponential(time(mean)?)),
        ("uniform", range) => {
            let (from, to) = range.split_once("..").ok_or(NotAccepted)?;
            let (from, to) = (time(from)?, time(to)?);
            if from <= to { Ok(Delay::Uniform(from..=to)) } else { Err(NotAccepted) }
        }
        _ => Err(NotAccepted),
    }
}

impl Args {
    /// The histories to run.
    pub fn read(self) -> Churn {
        let workload = Workload::default();
        let workload = Workload {
            nodes: self.nodes,
            life: self.mean_life,
            absence: self.mean_absence,
            lookup_every: self.lookup_every,
            time: self.time,
            delay: self.delay,
            config: Config {
                stabilize: self.period,
                fix_fingers: self.period,
                check_predecessor: self.period,
                paced_fingers: !self.hurry,
                successors: self.r,
                ..workload.config
            },
        };
        Churn {
            seeds: self.seed..self.seed + self.seeds,
            workload,
            jobs: self.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZeroUsize::get)),
            json: self.json,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn read(line: &str) -> Option<Churn> {
        let words = ["churn"].into_iter().chain(line.split_whitespace());
        Line::try_parse_from(words).ok().map(|line| line.args.read())
    }

    #[test]
    fn the_default_is_the_default_workload() {
        let churn = read("").unwrap();
        assert_eq!((churn.workload, churn.seeds, churn.json), (Workload::default(), 0..1, false));
    }

    #[test]
    fn each_flag_goes_where_it_belongs() {
        let line = "--nodes 9 --mean-life 1m --mean-absence 2m --lookup-every 3m --time 4m --period 5m -r 6 --hurry \
                    --seed 7 --seeds 8 --jobs 3 --json";
        let Churn { seeds, workload, jobs, json } = read(line).unwrap();
        assert_eq!((seeds, jobs, json), (7..15, 3, true));
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        assert_eq!((workload.nodes, workload.life, workload.absence), (9, minutes(1), minutes(2)));
        assert_eq!((workload.lookup_every, workload.time), (minutes(3), minutes(4)));
        let Config { stabilize, fix_fingers, check_predecessor, paced_fingers, successors: r, .. } = workload.config;
        assert_eq!((stabilize, fix_fingers, check_predecessor), (minutes(5), minutes(5), minutes(5)));
        assert_eq!((paced_fingers, r), (false, 6));
    }

    #[test]
    fn delays_are_told_by_their_model() {
        let millis = Duration::from_millis;
        for (text, expected) in [
            ("plane:50ms", Some(Delay::Plane(millis(50)))),
            ("exponential:1s", Some(Delay::Exponential(millis(1000)))),
            ("uniform:1ms..20ms", Some(Delay::Uniform(millis(1)..=millis(20)))),
            ("uniform:20ms..1ms", None),
            ("uniform:1ms", None),
            ("plane:0ms", None),
            ("plane:11s", None),
            ("gauss:1ms", None),
            ("1ms", None),
        ] {
            assert_eq!(read(&format!("--delay {text}")).map(|churn| churn.workload.delay), expected, "{text}");
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        for line in [
            "--nodes 1",
            "--nodes 1000001",
            "--mean-life 999ms",
            "--mean-absence 1001d",
            "--lookup-every 0s",
            "--time x",
            "--period 25h",
            "-r 33",
            "--seed -1",
            "--seeds 0",
            "--jobs 1025",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
