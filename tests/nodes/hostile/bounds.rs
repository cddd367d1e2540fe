//! Limits are per process, and in bytes.

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use chord::protocol::rpc::{Request, Response};
use chord::wire::{Frame, FrameCodec, Question};
use chord::{Addr, Id, Peer};
use futures::future::join_all;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tokio_util::codec::Encoder;

use super::{FILES, R, SECOND, allow_files, limited};
use crate::support::alone;
use crate::support::figures::Cost;
use crate::support::ideal::Ideal;
use crate::support::process::{CHORD, Process, addresses, ask_numbered, eventually, free_range_at, nodes_from};

/// How long a ring may take until all neighbours are right.
const FORMS_WITHIN: Duration = Duration::from_secs(15);

fn calls(request: &Request, n: u64) -> BytesMut {
    let mut bytes = BytesMut::new();
    for id in 1..=n {
        let question = Question { request: Ok(request.clone()), call_id: Some(id), ..Question::plain(request.clone()) };
        FrameCodec::default().encode(Frame::Call(question), &mut bytes).expect("a call that fits");
    }
    bytes
}

/// A connection from one address of this machine to another; its receive buffer has `room` bytes.
async fn connect(from: Ipv4Addr, to: Addr, room: Option<u32>) -> std::io::Result<tokio::net::TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(room) = room {
        socket.set_recv_buffer_size(room)?;
    }
    socket.bind(Addr::new(from, 0).into())?;
    timeout(SECOND, socket.connect(to.into())).await?
}

/// Clients that ask for the longest answers and read none, the requests of each, and how long they stay.
const NON_READERS: usize = 200;
const QUESTIONS: u64 = 6000;
const UNREAD: Duration = Duration::from_secs(9);

/// The longest possible lists.
const LONGEST: usize = 32;

/// The most memory that such clients may cost together, in KiB.
const MAX_GROWTH: u64 = 64 * 1024;

#[test]
fn answers_that_nobody_reads_are_bounded_in_bytes() {
    let _alone = alone();
    allow_files();
    let ips: Vec<_> = addresses(9).collect();
    let process = Process::virtual_nodes(Command::new(CHORD), free_range_at(ips[0], 1), 1, None, LONGEST);
    let of = process.peer;
    eventually(FORMS_WITHIN, || Ideal::of_peers([of]).check_all_told(LONGEST));
    let (before, pid) = (Cost::of(&process).expect("it runs"), process.pid());
    let blob = calls(&Request::GetSuccessorList { joiner: None }, QUESTIONS);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (sent, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let most = thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut most = before.memory;
            while !done.load(SeqCst) {
                most = most.max(Cost::of_pid(pid).expect("it runs").memory);
                thread::sleep(Duration::from_millis(50));
            }
            most
        });
        runtime.block_on(join_all((0..NON_READERS).map(|k| {
            let (from, blob, sent) = (ips[1 + k % 8], &blob, &sent);
            async move {
                let Ok(mut stream) = connect(from, of.addr, Some(4096)).await else { return };
                // A node that reads no more, or has closed the connection, has kept its limit.
                let began = Instant::now();
                if matches!(timeout(UNREAD, stream.write_all(blob)).await, Ok(Ok(()))) {
                    sent.fetch_add(1, SeqCst);
                }
                tokio::time::sleep(UNREAD.saturating_sub(began.elapsed())).await;
            }
        })));
        done.store(true, SeqCst);
        watching.join().expect("it looks")
    });
    let alive = ask_numbered(of, &Request::CheckPredecessor, SECOND);
    println!("{NON_READERS} clients with {QUESTIONS} questions each, of which {} could send all", sent.into_inner());
    println!("memory {} KiB before, at most {most} KiB; a ping afterwards: {alive:?}", before.memory);
    assert!(matches!(alive, Ok(Ok(Response::Alive { .. }))));
    assert!(most - before.memory <= MAX_GROWTH, "{} KiB more", most - before.memory);
}

/// Virtual nodes of the process with few files, and connections that one address makes to each: together more than
/// the files.
const VIRTUAL: u16 = 32;
const TO_EACH: usize = 35;

/// Files of the process that connections never take: the process needs them itself.
const RESERVE: usize = 24;

