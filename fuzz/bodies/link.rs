//! A whole connection, accepted or dialled, whose other end sends anything in any order. The connection ends, every
//! caller learns that, and nothing of it stays behind. Time is virtual; the stream is in memory.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context, Handler, ResponseFuture};
use arbitrary::{Result, Unstructured};
use bytes::BytesMut;
use chord::actors::{CallRefusal, Serve, Severed, Slept, Stop};
use chord::net::events::{Doubt, LinkEvent, Origin};
use chord::net::frames::Stream;
use chord::net::limits::drops::DropCounters;
use chord::net::limits::inbound::Limits;
use chord::net::link::Link;
use chord::net::pending::{CallOutcome, MAX_ASKED, PendingCalls};
use chord::net::resident::Resident;
use chord::net::routes::Routes;
use chord::net::shared::Shared;
use chord::net::transport::Transport;
use chord::protocol::admission::{MAX_LOOKUPS, MAX_MAINTENANCE};
use chord::protocol::rpc::{Code, Memory, Request, Response};
use chord::wire::{Frame, FrameCodec, Ids, Reply};
use chord::{Addr, Id, Peer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::codec::{Decoder, Encoder};

use super::words;

const SECOND: Duration = Duration::from_secs(1);

/// How long a caller waits.
const PATIENCE: Duration = Duration::from_secs(3);

/// The time after which a connection without activity is closed, once all requests are answered: the longest idle
/// limit, the waits in between, and the writing of the last answers.
const END: Duration = Duration::from_secs(150);

/// At most this many actions: enough for any order of two or three, and soon over.
const MOST_ACTS: usize = 20;

/// At most this many requests are served at once.
const MAX_SERVED: usize = MAX_LOOKUPS + MAX_MAINTENANCE;

/// The shortest frame with a call.
const SHORTEST: u32 = 10;

thread_local! {
    static RUNTIME: Runtime =
        Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime without a socket");
}

pub fn run(data: &[u8]) {
    // The clock of the thread beats ten times a second, a thousand times until an idle connection is closed: that is most
    // of what a scenario costs.
    let beats = data.len().is_multiple_of(4);
    RUNTIME.with(|runtime| LocalSet::new().block_on(runtime, scenario(&mut Unstructured::new(data), beats)));
}

fn peer(n: u8) -> Peer {
    Peer { id: Id::from_bytes([n; 20]), addr: Addr::new(Ipv4Addr::LOCALHOST, n.into()) }
}

/// What the rest of the node sees of the connection.
#[derive(Default)]
struct Seen {
    serving: Cell<usize>,
    most_served: Cell<usize>,
    closed: Cell<usize>,
}

/// The rest of the node. It answers at once, late, or with a refusal.
struct Host {
    seen: Rc<Seen>,
    takes: Duration,
    refuses: bool,
}

impl Actor for Host {
    type Context = Context<Host>;
}

impl Handler<Serve> for Host {
    type Result = ResponseFuture<std::result::Result<Response, CallRefusal>>;

    fn handle(&mut self, serve: Serve, _: &mut Self::Context) -> Self::Result {
        let (seen, takes, refuses) = (self.seen.clone(), self.takes, self.refuses);
        seen.serving.set(seen.serving.get() + 1);
        seen.most_served.set(seen.most_served.get().max(seen.serving.get()));
        Box::pin(async move {
            if !takes.is_zero() {
                sleep(takes).await;
            }
            seen.serving.set(seen.serving.get() - 1);
            match serve.request {
                _ if refuses => Err(Code::Busy.into()),
                Request::FindSuccessor { .. } => Ok(Response::Successor { owner: peer(1), path: vec![] }),
                Request::GetPredecessor => {
                    Ok(Response::Predecessor { predecessor: None, successors: None, memory: Memory::default() })
                }
                _ => Ok(Response::Done),
            }
        })
    }
}

impl Handler<Severed> for Host {
    type Result = ();
    fn handle(&mut self, _: Severed, _: &mut Self::Context) {}
}

impl Handler<Slept> for Host {
    type Result = ();
    fn handle(&mut self, _: Slept, _: &mut Self::Context) {}
}

impl Handler<LinkEvent> for Host {
    type Result = ();
    fn handle(&mut self, event: LinkEvent, _: &mut Self::Context) {
        if let LinkEvent::Closed { .. } = event {
            self.seen.closed.set(self.seen.closed.get() + 1);
        }
    }
}

/// How the other end answers requests.
#[derive(Clone, Copy)]
enum Manner {
    Ours,
    Plain,
    Never,
}

/// The other end. It reads and answers what arrives until it stops reading.
struct Other {
    writing: RefCell<Option<WriteHalf<DuplexStream>>>,
    written: Cell<u32>,
    reads: Cell<bool>,
    manner: Manner,
}

impl Other {
    /// Writes; gives up if the bytes are not read within a while.
    async fn write(&self, bytes: &[u8]) {
        let Some(mut writing) = self.writing.take() else { return };
        self.written.set(self.written.get() + bytes.len() as u32);
        if matches!(timeout(SECOND, writing.write_all(bytes)).await, Ok(Ok(()))) {
            self.writing.replace(Some(writing));
        }
    }

    async fn read(&self, mut reading: ReadHalf<DuplexStream>) {
        let (mut codec, mut buffer) = (FrameCodec::default(), BytesMut::new());
        while self.reads.get() && reading.read_buf(&mut buffer).await.is_ok_and(|n| n > 0) {
            while let Some(frame) = codec.decode(&mut buffer).expect("the connection says nothing wrong") {
                if let Frame::Call(question) = frame {
                    self.answer(question.call_id).await;
                }
            }
        }
        // A stream that is not read stays open until the scenario ends.
        if !self.reads.get() {
            pending::<()>().await;
        }
    }

    async fn answer(&self, call_id: Option<u64>) {
        let mut reply = Reply::to(&Response::Done, peer(1), 4);
        match self.manner {
            Manner::Ours => (reply.call_id, reply.responder) = (call_id, Some((peer(1).id, 1))),
            Manner::Plain => {}
            Manner::Never => return,
        }
        let mut bytes = BytesMut::new();
        FrameCodec::default().encode(Frame::Return(reply), &mut bytes).expect("a small frame");
        self.write(&bytes).await;
    }
}

async fn scenario(u: &mut Unstructured<'_>, beats: bool) {
    let seen = Rc::new(Seen::default());
    // An input that is too short continues as if with zeros.
    let choice = |u: &mut Unstructured, n: u8| u.int_in_range(0..=n).unwrap_or_default();
    let takes = [Duration::ZERO, Duration::from_millis(1), 2 * SECOND][usize::from(choice(u, 2))];
    let host = Host { seen: seen.clone(), takes, refuses: choice(u, 7) == 7 }.start();
    let resident = Rc::new(Resident {
        me: peer(9),
        r: 4,
        incarnation: 1,
        ring: None,
        plain_peers: true,
        rpc_timeout: SECOND,
        accepted: Cell::default(),
        serves: Box::new(host.clone().recipient::<Serve>()),
        severed: host.clone().recipient(),
        slept: host.clone().recipient(),
        events: host.clone().recipient(),
        drops: DropCounters::default(),
        counters: Arc::default(),
    });
    let shared = Rc::new(Shared {
        resident,
        limits: Limits::default(),
        transport: Transport::Tcp,
        ids: Ids::Any,
        routes: Routes::default(),
        services: Arc::default(),
    });
    if beats {
        shared.routes.pool.enter(&shared.resident);
    }
    let origin = match choice(u, 5) {
        0..=2 => Origin::Accepted(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        3 => Origin::Dialed(peer(1).addr),
        4 => Origin::DialedOnce(peer(1).addr),
        _ => Origin::DialedPlain(peer(1).addr),
    };
    let manner = [Manner::Ours, Manner::Plain, Manner::Never][usize::from(choice(u, 2))];
    let (ours, theirs) = duplex([64 * 1024, 256, 64 * 1024, 20][usize::from(choice(u, 3))]);
    let (reading, writing) = split(theirs);
    let other =
        Rc::new(Other { writing: RefCell::new(Some(writing)), written: Cell::new(0), reads: Cell::new(true), manner });
    let link = Link::over(1, Stream::new(ours), origin, shared.clone());
    let (pending, link) = (link.pending(), link.start());
    let read = spawn_local({
        let other = other.clone();
        async move { other.read(reading).await }
    });
    let mut asked = Vec::new();
    for _ in 0..MOST_ACTS {
        if u.is_empty() || act(u, &link, &pending, &other, &mut asked).await.is_err() {
            break;
        }
    }
    // Everything that is still held is released by itself, whether the other end is still there or not. Plain calls are
    // answered one after the other.
    if choice(u, 1) == 1 {
        other.writing.take();
    }
    let end = Instant::now() + END + takes * (other.written.get() / SHORTEST);
    let has_ended = || {
        let answered = asked.iter().all(|asked| asked.is_finished());
        seen.closed.get() > 0 && !link.connected() && answered && seen.serving.get() == 0
    };
    while !has_ended() && Instant::now() < end {
        sleep(SECOND).await;
    }
    // Nothing happens twice.
    sleep(SECOND).await;
    assert_eq!(seen.closed.get(), 1, "the connection ends, once");
    assert!(!link.connected(), "and the actor with it");
    assert!(asked.iter().all(|asked| asked.is_finished()), "every caller has its outcome, or has given up");
    assert!(seen.most_served.get() <= MAX_SERVED, "{} questions were served at once", seen.most_served.get());
    assert_eq!(seen.serving.get(), 0);
    read.abort();
    drop(pending);
    assert_eq!(Rc::strong_count(&shared), 1, "nothing of it stays behind");
}

/// One action.
async fn act(
    u: &mut Unstructured<'_>,
    link: &actix::Addr<Link>,
    pending: &PendingCalls,
    other: &Rc<Other>,
    asked: &mut Vec<tokio::task::JoinHandle<()>>,
) -> Result<()> {
    match u.int_in_range(0..=15)? {
        0 | 1 => {
            let n = u.int_in_range(0..=255)?;
            other.write(u.bytes(u.len().min(n))?).await;
        }
        2..=5 => {
            let call = words::frame(&words::call(u)?);
            other.write(&call).await;
        }
        6 => {
            let times = *u.choose(&[2, 3, 4, 5, 6, 7, 8, MAX_MAINTENANCE + 1])?;
            let call = words::frame(&words::call(u)?);
            other.write(&call.repeat(times)).await;
        }
        7 | 8 => {
            let call = if u.ratio(7, 8)? { Some(u.int_in_range(0..=4)?) } else { None };
            let reply = words::frame(&words::reply(u, call)?);
            other.write(&reply).await;
        }
        9..=11 => asked.extend((0..u.int_in_range(1..=3)?).map(|_| ask(pending))),
        12 => link.do_send(Doubt),
        13 => {
            const TIMES: [u64; 6] = [0, 1, 300, 1_500, 4_900, 91_000];
            sleep(Duration::from_millis(*u.choose(&TIMES)?)).await;
        }
        14 => match u.int_in_range(0..=15)? {
            0..=4 => drop(other.writing.take()),
            5..=9 => other.reads.set(false),
            // More than may be asked at once, which takes time.
            10 if asked.is_empty() => asked.extend((0..MAX_ASKED + 6).map(|_| ask(pending))),
            _ => link.do_send(Stop),
        },
        _ => tokio::task::yield_now().await,
    }
    Ok(())
}

fn ask(pending: &PendingCalls) -> tokio::task::JoinHandle<()> {
    let heard = pending.ask(Request::GetPredecessor, None, None);
    spawn_local(async move {
        if let Ok(CallOutcome::Reply(reply)) = timeout(PATIENCE, heard).await {
            // Every reply can be read.
            let _ = reply.read(&Request::GetPredecessor, None);
        }
    })
}
