//! Makes the nodes of a thread look up keys.
//!
//! Every answer is compared with the owner by definition. A seed determines the keys and the nodes that look them up;
//! it does not determine what happens at the same time.

use std::cell::RefCell;
use std::ops::Range;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use hdrhistogram::Histogram;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, sleep_until};

use super::local_nodes::{LocalNode, LocalNodes};
use super::timeline::{Fate, Timeline};
use crate::node::LookupError;
use crate::protocol::id::Id;
use crate::protocol::lookup::LookupFailure;

/// How lookups are generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// This many clients, each of which begins its next lookup when it has its answer: a closed loop.
    Clients(u32),
    /// This many lookups a second, at least 1, at random times, whether earlier ones are answered or not: an open loop.
    Rate(u32),
}

/// Lookups of random keys from random nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// For the whole swarm; each thread gets an equal share.
    pub demand: Demand,
    /// How long new lookups are begun.
    pub duration: Duration,
    /// One seed gives the same keys and nodes, in the same order for each client.
    pub seed: u64,
}

/// One thread's share of a load.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    load: Load,
    thread: u16,
    threads: u16,
}

/// How many lookups are traced in all, after a load.
const TRACED: u32 = 2000;

/// At most this many lookups are in flight on a thread in an open loop. Lookups that arrive beyond this begin later, in
/// their turn, and their latency counts from their arrival. A lookup that a busy node refuses has failed: an open loop
/// asks once.
const MAX_UNDER_WAY: usize = 1024;

/// Lookups that arrived in time but could not begin within this time after the end of the load have failed, too.
const GIVEN_UP: Duration = Duration::from_secs(5);

/// How long a client waits after a busy node refused its lookup, with a jitter of up to a half either way. The wait
/// doubles after each refusal, up to [`MOST_REFUSED`], and shrinks by a tenth after each answer: so about one lookup in
/// eight is refused. If it shrank as fast as it grows, every second one would be.
///
/// A client that asked again at once would no longer wait for answers, as a closed loop does: a refusal is quick, and a
/// few thousand clients would only produce refusals. Without jitter, clients refused together would come back together.
const REFUSED: Duration = Duration::from_millis(500);
const MOST_REFUSED: Duration = Duration::from_secs(4);

/// How late a timer may be by itself.
const TIMER: Duration = Duration::from_millis(2);

/// The longest latency that is distinguished from longer ones: more than any lookup may take.
const LONGEST: Duration = Duration::from_secs(100);

impl Load {
    /// The share of one of `threads` threads.
    pub fn share(self, thread: u16, threads: u16) -> Share {
        Share { load: self, thread, threads }
    }

    /// The share of the traced lookups; their seed differs from that of the load.
    pub fn traced(self, thread: u16, threads: u16) -> Share {
        Share { load: Load { seed: !self.seed, ..self }, thread, threads }
    }
}

impl Share {
    /// The numbers, out of `all`, that belong to this thread.
    fn numbers(self, all: u32) -> impl Iterator<Item = u32> {
        (u32::from(self.thread)..all).step_by(self.threads.into())
    }

    fn rng(self, number: u32) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.load.seed);
        rng.set_stream(number.into());
        rng
    }
}

/// The outcomes of lookups.
#[derive(Clone, Debug)]
pub struct Answers {
    /// All lookups that ended, in success or failure.
    pub lookups: u64,
    /// Lookups that found no owner or could not be begun.
    pub errors: u64,
    /// Those that found another than the owner.
    pub wrong: u64,
    /// Latencies of lookups that found an owner, in nanoseconds, with a relative precision of a thousandth.
    pub latency: Histogram<u64>,
    /// The outcomes by the time at which the lookups ended.
    pub timeline: Timeline,
}

