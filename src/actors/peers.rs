//! Owns the connections: finds or makes the one that a call takes.

use std::collections::HashMap;
use std::net::{SocketAddr, SocketAddrV4};
use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, ResponseFuture};
use futures::future::join_all;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::crowd::{Crowd, Pulse};
use super::link::{Ask, Doubt, Heard, Link, LinkId, News, Origin, Shared};
use super::listener::Accepted;
use super::strangers::Strangers;
use super::tally::{SUMMARY_EVERY, Shed, Tally};
use super::{Call, Stop, Way};
use crate::protocol::procedure::{Answer, Target};
use crate::protocol::rpc::Code;
use crate::wire::Reply;

/// The connections of a node, and what is known of the nodes that it has talked to.
pub struct Peers {
    shared: Rc<Shared>,
    /// Every open connection that others made.
    accepted: HashMap<LinkId, Addr<Link>>,
    /// How many of them there may be, and who goes first.
    crowd: Crowd,
    /// Every open connection that this node made; at most [`MAX_DIALED`].
    dialed: HashMap<LinkId, Dialed>,
    /// The kept connection to each node.
    routes: HashMap<SocketAddrV4, LinkId>,
    known: HashMap<SocketAddrV4, Known>,
    strangers: Strangers,
    last_link: LinkId,
}

struct Dialed {
    link: Addr<Link>,
    since: Instant,
    pulse: Pulse,
    /// Each call that waits for its answer has a clone.
    calls: Rc<()>,
}

/// The connection that a call takes.
struct Taken {
    link: Addr<Link>,
    /// Whether it was made for this call.
    made_for_it: bool,
    /// Keeps the connection, if this node made it, while the call waits.
    call: Option<Rc<()>>,
}

/// What is known of the node at an address.
#[derive(Clone, Copy, Debug)]
enum Known {
    /// It knows the extensions; this is the run of its program that was reached last.
    Ours { incarnation: u64 },
    /// It was a plain peer at this time.
    Plain { since: Instant },
}

/// Connections that the node itself made, open at once: less than half of the 1,024 files that a
/// program may have open unless told otherwise. Beyond, one without a call is closed, the most
/// silent first; if each has one, the node can't ask just now.
const MAX_DIALED: usize = 384;

/// Nodes that something is known of; beyond, somebody is forgotten, and learned anew.
const MAX_KNOWN: usize = 4096;

/// A plain peer is believed to be one for this long: it may be upgraded.
const PLAIN_FOR: Duration = Duration::from_secs(60);

impl Peers {
    pub fn new(shared: Rc<Shared>) -> Peers {
        Peers {
            accepted: HashMap::new(),
            crowd: Crowd::new(shared.limits, *shared.me.addr.ip()),
            dialed: HashMap::new(),
            routes: HashMap::new(),
            known: HashMap::new(),
            strangers: Strangers::new(Instant::now()),
            last_link: 0,
            shared,
        }
    }

    /// The connection that a call takes; none if one would have to be made and must not be.
    fn take(&mut self, addr: SocketAddrV4, way: Way) -> Option<Taken> {
        let kept = self.routes.get(&addr).copied().and_then(|id| self.taken(id, false));
        match (way, kept) {
            (_, _) if self.is_plain(addr) => self.dial(Origin::DialedPlain(addr)),
            (Way::Fresh, kept) => {
                if let Some(doubted) = kept {
                    doubted.link.do_send(Doubt);
                }
                self.dial(Origin::DialedOnce(addr))
            }
            (_, Some(kept)) => Some(kept),
            (_, None) => {
                let made = self.dial(Origin::Dialed(addr))?;
                self.routes.insert(addr, self.last_link);
                Some(made)
            }
        }
    }

    fn taken(&self, id: LinkId, made_for_it: bool) -> Option<Taken> {
        let dialed = self.dialed.get(&id).map(|open| (open.link.clone(), Some(open.calls.clone())));
        let (link, call) = dialed.or_else(|| Some((self.accepted.get(&id)?.clone(), None)))?;
        Some(Taken { link, made_for_it, call })
    }

