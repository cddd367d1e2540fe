//! How a node makes its calls: the kept connections of its thread, what the node knows of the nodes at their other
//! ends, and one call on one connection.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::time::timeout;

use crate::actors::messages::{Call, Way};
use crate::net::events::{LinkControl, LinkId};
use crate::net::limits::drops::DropReason;
use crate::net::peer_cache::PeerCache;
use crate::net::pending::{CallOutcome, Pending};
use crate::net::pool::{ConnectionPool, Route};
use crate::net::resident::Resident;
use crate::protocol::procedure::{Answer, Target};
use crate::protocol::rpc::{Code, whole_of};
use crate::wire::Reply;

/// How a node makes its calls. All clones are the same.
#[derive(Clone, Default)]
pub struct Routes {
    /// Shared by all nodes of a thread.
    pub pool: ConnectionPool,
    /// What this node knows of its peers: each node of a thread has to notice by itself that a peer was restarted.
    pub known: PeerCache,
}

impl Routes {
    /// The routes of a node that has talked to no peer yet.
    pub fn over(pool: ConnectionPool) -> Routes {
        Routes { pool, known: PeerCache::default() }
    }

    /// Makes a call on the kept connection, if there is one to a node of our own kind.
    #[expect(
        clippy::result_large_err,
        reason = "it is handed back and used at once; a box would cost each call an allocation"
    )]
    pub fn call(&self, call: Call) -> Result<Calling, Call> {
        let route = match call.way {
            Way::Kept => self.pool.get(call.target.addr()).filter(|route| route.incarnation.is_some()),
            Way::Again | Way::Fresh => None,
        };
        match route {
            Some(route) => Ok(self.calling(call, &route)),
            None => Err(call),
        }
    }

    /// Makes a call on this connection.
    pub(crate) fn calling(&self, call: Call, Route { id, pending, incarnation, held, to, .. }: &Route) -> Calling {
        let addr = call.target.addr();
        let heard = pending.ask(call.request.clone(), *to, call.patience);
        let before = self.known.incarnation(addr);
        let lives_there = to.is_some() || pending.addr() == Some(addr);
        let (routes, behind) = (self.clone(), to.is_some());
        Calling {
            call: Some(call),
            heard,
            routes,
            before,
            proved: *incarnation,
            lives_there,
            behind,
            link: *id,
            _held: held.clone(),
            _once: None,
        }
    }

    /// Makes a call on a connection that was made for this call, and that closes with it.
    pub(crate) fn calling_once(&self, call: Call, route: &Route) -> Calling {
        Calling { _once: Some(Box::new(Once(route.link.clone()))), ..self.calling(call, route) }
    }
}

/// A call made on a connection. It resolves to an answer, or to the call that has to be repeated on another connection
/// because this one closed first: the target may not have seen it.
///
/// A future written by hand, since each hop of each lookup waits in one: the future of an async function would store
/// the call twice.
pub struct Calling {
    /// None once the call has ended.
    call: Option<Call>,
    heard: Pending,
    routes: Routes,
    /// The incarnation of the target that was known when it was asked.
    before: Option<u64>,
    /// The incarnation that the connection is known to lead to.
    proved: Option<u64>,
    /// Whether the responder lives at the address of the target: the connection was made to it or to its front.
    lives_there: bool,
    /// Whether the connection was made to the front of the target.
    behind: bool,
    link: LinkId,
    /// Keeps the connection while the call waits.
    _held: Option<Rc<()>>,
    /// Closes the connection when this is dropped, if it was made for this call.
    _once: Option<Box<Once>>,
}

/// A connection that was made for one call.
struct Once(Rc<dyn LinkControl>);

impl Drop for Once {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Future for Calling {
    type Output = Result<Answer, Call>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Answer, Call>> {
        let Calling { call, heard, .. } = &mut *self;
        let heard = ready!(Pin::new(heard).poll(context));
        match call.take() {
            Some(call) => Poll::Ready(self.understand(call, heard)),
            None => Poll::Pending,
        }
    }
}

impl Calling {
    /// The answer, or [`Answer::Silent`] once no caller can still be waiting. A forwarded call waits 4/3 of the
    /// patience that it passed on. Any other caller probes after one timeout and gives up after the second: three
    /// timeouts suffice.
    pub async fn answer(self) -> Result<Answer, Call> {
        let patience = self.call.as_ref().and_then(|call| call.patience);
        let limit = patience.map_or(self.heard.resident().rpc_timeout * 3, whole_of);
        timeout(limit, self).await.unwrap_or(Ok(Answer::Silent))
    }

