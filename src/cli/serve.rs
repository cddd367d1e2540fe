//! The settings of `chord serve`.

mod layers;
mod profile;

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use chord::net::seed::{Host, Seed};
use chord::node::config::r_for;
use chord::protocol::addr::{Addr, callable};
use chord::protocol::lookup::iterative::Style;
use chord::{Config, Id, IfAlone};
use clap::{ArgMatches, FromArgMatches, ValueEnum};
use serde_json::Value;

use super::values::{Bind, NotAccepted, bind, http, identifier, number, successors, timeout, truth, virtual_nodes};
use super::{Accepted, given};
use layers::{Sources, layered};
use profile::Profile;

/// The port of a node that is not told another one.
pub const PORT: u16 = 9000;

/// Runs a node with settings that work, from flags, the environment and a file
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Address of this machine to listen at, 0.0.0.0 for all, [::] for all with IPv6; port 9000 unless one is given
    /// [default: 127.0.0.1:9000]
    #[arg(long, value_name = "IP[:PORT]", value_parser = bind)]
    listen: Option<Bind>,

    /// Address that others call, if it is not that of --listen [default if that is all addresses: that of the default
    /// route]
    #[arg(long, value_name = "IP[:PORT]", value_parser = advertised)]
    advertise: Option<Bind>,

    /// A node of the ring to join, by address or name; port 9000 unless one is given; may be repeated. Names are
    /// resolved anew at each attempt [default: create a ring]
    #[arg(long, value_name = "HOST[:PORT]", value_parser = seed, value_delimiter = ',')]
    join: Vec<Seed>,

    /// How long to wait for an answer of a member before --if-alone is done, 0s to 1h [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = join_timeout, allow_hyphen_values = true)]
    join_timeout: Option<Duration>,

    /// What to do then: create a ring and go on asking (when theirs appears the two become one), exit, or wait
    /// [default: wait; create without --join, and for a node that has asked its questions on a terminal]
    #[arg(long, value_name = "WHAT", value_enum)]
    if_alone: Option<Alone>,

    /// Name of the ring, 1 to 64 bytes: nodes of rings with other names, or with none, are refused
    #[arg(long, value_name = "NAME", value_parser = ring)]
    ring: Option<String>,

    /// Refuse plain peers, which know of no names
    #[arg(long, value_name = "BOOL", value_parser = truth, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    no_plain_peers: Option<bool>,

    /// Answer over HTTP at this address (127.0.0.1 unless one is given): /healthz, /readyz, /metrics, an API and a page
    /// that shows the ring [default: not at all]
    #[arg(long, value_name = "[IP:]PORT", value_parser = http)]
    http: Option<SocketAddr>,

    /// Directory that remembers members of the ring from one run to the next, so that the ring is found when all nodes
    /// of --join are gone
    #[arg(long, value_name = "DIR")]
    remember: Option<PathBuf>,

    /// Kind of network, which sets the six values that follow: lan (round trips below 10ms), wan (up to 300ms) or test
    /// (one machine, in a hurry) [default: lan]
    #[arg(long, value_name = "KIND", value_enum)]
    profile: Option<Profile>,

    /// Time between runs of stabilize while nothing changes, 1ms to 60s [default: lan 1s, wan 3s, test 100ms]
    #[arg(long, value_name = "TIME", value_parser = timeout, allow_hyphen_values = true)]
    stabilize: Option<Duration>,

    /// Time between runs of fix fingers, 1ms to 60s [default: lan 1s, wan 3s, test 100ms]
    #[arg(long, value_name = "TIME", value_parser = timeout, allow_hyphen_values = true)]
    fix_fingers: Option<Duration>,

    /// Time between runs of check predecessor, 1ms to 60s [default: lan 1s, wan 3s, test 100ms]
    #[arg(long, value_name = "TIME", value_parser = timeout, allow_hyphen_values = true)]
    check_predecessor: Option<Duration>,

    /// Time limit of one call, 1ms to 60s [default: lan 1s, wan 4s, test 500ms]
    #[arg(long, value_name = "TIME", value_parser = timeout, allow_hyphen_values = true)]
    rpc_timeout: Option<Duration>,

    /// Time limit of a whole lookup, 1ms to 60s [default: lan 5s, wan 20s, test 2.5s]
    #[arg(long, value_name = "TIME", value_parser = timeout, allow_hyphen_values = true)]
    lookup_timeout: Option<Duration>,

    /// Length of the successor list, 1 to 32 [default: lan 8, wan 12, test 4, and no fewer than --virtual-nodes needs]
    #[arg(long, value_name = "R", value_parser = successors, allow_hyphen_values = true)]
    successors: Option<usize>,

    /// Run this many members of the ring in one process, 1 to 1024, at this port and the next ones [default: 1]
    #[arg(long, value_name = "V", value_parser = virtual_nodes, allow_hyphen_values = true)]
    virtual_nodes: Option<u16>,

    /// Identifier, 40 hexadecimal digits [default: SHA-1 of "ip:port"]
    #[arg(long, value_name = "ID", value_parser = identifier, allow_hyphen_values = true)]
    id: Option<Id>,

    /// Refuse every node whose identifier is not the SHA-1 of its "ip:port"; not with --id
    #[arg(long, value_name = "BOOL", value_parser = truth, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    strict_ids: Option<bool>,

    /// Ask each node on the way to a key directly, instead of letting nodes forward the question
    #[arg(long, value_name = "BOOL", value_parser = truth, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    iterative: Option<bool>,

    /// How to write the log: text for people, or json, an object a line, for programs [default: text]
    #[arg(long, value_name = "FORM", value_enum)]
    log_format: Option<LogFormat>,

    /// TOML file with settings: the names of these flags without their hyphens in front
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print all settings and where each comes from, as such a file, and exit
    #[arg(long)]
    print_config: bool,
}

