//! Peers that lie, over real sockets: they answer as a node of our own kind would, but with false content.
//! The tests check that no node becomes a neighbour before it has answered, that made-up nodes are
//! dialled at a bounded rate, and that the node goes on.

use std::cell::{Cell, RefCell};
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use chord::net::pool::ConnectionPool;
use chord::node::State;
use chord::protocol::id::Bits;
use chord::protocol::lookup::iterative::Style;
use chord::protocol::rpc::{Code, Dialect, Hop, Memory, Request, Response};
use chord::wire::{Frame, FrameCodec, Question, Reply};
use chord::{Addr, Config, Id, Node, Peer, StartError};
use futures::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::codec::Framed;

/// A condition must hold within this time even on a busy machine.
const LIMIT: Duration = Duration::from_secs(10);

/// For how long a liar lies.
const LIES: Duration = Duration::from_secs(3);

/// How many addresses that never answered a node may dial: a burst, and this many a second (`net/limits/dials.rs`).
const BURST: usize = 256;
const PER_SECOND: usize = 50;

/// A node with short timers and timeouts.
fn config() -> Config {
    let often = Duration::from_millis(50);
    Config {
        stabilize: often,
        fix_fingers: often,
        check_predecessor: often,
        join_timeout: Duration::from_secs(1),
        ..Config::new(Ipv4Addr::LOCALHOST)
    }
}

async fn listen(ip: [u8; 4]) -> (TcpListener, Addr) {
    let socket = TcpListener::bind((Ipv4Addr::from(ip), 0)).await.unwrap();
    let addr = format!("{}", socket.local_addr().unwrap()).parse().unwrap();
    (socket, addr)
}

/// The address of all nodes that a liar makes up: connections are counted, and get no answer.
struct Nowhere {
    addr: Addr,
    dials: Rc<Cell<usize>>,
    made_up: Cell<u32>,
}

impl Nowhere {
    async fn open() -> Nowhere {
        let (socket, addr) = listen([127, 0, 0, 4]).await;
        let dials = Rc::new(Cell::new(0));
        let counted = dials.clone();
        spawn_local(async move {
            while socket.accept().await.is_ok() {
                counted.set(counted.get() + 1);
            }
        });
        Nowhere { addr, dials, made_up: Cell::new(0) }
    }

    /// A new made-up node right before the point `before`, each time a little closer.
    fn make_up(&self, before: Id) -> Peer {
        self.made_up.set(self.made_up.get() + 1);
        let mut id = *before.as_bytes();
        // A point some 2^60 before: the low bytes count up.
        id[..12]
            .iter_mut()
            .rev()
            .try_for_each(|byte| {
                let (less, borrows) = byte.overflowing_sub(1);
                *byte = less;
                if borrows { Ok(()) } else { Err(()) }
            })
            .ok();
        id[12..16].copy_from_slice(&self.made_up.get().to_be_bytes());
        Peer { id: Id::from_bytes(id), addr: self.addr }
    }

    fn is_there(&self, peer: Peer) -> bool {
        peer.addr == self.addr
    }
}

type Lies = Rc<RefCell<Box<dyn Fn(&Request) -> Result<Response, Code>>>>;

/// A node of our own kind that answers by script.
struct Liar {
    me: Peer,
    socket: TcpListener,
}

impl Liar {
    async fn listen() -> Liar {
        let (socket, addr) = listen([127, 0, 0, 2]).await;
        Liar { me: Peer::at(addr, Bits::FULL), socket }
    }

    /// Answers from now on.
    fn start(self, lies: impl Fn(&Request) -> Result<Response, Code> + 'static) -> Lies {
        let lies: Lies = Rc::new(RefCell::new(Box::new(lies)));
        let told = lies.clone();
        spawn_local(async move {
            while let Ok((stream, _)) = self.socket.accept().await {
                spawn_local(answer(stream, self.me, told.clone()));
            }
        });
        lies
    }
}

async fn answer(stream: TcpStream, me: Peer, lies: Lies) {
    let mut wire = Framed::new(stream, FrameCodec::default());
    while let Some(Ok(Frame::Call(question))) = wire.next().await {
        let Ok(request) = question.request else { return };
        let said = (lies.borrow())(&request);
        let mut reply = match said {
            Ok(response) => Reply::to(&response, me, 32),
            Err(code) => Reply::refuse(code, "no"),
        };
        (reply.call_id, reply.responder) = (question.call_id, Some((me.id, 7)));
        if wire.send(Frame::Return(reply)).await.is_err() {
            return;
        }
    }
}

