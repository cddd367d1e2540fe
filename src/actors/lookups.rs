//! Runs the lookups of a node: its own, and those that other nodes forward to it.

use std::rc::Rc;
use std::time::Duration;

use actix::Recipient;
use futures::future::{LocalBoxFuture, join_all};
use tokio::time::{Instant, sleep, timeout_at};

use crate::actors::drive::{Driver, Started};
use crate::actors::jitter::jittered;
use crate::actors::messages::{Forget, Resolve, Serve, Severed};
use crate::actors::snapshot::Snapshot;
use crate::net::serves::Answered;
use crate::protocol::admission::Class;
use crate::protocol::lookup::iterative::Style;
use crate::protocol::lookup::restarts::{Next, Restarts};
use crate::protocol::lookup::{Finding, Lookup, LookupFailure, Query, Scope};
use crate::protocol::peer::Peer;
use crate::protocol::retry_budget::rest;
use crate::protocol::rpc::{Hop, Request};

/// Runs lookups. All clones are the same.
#[derive(Clone)]
pub struct Lookups(Rc<Inner>);

struct Inner {
    me: Peer,
    snapshot: Snapshot,
    driver: Rc<Driver>,
    /// The owners of the tables, which have to forget dead peers.
    tables: [Recipient<Forget>; 2],
}

/// A lookup, as far as it has come without waiting.
enum Begun {
    Found(Finding),
    UnderWay(Box<Started<Lookup>>),
}

impl Lookups {
    /// Looks keys up from the tables in the snapshot; `tables` are told of dead peers.
    pub fn new(me: Peer, snapshot: Snapshot, driver: Rc<Driver>, tables: [Recipient<Forget>; 2]) -> Lookups {
        Lookups(Rc::new(Inner { me, snapshot, driver, tables }))
    }

    /// The lookup of an embedding program, or of this node's own fingers.
    pub fn resolve(
        &self,
        Resolve { query, guess, style, asked, patience, class, pass }: Resolve,
    ) -> LocalBoxFuture<'static, Result<Finding, LookupFailure>> {
        let thread = self.0.driver.routes.pool.thread();
        let place = match thread.admit_own(class) {
            Some(place) => Ok(place),
            None => match thread.wait_for_room(class, patience) {
                Some(room) => Err(Box::pin(room)),
                // A refused caller tries again: a refusal has to be cheap.
                None => {
                    self.0.count(class, asked, Some(LookupFailure::Busy));
                    return Box::pin(async { Err(LookupFailure::Busy) });
                }
            },
        };
        drop(pass);
        let lookups = self.0.clone();
        Box::pin(async move {
            let found = async {
                let (_place, patience) = match place {
                    Ok(place) => (place, patience),
                    Err(room) => {
                        let waits = Instant::now();
                        let place = room.await.ok_or(LookupFailure::Busy)?;
                        (place, patience.saturating_sub(waits.elapsed()))
                    }
                };
                let begin = |lookup: Lookup| lookup.in_style(style).guessing(guess);
                match lookups.begin(query, &begin)? {
                    Begun::Found(finding) => {
                        lookups.arrived(query);
                        Ok(finding)
                    }
                    Begun::UnderWay(started) => lookups.go_on(query, &begin, started, patience).await,
                }
            };
            let found = found.await;
            lookups.count(class, asked, found.as_ref().err().copied());
            found
        })
    }

    /// The nodes behind a broken connection may have died: the message to the owner of the neighbours is on its way.
    pub fn sever(&self, severed: &Severed) {
        self.0.snapshot.sever(severed);
    }

    /// The node has slept: the message to the owner of the neighbours is on its way.
    pub fn slept(&self) {
        self.0.snapshot.sleep();
    }

    /// This node's part in the lookup of another node; `None` if the request is no lookup.
    pub fn serve(&self, serve: &Serve) -> Option<Answered> {
        match &serve.request {
            Request::FindSuccessor { key, hops, want_path } => {
                let query = Query { key: *key, scope: Scope::Ring { hops: *hops }, want_path: *want_path };
                Some(self.respond(query, Vec::new(), serve.patience))
            }
            Request::ClosestPrecedingNode { key, doubted, want_path } => {
                let query = Query::here(*key, *want_path);
                Some(self.respond(query, doubted.clone(), serve.patience))
            }
            _ => None,
        }
    }

    /// Answers a lookup; `say` turns the finding into one of the two kinds of response. For `doubted` see
    /// [`Lookup::doubting`].
    fn respond(&self, query: Query, doubted: Vec<Peer>, patience: Option<Duration>) -> Answered {
        let begin = move |lookup: Lookup| lookup.in_style(Style::Recursive).doubting(doubted.clone());
        let (lookups, asked) = (self.0.clone(), query.want_path.then(Instant::now));
        let me = lookups.me;
        let say = move |finding: Finding| finding.answer(asked.map(|asked| Hop { node: me, took: asked.elapsed() }));
        match lookups.begin(query, &begin) {
            Err(lost) => Answered::Now(Err(lost.into())),
            Ok(Begun::Found(finding)) => {
                lookups.arrived(query);
                Answered::Now(say(finding).map_err(Into::into))
            }
            Ok(Begun::UnderWay(started)) => {
                let longest = lookups.driver.lookup_timeout;
                let patience = patience.unwrap_or(longest).min(longest);
                Answered::Later(Box::pin(async move {
                    let found = lookups.go_on(query, &begin, started, patience).await;
                    Ok(found.and_then(say)?)
                }))
            }
        }
    }
}

