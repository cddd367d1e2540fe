//! Owns the connections: finds or makes the connection for a call.

use std::collections::BTreeMap;
use std::mem;
use std::rc::Rc;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, ResponseFuture};
use futures::future::join_all;
use tokio::time::Instant;

use crate::actors::messages::{Call, Stop, Way};
use crate::net::events::{LinkEvent, LinkId, Origin};
use crate::net::frames::Stream;
use crate::net::limits::budget::{ConnectionBudget, Ticket};
use crate::net::limits::dials::DialLimiter;
use crate::net::limits::drops::{DropReason, SUMMARY_EVERY};
use crate::net::limits::inbound::{InboundLimiter, LastSeen, remove};
use crate::net::link::Link;
use crate::net::listener::Accepted;
use crate::net::pending::PendingCalls;
use crate::net::pool::Route;
use crate::net::routes::Routes;
use crate::net::shared::Shared;
use crate::protocol::addr::Addr;
use crate::protocol::procedure::Answer;
use crate::protocol::rpc::{Code, Request};

/// The connections of a node, and what is known of the nodes that it has talked to.
pub struct Peers {
    shared: Rc<Shared>,
    /// Every open connection that other nodes made, with its ticket of the budget.
    accepted: BTreeMap<LinkId, (Open, Ticket)>,
    /// How many of them there may be, and which to close first.
    inbound: InboundLimiter,
    /// Every open connection that this node made; at most
    /// [`Limits::dialed`](crate::net::limits::inbound::Limits::dialed).
    dialed: BTreeMap<LinkId, Dialed>,
    dials: DialLimiter,
    /// The budgets shared by the nodes of this process: `budget` for connections that they make, `accepting` for
    /// connections that others make to them.
    budget: Option<ConnectionBudget>,
    accepting: Option<ConnectionBudget>,
}

/// A connection, and the questions on it.
#[derive(Clone)]
struct Open {
    link: actix::Addr<Link>,
    pending: PendingCalls,
}

struct Dialed {
    open: Open,
    since: Instant,
    last_seen: LastSeen,
    /// Each call that waits for its answer has a clone, so the count tells whether the connection is idle.
    calls: Rc<()>,
    /// Its ticket of the budget.
    _ticket: Ticket,
}

/// The connection chosen for a call.
struct Taken {
    route: Route,
    /// Whether it was made for this call.
    made_for_it: bool,
    /// Whether it closes with the call.
    once: bool,
}

impl Peers {
    /// Starts without connections, and enters this node in its thread's pool: the pool holds the kept connections and
    /// tells this node when one of them breaks. With a budget, the limit on dialled connections is this node's share of
    /// it; `accepting` is the budget for accepted ones.
    pub fn new(shared: Rc<Shared>, budget: Option<ConnectionBudget>, accepting: Option<ConnectionBudget>) -> Peers {
        shared.routes.pool.enter(&shared.resident);
        Peers {
            accepted: BTreeMap::new(),
            inbound: InboundLimiter::new(shared.limits, shared.resident.me.addr.ip()),
            dialed: BTreeMap::new(),
            dials: DialLimiter::new(Instant::now()),
            shared,
            budget,
            accepting,
        }
    }

    /// The connection for a call; none if a new one would be needed and can't be made now.
    fn take(&mut self, addr: Addr, way: Way) -> Option<Taken> {
        let kept = self.shared.routes.pool.get(addr);
        match (way, kept) {
            (_, _) if self.shared.routes.known.is_plain(addr) => self.dial(Origin::DialedPlain(addr)),
            (Way::Fresh, kept) => {
                if let Some(doubted) = kept {
                    doubted.link.doubt();
                }
                self.dial(Origin::DialedOnce(addr))
            }
            (_, Some(route)) => Some(Taken { route, made_for_it: false, once: false }),
            (_, None) => self.dial(Origin::Dialed(addr)),
        }
    }

