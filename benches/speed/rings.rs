//! Rings of real nodes, each ring in its own process: how fast it forms, how many lookups it serves, and what an idle
//! node costs.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use chord::protocol::id::Bits;
use chord::{Addr, Peer};
use serde_json::Value;

use super::calls::floor;
use super::line::{self, Line};
use super::{Median, RUNS};

/// The port of the first node; the others have the next ones.
pub const PORT: u16 = 20_000;

/// The figures of `chord swarm` for this many nodes.
pub fn swarm(nodes: u32, flags: &[&str]) -> io::Result<Figures> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chord"));
    command.args(["swarm", "--json", "--quit", "-n", &nodes.to_string(), "-p", &PORT.to_string()]).args(flags);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("{command:?} ended with {}", output.status)));
    }
    Figures::read(&output.stdout)
}

/// The output of a swarm.
pub struct Figures(Value);

impl Figures {
    pub fn read(printed: &[u8]) -> io::Result<Figures> {
        Ok(Figures(serde_json::from_slice(printed)?))
    }

    /// One value of a part.
    pub fn part(&self, part: &str, name: &str) -> &Value {
        &self.0[part][name]
    }

    /// One number of a part.
    pub fn number(&self, part: &str, name: &str) -> f64 {
        self.0[part][name].as_f64().unwrap_or(f64::NAN)
    }
}

/// The rings whose time to form has a goal, and that goal in seconds.
const FORMATION: [(u32, f64); 5] = [(16, 0.2), (64, 0.8), (256, 3.0), (1000, 10.0), (2000, 30.0)];

/// How long rings take to form if all nodes start at once.
pub fn form() -> io::Result<()> {
    println!(
        "{:<26}{:>26}{:>8}{:>22}{:>12}",
        "forming", "all tables right after, s", "must", "calls per node", "log2 N ^2"
    );
    for (nodes, must) in FORMATION {
        let (mut took, mut calls) = (Median::default(), Median::default());
        for _ in 0..RUNS {
            let figures = swarm(nodes, &[])?;
            took.add(figures.number("formation", "ideal_after_seconds"));
            calls.add(figures.number("formation", "calls_per_node"));
        }
        let square = f64::from(nodes).log2().powi(2);
        println!("{:<26}{:>26}{must:>8}{:>22}{square:>12.0}", format!("{nodes} nodes"), took.fine(), calls.spread());
    }
    Ok(())
}

/// The loads: nodes, clients, and the goal in lookups per second, if there is one.
const LOOKUPS: [(u32, u32, Option<f64>); 12] = [
    (16, 1, Some(25_000.0)),
    (16, 16, Some(70_000.0)),
    (16, 64, None),
    (16, 512, None),
    (64, 1, Some(15_000.0)),
    (64, 16, Some(40_000.0)),
    (64, 64, None),
    (64, 512, None),
    (1000, 1, Some(6_000.0)),
    (1000, 16, Some(20_000.0)),
    (1000, 64, None),
    (1000, 512, None),
];

/// Lists longer than usual, for comparison.
const LONG_LISTS: [(u32, u32, &str); 4] = [(16, 16, "8"), (64, 16, "8"), (16, 16, "20"), (64, 16, "20")];

/// Young tables are looked up again and again: in a large ring that would be most of what is measured. So wait first.
const GROWS_UP: [&str; 2] = ["--idle", "1"];

/// How many lookups rings serve, on two threads, or on one for a single client, with which two threads would only wake
/// each other. The ratio compares their calls with the round trips of bare tasks over 32 connections, with as many
/// threads on both sides.
pub fn look_up() -> io::Result<()> {
    println!(
        "{:<26}{:>26}{:>8}{:>7}{:>20}{:>22}{:>7}{:>7}{:>11}",
        "lookups", "lookups/s", "must", "ratio", "p50, us", "p99, us", "calls", "ideal", "reconnects"
    );
    for (nodes, clients, must) in LOOKUPS {
        let name = format!("{nodes} nodes, {clients} clients");
        load(&name, nodes, clients, "4", must)?;
    }
    for (nodes, clients, r) in LONG_LISTS {
        load(&format!("{nodes} nodes, {clients} clients, r = {r}"), nodes, clients, r, None)?;
    }
    Ok(())
}

