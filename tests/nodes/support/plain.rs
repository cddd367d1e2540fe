//! A plain peer, scripted: a node of the family that takes one call per connection.
//!
//! It has its own implementation of the wire protocol, so that an error of the program can't cancel
//! itself out, and runs on threads of its own, so that it answers even while the program's thread is busy.
//! By default it is a member that maintains its ring; told to, it behaves like various broken
//! programs. It also is the strictest of peers: see [`Plain::complaints`].

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use chord::{Addr, Id, Peer};
use sha1::{Digest, Sha1};

/// Where scripted peers live: not at the address of the nodes under test.
pub const HOME: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Field numbers from here on are extensions, which no plain peer knows.
const FIRST_EXTENSION: u64 = 15;

/// How long a plain peer waits for an answer; those of the family wait for ever.
const PATIENCE: Duration = Duration::from_secs(4);

/// How often a waiting thread checks whether it has to end.
const TICK: Duration = Duration::from_millis(20);

// ---- The wire ----

/// The length, which counts itself, and the payload.
pub fn frame(payload: &[u8]) -> Vec<u8> {
    lying_frame(8 + payload.len() as u64, payload)
}

/// A frame whose length field says `length`, whatever the length of the payload.
pub fn lying_frame(length: u64, payload: &[u8]) -> Vec<u8> {
    [&length.to_be_bytes()[..], payload].concat()
}

/// The payload of the first frame, if it is whole, and what follows it.
fn split_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u64::from_be_bytes(bytes.get(..8)?.try_into().ok()?);
    let length = usize::try_from(length).ok().filter(|length| *length >= 8)?;
    Some((bytes.get(8..length)?, &bytes[length..]))
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

/// A protobuf message under construction.
#[derive(Clone, Default)]
pub struct Message(Vec<u8>);

impl Message {
    pub fn number(mut self, field: u64, value: u64) -> Message {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    pub fn bytes(mut self, field: u64, value: &[u8]) -> Message {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    pub fn done(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// The fields of a message in their order; `None` if it is none.
pub fn fields(mut message: &[u8]) -> Option<Vec<(u64, Field)>> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let value = match key & 7 {
            0 => Field::Number(varint(&mut message)?),
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let (value, rest) = message.split_at_checked(length)?;
                message = rest;
                Field::Bytes(value.to_vec())
            }
            _ => return None,
        };
        fields.push((key >> 3, value));
    }
    Some(fields)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn bytes_of(fields: &[(u64, Field)], number: u64) -> Option<&[u8]> {
    fields.iter().find_map(|(field, value)| match value {
        Field::Bytes(bytes) if *field == number => Some(&bytes[..]),
        _ => None,
    })
}

fn number_of(fields: &[(u64, Field)], number: u64) -> Option<u64> {
    fields.iter().find_map(|(field, value)| match value {
        Field::Number(value) if *field == number => Some(*value),
        _ => None,
    })
}

fn extensions(fields: &[(u64, Field)]) -> Vec<u64> {
    fields.iter().map(|(field, _)| *field).filter(|field| *field >= FIRST_EXTENSION).collect()
}

/// A `Node`.
pub fn node(peer: Peer) -> Vec<u8> {
    Message::default()
        .bytes(1, peer.id.as_bytes())
        .bytes(2, peer.addr.ip().to_string().as_bytes())
        .number(3, peer.addr.port().into())
        .done()
}

/// How some peers write that there is no node: 20 zero bytes, no address, port 0.
pub fn zero_node() -> Vec<u8> {
    Message::default().bytes(1, &[0; 20]).bytes(2, b"").number(3, 0).done()
}

fn read_node(message: &[u8]) -> Option<Peer> {
    let fields = fields(message)?;
    let id = Id::from_bytes(bytes_of(&fields, 1)?.try_into().ok()?);
    let ip: IpAddr = std::str::from_utf8(bytes_of(&fields, 2)?).ok()?.parse().ok()?;
    let port = u16::try_from(number_of(&fields, 3)?).ok()?;
    Some(Peer { id, addr: Addr::new(ip, port) })
}

/// The identifier of a key, or of a node's `address:port`.
pub fn sha1(text: &[u8]) -> Id {
    Id::from_bytes(Sha1::digest(text).into())
}

/// The arguments of `find_successor`.
pub fn key(id: Id) -> Vec<u8> {
    Message::default().bytes(1, id.as_bytes()).done()
}

/// The arguments of `notify`.
pub fn notifier(peer: Peer) -> Vec<u8> {
    Message::default().bytes(1, &node(peer)).done()
}

/// A frame with a call.
pub fn call(name: &str, args: &[u8]) -> Vec<u8> {
    frame(&Message::default().bytes(1, name.as_bytes()).bytes(2, args).done())
}

/// A frame with an answer.
pub fn answer(value: Option<&[u8]>) -> Vec<u8> {
    let success = Message::default().number(1, 1);
    frame(&value.map_or(success.clone(), |value| success.bytes(2, value)).done())
}

/// A frame with the answer that there is none.
pub fn refusal() -> Vec<u8> {
    frame(&Message::default().number(1, 0).done())
}

/// A received call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub name: String,
    pub args: Vec<u8>,
    /// The extension fields of the call and of its arguments.
    pub extensions: Vec<u64>,
}

impl Call {
    fn read(payload: &[u8]) -> Option<Call> {
        let call = fields(payload)?;
        let args = bytes_of(&call, 2)?.to_vec();
        let inner = fields(&args)?;
        Some(Call {
            name: String::from_utf8(bytes_of(&call, 1)?.to_vec()).ok()?,
            args,
            extensions: [extensions(&call), extensions(&inner)].concat(),
        })
    }
}

/// A received reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Return {
    pub success: bool,
    pub value: Option<Vec<u8>>,
    /// The extension fields of the reply and of its value.
    pub extensions: Vec<u64>,
}

