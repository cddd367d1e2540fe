//! The codec actor: one TCP connection, its frames, and the calls in flight on it.
//!
//! A connection to a node of our own kind is kept, and carries many calls at once, in both directions. The kind is
//! unknown before the first reply: until a reply echoes the number of its call, at most one call is in flight, and the
//! others wait. A reply without an echo comes from a plain peer: it is the last one on the connection.
//!
//! What the other end can make this one do is bounded: lookups that the thread can't take on are refused, a peer that
//! does not read its answers is not read from ([`serving`](crate::net::serving)), and a peer that takes too long to
//! send a frame loses the connection ([`frames`](crate::net::frames)).

use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, StreamHandler, WrapFuture};
use futures::stream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use crate::actors::messages::{CallRefusal, Stop};
use crate::net::channel::services::Unopened;
use crate::net::channel::serving::Serving;
use crate::net::events::{Doubt, LinkControl, LinkEvent, LinkId, Origin, Retire};
use crate::net::frames::{Reader, Stream, Writer};
use crate::net::limits::drops::DropReason;
use crate::net::limits::inbound::LastSeen;
use crate::net::outbox::outbox;
use crate::net::pending::{CallOutcome, Echo, Kind, PendingCalls};
use crate::net::serving::{Incoming, Reading, Served, Turn};
use crate::net::shared::Shared;
use crate::protocol::addr::Addr;
use crate::protocol::rpc::{Code, Request, Response};
use crate::wire::{FrameCodec, Question, Reply, WireError};

/// The writer has ended: it has written everything, or it has failed.
#[derive(actix::Message)]
#[rtype(result = "()")]
struct Written(Result<Writer, WireError>);

/// The channel on this connection has ended.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
struct ChannelEnded(Option<WireError>);

/// Tells the link that its channel has ended, also if the runtime that read it shut down.
struct Ended {
    link: actix::Addr<Link>,
    error: Option<WireError>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.link.do_send(ChannelEnded(self.error.take()));
    }
}

/// A connection that can't be made in this time is given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// An accepted connection without a call is closed after this time, unless its other end is known
/// to know the extensions.
const PLAIN_IDLE: Duration = Duration::from_secs(5);

/// The dialling end closes a kept connection after this time without a frame: longer than the longest period of
/// maintenance and its jitter.
const DIALED_IDLE: Duration = Duration::from_secs(90);

/// The accepting end waits a little longer, so that it rarely closes while a call is on its way.
const ACCEPTED_IDLE: Duration = Duration::from_secs(120);

/// One TCP connection.
pub struct Link {
    id: LinkId,
    shared: Rc<Shared>,
    origin: Origin,
    /// The stream, if the connection exists before the actor starts.
    stream: Option<Stream>,
    /// Questions to the other end.
    pending: PendingCalls,
    /// The address of the node at the other end, dialled or introduced.
    addr: Option<Addr>,
    /// Whether the connection closes once the calls made on it are answered.
    retired: bool,
    writing: Option<AbortHandle>,
    since: Instant,
    /// When the last whole valid frame came; shared with the peers actor, which closes the connections silent for
    /// longest when there are too many.
    last_seen: LastSeen,
    /// The questions of the other end that are being answered.
    served: Served,
    /// Whether a check is under way that the other end is still there.
    doubting: bool,
    /// The channel that this connection has become or is about to become.
    channel: Option<Channel>,
}

/// A connection that carries calls of applications.
enum Channel {
    /// The reply that opens it is being written.
    Opening(Box<dyn FnOnce(Writer) -> AbortHandle>),
    Open(AbortHandle),
}

impl Link {
    /// A connection yet to be made.
    pub fn dial(id: LinkId, origin: Origin, shared: Rc<Shared>) -> Link {
        Link {
            id,
            pending: PendingCalls::new(origin, shared.resident.clone()),
            shared,
            origin,
            stream: None,
            addr: origin.addr(),
            retired: false,
            writing: None,
            since: Instant::now(),
            last_seen: LastSeen::default(),
            served: Served::default(),
            doubting: false,
            channel: None,
        }
    }

    /// A connection that the other end made.
    pub fn accept(id: LinkId, stream: Stream, from: Addr, shared: Rc<Shared>) -> Link {
        let served = Served::from(from.ip());
        Link { served, ..Link::over(id, stream, Origin::Accepted(from.ip()), shared) }
    }