/// Sends these requests to a node, over and over on one connection, without waiting for answers.
fn flood(to: Addr, say: impl Fn(u64) -> Request + 'static) -> tokio::task::JoinHandle<()> {
    spawn_local(async move {
        for i in 0.. {
            let stream = TcpStream::connect(to.socket()).await.unwrap();
            let mut wire = Framed::new(stream, FrameCodec::default());
            for call in 0..1000 {
                let question = Question { call_id: Some(call), ..Question::plain(say(1000 * i + call)) };
                if wire.send(Frame::Call(question)).await.is_err() {
                    break;
                }
                // It reads the answers, so that the node does not close the connection because they can't be written.
                if call % 50 == 49 {
                    for _ in 0..50 {
                        if timeout(LIMIT, wire.next()).await.is_err() {
                            return;
                        }
                    }
                }
            }
        }
    })
}

async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, waiting).await.unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}"));
}

fn ends(state: &State) -> Vec<Peer> {
    state.successors.first().copied().into_iter().chain(state.predecessor).collect()
}

/// An honest member of a ring of two, with `other` as the second member; `node` is one of them.
fn honest(me: Peer, other: Peer) -> impl Fn(&Request) -> Result<Response, Code> {
    move |request| {
        Ok(match request {
            Request::FindSuccessor { key, .. } => {
                let owner = if key.in_half_open(other.id, me.id) { me } else { other };
                Response::Successor { owner, path: vec![] }
            }
            Request::GetPredecessor => Response::Predecessor {
                predecessor: Some(other),
                successors: Some(vec![other]),
                memory: Memory::default(),
            },
            Request::GetSuccessorList { .. } => Response::SuccessorList {
                successors: vec![other],
                predecessor: Some(Some(other)),
                dialect: Dialect::Ours,
            },
            Request::CheckPredecessor => Response::Alive { plain: false, alone: false },
            _ => Response::Done,
        })
    }
}

/// A liar that names only made-up nodes.
fn lies(liar: Peer, victim: Peer, nowhere: Rc<Nowhere>) -> impl Fn(&Request) -> Result<Response, Code> {
    move |request| {
        let list = |before: Id| (0..32).map(|_| nowhere.make_up(before)).collect::<Vec<_>>();
        Ok(match request {
            Request::FindSuccessor { key, .. } => {
                let hop = Hop { node: nowhere.make_up(*key), took: Duration::MAX };
                Response::Successor { owner: nowhere.make_up(*key), path: vec![hop; 1000] }
            }
            Request::GetPredecessor => Response::Predecessor {
                predecessor: Some(nowhere.make_up(liar.id)),
                successors: Some(list(victim.id)),
                memory: Memory::default(),
            },
            Request::GetSuccessorList { .. } => Response::SuccessorList {
                successors: list(victim.id),
                predecessor: Some(Some(nowhere.make_up(liar.id))),
                dialect: Dialect::Ours,
            },
            Request::CheckPredecessor => Response::Alive { plain: false, alone: false },
            _ => Response::Done,
        })
    }
}

/// A node in a ring of two with a liar, which is honest so far.
async fn ring_with_a_liar() -> (Node, Peer, Lies) {
    let (node, me, lies) = node_before_a_liar(config()).await;
    // The liar notifies, as a member does.
    let notify = flood_once(node.me().addr, Request::Notify { me });
    notify.await;
    is_ring_of_two(&node, me).await;
    (node, me, lies)
}

/// A node whose successor is a liar, honest so far, that has never notified it.
async fn node_before_a_liar(config: Config) -> (Node, Peer, Lies) {
    let liar = Liar::listen().await;
    let me = liar.me;
    let lies = liar.start(|_| Err(Code::NotJoined));
    let alone = honest(me, me);
    *lies.borrow_mut() = Box::new(move |request| match request {
        Request::GetSuccessorList { .. } => {
            Ok(Response::SuccessorList { successors: vec![], predecessor: Some(None), dialect: Dialect::Ours })
        }
        other => alone(other),
    });
    let node =
        Node::start_sharing(Config { seeds: vec![me.addr.into()], ..config }, ConnectionPool::default()).await.unwrap();
    *lies.borrow_mut() = Box::new(honest(me, node.me()));
    (node, me, lies)
}

async fn flood_once(to: Addr, request: Request) {
    let mut wire = Framed::new(TcpStream::connect(to.socket()).await.unwrap(), FrameCodec::default());
    wire.send(Frame::Call(Question { call_id: Some(1), ..Question::plain(request) })).await.unwrap();
    assert!(matches!(timeout(LIMIT, wire.next()).await, Ok(Some(Ok(Frame::Return(_))))));
}

async fn is_ring_of_two(node: &Node, other: Peer) {
    eventually("a ring of two", async || {
        let state = node.state().await.unwrap();
        ends(&state) == [other, other] && state.successors == [other]
    })
    .await;
}

