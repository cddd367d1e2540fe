//! Owns the successor list and the predecessor and keeps them correct.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, MessageResult, Recipient, ResponseFuture,
    SpawnHandle, WrapFuture,
};
use futures::future::join_all;
use tokio::sync::{SetOnce, oneshot};
use tokio::time::{Instant, timeout};

use crate::actors::drive::Driver;
use crate::actors::jitter::jittered;
use crate::actors::messages::{
    Call, CallRefusal, Disturbed, Forget, Join, Leave, Serve, Severed, ShowNeighbors, Slept, Stop, Watch, Way,
};
use crate::actors::snapshot::Snapshot;
use crate::actors::throttle::Throttle;
use crate::net::meters::Meters;
use crate::net::names::Names;
use crate::node::config::IfAlone;
use crate::node::events::Watchers;
use crate::protocol::conversation::Conversation;
use crate::protocol::join::{Attempts, Joined};
use crate::protocol::maintenance::{Effect, LEAVING, Maintenance, Setup, Timer};
use crate::protocol::neighbors::Neighbors;
use crate::protocol::peer::Peer;
use crate::protocol::rpc::{Code, Request, Response};
use crate::protocol::spread::Spread;

/// Runs [`Maintenance`]: carries out its effects and holds its conversations, one at a time.
pub struct NeighborsActor {
    maintenance: Maintenance,
    snapshot: Snapshot,
    driver: Rc<Driver>,
    /// Limits how many nodes of the thread join at once.
    throttle: Throttle,
    disturbed: Recipient<Disturbed>,
    forget: Recipient<Forget>,
    /// The timers that are set; setting a timer again replaces the old one.
    armed: [Option<(u64, SpawnHandle)>; Timer::COUNT],
    last_armed: u64,
    joining: Box<Joining>,
    /// Programs that have subscribed to changes, if there are any.
    watchers: Option<Box<Watchers>>,
}

/// Why a node could not join a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinFailure {
    /// No seed answered in time.
    NoAnswer,
    /// No seed has an address: none of their names resolves.
    NoAddress,
    /// The seeds answered, but none became a member in time.
    NotJoined,
    /// A member at another address has the identifier.
    IdTaken(Peer),
}

/// Reports whether the node has become a member to the program that waits for it.
pub struct Joining {
    report: Option<oneshot::Sender<Result<(), JoinFailure>>>,
    /// The time that `attempts` count from.
    began: Instant,
    attempts: Attempts,
    /// What it does when they are over.
    if_alone: IfAlone,
    /// Told which node has the identifier, if another one does.
    ousted: Arc<SetOnce<Peer>>,
    /// Resolves the seeds.
    names: Rc<Names>,
}

impl Joining {
    /// Reports when the node has become a member, or can't.
    pub fn new(
        report: oneshot::Sender<Result<(), JoinFailure>>,
        limit: Duration,
        if_alone: IfAlone,
        ousted: Arc<SetOnce<Peer>>,
        names: Names,
    ) -> Joining {
        let attempts = Attempts::new(Duration::ZERO, limit);
        Joining { report: Some(report), began: Instant::now(), attempts, if_alone, ousted, names: Rc::new(names) }
    }

    /// An attempt has ended; `knows_any` says whether any address is known to try next. Returns whether to create a
    /// ring instead.
    fn tried(&mut self, joined: &Joined, knows_any: bool) -> bool {
        let gives_up = self.attempts.give_up(joined, self.began.elapsed());
        match joined {
            Joined::Member(_) => self.report(Ok(())),
            Joined::IdTaken(taken) => {
                // An error means that it was told before.
                let _ = self.ousted.set(*taken);
                self.report(Err(JoinFailure::IdTaken(*taken)));
            }
            _ if !gives_up => {}
            Joined::NotNow => {}
            _ if self.report.is_some() && self.if_alone != IfAlone::GiveUp => return self.if_alone == IfAlone::Create,
            Joined::NotJoined => self.report(Err(JoinFailure::NotJoined)),
            Joined::NoAnswer if knows_any => self.report(Err(JoinFailure::NoAnswer)),
            Joined::NoAnswer => self.report(Err(JoinFailure::NoAddress)),
        }
        false
    }

