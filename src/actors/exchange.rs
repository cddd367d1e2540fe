//! The kept connections of the nodes of one thread, where their calls find them.
//!
//! A connection belongs to the node that has made or accepted it, and ends with it; but any node of the
//! thread may ask on it. So however many they are, one connection leads from all of them to another node,
//! where each would otherwise need its own: a thousand nodes would need some twelve thousand of them.
//!
//! Only the peers actors write connections down here. A call for which there is one takes it without asking
//! them: most calls do, and each hop of a lookup makes one.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::rc::{Rc, Weak};

use actix::Addr;

use super::Severed;
use super::asking::Asking;
use super::link::{Link, LinkId};
use super::shared::Shared;

/// The kept connection to each node. Clones are the same.
#[derive(Clone, Default)]
pub struct Exchange(Rc<Inner>);

#[derive(Default)]
struct Inner {
    routes: RefCell<HashMap<SocketAddrV4, Route>>,
    /// The nodes that use them.
    nodes: RefCell<Vec<Weak<Shared>>>,
    last_link: Cell<LinkId>,
}

/// A kept connection.
#[derive(Clone)]
pub struct Route {
    pub id: LinkId,
    pub link: Addr<Link>,
    pub asking: Asking,
    /// The run of the program at its other end, once it is known that it is of our own kind.
    pub incarnation: Option<u64>,
    /// Whoever waits for an answer has a clone, if a node of this thread made the connection.
    pub held: Option<Rc<()>>,
}

impl Exchange {
    /// One more node uses it, until it is dropped.
    pub fn enter(&self, node: &Rc<Shared>) {
        let mut nodes = self.0.nodes.borrow_mut();
        nodes.retain(|node| node.strong_count() > 0);
        nodes.push(Rc::downgrade(node));
    }

    /// The kept connection to that address, if there is one. One that takes no more calls is none: its owner hears
    /// so by message, but a call that it has lost is repeated at once, by whichever node.
    pub fn get(&self, addr: SocketAddrV4) -> Option<Route> {
        self.0.routes.borrow().get(&addr).filter(|route| !route.asking.is_closed()).cloned()
    }

    /// A kept connection broke: every node hears that whoever lives there may have died.
    pub fn severed(&self, addr: SocketAddrV4) {
        self.0.nodes.borrow_mut().retain(|node| {
            let node = node.upgrade();
            if let Some(node) = &node {
                node.serves.doubt(addr);
                node.severed.do_send(Severed(addr));
            }
            node.is_some()
        });
    }

    /// A number that no other connection has.
    pub(super) fn next_link(&self) -> LinkId {
        self.0.last_link.set(self.0.last_link.get() + 1);
        self.0.last_link.get()
    }

    /// Keeps this connection, rather than any other, for calls to that address.
    pub(super) fn keep(&self, addr: SocketAddrV4, route: Route) {
        self.0.routes.borrow_mut().insert(addr, route);
    }

    /// The node at the other end of that connection, if it is kept, is of our own kind.
    pub(super) fn is_ours(&self, addr: SocketAddrV4, link: LinkId, incarnation: u64) {
        if let Some(route) = self.0.routes.borrow_mut().get_mut(&addr).filter(|route| route.id == link) {
            route.incarnation = Some(incarnation);
        }
    }

    /// Keeps that connection no more.
    pub(super) fn forget(&self, addr: SocketAddrV4, link: LinkId) {
        let mut routes = self.0.routes.borrow_mut();
        if routes.get(&addr).is_some_and(|route| route.id == link) {
            routes.remove(&addr);
        }
    }

    /// Keeps none of those connections any more.
    pub(super) fn forget_all(&self, links: impl Fn(LinkId) -> bool) {
        self.0.routes.borrow_mut().retain(|_, route| !links(route.id));
    }
}
