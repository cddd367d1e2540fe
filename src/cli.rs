//! The command line.

mod sim;

use std::error::Error as _;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::RangeInclusive;
use std::time::Duration;

use chord::config::{PERIOD, R};
use chord::protocol::lookup::iterative::Style;
use chord::protocol::peer::is_unicast;
use chord::{Config, Id};
use clap::builder::Styles;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args as _, CommandFactory, FromArgMatches, Parser};

pub use sim::{Chaos, Churn, Paper, Ring, Run as Sim, Script};

/// A Chord node: maps any key to the live node that owns it, over a ring that heals itself
#[derive(Debug, Parser)]
#[command(name = "chord", version, styles = Styles::plain(), max_term_width = 100, after_help = AFTER_HELP)]
struct Args {
    /// Address to bind and to advertise: an IPv4 address that others can call
    #[arg(short = 'a', value_name = "IP", value_parser = address)]
    address: Ipv4Addr,

    /// Port to listen on, 1 to 65535
    #[arg(short = 'p', value_name = "PORT", value_parser = port, allow_hyphen_values = true)]
    port: u16,

    /// Address of a node of the ring to join
    #[arg(long = "ja", value_name = "IP", value_parser = address, requires = "join_port")]
    join_address: Option<Ipv4Addr>,

    /// Port of that node, 1 to 65535
    #[arg(long = "jp", value_name = "PORT", value_parser = port, requires = "join_address", allow_hyphen_values = true)]
    join_port: Option<u16>,

    /// Milliseconds between runs of stabilize, 1 to 60000
    #[arg(long = "ts", value_name = "MS", value_parser = period, allow_hyphen_values = true)]
    stabilize: Duration,

    /// Milliseconds between runs of fix fingers, 1 to 60000
    #[arg(long = "tff", value_name = "MS", value_parser = period, allow_hyphen_values = true)]
    fix_fingers: Duration,

    /// Milliseconds between runs of check predecessor, 1 to 60000
    #[arg(long = "tcp", value_name = "MS", value_parser = period, allow_hyphen_values = true)]
    check_predecessor: Duration,

    /// Length of the successor list, 1 to 32
    #[arg(short = 'r', value_name = "N", value_parser = successors, allow_hyphen_values = true)]
    r: usize,

    /// Identifier, 40 hexadecimal digits [default: SHA-1 of "ip:port"]
    #[arg(short = 'i', value_name = "ID", value_parser = identifier, allow_hyphen_values = true)]
    id: Option<Id>,

    /// Refuse every node whose identifier is not the SHA-1 of its "ip:port"; not with -i
    #[arg(long)]
    strict_ids: bool,

    /// Patience with one call, 1ms to 60s
    #[arg(long, value_name = "TIME", value_parser = timeout, default_value = "1s", allow_hyphen_values = true)]
    rpc_timeout: Duration,

    /// Patience with a whole lookup, 1ms to 60s
    #[arg(long, value_name = "TIME", value_parser = timeout, default_value = "5s", allow_hyphen_values = true)]
    lookup_timeout: Duration,

    /// Ask each node on the way to a key itself, instead of having the question passed on
    #[arg(long)]
    iterative: bool,
}

const AFTER_HELP: &str = "\
Without --ja and --jp the node creates a ring.
It answers Lookup <key>, PrintState, Help and Quit on standard input, each answer line with \"< \" in front.
Logs go to standard error; RUST_LOG=info shows more of them.
Exit status: 0 ended as asked, 1 could not run, 2 bad arguments.";

/// Flags, and what they accept.
type Accepted = &'static [(&'static str, &'static str)];

