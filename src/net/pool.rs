//! The kept connections of the nodes of one thread, where their calls find them.
//!
//! A connection belongs to the node that made or accepted it, and ends with that node; but any node of the thread may
//! ask on it. So all nodes of the thread reach another node over one connection, where each would otherwise need its
//! own.
//!
//! In the other direction, one node of the thread, the *front*, takes calls for all nodes of the thread. A caller that
//! connects to any of them learns its front from the reply, and makes further calls on a connection to the front. So
//! one connection leads from thread to thread, however many nodes are behind it. Only a node itself names its front, on
//! a connection made to its own address: no peer can draw another node's calls to itself.
//!
//! Only the peers actors enter connections here. A call that finds a connection takes it without a message to the peers
//! actor: most calls do, and each hop of a lookup is a call.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use foldhash::HashMap;
use tokio::time::Instant;

use crate::actors::messages::{Severed, Slept};
use crate::actors::thread::Thread;
use crate::actors::throttle::Throttle;
use crate::net::events::{LinkControl, LinkEvent, LinkId};
use crate::net::meters::Meters;
use crate::net::pending::PendingCalls;
use crate::net::resident::Resident;
use crate::protocol::addr::Addr;
use crate::protocol::fronts::{Behind, Fronts};

/// The kept connection to each node. All clones are one pool.
#[derive(Clone, Default)]
pub struct ConnectionPool(Rc<Inner>);

#[derive(Default)]
struct Inner {
    routes: RefCell<HashMap<Addr, Route>>,
    /// Nodes of other threads that have a front.
    fronts: RefCell<Fronts>,
    /// What the nodes of this thread decide together.
    thread: Thread,
    /// The nodes of this thread.
    nodes: RefCell<HashMap<Addr, Weak<Resident>>>,
    /// The name of their ring, once there is a node.
    ring: OnceCell<Option<String>>,
    /// The node that takes calls for all of them.
    front: Cell<Option<Addr>>,
    /// Limits how many nodes join at once.
    joins: Throttle,
    /// Limits how many finger lookups run at once.
    finger_lookups: Throttle,
    last_link: Cell<LinkId>,
}

/// A kept connection.
#[derive(Clone)]
pub struct Route {
    pub id: LinkId,
    pub link: Rc<dyn LinkControl>,
    pub pending: PendingCalls,
    /// The incarnation of the node at the other end, once it is known to be of our own kind.
    pub incarnation: Option<u64>,
    /// Each call that waits for an answer has a clone; none if the connection was accepted.
    pub held: Option<Rc<()>>,
    /// The port of the node that is asked, if the connection was made to its front.
    pub to: Option<u16>,
}

