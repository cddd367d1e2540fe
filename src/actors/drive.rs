//! The only bridge between conversations, which are values, and actors.

use std::mem;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix::Recipient;
use futures::future::{Either, LocalBoxFuture, select};
use tokio::time::{Instant, sleep, timeout_at};

use crate::actors::jitter::jittered;
use crate::actors::messages::{Call, Way};
use crate::actors::thread::{Overdue, Suspected, Thread};
use crate::net::routes::{Calling, Routes};
use crate::net::traffic::Counters;
use crate::protocol::addr::Addr;
use crate::protocol::failure_detector::{KEPT_SHARE, Verdict};
use crate::protocol::local_health::Ripe;
use crate::protocol::patient::{Patient, longer, patience};
use crate::protocol::peer::Peer;
use crate::protocol::procedure::{Answer, Procedure, Step, Target};
use crate::protocol::retry_budget::rest;
use crate::protocol::rpc::{Code, Request, passed_on};

/// Runs procedures: makes the calls that they ask for.
pub struct Driver {
    pub routes: Routes,
    /// The peers actor, which makes connections where there are none.
    pub calls: Rc<Recipient<Call>>,
    pub rpc_timeout: Duration,
    pub lookup_timeout: Duration,
    /// How long the silence of a plain peer is excused.
    pub plain_patience: Duration,
    pub counters: Arc<Counters>,
}

/// A procedure, and its next step.
pub struct Started<P: Procedure> {
    procedure: Patient<P>,
    step: Step<P::Output>,
}

impl<P: Procedure> Started<P> {
    /// Starts it, made patient by [`Patient`].
    pub fn new(procedure: P) -> Started<P> {
        let mut procedure = Patient::new(procedure);
        let step = procedure.start();
        Started { procedure, step }
    }

    /// Its output, if it is done without a call.
    #[expect(
        clippy::result_large_err,
        reason = "it is handed back and used at once; a box would cost each call an allocation"
    )]
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

/// The question in flight.
struct Open {
    answer: Asked,
    /// When this wait for the answer began.
    began: Instant,
    /// When the wait for the answer ends.
    until: Instant,
    /// The callee, if the question is a lookup.
    hop: Option<Addr>,
    /// Set once the lookup has waited there for longer than it should.
    overdue: Option<Overdue>,
}

/// A step that is rarely needed between a question and its answer.
enum Aside {
    Suspect(Target),
    Probe(Target),
    Rest(u32),
}

/// A call, made on a kept connection or passed to the peers actor; resolves to its answer.
#[expect(clippy::large_enum_variant, reason = "nearly all are of the larger kind")]
enum Asked {
    Kept(Calling, Rc<Recipient<Call>>),
    Elsewhere(LocalBoxFuture<'static, Answer>),
}

impl Future for Asked {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        if let Asked::Kept(calling, calls) = &mut *self {
            match ready!(Pin::new(calling).poll(context)) {
                Ok(answer) => return Poll::Ready(answer),
                Err(again) => {
                    let again = make(calls, again);
                    *self = Asked::Elsewhere(again);
                }
            }
        }
        match &mut *self {
            Asked::Elsewhere(answer) => answer.as_mut().poll(context),
            Asked::Kept(..) => Poll::Pending,
        }
    }
}

impl Driver {
    /// Runs a procedure to its end.
    pub async fn run<P: Procedure>(self: &Rc<Self>, procedure: P) -> P::Output {
        let mut started = Started::new(procedure);
        loop {
            // Without a deadline there is always an output.
            if let Some(output) = self.go_on(&mut started, None, None).await {
                return output;
            }
        }
    }

