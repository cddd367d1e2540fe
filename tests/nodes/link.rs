//! One connection, its other end in memory, on a paused clock: its time limits, and the limits on what the
//! other end may ask for.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{self, Poll};
use std::time::Duration;

use actix::{Actor, Context, Handler, Recipient, ResponseFuture};
use chord::actors::{CallRefusal, Serve, Severed, Slept};
use chord::net::events::{Doubt, LinkEvent, Origin};
use chord::net::frames::Stream;
use chord::net::limits::drops::DropCounters;
use chord::net::limits::inbound::Limits;
use chord::net::link::Link;
use chord::net::pending::{CallOutcome, Pending, PendingCalls};
use chord::net::resident::Resident;
use chord::net::routes::Routes;
use chord::net::serves::{Answered, Serves};
use chord::net::shared::Shared;
use chord::net::transport::Transport;
use chord::protocol::admission::{MAX_LOOKUPS, MAX_MAINTENANCE};
use chord::protocol::rpc::{Code, Request, Response};
use chord::wire::{Frame, FrameCodec, Ids, Question, Reply};
use chord::{Addr, Id, Peer};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::codec::Framed;

const SECOND: Duration = Duration::from_secs(1);

fn peer(n: u8) -> Peer {
    Peer { id: Id::from_bytes([n; 20]), addr: Addr::new(Ipv4Addr::LOCALHOST, n.into()) }
}

/// The rest of the node: answers when the test permits it.
struct Host {
    answering: Arc<Semaphore>,
    asked: Rc<Cell<usize>>,
    closed: Rc<RefCell<Option<Instant>>>,
    said: Said,
}

/// The reports about the other end, in their order.
type Said = Rc<RefCell<Vec<(&'static str, Addr)>>>;

/// The recipient of its requests.
struct Front(Recipient<Serve>, Said);

impl Serves for Front {
    fn serve(&self, serve: Serve) -> Answered {
        self.0.serve(serve)
    }

    fn doubt(&self, Severed(addrs): &Severed) {
        self.1.borrow_mut().extend(addrs.iter().map(|addr| ("doubted", *addr)));
    }

    fn slept(&self) {}
}

impl Actor for Host {
    type Context = Context<Host>;
}

impl Handler<Serve> for Host {
    type Result = ResponseFuture<Result<Response, CallRefusal>>;

    fn handle(&mut self, _: Serve, _: &mut Self::Context) -> Self::Result {
        self.asked.set(self.asked.get() + 1);
        let answering = self.answering.clone();
        Box::pin(async move {
            answering.acquire().await.unwrap().forget();
            Ok(Response::Alive { plain: false, alone: false })
        })
    }
}

impl Handler<Severed> for Host {
    type Result = ();
    fn handle(&mut self, Severed(addrs): Severed, _: &mut Self::Context) {
        self.said.borrow_mut().extend(addrs.iter().map(|addr| ("severed", *addr)));
    }
}

impl Handler<Slept> for Host {
    type Result = ();
    fn handle(&mut self, _: Slept, _: &mut Self::Context) {}
}

impl Handler<LinkEvent> for Host {
    type Result = ();
    fn handle(&mut self, event: LinkEvent, _: &mut Self::Context) {
        if let LinkEvent::Closed { .. } = event {
            *self.closed.borrow_mut() = Some(Instant::now());
        }
    }
}

/// A connection of node 9, and the other end of it.
struct Line {
    /// Keeps the link alive.
    link: actix::Addr<Link>,
    /// Whether every write fails.
    broken: Arc<AtomicBool>,
    pending: PendingCalls,
    wire: Framed<DuplexStream, FrameCodec>,
    _shared: Rc<Shared>,
    answering: Arc<Semaphore>,
    asked: Rc<Cell<usize>>,
    closed: Rc<RefCell<Option<Instant>>>,
    said: Said,
}

/// The node's end. Writing may fail before a read shows the end, as after a reset by the other end.
struct Half {
    stream: DuplexStream,
    broken: Arc<AtomicBool>,
}

impl AsyncRead for Half {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>, read: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, read)
    }
}