impl Return {
    fn read(payload: &[u8]) -> Option<Return> {
        let reply = fields(payload)?;
        let value = bytes_of(&reply, 2).map(<[u8]>::to_vec);
        let inner = fields(value.as_deref().unwrap_or_default())?;
        Some(Return {
            success: number_of(&reply, 1)? == 1,
            value,
            extensions: [extensions(&reply), extensions(&inner)].concat(),
        })
    }

    /// The nodes that the reply names, in their order.
    pub fn nodes(&self) -> Vec<Peer> {
        let fields = fields(self.value.as_deref().unwrap_or_default()).expect("was read before");
        let nodes = fields.iter().filter(|(field, _)| *field == 1).map(|(_, node)| match node {
            Field::Bytes(node) => read_node(node).expect("a node"),
            Field::Number(number) => panic!("{number} instead of a node"),
        });
        nodes.collect()
    }

    /// The one node that the reply names.
    pub fn node(&self) -> Peer {
        let nodes = self.nodes();
        assert_eq!(nodes.len(), 1, "{self:?}");
        nodes[0]
    }
}

/// A caller's end of one connection, for scripts that break the protocol on purpose.
pub struct Caller(tokio::net::TcpStream);

impl Caller {
    pub async fn connect(to: Addr) -> Caller {
        Caller(tokio::net::TcpStream::connect(to.socket()).await.unwrap())
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        use tokio::io::AsyncWriteExt;
        self.0.write_all(bytes).await.unwrap();
    }

    /// Closes the sending half.
    pub async fn close_half(&mut self) {
        use tokio::io::AsyncWriteExt;
        self.0.shutdown().await.unwrap();
    }

    /// The payload of the next frame; `None` when the connection was closed instead.
    pub async fn payload(&mut self) -> Option<Vec<u8>> {
        use tokio::io::AsyncReadExt;
        let read = async {
            let length = self.0.read_u64().await.ok()?;
            assert!((8..100_000).contains(&length), "a frame of {length} bytes");
            let mut payload = vec![0; length as usize - 8];
            self.0.read_exact(&mut payload).await.ok()?;
            Some(payload)
        };
        tokio::time::timeout(PATIENCE, read).await.expect("an answer, or an end of the connection")
    }

