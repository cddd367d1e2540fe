//! The flags of `chord swarm`.

use std::net::IpAddr;
use std::time::Duration;

use chord::Config;
use chord::net::seed::{self, Seed};
use chord::net::transport::{Switchboard, Transport};
use chord::sim::nodes::counted;
use chord::swarm::{Demand, Load, SwarmConfig};

use super::{Accepted, Bind, NotAccepted, address, bind, number, period, port, seed_host, successors, timeout};

/// Runs many nodes in this process, on consecutive ports, and measures them
///
/// They are real nodes that call each other over TCP: the first creates a ring, or joins one, and all others join the
/// first at once. Every table and every answer is compared with the correct one.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// How many nodes, 1 to 16384; each takes an open file, and T threads take 2 T^2 together
    #[arg(short = 'n', visible_alias = "nodes", value_name = "N", value_parser = nodes, allow_hyphen_values = true)]
    nodes: u16,

    /// Port of the first node, 1 to 65535; the others listen on the next ones
    #[arg(short = 'p', value_name = "PORT", value_parser = port, default_value = "4170", allow_hyphen_values = true)]
    port: u16,

    /// Address to advertise, and to bind unless --bind is given
    #[arg(short = 'a', value_name = "IP", value_parser = address, default_value = "127.0.0.1")]
    address: IpAddr,

    /// Address of this machine to listen at, 0.0.0.0 for all, [::] for all with IPv6; a port for the first node if it is
    /// not that of -p
    #[arg(long, value_name = "IP[:PORT]", value_parser = bind)]
    bind: Option<Bind>,

    /// Address or name of a node of the ring to join: a ring that is settled and has the same -r
    #[arg(long = "ja", value_name = "HOST", value_parser = seed_host, requires = "join_port")]
    join_address: Option<seed::Host>,

    /// Port of that node, 1 to 65535
    #[arg(long = "jp", value_name = "PORT", value_parser = port, requires = "join_address", allow_hyphen_values = true)]
    join_port: Option<u16>,

    /// Milliseconds between runs of stabilize, 1 to 60000
    #[arg(long = "ts", value_name = "MS", value_parser = period, default_value = "1000", allow_hyphen_values = true)]
    stabilize: Duration,

    /// Milliseconds between runs of fix fingers, 1 to 60000
    #[arg(long = "tff", value_name = "MS", value_parser = period, default_value = "1000", allow_hyphen_values = true)]
    fix_fingers: Duration,

    /// Milliseconds between runs of check predecessor, 1 to 60000
    #[arg(long = "tcp", value_name = "MS", value_parser = period, default_value = "1000", allow_hyphen_values = true)]
    check_predecessor: Duration,

    /// Length of the successor lists, 1 to 32
    #[arg(short = 'r', value_name = "R", value_parser = successors, default_value = "4", allow_hyphen_values = true)]
    r: usize,

    /// How many nodes join at the same time, 1 to 65535 [default: all]
    #[arg(long, value_name = "K", value_parser = at_once, allow_hyphen_values = true)]
    at_once: Option<u16>,

    /// Time limit of one call, 1ms to 60s; a node's own default of 1s would be too short while all join at once
    #[arg(long, value_name = "TIME", value_parser = timeout, default_value = "20s", allow_hyphen_values = true)]
    rpc_timeout: Duration,

    /// Time limit of a whole lookup, 1ms to 60s
    #[arg(long, value_name = "TIME", value_parser = timeout, default_value = "60s", allow_hyphen_values = true)]
    lookup_timeout: Duration,

    /// Threads for the nodes, 1 to 1024 and no more than nodes; a single client waits less with one [default: one for
    /// each processor]
    #[arg(long, value_name = "T", value_parser = threads, allow_hyphen_values = true)]
    threads: Option<u16>,

    /// What carries their calls, tcp or memory; with memory the nodes do the same, but no other program can call them,
    /// and the kernel does not affect the figures
    #[arg(long, value_name = "WAY", value_parser = transport, default_value = "tcp", conflicts_with_all = ["join_address", "bind"])]
    transport: Transport,

    /// Watch the nodes for this many seconds without any lookups, 1 to 86400; this begins some 20 seconds after the
    /// ring has formed, when young finger tables no longer cause extra lookups
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_hyphen_values = true)]
    idle: Option<Duration>,

    /// Clients that look keys up, each the next one as soon as it has its answer, 1 to 100000
    #[arg(long, value_name = "C", value_parser = clients, conflicts_with = "rate", allow_hyphen_values = true)]
    clients: Option<u32>,

    /// Look up this many keys per second at random times, whether or not earlier ones are answered, 1 to 10000000
    #[arg(long, value_name = "R", value_parser = rate, allow_hyphen_values = true)]
    rate: Option<u32>,

    /// For how many seconds --clients or --rate look keys up, 1 to 86400 [default: 10]
    #[arg(long, value_name = "S", value_parser = seconds, allow_hyphen_values = true)]
    seconds: Option<Duration>,

    /// Seed of the keys of --clients or --rate, and of the nodes that look them up: 0 to 2^64 - 1 [default: 0]
    #[arg(long, value_name = "S", value_parser = seed, allow_hyphen_values = true)]
    seed: Option<u64>,

    /// Print the figures as JSON, all together at the end
    #[arg(long)]
    json: bool,

    /// End when the figures are printed, and do not read standard input
    #[arg(long)]
    quit: bool,
}