/// What each flag accepts, as the error for any other value says.
const ACCEPTED: Accepted = &[
    ("-a", ADDRESS),
    ("-p", PORT),
    ("--ja", ADDRESS),
    ("--jp", PORT),
    ("--ts", MILLISECONDS),
    ("--tff", MILLISECONDS),
    ("--tcp", MILLISECONDS),
    ("-r", "a number from 1 to 32"),
    ("-i", "40 hexadecimal digits"),
    ("--strict-ids", "no value"),
    ("--rpc-timeout", TIME),
    ("--lookup-timeout", TIME),
    ("--iterative", "no value"),
];
const ADDRESS: &str = "an IPv4 address that others can call, not 0.0.0.0, multicast or broadcast";
const PORT: &str = "a number from 1 to 65535";
const MILLISECONDS: &str = "a number of milliseconds from 1 to 60000";
const TIME: &str = "a time from 1ms to 60s";

/// A value outside what [`ACCEPTED`] says.
#[derive(Debug, thiserror::Error)]
#[error("not accepted")]
struct NotAccepted;

fn address(text: &str) -> Result<Ipv4Addr, NotAccepted> {
    text.parse().ok().filter(|ip| is_unicast(*ip)).ok_or(NotAccepted)
}

fn number<T: std::str::FromStr + PartialOrd>(text: &str, range: RangeInclusive<T>) -> Result<T, NotAccepted> {
    text.parse().ok().filter(|number| range.contains(number)).ok_or(NotAccepted)
}

fn port(text: &str) -> Result<u16, NotAccepted> {
    number(text, 1..=u16::MAX)
}

fn successors(text: &str) -> Result<usize, NotAccepted> {
    number(text, R)
}

fn period(text: &str) -> Result<Duration, NotAccepted> {
    let millis = number(text, 1..=u64::MAX)?;
    Some(Duration::from_millis(millis)).filter(|period| PERIOD.contains(period)).ok_or(NotAccepted)
}

fn timeout(text: &str) -> Result<Duration, NotAccepted> {
    humantime::parse_duration(text).ok().filter(|time| PERIOD.contains(time)).ok_or(NotAccepted)
}

fn identifier(text: &str) -> Result<Id, NotAccepted> {
    text.parse().map_err(|_| NotAccepted)
}

/// What to do instead of running a node.
#[derive(Debug, PartialEq, Eq)]
pub enum Instead {
    /// Print this on standard output, and be done.
    Print(String),
    /// Print this line on standard error, and fail.
    Complain(String),
}

/// What is to be run.
#[derive(Debug)]
pub enum Run {
    Node(Config),
    Sim(Sim),
}

/// Reads the command line.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Run, Instead> {
    let args: Vec<OsString> = args.into_iter().collect();
    let accepted = accepted(&args);
    let instead = |error: clap::Error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Instead::Print(error.to_string()),
        _ => Instead::Complain(one_line(&error, accepted)),
    };
    let matches = command().try_get_matches_from(args).map_err(instead)?;
    match matches.subcommand() {
        Some((name, _)) if matches.args_present() => {
            Err(Instead::Complain(format!("{name} can't be given together with the flags of a node")))
        }
        Some((_, matches)) => {
            let sim = sim::Sim::from_arg_matches(matches).map_err(instead)?;
            sim.read().map(Run::Sim).map_err(Instead::Complain)
        }
        None => Args::from_arg_matches(&matches).map_err(instead).and_then(configure).map(Run::Node),
    }
}

/// The flags of a node, or a subcommand.
fn command() -> clap::Command {
    let sim = sim::Sim::augment_args(clap::Command::new("sim"));
    Args::command().subcommand(sim).subcommand_negates_reqs(true).disable_help_subcommand(true)
}

