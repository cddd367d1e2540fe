//! How long the steps of a call and of a lookup take: `cargo bench --bench layers`.
//!
//! Times change with the machine; the instructions of the same steps are counted by the bench *instructions*.

// A program of its own: no other one sees its items.
#![allow(missing_docs, unreachable_pub)]

#[path = "../speed/line.rs"]
mod line;
mod steps;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

use steps::{Answered, Member, Served, decode, encode, question, reply};

fn codec(c: &mut Criterion) {
    c.bench_function("encode a call", |b| b.iter_batched(question, encode, BatchSize::SmallInput));
    c.bench_function("encode a reply", |b| b.iter_batched(reply, encode, BatchSize::SmallInput));
    c.bench_function("decode a call", |b| b.iter_batched(|| encode(question()), decode, BatchSize::SmallInput));
    c.bench_function("decode a reply", |b| b.iter_batched(|| encode(reply()), decode, BatchSize::SmallInput));
    let answered = Answered::new();
    c.bench_function("read a reply", |b| b.iter(|| black_box(&answered).read()));
}

fn tables(c: &mut Criterion) {
    let (member, young) = (Member::settled(), Member::young());
    c.bench_function("name an owner", |b| b.iter(|| member.lookup(black_box(member.near))));
    c.bench_function("pass a lookup on", |b| b.iter(|| member.lookup(black_box(member.far))));
    c.bench_function("fill a finger table", |b| {
        b.iter_batched(|| young.clone(), |young| young.fill(&member.fingers), BatchSize::SmallInput);
    });
    let list = || (member.clone(), member.neighbors.successors().to_vec());
    c.bench_function("adopt a list", |b| {
        b.iter_batched(list, |(member, list)| member.adopt(list), BatchSize::SmallInput);
    });
}

fn call(c: &mut Criterion) {
    let mut served = Served::start().expect("two nodes on this machine");
    c.bench_function("one call over TCP, both ends on one thread", |b| b.iter(|| served.call(1)));
}

criterion_group!(layers, codec, tables, call);
criterion_main!(layers);