#[actix_rt::test]
async fn liar_brings_in_nobody_who_has_not_answered_and_dials_strangers_no_faster_than_allowed() {
    let (node, liar, lies_told) = ring_with_a_liar().await;
    let nowhere = Rc::new(Nowhere::open().await);
    *lies_told.borrow_mut() = Box::new(lies(liar, node.me(), nowhere.clone()));
    let (me, began) = (node.me(), Instant::now());
    let made_up = |before: Id| {
        let nowhere = nowhere.clone();
        move || nowhere.make_up(before)
    };
    let (closer, inviting, leaving, nudging) = (made_up(me.id), made_up(me.id), made_up(me.id), liar);
    let floods = [
        flood(me.addr, move |_| Request::Notify { me: closer() }),
        flood(me.addr, move |_| Request::Invite { me: inviting() }),
        flood(me.addr, move |_| Request::Nudge { of: nudging }),
        flood(me.addr, move |_| Request::Leave { me: liar, predecessor: Some(leaving()) }),
        flood(me.addr, move |_| Request::GetSuccessorList { joiner: Some(liar) }),
        flood(me.addr, |i| Request::FindSuccessor {
            key: Id::of_key(&i.to_be_bytes(), Bits::FULL),
            hops: u32::MAX,
            want_path: true,
        }),
    ];
    let mut seen = 0;
    while began.elapsed() < LIES {
        let asked = Instant::now();
        let state = timeout(LIMIT, node.state()).await.expect("the node is not wedged").unwrap();
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?} for a state", asked.elapsed());
        assert!(!ends(&state).into_iter().any(|peer| nowhere.is_there(peer)), "{state:?}");
        seen += 1;
        sleep(Duration::from_millis(20)).await;
    }
    let (dials, allowed) = (nowhere.dials.get(), BURST + PER_SECOND * (began.elapsed().as_secs() as usize + 1));
    println!("{} nodes made up in {LIES:?}, {dials} dials of at most {allowed}; {seen} states", nowhere.made_up.get());
    assert!(nowhere.made_up.get() > 1000 && dials > 10, "the liar was believed to some degree");
    assert!(dials <= allowed, "{dials} dials");
    floods.iter().for_each(|flood| flood.abort());
    // When the liar tells the truth again, the ring recovers.
    *lies_told.borrow_mut() = Box::new(honest(liar, me));
    eventually("its predecessor", async || {
        flood_once(me.addr, Request::Notify { me: liar }).await;
        node.state().await.unwrap().predecessor == Some(liar)
    })
    .await;
    is_ring_of_two(&node, liar).await;
    for i in 0..100 {
        let key = Id::of_key(format!("key {i}").as_bytes(), Bits::FULL);
        let owner = if key.in_half_open(liar.id, me.id) { me } else { liar };
        assert_eq!(node.lookup_id(key).await, Ok(owner));
    }
}

/// Without a predecessor the node does not know its own keys, and asks its successor.
#[actix_rt::test]
async fn liar_that_always_names_somebody_closer_ends_an_iterative_lookup_and_no_more() {
    let iterative = Config { lookup_style: Style::Iterative, lookup_timeout: Duration::from_secs(1), ..config() };
    let (node, liar, lies_told) = node_before_a_liar(iterative).await;
    let (me, nowhere) = (node.me(), Rc::new(Nowhere::open().await));
    let (pointers, truth) = (nowhere.clone(), honest(liar, me));
    *lies_told.borrow_mut() = Box::new(move |request| match request {
        Request::ClosestPrecedingNode { key, .. } => {
            let nodes = (0..32).map(|_| pointers.make_up(*key)).collect();
            Ok(Response::Preceding { nodes, path: vec![] })
        }
        request => truth(request),
    });
    let asked = Instant::now();
    let found = node.lookup_id(me.id).await;
    assert!(found.is_err() && asked.elapsed() < Duration::from_secs(2), "{found:?} after {:?}", asked.elapsed());
    assert!((8..=BURST + 2 * PER_SECOND).contains(&nowhere.dials.get()), "{} dials", nowhere.dials.get());
    assert_eq!(node.state().await.unwrap().successors, [liar], "no neighbour is forgotten");
}

