//! A member of the ring that answers all calls but lookups: it keeps its place, and lookups through it are stuck.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use chord::protocol::id::Bits;
use chord::protocol::rpc::{Dialect, Memory, Request, Response};
use chord::wire::{Frame, FrameCodec, Reply};
use chord::{Addr, Peer};
use futures::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio::time::{interval, sleep};
use tokio_util::codec::Framed;

use crate::support::process::ask_numbered;

/// The length of its successor list.
const R: usize = 4;

/// How often it stabilizes, and how long it waits for an answer.
const PERIOD: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(2);

/// A member without lookups; it ends when this is dropped.
pub struct Member {
    pub me: Peer,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    table: Mutex<Table>,
    accepted: AtomicU64,
    stuck: AtomicU64,
    done: AtomicBool,
}

#[derive(Default)]
struct Table {
    predecessor: Option<Peer>,
    successors: Vec<Peer>,
}

impl Member {
    /// Joins the ring of `seed`, which must accept any identifier, by asking it for its own successor.
    pub fn start(me: Peer, seed: Addr) -> Member {
        let shared = Arc::<Shared>::default();
        let (serving, keeping) = (shared.clone(), shared.clone());
        let listening = std::net::TcpListener::bind(me.addr).expect("a free address");
        thread::spawn(move || serve(me, listening, &serving));
        thread::spawn(move || keep(me, Peer::at(seed, Bits::FULL), &keeping));
        Member { me, shared }
    }

    /// Connections that were made to it.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(SeqCst)
    }

    /// Lookups that it has not answered.
    pub fn stuck(&self) -> u64 {
        self.shared.stuck.load(SeqCst)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.shared.done.store(true, SeqCst);
    }
}

/// Finds its place and maintains it.
fn keep(me: Peer, seed: Peer, shared: &Shared) {
    let place = Request::FindSuccessor { key: me.id.next(Bits::FULL), hops: 0, want_path: false };
    while !shared.done.load(SeqCst) {
        let first = shared.table.lock().unwrap().successors.first().copied();
        let Some(first) = first else {
            if let Ok(Ok(Response::Successor { owner, .. })) = ask_numbered(seed, &place, PATIENCE) {
                shared.table.lock().unwrap().successors = vec![owner];
            }
            thread::sleep(PERIOD / 3);
            continue;
        };
        let told = ask_numbered(first, &Request::GetPredecessor, PATIENCE);
        let mut table = shared.table.lock().unwrap();
        match told {
            Ok(Ok(Response::Predecessor { predecessor, successors: Some(list), .. })) => {
                let closer = predecessor.filter(|peer| peer.id.in_open(me.id, first.id));
                let list = closer.into_iter().chain([first]).chain(list).filter(|peer| *peer != me);
                table.successors = list.take(R).collect();
            }
            _ if table.successors.len() > 1 => drop(table.successors.remove(0)),
            _ => {}
        }
        let first = table.successors[0];
        drop(table);
        // A notification that is lost is repeated in the next round.
        let _ = ask_numbered(first, &Request::Notify { me }, PATIENCE);
        thread::sleep(PERIOD);
    }
}

fn serve(me: Peer, listening: std::net::TcpListener, shared: &Arc<Shared>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        listening.set_nonblocking(true).expect("a socket");
        let listening = TcpListener::from_std(listening).expect("a socket");
        let mut look = interval(PERIOD);
        let run = rand::random();
        while !shared.done.load(SeqCst) {
            tokio::select! {
                Ok((stream, _)) = listening.accept() => {
                    shared.accepted.fetch_add(1, SeqCst);
                    let shared = shared.clone();
                    tokio::task::spawn_local(async move { answer(me, run, stream, &shared).await });
                }
                _ = look.tick() => {}
                else => sleep(PERIOD).await,
            }
        }
    });
}

/// Answers the calls on a connection, but no lookups.
async fn answer(me: Peer, run: u64, stream: TcpStream, shared: &Shared) {
    let mut wire = Framed::new(stream, FrameCodec::default());
    while let Some(Ok(Frame::Call(question))) = wire.next().await {
        let response = match &question.request {
            Ok(Request::FindSuccessor { .. } | Request::ClosestPrecedingNode { .. }) => {
                shared.stuck.fetch_add(1, SeqCst);
                continue;
            }
            Ok(request) => shared.table.lock().unwrap().answer(me, request),
            Err(_) => return,
        };
        let mut reply = Reply::to(&response, me, R);
        reply.call_id = question.call_id;
        reply.responder = question.call_id.map(|_| (me.id, run));
        if wire.send(Frame::Return(reply)).await.is_err() {
            return;
        }
    }
}

impl Table {
    fn answer(&mut self, me: Peer, request: &Request) -> Response {
        let Table { predecessor, successors } = self;
        match request {
            Request::Notify { me: caller } => {
                if predecessor.is_none_or(|known| caller.id.in_open(known.id, me.id)) {
                    *predecessor = Some(*caller);
                }
                Response::Done
            }
            Request::CheckPredecessor => Response::Alive { plain: false, alone: false },
            Request::GetPredecessor => Response::Predecessor {
                predecessor: *predecessor,
                successors: Some(successors.clone()),
                memory: Memory::default(),
            },
            Request::GetSuccessorList { .. } => Response::SuccessorList {
                successors: successors.clone(),
                predecessor: Some(*predecessor),
                dialect: Dialect::Ours,
            },
            _ => Response::Done,
        }
    }
}