    /// Runs a started procedure to its end, or to `deadline`: the output is none if that passes. Questions that the
    /// procedure forwards carry an earlier deadline. `tell`, if given, hears on the way which peers turned out dead.
    ///
    /// Each hop of each lookup waits in one of these futures, so they have to be small: rare steps are boxed, and one
    /// timer serves all waits.
    #[expect(clippy::manual_async_fn, reason = "an async function holds its arguments twice")]
    pub fn go_on<'a, P: Procedure>(
        self: &'a Rc<Self>,
        started: &'a mut Started<P>,
        deadline: Option<Instant>,
        tell: Option<&'a dyn Fn(Vec<Peer>)>,
    ) -> impl Future<Output = Option<P::Output>> + 'a {
        async move {
            let mut open: Option<Open> = None;
            let mut wait = self.rpc_timeout;
            loop {
                let (aside, again) = match started.take_step() {
                    Step::Done(output) => return Some(output),
                    Step::Ask(target, request) => {
                        wait = patience(&request, self.rpc_timeout);
                        if self.may_be_asking(target) {
                            // The target's own question to this node may depend on this answer: neither would go on.
                            wait = wait.min(self.rpc_timeout / 4);
                        }
                        open = self.ask(target, request, deadline);
                        (None, false)
                    }
                    Step::Wait => {
                        wait = longer(wait, self.rpc_timeout);
                        open.iter_mut().for_each(|open| open.began = Instant::now());
                        (None, true)
                    }
                    Step::Suspect(target) => (Some(Aside::Suspect(target)), false),
                    Step::Probe(target) => (Some(Aside::Probe(target)), false),
                    Step::Rest { rests } => (Some(Aside::Rest(rests)), false),
                };
                let answer = match aside {
                    Some(aside) => self.step_aside(aside, &mut open, deadline).await?,
                    None if open.is_some() => self.await_reply(&mut open, wait).await,
                    // The target lives, but closed the connection on the question twice.
                    None if again => Answer::Refused(Code::Unspecified),
                    None => Answer::Unasked,
                };
                if matches!(answer, Answer::Silent) && deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                    return None;
                }
                started.step = started.procedure.resume(answer);
                if let Some(tell) = tell {
                    let dead = started.procedure.take_dead();
                    if !dead.is_empty() {
                        tell(dead);
                    }
                }
            }
        }
    }

    /// Takes a rare step, boxed; none if the deadline passes meanwhile.
    fn step_aside<'a>(
        self: &'a Rc<Self>,
        aside: Aside,
        open: &'a mut Option<Open>,
        deadline: Option<Instant>,
    ) -> LocalBoxFuture<'a, Option<Answer>> {
        match aside {
            Aside::Suspect(target) => Box::pin(before(deadline, self.suspect(target, open))),
            Aside::Probe(target) => Box::pin(before(deadline, self.probe(target, open))),
            Aside::Rest(rests) => Box::pin(before(deadline, self.rest(rests))),
        }
    }

    /// Pings a node; returns its answer.
    pub async fn ping(&self, peer: Peer) -> Answer {
        let ping = Call { target: peer.into(), request: Request::CheckPredecessor, way: Way::Kept, patience: None };
        timeout_at(Instant::now() + self.rpc_timeout, self.call(ping)).await.unwrap_or(Answer::Silent)
    }

    /// Whether the target is a plain peer that may be waiting for an answer from here.
    fn may_be_asking(&self, target: Target) -> bool {
        let Target::Peer(peer) = target else { return false };
        self.thread().may_be_asking(peer) && self.routes.known.was_plain(peer.addr)
    }

    /// Whether the silence of a node, which began `ago`, is excused because it is a plain peer.
    fn excuses(&self, peer: Peer, ago: Duration) -> bool {
        self.routes.known.was_plain(peer.addr) && self.thread().excuses(peer, ago, self.plain_patience)
    }

    fn thread(&self) -> &Thread {
        self.routes.pool.thread()
    }

    /// Puts a question; none if lookups are stuck at the target.
    fn ask(&self, target: Target, request: Request, deadline: Option<Instant>) -> Option<Open> {
        let now = Instant::now();
        if !request.depends_on_others() {
            let answer = self.call(Call { target, request, way: Way::Kept, patience: None });
            // The target is probed after one timeout, and given up after the second.
            return Some(Open { answer, began: now, until: now + self.rpc_timeout * 3, hop: None, overdue: None });
        }
        let hop = target.addr();
        if !self.thread().admits(hop) {
            return None;
        }
        let until = deadline.unwrap_or(now + self.lookup_timeout);
        let patience = Some(passed_on(until - now));
        let answer = self.call(Call { target, request, way: Way::Kept, patience });
        Some(Open { answer, began: now, until, hop: Some(hop), overdue: None })
    }

    fn call(&self, call: Call) -> Asked {
        match self.routes.call(call) {
            Ok(calling) => Asked::Kept(calling, self.calls.clone()),
            Err(call) => Asked::Elsewhere(make(&self.calls, call)),
        }
    }

    /// Waits for the answer to the open question, for as long as the target may take.
    #[expect(clippy::manual_async_fn, reason = "an async function holds its arguments twice")]
    fn await_reply<'a>(&'a self, open: &'a mut Option<Open>, wait: Duration) -> impl Future<Output = Answer> + 'a {
        async move {
            let mut patience = self.thread().patience(wait);
            loop {
                let Some(Open { answer, began, until, hop, overdue }) = open else { return Answer::Silent };
                let until = *until;
                let over = (*began + patience).min(until);
                let answered = timeout_at(over, answer).await;
                if let (Some(hop), Ok(Answer::Reply(_))) = (*hop, &answered) {
                    self.thread().answered(hop);
                }
                if answered.is_ok() || over == until {
                    *open = None;
                    return answered.unwrap_or(Answer::Silent);
                }
                match self.thread().is_ripe(*began, wait) {
                    Ripe::Yes => {
                        if let (Some(hop), None) = (*hop, &overdue) {
                            *overdue = Some(self.thread().overdue(hop));
                        }
                        return Answer::Silent;
                    }
                    Ripe::NotYet { more, again } => {
                        patience = more;
                        if again {
                            *began = Instant::now();
                        }
                    }
                }
            }
        }
    }

    /// Waits a moment, if the retry budget allows asking again.
    async fn rest(&self, rests: u32) -> Answer {
        if !self.thread().may_retry() {
            return Answer::Unasked;
        }
        sleep(jittered(rest(rests))).await;
        Answer::Rested
    }

    /// Finds out whether the target lives, unless it answers the open question first.
    async fn suspect(self: &Rc<Self>, target: Target, open: &mut Option<Open>) -> Answer {
        // A seed known only by its address is no neighbour of any node of this thread: a joiner that suspects it probes
        // it itself and shares no verdict.
        let Target::Peer(peer) = target else { return self.probe(target, open).await };
        if self.may_be_asking(target) && self.excuses(peer, self.rpc_timeout / 4) {
            return Answer::Excused;
        }
        match self.thread().suspect(peer) {
            Suspected::Known(verdict) => verdict.answer(),
            Suspected::Wait { verdict, probe } => {
                if probe {
                    self.counters.meters.suspected.add(1);
                    let driver = self.clone();
                    drop(tokio::task::spawn_local(async move {
                        let began = Instant::now();
                        let verdict = match driver.find_out(peer).await {
                            Found::Alive => Verdict::Alive,
                            Found::Dead => Verdict::Dead,
                            Found::Unasked => Verdict::Unknown,
                            Found::Silent if driver.excuses(peer, began.elapsed()) => Verdict::Excused,
                            Found::Silent => Verdict::Dead,
                        };
                        driver.thread().concluded(peer, verdict);
                    }));
                }
                let verdict = async move { verdict.await.unwrap_or(Verdict::Unknown).answer() };
                first_of(open, pin!(verdict)).await
            }
        }
    }

    /// Finds out whether a suspected node lives: pings it on the kept connection and, if that is stuck, on a fresh one.
    async fn find_out(&self, peer: Peer) -> Found {
        let patience = self.rpc_timeout;
        let began = Instant::now();
        let ping = Call { target: peer.into(), request: Request::CheckPredecessor, way: Way::Kept, patience: None };
        let mut kept = self.routes.call(ping).ok();
        if let Some(answer) = &mut kept {
            let stuck = pin!(self.thread().wait(patience / KEPT_SHARE));
            match select(&mut *answer, stuck).await {
                Either::Left((Ok(answer), _)) if answer != Answer::Silent => return found(answer),
                // The connection has closed.
                Either::Left(_) => kept = None,
                Either::Right(_) => {}
            }
        }
        let left = patience.saturating_sub(began.elapsed()).max(patience / 2);
        let kept = async {
            match kept {
                Some(answer) => answer.await.unwrap_or(Answer::Silent),
                None => Answer::Silent,
            }
        };
        let answered = pin!(first_said(kept, self.ping_afresh(peer.into(), left)));
        match select(answered, pin!(self.thread().wait(left))).await {
            Either::Left((answer, _)) if answer != Answer::Silent => found(answer),
            _ => Found::Silent,
        }
    }

    /// Pings on a fresh connection, and half-way through the time on a second one: TCP repeats a first packet only
    /// after a second, if it was lost or was sent just before a cable is plugged in again.
    async fn ping_afresh(&self, target: Target, time: Duration) -> Answer {
        let ping = || {
            let patience = Some(passed_on(self.thread().patience(self.rpc_timeout)));
            self.call(Call { target, request: Request::CheckPredecessor, way: Way::Fresh, patience })
        };
        match select(ping(), pin!(self.thread().wait(time / 2))).await {
            Either::Left((answer, _)) => answer,
            Either::Right((_, first)) => first_said(first, ping()).await,
        }
    }

    /// Pings the target on a fresh connection, unless it answers the open question first.
    async fn probe(&self, target: Target, open: &mut Option<Open>) -> Answer {
        let ping = pin!(async move {
            let answered = pin!(self.ping_afresh(target, self.rpc_timeout));
            match select(answered, pin!(self.thread().wait(self.rpc_timeout))).await {
                Either::Left((answer, _)) => answer.to_probe(),
                Either::Right(_) => Answer::Silent,
            }
        });
        first_of(open, ping).await
    }
}

