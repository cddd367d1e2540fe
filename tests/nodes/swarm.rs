//! Many real nodes in one process: they form a ring and answer right, and the figures about them are true.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chord::net::pool::ConnectionPool;
use chord::net::transport::{Switchboard, Transport};
use chord::protocol::id::Bits;
use chord::swarm::judge::Judge;
use chord::swarm::{Demand, Forming, Load, NotIdeal, Swarm, SwarmConfig, SwarmError, together};
use chord::{Addr, Config, Id, Node, Peer};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// How long a small ring may take to form on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// Short periods, to keep the tests short.
fn node() -> Config {
    let (stabilize, fix_fingers) = (Duration::from_millis(100), Duration::from_millis(20));
    Config { stabilize, fix_fingers, check_predecessor: stabilize, ..Config::new(Ipv4Addr::LOCALHOST) }
}

async fn swarm(nodes: u16, threads: u16, node: Config) -> Swarm {
    let config = SwarmConfig { nodes, threads, node, ..SwarmConfig::default() };
    Swarm::start(config, |_| ()).await.expect("it starts")
}

fn members(swarm: &Swarm) -> BTreeSet<Peer> {
    swarm.nodes().map(Node::me).collect()
}

/// The first member at or after a point, computed without the tables that judge swarms.
fn owner(members: &BTreeSet<Peer>, key: Id) -> Peer {
    *members.iter().find(|member| member.id >= key).or(members.first()).expect("a member")
}

fn load(demand: Demand, seed: u64) -> Load {
    Load { demand, duration: SECOND / 2, seed }
}

#[actix_rt::test]
async fn twelve_nodes_on_two_threads_form_and_are_as_defined() {
    let told: Arc<[AtomicUsize; 2]> = Arc::default();
    let counts = told.clone();
    let config = SwarmConfig { nodes: 12, threads: 2, node: node(), ..SwarmConfig::default() };
    let swarm = Swarm::start(config, move |forming| {
        counts[usize::from(forming == Forming::Right)].fetch_add(1, Ordering::Relaxed);
    });
    let swarm = swarm.await.unwrap();
    let formation = swarm.await_ideal(LIMIT).await.unwrap();
    assert_eq!(told.each_ref().map(|count| count.load(Ordering::Relaxed)), [12, 12], "joined and right");

    let members = members(&swarm);
    assert_eq!((members.len(), swarm.first().me()), (12, swarm.nodes().next().unwrap().me()));
    for node in swarm.nodes() {
        let (me, state) = (node.me(), node.state().await.unwrap());
        let mut successors = vec![owner(&members, me.id.next(Bits::FULL))];
        (1..4).for_each(|k| successors.push(owner(&members, successors[k - 1].id.next(Bits::FULL))));
        let fingers = (1..=160).map(|i| owner(&members, me.id.finger_start(i, Bits::FULL)));
        assert_eq!(state.successors, successors);
        assert_eq!(state.fingers, fingers.collect::<Vec<_>>());
        assert_eq!(state.predecessor, members.range(..me).next_back().or(members.last()).copied());
    }
    assert!(Duration::ZERO < formation.joined && formation.joined <= formation.neighbors, "{formation}");
    assert!(formation.neighbors <= formation.ideal && formation.ideal < LIMIT, "{formation}");
    assert!(formation.calls_per_node > 1.0 && formation.connections_per_node > 0.0, "{formation}");
    swarm.stop().await;
}

#[actix_rt::test]
async fn lookups_under_load_are_right_and_counted() {
    let swarm = swarm(12, 2, node()).await;
    swarm.await_ideal(LIMIT).await.unwrap();
    let closed = swarm.load(load(Demand::Clients(5), 1)).await.unwrap();
    assert_eq!((closed.errors, closed.wrong), (0, 0), "{closed}");
    assert!(closed.lookups > 100 && closed.elapsed >= SECOND / 2, "{closed}");
    assert!(Duration::ZERO < closed.p50 && closed.p50 <= closed.p99 && closed.p99 <= closed.elapsed, "{closed}");
    assert_eq!(closed.traced.lookups, 2000);
    assert!(closed.traced.ideal > 1000 && closed.traced.calls == closed.traced.ideal, "tables are ideal: {closed}");

    let open = swarm.load(load(Demand::Rate(1000), 1)).await.unwrap();
    assert_eq!((open.errors, open.wrong), (0, 0), "{open}");
    // 500 are expected; the range is four standard deviations to either side.
    assert!((410..=590).contains(&open.lookups), "{open}");
    let again = swarm.load(load(Demand::Rate(1000), 1)).await.unwrap();
    assert_eq!((open.lookups, open.traced), (again.lookups, again.traced), "one seed, the same lookups");
    let other = swarm.load(load(Demand::Rate(1000), 2)).await.unwrap();
    assert_ne!((open.lookups, open.traced.ideal), (other.lookups, other.traced.ideal), "another seed, others");
    swarm.stop().await;
}