const AFTER_HELP: &str = "\
A setting may stand in the file of --config (rpc-timeout = \"2s\"), in the environment (CHORD_RPC_TIMEOUT=2s) or on the
command line (--rpc-timeout 2s); the later of these count more. On a terminal, without --listen, --join and --config, the
node asks for its address and for a node to join.
It answers on standard input: Lookup <key>, PrintState, Join <host> <port>, Peers, Ring, Check, Trace <key>, Help, Leave
and Quit. Logs go to standard error; RUST_LOG=info shows more of them. SIGTERM makes it leave.
Exit status: 0 ended as asked, 1 could not run, 2 bad arguments or settings.";

/// The values that each flag accepts, as the error for any other value says.
pub const ACCEPTED: Accepted = &[
    ("--listen", "an address of this machine, 0.0.0.0 or [::], and perhaps a port, like 0.0.0.0:9000"),
    ("--advertise", "an address that others can call, and perhaps a port, like 128.8.126.63 or 128.8.126.63:9000"),
    ("--join", "the address or name of a node, and perhaps its port, like example.org or 128.8.126.63:9000"),
    ("--join-timeout", "a time from 0s to 1h"),
    ("--if-alone", "create, exit or wait"),
    ("--ring", "a name of 1 to 64 bytes, without control characters"),
    ("--no-plain-peers", "true or false"),
    ("--http", HTTP),
    ("--remember", "the path of a directory"),
    ("--profile", "lan, wan or test"),
    ("--stabilize", super::TIME),
    ("--fix-fingers", super::TIME),
    ("--check-predecessor", super::TIME),
    ("--rpc-timeout", super::TIME),
    ("--lookup-timeout", super::TIME),
    ("--successors", "a number from 1 to 32"),
    ("--virtual-nodes", "a number from 1 to 1024"),
    ("--id", "40 hexadecimal digits"),
    ("--strict-ids", "true or false"),
    ("--iterative", "true or false"),
    ("--log-format", "text or json"),
    ("--config", "the path of a file"),
    ("--print-config", "no value"),
];

pub const HTTP: &str = "a port, or an address of this machine and a port, like 9080 or 0.0.0.0:9080";

/// What to do when no member answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Alone {
    Create,
    Exit,
    Wait,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

fn advertised(text: &str) -> Result<Bind, NotAccepted> {
    bind(text).ok().filter(|bind| callable(bind.ip).is_ok()).ok_or(NotAccepted)
}

/// A node to join, at the usual port if none is given.
pub fn seed(text: &str) -> Result<Seed, NotAccepted> {
    let host = || text.parse::<Host>().map(|host| Seed { host, port: PORT });
    text.parse().or_else(|_| host()).map_err(|_| NotAccepted)
}

fn ring(text: &str) -> Result<String, NotAccepted> {
    let config = Config { ring: Some(text.into()), ..Config::new(Ipv4Addr::LOCALHOST) };
    config.validate().map(|()| text.into()).map_err(|_| NotAccepted)
}

fn join_timeout(text: &str) -> Result<Duration, NotAccepted> {
    let time = humantime::parse_duration(text).map_err(|_| NotAccepted)?;
    number(&time.as_millis().to_string(), 0..=3_600_000u64)?;
    Ok(time)
}

/// A node to run as a service.
#[derive(Debug)]
pub struct Serve {
    /// The configuration of the first node.
    pub config: Config,
    /// How many members of the ring it is.
    pub virtual_nodes: u16,
    /// Where to answer over HTTP.
    pub http: Option<SocketAddr>,
    /// Where members of the ring are remembered.
    pub remember: Option<PathBuf>,
    /// How the log is written.
    pub log_format: LogFormat,
    /// Whether nobody has said where it is or whom to join: it asks, on a terminal.
    pub asks: bool,
    /// Whether `config.if_alone` was given, and is no default.
    pub knows_if_alone: bool,
    /// What to print before it starts.
    pub warning: Option<String>,
}