    /// The next reply.
    pub async fn reply(&mut self) -> Return {
        let payload = self.payload().await.expect("a reply before the connection is closed");
        Return::read(&payload).expect("a reply")
    }

    /// Asks, and waits for the reply.
    pub async fn ask(&mut self, name: &str, args: &[u8]) -> Return {
        self.send(&call(name, args)).await;
        self.reply().await
    }

    /// How long it takes the other end to close the connection, without sending anything.
    pub async fn until_closed(&mut self, limit: Duration) -> Duration {
        use tokio::io::AsyncReadExt;
        let begin = Instant::now();
        match tokio::time::timeout(limit, self.0.read(&mut [0; 1])).await {
            Ok(Ok(0) | Err(_)) => begin.elapsed(),
            Ok(Ok(_)) => panic!("more came"),
            Err(_) => panic!("not closed within {limit:?}"),
        }
    }
}

/// One call on a connection of its own.
pub async fn ask(to: Addr, name: &str, args: &[u8]) -> Return {
    Caller::connect(to).await.ask(name, args).await
}

/// The same for threads; an error says how the call was left unanswered.
fn ask_blocking(to: Addr, name: &str, args: &[u8]) -> Result<Return, Unanswered> {
    let gone = |_| Unanswered::Gone;
    let mut stream = TcpStream::connect_timeout(&to.into(), PATIENCE).map_err(gone)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(gone)?;
    stream.write_all(&call(name, args)).map_err(|_| Unanswered::Closed)?;
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return Err(Unanswered::Closed),
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
            Err(_) => return Err(Unanswered::Silent),
        }
        if let Some((payload, _)) = split_frame(&bytes) {
            return Return::read(payload).ok_or(Unanswered::Nonsense);
        }
    }
}

/// How a call was left unanswered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unanswered {
    /// No program listens there, which is no fault of a peer.
    Gone,
    Closed,
    Silent,
    Nonsense,
}

// ---- The peer ----

/// How a successor list is written, and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `[s1 … sr]`, and the reader puts the responder in front.
    Others,
    /// `[itself, s1, …]`, and the reader copies it wholesale.
    ItselfFirst,
}

/// How a peer says that it has no predecessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nobody {
    Itself,
    MissingValue,
    MissingNode,
    ZeroNode,
}

impl Nobody {
    pub const ALL: [Nobody; 4] = [Nobody::Itself, Nobody::MissingValue, Nobody::MissingNode, Nobody::ZeroNode];
}

/// How a peer treats a call.
#[derive(Clone, Debug)]
pub enum Manner {
    /// Answers it like a member.
    Well,
    /// Closes the connection without reading.
    ClosesAtOnce,
    /// Reads the call and closes the connection.
    ClosesOnTheCall,
    /// Reads the call and keeps the connection open, without an answer. A peer that does so in all
    /// calls hangs: it makes no calls either.
    Stalls,
    /// Answers like a member, in single bytes.
    InSingleBytes,
    /// Answers like a member, this much later.
    After(Duration),
    /// First makes the three calls that read a node's state to this node, then answers.
    CallsBackFirst(Addr),
    /// Answers with these bytes instead.
    Says(Vec<u8>),
}

impl Manner {
    /// A frame around bytes that are not a message.
    pub fn garbles() -> Manner {
        Manner::Says(frame(&[0xff; 24]))
    }

    /// A valid reply around a value that is not a message.
    pub fn garbles_the_value() -> Manner {
        Manner::Says(answer(Some(&[0xff; 24])))
    }

    /// A frame of an impossible length.
    pub fn lies(length: u64) -> Manner {
        Manner::Says(lying_frame(length, &[8, 1]))
    }

    /// A frame that is cut short, and the end of the connection.
    pub fn breaks_off() -> Manner {
        Manner::Says(lying_frame(50, &[8, 1]))
    }

    pub fn refuses() -> Manner {
        Manner::Says(refusal())
    }
}

