//! A ring whose nodes live on hosts of their own, which lose packets, power and each other.
//!
//! Each host sees the ring from where it is, so that there is a census for each: whoever is cut off
//! from a host is silent to it.

use std::thread;
use std::time::{Duration, Instant};

use chord::protocol::id::Bits;
use chord::{Id, Peer};
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use crate::census::{Census, Presence};
use crate::ideal::Ideal;
use crate::network::Network;
use crate::process::{Process, eventually};

/// A ring of one node per host.
pub struct Hosts {
    /// In the order of the hosts; none where the power is off. They end before the network.
    processes: Vec<Option<Process>>,
    pub network: Network,
    pub peers: Vec<Peer>,
    /// What each host can know.
    pub views: Vec<Census>,
    r: usize,
    began: Instant,
    log: Vec<String>,
}

impl Hosts {
    /// Nodes that all join the first at once, in the order of the circle.
    pub fn start(network: Network, n: usize, r: usize, seed: u64) -> Hosts {
        let mut ids: Vec<_> = (0..n).map(|i| Id::of_key(format!("{seed} {i}").as_bytes(), Bits::FULL)).collect();
        ids.sort();
        let peer = |(host, id): (usize, Id)| Peer { id, addr: Network::address(host) };
        let mut hosts = Hosts {
            processes: (0..n).map(|_| None).collect(),
            network,
            peers: ids.into_iter().enumerate().map(peer).collect(),
            views: (0..n).map(|_| Census::new()).collect(),
            r,
            began: Instant::now(),
            log: Vec::new(),
        };
        (0..n).for_each(|host| hosts.power(host));
        hosts
    }

    /// Starts the node of a host, to join the first; the first finds its ring by itself.
    fn power(&mut self, host: usize) {
        let seed = (host > 0).then(|| Network::address(0));
        let process = Process::start_by(self.network.chord(host), self.peers[host], seed, self.r);
        self.processes[host] = Some(process);
    }

    /// Waits until each of these groups is an ideal ring; how long that took.
    pub fn await_rings(&mut self, groups: &[&[usize]], limit: Duration) -> Duration {
        let began = Instant::now();
        for group in groups {
            let Hosts { processes, network, r, .. } = self;
            let members = group.iter().filter_map(|host| processes[*host].as_ref());
            let ideal = Ideal::of(members);
            eventually(limit.saturating_sub(began.elapsed()), || {
                group.iter().try_for_each(|host| {
                    let process = processes[*host].as_mut().expect("the power is on");
                    assert!(process.runs(), "{:?} has ended by itself", process.peer);
                    network.within(*host, || ideal.check(process, *r))
                })
            });
        }
        self.log(&format!("ideal after {:?}", began.elapsed()));
        began.elapsed()
    }

    /// All hosts, in the order of the circle.
    pub fn all(&self) -> Vec<usize> {
        (0..self.peers.len()).collect()
    }

    /// All is well, and known to be.
    pub fn settled(&self) {
        self.views.iter().for_each(|view| view.set(Some(Presence::Surely), self.peers.iter().copied()));
    }

    /// To `group`, all others are this from now on.
    pub fn others_are(&self, group: &[usize], presence: Presence) {
        let others: Vec<_> = self.all().into_iter().filter(|host| !group.contains(host)).collect();
        for host in group {
            self.views[*host].set(Some(presence), others.iter().map(|other| self.peers[*other]));
        }
    }

    /// Divides the hosts into two halves that do not reach each other, within the rules: two of
    /// each half are side by side, never four.
    pub fn halves(&mut self) -> [Vec<usize>; 2] {
        let halves = self.all().into_iter().partition(|host| host / 2 % 2 == 0);
        <[Vec<usize>; 2]>::from(halves)
    }

    pub fn divide(&mut self, halves: &[Vec<usize>; 2]) -> Result<Instant, String> {
        let now = Instant::now();
        halves.iter().for_each(|half| self.others_are(half, Presence::Silent(now)));
        halves[1].iter().try_for_each(|host| self.network.connect(*host, 1))?;
        self.log("divided");
        Ok(now)
    }

    pub fn unite(&mut self, halves: &[Vec<usize>; 2], since: Instant) -> Result<(), String> {
        halves.iter().for_each(|half| self.others_are(half, Presence::Waking(since)));
        halves[1].iter().try_for_each(|host| self.network.connect(*host, 0))?;
        self.log("united");
        Ok(())
    }

    /// Pulls the cables of some hosts.
    pub fn cut(&mut self, hosts: &[usize]) -> Result<Instant, String> {
        let (now, rest) = (Instant::now(), self.rest(hosts));
        self.others_are(&rest, Presence::Silent(now));
        hosts.iter().for_each(|host| self.others_are(&[*host], Presence::Silent(now)));
        hosts.iter().try_for_each(|host| self.network.pull(*host))?;
        self.log(&format!("cut {hosts:?}"));
        Ok(now)
    }

    /// Puts them in again.
    pub fn splice(&mut self, hosts: &[usize], since: Instant) -> Result<(), String> {
        let rest = self.rest(hosts);
        self.others_are(&rest, Presence::Waking(since));
        hosts.iter().for_each(|host| self.others_are(&[*host], Presence::Waking(since)));
        hosts.iter().try_for_each(|host| self.network.plug(*host))?;
        self.log(&format!("spliced {hosts:?}"));
        Ok(())
    }

    pub fn rest(&self, hosts: &[usize]) -> Vec<usize> {
        self.all().into_iter().filter(|host| !hosts.contains(host)).collect()
    }

    /// The power of a host fails and comes back: its node dies without a word to anyone, and is
    /// another one soon after.
    pub fn fail_power(&mut self, host: usize, off: Duration) -> Result<(), String> {
        let since = self.cut(&[host])?;
        self.views[host].set(Some(Presence::Perhaps), [self.peers[host]]);
        self.processes[host].take().expect("the power is on").kill();
        self.log(&format!("power off at {host}"));
        thread::sleep(off);
        self.splice(&[host], since)?;
        self.power(host);
        Ok(())
    }

    /// For some time, random cables are pulled for moments that are too short to be missed.
    pub fn flap(&mut self, time: Duration, rng: &mut ChaCha8Rng) -> Result<usize, String> {
        let (began, all, mut flaps) = (Instant::now(), self.all(), 0);
        while began.elapsed() < time {
            let host = *all.choose(rng).expect("there are hosts");
            self.network.pull(host)?;
            thread::sleep(rng.random_range(Duration::from_millis(20)..Duration::from_millis(300)));
            self.network.plug(host)?;
            thread::sleep(rng.random_range(Duration::ZERO..Duration::from_millis(200)));
            flaps += 1;
        }
        Ok(flaps)
    }

    fn log(&mut self, what: &str) {
        self.log.push(format!("{:8.3} s  {what}", self.began.elapsed().as_secs_f64()));
    }
}

/// A test that fails tells what was done.
impl Drop for Hosts {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.log.join("\n"));
        }
    }
}
