//! Rings with addresses of other kinds than one IP address: all of both kinds, forwarders, names.

use std::fs;
use std::net::{IpAddr, Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use chord::net::pool::ConnectionPool;
use chord::protocol::id::Bits;
use chord::{Addr, Config, Node, Peer, StartError};

use crate::support::alone;
use crate::support::home::has_ipv6;
use crate::support::ideal::{Ideal, await_ideal};
use crate::support::network::Network;
use crate::support::process::{CHORD, Process, address, addresses, eventually, free_addrs, free_addrs_at};

const SECOND: Duration = Duration::from_secs(1);

/// A ring must be ideal this long after its last node has started, on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

const R: usize = 3;

/// Starts each of these nodes by its command; the first creates a ring and the others join it.
fn ring(nodes: impl IntoIterator<Item = (Command, Addr)>) -> Vec<Process> {
    let mut seed = None;
    let start = |(command, addr): (Command, Addr)| {
        let process = Process::start_by(command, Peer::at(addr, Bits::FULL), seed, R);
        seed = seed.or(Some(addr));
        process
    };
    nodes.into_iter().map(start).collect()
}

/// `chord`, listening at this address.
fn listening(bind: &str) -> Command {
    let mut command = Command::new(CHORD);
    command.args(["--bind", bind]);
    command
}

/// Waits for an ideal ring, and has each of its nodes name the owners of some keys.
fn check(mut ring: Vec<Process>) {
    await_ideal(&mut ring, R, LIMIT);
    let ideal = Ideal::of(&ring);
    for key in (0..8).map(|k| format!("key {k}")) {
        let owner = ideal.owner(&key);
        ring.iter_mut().for_each(|process| assert_eq!(process.lookup(&key), Ok(owner), "{key} at {:?}", process.peer));
    }
}

#[test]
fn all_of_ipv6_is_all_of_ipv4_too() {
    let _alone = alone();
    if has_ipv6() {
        let kinds: [IpAddr; 2] = [Ipv6Addr::LOCALHOST.into(), address(1).into()];
        let addrs = free_addrs_at(kinds.into_iter().cycle().take(6));
        check(ring(addrs.into_iter().map(|addr| (listening("[::]"), addr))));
    }
}

/// Forwards connections from one address to another, for as long as the test runs; its thread is `placed` first.
fn forward(from: TcpListener, to: Addr, placed: impl FnOnce() + Send + 'static) {
    let pass = |mut from: TcpStream, mut to: TcpStream| {
        thread::spawn(move || {
            // Whichever end breaks, the other end is closed, too.
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        })
    };
    thread::spawn(move || {
        placed();
        for one in from.incoming().map_while(Result::ok) {
            let Ok(other) = TcpStream::connect(to) else { continue };
            pass(one.try_clone().unwrap(), other.try_clone().unwrap());
            pass(other, one);
        }
    });
}

#[test]
fn nodes_behind_forwarders_that_change_ports_are_a_ring() {
    let _alone = alone();
    let listens = free_addrs(4);
    let forwarders: Vec<_> = addresses(4).map(|ip| TcpListener::bind((ip, 0)).unwrap()).collect();
    let addrs: Vec<_> = forwarders.iter().map(|socket| Addr::from(socket.local_addr().unwrap())).collect();
    forwarders.into_iter().zip(&listens).for_each(|(socket, to)| forward(socket, *to, || {}));
    let nodes = listens.iter().zip(&addrs).map(|(listens, addr)| (listening(&listens.to_string()), *addr));
    check(ring(nodes));
}

/// Three hosts reach nothing but a fourth, at whose ports 5000 and up they are called.
#[test]
fn hosts_that_reach_only_a_forwarder_which_changes_ports_are_a_ring() -> Result<(), String> {
    let _alone = alone();
    const FORWARDER: usize = 3;
    let network = match Network::new(FORWARDER + 1) {
        Ok(network) => Arc::new(network),
        Err(why) => {
            eprintln!("addresses: no hosts of their own here ({why}): forwarders between hosts are not tested");
            return Ok(());
        }
    };
    let addrs: Vec<_> = (0..3).map(|host| Addr::new(Network::address(FORWARDER).ip(), 5000 + host)).collect();
    for (host, addr) in addrs.iter().enumerate() {
        network.isolate(host)?;
        let there = network.clone();
        let socket = network.within(FORWARDER, || TcpListener::bind(addr)).map_err(|why| format!("{addr}: {why}"))?;
        forward(socket, Network::address(host), move || there.enter(FORWARDER));
    }
    let refused = network.within(0, || TcpStream::connect_timeout(&Network::address(1).into(), SECOND));
    assert!(refused.is_err(), "the hosts reach each other");
    let by = |(host, addr): (usize, &Addr)| {
        let mut command = network.chord(host);
        command.args(["--bind", &Network::address(host).to_string()]);
        (command, *addr)
    };
    let ring = ring(addrs.iter().enumerate().map(by));
    // Who checks it calls the nodes, too.
    network.within(FORWARDER, || check(ring));
    Ok(())
}

#[test]
fn seed_is_found_by_its_name() {
    let _alone = alone();
    let addrs = free_addrs(2);
    let seed = Process::start(addrs[0], None, R);
    let port = addrs[0].port().to_string();
    let mut by_name = Command::new(CHORD);
    by_name.args(["--ja", "localhost", "--jp", &port]);
    let other = Process::start_by(by_name, Peer::at(addrs[1], Bits::FULL), None, R);
    check(vec![seed, other]);
}

#[actix_rt::test]
async fn seed_whose_name_does_not_resolve_is_told_from_one_that_does_not_answer() {
    let by = |seed: &str| Config {
        seeds: vec![seed.parse().unwrap()],
        join_timeout: SECOND / 5,
        ..Config::new([127, 0, 0, 1])
    };
    let unresolved = Node::start_sharing(by("nobody.invalid:4170"), ConnectionPool::default()).await.err().unwrap();
    assert!(matches!(unresolved, StartError::NoAddress(_)), "{unresolved}");
    assert!(unresolved.to_string().contains("nobody.invalid:4170"), "{unresolved}");
    let nobody = free_addrs(1)[0].port();
    let silent =
        Node::start_sharing(by(&format!("localhost:{nobody}")), ConnectionPool::default()).await.err().unwrap();
    assert!(matches!(silent, StartError::NoAnswer(_)), "{silent}");
}

/// A hosts file that a test writes, for the programs that it starts.
struct Hosts(PathBuf);

impl Hosts {
    /// None, with a notice, if programs can't be given their own file in place of `/etc/hosts`.
    fn new(name: &str) -> Option<Hosts> {
        let hosts = Hosts(std::env::temp_dir().join(format!("chord-{}-{name}.hosts", std::process::id())));
        hosts.write(None);
        let tried = hosts.command("true").output();
        let why = match tried {
            Ok(output) if output.status.success() => return Some(hosts),
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        eprintln!("addresses: no /etc/hosts of one's own here ({why}): names that move are not tested");
        None
    }

    /// From now on `seed.test` is at this address. The file itself stays, since programs see that one.
    fn write(&self, addr: Option<Addr>) {
        let line = addr.map(|addr| format!("{} seed.test\n", addr.ip())).unwrap_or_default();
        fs::write(&self.0, line).unwrap();
    }

    /// A program that uses this hosts file.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("unshare");
        let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).arg(&self.0).arg(program);
        command
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        // A file that is gone already need not be removed.
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn seed_whose_name_has_moved_while_it_was_down_is_found_again() {
    let _alone = alone();
    let Some(hosts) = Hosts::new("moves") else { return };
    // One port at two addresses.
    let [before, after] = [address(1), address(2)];
    let port = free_addrs_at([before])[0].port();
    let [before, after] = [before, after].map(|ip| Addr::new(ip, port));
    let addr = free_addrs_at([address(3)])[0];
    hosts.write(Some(before));
    let seed = Process::start(before, None, R);
    let mut by_name = hosts.command(CHORD);
    by_name.args(["--ja", "seed.test", "--jp", &port.to_string()]);
    let mut member = Process::start_by(by_name, Peer::at(addr, Bits::FULL), None, R);
    assert_eq!(member.state(R).successors[0], seed.peer);
    seed.kill();
    hosts.write(Some(after));
    let moved = Process::start(after, None, R);
    check(vec![member, moved]);
}

#[test]
fn name_that_does_not_resolve_yet_is_warned_of_once_and_joined_when_it_does() {
    let _alone = alone();
    let Some(hosts) = Hosts::new("appears") else { return };
    let addrs = free_addrs_at([address(1), address(2)]);
    let seed = Process::start(addrs[0], None, R);
    let mut by_name = hosts.command(CHORD);
    by_name.args(["--ja", "seed.test", "--jp", &addrs[0].port().to_string()]);
    let joiner = Process::start_by(by_name, Peer::at(addrs[1], Bits::FULL), None, R);
    let warnings = || joiner.errors().matches("does not resolve").count();
    eventually(LIMIT, || if warnings() > 0 { Ok(()) } else { Err("no warning yet".into()) });
    hosts.write(Some(addrs[0]));
    let mut ring = vec![seed, joiner];
    await_ideal(&mut ring, R, LIMIT);
    assert_eq!(ring[1].errors().matches("does not resolve").count(), 1, "{}", ring[1].errors());
    check(ring);
}