impl AsyncWrite for Half {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.broken.load(SeqCst) {
            true => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            false => Pin::new(&mut self.stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

const ACCEPTED: Origin = Origin::Accepted(IpAddr::V4(Ipv4Addr::LOCALHOST));

/// A connection with a buffer of `room` bytes in each direction; the node answers `answers` requests.
fn line(origin: Origin, room: usize, answers: usize) -> Line {
    let answering = Arc::new(Semaphore::new(answers));
    let (asked, closed, said) = (Rc::default(), Rc::default(), Said::default());
    let host =
        Host { answering: answering.clone(), asked: Rc::clone(&asked), closed: Rc::clone(&closed), said: said.clone() };
    let host = host.start();
    let resident = Rc::new(Resident {
        me: peer(9),
        r: 4,
        incarnation: 1,
        ring: None,
        plain_peers: true,
        rpc_timeout: SECOND,
        accepted: Cell::default(),
        serves: Box::new(Front(host.clone().recipient(), said.clone())),
        severed: host.clone().recipient(),
        slept: host.clone().recipient(),
        events: host.recipient(),
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
    shared.routes.pool.enter(&shared.resident);
    let (ours, theirs) = duplex(room);
    let broken = Arc::new(AtomicBool::new(false));
    let ours = Half { stream: ours, broken: broken.clone() };
    let link = Link::over(1, Stream::new(ours), origin, shared.clone());
    let pending = link.pending();
    Line {
        pending,
        link: link.start(),
        broken,
        wire: Framed::new(theirs, FrameCodec::default()),
        _shared: shared,
        answering,
        asked,
        closed,
        said,
    }
}

fn question(call_id: Option<u64>) -> Frame {
    Frame::Call(Question { call_id, ..Question::plain(Request::CheckPredecessor) })
}

impl Line {
    /// The other end sends a request, and gets the response.
    async fn asks(&mut self, call_id: Option<u64>) {
        self.wire.send(question(call_id)).await.unwrap();
        assert!(matches!(self.wire.next().await, Some(Ok(Frame::Return(reply))) if reply.call_id == call_id));
    }

    /// The node sends a request, and gets the response of a node of our own kind.
    async fn is_asked(&mut self) {
        let heard = self.ask();
        self.answers_next().await;
        assert!(matches!(heard.await, CallOutcome::Reply(_)));
    }

    fn ask(&self) -> Pending {
        self.pending.ask(Request::CheckPredecessor, None, None)
    }

    async fn answers_next(&mut self) {
        let Some(Ok(Frame::Call(question))) = self.wire.next().await else { panic!("a question") };
        let mut reply = Reply::to(&Response::Alive { plain: false, alone: false }, peer(1), 4);
        (reply.call_id, reply.responder) = (question.call_id, Some((peer(1).id, 1)));
        self.wire.send(Frame::Return(reply)).await.unwrap();
    }

    /// The time until the connection is closed.
    async fn closes_after(&self, limit: Duration) -> Duration {
        let began = Instant::now();
        while self.closed.borrow().is_none() {
            assert!(began.elapsed() < limit, "not closed within {limit:?}");
            sleep(Duration::from_millis(10)).await;
        }
        began.elapsed()
    }
}

fn about(seconds: u64) -> std::ops::Range<Duration> {
    Duration::from_secs(seconds)..Duration::from_secs(seconds) + Duration::from_millis(1200)
}

#[actix_rt::test]
async fn connection_of_our_own_kind_may_be_idle_for_two_minutes() {
    tokio::time::pause();
    let mut line = line(ACCEPTED, 4096, 9);
    line.asks(Some(1)).await;
    sleep(100 * SECOND).await;
    line.asks(Some(2)).await;
    let idle = line.closes_after(200 * SECOND).await;
    assert!(about(120).contains(&idle), "{idle:?} after the last frame");
}

#[actix_rt::test]
async fn dialled_connection_may_be_idle_for_a_minute_and_a_half() {
    tokio::time::pause();
    let mut line = line(Origin::Dialed(peer(1).addr), 4096, 0);
    line.is_asked().await;
    sleep(80 * SECOND).await;
    line.is_asked().await;
    let idle = line.closes_after(200 * SECOND).await;
    assert!(about(90).contains(&idle), "{idle:?} after the last frame");
}

#[actix_rt::test]
async fn connection_that_says_nothing_is_closed_after_five_seconds() {
    tokio::time::pause();
    let silent = line(ACCEPTED, 4096, 0);
    let idle = silent.closes_after(200 * SECOND).await;
    assert!(about(5).contains(&idle), "{idle:?}");
    let mut plain = line(ACCEPTED, 4096, 9);
    sleep(4 * SECOND).await;
    plain.asks(None).await;
    let idle = plain.closes_after(200 * SECOND).await;
    assert!(about(5).contains(&idle), "{idle:?} after the call");
}

#[actix_rt::test]
async fn frame_that_was_begun_is_completed_in_five_seconds_or_never() {
    tokio::time::pause();
    // Of our own kind, so that the idle limit is far.
    let mut line = line(ACCEPTED, 4096, 9);
    line.asks(Some(1)).await;
    let (began, stream) = (Instant::now(), line.wire.get_mut());
    for byte in 30u64.to_be_bytes().iter().chain(&[0x0a; 22]) {
        if stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        sleep(SECOND).await;
    }
    assert!(began.elapsed() < 7 * SECOND, "{:?}", began.elapsed());
    line.closes_after(SECOND).await;
}

/// A dead node was named as an owner: a request was answered before the message that the node's connection had
/// broken was read.
#[actix_rt::test]
async fn whoever_breaks_a_kept_connection_is_doubted_before_a_message_says_so() {
    tokio::time::pause();
    let mut line = line(Origin::Dialed(peer(1).addr), 4096, 0);
    line.is_asked().await;
    let said = line.said.clone();
    drop(line.wire);
    sleep(SECOND).await;
    assert_eq!(*said.borrow(), [("doubted", peer(1).addr), ("severed", peer(1).addr)]);
}

/// The nodes of a killed process were named as owners until the next rounds: a write on the connection failed before
/// its end was read, and the failure was not reported.
#[actix_rt::test]
async fn kept_connection_that_breaks_under_a_question_is_told_like_any_other() {
    tokio::time::pause();
    let mut line = line(Origin::Dialed(peer(1).addr), 4096, 0);
    line.is_asked().await;
    line.broken.store(true, SeqCst);
    assert!(matches!(line.ask().await, CallOutcome::Lost));
    line.closes_after(SECOND).await;
    assert_eq!(*line.said.borrow(), [("doubted", peer(1).addr), ("severed", peer(1).addr)]);
}

#[actix_rt::test]
async fn kept_connection_that_leads_nowhere_is_told_like_any_other() {
    tokio::time::pause();
    let mut line = line(Origin::Dialed(peer(1).addr), 4096, 0);
    line.is_asked().await;
    line.link.do_send(Doubt);
    line.closes_after(2 * SECOND).await;
    sleep(SECOND).await;
    assert_eq!(*line.said.borrow(), [("doubted", peer(1).addr), ("severed", peer(1).addr)]);
}

#[actix_rt::test]
async fn peer_that_does_not_read_its_answers_loses_the_connection() {
    tokio::time::pause();
    // Far more answers than fit into the connection, the buffers and the outbox.
    let mut line = line(ACCEPTED, 64 * 1024, 100_000);
    let writing = async {
        for call in 0.. {
            if line.wire.send(question(Some(call))).await.is_err() {
                return;
            }
        }
    };
    // Answers pile up until no more requests are read.
    assert!(timeout(60 * SECOND, writing).await.is_ok(), "the connection is closed under the questions");
    line.closes_after(SECOND).await;
}

fn lookup(call_id: u64) -> Frame {
    let request = Request::FindSuccessor { key: peer(7).id, hops: 1, want_path: false };
    Frame::Call(Question { call_id: Some(call_id), ..Question::plain(request) })
}

/// The code of the next answer.
async fn code(line: &mut Line) -> Option<Code> {
    match line.wire.next().await {
        Some(Ok(Frame::Return(reply))) => reply.refusal(),
        other => panic!("{other:?}"),
    }
}

/// Lookups without an answer kept a node from reading the pings behind them: its neighbours took it for dead.
#[actix_rt::test]
async fn pings_are_answered_while_lookups_are_refused() {
    tokio::time::pause();
    let mut line = line(ACCEPTED, 4 * 1024 * 1024, 0);
    let most = MAX_LOOKUPS as u64;
    for call in 0..most {
        line.wire.send(lookup(call)).await.unwrap();
    }
    sleep(SECOND).await;
    let taken_on = line.asked.get() as u64;
    assert_eq!(taken_on, most / 2, "one client leaves room for others");
    for _ in taken_on..most {
        assert_eq!(code(&mut line).await, Some(Code::Busy));
    }
    line.wire.send(question(Some(most))).await.unwrap();
    sleep(SECOND).await;
    assert_eq!(line.asked.get() as u64, taken_on + 1, "the ping is read");
    line.answering.add_permits(taken_on as usize + 1);
    for _ in 0..=taken_on {
        assert_eq!(code(&mut line).await, None);
    }
}

#[actix_rt::test]
async fn questions_beyond_the_limit_are_refused_at_once() {
    tokio::time::pause();
    let mut line = line(ACCEPTED, 1024 * 1024, 0);
    let most = 2 * MAX_MAINTENANCE as u64;
    for call in 0..most {
        line.wire.send(question(Some(call))).await.unwrap();
    }
    sleep(SECOND).await;
    assert_eq!(line.asked.get(), MAX_MAINTENANCE);
    for _ in 0..MAX_MAINTENANCE {
        assert_eq!(code(&mut line).await, Some(Code::Busy));
    }
    line.answering.add_permits(MAX_MAINTENANCE);
    for _ in 0..MAX_MAINTENANCE {
        assert_eq!(code(&mut line).await, None);
    }
}

#[actix_rt::test]
async fn replies_are_read_while_no_more_questions_can_be_answered() {
    tokio::time::pause();
    let mut line = line(Origin::Dialed(peer(1).addr), 1024 * 1024, 0);
    line.is_asked().await;
    for call in 0..MAX_MAINTENANCE as u64 {
        line.wire.send(question(Some(call))).await.unwrap();
    }
    sleep(SECOND).await;
    assert_eq!(line.asked.get(), MAX_MAINTENANCE);
    line.is_asked().await;
}

/// A caller whose connection has ended waits for no answer: its lookups are given up.
#[actix_rt::test]
async fn lookups_of_whoever_is_gone_are_given_up() {
    tokio::time::pause();
    let mut line = line(Origin::Dialed(peer(1).addr), 4096, 0);
    line.is_asked().await;
    for call in 0..5 {
        line.wire.send(lookup(call)).await.unwrap();
    }
    sleep(SECOND).await;
    assert_eq!(line.asked.get(), 5);
    drop(line.wire);
    sleep(SECOND).await;
    assert!(line.closed.borrow().is_some(), "no answer is left to send");
}

#[actix_rt::test]
async fn plain_questions_are_read_one_at_a_time() {
    tokio::time::pause();
    let mut line = line(ACCEPTED, 1024 * 1024, 0);
    for _ in 0..100 {
        line.wire.send(question(None)).await.unwrap();
    }
    sleep(SECOND).await;
    assert_eq!(line.asked.get(), 1);
    line.answering.add_permits(100);
    for _ in 0..100 {
        assert!(matches!(line.wire.next().await, Some(Ok(Frame::Return(_)))));
    }
}

#[actix_rt::test]
async fn what_was_asked_before_the_other_end_closed_its_half_is_answered() {
    tokio::time::pause();
    let mut line = line(ACCEPTED, 4096, 0);
    for call in 0..5 {
        line.wire.send(question(Some(call))).await.unwrap();
    }
    line.wire.get_mut().shutdown().await.unwrap();
    sleep(SECOND).await;
    assert!(line.closed.borrow().is_none(), "it is counted until they are");
    assert!(matches!(line.ask().await, CallOutcome::Lost), "but takes no more calls");
    line.answering.add_permits(5);
    for _ in 0..5 {
        assert!(matches!(line.wire.next().await, Some(Ok(Frame::Return(_)))));
    }
    assert_eq!(line.wire.get_mut().read(&mut [0; 8]).await.unwrap(), 0);
    line.closes_after(SECOND).await;
}