/// The settings of a peer.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub dialect: Dialect,
    pub nobody: Nobody,
    /// None: SHA-1 of `address:port`.
    pub id: Option<Id>,
    /// The length of its successor list.
    pub r: usize,
    /// Whether it serves one connection at a time, so that a silent one blocks it for ever.
    pub one_at_a_time: bool,
    /// Whether it serves while it waits for an answer. A peer that does not is a single-threaded program: it does one
    /// thing at a time, and calls that come meanwhile wait.
    pub serves_while_asking: bool,
    /// Whether it notifies the head of the list that it has just copied, not the node that sent the list.
    pub notifies_head: bool,
    /// Whether a joiner knows its successor alone until its first round, a period later.
    pub waits_first: bool,
    /// Whether it compares identifiers as plain numbers: the one with the highest names its own successor for all keys.
    pub never_wraps: bool,
    /// The pause between two rounds of maintenance.
    pub period: Duration,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            dialect: Dialect::Others,
            nobody: Nobody::Itself,
            id: None,
            r: 4,
            one_at_a_time: false,
            serves_while_asking: true,
            notifies_head: false,
            waits_first: false,
            never_wraps: false,
            period: 2 * TICK,
        }
    }
}

/// A connection that was made to the peer.
#[derive(Clone, Debug)]
pub struct Connection {
    pub since: Instant,
    /// All bytes received.
    pub bytes: Vec<u8>,
    /// Whether the first read returned a whole frame.
    pub whole: bool,
    /// When the first bytes came.
    pub spoke: Option<Instant>,
    /// When the call was answered, if it was.
    pub answered: Option<Instant>,
    /// When it ended, if it has.
    pub ended: Option<Instant>,
    /// Whether the peer read from it at all.
    read: bool,
    /// Whether the peer answered like a member.
    civil: bool,
}

impl Connection {
    /// The call, once it is there.
    pub fn call(&self) -> Option<Call> {
        Call::read(split_frame(&self.bytes)?.0)
    }

    /// The bytes after the call.
    pub fn rest(&self) -> &[u8] {
        split_frame(&self.bytes).map_or(&[], |(_, rest)| rest)
    }
}

/// A running peer. It dies when it is dropped.
pub struct Plain {
    inner: Arc<Inner>,
}

struct Inner {
    me: Peer,
    setup: Setup,
    dead: AtomicBool,
    state: Mutex<State>,
    manners: Mutex<Vec<(Option<&'static str>, Manner)>>,
    connections: Mutex<Vec<Connection>>,
    complaints: Mutex<Vec<String>>,
    /// Locked during each piece of work, if it does one thing at a time.
    thread: Mutex<()>,
}

struct State {
    /// In the form of its dialect: padded with the peer itself, never empty.
    successors: Vec<Peer>,
    predecessor: Option<Peer>,
    /// Whether notifications change its state.
    takes_notice: bool,
}

impl Plain {
    /// A ring of one that answers requests and starts none.
    pub fn start(setup: Setup) -> Plain {
        Plain::listen(setup, TcpListener::bind((HOME, 0)).unwrap())
    }

    /// Kills this peer and restarts it at its address: it knows no other node.
    pub fn starts_again(self) -> Plain {
        self.dies();
        loop {
            if let Ok(listener) = TcpListener::bind(self.me().addr) {
                return Plain::listen(Setup { id: Some(self.me().id), ..self.inner.setup }, listener);
            }
            thread::sleep(TICK);
        }
    }

    fn listen(setup: Setup, listener: TcpListener) -> Plain {
        let addr = Addr::from(listener.local_addr().unwrap());
        let me = Peer { id: setup.id.unwrap_or_else(|| sha1(addr.to_string().as_bytes())), addr };
        let inner = Arc::new(Inner {
            me,
            setup,
            dead: AtomicBool::new(false),
            state: Mutex::new(State { successors: vec![me; setup.r], predecessor: None, takes_notice: true }),
            manners: Mutex::default(),
            connections: Mutex::default(),
            complaints: Mutex::default(),
            thread: Mutex::default(),
        });
        let listening = inner.clone();
        thread::spawn(move || listening.listen(listener));
        Plain { inner }
    }