    #[expect(
        clippy::result_large_err,
        reason = "it is handed back and used at once; a box would cost each call an allocation"
    )]
    fn understand(&self, call: Call, heard: CallOutcome) -> Result<Answer, Call> {
        let Calling { routes: Routes { pool, known }, before, proved, lives_there, behind, link, .. } = self;
        Ok(match heard {
            // The word of the front proves nothing: the target may live elsewhere by now.
            CallOutcome::Reply(reply) if *behind && is_from_another(&call, &reply) => {
                pool.refused_by_front(call.target.addr());
                return Err(Call { way: Way::Again, ..call });
            }
            // A connection that proved to lead to the target no longer does: another node may have held the address
            // when it was made. The call is repeated on a new connection, to learn which node lives there now.
            CallOutcome::Reply(reply) if call.way == Way::Kept && is_from_another(&call, &reply) => {
                pool.mistaken(call.target.addr(), *link);
                return Err(Call { way: Way::Again, ..call });
            }
            CallOutcome::Reply(reply) => {
                if let Some((_, incarnation)) = reply.responder
                    && (*lives_there || *proved == Some(incarnation))
                    && *before != Some(incarnation)
                {
                    known.learn_ours(call.target.addr(), incarnation);
                }
                if reply.call_id.is_none() && *lives_there && !known.contains(call.target.addr()) {
                    known.learn_plain(call.target.addr());
                }
                if let Target::Peer(peer) = call.target
                    && reply.responder.is_none_or(|(responder, _)| responder == peer.id)
                {
                    pool.thread().heard(peer);
                }
                understand(&call, *before, &reply, &self.heard.resident())
            }
            CallOutcome::Refused => Answer::Gone,
            CallOutcome::Busy => Answer::Unasked,
            CallOutcome::Lost if call.way != Way::Kept => Answer::Silent,
            CallOutcome::Lost => return Err(Call { way: Way::Again, ..call }),
            CallOutcome::Plain => {
                known.learn_plain(call.target.addr());
                return Err(call);
            }
        })
    }
}

/// Whether another node than the target has answered, such as the front for itself.
fn is_from_another(call: &Call, reply: &Reply) -> bool {
    let answered = reply.responder.map(|(responder, _)| responder);
    let another = matches!((call.target, answered), (Target::Peer(peer), Some(responder)) if responder != peer.id);
    another || reply.refusal() == Some(Code::NotHere)
}

/// What a reply to `call` means; `before` is the incarnation of the target that was known when it was asked.
fn understand(call: &Call, before: Option<u64>, reply: &Reply, asker: &Resident) -> Answer {
    let expected = match call.target {
        Target::Peer(peer) => Some(peer.id),
        Target::Address(_) => None,
    };
    let mut restarted = None;
    if let (Some(expected), Some((responder, incarnation))) = (expected, reply.responder) {
        if responder != expected {
            tracing::info!(target = ?call.target, %responder, "another node answers there");
            return Answer::Gone;
        }
        restarted = before.filter(|old| *old != incarnation).and(Some(responder));
    }
    let responder = expected.or(reply.responder.map(|(responder, _)| responder));
    let answer = match reply.read(&call.request, responder) {
        Ok(Ok(response)) => Answer::Reply(response),
        Ok(Err(code)) => Answer::Refused(code),
        Err(error) => {
            if asker.dropped(DropReason::Unclear) {
                tracing::warn!(target = ?call.target, %error, "a reply that can't be understood");
            }
            Answer::Refused(Code::Unspecified)
        }
    };
    if let Some(responder) = restarted {
        tracing::info!(target = ?call.target, "the peer was restarted");
        return answer.after_restart(&call.request, responder);
    }
    answer
}
