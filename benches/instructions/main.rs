//! How many instructions the hot path takes: `cargo bench --bench instructions`, under valgrind.
//!
//! The counts are the same on a busy and on a quiet machine, so a step that has become slower shows at once: a step
//! that exceeds its limit by more than a tenth fails. If a step may become slower, or has become faster, change its
//! limit here, with the reason.

// A program of its own: no other one sees its items.
#![allow(missing_docs, unreachable_pub)]

#[path = "../speed/line.rs"]
mod line;
#[path = "../layers/steps.rs"]
mod steps;

use std::hint::black_box;

use bytes::BytesMut;
use chord::Peer;
use chord::protocol::fingers::FingerTable;
use chord::protocol::lookup::Finding;
use chord::protocol::procedure::Step;
use chord::protocol::rpc::{Code, Response};
use chord::wire::Frame;
use gungraun::{Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};

use steps::{Answered, Member, Served, decode, encode, question, reply};

/// A limit in instructions: the count when it was set. Each step runs once, cold. Where it allocates for the first time
/// in a size class, some 500 instructions are the allocator's; a running node does not pay these.
fn counted(instructions: u64) -> LibraryBenchmarkConfig {
    let limit = instructions + instructions / 10;
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(Callgrind::default().hard_limits([(EventKind::Ir, limit)]));
    config
}

/// The thread has the block from which encoders cut: a running node has made it long ago.
fn with_block(frame: Frame) -> Frame {
    black_box(encode(question()));
    frame
}

#[library_benchmark(config = counted(1590))]
#[bench::frame(with_block(question()))]
fn encode_call(frame: Frame) -> BytesMut {
    black_box(encode(black_box(frame)))
}

#[library_benchmark(config = counted(1183))]
#[bench::frame(reply())]
fn encode_reply(frame: Frame) -> BytesMut {
    black_box(encode(black_box(frame)))
}

#[library_benchmark(config = counted(2251))]
#[bench::bytes(encode(question()))]
fn decode_call(bytes: BytesMut) -> Frame {
    black_box(decode(black_box(bytes)))
}

#[library_benchmark(config = counted(1552))]
#[bench::bytes(encode(reply()))]
fn decode_reply(bytes: BytesMut) -> Frame {
    black_box(decode(black_box(bytes)))
}

#[library_benchmark(config = counted(1616))]
#[bench::reply(Answered::new())]
fn read_reply(answered: Answered) -> (Answered, Result<Response, Code>) {
    let said = black_box(answered.read());
    (answered, said)
}

#[library_benchmark(config = counted(1803))]
#[bench::member(Member::settled())]
fn name_owner(member: Member) -> (Member, Step<Finding>) {
    let step = black_box(member.lookup(black_box(member.near)));
    (member, step)
}

#[library_benchmark(config = counted(3157))]
#[bench::member(Member::settled())]
fn pass_on(member: Member) -> (Member, Step<Finding>) {
    let step = black_box(member.lookup(black_box(member.far)));
    (member, step)
}

#[library_benchmark(config = counted(36_000))]
#[bench::member(Member::young(), Member::settled().fingers)]
fn fill_fingers(member: Member, owners: FingerTable) -> (FingerTable, FingerTable) {
    let filled = black_box(member.fill(black_box(&owners)));
    (filled, owners)
}

#[library_benchmark(config = counted(240))]
#[bench::member(Member::settled(), Member::settled().neighbors.successors().to_vec())]
fn adopt_list(member: Member, list: Vec<Peer>) -> Member {
    black_box(member.adopt(black_box(list)))
}

/// Calls before those that are counted: in the first ones each side learns the name of the other.
const WARM: usize = 100;

fn served() -> Served {
    let mut served = Served::start().expect("two nodes on this machine");
    served.call(WARM).expect("answers");
    served
}

#[library_benchmark(config = counted(1_500_000))]
#[bench::served(served())]
fn hundred_calls(mut served: Served) -> Served {
    served.call(black_box(100)).expect("answers");
    served
}

library_benchmark_group!(
    name = hot_path,
    benchmarks = [
        encode_call,
        encode_reply,
        decode_call,
        decode_reply,
        read_reply,
        name_owner,
        pass_on,
        fill_fingers,
        adopt_list,
        hundred_calls
    ]
);

main!(library_benchmark_groups = hot_path);