impl Default for Answers {
    fn default() -> Answers {
        let latency = Histogram::new_with_bounds(1, nanos(LONGEST), 3);
        let latency = latency.unwrap_or_else(|why| unreachable!("the bounds are in order: {why}"));
        Answers { lookups: 0, errors: 0, wrong: 0, latency, timeline: Timeline::default() }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Whether an answer named the right owner.
type Answered = Result<bool, LookupError>;

impl Answers {
    /// A lookup has ended, at this time after the load began.
    fn add(&mut self, at: Duration, took: Duration, found: Answered) {
        self.lookups += 1;
        self.timeline.add(at, Fate::of(found.ok()));
        match found {
            Ok(right) => {
                self.wrong += u64::from(!right);
                self.latency.saturating_record(nanos(took).max(1));
            }
            Err(_) => self.errors += 1,
        }
    }

    /// A lookup could not be begun.
    fn refuse(&mut self, at: Duration) {
        self.lookups += 1;
        self.errors += 1;
        self.timeline.add(at, Fate::Failed);
    }

    /// The sum over all threads.
    pub fn sum(all: impl IntoIterator<Item = Answers>) -> Answers {
        all.into_iter().fold(Answers::default(), |mut sum, one| {
            sum.lookups += one.lookups;
            sum.errors += one.errors;
            sum.wrong += one.wrong;
            sum.timeline.join(one.timeline);
            if let Err(why) = sum.latency.add(&one.latency) {
                unreachable!("their bounds are the same: {why}");
            }
            sum
        })
    }
}

/// Runs this share of a load, which begins now, on the thread of its nodes.
pub async fn run(nodes: LocalNodes, share: Share, began: Instant) -> Answers {
    let until = began + share.load.duration;
    match share.load.demand {
        Demand::Clients(all) => {
            let answers = RefCell::new(Answers::default());
            let clients = share.numbers(all).map(|number| client(&nodes, share.rng(number), began..until, &answers));
            join_all(clients).await;
            answers.take()
        }
        Demand::Rate(rate) => {
            let gap = f64::from(share.threads) / f64::from(rate);
            arrivals(&nodes, share.rng(share.thread.into()), began..until, gap).await
        }
    }
}

/// One client. Thousands of them share the caches with the nodes.
#[expect(clippy::manual_async_fn, reason = "an async function holds its arguments twice")]
fn client<'a>(
    nodes: &'a LocalNodes,
    mut rng: ChaCha8Rng,
    time: Range<Instant>,
    answers: &'a RefCell<Answers>,
) -> impl Future<Output = ()> + 'a {
    async move {
        let mut pause = REFUSED;
        loop {
            let begin = Instant::now();
            if begin >= time.end {
                return;
            }
            let (took, answered) = lookup(nodes, nodes.draw(&mut rng), begin).await;
            answers.borrow_mut().add(time.start.elapsed(), took, answered);
            match answered {
                // A node that has stopped would answer at once, again and again.
                Err(LookupError::Stopped) => return,
                Err(LookupError::Failed(LookupFailure::Busy)) => {
                    let again = Instant::now() + pause.mul_f64(rng.random_range(0.5..1.5));
                    sleep_until(again.min(time.end)).await;
                    pause = (pause * 2).min(MOST_REFUSED);
                }
                _ => pause = (pause * 9 / 10).max(REFUSED),
            }
        }
    }
}

/// Looks a key up: how long it took from `begin` on, and the answer.
async fn lookup(nodes: &LocalNodes, (local, key): (&LocalNode, Id), begin: Instant) -> (Duration, Answered) {
    let found = local.node.lookup_id(key).await;
    let took = begin.elapsed();
    let right = match found {
        Ok(named) => Ok(nodes.is_right(&local.node, key, named).await),
        Err(why) => Err(why),
    };
    (took, right)
}