    fn report(&mut self, outcome: Result<(), JoinFailure>) {
        if let Some(report) = self.report.take() {
            // An error means that the program no longer waits.
            let _ = report.send(outcome);
        }
    }
}

/// A timer fired; stale if the timer was set again since, which changes its number.
#[derive(Clone, Copy, Debug, actix::Message)]
#[rtype(result = "()")]
struct Fire(Timer, u64);

impl NeighborsActor {
    pub fn new(
        setup: Setup,
        snapshot: Snapshot,
        driver: Rc<Driver>,
        throttle: Throttle,
        disturbed: Recipient<Disturbed>,
        forget: Recipient<Forget>,
        mut joining: Joining,
    ) -> NeighborsActor {
        let maintenance = Maintenance::new(setup);
        if maintenance.vantage().is_ok() {
            joining.report(Ok(()));
        }
        snapshot.publish_neighbors(&maintenance);
        NeighborsActor {
            maintenance,
            snapshot,
            driver,
            throttle,
            disturbed,
            forget,
            armed: Default::default(),
            last_armed: 0,
            joining: Box::new(joining),
            watchers: None,
        }
    }

    /// Called after every event: carries out all effects and starts the next conversation.
    fn advance(&mut self, ctx: &mut Context<Self>) {
        self.snapshot.publish_neighbors(&self.maintenance);
        let conversation = self.maintenance.next_conversation();
        let effects = self.maintenance.effects();
        self.tell_watchers(&effects);
        for effect in effects {
            self.carry_out(effect, ctx);
        }
        if let Some(conversation) = conversation {
            self.meters().talks(&conversation);
            let (driver, turns) = (self.driver.clone(), self.throttle.clone());
            let outcome = async move {
                match conversation {
                    Conversation::Join(_) => turns.take(|| driver.run(conversation)).await,
                    _ => driver.run(conversation).await,
                }
            };
            ctx.spawn(outcome.into_actor(self).map(|outcome, actor, ctx| {
                actor.maintenance.digest(outcome);
                actor.advance(ctx);
            }));
        }
    }

    fn meters(&self) -> &Meters {
        &self.driver.counters.meters
    }

    fn tell_watchers(&mut self, effects: &[Effect]) {
        if let Some(watchers) = &mut self.watchers {
            watchers.look(&self.maintenance, effects);
        }
    }

    fn fired(&mut self, timer: Timer, ctx: &mut Context<Self>) {
        self.maintenance.fired(timer);
        self.advance(ctx);
    }

    /// The same once it is known where the seeds are now.
    fn resolve_and_fire(&mut self, timer: Timer, ctx: &mut Context<Self>) {
        let names = self.joining.names.clone();
        let resolved = async move { names.resolve().await };
        ctx.spawn(resolved.into_actor(self).map(move |seeds, actor, ctx| {
            actor.maintenance.know_seeds(seeds);
            actor.fired(timer, ctx);
        }));
    }

    fn carry_out(&mut self, effect: Effect, ctx: &mut Context<Self>) {
        match effect {
            Effect::Wake(timer, after) => self.arm(timer, after, ctx),
            Effect::Tell(peer, request) => self.driver.calls.do_send(told(peer, request)),
            Effect::Spread(news) => {
                let spread = Spread::new(self.maintenance.neighbors().me().id, self.snapshot.known(), news);
                let driver = self.driver.clone();
                let told = async move { driver.run(spread).await };
                ctx.spawn(told.into_actor(self));
            }
            Effect::Merging => self.disturbed.do_send(Disturbed { everywhere: true }),
            Effect::Changed => {
                self.meters().changes.add(1);
                self.disturbed.do_send(Disturbed { everywhere: false });
            }
            Effect::Dead(peer) => {
                tracing::info!(id = %peer.id, addr = %peer.addr, "found dead");
                self.driver.counters.dead.add(1);
                self.forget.do_send(Forget(vec![peer]));
            }
            Effect::Recall => self.maintenance.recall(self.snapshot.fingers().into_iter()),
            Effect::Tried(joined) => {
                let creates = self.joining.tried(&joined, self.maintenance.known().next().is_some());
                if creates {
                    self.create(ctx);
                }
            }
        }
    }