const AFTER_HELP: &str = "\
Figures go to standard output, progress (on a terminal) and logs to standard error; RUST_LOG=warn shows more logs.
When the ring has formed, the first node answers Lookup <key>, PrintState, Help and Quit on standard input. Quit waits
for the figures; SIGINT and SIGTERM do not. The swarm runs on after the end of the input.
Exit status: 0 ended as asked, 1 could not run, did not form or a lookup named a wrong owner, 2 bad arguments.";

/// The values that each flag accepts, as the error for any other value says.
pub const ACCEPTED: Accepted = &[
    ("-n", "a number from 1 to 16384"),
    ("-p", super::PORT),
    ("-a", super::ADDRESS),
    ("--bind", super::BIND),
    ("--ja", super::HOST),
    ("--jp", super::PORT),
    ("--ts", super::MILLISECONDS),
    ("--tff", super::MILLISECONDS),
    ("--tcp", super::MILLISECONDS),
    ("-r", "a number from 1 to 32"),
    ("--at-once", "a number from 1 to 65535"),
    ("--rpc-timeout", super::TIME),
    ("--lookup-timeout", super::TIME),
    ("--threads", "a number from 1 to 1024"),
    ("--transport", "tcp or memory"),
    ("--idle", SECONDS),
    ("--clients", "a number from 1 to 100000"),
    ("--rate", "a number from 1 to 10000000"),
    ("--seconds", SECONDS),
    ("--seed", "a number from 0 to 18446744073709551615"),
    ("--json", "no value"),
    ("--quit", "no value"),
];

const SECONDS: &str = "a number of seconds from 1 to 86400";

/// A swarm, and what to do with it.
#[derive(Clone, Debug)]
pub struct Swarm {
    pub config: SwarmConfig,
    pub idle: Option<Duration>,
    pub load: Option<Load>,
    pub seed: u64,
    pub json: bool,
    pub quit: bool,
    /// What to print before it starts.
    pub warning: Option<String>,
}

/// The default duration of a load.
const SECONDS_OF_LOAD: Duration = Duration::from_secs(10);

fn nodes(text: &str) -> Result<u16, NotAccepted> {
    number(text, 1..=16_384)
}

fn at_once(text: &str) -> Result<u16, NotAccepted> {
    number(text, 1..=u16::MAX)
}

fn threads(text: &str) -> Result<u16, NotAccepted> {
    number(text, 1..=1024)
}

fn transport(text: &str) -> Result<Transport, NotAccepted> {
    match text {
        "tcp" => Ok(Transport::Tcp),
        "memory" => Ok(Transport::Memory(Switchboard::default())),
        _ => Err(NotAccepted),
    }
}

