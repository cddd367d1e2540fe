//! The inputs that fuzzing found worth keeping, as ordinary tests: they run the fuzz targets without
//! a fuzzer. See `make fuzz`.

#[path = "../../fuzz/bodies/mod.rs"]
mod bodies;

use std::collections::HashSet;
use std::fs;
use std::mem::discriminant;
use std::path::Path;

use arbitrary::Unstructured;
use bodies::words;
use bytes::BytesMut;
use chord::protocol::rpc::{Request, Response};
use chord::wire::{Frame, FrameCodec, Question};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio_util::codec::Decoder;

/// Runs a target on its whole corpus; a panic names the input.
fn run_all(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs: Vec<_> = fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "no inputs in {}", corpus.display());
    for input in inputs {
        println!("{}", input.display());
        run(&fs::read(&input).unwrap());
    }
}

#[test]
fn frames() {
    run_all("frames", bodies::frames::run);
}

#[test]
fn conversion() {
    run_all("conversion", bodies::conversion::run);
}

#[test]
fn link() {
    run_all("link", bodies::link::run);
}

/// The vocabulary had drifted from the protocol: two calls and a dozen fields were never generated.
#[test]
fn every_call_and_every_answer_is_among_the_words() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (mut asked, mut answered) = (HashSet::new(), HashSet::new());
    let (mut doubted, mut ends, mut parting, mut slept, mut former, mut alone) = Default::default();
    for _ in 0..30_000 {
        let mut data = [0; 600];
        rng.fill(&mut data);
        let mut u = Unstructured::new(&data);
        let said = if rng.random() { words::call(&mut u) } else { words::reply(&mut u, Some(7)) };
        let Ok(Some(frame)) = FrameCodec::default().decode(&mut BytesMut::from(&words::frame(&said.unwrap())[..]))
        else {
            continue;
        };
        match frame {
            Frame::Call(Question { request: Ok(request), .. }) => {
                doubted |= matches!(&request, Request::ClosestPrecedingNode { doubted, .. } if !doubted.is_empty());
                ends |= matches!(request, Request::Meet { until: Some(_), .. });
                parting |= matches!(request, Request::Leave { predecessor: Some(_), .. });
                asked.insert(discriminant(&request));
            }
            Frame::Call(_) => {}
            Frame::Return(reply) => {
                for request in bodies::conversion::requests() {
                    let Ok(Ok(response)) = reply.read(&request, None) else { continue };
                    if let Response::Predecessor { memory, .. } = &response {
                        slept |= memory.slept;
                        former |= memory.former.is_some();
                    }
                    alone |= matches!(response, Response::Alive { alone: true, .. });
                    answered.insert(discriminant(&response));
                }
            }
        }
    }
    let all: HashSet<_> = bodies::conversion::requests().iter().map(discriminant).collect();
    assert_eq!((asked.len(), answered.len()), (all.len(), 6));
    let fields: [bool; 6] = [doubted, ends, parting, slept, former, alone];
    assert_eq!(fields, [true; 6], "doubted, until, predecessor of a leave; slept, former, alone");
}