/// Lookups that arrive at random times, `gap` seconds apart on average. If a lookup begins late because the thread is
/// busy, that delay counts as latency.
async fn arrivals(nodes: &LocalNodes, mut rng: ChaCha8Rng, time: Range<Instant>, gap: f64) -> Answers {
    let Range { start: began, end: until } = time;
    let mut answers = Answers::default();
    let mut under_way = FuturesUnordered::new();
    let mut due = began;
    loop {
        due += Duration::from_secs_f64(-gap * (1.0 - rng.random::<f64>()).ln());
        let next = due.min(until);
        loop {
            tokio::select! {
                Some((took, answered)) = under_way.next() => answers.add(began.elapsed(), took, answered),
                () = sleep_until(next) => break,
            }
        }
        if due >= until {
            break;
        }
        while under_way.len() >= MAX_UNDER_WAY && Instant::now() < until + GIVEN_UP {
            if let Some((took, answered)) = under_way.next().await {
                answers.add(began.elapsed(), took, answered);
            }
        }
        let now = Instant::now();
        let begin = if now - due > TIMER { due } else { now };
        let lookup = lookup(nodes, nodes.draw(&mut rng), begin);
        if under_way.len() < MAX_UNDER_WAY {
            under_way.push(lookup);
        } else {
            answers.refuse(began.elapsed());
        }
    }
    while let Some((took, answered)) = under_way.next().await {
        answers.add(began.elapsed(), took, answered);
    }
    answers
}

/// The calls that traced lookups took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traced {
    /// Those that found an owner.
    pub lookups: u64,
    /// The calls that they took together.
    pub calls: u64,
    /// The calls that they would have taken if all tables were as defined.
    pub ideal: u64,
    /// Those that found another than the owner.
    pub wrong: u64,
}

impl Traced {
    /// The sum over all threads.
    pub fn sum(all: impl IntoIterator<Item = Traced>) -> Traced {
        all.into_iter().fold(Traced::default(), |sum, one| Traced {
            lookups: sum.lookups + one.lookups,
            calls: sum.calls + one.calls,
            ideal: sum.ideal + one.ideal,
            wrong: sum.wrong + one.wrong,
        })
    }
}

/// Traces this share of some lookups, one after the other.
pub async fn trace(nodes: LocalNodes, share: Share) -> Traced {
    let mut rng = share.rng(share.thread.into());
    let mut traced = Traced::default();
    for _ in share.numbers(TRACED) {
        let (local, key) = nodes.draw(&mut rng);
        let Ok(found) = local.node.trace(key).await else { continue };
        let walk = nodes.tables.lookup(local.at, key);
        traced.lookups += 1;
        traced.calls += found.path.len() as u64;
        traced.ideal += walk.path.len() as u64;
        traced.wrong += u64::from(!nodes.is_right(&local.node, key, found.owner).await);
    }
    traced
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::lookup::LookupFailure;

    const LOAD: Load = Load { demand: Demand::Clients(7), duration: Duration::ZERO, seed: 1 };

    #[test]
    fn threads_share_a_load_without_rest() {
        let mut numbers: Vec<u32> = (0..3).flat_map(|thread| LOAD.share(thread, 3).numbers(7)).collect();
        numbers.sort();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn seeds_and_numbers_decide_what_is_drawn() {
        let draw = |share: Share, number| share.rng(number).random::<u64>();
        let share = LOAD.share(0, 1);
        assert_eq!(draw(share, 3), draw(LOAD.share(1, 2), 3), "wherever a client is");
        assert_ne!(draw(share, 3), draw(share, 4));
        assert_ne!(draw(share, 3), draw(Load { seed: 2, ..LOAD }.share(0, 1), 3));
        assert_ne!(draw(share, 3), draw(LOAD.traced(0, 1), 3));
    }

    #[test]
    fn answers_are_told_apart_and_add_up() {
        let mut answers = Answers::default();
        answers.add(Duration::ZERO, Duration::from_micros(10), Ok(true));
        answers.add(Duration::ZERO, Duration::from_secs(1000), Ok(false));
        answers.add(Duration::ZERO, Duration::ZERO, Err(LookupFailure::Timeout.into()));
        let sum = Answers::sum([answers.clone(), answers]);
        assert_eq!((sum.lookups, sum.errors, sum.wrong, sum.latency.len()), (6, 2, 2, 4));
        let p50 = sum.latency.value_at_quantile(0.5);
        assert!((10_000..=10_010).contains(&p50), "{p50}");
        assert!(sum.latency.max() >= nanos(LONGEST), "the longest count as long");
    }
}
