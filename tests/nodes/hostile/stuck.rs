//! Members that do not answer lookups delay only the lookups that need them.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use chord::protocol::admission::MAX_LOOKUPS;
use chord::protocol::id::Bits;
use chord::protocol::rpc::{Request, Response};
use chord::wire::{Frame, FrameCodec, Question};
use chord::{Addr, Id, Peer};
use tokio_util::codec::Encoder;

use super::{R, SECOND};
use crate::support::ideal::Ideal;
use crate::support::member::Member;
use crate::support::process::{CHORD, Process, addresses, ask_numbered, eventually, free_range_at, nodes_from};
use crate::support::{alone, load, verdicts};

/// Virtual nodes of the process with most of the ring.
const BEHIND: u16 = 31;

/// How long a ring may take until all neighbours are right.
const FORMS_WITHIN: Duration = Duration::from_secs(15);

/// A process of many nodes, one of a single node, and addresses for members.
struct Ring {
    many: Process,
    victim: Process,
    peers: Vec<Peer>,
    /// The next port that is free.
    next: Addr,
}

impl Ring {
    fn start(members: u16) -> Ring {
        let ip = addresses(1).next().expect("an address");
        let first = free_range_at(ip, BEHIND + 1 + members);
        let at = |k: u16| Addr::new(ip, first.port() + k);
        let many = Process::virtual_nodes(Command::new(CHORD), first, BEHIND, None, R);
        let mut peers: Vec<_> = nodes_from(first, BEHIND).collect();
        let settled = |peers: &[Peer]| {
            let ideal = Ideal::of_peers(peers.iter().copied());
            eventually(FORMS_WITHIN, || ideal.check_all_told(R));
        };
        settled(&peers);
        let victim = Process::virtual_nodes(Command::new(CHORD), at(BEHIND), 1, Some(first), R);
        peers.push(victim.peer);
        settled(&peers);
        Ring { many, victim, peers, next: at(BEHIND + 1) }
    }

    /// Lets members without lookups join in these places, and waits until all know their neighbours.
    fn join(&mut self, places: impl IntoIterator<Item = Id>) -> Vec<Member> {
        let start = |id| {
            let member = Member::start(Peer { id, addr: self.next }, self.many.peer.addr);
            self.next = self.next.with_port(self.next.port() + 1);
            self.peers.push(member.me);
            member
        };
        let members = places.into_iter().map(start).collect();
        let ideal = self.ideal();
        eventually(FORMS_WITHIN, || ideal.check_all_told(R));
        members
    }

    fn ideal(&self) -> Ideal {
        Ideal::of_peers(self.peers.iter().copied())
    }

    /// How often each node was taken for dead by a node of the ring.
    fn found_dead(&self) -> BTreeMap<Addr, usize> {
        let mut found = BTreeMap::new();
        let verdicts = [&self.many, &self.victim].map(verdicts::of).into_iter().flatten();
        verdicts.for_each(|verdict| *found.entry(verdict.on).or_default() += 1);
        found
    }
}

/// The results of lookups that were put to a node one after the other.
#[derive(Debug, Default)]
struct Others {
    took: Vec<Duration>,
    wrong: usize,
    failed: usize,
}

impl Others {
    /// Looks up random keys for some time, but none that `stuck` owns.
    fn measure(of: Peer, ideal: &Ideal, stuck: Peer, time: Duration) -> Others {
        let (began, mut others) = (Instant::now(), Others::default());
        while began.elapsed() < time {
            let key = Id::from_bytes(rand::random());
            let owner = ideal.successor(key);
            if owner == stuck {
                continue;
            }
            let asked = Instant::now();
            let request = Request::FindSuccessor { key, hops: 0, want_path: false };
            match ask_numbered(of, &request, 7 * SECOND) {
                Ok(Ok(Response::Successor { owner: named, .. })) => others.wrong += usize::from(named != owner),
                _ => others.failed += 1,
            }
            others.took.push(asked.elapsed());
            // A client with a lookup now and then, which is no load.
            thread::sleep(Duration::from_millis(20));
        }
        others.took.sort();
        others
    }

    fn p50(&self) -> Duration {
        self.took[self.took.len() / 2]
    }

    fn describe(&self) -> String {
        let slowest = self.took.last().expect("some lookups");
        let (n, p50) = (self.took.len(), self.p50());
        format!("{n} lookups, {} wrong, {} failed, p50 {p50:?}, slowest {slowest:?}", self.wrong, self.failed)
    }
}

/// Lookups a second by one client that end at the member without answers.
const RATE: f64 = 600.0;

/// Connections to that member meanwhile: those that lead there anyway, and some that probe it.
const MAX_ACCEPTED: u64 = 10;

/// How much longer other lookups may take than before, or in all: the target is 1.5 times; the rest is for a busy
/// machine.
const SLOWER: u32 = 3;
const SLOW: Duration = Duration::from_millis(20);

