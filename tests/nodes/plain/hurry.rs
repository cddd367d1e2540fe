//! Rings of both kinds whose members join faster than they stabilize.

use super::*;
use crate::support::process::address;
use chord::Addr;

/// The period of maintenance of all members. `TS=1000` gives the figures of docs/correctness.md.
fn period() -> Duration {
    Duration::from_millis(std::env::var("TS").map_or(100, |ts| ts.parse().expect("milliseconds")))
}

/// A ring must be ideal this many periods after the last join.
const PERIODS: u32 = 30;

/// How many members join, the first included.
const MEMBERS: u8 = 8;

/// Draws the `n`th byte of a seed.
fn draw(seed: u64, n: u8) -> u8 {
    plain::sha1(format!("{seed} {n}").as_bytes()).as_bytes()[0]
}

/// The host number of these tests' address, beyond those of the tests that run alone.
const HURRIED: u8 = 254;

/// Members join 0.6 periods apart, each through a random earlier one, and every second one on average is a plain
/// peer of this kind. Returns the time that the ring then takes to be ideal, or its flaws.
async fn ring_that_grows_in_a_hurry(seed: u64, kind: Setup) -> Result<Duration, Vec<String>> {
    let period = period();
    let (mut ours, mut peers, mut addrs) = (Vec::new(), Vec::new(), Vec::<Addr>::new());
    let id = |n: u8| Some(plain::sha1(format!("member {n} of {seed}").as_bytes()));
    for n in 0..MEMBERS {
        let through = addrs.get(usize::from(draw(seed, n)) % addrs.len().max(1)).copied();
        if n == 1 || n > 1 && draw(seed, 100 + n).is_multiple_of(2) {
            let peer = Plain::start(Setup { id: id(n), period, ..kind });
            match through {
                Some(seed) => peer.joins(seed),
                None => peer.lives(),
            }
            addrs.push(peer.me().addr);
            peers.push(peer);
        } else {
            let addr = free_range_at(address(HURRIED), 1);
            let paced = Config { stabilize: period, fix_fingers: period, check_predecessor: period, ..calm() };
            let at = Config { id: id(n), listen: addr, ..paced };
            ours.push(actix_rt::spawn(start(Config { seeds: through.into_iter().map(Into::into).collect(), ..at })));
            addrs.push(addr);
        }
        sleep(period * 6 / 10).await;
    }
    let begin = Instant::now();
    let ours: Vec<Node> = join_all(ours).await.into_iter().map(|node| node.unwrap()).collect();
    let (ours, peers): (Vec<&Node>, Vec<&Plain>) = (ours.iter().collect(), peers.iter().collect());
    loop {
        let flaws = flaws(&ours, &peers).await;
        if flaws.is_empty() {
            return Ok(begin.elapsed());
        }
        if begin.elapsed() > LIMIT.max(period * PERIODS) {
            return Err(flaws);
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// The same with eight seeds at once; `SEED` says which is the first.
async fn rings_that_grow_in_a_hurry(kind: Setup) {
    let first = std::env::var("SEED").map_or(0, |seed| seed.parse().expect("a number"));
    let rings = join_all((first..first + 8).map(|seed| ring_that_grows_in_a_hurry(seed, kind))).await;
    let times: Vec<_> = rings.iter().flatten().collect();
    println!("{} of {} rings ideal, after {times:.1?}", times.len(), rings.len());
    for (seed, ring) in (first..).zip(&rings) {
        assert!(ring.is_ok(), "seed {seed}: {ring:#?}");
    }
}

/// What a peer whose list begins with itself copies from us must begin with us, before we know how it speaks.
#[actix_rt::test]
async fn joiners_in_a_hurry_whose_lists_begin_with_themselves_skip_nobody() {
    let first = Setup { dialect: Dialect::ItselfFirst, ..Setup::default() };
    rings_that_grow_in_a_hurry(first).await;
}

#[actix_rt::test]
async fn joiners_in_a_hurry_that_notify_whom_they_have_copied_skip_nobody() {
    let first = Setup { dialect: Dialect::ItselfFirst, notifies_head: true, ..Setup::default() };
    rings_that_grow_in_a_hurry(first).await;
}

#[actix_rt::test]
async fn joiners_in_a_hurry_that_know_their_successor_alone_skip_nobody() {
    for notifies_head in [false, true] {
        let setup = Setup { dialect: Dialect::ItselfFirst, waits_first: true, notifies_head, ..Setup::default() };
        rings_that_grow_in_a_hurry(setup).await;
    }
}

#[actix_rt::test]
async fn joiners_in_a_hurry_of_the_usual_kind_skip_nobody() {
    rings_that_grow_in_a_hurry(Setup::default()).await;
}