impl ConnectionPool {
    /// Adds a node of this thread, until it is dropped.
    pub fn enter(&self, node: &Rc<Resident>) {
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

    /// Whether nodes of the ring of this name may share the connections.
    pub fn is_of_ring(&self, name: &Option<String>) -> bool {
        self.0.ring.get_or_init(|| name.clone()) == name
    }

    /// The node of this thread at that address.
    pub(crate) fn node(&self, addr: Addr) -> Option<Rc<Resident>> {
        self.0.nodes.borrow().get(&addr)?.upgrade()
    }

    /// The port of the front of this thread, unless `node` is the front itself or alone on the thread.
    pub(crate) fn front(&self, node: Addr) -> Option<u16> {
        if self.0.nodes.borrow().len() == 1 {
            return None;
        }
        let front = self.0.front.get().filter(|front| self.node(*front).is_some()).unwrap_or(node);
        self.0.front.set(Some(front));
        (front != node && front.ip() == node.ip()).then_some(front.port())
    }

    /// The kept connection to that address, if there is one. A closing connection does not count: its owner removes it
    /// only when a message arrives, and a call lost on it may be repeated before that, by any node of the thread.
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

    /// A node has named its front, or said that it has none, on a connection to its own address. Returns the front if
    /// there is no connection to it yet.
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

    /// The front has answered that it does not know that node.
    pub(crate) fn refused_by_front(&self, addr: Addr) {
        self.0.fronts.borrow_mut().refused(addr, self.0.thread.now());
    }

    /// Makes no more calls on the direct connection to that address.
    fn retire(&self, addr: Addr) {
        let mut routes = self.0.routes.borrow_mut();
        if routes.get(&addr).is_some_and(|route| route.held.is_some() && route.incarnation.is_some())
            && let Some(retired) = routes.remove(&addr)
        {
            retired.link.retire();
        }
    }

    /// A kept connection broke: tells every node of the thread that the node there may have died, and so may all nodes
    /// behind it.
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

    /// What the nodes of this thread do, counted.
    pub(crate) fn meters(&self) -> Arc<Meters> {
        self.0.thread.meters().clone()
    }

    /// A frame was read: the thread looks at the clock.
    pub(crate) fn look(&self, now: Instant) {
        if let Some(length) = self.0.thread.look(now) {
            self.slept(length);
        }
    }

    /// The thread has slept: callers that got no answer meanwhile may have given its nodes up.
    fn slept(&self, length: Duration) {
        tracing::info!(?length, "this thread did not run for a while");
        for node in self.living().into_iter().filter(|node| length >= node.rpc_timeout) {
            node.serves.slept();
            node.slept.do_send(Slept);
        }
    }

    /// The process has too many accepted connections: the node of this thread with the most of them closes one.
    pub(crate) fn thin_out(&self) {
        let most = self.living().into_iter().max_by_key(|node| node.accepted.get());
        if let Some(node) = most.filter(|node| node.accepted.get() > 0) {
            node.events.do_send(LinkEvent::TooMany);
        }
    }

    fn living(&self) -> Vec<Rc<Resident>> {
        self.0.nodes.borrow().values().filter_map(Weak::upgrade).collect()
    }

    /// Limits how many nodes join at once.
    pub(crate) fn joins(&self) -> Throttle {
        self.0.joins.clone()
    }

    /// Limits how many finger lookups run at once.
    pub(crate) fn finger_lookups(&self) -> Throttle {
        self.0.finger_lookups.clone()
    }

    /// A number that no other connection has.
    pub(crate) fn next_link(&self) -> LinkId {
        self.0.last_link.set(self.0.last_link.get() + 1);
        self.0.last_link.get()
    }

    /// Keeps this connection for calls to that address, in place of any other.
    pub(crate) fn keep(&self, addr: Addr, route: Route) {
        self.0.routes.borrow_mut().insert(addr, route);
    }

    /// Marks that connection, if it is kept, as leading to a node of our own kind.
    pub(crate) fn is_ours(&self, addr: Addr, link: LinkId, incarnation: u64) {
        if let Some(route) = self.0.routes.borrow_mut().get_mut(&addr).filter(|route| route.id == link) {
            route.incarnation = Some(incarnation);
        }
    }

    /// Stops keeping that connection.
    pub(crate) fn forget(&self, addr: Addr, link: LinkId) {
        let mut routes = self.0.routes.borrow_mut();
        if routes.get(&addr).is_some_and(|route| route.id == link) {
            routes.remove(&addr);
        }
    }

    /// That connection does not lead to the node that lives there: retires it.
    pub(crate) fn mistaken(&self, addr: Addr, link: LinkId) {
        let mut routes = self.0.routes.borrow_mut();
        if routes.get(&addr).is_some_and(|route| route.id == link)
            && let Some(mistaken) = routes.remove(&addr)
        {
            mistaken.link.retire();
        }
    }

    /// Stops keeping these connections.
    pub(crate) fn forget_all(&self, links: impl Fn(LinkId) -> bool) {
        self.0.routes.borrow_mut().retain(|_, route| !links(route.id));
    }
}