#[test]
fn member_that_answers_all_but_lookups_holds_up_nobody_else() {
    let _alone = alone();
    let mut ring = Ring::start(1);
    // Most of the circle away from the victim, so that the victim's lookups pass through other nodes.
    let order: Vec<_> = ring.ideal().clockwise(ring.victim.peer.id).collect();
    let (place, stuck) = (order.len() * 3 / 4, order[(order.len() * 3 / 4 + 1) % order.len()]);
    let member = ring.join([order[place].id.next(Bits::FULL)]).remove(0);
    let (ideal, of, key) = (ring.ideal(), ring.victim.peer, member.me.id.next(Bits::FULL));

    let before = Others::measure(of, &ideal, stuck, 2 * SECOND);
    let (accepted, done) = (member.accepted(), AtomicBool::new(false));
    let fates = Mutex::new(BTreeMap::<_, usize>::new());
    let under = thread::scope(|scope| {
        scope.spawn(|| {
            let tell = |ended: load::Ended| *fates.lock().unwrap().entry(ended.owner.err()).or_default() += 1;
            load::run(&[of], RATE, &done, |_| key, tell);
        });
        let under = Others::measure(of, &ideal, stuck, 6 * SECOND);
        done.store(true, SeqCst);
        under
    });
    let (accepted, found_dead) = (member.accepted() - accepted, ring.found_dead());
    println!("{} lookups were stuck, {accepted} connections made to who sits on them", member.stuck());
    println!("before: {}\nunder:  {}", before.describe(), under.describe());
    let fates = fates.into_inner().unwrap();
    println!("the client got {fates:?}; found dead: {found_dead:?}");
    assert!(member.stuck() > 64 && fates.values().sum::<usize>() > 1000, "they have to get there");
    // Some of them pass through the member without answers, at any time.
    assert_eq!((before.wrong, under.wrong), (0, 0));
    assert!(under.p50() <= SLOWER * before.p50() && under.p50() <= SLOW, "{:?}, not {:?}", under.p50(), before.p50());
    assert!(accepted <= MAX_ACCEPTED, "{accepted} connections");
    assert!(found_dead.is_empty(), "all live");
}

/// Lookups that are sent to each of five members without answers: 8,500 in all, many more than a node admits at once.
const EACH: u64 = 1700;

/// With this number of stuck lookups a node has next to no room left.
const MANY: u64 = MAX_LOOKUPS as u64 / 2;

/// How late the victim may answer a ping.
const WORST: Duration = Duration::from_millis(200);

#[test]
fn node_whose_lookups_are_all_stuck_answers_pings() {
    let _alone = alone();
    let mut ring = Ring::start(5);
    // The victim's longest fingers, so that it forwards its requests to them itself.
    let of = ring.victim.peer;
    let members = ring.join((0..5).map(|k| of.id.finger_start(160 - k, Bits::FULL)));
    let ideal = ring.ideal();
    eventually(FORMS_WITHIN, || {
        let fingers = ring.victim.state(R).fingers;
        let known = members.iter().all(|member| fingers.contains(&member.me));
        if known { Ok(()) } else { Err(format!("not yet the victim's fingers: {fingers:?}")) }
    });

    let ping = || {
        let asked = Instant::now();
        let answer = ask_numbered(of, &Request::CheckPredecessor, 5 * SECOND);
        (asked.elapsed(), matches!(answer, Ok(Ok(Response::Alive { .. }))))
    };
    let idle = ping().0;
    // Held until the end: when a client closes its connection, its lookups are given up.
    let clients: Vec<_> = members.iter().map(|member| ask_at_once(of, member.me.id.next(Bits::FULL))).collect();
    let (began, mut pings) = (Instant::now(), Vec::new());
    while began.elapsed() < 8 * SECOND {
        pings.push(ping());
        thread::sleep(Duration::from_millis(20));
    }
    drop(clients);
    let (worst, unanswered) = (pings.iter().max().expect("pings").0, pings.iter().filter(|(_, ok)| !ok).count());
    let (stuck, found_dead) = (members.iter().map(Member::stuck).sum::<u64>(), ring.found_dead());
    println!("{stuck} lookups were stuck at {} members; a ping took {idle:?} before", members.len());
    println!("{} pings, {unanswered} unanswered, the worst {worst:?}; found dead: {found_dead:?}", pings.len());
    println!("neighbours afterwards: {:?}", ideal.check_all_told(R));
    assert!(stuck > MANY, "they have to get there");
    assert!(worst <= WORST && unanswered == 0, "a ping took {worst:?}, {unanswered} had no answer");
    assert!(found_dead.is_empty(), "all live");
}

/// Asks a node for one key again and again on one connection, without waiting for answers.
fn ask_at_once(of: Peer, key: Id) -> TcpStream {
    let mut bytes = BytesMut::new();
    for id in 0..EACH {
        let request = Request::FindSuccessor { key, hops: 0, want_path: false };
        let question = Question { call_id: Some(id), deadline: Some(5 * SECOND), ..Question::plain(request) };
        FrameCodec::default().encode(Frame::Call(question), &mut bytes).expect("a call that fits");
    }
    let mut stream = TcpStream::connect(of.addr).expect("it takes connections");
    stream.set_write_timeout(Some(SECOND)).expect("a timeout");
    // Requests that the node does not read within a second are not needed.
    let _ = stream.write_all(&bytes);
    stream
}