fn load(name: &str, nodes: u32, clients: u32, r: &str, must: Option<f64>) -> io::Result<()> {
    let [mut rate, mut ratio, mut p50, mut p99, mut calls, mut ideal, mut reconnects]: [Median; 7] = Default::default();
    for _ in 0..RUNS {
        let floor = floor(32)?;
        let (clients, threads) = (clients.to_string(), clients.min(2).to_string());
        let flags = ["--clients", &clients, "--threads", &threads, "--seconds", "3", "-r", r];
        let grows_up = if nodes < 1000 { &[][..] } else { &GROWS_UP };
        let figures = swarm(nodes, &[&flags[..], grows_up].concat())?;
        let number = |name| figures.number("load", name);
        if number("errors") + number("wrong_owners") > 0.0 {
            return Err(io::Error::other(format!("{name}: {} errors", number("errors"))));
        }
        rate.add(number("lookups_per_second"));
        calls.add(number("calls_per_lookup"));
        ideal.add(number("ideal_calls_per_lookup"));
        ratio.add(number("lookups_per_second") * number("calls_per_lookup") / floor);
        p50.add(number("p50_seconds") * 1e6);
        p99.add(number("p99_seconds") * 1e6);
        reconnects.add(number("reconnects_per_lookup"));
    }
    println!(
        "{name:<26}{:>26}{:>8}{:>7.2}{:>20}{:>22}{:>7.2}{:>7.2}{:>11.4}",
        rate.spread(),
        must.map(|must| must.to_string()).unwrap_or_default(),
        ratio.middle(),
        p50.spread(),
        p99.spread(),
        calls.middle(),
        ideal.middle(),
        reconnects.middle()
    );
    Ok(())
}

/// The number of connections from a client to one node that show the cost of each.
const CONNECTIONS: usize = 400;

/// The cost of a node.
pub fn be() -> io::Result<()> {
    println!("{:<52}{:>26}{:>8}", "being there", "", "must");
    let [mut alone, mut connection, mut node, mut idle]: [Median; 4] = Default::default();
    for _ in 0..RUNS {
        let (process, each) = one_process()?;
        alone.add(process / MIB);
        connection.add(each / KIB);
        // All nodes of a thread share one connection, so connections are nearly nothing of this.
        node.add((memory(1000)? - memory(1)?) / 999.0 / KIB);
        idle.add(100.0 * swarm(1000, &["--idle", "10"])?.number("idle", "processor_share"));
    }
    println!("{:<52}{:>26}{:>8}", "process with a node in a ring of 16, MiB", alone.fine(), 6);
    println!("{:<52}{:>26}{:>8}", "idle connection that another has made, KiB", connection.fine(), 4);
    println!("{:<52}{:>26}{:>8}", "node beside its connections, of 1000 in a process, KiB", node.fine(), 12);
    println!("{:<52}{:>26}{:>8}", "1000 idle nodes, % of a processor", idle.fine(), 25);
    Ok(())
}

/// The memory in bytes of a process with this many nodes on one thread.
fn memory(nodes: u32) -> io::Result<f64> {
    Ok(swarm(nodes, &["--threads", "1"])?.number("formation", "memory_after_bytes"))
}

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;

/// A node in its own process, which is killed when this is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Starts `chord` with these arguments and waits for its first line: the answer of its console after it has joined,
    /// unless it prints something before.
    fn start(arguments: &[&str]) -> io::Result<Process> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chord"));
        let child =
            command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut process = Process(child);
        process.0.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.write_all(b"PrintState\n")?;
        let printed = process.0.stdout.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        BufReader::new(printed).read_line(&mut String::new())?;
        Ok(process)
    }

    /// Its memory in bytes.
    fn resident(&self) -> io::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
        kib.map(|kib: f64| kib * KIB).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// The memory of a process with one node in a ring of 16, and how much an idle connection adds to it.
fn one_process() -> io::Result<(f64, f64)> {
    let (port, seed) = ((PORT - 1).to_string(), PORT.to_string());
    let _others = Process::start(&["swarm", "-n", "15", "-p", &seed])?;
    let one = Process::start(&[
        "-p",
        &port,
        "-a",
        "127.0.0.1",
        "--ja",
        "127.0.0.1",
        "--jp",
        &seed,
        "--ts",
        "1000",
        "--tff",
        "1000",
        "--tcp",
        "1000",
        "-r",
        "4",
    ])?;
    thread::sleep(Duration::from_secs(10));
    let before = one.resident()?;
    let addr = Addr::new(Ipv4Addr::LOCALHOST, PORT - 1);
    let me = Peer::at(addr, Bits::FULL);
    let after = actix_rt::System::new().block_on(async {
        let (addr, call) = (SocketAddr::from(addr), line::call(me, false));
        let reply = line::reply(addr, &call).await?;
        let mut lines = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut line = Line::to(addr, &call, reply).await?;
            line.call(1).await?;
            lines.push(line);
        }
        one.resident()
    })?;
    Ok((before, (after - before) / CONNECTIONS as f64))
}
