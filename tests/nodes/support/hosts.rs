//! A ring whose nodes live on hosts of their own, which lose packets, power and each other.
//!
//! Each host has its own view of the ring, so that there is a census for each: a node that is cut off
//! from a host is silent to it.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use chord::protocol::id::Bits;
use chord::{Id, Peer};
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use crate::support::census::{Census, Presence};
use crate::support::ideal::Ideal;
use crate::support::network::Network;
use crate::support::process::{Process, eventually};

/// A ring, or each part of a divided one, is ideal within this time.
const IDEAL_WITHIN: Duration = Duration::from_secs(10);

/// How long lookups go on in a ring that is ideal again after a cut.
const LISTEN: Duration = Duration::from_millis(500);

/// A host that is cut off for no longer than this is not taken for dead. A request to it has a timeout of 1.25 s, and
/// TCP sends it again after R, 3R, 7R. R, which TCP chooses,
/// is 0.2 s or more: the last of these times within 1.25 s is never before 0.42 s.
const MOMENT: Duration = Duration::from_millis(400);

/// After this time no earlier request is waiting any more: two calls of a second each.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long after the end of a cut the ring must be one: lost nodes are asked after pauses
/// that double, so that the last pause may be as long as the cut, and with its jitter a
/// quarter longer; then the ring heals.
fn met_again(since: Instant) -> Duration {
    since.elapsed().mul_f64(1.25) + IDEAL_WITHIN
}

/// A ring of one node per host, in the order of the circle.
pub struct Hosts<'a> {
    network: &'a Network,
    peers: &'a [Peer],
    /// The view that each host can have.
    views: &'a [Census],
    /// None while the power is off.
    processes: Vec<Option<Process>>,
    r: usize,
    /// The times in which the faults went beyond the rules.
    pub breaches: Vec<(Instant, Instant)>,
    began: Instant,
    log: Vec<String>,
}

impl<'a> Hosts<'a> {
    /// The nodes of `n` hosts.
    pub fn peers(n: usize, seed: u64) -> Vec<Peer> {
        let mut ids: Vec<_> = (0..n).map(|i| Id::of_key(format!("{seed} {i}").as_bytes(), Bits::FULL)).collect();
        ids.sort();
        ids.into_iter().enumerate().map(|(host, id)| Peer { id, addr: Network::address(host) }).collect()
    }