fn processors() -> u16 {
    std::thread::available_parallelism().ok().and_then(|count| count.get().try_into().ok()).unwrap_or(1)
}

fn clients(text: &str) -> Result<u32, NotAccepted> {
    number(text, 1..=100_000)
}

fn rate(text: &str) -> Result<u32, NotAccepted> {
    number(text, 1..=10_000_000)
}

fn seconds(text: &str) -> Result<Duration, NotAccepted> {
    number(text, 1..=86_400).map(Duration::from_secs)
}

fn seed(text: &str) -> Result<u64, NotAccepted> {
    number(text, 0..=u64::MAX)
}

impl Args {
    /// The swarm to run, or what is wrong with the flags.
    pub fn read(self) -> Result<Swarm, String> {
        let seed = self.join_address.zip(self.join_port).map(|(host, port)| Seed { host, port });
        super::check_ports(self.address, self.port, self.nodes, seed.as_ref(), "-n")?;
        let (listen, advertise) = super::listens(self.bind, self.address, self.port);
        super::check_range("--bind", listen.port(), self.nodes, "-n")?;
        let warning = super::given::unreachable("-a", self.address, seed.as_ref());
        if let Some(threads) = self.threads.filter(|threads| *threads > self.nodes) {
            let nodes = counted(self.nodes.into(), "node");
            return Err(format!("--threads is {threads}: {nodes} can't share more threads than there are nodes"));
        }
        let demand = self.clients.map(Demand::Clients).or(self.rate.map(Demand::Rate));
        let of_a_load = [("--seconds", self.seconds.is_some()), ("--seed", self.seed.is_some())];
        if let Some((flag, _)) = of_a_load.into_iter().find(|(_, given)| *given && demand.is_none()) {
            return Err(format!("{flag} is of a load, and there is none: give --clients or --rate, too"));
        }
        let node = Config {
            transport: self.transport,
            seeds: seed.into_iter().collect(),
            successors: self.r,
            stabilize: self.stabilize,
            fix_fingers: self.fix_fingers,
            check_predecessor: self.check_predecessor,
            rpc_timeout: self.rpc_timeout,
            lookup_timeout: self.lookup_timeout,
            advertise,
            ..Config::at(listen)
        };
        let (seconds, seed) = (self.seconds.unwrap_or(SECONDS_OF_LOAD), self.seed.unwrap_or_default());
        Ok(Swarm {
            config: SwarmConfig {
                nodes: self.nodes,
                threads: self.threads.unwrap_or(processors()).min(self.nodes),
                at_once: self.at_once.unwrap_or(u16::MAX),
                node,
            },
            idle: self.idle,
            load: demand.map(|demand| Load { demand, duration: seconds, seed }),
            seed,
            json: self.json,
            quit: self.quit,
            warning,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn read(line: &str) -> Result<Swarm, String> {
        let words = ["swarm"].into_iter().chain(line.split_whitespace());
        Line::try_parse_from(words).map_err(|error| error.to_string()).and_then(|line| line.args.read())
    }

    #[test]
    fn a_number_of_nodes_is_enough() {
        let Swarm { config, idle, load, seed, json, quit, .. } = read("-n 64").unwrap();
        assert_eq!((config.nodes, config.threads), (64, processors().min(64)));
        assert_eq!(read("-n 1").unwrap().config.threads, 1);
        assert_eq!(read("--nodes 64").unwrap().config.nodes, 64);
        let (rpc_timeout, lookup_timeout) = (Duration::from_secs(20), Duration::from_secs(60));
        let expected = Config { rpc_timeout, lookup_timeout, ..Config::at((Ipv4Addr::LOCALHOST, 4170)) };
        assert_eq!((config.node, config.at_once), (expected, u16::MAX));
        assert_eq!((idle, load, seed, json, quit), (None, None, 0, false, false));
    }

    #[test]
    fn each_flag_goes_where_it_belongs() {
        let line = "-n 9 -p 4171 -a 127.0.0.2 --ja 127.0.0.3 --jp 4172 --ts 1 --tff 2 --tcp 3 -r 5 --threads 2 --idle 6 \
                    --rate 7 --seconds 8 --seed 10 --json --quit --at-once 11 --rpc-timeout 12s --lookup-timeout 13s";
        let Swarm { config, idle, load, seed, json, quit, .. } = read(line).unwrap();
        assert_eq!((config.nodes, config.threads), (9, 2));
        let millis = Duration::from_millis;
        let expected = Config {
            seeds: vec!["127.0.0.3:4172".parse().unwrap()],
            successors: 5,
            stabilize: millis(1),
            fix_fingers: millis(2),
            check_predecessor: millis(3),
            rpc_timeout: millis(12_000),
            lookup_timeout: millis(13_000),
            ..Config::at((Ipv4Addr::new(127, 0, 0, 2), 4171))
        };
        assert_eq!((config.node, config.at_once), (expected, 11));
        let duration = Duration::from_secs(8);
        assert_eq!(load, Some(Load { demand: Demand::Rate(7), duration, seed: 10 }));
        assert_eq!((idle, seed, json, quit), (Some(Duration::from_secs(6)), 10, true, true));
        let transport = |line| read(line).unwrap().config.node.transport.to_string();
        assert_eq!((transport("-n 9"), transport("-n 9 --transport memory")), ("tcp".into(), "memory".into()));
        let load = read("-n 9 --clients 16").unwrap().load;
        assert_eq!(load, Some(Load { demand: Demand::Clients(16), duration: Duration::from_secs(10), seed: 0 }));
    }

    #[test]
    fn nodes_may_listen_elsewhere_than_they_are_called() {
        let bound = |line| read(line).map(|swarm| (swarm.config.node.listen, swarm.config.node.advertise));
        let addr = |text: &str| text.parse().unwrap();
        let advertised = Some(addr("127.0.0.2:4171"));
        assert_eq!(bound("-n 9 -p 4171 -a 127.0.0.2 --bind 0.0.0.0"), Ok((addr("0.0.0.0:4171"), advertised)));
        assert_eq!(bound("-n 9 -p 4171 -a 127.0.0.2 --bind [::]:5000"), Ok((addr("[::]:5000"), advertised)));
        let why = bound("-n 9 --bind 0.0.0.0:65530").unwrap_err();
        assert!(why.contains("port 65530 of --bind") && why.contains("only 6"), "{why}");
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        for line in [
            "",
            "-n 9 --bind here",
            "-n 9 --transport memory --bind 0.0.0.0",
            "-n 0",
            "-n 16385",
            "-n 9 -p 0",
            "-n 9 -a 0.0.0.0",
            "-n 9 --ja 127.0.0.1",
            "-n 9 --ts 0",
            "-n 9 -r 33",
            "-n 9 --threads 0",
            "-n 9 --threads 10",
            "-n 9 --at-once 0",
            "-n 9 --transport udp",
            "-n 9 --transport memory --ja 127.0.0.1 --jp 4179",
            "-n 9 --rpc-timeout 61s",
            "-n 9 --idle 0",
            "-n 9 --clients 0",
            "-n 9 --rate 0",
            "-n 9 --clients 1 --rate 1",
            "-n 9 --clients 1 --seconds 86401",
            "-n 9 --seconds 5",
            "-n 9 --seed 5",
            "-n 9 --seed -1",
            "-n 2 -p 65535",
            "-n 9 --ja 127.0.0.1 --jp 4178",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
        assert!(read("-n 1 -p 65535").is_ok() && read("-n 9 --ja 127.0.0.1 --jp 4179").is_ok());
    }

    #[test]
    fn every_flag_has_its_range() {
        for arg in Line::command().get_arguments() {
            let long = arg.get_long().map(|long| format!("--{long}"));
            let name = long.unwrap_or_else(|| format!("-{}", arg.get_short().unwrap()));
            assert!(ACCEPTED.iter().any(|(flag, _)| *flag == name), "{name}");
        }
    }
}