    fn dial(&mut self, origin: Origin) -> Option<Taken> {
        let now = Instant::now();
        let stranger = origin.addr().is_none_or(|addr| !self.shared.routes.known.contains(addr));
        let room = self.make_room().filter(|_| !stranger || self.dials.may_dial(now));
        let Some(ticket) = room else {
            if self.shared.resident.dropped(DropReason::Undialed) {
                tracing::warn!(addr = ?origin.addr(), "too many nodes to call at once");
            }
            return None;
        };
        let id = self.shared.routes.pool.next_link();
        let link = Link::dial(id, origin, self.shared.clone());
        let (last_seen, pending, calls) = (link.last_seen(), link.pending(), Rc::new(()));
        let open = Open { link: link.start(), pending };
        let Open { link, pending } = open.clone();
        let route = Route { id, link: Rc::new(link), pending, incarnation: None, held: Some(calls.clone()), to: None };
        if let Origin::Dialed(addr) = origin {
            self.shared.routes.pool.keep(addr, route.clone());
        }
        self.dialed.insert(id, Dialed { open, since: now, last_seen, calls, _ticket: ticket });
        self.shared.resident.counters.dialed.add(1);
        self.count();
        Some(Taken { route, made_for_it: true, once: !matches!(origin, Origin::Dialed(_)) })
    }

    /// Accepts a connection that another node made; one of the others may be closed for it.
    fn accept(&mut self, stream: Stream, from: Addr) {
        let id = self.shared.routes.pool.next_link();
        let link = Link::accept(id, stream, from, self.shared.clone());
        if let Some((leaving, why)) = self.inbound.enter(id, from.ip(), Instant::now(), link.last_seen()) {
            if self.shared.resident.dropped(why) {
                tracing::warn!(%from, ?why, "one connection too many");
            }
            self.dismiss(leaving);
        }
        let pending = link.pending();
        let ticket = self.accepting.as_ref().map_or_else(Ticket::free, |budget| {
            budget.take().unwrap_or_else(|| {
                self.shared.routes.pool.thin_out();
                budget.take_one_too_many()
            })
        });
        self.accepted.insert(id, (Open { link: link.start(), pending }, ticket));
        self.count();
    }

    /// Closes an accepted connection.
    fn dismiss(&self, leaving: LinkId) {
        if let Some((leaving, _)) = self.accepted.get(&leaving) {
            leaving.link.do_send(Stop);
        }
    }

    /// Room for one more dialled connection, and its ticket; none if there is no room. If this node has dialled too
    /// many, idle ones are closed for it.
    fn make_room(&mut self) -> Option<Ticket> {
        let most = self.shared.limits.dialed;
        let scarce = self.budget.as_ref().is_none_or(ConnectionBudget::is_scarce);
        while scarce && self.dialed.len() >= most && self.close_idle() {}
        match self.budget.clone() {
            None => (self.dialed.len() < most).then(Ticket::free),
            Some(budget) => budget.take().or_else(|| self.close_idle().then(|| budget.take())?),
        }
    }

    /// Of the dialled connections without a call, closes the one silent for longest. Returns whether there was one.
    fn close_idle(&mut self) -> bool {
        // One clone is held here, and one by the route if the connection is kept.
        let is_idle = |id: &LinkId, dialed: &Dialed| {
            let addr = dialed.open.pending.addr();
            let kept = addr.is_some_and(|addr| self.shared.routes.pool.keeps(addr, *id));
            Rc::strong_count(&dialed.calls) == 1 + usize::from(kept)
        };
        let idle = self.dialed.iter().filter(|(id, dialed)| is_idle(id, dialed));
        let least = idle.min_by_key(|(_, open)| open.last_seen.get().unwrap_or(open.since)).map(|(id, _)| *id);
        let Some((id, closed)) = least.and_then(|id| self.dialed.remove_entry(&id)) else { return false };
        // The route goes at once: a call that still took it would be lost.
        self.unroute(closed.open.pending.addr(), id);
        closed.open.link.do_send(Stop);
        true
    }

    fn count(&self) {
        self.shared.resident.accepted.set(self.accepted.len());
        self.shared.resident.counters.accepted.set(self.accepted.len() as u64);
        self.shared.resident.counters.open.set((self.accepted.len() + self.dialed.len()) as u64);
    }

    /// Logs a summary of what was dropped, every [`SUMMARY_EVERY`].
    fn report(&mut self, ctx: &mut Context<Peers>) {
        if let Some(shed) = self.shared.resident.drops.summary() {
            tracing::warn!("dropped: {shed}");
        }
        ctx.run_later(SUMMARY_EVERY, Peers::report);
    }