    /// A ring of one with maintenance from now on.
    pub fn alive(setup: Setup) -> Plain {
        let plain = Plain::start(setup);
        plain.lives();
        plain
    }

    pub fn me(&self) -> Peer {
        self.inner.me
    }

    /// Maintains its ring from now on.
    pub fn lives(&self) {
        let inner = self.inner.clone();
        thread::spawn(move || inner.live());
    }

    /// Joins the ring of `seed`, with as many attempts as it takes, and maintains it from then on.
    pub fn joins(&self, seed: Addr) {
        let inner = self.inner.clone();
        thread::spawn(move || {
            while !inner.is_dead() && inner.join(seed).is_none() {
                thread::sleep(TICK);
            }
            if inner.setup.waits_first {
                inner.pause();
            }
            inner.live();
        });
    }

    /// Behaves in this manner in all calls, from now on.
    pub fn behaves(&self, manner: Manner) {
        *lock(&self.inner.manners) = vec![(None, manner)];
    }

    /// Behaves in this manner in calls of this name, from now on.
    pub fn behaves_in(&self, name: &'static str, manner: Manner) {
        lock(&self.inner.manners).insert(0, (Some(name), manner));
    }

    /// Stops listening and all other work.
    pub fn dies(&self) {
        if !self.inner.dead.swap(true, Ordering::SeqCst) {
            // Wakes the thread that waits in accept.
            let _ = TcpStream::connect(self.me().addr);
        }
    }

    /// Takes these for its neighbours, and ignores notifications.
    pub fn believes(&self, successors: &[Peer], predecessor: Option<Peer>) {
        let padded = successors.iter().copied().chain(std::iter::repeat(self.me())).take(self.inner.setup.r);
        *lock(&self.inner.state) = State { successors: padded.collect(), predecessor, takes_notice: false };
    }

    pub fn successors(&self) -> Vec<Peer> {
        lock(&self.inner.state).successors.clone()
    }

    pub fn predecessor(&self) -> Option<Peer> {
        lock(&self.inner.state).predecessor
    }

    /// The owner of a key as this peer finds it.
    pub async fn lookup(&self, key: Id) -> Option<Peer> {
        let inner = self.inner.clone();
        let lookup = move || {
            let _turn = inner.turn();
            inner.find_successor(key)
        };
        tokio::task::spawn_blocking(lookup).await.unwrap()
    }

    /// The owner of a key as another node names it, asked as if in a round of this peer.
    pub async fn asks(&self, to: Addr, id: Id) -> Option<Peer> {
        let inner = self.inner.clone();
        let question = move || {
            let _turn = inner.turn();
            Some(inner.ask(to, "find_successor", &key(id))?.node())
        };
        tokio::task::spawn_blocking(question).await.unwrap()
    }

    pub fn connections(&self) -> Vec<Connection> {
        lock(&self.inner.connections).clone()
    }

    /// The connections that are still open.
    pub fn open(&self) -> usize {
        self.connections().iter().filter(|connection| connection.ended.is_none()).count()
    }

    /// All received calls of this name.
    pub fn calls(&self, name: &str) -> Vec<Call> {
        let calls = self.connections();
        calls.iter().filter_map(Connection::call).filter(|call| call.name == name).collect()
    }

    /// The number of received calls of this name.
    pub fn count(&self, name: &str) -> usize {
        self.calls(name).len()
    }

    /// Everything that would have crashed or hung some peer of the family: connections without exactly one
    /// call, pieces of frames, unknown names, missing arguments; calls of its own
    /// that were left unanswered, or answered with too little.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = lock(&self.inner.complaints).clone();
        complaints.extend(self.connections().iter().filter_map(complaint));
        complaints
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.dies();
    }
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (successors, predecessor) = (self.successors(), self.predecessor());
        f.debug_struct("Plain")
            .field("me", &self.me())
            .field("successors", &successors)
            .field("predecessor", &predecessor)
            .finish()
    }
}

