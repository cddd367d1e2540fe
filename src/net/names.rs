//! Names of seeds, resolved anew each time the seeds are asked.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;
use tokio::net::lookup_host;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

use crate::net::seed::{Host, Seed};
use crate::protocol::addr::Addr;

/// The seeds and the addresses that their names resolve to.
pub struct Names {
    seeds: RefCell<Vec<Rc<Entry>>>,
    /// How many of them there may be.
    most: usize,
    /// How long to wait for the resolver while no address is known; a quarter of it otherwise. A late answer is used by
    /// the next call.
    patience: Duration,
}

struct Entry {
    seed: Seed,
    /// The last addresses heard, used as long as the resolver does not answer.
    addrs: RefCell<Vec<Addr>>,
    /// At most one question at a time: a resolver that hangs holds a thread.
    question: Cell<Option<JoinHandle<io::Result<Vec<Addr>>>>>,
    /// Whether a call is waiting for the answer.
    awaited: Cell<bool>,
    /// Whether the log has a warning that the name does not resolve.
    warned: Cell<bool>,
}

/// The most seeds that may be added to those that a node starts with.
const MAX_ADDED: usize = 64;

/// The most addresses of one name that are tried.
const MAX_ADDRS: usize = 16;

impl Names {
    /// Seeds, none resolved yet.
    pub fn new(seeds: &[Seed], patience: Duration) -> Names {
        let entries = seeds.iter().cloned().map(|seed| Rc::new(Entry::new(seed))).collect();
        Names { most: seeds.len() + MAX_ADDED, seeds: RefCell::new(entries), patience }
    }

    /// Whether some seed has a name: else all addresses are known, and never change.
    pub fn change(&self) -> bool {
        self.seeds.borrow().iter().any(|entry| entry.seed.addr().is_none())
    }

    /// One seed more, if it is not one already. False if there are too many.
    pub fn add(&self, seed: Seed) -> bool {
        let mut seeds = self.seeds.borrow_mut();
        if seeds.iter().any(|entry| entry.seed == seed) {
            return true;
        }
        let has_place = seeds.len() < self.most;
        if has_place {
            seeds.push(Rc::new(Entry::new(seed)));
        }
        has_place
    }

    /// The addresses of all seeds, in their order, each once.
    pub async fn resolve(&self) -> Vec<Addr> {
        let seeds = self.seeds.borrow().clone();
        join_all(seeds.iter().map(|entry| entry.resolve(self.patience))).await;
        let mut all = Vec::new();
        for entry in &seeds {
            let addrs = entry.addrs.borrow();
            all.extend(addrs.iter().filter(|addr| !all.contains(*addr)).copied().collect::<Vec<_>>());
        }
        all
    }
}

impl Entry {
    fn new(seed: Seed) -> Entry {
        let addrs = RefCell::new(seed.addr().into_iter().collect());
        Entry { seed, addrs, question: Cell::default(), awaited: Cell::default(), warned: Cell::default() }
    }

    async fn resolve(&self, patience: Duration) {
        let Host::Name(name) = &self.seed.host else { return };
        if self.awaited.replace(true) {
            return;
        }
        let patience = if self.addrs.borrow().is_empty() { patience } else { patience / 4 };
        let mut question = self.question.take().unwrap_or_else(|| {
            let (name, port) = (name.clone(), self.seed.port);
            spawn_local(async move { Ok(usable(lookup_host((name.as_str(), port)).await?)) })
        });
        match timeout(patience, &mut question).await {
            Ok(Ok(Ok(addrs))) if !addrs.is_empty() => {
                self.warned.set(false);
                self.addrs.replace(addrs);
            }
            Ok(Ok(Ok(_))) => self.warn("it has no address that can be called"),
            Ok(Ok(Err(why))) => self.warn(&why.to_string()),
            // The runtime is shutting down, and this node with it.
            Ok(Err(_)) => {}
            Err(_) => {
                self.question.set(Some(question));
                // The answer may still come; until then the last addresses will do.
                if self.addrs.borrow().is_empty() {
                    self.warn("no answer yet");
                }
            }
        }
        self.awaited.set(false);
    }

    /// Warns once, until the name resolves again.
    fn warn(&self, why: &str) {
        if !self.warned.replace(true) {
            tracing::warn!(seed = %self.seed, why, "does not resolve: trying again");
        }
    }
}

fn usable(addrs: impl Iterator<Item = SocketAddr>) -> Vec<Addr> {
    addrs.map(Addr::from).filter(|addr| addr.check().is_ok()).take(MAX_ADDRS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn names(seeds: &[&str]) -> Names {
        let seeds: Vec<Seed> = seeds.iter().map(|seed| seed.parse().unwrap()).collect();
        Names::new(&seeds, PATIENCE)
    }

    #[test]
    fn addresses_need_not_be_resolved() {
        assert!(!names(&[]).change() && !names(&["127.0.0.1:7", "[::1]:7"]).change());
        assert!(names(&["127.0.0.1:7", "localhost:7"]).change());
    }

    #[actix_rt::test]
    async fn name_that_does_not_resolve_holds_up_no_other() {
        let names = names(&["127.0.0.9:7", "nobody.invalid:8", "localhost:9"]);
        let addrs = names.resolve().await;
        assert_eq!(addrs[0].to_string(), "127.0.0.9:7");
        assert!(
            addrs.len() > 1 && addrs[1..].iter().all(|addr| addr.ip().is_loopback() && addr.port() == 9),
            "{addrs:?}"
        );
        assert_eq!(
            names.seeds.borrow().iter().map(|entry| entry.warned.get()).collect::<Vec<_>>(),
            [false, true, false]
        );
        assert_eq!(names.resolve().await, addrs);
    }

    #[actix_rt::test]
    async fn seeds_are_added_once_and_up_to_a_limit() {
        let (names, seed) = (names(&["127.0.0.9:7"]), |text: &str| text.parse::<Seed>().unwrap());
        let names = Names { most: 2, ..names };
        assert!(names.add(seed("127.0.0.9:8")) && names.add(seed("127.0.0.9:7")));
        assert!(!names.add(seed("127.0.0.9:9")));
        assert_eq!(names.resolve().await, ["127.0.0.9:7", "127.0.0.9:8"].map(|addr| addr.parse().unwrap()));
    }

    #[actix_rt::test]
    async fn resolver_that_hangs_is_asked_one_question_at_a_time() {
        let names = Names { patience: Duration::ZERO, ..names(&["localhost:9"]) };
        let hangs = || spawn_local(std::future::pending());
        let question = hangs();
        let id = question.id();
        let entry = names.seeds.borrow()[0].clone();
        entry.question.set(Some(question));
        // Two calls at once, and then another.
        assert_eq!(tokio::join!(names.resolve(), names.resolve()), (vec![], vec![]));
        assert_eq!(names.resolve().await, []);
        assert_eq!(entry.question.take().map(|question| question.id()), Some(id));
    }
}
