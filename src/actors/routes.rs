//! What a node makes its calls on: the kept connections of its thread, and what it knows of the nodes at their
//! other ends; and one call on one connection.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::asking::{Asking, Heard};
use super::exchange::{Exchange, Route};
use super::known::Known;
use super::shared::Shared;
use super::tally::{Shed, Tally};
use super::{Call, Way};
use crate::protocol::procedure::{Answer, Target};
use crate::protocol::rpc::Code;
use crate::wire::Reply;

/// What a node makes its calls on. Clones are the same.
#[derive(Clone, Default)]
pub struct Routes {
    /// Shared by all nodes of a thread.
    pub exchange: Exchange,
    /// What this node knows: each has to notice by itself that another was started again.
    pub known: Known,
}

impl Routes {
    /// Those of a node that has talked to nobody yet.
    pub fn over(exchange: Exchange) -> Routes {
        Routes { exchange, known: Known::default() }
    }

    /// Makes a call on the kept connection, if there is one to a node of our own kind.
    pub fn call(&self, call: Call) -> Result<Calling, Call> {
        let route = match call.way {
            Way::Kept => self.exchange.get(call.target.addr()).filter(|route| route.incarnation.is_some()),
            Way::Again | Way::Fresh => None,
        };
        match route {
            Some(Route { asking, incarnation, held, .. }) => Ok(self.calling(call, &asking, incarnation, held)),
            None => Err(call),
        }
    }

    /// Makes a call on this connection, of whose other end this run was proved; `held` keeps it while the call waits.
    pub(super) fn calling(&self, call: Call, asking: &Asking, proved: Option<u64>, held: Option<Rc<()>>) -> Calling {
        let addr = call.target.addr();
        let heard = asking.ask(call.request.clone(), call.patience);
        let dialed = asking.addr() == Some(addr);
        let (shared, before) = (asking.shared(), self.known.incarnation(addr));
        Calling { call, heard, shared, known: self.known.clone(), before, proved, dialed, held }
    }
}

/// A call that was made on a connection.
pub struct Calling {
    call: Call,
    heard: oneshot::Receiver<Heard>,
    shared: Rc<Shared>,
    known: Known,
    /// The run of the program of the target that was known when it was asked.
    before: Option<u64>,
    /// The run that the connection is known to lead to.
    proved: Option<u64>,
    /// Whether it was made to the address of the target, so that whoever answers lives there.
    dialed: bool,
    /// Keeps the connection while the call waits.
    held: Option<Rc<()>>,
}

impl Calling {
    /// What comes of it; or the call that is to be made on another connection, since this one closed under
    /// it: the target may not have seen it.
    pub async fn answer(self) -> Result<Answer, Call> {
        let Calling { call, heard, shared, known, before, proved, dialed, held } = self;
        let Ok(heard) = timeout(limit(&call, &shared), heard).await else { return Ok(Answer::Silent) };
        drop(held);
        Ok(match heard.unwrap_or(Heard::Lost) {
            Heard::Reply(reply) => {
                if let Some((_, incarnation)) = reply.responder
                    && (dialed || proved == Some(incarnation))
                {
                    known.learn_ours(call.target.addr(), incarnation);
                }
                understand(&call, before, &reply, &shared.tally)
            }
            Heard::Refused => Answer::Gone,
            Heard::Busy => Answer::Unasked,
            Heard::Lost if call.way != Way::Kept => Answer::Silent,
            Heard::Lost => return Err(Call { way: Way::Again, ..call }),
            Heard::Plain => {
                known.learn_plain(call.target.addr());
                return Err(call);
            }
        })
    }
}

/// Nobody waits longer than this: whoever forwards has what it passed on and a third of it, and
/// who asks otherwise probes after one time-out and gives up after the second.
fn limit(call: &Call, shared: &Shared) -> Duration {
    call.patience.map_or(shared.rpc_timeout * 3, |passed_on| passed_on * 4 / 3)
}

/// What a reply to `call` means, from a node of which this run was known before.
fn understand(call: &Call, before: Option<u64>, reply: &Reply, tally: &Tally) -> Answer {
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
