//! Calls of applications: how much a stream of the largest bodies slows the calls of the ring at the same node.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use chord::protocol::rpc::Request;
use chord::wire::{Frame, FrameCodec, MAX_BODY, Question};
use chord::{Config, Node, Peer, ServiceCall};
use tokio::runtime::{Builder, Runtime};
use tokio_util::codec::Encoder;

use super::{Median, RUNS};

/// How long each measurement takes, and how often the node is pinged meanwhile.
const TIME: Duration = Duration::from_secs(3);
const EVERY: Duration = Duration::from_millis(1);

/// The goal: p99 of a ping beside the stream, divided by p99 without it, at most.
const MUST: f64 = 2.0;

static BODY: LazyLock<Bytes> = LazyLock::new(|| vec![7; MAX_BODY].into());

/// Pings a node at rest and beside a stream of calls of 4 MiB, and prints both results.
pub fn measure() -> io::Result<()> {
    println!(
        "\n| of a node | p50 of a ping, us | p99, us | p99 over that at rest | must | MiB/s |\n|---|---|---|---|---|---|"
    );
    let runtime = || Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let (caller, callee) = (runtime()?, runtime()?);
    let first = caller.block_on(Node::start(Config::new(Ipv4Addr::LOCALHOST))).map_err(io::Error::other)?;
    let config = Config { seeds: vec![first.me().addr.into()], ..Config::new(Ipv4Addr::LOCALHOST) };
    let second = callee.block_on(Node::start(config)).map_err(io::Error::other)?;
    let _within = callee.enter();
    second
        .serve("length", async |call: ServiceCall| Ok(call.body.len().to_string().into()))
        .map_err(io::Error::other)?;
    let [mut p50, mut p99, mut beside_p50, mut beside_p99, mut ratio, mut rate]: [Median; 6] = Default::default();
    for _ in 0..RUNS {
        let rest = pings(second.me())?;
        let (beside, bytes) = beside(&caller, &first, second.me(), || pings(second.me()))?;
        p50.add(at(&rest, 0.5));
        p99.add(at(&rest, 0.99));
        beside_p50.add(at(&beside, 0.5));
        beside_p99.add(at(&beside, 0.99));
        ratio.add(at(&beside, 0.99) / at(&rest, 0.99));
        rate.add(bytes as f64 / TIME.as_secs_f64() / f64::from(1 << 20));
    }
    println!("| at rest | {} | {} | 1 | | |", p50.spread(), p99.spread());
    println!(
        "| that answers calls of 4 MiB | {} | {} | {} | {MUST} | {} |",
        beside_p50.spread(),
        beside_p99.spread(),
        ratio.fine(),
        rate.spread()
    );
    Ok(())
}

/// Runs `act` while one call of 4 MiB follows the other; also returns how many bytes these had.
fn beside<T>(runtime: &Runtime, from: &Node, to: Peer, act: impl FnOnce() -> io::Result<T>) -> io::Result<(T, u64)> {
    let bytes = Arc::new(AtomicU64::new(0));
    let (from, sent) = (from.clone(), bytes.clone());
    let stream = runtime.spawn(async move {
        while from.call(to, "length", BODY.clone()).await.is_ok() {
            sent.fetch_add(MAX_BODY as u64, Ordering::Relaxed);
        }
    });
    let done = act();
    stream.abort();
    Ok((done?, bytes.load(Ordering::Relaxed)))
}

/// How long pings on one connection take, in microseconds, the shortest first.
fn pings(to: Peer) -> io::Result<Vec<f64>> {
    let mut stream = TcpStream::connect(to.addr)?;
    stream.set_nodelay(true)?;
    let (mut took, mut call_id) = (Vec::new(), 0);
    let end = Instant::now() + TIME;
    while Instant::now() < end {
        call_id += 1;
        let request = Ok(Request::CheckPredecessor);
        let question = Question { request, call_id: Some(call_id), deadline: None, caller: None, to: None, ring: None };
        let mut call = BytesMut::new();
        FrameCodec::default().encode(Frame::Call(question), &mut call).map_err(io::Error::other)?;
        let began = Instant::now();
        stream.write_all(&call)?;
        let mut length = [0; 8];
        stream.read_exact(&mut length)?;
        let rest = u64::from_be_bytes(length).saturating_sub(8) as usize;
        stream.read_exact(&mut vec![0; rest])?;
        took.push(began.elapsed().as_secs_f64() * 1e6);
        thread::sleep(EVERY);
    }
    took.sort_by(f64::total_cmp);
    Ok(took)
}

fn at(sorted: &[f64], quantile: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * quantile) as usize]
}