    /// A connection over an existing stream.
    pub fn over(id: LinkId, stream: Stream, origin: Origin, shared: Rc<Shared>) -> Link {
        Link { stream: Some(stream), ..Link::dial(id, origin, shared) }
    }

    /// When the last whole valid frame came.
    pub fn last_seen(&self) -> LastSeen {
        self.last_seen.clone()
    }

    /// Where questions to the other end are put, also before the connection is made.
    pub fn pending(&self) -> PendingCalls {
        self.pending.clone()
    }

    fn connected(&mut self, stream: Stream, ctx: &mut Context<Link>) {
        let codec = FrameCodec::new(self.shared.ids);
        let (outbox, outgoing) = outbox(codec.clone(), self.shared.resident.counters.clone());
        let (reader, writer) = stream.split(codec);
        let reader = reader.counted(self.shared.resident.counters.clone());
        let reading = Box::new(Reading::new(reader, outbox.backlog()));
        ctx.add_stream(stream::unfold(Some(reading), async |reading| reading?.next().await));
        let link = ctx.address();
        let writing = actix_rt::spawn(async move { link.do_send(Written(writer.write_all(outgoing).await)) });
        self.writing = Some(writing.abort_handle());
        self.pending.open(outbox);
    }

    /// Accepts nothing more, and ends when the remaining frames have been written.
    fn close(&mut self) {
        self.shared.resident.events.do_send(LinkEvent::Closing { link: self.id, addr: self.addr });
        self.pending.close(|| CallOutcome::Lost);
    }

    /// The other end closed the connection, or it failed: the node there may have died.
    fn broke(&mut self) {
        if self.pending.is_closed() {
            return;
        }
        if let (Kind::Ours, Some(addr)) = (self.pending.kind(), self.addr) {
            self.shared.routes.pool.severed(addr);
            // A node of our own kind closes both halves at once; a plain peer may close one half and still want its
            // answers.
            self.served.give_up();
        }
        self.close();
    }

    /// A whole valid frame has come.
    fn see(&self) {
        self.see_at(Instant::now());
    }

    fn see_at(&self, now: Instant) {
        self.last_seen.set(Some(now));
        self.shared.routes.pool.look(now);
    }

    /// The time since the other end last sent a whole valid frame.
    fn silence(&self) -> Duration {
        self.last_seen.get().unwrap_or(self.since).elapsed()
    }

    fn returned(&mut self, reply: Reply) {
        let now = Instant::now();
        match (self.pending.returned(reply, self.addr, now), self.addr) {
            (Echo::Late, _) => return self.see_at(now),
            (Echo::Stranger, _) => {
                // As if nobody were there.
                self.pending.close(|| CallOutcome::Refused);
                return self.close();
            }
            (Echo::Nobody, _) => return tracing::debug!(peer = ?self.addr, "a reply to no question"),
            (Echo::First { incarnation: Some(incarnation), front }, Some(addr)) => {
                self.shared.resident.events.do_send(LinkEvent::Ours { link: self.id, addr, incarnation, front });
            }
            (Echo::First { incarnation: None, .. }, Some(addr)) => {
                self.shared.resident.events.do_send(LinkEvent::Plain { link: self.id, addr });
            }
            (Echo::First { .. } | Echo::Nothing, _) => {}
        }
        self.see_at(now);
        if self.pending.kind() == Kind::Ours && !matches!(self.origin, Origin::DialedOnce(_)) {
            self.pending.go_on();
            self.close_if_done();
        } else {
            self.close();
        }
    }

    fn close_if_done(&mut self) {
        if self.retired && !self.pending.is_awaited() {
            self.close();
        }
    }

    fn called(&mut self, question: Question, turn: Turn) {
        if question.request.is_ok() {
            self.see();
        }
        if !self.shared.resident.admits(&question) {
            return self.turn_away(&question, turn);
        }
        if question.call_id.is_some() && matches!(self.origin, Origin::Accepted(_)) {
            self.pending.is_ours();
        }
        if let (Origin::Accepted(ip), Some((caller, incarnation))) = (self.origin, question.caller.as_deref().copied())
            && ip == caller.addr.ip()
        {
            self.addr = Some(caller.addr);
            self.shared.resident.events.do_send(LinkEvent::Introduced {
                link: self.id,
                addr: caller.addr,
                incarnation,
            });
        }
        let Some(outbox) = self.pending.outbox() else { return };
        self.shared.resident.take_on(question, &self.shared.routes.pool, outbox, &self.served, turn);
    }

