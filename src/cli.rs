//! The command line.

pub mod ask;
pub mod given;
pub mod play;
mod scope;
pub mod serve;
mod sim;
mod swarm;
mod values;
mod words;

use std::error::Error as _;
use std::ffi::OsString;
use std::net::IpAddr;
use std::time::Duration;

use chord::net::seed::{self, Seed};
use chord::protocol::addr::Addr;
use chord::protocol::lookup::iterative::Style;
use chord::{Config, Id};
use clap::builder::Styles;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Args as _, CommandFactory, FromArgMatches, Parser, value_parser};
use clap_complete::Shell;

use scope::{Scope, USAGE, asked_for_help};
pub use sim::{Chaos, Churn, Lessons, MAX_SCRIPT, Merge, Paper, Ring, Run as Sim, Script, Shown, Storm};
pub use swarm::Swarm;
use values::{
    Bind, NotAccepted, address, bind, identifier, number, period, port, seed_host, successors, timeout, virtual_nodes,
};

/// A Chord node: maps any key to the live node that owns it, over a ring that heals itself
#[derive(Debug, Parser)]
#[command(name = "chord", version, styles = Styles::plain(), max_term_width = 100, after_help = AFTER_HELP)]
struct Args {
    /// Address to advertise, and to bind unless --bind is given: an IPv4 or IPv6 address that others can call
    #[arg(short = 'a', value_name = "IP", value_parser = address)]
    address: IpAddr,

    /// Port to advertise, and to listen on unless --bind gives another, 1 to 65535
    #[arg(short = 'p', value_name = "PORT", value_parser = port, allow_hyphen_values = true)]
    port: u16,

    /// Address of this machine to listen at, 0.0.0.0 for all, [::] for all with IPv6; with a port if it differs from
    /// that of -p
    #[arg(long, value_name = "IP[:PORT]", value_parser = bind)]
    bind: Option<Bind>,

    /// Address or name of a node of the ring to join; a name is resolved again at each attempt
    #[arg(long = "ja", value_name = "HOST", value_parser = seed_host, requires = "join_port")]
    join_address: Option<seed::Host>,

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

    /// Run this many members of the ring in one process, 1 to 1024, at this port and the next ones; the console is that
    /// of the first. They die together: for V of them all nodes of the ring should have -r 10 + log2 V, or V + 1 if
    /// that is less (-r 16 for 64), and no process should have more than half of the nodes
    #[arg(long, value_name = "V", value_parser = virtual_nodes, default_value = "1", allow_hyphen_values = true)]
    virtual_nodes: u16,

    /// Refuse every node whose identifier is not the SHA-1 of its "ip:port"; not with -i
    #[arg(long)]
    strict_ids: bool,

    /// Time limit of one call, 1ms to 60s
    #[arg(long, value_name = "TIME", value_parser = timeout, default_value = "1s", allow_hyphen_values = true)]
    rpc_timeout: Duration,

    /// Time limit of a whole lookup, 1ms to 60s
    #[arg(long, value_name = "TIME", value_parser = timeout, default_value = "5s", allow_hyphen_values = true)]
    lookup_timeout: Duration,

    /// Ask each node on the way to a key directly, instead of letting nodes forward the question
    #[arg(long)]
    iterative: bool,
}

const AFTER_HELP: &str = "\
Without --ja and --jp the node creates a ring.
chord help serve describes a node with settings that work, chord help check, lookup, trace, state, ring and watch how to
ask a running ring, chord help swarm many nodes in one process, chord help sim rings on a virtual clock.
It answers Lookup <key>, PrintState, Help and Quit on standard input, each answer line with \"< \" in front.
Logs go to standard error; RUST_LOG=info shows more of them.
Exit status: 0 ended as asked, 1 could not run, 2 bad arguments.";

/// Flags, and the values that they accept.
type Accepted = &'static [(&'static str, &'static str)];

/// The values that each flag accepts, as the error for any other value says.
const ACCEPTED: Accepted = &[
    ("-a", ADDRESS),
    ("-p", PORT),
    ("--bind", BIND),
    ("--ja", HOST),
    ("--jp", PORT),
    ("--ts", MILLISECONDS),
    ("--tff", MILLISECONDS),
    ("--tcp", MILLISECONDS),
    ("-r", "a number from 1 to 32"),
    ("-i", "40 hexadecimal digits"),
    ("--virtual-nodes", "a number from 1 to 1024"),
    ("--strict-ids", "no value"),
    ("--rpc-timeout", TIME),
    ("--lookup-timeout", TIME),
    ("--iterative", "no value"),
];
const ADDRESS: &str =
    "an IPv4 or IPv6 address that others can call, like 128.8.126.63 (127.0.0.1 for rings on one machine)";