fn configure(args: Args) -> Result<Config, Instead> {
    let seed = args.join_address.zip(args.join_port).map(|(ip, port)| SocketAddrV4::new(ip, port));
    if seed == Some(SocketAddrV4::new(args.address, args.port)) {
        let why = "--ja and --jp name the node itself: give the address of another node, or neither to create a ring";
        return Err(Instead::Complain(why.into()));
    }
    if args.strict_ids && args.id.is_some() {
        let why = "-i and --strict-ids exclude each other: with --strict-ids an identifier is the SHA-1 of \"ip:port\"";
        return Err(Instead::Complain(why.into()));
    }
    Ok(Config {
        port: args.port,
        seeds: seed.into_iter().collect(),
        id: args.id,
        strict_ids: args.strict_ids,
        r: args.r,
        stabilize: args.stabilize,
        fix_fingers: args.fix_fingers,
        check_predecessor: args.check_predecessor,
        rpc_timeout: args.rpc_timeout,
        lookup_timeout: args.lookup_timeout,
        lookup_style: if args.iterative { Style::Iterative } else { Style::Recursive },
        ..Config::new(args.address)
    })
}

/// An error of the command line in one line that names the flag and what it accepts.
fn one_line(error: &clap::Error, accepted: Accepted) -> String {
    let accepted = |flag: &str| what_it_takes(accepted, flag);
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    };
    let flags: Vec<String> = text(ContextKind::InvalidArg);
    let flags: Vec<&str> = flags.iter().map(|flag| flag.split(' ').next().unwrap_or(flag)).collect();
    let flag = flags.first().copied().unwrap_or("an argument");
    let value = text(ContextKind::InvalidValue).pop().unwrap_or_default();
    match error.kind() {
        ErrorKind::MissingRequiredArgument => {
            let missing: Vec<_> = flags.iter().map(|flag| format!("{flag} ({})", accepted(flag))).collect();
            format!("missing {}", missing.join(", "))
        }
        ErrorKind::InvalidValue if value.is_empty() => format!("{flag} needs a value: {}", accepted(flag)),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue | ErrorKind::TooManyValues => {
            format!("{flag} is {value:?}: it takes {}", accepted(flag))
        }
        ErrorKind::UnknownArgument => format!("unknown argument {flag:?}: see chord --help"),
        ErrorKind::InvalidSubcommand => {
            let unknown = text(ContextKind::InvalidSubcommand).pop().unwrap_or_default();
            format!("unknown argument {unknown:?}: see chord --help")
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "sim needs to be told what to run: chord sim chaos, chord sim churn, chord sim paper or chord sim ring"
                .into()
        }
        ErrorKind::ArgumentConflict => {
            let prior = text(ContextKind::PriorArg).pop().unwrap_or_default();
            match prior.split(' ').next() {
                Some(prior) if !prior.is_empty() && prior != flag => {
                    format!("{flag} can't be given together with {prior}")
                }
                _ => format!("{flag} is given more than once"),
            }
        }
        _ => {
            let whole = error.to_string();
            let first = whole.lines().next().unwrap_or_default().trim_start_matches("error: ");
            error.source().map_or(first.to_string(), |source| format!("{first}: {source}"))
        }
    }
}

fn what_it_takes(accepted: Accepted, flag: &str) -> &'static str {
    accepted.iter().find(|(name, _)| *name == flag).map_or("see chord --help", |(_, what)| what)
}