    /// The caller is of another ring, or of a kind that is not admitted: it is told so, and no more is heard from it.
    #[cold]
    fn turn_away(&mut self, question: &Question, turn: Turn) {
        let why = self.shared.resident.differs(question.ring.as_deref(), question.call_id.is_some());
        if self.shared.resident.dropped(DropReason::Stranger) {
            tracing::warn!(from = ?self.origin, %why, "refusing a node");
        }
        if let Some(outbox) = self.pending.outbox() {
            self.shared.resident.turn_away(question.call_id, outbox, turn, why);
        }
        self.close();
    }

    /// The other end wants a channel. The runtime where services are offered reads and writes it; this actor only keeps
    /// its place among the connections.
    fn open_channel(&mut self, question: Question, reader: Reader, ctx: &mut Context<Link>) {
        if !self.shared.resident.admits(&question) {
            return self.turn_away(&question, None);
        }
        let Some(outbox) = self.pending.outbox() else { return };
        let services = self.shared.services.clone();
        let is_alone = !self.served.is_busy() && !self.pending.is_awaited();
        let opened = match self.origin {
            Origin::Accepted(from) if is_alone => services.open(from).map_err(|why| match why {
                Unopened::TooMany => Code::Busy.into(),
                Unopened::NothingOffered => {
                    CallRefusal { code: Code::UnknownCall, why: "no service is offered here".into() }
                }
            }),
            _ => Err(CallRefusal { code: Code::BadRequest, why: "a channel is a connection of its own".into() }),
        };
        let opened = opened.map(|(runtime, place)| {
            let caller = question.caller.map(|caller| caller.0);
            let ended = Ended { link: ctx.address(), error: None };
            let serving = Serving { caller, services, counters: self.shared.resident.counters.clone() };
            let begin = move |writer| {
                let task = runtime.spawn(async move {
                    let mut ended = ended;
                    ended.error = serving.run(reader, writer).await.err();
                    drop(place);
                });
                task.abort_handle()
            };
            self.channel = Some(Channel::Opening(Box::new(begin)));
            Response::Done
        });
        self.shared.resident.answer_channel(question.call_id, outbox, opened);
        // This actor writes nothing more.
        self.pending.close(|| CallOutcome::Lost);
    }

    /// Counts what the other end did wrong.
    fn count_drop(&self, error: &WireError) {
        let shed = match error {
            WireError::Io(error) => return tracing::debug!(%error, peer = ?self.addr, "can't write to a connection"),
            WireError::Slow => DropReason::Slow,
            WireError::Unread => DropReason::Unread,
            _ => DropReason::Nonsense,
        };
        if self.shared.resident.dropped(shed) {
            tracing::warn!(%error, peer = ?self.addr, from = ?self.origin, "closing a connection");
        }
    }

    fn misunderstood(&mut self, error: WireError, turn: Turn) {
        self.count_drop(&error);
        // The sender of nonsense gets an error reply, in its turn: silence hangs some plain peers.
        if matches!(self.origin, Origin::Accepted(_)) {
            let nonsense =
                Question { request: Err(error), call_id: None, deadline: None, caller: None, to: None, ring: None };
            self.called(nonsense, turn);
        }
    }

    /// Closes an idle connection.
    fn watch(&mut self, ctx: &mut Context<Link>) {
        let limit = match (self.origin, self.pending.kind()) {
            (Origin::Accepted(_), Kind::Ours) => ACCEPTED_IDLE,
            (Origin::Dialed(_), Kind::Ours) => DIALED_IDLE,
            _ => PLAIN_IDLE,
        };
        let idle = self.silence();
        if self.channel.is_none() && idle >= limit && !self.pending.is_awaited() && !self.served.is_busy() {
            tracing::debug!(peer = ?self.addr, from = ?self.origin, ?idle, "closing an idle connection");
            ctx.stop();
        } else {
            let left = limit.saturating_sub(idle).max(PLAIN_IDLE / 5);
            ctx.run_later(left, Link::watch);
        }
    }
}