/// What `chord serve` is to do.
#[derive(Debug)]
pub enum Served {
    Run(Box<Serve>),
    /// Print this and exit.
    Print(String),
}

/// Reads the settings from all layers: `words` are the flags of `command`.
pub fn read(
    words: &[OsString],
    command: &clap::Command,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Served, String> {
    let (matches, sources) = layered(words, command, environment)?;
    let settings = Settings::of(&matches, sources)?;
    if settings.print {
        return Ok(Served::Print(settings.describe()));
    }
    settings.serve().map(|serve| Served::Run(Box::new(serve)))
}

/// All settings, with their defaults.
struct Settings {
    listen: Addr,
    advertise: Option<Addr>,
    profile: Profile,
    pace: profile::Pace,
    join_timeout: Duration,
    if_alone: Alone,
    virtual_nodes: u16,
    seeds: Vec<Seed>,
    ring: Option<String>,
    no_plain_peers: bool,
    http: Option<SocketAddr>,
    remember: Option<PathBuf>,
    id: Option<Id>,
    strict_ids: bool,
    iterative: bool,
    log_format: LogFormat,
    print: bool,
    sources: Sources,
}

impl Settings {
    fn of(matches: &ArgMatches, sources: Sources) -> Result<Settings, String> {
        let args = Args::from_arg_matches(matches).map_err(|error| super::one_line(&error, ACCEPTED))?;
        let profile = args.profile.unwrap_or(Profile::Lan);
        let (usual, virtual_nodes) = (profile.pace(), args.virtual_nodes.unwrap_or(1));
        let enough = if virtual_nodes > 1 { usual.successors.max(r_for(virtual_nodes)) } else { usual.successors };
        let pace = profile::Pace {
            stabilize: args.stabilize.unwrap_or(usual.stabilize),
            fix_fingers: args.fix_fingers.unwrap_or(usual.fix_fingers),
            check_predecessor: args.check_predecessor.unwrap_or(usual.check_predecessor),
            rpc_timeout: args.rpc_timeout.unwrap_or(usual.rpc_timeout),
            lookup_timeout: args.lookup_timeout.unwrap_or(usual.lookup_timeout),
            successors: args.successors.unwrap_or(enough),
        };
        let at = |bind: Bind, port: u16| Addr::new(bind.ip, bind.port.unwrap_or(port));
        let listen = args.listen.map_or(Addr::new(Ipv4Addr::LOCALHOST, PORT), |bind| at(bind, PORT));
        let advertise = match args.advertise {
            Some(bind) => Some(at(bind, listen.port())),
            None if listen.ip().is_unspecified() => {
                let ip = default_route(listen.ip().is_ipv6()).ok_or_else(|| {
                    format!("--listen is {listen}, all addresses, and this machine has no default route: say with --advertise which address others call")
                })?;
                Some(Addr::new(ip, listen.port()))
            }
            None => None,
        };
        Ok(Settings {
            listen,
            advertise,
            profile,
            pace,
            join_timeout: args.join_timeout.unwrap_or(Duration::from_secs(10)),
            if_alone: args.if_alone.unwrap_or(if args.join.is_empty() { Alone::Create } else { Alone::Wait }),
            virtual_nodes,
            seeds: args.join,
            ring: args.ring,
            no_plain_peers: args.no_plain_peers.unwrap_or(false),
            http: args.http,
            remember: args.remember,
            id: args.id,
            strict_ids: args.strict_ids.unwrap_or(false),
            iterative: args.iterative.unwrap_or(false),
            log_format: args.log_format.unwrap_or(LogFormat::Text),
            print: args.print_config,
            sources,
        })
    }

    fn is_given(&self, name: &str) -> bool {
        self.sources.contains_key(name)
    }

    fn serve(self) -> Result<Serve, String> {
        let me = self.advertise.unwrap_or(self.listen);
        if self.virtual_nodes > 1 && self.id.is_some() {
            return Err("--id and --virtual-nodes exclude each other: an identifier is for one node".into());
        }
        if self.strict_ids && self.id.is_some() {
            return Err(
                "--id and --strict-ids exclude each other: with --strict-ids an identifier is the SHA-1 of \"ip:port\""
                    .into(),
            );
        }
        super::check_range("--listen", self.listen.port(), self.virtual_nodes, "--virtual-nodes")?;
        super::check_range("--advertise", me.port(), self.virtual_nodes, "--virtual-nodes")?;
        // All nodes may be given the same list of members, themselves among them.
        let seeds: Vec<Seed> = self.seeds.iter().filter(|seed| seed.addr() != Some(me)).cloned().collect();
        let warning = seeds.iter().find_map(|seed| given::unreachable("--advertise", me.ip(), Some(seed)));
        let (asks, knows_if_alone) =
            (!["listen", "join", "config"].iter().any(|name| self.is_given(name)), self.is_given("if-alone"));
        let config = Config {
            listen: self.listen,
            advertise: self.advertise,
            seeds,
            id: self.id,
            strict_ids: self.strict_ids,
            ring: self.ring,
            plain_peers: !self.no_plain_peers,
            successors: self.pace.successors,
            stabilize: self.pace.stabilize,
            fix_fingers: self.pace.fix_fingers,
            check_predecessor: self.pace.check_predecessor,
            rpc_timeout: self.pace.rpc_timeout,
            lookup_timeout: self.pace.lookup_timeout,
            lookup_style: if self.iterative { Style::Iterative } else { Style::Recursive },
            join_timeout: self.join_timeout,
            if_alone: match self.if_alone {
                Alone::Create => IfAlone::Create,
                Alone::Exit => IfAlone::GiveUp,
                Alone::Wait => IfAlone::Wait,
            },
            ..Config::at(self.listen)
        };
        let Settings { virtual_nodes, http, remember, log_format, .. } = self;
        Ok(Serve { config, virtual_nodes, http, remember, log_format, asks, knows_if_alone, warning })
    }

    /// All settings as a file, each with its source.
    fn describe(&self) -> String {
        let text = |text: &dyn ToString| Value::String(text.to_string()).to_string();
        let time = |time: Duration| text(&humantime::format_duration(time));
        let paths = |path: &Option<PathBuf>| path.as_ref().map(|path| text(&path.display()));
        let alone = name_of(self.if_alone);
        let seeds: Vec<String> = self.seeds.iter().map(|seed| text(seed)).collect();
        let by_profile =
            ["stabilize", "fix-fingers", "check-predecessor", "rpc-timeout", "lookup-timeout", "successors"];
        let lines = [
            ("listen", Some(text(&self.listen))),
            ("advertise", self.advertise.map(|addr| text(&addr))),
            ("join", Some(format!("[{}]", seeds.join(", ")))),
            ("join-timeout", Some(time(self.join_timeout))),
            ("if-alone", Some(text(&alone))),
            ("ring", self.ring.as_ref().map(|name| text(name))),
            ("no-plain-peers", Some(self.no_plain_peers.to_string())),
            ("http", self.http.map(|addr| text(&addr))),
            ("remember", paths(&self.remember)),
            ("profile", Some(text(&self.profile.name()))),
            ("stabilize", Some(time(self.pace.stabilize))),
            ("fix-fingers", Some(time(self.pace.fix_fingers))),
            ("check-predecessor", Some(time(self.pace.check_predecessor))),
            ("rpc-timeout", Some(time(self.pace.rpc_timeout))),
            ("lookup-timeout", Some(time(self.pace.lookup_timeout))),
            ("successors", Some(self.pace.successors.to_string())),
            ("virtual-nodes", Some(self.virtual_nodes.to_string())),
            ("id", self.id.map(|id| text(&id))),
            ("strict-ids", Some(self.strict_ids.to_string())),
            ("iterative", Some(self.iterative.to_string())),
            ("log-format", Some(text(&name_of(self.log_format)))),
        ];
        let line = |(name, value): (&str, Option<String>)| {
            let source = match self.sources.get(name) {
                Some(source) => source.to_string(),
                None if name == "successors" && self.pace.successors != self.profile.pace().successors => {
                    "virtual-nodes".into()
                }
                None if by_profile.contains(&name) => format!("profile {}", self.profile.name()),
                None if name == "advertise" && self.advertise.is_some() => "default route".into(),
                None => "default".into(),
            };
            // A setting without a value is a comment.
            let setting = value.map_or(format!("# {name}"), |value| format!("{name} = {value}"));
            format!("{setting:<34} # {source}\n")
        };
        lines.into_iter().map(line).collect()
    }
}

fn name_of(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_string()).unwrap_or_default()
}

/// The address of this machine from which others are called: nothing is sent.
pub fn default_route(is_ipv6: bool) -> Option<IpAddr> {
    let (any, other): (SocketAddr, SocketAddr) = if is_ipv6 {
        (([0u16; 8], 0).into(), ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 9).into())
    } else {
        (([0u8; 4], 0).into(), ([192, 0, 2, 1], 9).into())
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(other).ok()?;
    socket.local_addr().ok().map(|addr| addr.ip()).filter(|ip| callable(*ip).is_ok())
}

#[cfg(test)]
mod tests;