    fn dial(&mut self, origin: Origin) -> Option<Taken> {
        let now = Instant::now();
        let stranger = origin.addr().is_none_or(|addr| !self.known.contains_key(&addr));
        if !self.make_room() || stranger && !self.strangers.may_dial(now) {
            if self.shared.tally.count(Shed::Undialed) {
                tracing::warn!(addr = ?origin.addr(), "too many nodes to call at once");
            }
            return None;
        }
        self.last_link += 1;
        let link = Link::dial(self.last_link, origin, self.shared.clone());
        let pulse = link.pulse();
        let open = Dialed { link: link.start(), since: now, pulse, calls: Rc::new(()) };
        self.dialed.insert(self.last_link, open);
        self.shared.counters.dialed.add(1);
        self.taken(self.last_link, true)
    }

    /// Takes in a connection that somebody else has made; another may have to leave for it.
    fn accept(&mut self, stream: TcpStream, from: SocketAddr) {
        self.last_link += 1;
        let link = Link::accept(self.last_link, stream, from, self.shared.clone());
        if let Some((leaving, why)) = self.crowd.enter(self.last_link, from.ip(), Instant::now(), link.pulse()) {
            if self.shared.tally.count(why) {
                tracing::warn!(%from, ?why, "one connection too many");
            }
            if let Some(leaving) = self.accepted.get(&leaving) {
                leaving.do_send(Stop);
            }
        }
        self.accepted.insert(self.last_link, link.start());
    }

    /// Closes the most silent connection without a call when this node has made too many. Says
    /// whether there is room for another.
    fn make_room(&mut self) -> bool {
        if self.dialed.len() < MAX_DIALED {
            return true;
        }
        let idle = self.dialed.iter().filter(|(_, open)| Rc::strong_count(&open.calls) == 1);
        let least = idle.min_by_key(|(_, open)| open.pulse.get().unwrap_or(open.since)).map(|(id, _)| *id);
        let Some(closed) = least.and_then(|id| self.dialed.remove(&id)) else { return false };
        closed.link.do_send(Stop);
        true
    }

    /// Writes down what was shed, now and then.
    fn report(&mut self, ctx: &mut Context<Peers>) {
        if let Some(shed) = self.shared.tally.summary() {
            tracing::warn!("kept off: {shed}");
        }
        ctx.run_later(SUMMARY_EVERY, Peers::report);
    }

    fn forget_route(&mut self, addr: Option<SocketAddrV4>, link: LinkId) {
        if let Some(addr) = addr.filter(|addr| self.routes.get(addr) == Some(&link)) {
            self.routes.remove(&addr);
        }
    }

    fn is_plain(&self, addr: SocketAddrV4) -> bool {
        matches!(self.known.get(&addr), Some(Known::Plain { since }) if since.elapsed() < PLAIN_FOR)
    }

    fn learn(&mut self, addr: SocketAddrV4, known: Known) {
        if self.known.len() >= MAX_KNOWN
            && !self.known.contains_key(&addr)
            && let Some(forgotten) = self.known.keys().next().copied()
        {
            self.known.remove(&forgotten);
        }
        self.known.insert(addr, known);
    }
}

impl Actor for Peers {
    type Context = Context<Peers>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_later(SUMMARY_EVERY, Peers::report);
    }
}

impl Handler<Call> for Peers {
    type Result = ResponseFuture<Answer>;