impl LinkControl for actix::Addr<Link> {
    fn retire(&self) {
        self.do_send(Retire);
    }

    fn doubt(&self) {
        self.do_send(Doubt);
    }

    fn stop(&self) {
        self.do_send(Stop);
    }
}

impl Actor for Link {
    type Context = Context<Link>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_later(PLAIN_IDLE, Link::watch);
        match (self.stream.take(), self.origin.addr()) {
            (Some(stream), _) => self.connected(stream, ctx),
            (None, Some(addr)) => {
                let shared = self.shared.clone();
                let connecting = async move {
                    timeout(CONNECT_TIMEOUT, shared.transport.connect(shared.resident.me.addr, addr)).await
                };
                ctx.spawn(connecting.into_actor(self).map(|made, link, ctx| match made {
                    Ok(Ok(stream)) => link.connected(stream, ctx),
                    Ok(Err(error)) => {
                        let starved = matches!(CallOutcome::unconnected(&error), CallOutcome::Busy);
                        if starved && link.shared.resident.dropped(DropReason::Starved) {
                            tracing::warn!(%error, "can't make a connection");
                        }
                        link.pending.close(|| CallOutcome::unconnected(&error));
                        ctx.stop();
                    }
                    Err(_) => ctx.stop(),
                }));
            }
            (None, None) => ctx.stop(),
        }
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        if let Some(writing) = &self.writing {
            writing.abort();
        }
        self.shared.resident.events.do_send(LinkEvent::Closed { link: self.id, addr: self.addr });
        self.pending.close(|| CallOutcome::Lost);
        self.served.give_up();
        if let Some(Channel::Open(task)) = self.channel.take() {
            task.abort();
        }
    }
}

impl Handler<Doubt> for Link {
    type Result = ();

    fn handle(&mut self, _: Doubt, ctx: &mut Self::Context) {
        if self.doubting || self.pending.kind() != Kind::Ours || self.pending.is_closed() {
            return;
        }
        self.doubting = true;
        self.pending.say(Request::CheckPredecessor);
        let (before, thread) = (self.last_seen.get(), self.shared.routes.pool.thread().clone());
        let patience = self.shared.resident.rpc_timeout;
        let waited = async move { thread.wait(patience).await };
        ctx.spawn(waited.into_actor(self).map(move |(), link, ctx| {
            link.doubting = false;
            if link.last_seen.get() == before {
                tracing::debug!(peer = ?link.addr, "closing a connection that leads nowhere");
                link.broke();
                ctx.stop();
            }
        }));
    }
}

impl Handler<Retire> for Link {
    type Result = ();

    fn handle(&mut self, _: Retire, _: &mut Self::Context) {
        self.retired = true;
        self.close_if_done();
    }
}

impl Handler<Written> for Link {
    type Result = ();

    fn handle(&mut self, Written(written): Written, ctx: &mut Self::Context) {
        match (written, self.channel.take()) {
            (Ok(writer), Some(Channel::Opening(begin))) => {
                self.channel = Some(Channel::Open(begin(writer)));
                return;
            }
            (Ok(_), _) => {}
            (Err(error), _) => {
                self.count_drop(&error);
                // The reader may not have seen the end of the stream yet.
                self.broke();
            }
        }
        ctx.stop();
    }
}

impl Handler<ChannelEnded> for Link {
    type Result = ();

    fn handle(&mut self, ChannelEnded(error): ChannelEnded, ctx: &mut Self::Context) {
        if let Some(error) = error {
            self.count_drop(&error);
        }
        ctx.stop();
    }
}

impl Handler<Stop> for Link {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

impl StreamHandler<Incoming> for Link {
    fn handle(&mut self, incoming: Incoming, ctx: &mut Self::Context) {
        match incoming {
            _ if self.pending.is_closed() => {}
            Incoming::Question(question, turn) => self.called(question, turn),
            Incoming::Channel(question, reader) => self.open_channel(question, reader, ctx),
            Incoming::Reply(reply) => self.returned(reply),
            Incoming::Nonsense(error, turn) => self.misunderstood(error, turn),
            Incoming::Broken(error) => tracing::debug!(%error, peer = ?self.addr, "a connection broke"),
        }
    }

    fn finished(&mut self, _: &mut Self::Context) {
        self.broke();
    }
}
