//! Real `chord` processes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use chord::protocol::id::Bits;
use chord::protocol::rpc::{Code, Request, Response};
use chord::wire::{Frame, FrameCodec, Question};
use chord::{Addr, Id, Peer};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpSocket;
use tokio_util::codec::{Decoder, Encoder};

/// How long an answer of the console may take before the test fails: longer than any timeout of
/// the program, on a busy machine.
const ANSWER: Duration = Duration::from_secs(20);

/// How many lines of its log a failing test shows.
const LAST_LINES: usize = 200;

/// The program under test.
pub const CHORD: &str = env!("CARGO_BIN_EXE_chord");

/// A running `chord`, ended when it is dropped.
pub struct Process {
    pub peer: Peer,
    child: Child,
    input: Option<ChildStdin>,
    output: Receiver<String>,
    errors: Arc<Mutex<String>>,
    /// Reads standard error to its end.
    reader: Option<JoinHandle<()>>,
}

/// The printed state of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    pub me: Peer,
    pub successors: Vec<Peer>,
    pub fingers: Vec<Peer>,
}

impl Process {
    /// Starts a node at `addr` with the periods of these tests, to join the ring of `seed`.
    pub fn start(addr: Addr, seed: Option<Addr>, r: usize) -> Process {
        let flags = flags(addr, seed, r);
        Process::with_flags(addr, &flags.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The same with an identifier that is not the hash of its address, by a command that takes the flags
    /// of `chord` after its own and becomes `chord`.
    pub fn start_by(command: Command, peer: Peer, seed: Option<Addr>, r: usize) -> Process {
        let flags = flags(peer.addr, seed, r);
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let id = peer.id.to_string();
        Process::spawn(command, peer, &[&flags[..], &["-i", &id]].concat())
    }

    /// Starts a node with these flags, which must give `addr` as its address.
    pub fn with_flags(addr: Addr, flags: &[&str]) -> Process {
        Process::with_flags_by(Command::new(CHORD), addr, flags)
    }

    /// The same, by a command that becomes `chord`.
    pub fn with_flags_by(command: Command, addr: Addr, flags: &[&str]) -> Process {
        Process::spawn(command, Peer::at(addr, Bits::FULL), flags)
    }

    /// `n` virtual nodes from `first` on, with the default periods, that join the ring of `seed`; by a
    /// command that becomes `chord`. They log each verdict of death.
    pub fn virtual_nodes(command: Command, first: Addr, n: u16, seed: Option<Addr>, r: usize) -> Process {
        let mut flags = format!("--ts 1000 --tff 1000 --tcp 1000 -r {r} -a {} -p {}", first.ip(), first.port());
        flags += &format!(" --virtual-nodes {n}");
        if let Some(seed) = seed {
            flags += &format!(" --ja {} --jp {}", seed.ip(), seed.port());
        }
        let flags: Vec<_> = flags.split(' ').collect();
        Process::spawn_logging(command, Peer::at(first, Bits::FULL), &flags, "info")
    }

    fn spawn(command: Command, peer: Peer, flags: &[&str]) -> Process {
        let level = std::env::var("RUST_LOG").unwrap_or("warn".into());
        Process::spawn_logging(command, peer, flags, &level)
    }

    fn spawn_logging(mut command: Command, peer: Peer, flags: &[&str], level: &str) -> Process {
        let mut child = command
            .args(flags)
            .env("RUST_LOG", level)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("chord starts");
        let (lines, output) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
        let errors = Arc::new(Mutex::new(String::new()));
        let (kept, stderr) = (errors.clone(), BufReader::new(child.stderr.take().unwrap()));
        let reader = thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        let input = child.stdin.take();
        Process { peer, child, input, output, errors, reader: Some(reader) }
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard error so far.
    pub fn errors(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    /// Writes to its console.
    pub fn write(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().expect("the console is open");
        if let Err(error) = input.write_all(bytes) {
            panic!("{} does not read its console: {error}; it said: {}", self.peer, self.errors());
        }
    }

    /// Closes its standard input.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// The next line that it prints.
    pub fn line(&mut self) -> String {
        match self.output.recv_timeout(ANSWER) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("{} prints nothing; errors:\n{}", self.peer, self.errors()),
            Err(RecvTimeoutError::Disconnected) => panic!("{} has ended; errors:\n{}", self.peer, self.errors()),
        }
    }

    /// The owner that it names for a key, or its error.
    pub fn lookup(&mut self, key: &str) -> Result<Peer, String> {
        self.write(format!("Lookup {key}\n").as_bytes());
        assert_eq!(self.line(), format!("< {key} {}", Id::of_key(key.as_bytes(), Bits::FULL)));
        let line = self.line();
        match line.strip_prefix("< Error: ") {
            Some(error) => Err(error.to_string()),
            None => Ok(peer(line.strip_prefix("< ").expect("answers begin with <"))),
        }
    }

    /// Its printed state.
    pub fn state(&mut self, r: usize) -> Printed {
        self.write(b"PrintState\n");
        let mut entry = |name: String| {
            let line = self.line();
            peer(line.strip_prefix(&format!("< {name} ")).unwrap_or_else(|| panic!("{name} expected: {line}")))
        };
        Printed {
            me: entry("Self".into()),
            successors: (1..=r).map(|i| entry(format!("Successor [{i}]"))).collect(),
            fingers: (1..=160).map(|i| entry(format!("Finger [{i}]"))).collect(),
        }
    }

    /// The predecessor that it names to a plain peer: itself if it has none.
    pub fn predecessor(&self) -> Result<Peer, String> {
        match ask(self.peer, &Request::GetPredecessor, ANSWER) {
            Ok(Ok(Response::Predecessor { predecessor, .. })) => Ok(predecessor.unwrap_or(self.peer)),
            other => Err(format!("{:?} does not tell its predecessor: {other:?}", self.peer)),
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(mut self) -> Addr {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
        self.peer.addr
    }

    /// Waits until it has ended and all its output has been read; its exit status.
    pub fn wait(&mut self) -> Option<i32> {
        let mut status = None;
        eventually(ANSWER, || {
            status = self.child.try_wait().expect("it can be waited for");
            if status.is_some() { Ok(()) } else { Err("still running".into()) }
        });
        if let Some(reader) = self.reader.take() {
            reader.join().expect("it reads lines");
        }
        status.and_then(|status| status.code())
    }

    /// Whether it is still running.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("it can be waited for").is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            // Of ten thousand verdicts of death the last ones are enough.
            let errors = self.errors();
            let lines: Vec<_> = errors.lines().collect();
            let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
            if !last.is_empty() {
                eprintln!("--- {} printed {} lines on standard error:\n{}", self.peer, lines.len(), last.join("\n"));
            }
        }
    }
}

/// The flags of a node at `addr` with the periods of these tests, to join the ring of `seed`.
fn flags(addr: Addr, seed: Option<Addr>, r: usize) -> Vec<String> {
    let mut flags = format!("--ts 100 --tff 20 --tcp 100 -r {r} -a {} -p {}", addr.ip(), addr.port());
    if let Some(seed) = seed {
        flags += &format!(" --ja {} --jp {}", seed.ip(), seed.port());
    }
    flags.split(' ').map(String::from).collect()
}

/// Sends one request to a node, as a plain peer does: on a connection of its own. An error means that
/// it did not answer within `limit` after connecting, or not at all.
pub fn ask(of: Peer, request: &Request, limit: Duration) -> io::Result<Result<Response, Code>> {
    put(of, Question::plain(request.clone()), request, limit)
}

/// The same with a call number, as a node of our own kind does: the answer then has more fields.
pub fn ask_numbered(of: Peer, request: &Request, limit: Duration) -> io::Result<Result<Response, Code>> {
    let question = Question {
        request: Ok(request.clone()),
        call_id: Some(1),
        deadline: Some(limit),
        ..Question::plain(request.clone())
    };
    put(of, question, request, limit)
}

fn put(of: Peer, question: Question, request: &Request, limit: Duration) -> io::Result<Result<Response, Code>> {
    let (mut codec, mut bytes) = (FrameCodec::default(), BytesMut::new());
    codec.encode(Frame::Call(question), &mut bytes).map_err(io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&of.addr.into(), limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(&bytes)?;
    bytes.clear();
    let mut buffer = [0; 1024];
    loop {
        let n = stream.read(&mut buffer)?;
        bytes.extend_from_slice(&buffer[..n]);
        match codec.decode(&mut bytes).map_err(io::Error::other)? {
            Some(Frame::Return(reply)) => return reply.read(request, Some(of.id)).map_err(io::Error::other),
            Some(Frame::Call(_)) => return Err(io::Error::other("a call")),
            None if n == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            None => {}
        }
    }
}

/// Parses a peer in the notation of the console.
fn peer(text: &str) -> Peer {
    let mut words = text.split(' ');
    let mut word = || words.next().unwrap_or_else(|| panic!("<id> <ip> <port> expected: {text}"));
    let (id, ip, port) = (word(), word(), word());
    Peer { id: id.parse().expect(text), addr: Addr::new(ip.parse::<IpAddr>().expect(text), port.parse().expect(text)) }
}

/// The ports that are given to tests: below those of outgoing connections.
const PORTS: Range<u16> = 10_000..32_000;

/// Free addresses on this machine.
pub fn free_addrs(n: usize) -> Vec<Addr> {
    free_addrs_at(std::iter::repeat_n(Ipv4Addr::LOCALHOST, n))
}

/// The first of `n` consecutive free ports on this machine.
pub fn free_range(n: u16) -> Addr {
    free_range_at(Ipv4Addr::LOCALHOST, n)
}

/// The same at another IP address. Each port is given once, until all were: a node that was started may not listen yet
/// when the next one asks for a port.
pub fn free_range_at(ip: impl Into<IpAddr>, n: u16) -> Addr {
    // Another run of the tests begins elsewhere.
    static NEXT: LazyLock<Mutex<u16>> = LazyLock::new(|| Mutex::new(rand::random_range(PORTS)));
    let ip = ip.into();
    let mut next = NEXT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let firsts = std::iter::repeat_with(|| {
        let first = if *next + n > PORTS.end { PORTS.start } else { *next };
        *next = first + n;
        first
    });
    let is_free = |first: &u16| (*first..*first + n).all(|port| hold(Addr::new(ip, port)).is_ok());
    Addr::new(ip, firsts.take(1000).find(is_free).expect("free ports"))
}

/// Takes an address if nobody listens there. It does not listen, so that others still can: a process that is begun at
/// this moment has a copy of the socket for some milliseconds.
fn hold(addr: Addr) -> io::Result<TcpSocket> {
    let socket = if addr.ip().is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr.into())?;
    Ok(socket)
}

#[test]
fn address_that_was_found_free_can_be_listened_at_though_a_copy_of_the_socket_is_left() {
    let addr = free_range(1);
    let _copy = hold(addr).unwrap();
    let _listens = TcpListener::bind(addr).unwrap();
    assert_eq!(hold(addr).unwrap_err().kind(), io::ErrorKind::AddrInUse);
}

/// The virtual nodes of a process whose first is at `first`.
pub fn nodes_from(first: Addr, n: u16) -> impl Iterator<Item = Peer> {
    (0..n).map(move |k| Peer::at(Addr::new(first.ip(), first.port() + k), Bits::FULL))
}

/// An address of this process: no other process uses it.
pub fn address(host: u8) -> Ipv4Addr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | high & 63, low, host)
}

/// The first `n` of them, for tests that are [`alone`](super::alone).
pub fn addresses(n: usize) -> impl Iterator<Item = Ipv4Addr> {
    (1..=n as u8).map(address)
}

/// A free port at each of these addresses.
pub fn free_addrs_at(ips: impl IntoIterator<Item = impl Into<IpAddr>>) -> Vec<Addr> {
    ips.into_iter().map(|ip| free_range_at(ip, 1)).collect()
}

/// Waits until the condition holds; how long that took. Fails with its last reason after `limit`.
pub fn eventually(limit: Duration, mut condition: impl FnMut() -> Result<(), String>) -> Duration {
    let began = Instant::now();
    loop {
        match condition() {
            Ok(()) => return began.elapsed(),
            Err(why) if began.elapsed() > limit => panic!("not within {limit:?}: {why}"),
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}
