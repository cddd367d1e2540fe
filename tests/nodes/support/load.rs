//! An open load: lookups at random times, put to nodes on kept connections, many in flight on each.
//!
//! Clients that wait for answers ask less when nodes are slow, and so hide that; this load goes on asking.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use chord::protocol::rpc::{Code, Request, Response};
use chord::wire::{Frame, FrameCodec, Question};
use chord::{Id, Peer};
use futures::future::join_all;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::codec::{Decoder, Encoder};

/// How often lookups that are due are sent: those of two milliseconds are no burst.
const TICK: Duration = Duration::from_millis(2);

/// The deadline of a lookup, as its request says, and how much longer the client waits.
const DEADLINE: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(1);

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_millis(500);

/// A lookup that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The node that was asked.
    pub of: Peer,
    pub key: Id,
    pub asked: Instant,
    pub ended: Instant,
    pub owner: Result<Peer, Failure>,
}

/// Why there is no owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    Refused(&'static str),
    /// No answer came in time.
    Silent,
    /// The connection broke, or could not be made.
    Broken,
    /// The answer is invalid.
    Nonsense,
}

fn refused(code: Code) -> Failure {
    Failure::Refused(match code {
        Code::NotJoined => "not a member",
        Code::Retry => "retry",
        Code::Busy => "busy",
        Code::Timeout => "timeout",
        Code::NoRoute => "no route",
        Code::NotHere => "not here",
        _ => "other",
    })
}

/// Puts `rate` lookups a second to these nodes, all together, until `done`; `tell` is called for each lookup that ends.
/// `key` makes keys of random ones. Runs on this thread.
pub fn run(of: &[Peer], rate: f64, done: &AtomicBool, key: impl Fn(Id) -> Id, tell: impl Fn(Ended)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let each = rate / of.len() as f64;
    let lines = of.iter().enumerate().map(|(seed, of)| Line::new(*of, seed as u64).run(each, done, &key, &tell));
    runtime.block_on(join_all(lines));
}

/// Ends a load when it is dropped, also by a panic.
pub struct Ends<'a>(pub &'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// A connection to a node, and the requests that are open there.
struct Line {
    of: Peer,
    rng: ChaCha8Rng,
    last: u64,
    open: BTreeMap<u64, (Id, Instant)>,
    out: BytesMut,
    read: BytesMut,
    /// Keeps the state of a frame that has arrived in part.
    codec: FrameCodec,
}

impl Line {
    fn new(of: Peer, seed: u64) -> Line {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Line {
            of,
            rng,
            last: 0,
            open: BTreeMap::new(),
            out: BytesMut::new(),
            read: BytesMut::new(),
            codec: FrameCodec::default(),
        }
    }

    async fn run(mut self, rate: f64, done: &AtomicBool, key: impl Fn(Id) -> Id, tell: impl Fn(Ended)) {
        let mut due = Instant::now() + self.gap(rate);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !done.load(SeqCst) {
            let connecting = timeout(CONNECT, TcpStream::connect(self.of.addr.socket())).await;
            let stream = connecting.ok().and_then(Result::ok);
            while !done.load(SeqCst) {
                let mut asks = Vec::new();
                while due <= Instant::now() {
                    due += self.gap(rate);
                    asks.push(key(Id::from_bytes(self.rng.random())));
                }
                asks.into_iter().for_each(|key| self.ask(key));
                self.give_up(&tell, |asked| asked.elapsed() > DEADLINE + GRACE, Failure::Silent);
                let Some(stream) = &stream else { break };
                let interest =
                    if self.out.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
                let moved = tokio::select! {
                    ready = stream.ready(interest) => ready.and_then(|_| self.go_on(stream, &tell)),
                    _ = tick.tick() => Ok(()),
                };
                if moved.is_err() {
                    break;
                }
            }
            if !done.load(SeqCst) {
                self.give_up(&tell, |_| true, Failure::Broken);
                self.out.clear();
                self.read.clear();
                self.codec = FrameCodec::default();
                tick.tick().await;
            }
        }
    }

    fn gap(&mut self, rate: f64) -> Duration {
        Duration::from_secs_f64(-(1.0 - self.rng.random::<f64>()).ln() / rate)
    }

    fn ask(&mut self, key: Id) {
        let request = Request::FindSuccessor { key, hops: 0, want_path: false };
        self.last += 1;
        let question = Question { call_id: Some(self.last), deadline: Some(DEADLINE), ..Question::plain(request) };
        self.codec.encode(Frame::Call(question), &mut self.out).expect("a call that fits");
        self.open.insert(self.last, (key, Instant::now()));
    }

    /// Writes and reads what can be written and read at once.
    fn go_on(&mut self, stream: &TcpStream, tell: &impl Fn(Ended)) -> io::Result<()> {
        let blocks = |moved: io::Result<usize>| match moved {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            moved => moved.map(Some),
        };
        if !self.out.is_empty()
            && let Some(n) = blocks(stream.try_write(&self.out))?
        {
            self.out.advance(n);
        }
        if blocks(stream.try_read_buf(&mut self.read))? == Some(0) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        while let Some(frame) = self.codec.decode(&mut self.read).map_err(io::Error::other)? {
            let Frame::Return(reply) = frame else { return Err(io::Error::other("a call")) };
            let asked = reply.call_id.and_then(|id| self.open.remove(&id));
            let Some((key, asked)) = asked else { continue };
            let request = Request::FindSuccessor { key, hops: 0, want_path: false };
            let owner = match reply.read(&request, Some(self.of.id)) {
                Ok(Ok(Response::Successor { owner, .. })) => Ok(owner),
                Ok(Err(code)) => Err(refused(code)),
                _ => Err(Failure::Nonsense),
            };
            tell(Ended { of: self.of, key, asked, ended: Instant::now(), owner });
        }
        Ok(())
    }

    /// Ends the oldest lookups for which `which` holds.
    fn give_up(&mut self, tell: &impl Fn(Ended), which: impl Fn(Instant) -> bool, why: Failure) {
        while let Some(oldest) = self.open.first_entry().filter(|oldest| which(oldest.get().1)) {
            let (key, asked) = oldest.remove();
            tell(Ended { of: self.of, key, asked, ended: Instant::now(), owner: Err(why) });
        }
    }
}
