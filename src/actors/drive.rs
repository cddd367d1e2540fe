//! The only bridge from conversations as values to actors.

use std::future::Future;
use std::mem;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use actix::Recipient;
use futures::future::{Either, select};
use tokio::time::{Instant, timeout};

use super::routes::Routes;
use super::{Call, Way};
use crate::protocol::patient::{Patient, patience};
use crate::protocol::peer::Peer;
use crate::protocol::procedure::{Answer, Procedure, Step, Target};
use crate::protocol::rpc::{Code, Request};

/// Runs procedures over whoever answers calls.
pub struct Driver {
    pub routes: Routes,
    /// Who makes connections where there are none.
    pub calls: Rc<Recipient<Call>>,
    pub rpc_timeout: Duration,
    pub lookup_timeout: Duration,
}

/// A procedure, and its next step.
pub struct Started<P: Procedure> {
    procedure: Patient<P>,
    step: Step<P::Output>,
}

impl<P: Procedure> Started<P> {
    /// Starts it, with patience.
    pub fn new(procedure: P) -> Started<P> {
        let mut procedure = Patient::new(procedure);
        let step = procedure.start();
        Started { procedure, step }
    }

    /// Its output, if it asks nobody.
    pub fn at_once(self) -> Result<P::Output, Started<P>> {
        match self.step {
            Step::Done(output) => Ok(output),
            _ => Err(self),
        }
    }

    fn take_step(&mut self) -> Step<P::Output> {
        mem::replace(&mut self.step, Step::Wait)
    }
}

/// The question that waits for its answer.
type Open = Pin<Box<dyn Future<Output = Answer>>>;

impl Driver {
    /// Runs a procedure to its end. A question that it forwards tells the next node to be done
    /// before `deadline`; whoever has one gives up on this future by itself.
    pub async fn run<P: Procedure>(&self, procedure: P, deadline: Option<Instant>) -> P::Output {
        self.go_on(&mut Started::new(procedure), deadline, None).await
    }

    /// The same for a procedure that was started already; tells on the way, if wanted, who turned out dead. Each hop of
    /// each lookup waits in one of these futures, so that it is to be small: what is rare waits on the heap.
    pub async fn go_on<P: Procedure>(
        &self,
        started: &mut Started<P>,
        deadline: Option<Instant>,
        tell: Option<&dyn Fn(Vec<Peer>)>,
    ) -> P::Output {
        let mut open: Option<Open> = None;
        let mut wait = self.rpc_timeout;
        loop {
            let probed = match started.take_step() {
                Step::Done(output) => return output,
                Step::Ask(target, request) => {
                    wait = patience(&request, self.rpc_timeout);
                    open = Some(self.ask(target, request, deadline));
                    None
                }
                Step::Wait => None,
                Step::Probe(target) => Some(target),
            };
            let answer = match probed {
                Some(target) => Box::pin(self.probe(target, &mut open)).await,
                None => await_reply(&mut open, wait).await,
            };
            started.step = started.procedure.resume(answer);
            if let Some(tell) = tell {
                let dead = started.procedure.take_dead();
                if !dead.is_empty() {
                    tell(dead);
                }
            }
        }
    }

    fn ask(&self, target: Target, request: Request, deadline: Option<Instant>) -> Open {
        let patience = request.depends_on_others().then(|| {
            let left = deadline.map_or(self.lookup_timeout, |deadline| deadline - Instant::now());
            // The callee gives up before its caller does, so that the caller learns why.
            left * 3 / 4
        });
        self.call(Call { target, request, way: Way::Kept, patience })
    }

    fn call(&self, call: Call) -> Open {
        match self.routes.call(call) {
            Ok(calling) => {
                let (answer, calls) = (calling.answer(), self.calls.clone());
                Box::pin(async move {
                    match answer.await {
                        Ok(answer) => answer,
                        Err(again) => make(&calls, again).await,
                    }
                })
            }
            Err(call) => make(&self.calls, call),
        }
    }

    /// Asks the target whether it lives, unless it answers the open question meanwhile.
    async fn probe(&self, target: Target, open: &mut Option<Open>) -> Answer {
        let ping = Call { target, request: Request::CheckPredecessor, way: Way::Fresh, patience: None };
        let ping = self.call(ping);
        let ping = pin!(async move { timeout(self.rpc_timeout, ping).await.unwrap_or(Answer::Silent) });
        let Some(reply) = open.take() else {
            return alive(ping.await);
        };
        match select(reply, ping).await {
            Either::Left((Answer::Silent, ping)) => alive(ping.await),
            Either::Left((answer, _)) => answer,
            Either::Right((answer, reply)) => {
                *open = Some(reply);
                alive(answer)
            }
        }
    }
}

/// Makes a call that needs a new connection.
fn make(calls: &Recipient<Call>, call: Call) -> Open {
    let answer = calls.send(call);
    // Nobody takes calls any more: the node is being stopped, and nobody else is to blame.
    Box::pin(async move { answer.await.unwrap_or(Answer::Refused(Code::Unspecified)) })
}

/// What the answer to a ping says about its target.
fn alive(answer: Answer) -> Answer {
    match answer {
        Answer::Reply(_) => Answer::Alive,
        Answer::Refused(code) if code != Code::NotJoined => Answer::Alive,
        other => other,
    }
}

async fn await_reply(open: &mut Option<Open>, wait: Duration) -> Answer {
    let Some(reply) = open else {
        // It lives, but closed the connection on the question, twice.
        return Answer::Refused(Code::Unspecified);
    };
    match timeout(wait, reply).await {
        Ok(answer) => {
            *open = None;
            answer
        }
        Err(_) => Answer::Silent,
    }
}