    fn unroute(&self, addr: Option<Addr>, link: LinkId) {
        if let Some(addr) = addr {
            self.shared.routes.pool.forget(addr, link);
        }
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
        // A node that was never reached may be a plain peer, which does not know the extensions.
        if call.request.is_extension() && self.shared.routes.known.incarnation(addr).is_none() {
            return Box::pin(async { Answer::Refused(Code::UnknownCall) });
        }
        let Some(Taken { route, made_for_it, once }) = self.take(addr, call.way) else {
            return Box::pin(async { Answer::Unasked });
        };
        // A call gets at most one connection made for it: if that one fails, the call is not repeated.
        let call = if made_for_it && call.way == Way::Kept { Call { way: Way::Again, ..call } } else { call };
        let routes = &self.shared.routes;
        let calling = if once { routes.calling_once(call, &route) } else { routes.calling(call, &route) };
        let peers = ctx.address();
        Box::pin(async move {
            match calling.answer().await {
                Ok(answer) => answer,
                Err(again) => peers.send(again).await.unwrap_or(Answer::Silent),
            }
        })
    }
}

impl Handler<Accepted> for Peers {
    type Result = ();

    fn handle(&mut self, Accepted(accepted): Accepted, _: &mut Self::Context) {
        match accepted {
            Ok((stream, from)) => self.accept(stream, from),
            Err(error) if self.shared.resident.dropped(DropReason::Starved) => {
                tracing::warn!(%error, "can't accept a connection");
            }
            Err(_) => {}
        }
    }
}

impl Handler<LinkEvent> for Peers {
    type Result = ();

    fn handle(&mut self, event: LinkEvent, _: &mut Self::Context) {
        match event {
            LinkEvent::Ours { link, addr, incarnation, front } => {
                let pool = self.shared.routes.pool.clone();
                pool.is_ours(addr, link, incarnation);
                if let Some(front) = pool.learn_front(addr, front, incarnation)
                    && let Some(Taken { route, .. }) = self.dial(Origin::Dialed(front))
                {
                    // Only what the reply reveals about the other end is wanted.
                    route.pending.say(Request::CheckPredecessor);
                }
            }
            LinkEvent::Plain { link, addr } => {
                self.shared.routes.pool.forget(addr, link);
                self.shared.routes.known.learn_plain(addr);
            }
            // An accepted connection is used for calls only if its claim agrees with what the node at that address said
            // itself when it was dialled.
            LinkEvent::Introduced { link, addr, incarnation } => {
                let Routes { pool, known } = &self.shared.routes;
                if let Some((Open { link: accepted, pending }, _)) = self.accepted.get(&link)
                    && known.incarnation(addr) == Some(incarnation)
                    && pool.get(addr).is_none()
                {
                    let incarnation = Some(incarnation);
                    let (accepted, pending) = (accepted.clone(), pending.clone());
                    let route = Route { id: link, link: Rc::new(accepted), pending, incarnation, held: None, to: None };
                    pool.keep(addr, route);
                }
            }
            LinkEvent::TooMany => {
                if let Some(leaving) = self.inbound.thin_out(Instant::now()) {
                    if self.shared.resident.dropped(DropReason::Crowded) {
                        tracing::warn!("one connection too many for this process");
                    }
                    self.dismiss(leaving);
                }
            }
            LinkEvent::Closing { link, addr } => self.unroute(addr, link),
            LinkEvent::Closed { link, addr } => {
                remove(&mut self.accepted, link);
                remove(&mut self.dialed, link);
                self.inbound.leave(link);
                self.unroute(addr, link);
                self.count();
            }
        }
    }
}

impl Handler<Stop> for Peers {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) -> Self::Result {
        ctx.stop();
        let owned = |link| self.accepted.contains_key(&link) || self.dialed.contains_key(&link);
        self.shared.routes.pool.forget_all(owned);
        let dialed = mem::take(&mut self.dialed).into_values().map(|dialed| dialed.open);
        let accepted = mem::take(&mut self.accepted).into_values().map(|(open, _)| open);
        let open = accepted.chain(dialed);
        let stopped = join_all(open.map(|open| open.link.send(Stop)));
        // Errors mean that the link has stopped already.
        Box::pin(async move { drop(stopped.await) })
    }
}