impl Inner {
    fn begin(&self, query: Query, begin: &impl Fn(Lookup) -> Lookup) -> Result<Begun, LookupFailure> {
        Ok(match Started::new(begin(self.snapshot.lookup(query)?)).at_once() {
            Ok(finding) => Begun::Found(finding),
            Err(started) => Begun::UnderWay(Box::new(started)),
        })
    }

    /// Runs a started lookup to its end.
    #[expect(clippy::manual_async_fn, reason = "an async function holds its arguments twice")]
    fn go_on<'a>(
        &'a self,
        query: Query,
        begin: &'a impl Fn(Lookup) -> Lookup,
        mut started: Box<Started<Lookup>>,
        patience: Duration,
    ) -> impl Future<Output = Result<Finding, LookupFailure>> + 'a {
        async move {
            let deadline = Instant::now() + patience;
            let mut restarts = Restarts::default();
            let thread = self.driver.routes.pool.thread();
            loop {
                let tell = |dead: Vec<Peer>| self.forget(&dead);
                let finding = self.driver.go_on(&mut started, Some(deadline), Some(&tell));
                let finding = finding.await.ok_or(LookupFailure::Timeout)?;
                match restarts.after(&finding, query, || thread.may_retry()) {
                    Next::Answer => {
                        self.forget(&finding.dead);
                        return Ok(finding);
                    }
                    Next::Rest(rests) => {
                        self.forget(&finding.dead);
                        let rested = timeout_at(deadline, sleep(jittered(rest(rests))));
                        Box::pin(rested).await.map_err(|_| LookupFailure::Timeout)?;
                    }
                    Next::Compare => {
                        self.doubt(&finding.dead);
                        join_all(self.tables.iter().map(|table| table.send(Forget(finding.dead.clone())))).await;
                        if !restarts.compare(&finding, query, &self.snapshot.vantage()?)? {
                            return Ok(finding);
                        }
                    }
                }
                started = match self.begin(query, begin)? {
                    Begun::Found(finding) => return Ok(finding),
                    Begun::UnderWay(started) => started,
                };
            }
        }
    }

    /// A lookup has ended that was asked for here. Those of an embedding program are counted.
    fn count(&self, class: Class, asked: std::time::Instant, failed: Option<LookupFailure>) {
        if class == Class::Begun {
            self.driver.counters.meters.looked_up(asked.elapsed(), failed);
        }
    }

    /// A lookup has ended here at once.
    fn arrived(&self, query: Query) {
        if let Scope::Ring { hops } = query.scope {
            self.driver.counters.lookups.add(1);
            self.driver.counters.meters.arrived(hops);
        }
    }

    fn doubt(&self, dead: &[Peer]) {
        dead.iter().for_each(|dead| self.snapshot.doubt(dead.addr));
    }

    fn forget(&self, dead: &[Peer]) {
        self.doubt(dead);
        for table in self.tables.iter().filter(|_| !dead.is_empty()) {
            table.do_send(Forget(dead.to_vec()));
        }
    }
}