/// The fault of a connection, if it has one.
fn complaint(connection: &Connection) -> Option<String> {
    const NAMES: [&str; 5] = ["find_successor", "notify", "check_predecessor", "get_predecessor", "get_successor_list"];
    /// A caller writes at once; this much may be the scheduler's doing.
    const AT_ONCE: Duration = Duration::from_secs(1);

    if !connection.read {
        return None;
    }
    let Some(spoke) = connection.spoke else {
        let silent = connection.ended.is_some() || connection.since.elapsed() > AT_ONCE;
        return silent.then(|| "a connection without a call".into());
    };
    if spoke - connection.since > AT_ONCE {
        return Some(format!("a connection that was silent for {:?}", spoke - connection.since));
    }
    if !connection.whole {
        return Some("a frame in pieces".into());
    }
    // Another test checks what a node sends after an invalid answer.
    if connection.civil && !connection.rest().is_empty() {
        return Some(format!("more than one call: {:02x?} after {:?}", connection.rest(), connection.call()));
    }
    match connection.call() {
        None => Some(format!("no call, or one without arguments: {:02x?}", connection.bytes)),
        Some(call) if !NAMES.contains(&&call.name[..]) => Some(format!("an unknown call: {:?}", call.name)),
        Some(_) => None,
    }
}