#[test]
fn process_of_many_nodes_with_few_files_takes_fresh_calls() {
    let _alone = alone();
    allow_files();
    let ips: Vec<_> = addresses(2).collect();
    let first = free_range_at(ips[0], VIRTUAL + 1);
    let next = Addr::new(ips[0], first.port() + 1);
    let seed = Process::virtual_nodes(Command::new(CHORD), first, 1, None, R);
    eventually(FORMS_WITHIN, || Ideal::of_peers([seed.peer]).check_all_told(R));
    let crowded = Process::virtual_nodes(limited(FILES), next, VIRTUAL, Some(first), R);
    let nodes: Vec<Peer> = nodes_from(next, VIRTUAL).collect();
    let ideal = Ideal::of_peers(nodes.iter().copied().chain([seed.peer]));
    eventually(FORMS_WITHIN, || ideal.check_all_told(R));
    let (at_rest, pid) = (Cost::of(&crowded).expect("it runs").files, crowded.pid());

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let ping = calls(&Request::CheckPredecessor, 1);
    let done = AtomicBool::new(false);
    let (held, pings, lookups, most) = thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut most = 0;
            while !done.load(SeqCst) {
                most = most.max(Cost::of_pid(pid).expect("it runs").files);
                thread::sleep(Duration::from_millis(20));
            }
            most
        });
        let to_each = nodes.iter().map(|node| {
            let (ping, from) = (&ping, ips[1]);
            async move {
                let mut held = Vec::new();
                for _ in 0..TO_EACH {
                    if let Ok(stream) = connect(from, node.addr, None).await {
                        held.push(stream);
                    }
                }
                for stream in &mut held {
                    // A connection that has sent a valid frame is closed last; an error means that it was closed.
                    let _ = stream.write_all(ping).await;
                }
                held
            }
        });
        let crowd = runtime.block_on(async { timeout(5 * SECOND, join_all(to_each)).await });
        let crowd: Vec<_> = crowd.unwrap_or_default().into_iter().flatten().collect();
        let mut crowd: Vec<_> = crowd.into_iter().filter_map(|stream| stream.into_std().ok()).collect();
        let (mut pings, mut lookups) = (Vec::new(), Vec::new());
        let began = Instant::now();
        for node in nodes.iter().cycle().take_while(|_| began.elapsed() < 8 * SECOND) {
            pings.push(fresh_ping(*node));
            let key = Id::from_bytes(rand::random());
            let request = Request::FindSuccessor { key, hops: 0, want_path: false };
            let asked = Instant::now();
            let answer = ask_numbered(seed.peer, &request, 6 * SECOND);
            let right = matches!(answer, Ok(Ok(Response::Successor { owner, .. })) if owner == ideal.successor(key));
            lookups.push((right, asked.elapsed(), format!("{answer:?}")));
            crowd.iter_mut().step_by(7).for_each(|stream| say(stream, &ping));
            thread::sleep(Duration::from_millis(100));
        }
        done.store(true, SeqCst);
        (crowd.len(), pings, lookups, watching.join().expect("it looks"))
    });
    let unanswered: Vec<_> = pings.iter().filter_map(|(_, answer)| answer.as_ref().err()).collect();
    let failed: Vec<_> = lookups.iter().filter(|(right, ..)| !right).map(|(.., what)| what).collect();
    let slowest = [pings.iter().map(|(took, _)| *took).max(), lookups.iter().map(|(_, took, _)| *took).max()];
    println!(
        "{held} connections made to {VIRTUAL} nodes of a process; its files: {at_rest} before, {most} at most of {FILES}"
    );
    println!(
        "{} fresh pings, {} unanswered; {} lookups, {} failed or wrong; the slowest {slowest:?}",
        pings.len(),
        unanswered.len(),
        lookups.len(),
        failed.len()
    );
    assert!(unanswered.is_empty(), "{unanswered:?}");
    assert!(failed.is_empty(), "{failed:?}");
    assert!(most <= FILES as usize - RESERVE, "{most} files");
}

/// Whether a node answers on a connection that is made for it, and how long that takes.
fn fresh_ping(of: Peer) -> (Duration, Result<(), String>) {
    let asked = Instant::now();
    let answer = match ask_numbered(of, &Request::CheckPredecessor, SECOND) {
        Ok(Ok(Response::Alive { .. })) => Ok(()),
        other => Err(format!("{other:?}")),
    };
    (asked.elapsed(), answer)
}

fn say(stream: &mut TcpStream, bytes: &[u8]) {
    // Non-blocking: an error means that the connection was closed, or that the node does not read.
    let _ = stream.write(bytes);
}