/// No other program listens at that address.
#[actix_rt::test]
async fn nodes_that_call_each_other_by_memory_are_a_ring_without_sockets() {
    let listen = Addr::new([127, 0, 77, 1], 0);
    let transport = Transport::Memory(Switchboard::default());
    let swarm = swarm(12, 2, Config { listen, transport, ..node() }).await;
    swarm.await_ideal(LIMIT).await.unwrap();
    let figures = swarm.load(load(Demand::Clients(5), 1)).await.unwrap();
    assert_eq!((figures.errors, figures.wrong), (0, 0), "{figures}");
    assert!(figures.lookups > 100 && figures.traced.calls == figures.traced.ideal, "{figures}");
    let refused = TcpStream::connect(swarm.first().me().addr.socket()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    swarm.stop().await;
}

#[actix_rt::test]
async fn answers_that_name_another_than_the_owner_are_counted() {
    let swarm = swarm(4, 1, node()).await;
    swarm.await_ideal(LIMIT).await.unwrap();
    // The swarm does not know of the stranger: every answer that names it is wrong.
    let seeds = vec![swarm.first().me().addr.into()];
    let stranger = Node::start_sharing(Config { seeds, ..node() }, ConnectionPool::default()).await.unwrap();
    let figures = swarm.load(load(Demand::Clients(2), 0)).await.unwrap();
    assert!(figures.wrong > 0 && figures.wrong <= figures.lookups + 2000, "{figures}");
    stranger.stop().await;
    swarm.stop().await;
}

#[actix_rt::test]
async fn lookups_of_nodes_that_have_stopped_are_errors_and_end() {
    let swarm = swarm(3, 1, node()).await;
    swarm.await_ideal(LIMIT).await.unwrap();
    for node in swarm.nodes() {
        node.stop().await;
    }
    let figures = swarm.load(load(Demand::Clients(7), 0)).await.unwrap();
    assert_eq!((figures.lookups, figures.errors, figures.traced.lookups), (7, 7, 0), "{figures}");
    let idle = swarm.idle(SECOND / 10).await;
    assert_eq!(idle.calls, 0.0, "{idle}");
    swarm.stop().await;
}

#[actix_rt::test]
async fn idle_nodes_go_on_calling_each_other() {
    let swarm = swarm(6, 1, node()).await;
    swarm.await_ideal(LIMIT).await.unwrap();
    let idle = swarm.idle(SECOND).await;
    assert!(idle.calls > 1.0 && idle.bytes > idle.calls && idle.processor_share > 0.0, "{idle}");
    assert!(idle.elapsed >= SECOND && idle.elapsed < LIMIT, "{idle}");
    swarm.stop().await;
}

#[actix_rt::test]
async fn ring_that_does_not_form_in_time_says_how_many_are_wrong() {
    let swarm = swarm(5, 1, node()).await;
    let NotIdeal::Wrong { wrong, nodes, .. } = swarm.await_ideal(Duration::ZERO).await.unwrap_err() else {
        panic!("a thread has ended")
    };
    assert_eq!((wrong, nodes), (5, 5), "no node was asked");
    swarm.await_ideal(LIMIT).await.unwrap();
    swarm.first().stop().await;
    assert!(swarm.await_ideal(SECOND).await.is_err(), "one is missing");
    swarm.stop().await;
}

#[actix_rt::test]
async fn swarm_joins_a_ring_knows_its_members_and_leaves_it() {
    let existing = swarm(5, 1, node()).await;
    existing.await_ideal(LIMIT).await.unwrap();
    let joiners = swarm(7, 2, Config { seeds: vec![existing.first().me().addr.into()], ..node() }).await;
    joiners.await_ideal(LIMIT).await.unwrap();
    assert_eq!(joiners.existing().iter().copied().collect::<BTreeSet<_>>(), members(&existing));
    let figures = joiners.load(load(Demand::Clients(2), 0)).await.unwrap();
    assert_eq!((figures.errors, figures.wrong), (0, 0), "{figures}");
    assert!(existing.await_ideal(SECOND / 10).await.is_err(), "they know the joiners");
    joiners.leave().await;
    existing.await_ideal(LIMIT).await.unwrap();
    existing.stop().await;
}

/// Answers counted as wrong if they named a node that had joined since, or that had taken over the keys of a leaver.
#[actix_rt::test]
async fn right_answers_are_right_when_the_joined_ring_changes() {
    let existing = swarm(5, 1, node()).await;
    existing.await_ideal(LIMIT).await.unwrap();
    let joiners = swarm(3, 2, Config { seeds: vec![existing.first().me().addr.into()], ..node() }).await;
    joiners.await_ideal(LIMIT).await.unwrap();
    let members: BTreeSet<Peer> = members(&existing).union(&members(&joiners)).copied().collect();

    let seeds = vec![existing.first().me().addr.into()];
    let stranger = Node::start(Config { seeds, ..node() }).await.unwrap();
    existing.nodes().nth(2).expect("five").leave().await;
    let mut named = BTreeSet::new();
    let settled = async {
        while !named.contains(&stranger.me()) {
            for node in joiners.nodes() {
                named.insert(node.lookup_id(stranger.me().id).await.expect("an owner"));
            }
        }
    };
    timeout(LIMIT, settled).await.expect("they hear of the stranger in time");
    assert!(!members.contains(&stranger.me()));
    for demand in [Demand::Clients(4), Demand::Rate(1000)] {
        let figures = joiners.load(load(demand, 0)).await.unwrap();
        assert!(figures.lookups > 100, "{figures}");
        assert_eq!(figures.wrong, 0, "{figures}");
    }
    joiners.leave().await;
    existing.stop().await;
}

/// A node that confirms that it owns a key is believed; in any ring an answer is wrong if the named node denies it.
#[actix_rt::test]
async fn answer_that_the_named_node_denies_is_wrong_in_a_ring_that_changes() {
    let ring = swarm(4, 1, node()).await;
    ring.await_ideal(LIMIT).await.unwrap();
    let (judge, members) = (Judge::default(), members(&ring));
    let [asked, named] = [ring.first().clone(), ring.nodes().nth(1).expect("four").clone()];
    let (owned, other) = (named.me().id, asked.me().id);
    assert_eq!(owner(&members, owned), named.me());
    assert!(!judge.is_wrong(&asked, owned, named.me()).await, "it owns its own identifier");
    assert!(!judge.is_wrong(&asked, other, named.me()).await, "it is not named again");
    assert!(judge.denies(named.me(), other).await, "but it denies that it owns another's");
    ring.stop().await;
    assert!(!judge.is_wrong(&asked, other, named.me()).await, "a node that is gone can't tell");
}

#[actix_rt::test]
async fn swarm_that_can_not_be_is_refused() {
    let start = |config| Swarm::start(config, |_| ());
    let config = |nodes, threads, node| SwarmConfig { nodes, threads, node, ..SwarmConfig::default() };
    assert!(matches!(start(config(0, 1, node())).await, Err(SwarmError::Sizes { .. })));
    assert!(matches!(start(config(2, 3, node())).await, Err(SwarmError::Sizes { .. })));
    assert!(matches!(
        start(config(2, 1, Config { listen: node().listen.with_port(65535), ..node() })).await,
        Err(SwarmError::Ports { .. })
    ));
    let id = Some(Id::from_bytes([7; 20]));
    assert!(matches!(start(config(2, 1, Config { id, ..node() })).await, Err(SwarmError::OneId(2))));
    let none = SwarmConfig { at_once: 0, ..config(2, 1, node()) };
    assert!(matches!(start(none).await, Err(SwarmError::NoneAtOnce)));
    assert!(matches!(start(config(60_000, 1, node())).await, Err(SwarmError::Files(_))), "60,000 nodes");
}

#[actix_rt::test]
async fn virtual_nodes_are_one_ring() {
    let nodes = RefCell::new(Vec::new());
    together::start(node(), 20, |node| nodes.borrow_mut().push(node.clone())).await.unwrap();
    let nodes = nodes.into_inner();
    let members: BTreeSet<Peer> = nodes.iter().map(Node::me).collect();
    assert_eq!(members.len(), 20);
    // A node that has just joined owns nothing before its predecessor knows of it.
    for node in &nodes {
        let next = owner(&members, node.me().id.next(Bits::FULL));
        let waiting = async {
            while node.state().await.expect("it runs").successors.first() != Some(&next) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, waiting).await.expect("the ring closes in time");
    }
    for (k, node) in nodes.iter().enumerate() {
        let key = Id::of_key(format!("key {k}").as_bytes(), Bits::FULL);
        assert_eq!(node.lookup_id(key).await, Ok(owner(&members, key)));
    }
}