    /// Creates a ring: no seed has answered.
    fn create(&mut self, ctx: &mut Context<Self>) {
        self.maintenance.create();
        if self.maintenance.vantage().is_ok() {
            tracing::info!("no seed has answered: this node has created a ring, and goes on asking them");
            self.joining.report(Ok(()));
        }
        self.advance(ctx);
    }

    fn arm(&mut self, timer: Timer, after: Duration, ctx: &mut Context<Self>) {
        self.last_armed += 1;
        let number = self.last_armed;
        let fire = ctx.notify_later(Fire(timer, number), jittered(after));
        if let Some((_, old)) = self.armed[timer as usize].replace((number, fire)) {
            ctx.cancel_future(old);
        }
    }
}

/// A call that informs a neighbour.
fn told(peer: Peer, request: Request) -> Call {
    Call { target: peer.into(), request, way: Way::Kept, patience: None }
}

impl Actor for NeighborsActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.advance(ctx);
    }
}

impl Handler<Fire> for NeighborsActor {
    type Result = ();

    fn handle(&mut self, Fire(timer, number): Fire, ctx: &mut Self::Context) {
        // A cancelled timer can fire all the same.
        if self.armed[timer as usize].is_some_and(|(armed, _)| armed == number) {
            self.armed[timer as usize] = None;
            if timer.asks_seeds() && self.joining.names.change() {
                self.resolve_and_fire(timer, ctx);
            } else {
                self.fired(timer, ctx);
            }
        }
    }
}

impl Handler<Serve> for NeighborsActor {
    type Result = Result<Response, CallRefusal>;

    fn handle(&mut self, serve: Serve, ctx: &mut Self::Context) -> Self::Result {
        let answer = self.maintenance.serve(&serve.request, serve.plain);
        self.advance(ctx);
        answer.map_err(|code: Code| CallRefusal::from(code))
    }
}

impl Handler<ShowNeighbors> for NeighborsActor {
    type Result = MessageResult<ShowNeighbors>;

    fn handle(&mut self, _: ShowNeighbors, _: &mut Self::Context) -> Self::Result {
        let neighbors: Neighbors = self.maintenance.neighbors().clone();
        MessageResult(neighbors)
    }
}

impl Handler<Watch> for NeighborsActor {
    type Result = MessageResult<Watch>;

    fn handle(&mut self, _: Watch, _: &mut Self::Context) -> Self::Result {
        let watchers = self.watchers.get_or_insert_with(|| Box::new(Watchers::new(&self.maintenance)));
        MessageResult(watchers.join())
    }
}

impl Handler<Join> for NeighborsActor {
    type Result = bool;

    fn handle(&mut self, Join(seed): Join, ctx: &mut Self::Context) -> bool {
        let added = self.joining.names.add(seed);
        if added {
            self.resolve_and_fire(Timer::Reunite, ctx);
        }
        added
    }
}

impl Handler<Forget> for NeighborsActor {
    type Result = ();

    fn handle(&mut self, Forget(dead): Forget, ctx: &mut Self::Context) {
        self.maintenance.forget(&dead);
        dead.iter().for_each(|dead| self.snapshot.heard(dead.addr));
        self.advance(ctx);
    }
}

impl Handler<Severed> for NeighborsActor {
    type Result = ();

    fn handle(&mut self, severed: Severed, ctx: &mut Self::Context) {
        self.maintenance.severed(&severed.0);
        self.snapshot.severed(&severed);
        self.advance(ctx);
    }
}

impl Handler<Slept> for NeighborsActor {
    type Result = ();

    fn handle(&mut self, _: Slept, ctx: &mut Self::Context) {
        self.maintenance.slept();
        self.snapshot.slept();
        self.advance(ctx);
    }
}

impl Handler<Leave> for NeighborsActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Leave, _: &mut Self::Context) -> Self::Result {
        let leave = self.maintenance.leave().into_iter();
        self.snapshot.publish_neighbors(&self.maintenance);
        self.tell_watchers(&[]);
        let heard = join_all(leave.map(|(peer, request)| self.driver.calls.send(told(peer, request))));
        // A neighbour that does not hear it in time will find this node dead by itself.
        Box::pin(async move { drop(timeout(LEAVING, heard).await) })
    }
}

impl Handler<Stop> for NeighborsActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.snapshot.withdraw();
        ctx.stop();
    }
}