const HOST: &str = "an address or a name of a host, like 128.8.126.63 or example.org";
const BIND: &str = "an address of this machine, 0.0.0.0 or [::], and perhaps a port, like 0.0.0.0:4170";
const PORT: &str = "a number from 1 to 65535";
const MILLISECONDS: &str = "a number of milliseconds from 1 to 60000";
const SHELL: &str = "bash, elvish, fish, powershell or zsh";
const TIME: &str = "a time from 1ms to 60s";

/// What to do instead of running a node.
#[derive(Debug, PartialEq, Eq)]
pub enum Instead {
    /// Print this on standard output and exit with success.
    Print(String),
    /// Print this line on standard error and exit with an error.
    Complain(String),
    /// Print this text on standard error and exit with an error.
    Usage(&'static str),
}

/// What to run.
#[derive(Debug)]
pub enum Run {
    Node(Host),
    Ask(ask::Ask),
    /// Print the completions of this shell.
    Completions(Shell),
    /// Print the manual.
    Man,
    Serve(Box<serve::Serve>),
    /// Show a recording.
    Play(play::Play),
    Sim(Sim),
    Swarm(Swarm),
}

/// A node, or several virtual nodes.
#[derive(Debug)]
pub struct Host {
    /// The configuration of the first; the others have the next ports.
    pub config: Config,
    /// How many members of the ring it is.
    pub virtual_nodes: u16,
    /// What to print before it starts.
    pub warning: Option<String>,
}

/// Reads the command line.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Run, Instead> {
    let args: Vec<OsString> = args.into_iter().collect();
    let mut command = command();
    command.build();
    let args = asked_for_help(&args, &command)?.unwrap_or(args);
    if args.len() < 2 {
        return Err(Instead::Usage(USAGE));
    }
    let scope = Scope::of(&args, &command);
    let complain = |why: String| Instead::Complain(format!("{why}; see {} --help", scope.name));
    let instead = |error: clap::Error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Instead::Print(error.to_string()),
        _ => complain(one_line(&error, scope.accepted)),
    };
    let accepted = |flag: &str| what_it_takes(scope.accepted, flag);
    let complaints = words::complaints(&args[scope.words..], scope.command, accepted);
    if !complaints.is_empty() {
        return Err(complain(complaints.join("; ")));
    }
    let matches = command.clone().try_get_matches_from(&args).map_err(instead)?;
    match matches.subcommand() {
        Some((name, _)) if matches.args_present() => {
            Err(complain(format!("{name} can't be given together with the flags of a node")))
        }
        Some(("swarm", matches)) => {
            let swarm = swarm::Args::from_arg_matches(matches).map_err(instead)?;
            swarm.read().map(Run::Swarm).map_err(complain)
        }
        Some(("play", matches)) => play::Play::from_arg_matches(matches).map(Run::Play).map_err(instead),
        Some(("serve", _)) => {
            let served = serve::read(&args[scope.words..], scope.command, |name| std::env::var_os(name));
            match served.map_err(complain)? {
                serve::Served::Run(serve) => Ok(Run::Serve(serve)),
                serve::Served::Print(settings) => Err(Instead::Print(settings)),
            }
        }
        Some((name, matches)) if ask::NAMES.contains(&name) => {
            let question = ask::read(name, matches).map_err(instead)?;
            question.checked().map(Run::Ask).map_err(complain)
        }
        Some(("completions", matches)) => {
            let shell = matches.get_one("shell").copied();
            shell.map(Run::Completions).ok_or_else(|| complain(format!("which shell? {SHELL}")))
        }
        Some(("man", _)) => Ok(Run::Man),
        Some((_, matches)) => {
            let sim = sim::Sim::from_arg_matches(matches).map_err(instead)?;
            sim.read().map(Run::Sim).map_err(complain)
        }
        None => {
            let args = Args::from_arg_matches(&matches).map_err(instead)?;
            configure(args).map(Run::Node).map_err(complain)
        }
    }
}

/// The flags of a node, or a subcommand.
pub fn command() -> clap::Command {
    let sim = sim::Sim::augment_args(clap::Command::new("sim")).disable_help_subcommand(true);
    let serve = serve::Args::augment_args(clap::Command::new("serve"));
    let swarm = swarm::Args::augment_args(clap::Command::new("swarm"));
    let shell = Arg::new("shell").value_name("SHELL").required(true).value_parser(value_parser!(Shell));
    let completions = clap::Command::new("completions")
        .about("Prints the completions of a shell: bash, elvish, fish, powershell or zsh")
        .arg(shell.help("The shell; bash reads them with: source <(chord completions bash)"));
    let man = clap::Command::new("man").about("Prints the manual; man reads it with: chord man | man -l -");
    let subcommands = ask::augment(Args::command()).subcommand(serve).subcommand(swarm).subcommand(sim);
    let play = play::Play::augment_args(clap::Command::new("play"));
    let subcommands = subcommands.subcommand(play).subcommand(completions).subcommand(man);
    subcommands.subcommand_negates_reqs(true).disable_help_subcommand(true)
}

