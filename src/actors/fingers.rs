//! Owns the finger table and keeps it correct.

use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, MessageResult, Recipient, WrapFuture,
};

use crate::actors::jitter::jittered;
use crate::actors::messages::{Disturbed, Forget, Resolve, ShowFingers, Stop};
use crate::actors::snapshot::Snapshot;
use crate::actors::throttle::Throttle;
use crate::protocol::admission::Class;
use crate::protocol::fix_fingers::{FixFingers, Pace};
use crate::protocol::lookup::Query;
use crate::protocol::lookup::iterative::Style;

/// Runs [`FixFingers`]: one lookup at a time.
pub struct FingersActor {
    fingers: FixFingers,
    snapshot: Snapshot,
    resolve: Rc<Recipient<Resolve>>,
    throttle: Throttle,
    every: Duration,
    lookup_timeout: Duration,
    /// The number of the last tick that was scheduled, and when it is due; none while a lookup is
    /// under way.
    scheduled: Option<(u64, Pace)>,
    last_tick: u64,
}

/// Look a finger up, unless another tick was scheduled since: then the number is an old one.
#[derive(Clone, Copy, Debug, actix::Message)]
#[rtype(result = "()")]
struct FixFingerNow(u64);

impl FingersActor {
    pub fn new(
        fingers: FixFingers,
        snapshot: Snapshot,
        resolve: Recipient<Resolve>,
        throttle: Throttle,
        every: Duration,
        lookup_timeout: Duration,
    ) -> Self {
        let resolve = Rc::new(resolve);
        FingersActor { fingers, snapshot, resolve, throttle, every, lookup_timeout, scheduled: None, last_tick: 0 }
    }

    fn schedule(&mut self, pace: Pace, ctx: &mut Context<Self>) {
        self.last_tick += 1;
        self.scheduled = Some((self.last_tick, pace));
        match pace {
            Pace::AtOnce => ctx.notify(FixFingerNow(self.last_tick)),
            Pace::After(rest) => {
                ctx.notify_later(FixFingerNow(self.last_tick), jittered(rest.min(self.every)));
            }
            Pace::NextPeriod => {
                ctx.notify_later(FixFingerNow(self.last_tick), jittered(self.every));
            }
        }
    }

    /// Ends a pause if there is hurry; a lookup under way will see by itself that there is.
    fn hurry(&mut self, ctx: &mut Context<Self>) {
        if self.scheduled.is_some() && self.fingers.is_hurried() {
            self.schedule(Pace::AtOnce, ctx);
        }
    }
}

impl Actor for FingersActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.schedule(Pace::NextPeriod, ctx);
    }
}

impl Handler<FixFingerNow> for FingersActor {
    type Result = ();

    fn handle(&mut self, FixFingerNow(tick): FixFingerNow, ctx: &mut Self::Context) {
        let Some((_, pace)) = self.scheduled.take_if(|(scheduled, _)| *scheduled == tick) else { return };
        let query = Query::begun(self.fingers.begin(pace), false);
        let (guess, patience) = (self.fingers.guess(), self.lookup_timeout);
        let (turns, resolve) = (self.throttle.clone(), self.resolve.clone());
        let found = async move {
            let find = || {
                let (style, class) = (Style::Recursive, Class::Maintenance);
                resolve.send(Resolve { query, guess, style, asked: Instant::now(), patience, class, pass: None })
            };
            turns.take(find).await
        };
        ctx.spawn(found.into_actor(self).map(|found, actor, ctx| {
            let owner = found.ok().and_then(Result::ok).map(|found| found.owner);
            let pace = actor.fingers.digest(owner);
            actor.snapshot.publish_fingers(actor.fingers.table());
            actor.schedule(pace, ctx);
        }));
    }
}

impl Handler<Disturbed> for FingersActor {
    type Result = ();

    fn handle(&mut self, Disturbed { everywhere }: Disturbed, ctx: &mut Self::Context) {
        match everywhere {
            true => self.fingers.grow_young(),
            false => self.fingers.disturb(),
        }
        self.hurry(ctx);
    }
}

impl Handler<Forget> for FingersActor {
    type Result = ();

    fn handle(&mut self, Forget(dead): Forget, ctx: &mut Self::Context) {
        for peer in dead {
            if self.fingers.forget(peer) {
                self.snapshot.publish_fingers(self.fingers.table());
                self.hurry(ctx);
            }
        }
    }
}

impl Handler<ShowFingers> for FingersActor {
    type Result = MessageResult<ShowFingers>;

    fn handle(&mut self, _: ShowFingers, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.fingers.table().nodes().collect())
    }
}

impl Handler<Stop> for FingersActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
