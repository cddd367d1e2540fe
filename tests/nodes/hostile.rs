//! Rings of real processes under pressure: from more connections than a node can have, from clients that do not read,
//! and from members that do not answer lookups.

mod bounds;
mod stuck;

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use chord::{Addr, Peer};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::support::alone;
use crate::support::figures::Cost;
use crate::support::ideal::{Ideal, await_ideal};
use crate::support::process::{CHORD, Process, addresses, free_addrs_at};

const SECOND: Duration = Duration::from_secs(1);

/// The length of the successor lists.
const R: usize = 4;

/// How many connections of each kind press the node, and for how long.
const IDLE: usize = 1000;
const SLOW: usize = 200;
const GARBAGE: usize = 50;
const PRESSURE: Duration = Duration::from_secs(12);

/// What the pressed node must keep to.
const SLOWEST: Duration = Duration::from_secs(2);
const MEMORY: u64 = 200 * 1024;

/// The number of files that the pressed node may have open: the usual one, and less than the number of connections.
const FILES: u32 = 1024;

/// Bytes of garbage in each write.
const BLOCK: usize = 4096;

/// Lines that the pressed node may log: some of each kind once in 10 s.
const LINES: usize = 40;

/// Counts of what the pressing connections did.
#[derive(Default)]
struct Pressed {
    done: AtomicBool,
    connected: AtomicU64,
    /// Connections that the node closed, or did not accept.
    shed: AtomicU64,
    garbage: AtomicU64,
}

impl Pressed {
    fn goes_on(&self) -> bool {
        !self.done.load(SeqCst)
    }

    fn connect(&self, to: Addr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&to.into(), SECOND)?;
        self.connected.fetch_add(1, SeqCst);
        Ok(stream)
    }

    /// Holds `n` connections, each made again when it is closed; sends `word` on each once a second.
    fn hold(&self, n: usize, to: Addr, word: &[u8]) {
        let mut held: Vec<Option<TcpStream>> = (0..n).map(|_| None).collect();
        while self.goes_on() {
            let began = Instant::now();
            for stream in &mut held {
                if !stream.as_mut().is_some_and(|stream| is_open(stream, word)) {
                    self.shed.fetch_add(stream.is_some().into(), SeqCst);
                    *stream = self.connect(to).ok().filter(|stream| stream.set_nonblocking(true).is_ok());
                }
            }
            // Not a wait for a condition: these connections send once a second.
            thread::sleep(SECOND.saturating_sub(began.elapsed()));
        }
    }

    /// Sends garbage as fast as the node reads it, on one connection after the other.
    fn garble(&self, seed: u64, to: Addr) {
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        let mut garbage = [0; BLOCK];
        while self.goes_on() {
            let Ok(mut stream) = self.connect(to) else { continue };
            // If the node reads no more, the connection is given up.
            let timely = stream.set_write_timeout(Some(SECOND));
            loop {
                random.fill_bytes(&mut garbage);
                // Every other connection begins with a valid length, so that the node reads on.
                if seed.is_multiple_of(2) {
                    garbage[..8].copy_from_slice(&(BLOCK as u64).to_be_bytes());
                }
                if timely.is_err() || !self.goes_on() || stream.write_all(&garbage).is_err() {
                    break;
                }
                self.garbage.fetch_add(garbage.len() as u64, SeqCst);
            }
            self.shed.fetch_add(1, SeqCst);
        }
    }
}

/// Whether a connection is still open after `word` was sent on it.
fn is_open(stream: &mut TcpStream, word: &[u8]) -> bool {
    let sent = word.is_empty() || stream.write_all(word).is_ok();
    // Answers to words sent in pieces do not matter here; an end does.
    let read = stream.read(&mut [0; 256]);
    sent && read.map_or_else(|error| error.kind() == ErrorKind::WouldBlock, |n| n > 0)
}

/// Such a test needs more files than the node under pressure. Other tests of this process, and the nodes that they
/// start, may then have as many: tests that need a lower limit set it themselves.
fn allow_files() {
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum.or(Some(65_536));
    setrlimit(Resource::Nofile, files).expect("the soft limit may be raised to the hard one");
}

fn limited(files: u32) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\""), CHORD]);
    command
}

