//! The kept connections of the nodes of one thread, where their calls find them.
//!
//! A connection belongs to the node that has made or accepted it, and ends with it; but any node of the
//! thread may ask on it. So however many they are, one connection leads from all of them to another node,
//! where each would otherwise need its own.
//!
//! And any node of the thread may be asked on it: one of them, the *front*, takes calls for all. Whoever connects to
//! another hears from it who that is, and makes further calls on a connection to the front. So one connection leads
//! from thread to thread, however many nodes are behind it. Only a node itself says what its front is, on
//! a connection that was made to its own address: nobody can draw the calls of others to himself.
//!
//! Only the peers actors write connections down here. A call for which there is one takes it without asking
//! them: most calls do, and each hop of a lookup makes one.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::actors::messages::{Severed, Slept};
use crate::actors::thread::Thread;
use crate::actors::throttle::Throttle;
use crate::net::events::{LinkEvent, LinkId, Retire};
use crate::net::link::Link;
use crate::net::pending::PendingCalls;
use crate::net::shared::Shared;
use crate::protocol::addr::Addr;
use crate::protocol::fronts::{Behind, Fronts};

/// The kept connection to each node. Clones are the same.
#[derive(Clone, Default)]
pub struct ConnectionPool(Rc<Inner>);

#[derive(Default)]
struct Inner {
    routes: RefCell<HashMap<Addr, Route>>,
    /// Nodes elsewhere that have a front.
    fronts: RefCell<Fronts>,
    /// What its nodes decide together.
    thread: Thread,
    /// The nodes of this thread.
    nodes: RefCell<HashMap<Addr, Weak<Shared>>>,
    /// The one of them that takes calls for all.
    front: Cell<Option<Addr>>,
    /// Whose turn it is to join.
    joins: Throttle,
    /// Whose turn it is to look a finger up.
    finger_lookups: Throttle,
    last_link: Cell<LinkId>,
}

/// A kept connection.
#[derive(Clone)]
pub struct Route {
    pub id: LinkId,
    pub link: actix::Addr<Link>,
    pub pending: PendingCalls,
    /// The run of the program at its other end, once it is known that it is of our own kind.
    pub incarnation: Option<u64>,
    /// Whoever waits for an answer has a clone, if a node of this thread made the connection.
    pub held: Option<Rc<()>>,
    /// The port of the node that is asked, if it is not the one that the connection was made to.
    pub to: Option<u16>,
}

impl ConnectionPool {
    /// One more node uses it, until it is dropped.
    pub fn enter(&self, node: &Rc<Shared>) {
        let mut nodes = self.0.nodes.borrow_mut();
        if nodes.is_empty() {
            let inner = Rc::downgrade(&self.0);
            self.0.thread.beat(move |length| {
                if let Some(inner) = inner.upgrade() {
                    ConnectionPool(inner).slept(length);
                }
            });
        }
        if nodes.len() == nodes.capacity() {
            nodes.retain(|_, node| node.strong_count() > 0);
        }
        nodes.insert(node.me.addr, Rc::downgrade(node));
    }

    /// The node of this thread that lives there.
    pub(crate) fn node(&self, addr: Addr) -> Option<Rc<Shared>> {
        self.0.nodes.borrow().get(&addr)?.upgrade()
    }

    /// The port of the node that takes calls for that one of this thread, if it is another.
    pub(crate) fn front(&self, node: Addr) -> Option<u16> {
        if self.0.nodes.borrow().len() == 1 {
            return None;
        }
        let front = self.0.front.get().filter(|front| self.node(*front).is_some()).unwrap_or(node);
        self.0.front.set(Some(front));
        (front != node && front.ip() == node.ip()).then_some(front.port())
    }

    /// The kept connection to that address, if there is one. One that takes no more calls is none: its owner hears
    /// so by message, but a call that it has lost is repeated at once, by whichever node.
    pub fn get(&self, addr: Addr) -> Option<Route> {
        let routes = self.0.routes.borrow();
        let open = |addr| routes.get(addr).filter(|route| !route.pending.is_closed());
        let Some(Behind { front, incarnation }) = self.0.fronts.borrow().get(addr) else {
            return open(&addr).cloned();
        };
        match open(&front).filter(|front| front.incarnation.is_some()) {
            Some(front) => Some(Route { incarnation: Some(incarnation), to: Some(addr.port()), ..front.clone() }),
            None => open(&addr).cloned(),
        }
    }

    /// Whether this connection is kept for calls to that address.
    pub(crate) fn keeps(&self, addr: Addr, link: LinkId) -> bool {
        self.0.routes.borrow().get(&addr).is_some_and(|route| route.id == link)
    }

