//! The kinds of addresses that the nodes of a ring may have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::process::Command;
use std::thread;

use chord::protocol::id::Bits;
use chord::{Addr, Peer};

use super::alone;
use super::process::{CHORD, Process, address, free_addrs_at, free_range_at};

/// Where the nodes of a ring are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// Each listens at an IPv4 address of its own.
    Ipv4,
    /// All are at `::1`.
    Ipv6,
    /// Each listens at all IPv4 addresses, and advertises one of its own.
    All,
}

/// Runs a test of real processes at each kind of address at the same time, when it is its turn.
pub fn at_each_home(test: impl Fn(Home) + Sync) {
    let _alone = alone();
    thread::scope(|scope| {
        for home in [Home::Ipv4, Home::Ipv6, Home::All].into_iter().filter(|home| *home != Home::Ipv6 || has_ipv6()) {
            let test = &test;
            thread::Builder::new().name(format!("{home:?}")).spawn_scoped(scope, move || test(home)).unwrap();
        }
    });
}

/// Whether this machine has IPv6; prints a notice if not.
pub fn has_ipv6() -> bool {
    let has = TcpListener::bind((Ipv6Addr::LOCALHOST, 0));
    has.inspect_err(|why| eprintln!("no IPv6 here ({why}): not tested")).is_ok()
}

impl Home {
    /// Free addresses of `n` nodes. Those that share an IP address have ports which no connection is made from.
    pub fn addrs(self, n: u16) -> Vec<Addr> {
        let hosts = (1..=n as u8).map(address);
        let first = |ip: IpAddr| free_range_at(ip, n).port();
        match self {
            Home::Ipv4 => free_addrs_at(hosts),
            Home::Ipv6 => {
                let first = first(Ipv6Addr::LOCALHOST.into());
                (first..first + n).map(|port| Addr::new(Ipv6Addr::LOCALHOST, port)).collect()
            }
            Home::All => {
                let first = first(Ipv4Addr::UNSPECIFIED.into());
                hosts.zip(first..).map(|(ip, port)| Addr::new(ip, port)).collect()
            }
        }
    }

    /// `chord`, listening where nodes of this kind do.
    pub fn command(self) -> Command {
        let mut command = Command::new(CHORD);
        if self == Home::All {
            command.args(["--bind", "0.0.0.0"]);
        }
        command
    }

    /// Starts a node at `addr` to join the ring of `seed`.
    pub fn start(self, addr: Addr, seed: Option<Addr>, r: usize) -> Process {
        Process::start_by(self.command(), Peer::at(addr, Bits::FULL), seed, r)
    }
}