impl Inner {
    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Waits until no other work is being done, if it does one thing at a time.
    fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        (!self.setup.serves_while_asking).then(|| lock(&self.thread))
    }

    fn manner(&self, name: Option<&str>) -> Manner {
        let manners = lock(&self.manners);
        let fitting = manners.iter().find(|(only, _)| only.is_none() || *only == name);
        fitting.map_or(Manner::Well, |(_, manner)| manner.clone())
    }

    // ---- As a server ----

    fn listen(self: Arc<Inner>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept() {
            if self.is_dead() {
                return;
            }
            let connection = Connection {
                since: Instant::now(),
                bytes: Vec::new(),
                whole: false,
                spoke: None,
                answered: None,
                ended: None,
                read: self.setup.serves_while_asking,
                civil: true,
            };
            let number = {
                let mut connections = lock(&self.connections);
                connections.push(connection);
                connections.len() - 1
            };
            let inner = self.clone();
            let serve = move || {
                // An error means that the caller has gone, which is its right.
                let _ = inner.serve(stream, number);
                inner.note(number, |connection| connection.ended = Some(Instant::now()));
            };
            if self.setup.one_at_a_time {
                serve();
            } else {
                thread::spawn(serve);
            }
        }
    }

    fn note(&self, number: usize, note: impl FnOnce(&mut Connection)) {
        note(&mut lock(&self.connections)[number]);
    }

    /// Noted before the answer is written: the caller may act on it before this thread goes on.
    fn answers(&self, number: usize) {
        self.note(number, |connection| connection.answered = Some(Instant::now()));
    }

    fn serve(&self, mut stream: TcpStream, number: usize) -> io::Result<()> {
        if let Manner::ClosesAtOnce = self.manner(None) {
            self.note(number, |connection| connection.read = false);
            return Ok(());
        }
        stream.set_read_timeout(Some(TICK))?;
        stream.set_nodelay(true)?;
        let turn = self.turn();
        if turn.is_some() {
            // Before, no thread could read it.
            self.note(number, |connection| (connection.read, connection.since) = (true, Instant::now()));
        }
        let Some(call) = self.read_call(&mut stream, number)? else { return Ok(()) };
        match self.manner(Some(&call.name)) {
            Manner::Well => {
                self.answers(number);
                stream.write_all(&self.answer(&call))?;
            }
            Manner::ClosesAtOnce | Manner::ClosesOnTheCall => return Ok(()),
            Manner::Stalls => {
                while self.read_more(&mut stream, number)? {}
                return Ok(());
            }
            Manner::InSingleBytes => {
                self.answers(number);
                for byte in self.answer(&call) {
                    stream.write_all(&[byte])?;
                    thread::sleep(Duration::from_micros(200));
                }
            }
            Manner::After(pause) => {
                thread::sleep(pause);
                self.answers(number);
                stream.write_all(&self.answer(&call))?;
            }
            Manner::CallsBackFirst(caller) => {
                self.call_back(caller);
                self.answers(number);
                stream.write_all(&self.answer(&call))?;
            }
            Manner::Says(bytes) => {
                self.note(number, |connection| connection.civil = false);
                self.answers(number);
                stream.write_all(&bytes)?;
            }
        }
        drop(turn);
        if self.setup.one_at_a_time {
            return Ok(());
        }
        stream.shutdown(Shutdown::Write)?;
        // No more bytes should come, but any that do are noted.
        while self.read_more(&mut stream, number)? {}
        Ok(())
    }

    /// Reads the call; `None` if no whole one came.
    fn read_call(&self, stream: &mut TcpStream, number: usize) -> io::Result<Option<Call>> {
        while self.read_more(stream, number)? {
            let connection = lock(&self.connections)[number].clone();
            if split_frame(&connection.bytes).is_some() {
                return Ok(connection.call());
            }
        }
        Ok(None)
    }

    /// Notes the next bytes; false at the end.
    fn read_more(&self, stream: &mut TcpStream, number: usize) -> io::Result<bool> {
        let mut chunk = [0; 4096];
        while !self.is_dead() {
            match stream.read(&mut chunk) {
                Ok(0) => return Ok(false),
                Ok(n) => {
                    self.note(number, |connection| {
                        connection.bytes.extend_from_slice(&chunk[..n]);
                        if connection.spoke.is_none() {
                            connection.spoke = Some(Instant::now());
                            connection.whole = split_frame(&connection.bytes).is_some();
                        }
                    });
                    return Ok(true);
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn call_back(&self, caller: Addr) {
        let ping = self.ask(caller, "check_predecessor", &[]);
        let list = self.ask(caller, "get_successor_list", &[]);
        let predecessor = self.ask(caller, "get_predecessor", &[]);
        if ping.and(list).and(predecessor).is_none() {
            self.complain("a call to a node that was calling was not answered".into());
        }
    }

    /// The frame with a member's answer.
    fn answer(&self, call: &Call) -> Vec<u8> {
        let Setup { dialect, nobody, r, .. } = self.setup;
        let value = match &call.name[..] {
            "find_successor" => {
                let Some(args) = fields(&call.args) else { return refusal() };
                let Some(Ok(id)) = bytes_of(&args, 1).map(<[u8; 20]>::try_from) else { return refusal() };
                match self.find_successor(Id::from_bytes(id)) {
                    Some(owner) => Message::default().bytes(1, &node(owner)).done(),
                    None => return refusal(),
                }
            }
            "notify" => {
                let Some(args) = fields(&call.args) else { return refusal() };
                let Some(notifier) = bytes_of(&args, 1).and_then(read_node) else { return refusal() };
                self.notified(notifier);
                return answer(None);
            }
            "check_predecessor" => return answer(None),
            "get_predecessor" => match (lock(&self.state).predecessor, nobody) {
                (Some(predecessor), _) => Message::default().bytes(1, &node(predecessor)).done(),
                (None, Nobody::Itself) => Message::default().bytes(1, &node(self.me)).done(),
                (None, Nobody::MissingValue) => return answer(None),
                (None, Nobody::MissingNode) => Vec::new(),
                (None, Nobody::ZeroNode) => Message::default().bytes(1, &zero_node()).done(),
            },
            "get_successor_list" => {
                let first = (dialect == Dialect::ItselfFirst).then_some(self.me);
                let list = first.into_iter().chain(lock(&self.state).successors.clone()).take(r);
                list.fold(Message::default(), |message, peer| message.bytes(1, &node(peer))).done()
            }
            _ => return refusal(),
        };
        answer(Some(&value))
    }

    fn find_successor(&self, id: Id) -> Option<Peer> {
        let successor = lock(&self.state).successors[0];
        let wrapped = self.setup.never_wraps && successor.id < self.me.id;
        if successor == self.me || wrapped || id.in_half_open(self.me.id, successor.id) {
            return Some(successor);
        }
        let reply = self.ask(successor.addr, "find_successor", &key(id))?;
        Some(reply.node())
    }

    fn notified(&self, notifier: Peer) {
        let mut state = lock(&self.state);
        let closer = state.predecessor.is_none_or(|old| notifier.id.in_open(old.id, self.me.id));
        if state.takes_notice && closer && notifier != self.me {
            state.predecessor = Some(notifier);
        }
    }

    // ---- As a client ----

    /// The answer, if peers of the family would survive it.
    fn ask(&self, to: Addr, name: &str, args: &[u8]) -> Option<Return> {
        let reply = match ask_blocking(to, name, args) {
            Ok(reply) => reply,
            Err(Unanswered::Gone) => return None,
            Err(why) => {
                if !self.is_dead() {
                    self.complain(format!("{name} was left unanswered by {to}: {why:?}"));
                }
                return None;
            }
        };
        let (nodes, least) = match name {
            "find_successor" | "get_predecessor" => (reply.nodes().len(), 1),
            "get_successor_list" => (reply.nodes().len(), self.setup.r),
            _ => (0, 0),
        };
        if reply.success && nodes != least {
            self.complain(format!("{name} was answered with {nodes} nodes by {to}"));
            return None;
        }
        reply.success.then_some(reply)
    }

    fn complain(&self, complaint: String) {
        lock(&self.complaints).push(complaint);
    }

    /// Joins like peers of the family: it believes the node that the seed names.
    fn join(&self, seed: Addr) -> Option<()> {
        let successor = self.ask(seed, "find_successor", &key(self.me.id))?.node();
        let list = if self.setup.waits_first || successor == self.me {
            vec![successor; self.setup.r]
        } else {
            self.list_from(successor)?
        };
        lock(&self.state).successors = list;
        Some(())
    }

    /// The list of a node whose first successor is this one.
    fn list_from(&self, successor: Peer) -> Option<Vec<Peer>> {
        let reply = self.ask(successor.addr, "get_successor_list", &[])?.nodes();
        let first = (self.setup.dialect == Dialect::Others).then_some(successor);
        Some(first.into_iter().chain(reply).take(self.setup.r).collect())
    }

    fn live(&self) {
        while !self.is_dead() {
            if let Manner::Stalls = self.manner(None) {
                thread::sleep(TICK);
                continue;
            }
            let turn = self.turn();
            self.stabilize();
            self.check_predecessor();
            drop(turn);
            self.pause();
        }
    }

    fn check_predecessor(&self) {
        let predecessor = lock(&self.state).predecessor;
        if let Some(old) = predecessor
            && self.ask(old.addr, "check_predecessor", &[]).is_none()
        {
            let mut state = lock(&self.state);
            if state.predecessor == Some(old) {
                state.predecessor = None;
            }
        }
    }

    fn pause(&self) {
        let begin = Instant::now();
        while begin.elapsed() < self.setup.period && !self.is_dead() {
            thread::sleep(TICK.min(self.setup.period));
        }
    }

    fn stabilize(&self) {
        let head = lock(&self.state).successors[0];
        let theirs = if head == self.me {
            lock(&self.state).predecessor
        } else {
            self.ask(head.addr, "get_predecessor", &[]).map(|reply| reply.node()).filter(|peer| *peer != head)
        };
        let closer = theirs.filter(|peer| peer.id.in_open(self.me.id, head.id));
        for candidate in closer.into_iter().chain([head]).filter(|peer| *peer != self.me) {
            if let Some(list) = self.list_from(candidate) {
                let notified = if self.setup.notifies_head { list[0] } else { candidate };
                lock(&self.state).successors = list;
                if notified != self.me {
                    self.ask(notified.addr, "notify", &notifier(self.me));
                }
                return;
            }
        }
        if head != self.me {
            let mut state = lock(&self.state);
            state.successors.remove(0);
            state.successors.push(self.me);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