/// The output of `work`; none if the deadline passes first.
async fn before<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, work).await.ok(),
        None => Some(work.await),
    }
}

/// The answer to the open question, or what is found out about its target, whichever comes first. In the second case
/// the question stays open. If it turns out that no answer will come, waits for what is found out.
async fn first_of(open: &mut Option<Open>, found_out: Pin<&mut impl Future<Output = Answer>>) -> Answer {
    let Some(mut reply) = open.take() else {
        return found_out.await;
    };
    match select(&mut reply.answer, found_out).await {
        Either::Left((Answer::Silent, found_out)) => found_out.await,
        Either::Left((answer, _)) => answer,
        Either::Right((answer, _)) => {
            *open = Some(reply);
            answer
        }
    }
}

/// The first of two answers that is not silence.
async fn first_said(one: impl Future<Output = Answer>, other: impl Future<Output = Answer>) -> Answer {
    match select(pin!(one), pin!(other)).await {
        Either::Left((Answer::Silent, other)) => other.await,
        Either::Right((Answer::Silent, one)) => one.await,
        Either::Left((answer, _)) | Either::Right((answer, _)) => answer,
    }
}

/// Makes a call that needs a new connection.
fn make(calls: &Recipient<Call>, call: Call) -> LocalBoxFuture<'static, Answer> {
    let answer = calls.send(call);
    // An error means that the peers actor has stopped: this node is stopping, and the target is not to blame.
    Box::pin(async move { answer.await.unwrap_or(Answer::Refused(Code::Unspecified)) })
}

/// What a ping finds out.
enum Found {
    Alive,
    Dead,
    Silent,
    /// The ping could not be made.
    Unasked,
}

fn found(answer: Answer) -> Found {
    match answer {
        Answer::Unasked => Found::Unasked,
        answer if answer.is_dead() => Found::Dead,
        _ => Found::Alive,
    }
}