/// What the flags accept that these arguments may hold.
fn accepted(args: &[OsString]) -> Accepted {
    match args {
        [_, sim, simulation, ..] if sim == "sim" => sim::accepted(&simulation.to_string_lossy()),
        _ => ACCEPTED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "-a 127.0.0.1 -p 4170 --ts 100 --tff 20 --tcp 100 -r 4";

    fn run(line: &str) -> Result<Run, Instead> {
        parse(std::iter::once("chord").chain(line.split_whitespace()).map(Into::into))
    }

    fn chord(line: &str) -> Result<Config, Instead> {
        run(line).map(|run| match run {
            Run::Node(config) => config,
            Run::Sim(sim) => panic!("{line}: {sim:?}"),
        })
    }

    fn chaos(line: &str) -> Chaos {
        match run(&format!("sim chaos {line}")) {
            Ok(Run::Sim(Sim::Chaos(chaos))) => chaos,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn complaint(line: &str) -> String {
        match run(line) {
            Err(Instead::Complain(why)) => why,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn course_flags_make_a_configuration() {
        let config = chord(&format!("{GOOD} --ja 127.0.0.2 --jp 4171 -i {}", "0f".repeat(20))).unwrap();
        assert_eq!(config.address, Ipv4Addr::LOCALHOST);
        assert_eq!((config.port, config.r), (4170, 4));
        assert_eq!(config.seeds, ["127.0.0.2:4171".parse().unwrap()]);
        assert_eq!(config.fix_fingers, Duration::from_millis(20));
        assert_eq!(config.id, Some(Id::from_bytes([0x0f; 20])));
        assert_eq!((config.rpc_timeout, config.lookup_timeout), (Duration::from_secs(1), Duration::from_secs(5)));
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn each_flag_is_refused_outside_its_range_by_name() {
        for (flag, values) in [
            ("-a", vec!["0.0.0.0", "255.255.255.255", "224.0.0.1", "localhost", "::1", ""]),
            ("-p", vec!["0", "65536", "-1", "x"]),
            ("--ts", vec!["0", "60001", "-1", "1.5", "99999999999999999999999"]),
            ("--tff", vec!["0", "60001", "1s"]),
            ("--tcp", vec!["0", "60001"]),
            ("-r", vec!["0", "33", "-4"]),
            ("-i", vec!["ff", "-1"]),
            ("--rpc-timeout", vec!["0s", "61s", "5"]),
            ("--lookup-timeout", vec!["0ms", "2min"]),
        ] {
            for value in values {
                let args = GOOD.split(' ').collect::<Vec<_>>();
                let mut args: Vec<_> = match args.iter().position(|arg| *arg == flag) {
                    Some(at) => [&args[..at], &args[at + 2..]].concat(),
                    None => args,
                };
                args.extend([flag, value]);
                let parsed = parse(std::iter::once("chord").chain(args).map(Into::into));
                let Err(Instead::Complain(why)) = parsed else { panic!("{flag} {value}: {parsed:?}") };
                assert!(why.starts_with(flag) && why.contains(what_it_takes(ACCEPTED, flag)), "{why}");
                assert_eq!(why.lines().count(), 1, "{why}");
            }
        }
    }

    #[test]
    fn missing_flags_are_all_named() {
        let why = complaint("-a 127.0.0.1 -p 4170");
        assert!(
            ["--ts (", "--tff (", "--tcp (", "-r (a number from 1 to 32)"].iter().all(|flag| why.contains(flag)),
            "{why}"
        );
        assert!(complaint(&format!("{GOOD} --ja 127.0.0.2")).contains("missing --jp (a number from 1 to 65535)"));
        assert!(complaint(&format!("{GOOD} --jp 4171")).contains("missing --ja ("));
        assert_eq!(complaint("-p"), "-p needs a value: a number from 1 to 65535");
    }

    #[test]
    fn unknown_and_repeated_arguments_are_named() {
        assert_eq!(complaint(&format!("{GOOD} --foo")), "unknown argument \"--foo\": see chord --help");
        assert_eq!(complaint(&format!("{GOOD} -p 1")), "-p is given more than once");
        assert_eq!(complaint(&format!("{GOOD} stray")), "unknown argument \"stray\": see chord --help");
    }

    #[test]
    fn strict_identifiers_exclude_one_of_ones_own() {
        assert!(!chord(GOOD).unwrap().strict_ids);
        assert!(chord(&format!("{GOOD} --strict-ids")).unwrap().strict_ids);
        let why = complaint(&format!("{GOOD} --strict-ids -i {}", "0f".repeat(20)));
        assert!(why.starts_with("-i and --strict-ids exclude each other"), "{why}");
        let why = complaint(&format!("{GOOD} --strict-ids=yes"));
        assert_eq!(why, "--strict-ids is \"yes\": it takes no value");
    }

    #[test]
    fn node_does_not_join_itself() {
        assert!(complaint(&format!("{GOOD} --ja 127.0.0.1 --jp 4170")).contains("the node itself"));
    }

    #[test]
    fn every_flag_has_its_range() {
        for arg in Args::command().get_arguments() {
            let name =
                arg.get_long().map_or_else(|| format!("-{}", arg.get_short().unwrap()), |long| format!("--{long}"));
            assert!(ACCEPTED.iter().any(|(flag, _)| *flag == name), "{name}");
        }
    }

    #[test]
    fn histories_are_chosen_by_seed() {
        assert_eq!(chaos("").seeds, 0..200);
        assert_eq!(chaos("--seed 7").seeds, 7..8);
        let many = chaos("--seeds 5 --first 10 --nodes 16..32 --jobs 3 --json");
        assert_eq!((many.seeds, many.options.nodes, many.jobs, many.json), (10..15, 16..=32, 3, true));
        assert_eq!(chaos("--nodes 16").options.nodes, 16..=16);
        assert!(chaos("--seed 7 --trace").options.trace);
    }

    #[test]
    fn flags_of_histories_are_refused_by_name() {
        for (bad, expected) in [
            ("--seed -1", "--seed is \"-1\": it takes a number from 0 to 18446744073709551614"),
            ("--seeds 0", "--seeds is \"0\": it takes a number from 1 to 1000000000"),
            ("--first x", "--first is \"x\": it takes a number from 0 to 9223372036854775808"),
            ("--nodes 3..8", "--nodes is \"3..8\": it takes a range like 8..64, both ends from 4 to 1024"),
            ("--nodes 9..8", "--nodes is \"9..8\": it takes a range like 8..64, both ends from 4 to 1024"),
            ("--jobs 0", "--jobs is \"0\": it takes a number from 1 to 1024"),
            ("--jobs", "--jobs needs a value: a number from 1 to 1024"),
            ("--trace", "missing --seed (a number from 0 to 18446744073709551614)"),
            ("--seed 1 --seeds 2", "--seed can't be given together with --seeds"),
            ("--seed 1 --first 2", "--seed can't be given together with --first"),
            ("--seed 1 --seed 2", "--seed is given more than once"),
            ("--foo", "unknown argument \"--foo\": see chord --help"),
        ] {
            assert_eq!(complaint(&format!("sim chaos {bad}")), expected);
        }
        assert_eq!(
            complaint("sim"),
            "sim needs to be told what to run: chord sim chaos, chord sim churn, chord sim paper or chord sim ring"
        );
        assert_eq!(complaint("sim fly"), "unknown argument \"fly\": see chord --help");
        assert_eq!(complaint(&format!("{GOOD} sim chaos")), "sim can't be given together with the flags of a node");
    }

    #[test]
    fn experiments_are_chosen_by_letter() {
        let paper = |line: &str| match run(&format!("sim paper {line}")) {
            Ok(Run::Sim(Sim::Paper(paper))) => paper,
            other => panic!("{line}: {other:?}"),
        };
        let letters = |paper: &Paper| paper.experiments.iter().map(|one| one.letter()).collect::<String>();
        assert_eq!((letters(&paper("")), paper("").out), ("BCDEFGHI".into(), "chord-paper".into()));
        assert_eq!(letters(&paper("--only f,B,f")), "BF");
        for (bad, expected) in [
            ("--only A", "--only is \"A\": it takes letters from B to I, with commas between"),
            ("--only B,", "--only is \"B,\": it takes letters from B to I, with commas between"),
            ("--only BC", "--only is \"BC\": it takes letters from B to I, with commas between"),
            ("--out", "--out needs a value: a directory"),
            ("--only B --only C", "--only is given more than once"),
            ("--quick=no", "--quick is \"no\": it takes no value"),
        ] {
            assert_eq!(complaint(&format!("sim paper {bad}")), expected);
        }
    }

    #[test]
    fn help_and_version_are_printed() {
        assert!(matches!(chord("--help"), Err(Instead::Print(help)) if help.contains("--tff <MS>")));
        assert!(matches!(chord("--version"), Err(Instead::Print(version)) if version.starts_with("chord ")));
    }
}
