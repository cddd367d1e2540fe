//! What a node makes its calls on: the kept connections of its thread, and what it knows of the nodes at their
//! other ends; and one call on one connection.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix::Addr;
use tokio::time::timeout;

use crate::actors::messages::Stop;
use crate::actors::messages::{Call, Way};
use crate::net::events::LinkId;
use crate::net::limits::drops::{DropCounters, DropReason};
use crate::net::link::Link;
use crate::net::peer_cache::PeerCache;
use crate::net::pending::{CallOutcome, Pending};
use crate::net::pool::{ConnectionPool, Route};
use crate::protocol::procedure::{Answer, Target};
use crate::protocol::rpc::{Code, whole_of};
use crate::wire::Reply;

/// What a node makes its calls on. Clones are the same.
#[derive(Clone, Default)]
pub struct Routes {
    /// Shared by all nodes of a thread.
    pub pool: ConnectionPool,
    /// What this node knows: each has to notice by itself that another was started again.
    pub known: PeerCache,
}

impl Routes {
    /// Those of a node that has talked to nobody yet.
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
        let (known, behind) = (self.known.clone(), to.is_some());
        Calling {
            call: Some(call),
            heard,
            known,
            before,
            proved: *incarnation,
            lives_there,
            behind,
            link: *id,
            _held: held.clone(),
            _once: None,
        }
    }

    /// Makes a call on a connection that was made for it, and that closes with it.
    pub(crate) fn calling_once(&self, call: Call, route: &Route) -> Calling {
        Calling { _once: Some(Box::new(Once(route.link.clone()))), ..self.calling(call, route) }
    }
}

/// A call that was made on a connection: comes to what comes of it; or to the call that is to be made on another
/// connection, since this one closed under it: the target may not have seen it.
///
/// Each hop of each lookup waits in one, so that it is a future by itself: one that an async function makes would hold
/// it twice.
pub struct Calling {
    /// None once it has come to its end.
    call: Option<Call>,
    heard: Pending,
    known: PeerCache,
    /// The run of the program of the target that was known when it was asked.
    before: Option<u64>,
    /// The run that the connection is known to lead to.
    proved: Option<u64>,
    /// Whether whoever answers lives at the address of the target: the connection was made to it, or to its front.
    lives_there: bool,
    /// Whether it was made to the front of the target.
    behind: bool,
    link: LinkId,
    /// Keeps the connection while the call waits.
    _held: Option<Rc<()>>,
    /// Closes it when nobody waits any more, if it was made for this call.
    _once: Option<Box<Once>>,
}

/// A connection that was made for one call.
struct Once(Addr<Link>);

impl Drop for Once {
    fn drop(&mut self) {
        self.0.do_send(Stop);
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
    /// What comes of it in the time that anybody waits for it: whoever forwards has what it passed on and a third of it, and
    /// who asks otherwise probes after one time-out and gives up after the second.
    pub async fn answer(self) -> Result<Answer, Call> {
        let patience = self.call.as_ref().and_then(|call| call.patience);
        let limit = patience.map_or(self.heard.shared().rpc_timeout * 3, |passed_on| whole_of(passed_on));
        timeout(limit, self).await.unwrap_or(Ok(Answer::Silent))
    }

    #[expect(
        clippy::result_large_err,
        reason = "it is handed back and used at once; a box would cost each call an allocation"
    )]
    fn understand(&self, call: Call, heard: CallOutcome) -> Result<Answer, Call> {
        let Calling { known, before, proved, lives_there, behind, link, .. } = self;
        let shared = self.heard.shared();
        Ok(match heard {
            // What the front says proves nothing: the target may live elsewhere by now.
            CallOutcome::Reply(reply) if *behind && is_from_another(&call, &reply) => {
                shared.routes.pool.refused_by_front(call.target.addr());
                return Err(Call { way: Way::Again, ..call });
            }
            // What a connection has proved ends when it says otherwise: somebody else may have held the address when it was
            // made. Who lives there now is asked anew.
            CallOutcome::Reply(reply) if call.way == Way::Kept && is_from_another(&call, &reply) => {
                shared.routes.pool.mistaken(call.target.addr(), *link);
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
                    shared.routes.pool.thread().heard(peer);
                }
                understand(&call, *before, &reply, &shared.drops)
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

/// Whether a front has answered for itself, and not for the target.
fn is_from_another(call: &Call, reply: &Reply) -> bool {
    let answered = reply.responder.map(|(responder, _)| responder);
    let another = matches!((call.target, answered), (Target::Peer(peer), Some(responder)) if responder != peer.id);
    another || reply.refusal() == Some(Code::NotHere)
}

/// What a reply to `call` means, from a node of which this run was known before.
fn understand(call: &Call, before: Option<u64>, reply: &Reply, tally: &DropCounters) -> Answer {
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
        restarted = before.filter(|old| *old != incarnation).and(Some(responder));
    }
    let responder = expected.or(reply.responder.map(|(responder, _)| responder));
    let answer = match reply.read(&call.request, responder) {
        Ok(Ok(response)) => Answer::Reply(response),
        Ok(Err(code)) => Answer::Refused(code),
        Err(error) => {
            if tally.count(DropReason::Unclear) {
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