#[actix_rt::test]
async fn somebody_with_anothers_identifier_does_not_take_its_place() {
    let (node, other, _lies) = ring_with_a_liar().await;
    let (me, twin) = (node.me(), Liar::listen().await);
    // A node at another address, with the identifier of the node's neighbour on both sides.
    let claimed = Peer { id: other.id, addr: twin.me.addr };
    let as_other = honest(claimed, me);
    Liar { me: claimed, socket: twin.socket }.start(as_other);
    let floods = [
        flood(me.addr, move |_| Request::Notify { me: claimed }),
        flood(me.addr, move |_| Request::Nudge { of: claimed }),
        // A false message that the neighbour leaves, and that another node comes before it, changes nothing.
        flood(me.addr, move |_| Request::Leave { me: other, predecessor: Some(claimed) }),
        // A false message that the neighbour is joining does not make the node forget it.
        flood(me.addr, move |_| Request::GetSuccessorList { joiner: Some(other) }),
        flood(me.addr, move |_| Request::GetSuccessorList { joiner: Some(claimed) }),
    ];
    let began = Instant::now();
    for i in 0.. {
        let state = node.state().await.unwrap();
        assert_eq!(ends(&state), [other, other]);
        let key = Id::of_key(format!("key {i}").as_bytes(), Bits::FULL);
        let owner = if key.in_half_open(other.id, me.id) { me } else { other };
        assert_eq!(node.lookup_id(key).await, Ok(owner));
        if began.elapsed() > LIES / 3 {
            break;
        }
    }
    floods.iter().for_each(|flood| flood.abort());
}

#[actix_rt::test]
async fn liar_that_is_everything_keeps_a_joiner_out_and_no_more() {
    // The liar names itself in every answer; as its predecessor it always names a new made-up node.
    let (seed, nowhere) = (Liar::listen().await, Rc::new(Nowhere::open().await));
    let (me, told) = (seed.me, nowhere.clone());
    seed.start(move |request| {
        Ok(match request {
            Request::FindSuccessor { .. } => Response::Successor { owner: me, path: vec![] },
            Request::GetSuccessorList { .. } => Response::SuccessorList {
                successors: vec![me; 32],
                predecessor: Some(Some(told.make_up(me.id))),
                dialect: Dialect::Ours,
            },
            _ => Response::Done,
        })
    });
    let joining = Node::start_sharing(Config { seeds: vec![me.addr.into()], ..config() }, ConnectionPool::default());
    let joined = timeout(LIES, joining).await;
    assert!(!matches!(joined, Ok(Ok(_))), "no member vouches for its place");
    let allowed = BURST + PER_SECOND * (LIES.as_secs() as usize + 1);
    println!("{} nodes made up, {} dials of at most {allowed}", nowhere.made_up.get(), nowhere.dials.get());
    assert!((1..=allowed).contains(&nowhere.dials.get()));
}

/// A node without a ring whose identifier is not the hash of its address.
async fn misplaced() -> Peer {
    let liar = Liar::listen().await;
    let me = Peer { id: Id::from_bytes([7; 20]), addr: liar.me.addr };
    Liar { me, socket: liar.socket }.start(honest(me, me));
    me
}

#[actix_rt::test]
async fn strict_node_does_not_join_through_one_that_is_not_where_it_says() {
    let liar = misplaced().await;
    let strict = Config { seeds: vec![liar.addr.into()], strict_ids: true, ..config() };
    assert!(matches!(Node::start_sharing(strict, ConnectionPool::default()).await, Err(StartError::NoAnswer(_))));
    let generous = Config { seeds: vec![liar.addr.into()], ..config() };
    assert_eq!(
        Node::start_sharing(generous, ConnectionPool::default()).await.unwrap().state().await.unwrap().successors,
        [liar]
    );
}

#[actix_rt::test]
async fn strict_node_takes_no_neighbour_that_is_not_where_it_says() {
    let liar = misplaced().await;
    for strict_ids in [true, false] {
        let node = Node::start_sharing(Config { strict_ids, ..config() }, ConnectionPool::default()).await.unwrap();
        let me = node.me();
        for request in [
            Request::Notify { me: liar },
            Request::Invite { me: liar },
            Request::GetSuccessorList { joiner: Some(liar) },
        ] {
            flood_once(me.addr, request).await;
        }
        if strict_ids {
            let honest = Node::start_sharing(
                Config { seeds: vec![me.addr.into()], strict_ids, ..config() },
                ConnectionPool::default(),
            )
            .await
            .unwrap();
            is_ring_of_two(&node, honest.me()).await;
        } else {
            eventually("the generous node takes it", async || node.state().await.unwrap().predecessor == Some(liar))
                .await;
        }
    }
}

#[actix_rt::test]
async fn strict_node_does_not_follow_the_pointers_of_a_neighbour_that_lies() {
    let (liar, nowhere) = (Liar::listen().await, Rc::new(Nowhere::open().await));
    let me = liar.me;
    let told = liar.start(honest(me, me));
    let strict = Config { seeds: vec![me.addr.into()], strict_ids: true, ..config() };
    let node = Node::start_sharing(strict, ConnectionPool::default()).await.unwrap();
    *told.borrow_mut() = Box::new(lies(me, node.me(), nowhere.clone()));
    eventually("many lies", async || nowhere.made_up.get() > 1000).await;
    assert_eq!(nowhere.dials.get(), 0, "none of them has the identifier of its address");
    assert!(node.state().await.unwrap().successors.iter().all(|peer| *peer == me));
}
