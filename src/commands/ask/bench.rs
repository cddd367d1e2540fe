//! `chord bench`: load on a running ring.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use chord::client::json::millis;
use chord::client::walk::{Reports, Walk, walk};
use chord::client::{AskError, Client, Owner};
use chord::{Id, Peer};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use hdrhistogram::Histogram;
use rand::RngExt;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Failure, print, print_json, reach};
use crate::cli::ask::Bench;
use crate::commands::progress::Progress;

/// At most this many lookups are in flight in an open loop. Those that arrive beyond begin in their turn, and their time
/// counts from their arrival.
const MAX_UNDER_WAY: usize = 4096;

/// At most this many answers that differ from the first walk are kept to be compared with the second.
const MAX_DOUBTED: usize = 100_000;

/// Lookups that are due but have not begun this long after the end of the load have failed.
const GIVEN_UP: Duration = Duration::from_secs(5);

/// The node is asked for the ring after the load for at most this long, if it refuses or is silent.
const AFTERWARDS: Duration = Duration::from_secs(15);
const REST: Duration = Duration::from_millis(200);

/// The longest time that is distinguished from longer ones.
const LONGEST: Duration = Duration::from_secs(100);

pub(super) async fn run(args: &Bench) -> Result<u8, Failure> {
    let (client, addr) = reach(&args.common).await?;
    let before = walk(&client, &[addr], Reports::Of(0), |_, _| {}).await?;
    let bench = Running { client: &client, walk: &before, counts: RefCell::new(Counts::new()) };
    let progress = Progress::of(args.seconds, "seconds of load");
    let began = Instant::now();
    let until = began + Duration::from_secs(args.seconds);
    let load = async {
        match args.rate {
            Some(rate) => bench.arrivals(rate.into(), began, until).await,
            None => drop(join_all((0..args.clients).map(|_| bench.client(until))).await),
        }
    };
    let watch = async {
        for second in 0.. {
            progress.at(second, args.seconds as usize);
            sleep_until(began + Duration::from_secs(second as u64 + 1)).await;
        }
    };
    tokio::select! { () = load => {}, () = watch => {} }
    let elapsed = began.elapsed();
    progress.end();
    // The node may be looking for its ring, which the load may have hurt.
    let again = Instant::now() + AFTERWARDS;
    let after = loop {
        match walk(&client, &[addr], Reports::Of(0), |_, _| {}).await {
            Err(_) if Instant::now() < again => sleep(REST).await,
            walked => break walked.unwrap_or_default(),
        }
    };
    let counts = bench.counts.into_inner();
    // The ring may have changed meanwhile: an answer is wrong if it is so before and after.
    let wrong = counts.doubted.iter().filter(|(key, owner)| after.owner(*key) != Some(*owner)).count() as u64;
    let figures = Figures { members: (before.nodes.len(), after.nodes.len()), elapsed, wrong, counts };
    if args.common.json {
        print_json(&figures.as_data(args))?
    } else {
        print(&figures.text(args))?
    }
    Ok(u8::from(figures.wrong > 0 || !figures.counts.failed.is_empty()))
}

/// A load that is under way.
struct Running<'a> {
    client: &'a Client,
    walk: &'a Walk,
    counts: RefCell<Counts>,
}

/// What has come of the lookups.
struct Counts {
    /// How long those took that found an owner, in nanoseconds.
    found: Histogram<u64>,
    /// The others, by what happened.
    failed: BTreeMap<String, u64>,
    /// Answers that differ from the first walk.
    doubted: Vec<(Id, Peer)>,
}