/// Checks that there are ports for `n` nodes, the number given with `flag`, from the one given with `port_flag` on;
/// returns the last.
fn check_range(port_flag: &str, first: u16, n: u16, flag: &str) -> Result<u16, String> {
    let last = first.checked_add(n - 1);
    let left = u16::MAX - first + 1;
    last.ok_or_else(|| format!("{flag} is {n}: from port {first} of {port_flag} on there are only {left}"))
}

/// Where a node listens, and what it advertises if that is not the same.
fn listens(bind: Option<Bind>, address: IpAddr, port: u16) -> (Addr, Option<Addr>) {
    let advertised = Addr::new(address, port);
    match bind {
        Some(bind) => (Addr::new(bind.ip, bind.port.unwrap_or(port)), Some(advertised)),
        None => (advertised, None),
    }
}

/// Checks that there are ports for `n` nodes, the number given with `flag`, and that the seed is not one of these
/// nodes.
fn check_ports(ip: IpAddr, first: u16, n: u16, seed: Option<&Seed>, flag: &str) -> Result<(), String> {
    let last = check_range("-p", first, n, flag)?;
    if seed.and_then(Seed::addr).is_some_and(|seed| seed.ip() == ip && (first..=last).contains(&seed.port())) {
        let why = "--ja and --jp name the node itself: give the address of another node, or neither to create a ring";
        return Err(why.into());
    }
    Ok(())
}

fn configure(args: Args) -> Result<Host, String> {
    let seed = args.join_address.zip(args.join_port).map(|(host, port)| Seed { host, port });
    check_ports(args.address, args.port, args.virtual_nodes, seed.as_ref(), "--virtual-nodes")?;
    if args.virtual_nodes > 1 && args.id.is_some() {
        let why = "-i and --virtual-nodes exclude each other: an identifier is for one node";
        return Err(why.into());
    }
    if args.strict_ids && args.id.is_some() {
        let why = "-i and --strict-ids exclude each other: with --strict-ids an identifier is the SHA-1 of \"ip:port\"";
        return Err(why.into());
    }
    let warning = given::unreachable("-a", args.address, seed.as_ref());
    let (listen, advertise) = listens(args.bind, args.address, args.port);
    check_range("--bind", listen.port(), args.virtual_nodes, "--virtual-nodes")?;
    let config = Config {
        listen,
        advertise,
        seeds: seed.into_iter().collect(),
        id: args.id,
        strict_ids: args.strict_ids,
        successors: args.r,
        stabilize: args.stabilize,
        fix_fingers: args.fix_fingers,
        check_predecessor: args.check_predecessor,
        rpc_timeout: args.rpc_timeout,
        lookup_timeout: args.lookup_timeout,
        lookup_style: if args.iterative { Style::Iterative } else { Style::Recursive },
        ..Config::new(args.address)
    };
    Ok(Host { config, virtual_nodes: args.virtual_nodes, warning })
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
    let flags: Vec<&str> = flags.iter().map(|flag| flag.split([' ', '[']).next().unwrap_or(flag)).collect();
    let flag = flags.first().copied().unwrap_or("an argument");
    let value = text(ContextKind::InvalidValue).pop().unwrap_or_default();
    match error.kind() {
        ErrorKind::MissingRequiredArgument => {
            let missing: Vec<_> = flags.iter().map(|flag| format!("{flag} ({})", accepted(flag))).collect();
            format!("missing {}", missing.join(", "))
        }
        ErrorKind::InvalidValue if value.is_empty() => format!("{flag} needs a value: {}", accepted(flag)),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue | ErrorKind::TooManyValues => {
            let takes = accepted(flag);
            let given = if [ADDRESS, HOST].contains(&takes) {
                format!(", {}", given::instead_of_address(&value, takes == HOST))
            } else {
                String::new()
            };
            format!("{flag} is {:?}{given}: it takes {takes}", words::shown(&value))
        }
        ErrorKind::UnknownArgument => {
            let similar = text(ContextKind::SuggestedArg).pop();
            format!("unknown argument {:?}{}", words::shown(flag), meant(similar))
        }
        ErrorKind::InvalidSubcommand => {
            let unknown = text(ContextKind::InvalidSubcommand).pop().unwrap_or_default();
            let similar = text(ContextKind::SuggestedSubcommand).pop();
            format!("unknown argument {:?}{}", words::shown(&unknown), meant(similar))
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "sim needs to be told what to run: chord sim chaos, churn, lessons, merge, paper, ring or storm".into()
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

/// A suggestion, if an unknown word is similar to a known one.
fn meant(similar: Option<String>) -> String {
    similar.map(|similar| format!(": was {similar} meant?")).unwrap_or_default()
}

fn what_it_takes(accepted: Accepted, flag: &str) -> &'static str {
    accepted.iter().find(|(name, _)| *name == flag).map_or("another value", |(_, what)| what)
}

#[cfg(test)]
mod tests;