    fn handle(&mut self, call: Call, ctx: &mut Self::Context) -> Self::Result {
        let addr = call.target.addr();
        let known = self.known.get(&addr).copied();
        // Whoever was never reached may be a plain peer.
        if call.request.is_extension() && !matches!(known, Some(Known::Ours { .. })) {
            return Box::pin(async { Answer::Refused(Code::UnknownCall) });
        }
        let Some(Taken { link, made_for_it, call: waiting }) = self.take(addr, call.way) else {
            return Box::pin(async { Answer::Unasked });
        };
        let (reply, heard) = oneshot::channel();
        link.do_send(Ask { request: call.request.clone(), patience: call.patience, reply });
        let (peers, shared) = (ctx.address(), self.shared.clone());
        // Nobody waits longer than this: whoever forwards has what it passed on and a third of it, and
        // who asks otherwise probes after one time-out and gives up after the second.
        let limit = call.patience.map_or(self.shared.rpc_timeout * 3, |passed_on| passed_on * 4 / 3);
        Box::pin(async move {
            let Ok(heard) = timeout(limit, heard).await else { return Answer::Silent };
            drop(waiting);
            let again = match heard.unwrap_or(Heard::Lost) {
                Heard::Reply(reply) => return understand(&call, known, &reply, &shared.tally),
                Heard::Refused => return Answer::Gone,
                Heard::Busy => return Answer::Unasked,
                Heard::Lost if made_for_it || call.way != Way::Kept => return Answer::Silent,
                // A connection that closed under the call: the target may not have seen it.
                Heard::Lost => Call { way: Way::Again, ..call },
                Heard::Plain => call,
            };
            peers.send(again).await.unwrap_or(Answer::Silent)
        })
    }
}

/// What a reply to `call` means, from a node of which this was known.
fn understand(call: &Call, known: Option<Known>, reply: &Reply, tally: &Tally) -> Answer {
    let expected = match call.target {
        Target::Peer(peer) => Some(peer.id),
        Target::Address(_) => None,
    };
    let mut restarted = None;
    if let (Some(expected), Some((responder, incarnation))) = (expected, reply.responder) {
        if responder != expected {
            tracing::info!(target = ?call.target, %responder, "somebody else answers");
            return Answer::Gone;
        }
        let before = matches!(known, Some(Known::Ours { incarnation: old }) if old != incarnation);
        restarted = before.then_some(responder);
    }
    let responder = expected.or(reply.responder.map(|(responder, _)| responder));
    let answer = match reply.read(&call.request, responder) {
        Ok(Ok(response)) => Answer::Reply(response),
        Ok(Err(code)) => Answer::Refused(code),
        Err(error) => {
            if tally.count(Shed::Unclear) {
                tracing::warn!(target = ?call.target, %error, "a reply that can't be understood");
            }
            Answer::Refused(Code::Unspecified)
        }
    };
    if let Some(responder) = restarted {
        tracing::info!(target = ?call.target, "it was started again");
        return answer.after_restart(&call.request, responder);
    }
    answer
}

impl Handler<Accepted> for Peers {
    type Result = ();

    fn handle(&mut self, Accepted(accepted): Accepted, _: &mut Self::Context) {
        match accepted {
            Ok((stream, from)) => self.accept(stream, from),
            Err(error) if self.shared.tally.count(Shed::Starved) => {
                tracing::warn!(%error, "can't accept a connection");
            }
            Err(_) => {}
        }
    }
}

impl Handler<News> for Peers {
    type Result = ();

    fn handle(&mut self, news: News, _: &mut Self::Context) {
        match news {
            News::Ours { addr, incarnation } => self.learn(addr, Known::Ours { incarnation }),
            News::Plain { addr } => {
                self.routes.remove(&addr);
                self.learn(addr, Known::Plain { since: Instant::now() });
            }
            // An accepted connection is used for calls only if its claim agrees with what the
            // address itself has said when it was dialled.
            News::Introduced { link, addr, incarnation } => {
                let reached =
                    matches!(self.known.get(&addr), Some(Known::Ours { incarnation: known }) if *known == incarnation);
                if reached && self.accepted.contains_key(&link) {
                    self.routes.entry(addr).or_insert(link);
                }
            }
            News::Closing { link, addr } => self.forget_route(addr, link),
            News::Closed { link, addr } => {
                self.accepted.remove(&link);
                self.crowd.leave(link);
                self.dialed.remove(&link);
                self.forget_route(addr, link);
            }
        }
    }
}

impl Handler<Stop> for Peers {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) -> Self::Result {
        ctx.stop();
        let dialed = self.dialed.drain().map(|(_, open)| open.link);
        let links = self.accepted.drain().map(|(_, link)| link).chain(dialed);
        let stopped = join_all(links.map(|link| link.send(Stop)));
        // Errors mean that they have closed already.
        Box::pin(async move { drop(stopped.await) })
    }
}