    /// A node has said, on a connection to itself, what its front is; none if it has none. Returns the front if there
    /// is no connection to it yet.
    pub(crate) fn learn_front(&self, addr: Addr, front: Option<u16>, incarnation: u64) -> Option<Addr> {
        let mut fronts = self.0.fronts.borrow_mut();
        let Some(front) = fronts.learn(addr, front, incarnation, self.0.thread.now()) else {
            fronts.behind(addr).for_each(|addr| self.retire(addr));
            return None;
        };
        match self.0.routes.borrow().get(&front).map(|route| route.incarnation) {
            Some(Some(_)) => {}
            Some(None) => return None,
            None => return Some(front),
        }
        self.retire(addr);
        None
    }

    /// The front of that node has said that it does not know it.
    pub(crate) fn refused_by_front(&self, addr: Addr) {
        self.0.fronts.borrow_mut().refused(addr, self.0.thread.now());
    }

    /// Calls to that address take another way from now on.
    fn retire(&self, addr: Addr) {
        let mut routes = self.0.routes.borrow_mut();
        if routes.get(&addr).is_some_and(|route| route.held.is_some() && route.incarnation.is_some())
            && let Some(retired) = routes.remove(&addr)
        {
            retired.link.do_send(Retire);
        }
    }

    /// A kept connection broke: every node hears that whoever lives there may have died, and all who are behind it.
    pub fn severed(&self, addr: Addr) {
        let mut doubted = self.0.fronts.borrow_mut().lost(addr);
        doubted.insert(addr);
        let severed = Severed(Arc::new(doubted));
        for node in self.living() {
            node.serves.doubt(&severed);
            node.severed.do_send(severed.clone());
        }
    }

    /// What the nodes of this thread decide together.
    pub fn thread(&self) -> &Thread {
        &self.0.thread
    }

    /// Something is read: the thread looks at the clock.
    pub(crate) fn look(&self, now: Instant) {
        if let Some(length) = self.0.thread.look(now) {
            self.slept(length);
        }
    }

    /// The thread has slept: its nodes may have been given up meanwhile by those who called them in vain.
    fn slept(&self, length: Duration) {
        tracing::info!(?length, "this thread did not run for a while");
        for node in self.living().into_iter().filter(|node| length >= node.rpc_timeout) {
            node.serves.slept();
            node.slept.do_send(Slept);
        }
    }

    /// The process has too many connections that others have made: whichever of its nodes has most closes one.
    pub(crate) fn thin_out(&self) {
        let most = self.living().into_iter().max_by_key(|node| node.accepted.get());
        if let Some(node) = most.filter(|node| node.accepted.get() > 0) {
            node.events.do_send(LinkEvent::TooMany);
        }
    }

    fn living(&self) -> Vec<Rc<Shared>> {
        self.0.nodes.borrow().values().filter_map(Weak::upgrade).collect()
    }

    /// Whose turn it is to join.
    pub(crate) fn joins(&self) -> Throttle {
        self.0.joins.clone()
    }

    /// Whose turn it is to look a finger up.
    pub(crate) fn finger_lookups(&self) -> Throttle {
        self.0.finger_lookups.clone()
    }

    /// A number that no other connection has.
    pub(crate) fn next_link(&self) -> LinkId {
        self.0.last_link.set(self.0.last_link.get() + 1);
        self.0.last_link.get()
    }

    /// Keeps this connection, rather than any other, for calls to that address.
    pub(crate) fn keep(&self, addr: Addr, route: Route) {
        self.0.routes.borrow_mut().insert(addr, route);
    }

    /// The node at the other end of that connection, if it is kept, is of our own kind.
    pub(crate) fn is_ours(&self, addr: Addr, link: LinkId, incarnation: u64) {
        if let Some(route) = self.0.routes.borrow_mut().get_mut(&addr).filter(|route| route.id == link) {
            route.incarnation = Some(incarnation);
        }
    }

    /// Keeps that connection no more.
    pub(crate) fn forget(&self, addr: Addr, link: LinkId) {
        let mut routes = self.0.routes.borrow_mut();
        if routes.get(&addr).is_some_and(|route| route.id == link) {
            routes.remove(&addr);
        }
    }

    /// That connection does not lead to whoever lives there.
    pub(crate) fn mistaken(&self, addr: Addr, link: LinkId) {
        let mut routes = self.0.routes.borrow_mut();
        if routes.get(&addr).is_some_and(|route| route.id == link)
            && let Some(mistaken) = routes.remove(&addr)
        {
            mistaken.link.do_send(Retire);
        }
    }

    /// Keeps none of those connections any more.
    pub(crate) fn forget_all(&self, links: impl Fn(LinkId) -> bool) {
        self.0.routes.borrow_mut().retain(|_, route| !links(route.id));
    }
}