    /// Starts all nodes at once, and waits until they are a ring.
    pub fn start(network: &'a Network, peers: &'a [Peer], views: &'a [Census], r: usize) -> Hosts<'a> {
        let processes = peers.iter().map(|_| None).collect();
        let mut hosts =
            Hosts { network, peers, views, processes, r, breaches: Vec::new(), began: Instant::now(), log: Vec::new() };
        hosts.all().into_iter().for_each(|host| hosts.power(host, (host > 0).then_some(0)));
        hosts.await_ring(IDEAL_WITHIN);
        hosts
    }

    /// Starts the node of a host, to join the ring of another.
    fn power(&mut self, host: usize, through: Option<usize>) {
        let seed = through.map(Network::address);
        let process = Process::start_by(self.network.chord(host), self.peers[host], seed, self.r);
        self.processes[host] = Some(process);
    }

    /// Waits until all hosts are one ideal ring; how long that took.
    fn await_ring(&mut self, limit: Duration) -> Duration {
        let all = self.all();
        let took = self.await_rings(&[&all], limit);
        self.views.iter().for_each(|view| view.set(Some(Presence::Surely), self.peers.iter().copied()));
        took
    }

    /// Waits until each of these groups is an ideal ring; how long that took.
    fn await_rings(&mut self, groups: &[&[usize]], limit: Duration) -> Duration {
        let began = Instant::now();
        for group in groups {
            let Hosts { processes, network, r, .. } = self;
            let ideal = Ideal::of(group.iter().filter_map(|host| processes[*host].as_ref()));
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

    fn all(&self) -> Vec<usize> {
        (0..self.peers.len()).collect()
    }

    fn rest(&self, hosts: &[usize]) -> Vec<usize> {
        self.all().into_iter().filter(|host| !hosts.contains(host)).collect()
    }

    /// From now on each of these groups sees all others like this.
    fn others_are(&self, presence: Presence, groups: &[&[usize]]) {
        for group in groups {
            let others: Vec<_> = self.rest(group).into_iter().map(|host| self.peers[host]).collect();
            group.iter().for_each(|host| self.views[*host].set(Some(presence), others.iter().copied()));
        }
    }

    fn is_to_itself(&self, host: usize, presence: Presence) {
        self.views[host].set(Some(presence), [self.peers[host]]);
    }

    /// All cables lose and delay packets for some time. No node may be taken for dead: a lost packet
    /// is sent again within 0.2 s, and a verdict needs two unanswered calls of a second each.
    pub fn spoil(&mut self, time: Duration) -> Result<String, String> {
        let how = self.network.spoil()?;
        self.log(how);
        thread::sleep(time);
        let lost = self.network.lost();
        self.network.mend()?;
        let took = self.await_ring(IDEAL_WITHIN);
        Ok(format!("{how}; {lost} packets lost, ideal {took:?} later"))
    }

    /// Some hosts are cut off for moments; no node may be taken for dead for that either. (At the same time as
    /// packet loss a node may: the repetition after a cut can be lost, and the probe then
    /// waits a second for its connection.)
    ///
    /// That holds for one moment at a time: requests delayed by one must not meet the next. So two
    /// neighbours, one of which passes over the other if it takes it for dead, are not cut off within the
    /// timeout of a request. A busy machine may put the cable in late:
    /// a moment that was too long is a breach of the rules.
    pub fn flap(&mut self, time: Duration, rng: &mut ChaCha8Rng) -> Result<String, String> {
        let (began, hosts, mut ended) = (Instant::now(), self.peers.len(), BTreeMap::<usize, Instant>::new());
        let (mut moments, mut longest, breaches) = (0, Duration::ZERO, self.breaches.len());
        self.log("flapping");
        while began.elapsed() < time {
            let rested = |host| ended.get(&(host % hosts)).is_none_or(|end| end.elapsed() > PATIENCE);
            let free: Vec<_> = (0..hosts).filter(|host| (hosts - 1..=hosts + 1).all(|by| rested(host + by))).collect();
            if let Some(host) = free.choose(rng).copied() {
                let cut = Instant::now();
                // Not pulled: a cable that is put in again carries nothing for up to a second.
                self.network.connect(&[host], 1)?;
                thread::sleep(rng.random_range(Duration::from_millis(20)..Duration::from_millis(300)));
                self.network.connect(&[host], 0)?;
                ended.insert(host, Instant::now());
                moments += 1;
                longest = longest.max(cut.elapsed());
                if cut.elapsed() > MOMENT {
                    self.log(&format!("{host} was cut off for {:?}", cut.elapsed()));
                    thread::sleep(PATIENCE);
                    self.await_ring(IDEAL_WITHIN);
                    self.breaches.push((cut, Instant::now()));
                }
            }
            thread::sleep(rng.random_range(Duration::ZERO..Duration::from_millis(200)));
        }
        thread::sleep(PATIENCE);
        let took = self.await_ring(IDEAL_WITHIN);
        let breaches = self.breaches.len() - breaches;
        Ok(format!(
            "hosts cut off for {moments} moments, of which {breaches} were too long, {longest:?} at most: ideal {took:?} later"
        ))
    }

    /// The power of a host fails and comes back: its node dies unannounced, and another
    /// takes its place soon after.
    pub fn fail_power(&mut self, host: usize, rng: &mut ChaCha8Rng) -> Result<String, String> {
        let since = Instant::now();
        self.others_are(Presence::Silent(since), &[&self.rest(&[host]), &[host]]);
        self.views.iter().for_each(|view| view.set(Some(Presence::Silent(since)), [self.peers[host]]));
        self.network.pull(host)?;
        self.processes[host].take().expect("the power is on").kill();
        self.log(&format!("power off at {host}"));
        thread::sleep(rng.random_range(Duration::ZERO..Duration::from_secs(4)));
        self.network.plug(host)?;
        // Also the first, which created the ring: without a seed it would create another, and until that is joined to
        // the ring it names the few nodes that it knows, which is beyond the rules.
        self.power(host, Some((host + 1) % self.peers.len()));
        self.log(&format!("power on at {host}"));
        let took = self.await_ring(IDEAL_WITHIN);
        Ok(format!("power off and on at a host: ideal {took:?} later"))
    }

    /// The cables of three adjacent hosts are pulled for some time.
    pub fn cut(&mut self, rng: &mut ChaCha8Rng) -> Result<String, String> {
        let first = rng.random_range(0..self.peers.len());
        let cut: Vec<_> = self.all().into_iter().cycle().skip(first).take(self.r - 1).collect();
        let rest = self.rest(&cut);
        let mut groups: Vec<&[usize]> = cut.chunks(1).collect();
        groups.push(&rest);
        let since = Instant::now();
        self.others_are(Presence::Silent(since), &groups);
        // Alone, a host has lost its whole list: it may answer that it is looking for its ring.
        cut.iter().for_each(|host| self.is_to_itself(*host, Presence::Silent(since)));
        cut.iter().try_for_each(|host| self.network.pull(*host))?;
        self.log(&format!("cut {cut:?}"));
        let without = self.await_rings(&[&rest], IDEAL_WITHIN);
        self.others_are(Presence::Missed(since), &[&rest]);
        thread::sleep(LISTEN);
        self.others_are(Presence::Waking(since), &groups);
        cut.iter().for_each(|host| self.is_to_itself(*host, Presence::Waking(since)));
        cut.iter().try_for_each(|host| self.network.plug(*host))?;
        self.log("spliced");
        let took = self.await_ring(met_again(since));
        Ok(format!("{} hosts cut off: the others ideal after {without:?}, all {took:?} after the end", cut.len()))
    }

    /// The switch splits into halves, within the rules: at most two nodes of a half are adjacent, never four.
    pub fn divide(&mut self) -> Result<String, String> {
        let (left, right): (Vec<_>, Vec<_>) = self.all().into_iter().partition(|host| host / 2 % 2 == 0);
        let halves: [&[usize]; 2] = [&left, &right];
        let since = Instant::now();
        self.others_are(Presence::Silent(since), &halves);
        let torn = self.connect(&right, 1)?;
        self.log("divided");
        let apart = self.await_rings(&halves, met_again(since));
        self.breaches.extend(torn.map(|torn| (torn, Instant::now())));
        self.others_are(Presence::Missed(since), &halves);
        thread::sleep(LISTEN);
        self.others_are(Presence::Waking(since), &halves);
        let torn = self.connect(&right, 0)?;
        self.log("united");
        let took = self.await_ring(met_again(since));
        self.breaches.extend(torn.map(|torn| (torn, Instant::now())));
        Ok(format!("two halves: each ideal after {apart:?}, one ring {took:?} after the end"))
    }

    /// Connects hosts to a half of the switch. While some of them are there and others not yet, they do not reach each
    /// other: if a busy machine takes longer than a [`MOMENT`], that is a breach of the rules, and began then.
    fn connect(&mut self, hosts: &[usize], half: usize) -> Result<Option<Instant>, String> {
        let began = Instant::now();
        self.network.connect(hosts, half)?;
        let took = began.elapsed();
        if took <= MOMENT {
            return Ok(None);
        }
        self.log(&format!("{hosts:?} were torn apart for {took:?}"));
        Ok(Some(began))
    }

    fn log(&mut self, what: &str) {
        self.log.push(format!("{:8.3} s  {what}", self.began.elapsed().as_secs_f64()));
    }
}

/// A test that fails prints its log of faults.
impl Drop for Hosts<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.log.join("\n"));
        }
    }
}
