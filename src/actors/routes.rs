//! The kept connections of a node, where its calls find them; and one call on one connection.
//!
//! The peers actor alone makes, keeps and closes connections, and writes them down here. A call for which
//! there is a connection takes it without asking that actor: most calls do, and each hop of a lookup makes one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::asking::{Asking, Heard};
use super::link::{LinkId, Shared};
use super::tally::{Shed, Tally};
use super::{Call, Way};
use crate::protocol::procedure::{Answer, Target};
use crate::protocol::rpc::Code;
use crate::wire::Reply;

/// The kept connection to each node. Clones are the same.
#[derive(Clone, Default)]
pub struct Routes(Rc<RefCell<HashMap<SocketAddrV4, Route>>>);

/// A kept connection.
#[derive(Clone)]
pub struct Route {
    pub link: LinkId,
    pub asking: Asking,
    /// The run of the program at its other end, once it is known that it is of our own kind.
    pub incarnation: Option<u64>,
    /// Whoever waits for an answer has a clone, if this node made the connection.
    pub held: Option<Rc<()>>,
}

impl Routes {
    /// The kept connection to that address, if there is one.
    pub fn get(&self, addr: SocketAddrV4) -> Option<Route> {
        self.0.borrow().get(&addr).cloned()
    }

    /// Keeps this connection, rather than any other, for calls to that address.
    pub(super) fn keep(&self, addr: SocketAddrV4, route: Route) {
        self.0.borrow_mut().insert(addr, route);
    }

    /// The node at the other end of that connection, if it is kept, is of our own kind.
    pub(super) fn is_ours(&self, addr: SocketAddrV4, link: LinkId, incarnation: u64) {
        if let Some(route) = self.0.borrow_mut().get_mut(&addr).filter(|route| route.link == link) {
            route.incarnation = Some(incarnation);
        }
    }

    /// Keeps that connection no more; with `None` no matter which.
    pub(super) fn forget(&self, addr: SocketAddrV4, link: Option<LinkId>) {
        let mut routes = self.0.borrow_mut();
        if link.is_none() || routes.get(&addr).map(|route| route.link) == link {
            routes.remove(&addr);
        }
    }

    /// Keeps none.
    pub(super) fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    /// Makes a call on the kept connection, if there is one to a node of our own kind.
    pub fn call(&self, call: Call) -> Result<Calling, Call> {
        let route = match call.way {
            Way::Kept => self.get(call.target.addr()).filter(|route| route.incarnation.is_some()),
            Way::Again | Way::Fresh => None,
        };
        match route {
            Some(Route { asking, incarnation, held, .. }) => Ok(Calling::new(call, &asking, incarnation, held)),
            None => Err(call),
        }
    }
}

/// A call that was made on a connection.
pub struct Calling {
    call: Call,
    heard: oneshot::Receiver<Heard>,
    shared: Rc<Shared>,
    /// The run of the program of the target that was known when it was asked.
    known: Option<u64>,
    /// Keeps the connection while the call waits.
    held: Option<Rc<()>>,
}

impl Calling {
    /// Puts the question.
    pub fn new(call: Call, asking: &Asking, known: Option<u64>, held: Option<Rc<()>>) -> Calling {
        let heard = asking.ask(call.request.clone(), call.patience);
        Calling { call, heard, shared: asking.shared(), known, held }
    }

    /// What comes of it; or the call that is to be made on another connection, since this one closed under
    /// it: the target may not have seen it.
    pub async fn answer(self) -> Result<Answer, Call> {
        let Calling { call, heard, shared, known, held } = self;
        let Ok(heard) = timeout(limit(&call, &shared), heard).await else { return Ok(Answer::Silent) };
        drop(held);
        Ok(match heard.unwrap_or(Heard::Lost) {
            Heard::Reply(reply) => understand(&call, known, &reply, &shared.tally),
            Heard::Refused => Answer::Gone,
            Heard::Busy => Answer::Unasked,
            Heard::Lost if call.way != Way::Kept => Answer::Silent,
            Heard::Lost => return Err(Call { way: Way::Again, ..call }),
            Heard::Plain => return Err(call),
        })
    }
}

/// Nobody waits longer than this: whoever forwards has what it passed on and a third of it, and
/// who asks otherwise probes after one time-out and gives up after the second.
fn limit(call: &Call, shared: &Shared) -> Duration {
    call.patience.map_or(shared.rpc_timeout * 3, |passed_on| passed_on * 4 / 3)
}

/// What a reply to `call` means, from a node of which this run was known.
fn understand(call: &Call, known: Option<u64>, reply: &Reply, tally: &Tally) -> Answer {
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
        restarted = known.filter(|old| *old != incarnation).and(Some(responder));
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