impl Counts {
    fn new() -> Counts {
        let found = Histogram::new_with_bounds(1, nanos(LONGEST), 3);
        let found = found.unwrap_or_else(|why| unreachable!("the bounds are in order: {why}"));
        Counts { found, failed: BTreeMap::new(), doubted: Vec::new() }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Running<'_> {
    /// Begins its next lookup when it has its answer: a closed loop.
    async fn client(&self, until: Instant) {
        while Instant::now() < until {
            self.look_up(Instant::now()).await;
        }
    }

    /// Lookups that arrive at random times, whether earlier ones are answered or not: an open loop.
    async fn arrivals(&self, rate: f64, began: Instant, until: Instant) {
        let (mut due, mut under_way) = (began, FuturesUnordered::new());
        loop {
            due += Duration::from_secs_f64(-(1.0 - rand::random::<f64>()).ln() / rate);
            if due >= until {
                break;
            }
            if Instant::now() > until + GIVEN_UP {
                self.fail("not begun in time");
                continue;
            }
            loop {
                tokio::select! {
                    Some(()) = under_way.next() => {}
                    () = sleep_until(due), if under_way.len() < MAX_UNDER_WAY => break,
                }
            }
            under_way.push(self.look_up(due));
        }
        under_way.collect::<()>().await;
    }

    /// Has a member look up a key, both at random. The time counts from when it was due.
    async fn look_up(&self, due: Instant) {
        let member = self.walk.nodes[rand::rng().random_range(0..self.walk.nodes.len())].peer;
        let key = Id::from_bytes(rand::random());
        let found = self.client.lookup(member.addr, key).await;
        let took = due.elapsed();
        let counts = &mut *self.counts.borrow_mut();
        match found {
            Ok(Owner { owner, .. }) => {
                counts.found.saturating_record(nanos(took).max(1));
                if self.walk.owner(key) != Some(owner) && counts.doubted.len() < MAX_DOUBTED {
                    counts.doubted.push((key, owner));
                }
            }
            Err(why) => *counts.failed.entry(reason(&why)).or_default() += 1,
        }
    }

    fn fail(&self, why: &'static str) {
        *self.counts.borrow_mut().failed.entry(why.into()).or_default() += 1;
    }
}

/// What happened, without the node to which it happened.
pub(super) fn reason(why: &AskError) -> String {
    match why {
        AskError::Unreachable(..) => "can't be reached".into(),
        AskError::Silent(..) => "no answer in time".into(),
        AskError::Closed(_) => "connection closed".into(),
        AskError::Refused(_, code) => code.to_string(),
        AskError::Nonsense(..) | AskError::Other(..) | AskError::Nobody(_) | AskError::Untold(..) => "nonsense".into(),
    }
}

struct Figures {
    /// Before and after; none after if the node did not answer any more.
    members: (usize, usize),
    elapsed: Duration,
    wrong: u64,
    counts: Counts,
}

/// The parts of the lookups that are at most as slow as a figure tells.
const QUANTILES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

impl Figures {
    fn failed(&self) -> u64 {
        self.counts.failed.values().sum()
    }

    fn per_second(&self) -> f64 {
        self.counts.found.len() as f64 / self.elapsed.as_secs_f64()
    }

    fn at(&self, quantile: f64) -> f64 {
        millis(Duration::from_nanos(self.counts.found.value_at_quantile(quantile)))
    }

    fn text(&self, args: &Bench) -> String {
        let load = match args.rate {
            Some(rate) => format!("{rate} lookups/s at random times"),
            None if args.clients == 1 => "1 client".into(),
            None => format!("{} clients", args.clients),
        };
        let (before, after) = self.members;
        let members = if before == after { format!("{before}") } else { format!("{before}, {after} afterwards") };
        let times: Vec<_> = QUANTILES.iter().map(|(name, part)| format!("{name} {} ms", self.at(*part))).collect();
        let mut text = format!(
            "load     {load}, {:.1} s, members: {members}\nlookups  {} found, {:.0}/s, {} failed, {} wrong\ntime     {}\n",
            self.elapsed.as_secs_f64(),
            self.counts.found.len(),
            self.per_second(),
            self.failed(),
            self.wrong,
            times.join(", "),
        );
        for (why, n) in &self.counts.failed {
            text += &format!("failed   {n}: {why}\n");
        }
        text
    }

    fn as_data(&self, args: &Bench) -> Value {
        let times = QUANTILES.iter().map(|(name, part)| (name.replace('.', "_"), json!(self.at(*part))));
        json!({
            "clients": args.rate.is_none().then_some(args.clients), "rate": args.rate,
            "seconds": self.elapsed.as_secs_f64(), "members_before": self.members.0, "members_after": self.members.1,
            "found": self.counts.found.len(), "failed": self.counts.failed, "wrong": self.wrong,
            "per_second": self.per_second(), "millis": times.collect::<serde_json::Map<_, _>>(),
        })
    }
}