/// Lookups one after the other while the pressure lasts; each must be right. Returns their number, and the slowest.
fn look_up(process: &mut Process, keys: impl Iterator<Item = (String, Peer)>, pressed: &Pressed) -> (usize, Duration) {
    let (mut lookups, mut slowest) = (0, Duration::ZERO);
    for (key, owner) in keys.take_while(|_| pressed.goes_on()) {
        let began = Instant::now();
        assert_eq!(process.lookup(&key), Ok(owner), "{key} asked of {}", process.peer);
        lookups += 1;
        slowest = slowest.max(began.elapsed());
    }
    (lookups, slowest)
}

#[test]
fn node_under_the_pressure_of_many_connections_serves_its_ring() {
    let _alone = alone();
    allow_files();
    let addrs = free_addrs_at(addresses(9));
    let mut ring: Vec<_> = addrs[1..].iter().map(|addr| Process::start(*addr, Some(addrs[0]), R)).collect();
    ring.push(Process::start_by(limited(FILES), Peer::at(addrs[0], chord::protocol::id::Bits::FULL), None, R));
    await_ideal(&mut ring, R, 10 * SECOND);
    let ideal = Ideal::of(&ring);

    // The pressed node, the one after it, and the nodes before it: their lookups of keys of the node after it pass
    // through the pressed one.
    ring.sort_by_key(|process| process.peer.id);
    let at = ring.iter().position(|process| process.peer.addr == addrs[0]).expect("it is in the ring");
    ring.rotate_left(at);
    let (victim, after) = (ring[0].peer, ring[1].peer);
    let owned = |owner: Option<Peer>| {
        let keys = (0..).map(|i| format!("key {i}")).map(|key| (ideal.owner(&key), key));
        keys.filter(move |(found, _)| owner.is_none_or(|owner| owner == *found)).map(|(owner, key)| (key, owner))
    };

    let pressed = Pressed::default();
    let before = Cost::of(&ring[0]).expect("the pressed node runs");
    let (victims, others) = ring.split_at_mut(1);
    let pid = victims[0].pid();
    let askers = others.iter_mut().rev().take(R);
    let (own, passing, most) = thread::scope(|scope| {
        scope.spawn(|| pressed.hold(IDLE, victim.addr, b""));
        scope.spawn(|| pressed.hold(SLOW, victim.addr, b"\0"));
        for seed in 0..GARBAGE as u64 {
            let pressed = &pressed;
            scope.spawn(move || pressed.garble(seed, victim.addr));
        }
        let own = scope.spawn(|| look_up(&mut victims[0], owned(None), &pressed));
        let passing: Vec<_> =
            askers.map(|asker| scope.spawn(|| look_up(asker, owned(Some(after)), &pressed))).collect();
        let began = Instant::now();
        let mut most = before;
        while began.elapsed() < PRESSURE && !own.is_finished() {
            let now = Cost::of_pid(pid).expect("the pressed node runs");
            most = Cost { memory: most.memory.max(now.memory), files: most.files.max(now.files) };
            thread::sleep(Duration::from_millis(100));
        }
        pressed.done.store(true, SeqCst);
        let own = own.join().expect("its own lookups are right");
        let passing: Vec<_> = passing.into_iter().map(|asker| asker.join().expect("those through it, too")).collect();
        (own, passing, most)
    });

    let lines = ring[0].errors().lines().count();
    println!("{IDLE} idle, {SLOW} slow and {GARBAGE} garbling connections for {PRESSURE:?}:");
    println!(
        "{} connections made, {} shed, {} MB of garbage; {lines} lines in the log",
        pressed.connected.load(SeqCst),
        pressed.shed.load(SeqCst),
        pressed.garbage.load(SeqCst) / 1_000_000
    );
    println!("its own lookups: {}, the slowest {:?}", own.0, own.1);
    for (lookups, slowest) in &passing {
        println!("through it: {lookups}, the slowest {slowest:?}");
    }
    println!("memory {} KiB, at most {} KiB; open files at most {}", before.memory, most.memory, most.files);
    assert!(pressed.connected.load(SeqCst) > (IDLE + SLOW + GARBAGE) as u64, "there was pressure");
    for (lookups, slowest) in passing.into_iter().chain([own]) {
        assert!(lookups > 20, "only {lookups} lookups");
        assert!(slowest < SLOWEST, "the slowest lookup took {slowest:?}");
    }
    assert!(most.memory < MEMORY, "{} KiB", most.memory);
    assert!(most.files < FILES as usize);
    assert!(lines <= LINES, "{lines} lines in the log:\n{}", ring[0].errors());
    await_ideal(&mut ring, R, 10 * SECOND);
}
