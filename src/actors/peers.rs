//! Owns the connections: finds or makes the one that a call takes.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::rc::Rc;

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, ResponseFuture};
use futures::future::join_all;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant, timeout};

use super::link::{Ask, Doubt, Heard, Link, LinkId, News, Origin, Shared};
use super::listener::Accepted;
use super::{Call, Stop, Way};
use crate::protocol::procedure::{Answer, Target};
use crate::protocol::rpc::{Code, Request};
use crate::wire::Reply;

/// The connections of a node, and what is known of the nodes that it has talked to.
pub struct Peers {
    shared: Rc<Shared>,
    /// Every open connection.
    links: HashMap<LinkId, Open>,
    /// The kept connection to each node.
    routes: HashMap<SocketAddrV4, LinkId>,
    known: HashMap<SocketAddrV4, Known>,
    last_link: LinkId,
}

struct Open {
    link: Addr<Link>,
    /// When its last whole frame came.
    heard: Rc<Cell<Instant>>,
}

/// What is known of the node at an address.
#[derive(Clone, Copy, Debug)]
enum Known {
    /// It knows the extensions; this is the run of its program that was reached last.
    Ours { incarnation: u64 },
    /// It was a plain peer at this time.
    Plain { since: Instant },
}

/// Connections open at once; beyond, the one that was silent for longest is closed.
const MAX_LINKS: usize = 4096;

/// Nodes that something is known of; beyond, somebody is forgotten, and learned anew.
const MAX_KNOWN: usize = 4096;

/// A plain peer is believed to be one for this long: it may be upgraded.
const PLAIN_FOR: Duration = Duration::from_secs(60);

impl Peers {
    pub fn new(shared: Rc<Shared>) -> Peers {
        Peers { shared, links: HashMap::new(), routes: HashMap::new(), known: HashMap::new(), last_link: 0 }
    }

    /// The connection that a call takes, and whether it was made for it.
    fn link(&mut self, addr: SocketAddrV4, way: Way) -> (Addr<Link>, bool) {
        let kept = self.routes.get(&addr).and_then(|id| self.links.get(id));
        match (way, kept) {
            (_, _) if self.is_plain(addr) => (self.dial(Origin::DialedPlain(addr)), true),
            (Way::Fresh, kept) => {
                if let Some(doubted) = kept {
                    doubted.link.do_send(Doubt);
                }
                (self.dial(Origin::DialedOnce(addr)), true)
            }
            (_, Some(open)) => (open.link.clone(), false),
            (_, None) => {
                let link = self.dial(Origin::Dialed(addr));
                self.routes.insert(addr, self.last_link);
                (link, true)
            }
        }
    }

    fn dial(&mut self, origin: Origin) -> Addr<Link> {
        self.last_link += 1;
        let link = Link::dial(self.last_link, origin, self.shared.clone());
        self.open(link)
    }

    fn open(&mut self, link: Link) -> Addr<Link> {
        self.make_room();
        let heard = link.heard();
        let link = link.start();
        self.links.insert(self.last_link, Open { link: link.clone(), heard });
        link
    }

    /// Closes the connection that was silent for longest when there are too many.
    fn make_room(&mut self) {
        if self.links.len() < MAX_LINKS {
            return;
        }
        let oldest = self.links.iter().min_by_key(|(_, open)| open.heard.get()).map(|(id, _)| *id);
        if let Some(open) = oldest.and_then(|id| self.links.remove(&id)) {
            open.link.do_send(Stop);
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
}

impl Handler<Call> for Peers {
    type Result = ResponseFuture<Answer>;

    fn handle(&mut self, call: Call, ctx: &mut Self::Context) -> Self::Result {
        let addr = call.target.addr();
        let known = self.known.get(&addr).copied();
        // Plain peers are never sent a call that they don't know: it kills some of them.
        let ours_only = matches!(call.request, Request::Nudge { .. } | Request::Invite { .. });
        if ours_only && !matches!(known, Some(Known::Ours { .. })) {
            return Box::pin(async { Answer::Refused(Code::UnknownCall) });
        }
        let (link, made_for_it) = self.link(addr, call.way);
        let (reply, heard) = oneshot::channel();
        link.do_send(Ask { request: call.request.clone(), patience: call.patience, reply });
        let peers = ctx.address();
        // Nobody waits longer than this: whoever forwards has what it passed on and a third of it, and
        // who asks otherwise probes after one time-out and gives up after the second.
        let limit = call.patience.map_or(self.shared.rpc_timeout * 3, |passed_on| passed_on * 4 / 3);
        Box::pin(async move {
            let Ok(heard) = timeout(limit, heard).await else { return Answer::Silent };
            let again = match heard.unwrap_or(Heard::Lost) {
                Heard::Reply(reply) => return understand(&call, known, &reply),
                Heard::Refused => return Answer::Gone,
                Heard::Busy => return Answer::Refused(Code::Busy),
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
fn understand(call: &Call, known: Option<Known>, reply: &Reply) -> Answer {
    let expected = match call.target {
        Target::Peer(peer) => Some(peer.id),
        Target::Address(_) => None,
    };
    let mut restarted = false;
    if let (Some(expected), Some((responder, incarnation))) = (expected, reply.responder) {
        if responder != expected {
            tracing::info!(target = ?call.target, %responder, "somebody else answers");
            return Answer::Gone;
        }
        restarted = matches!(known, Some(Known::Ours { incarnation: old }) if old != incarnation);
    }
    let responder = expected.or(reply.responder.map(|(responder, _)| responder));
    let answer = match reply.read(&call.request, responder) {
        Ok(Ok(response)) => Answer::Reply(response),
        Ok(Err(code)) => Answer::Refused(code),
        Err(error) => {
            tracing::warn!(target = ?call.target, %error, "a reply that can't be understood");
            Answer::Refused(Code::Unspecified)
        }
    };
    if restarted {
        tracing::info!(target = ?call.target, "it was started again");
        return answer.after_restart();
    }
    answer
}

impl Handler<Accepted> for Peers {
    type Result = ();

    fn handle(&mut self, Accepted(stream): Accepted, _: &mut Self::Context) {
        if let Ok(from) = stream.peer_addr() {
            self.last_link += 1;
            let link = Link::accept(self.last_link, stream, from, self.shared.clone());
            self.open(link);
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
                if reached && self.links.contains_key(&link) {
                    self.routes.entry(addr).or_insert(link);
                }
            }
            News::Closed { link, addr } => {
                self.links.remove(&link);
                if let Some(addr) = addr.filter(|addr| self.routes.get(addr) == Some(&link)) {
                    self.routes.remove(&addr);
                }
            }
        }
    }
}

impl Handler<Stop> for Peers {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) -> Self::Result {
        ctx.stop();
        let stopped = join_all(self.links.drain().map(|(_, open)| open.link.send(Stop)));
        // Errors mean that they have closed already.
        Box::pin(async move { drop(stopped.await) })
    }
}
