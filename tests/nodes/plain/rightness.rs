//! Lookups of ideal rings of ours and of one kind of plain peers: none of our answers is wrong.

use super::*;

/// How many lookups each member of a ring makes; `LOOKUPS=1300` gives the figures of docs/correctness.md.
fn lookups() -> u32 {
    std::env::var("LOOKUPS").map_or(20, |lookups| lookups.parse().expect("a number"))
}

/// Every node of ours gives every member right answers, again and again, while the peers keep their ring.
async fn nobody_is_told_wrong(kind: Setup, peers: u8) {
    let log = Log::open();
    let period = Duration::from_millis(200);
    let paced = Config { stabilize: period, fix_fingers: period, check_predecessor: period, ..calm() };
    // One of the peers has the highest identifier.
    let place = |n: u8| Some(if n == 0 { Id::from_bytes([0xfe; 20]) } else { plain::sha1(&[n]) });
    let first = start(Config { id: place(100), ..paced.clone() }).await;
    let plain: Vec<Plain> = (0..peers).map(|n| Plain::start(Setup { id: place(n), period, ..kind })).collect();
    for peer in &plain {
        peer.joins(first.me().addr);
    }
    let (second, third) = join(
        start(Config { id: place(101), ..through(first.me(), paced.clone()) }),
        start(Config { id: place(102), ..through(first.me(), paced) }),
    )
    .await;
    let (ours, plain) = ([&first, &second, &third], plain.iter().collect::<Vec<&Plain>>());
    becomes_ideal(&ours, &plain).await;
    let ring = ring(&ours, &plain);
    let owner = |key: Id| *ring.iter().find(|peer| peer.id >= key).unwrap_or(&ring[0]);
    let (asked, unanswered) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let wrong = std::cell::RefCell::new(Vec::new());
    let judge = |who: Peer, id: Id, said: Option<Peer>| {
        asked.set(asked.get() + 1);
        unanswered.set(unanswered.get() + u32::from(said.is_none()));
        if said.is_some_and(|said| said != owner(id)) {
            wrong.borrow_mut().push((who, id, said));
        }
    };
    let ids = |who: Peer| (0..lookups()).map(move |n| plain::sha1(format!("{n} of {who:?}").as_bytes()));
    let by_ours = ours.map(async |node| {
        for id in ids(node.me()) {
            judge(node.me(), id, node.lookup_id(id).await.ok());
            sleep(Duration::from_millis(10)).await;
        }
    });
    let by_plain = plain.iter().map(async |peer| {
        for id in ids(peer.me()) {
            let node = ours[usize::from(id.as_bytes()[19]) % ours.len()].me();
            // A peer that serves no requests meanwhile looks up itself: it gets its answer from us.
            let said = if kind.serves_while_asking { peer.asks(node.addr, id).await } else { peer.lookup(id).await };
            judge(peer.me(), id, said);
            sleep(Duration::from_millis(10)).await;
        }
    });
    join(join_all(by_ours), join_all(by_plain)).await;
    println!("{} lookups, {} unanswered, {} wrong", asked.get(), unanswered.get(), wrong.borrow().len());
    assert!(wrong.borrow().is_empty(), "{wrong:#?}\n{}", log.text());
    assert!(!log.says(&["found dead"]), "{}", log.text());
}

#[actix_rt::test]
async fn lookups_beside_a_peer_that_serves_nobody_while_it_asks_are_right() {
    nobody_is_told_wrong(Setup { serves_while_asking: false, ..Setup::default() }, 1).await;
}

#[actix_rt::test]
async fn lookups_beside_peers_of_which_the_highest_names_its_successor_for_all_keys_are_right() {
    nobody_is_told_wrong(Setup { never_wraps: true, ..Setup::default() }, 9).await;
}

#[actix_rt::test]
async fn lookups_beside_peers_whose_lists_begin_with_themselves_are_right() {
    nobody_is_told_wrong(Setup { dialect: Dialect::ItselfFirst, ..Setup::default() }, 3).await;
}
