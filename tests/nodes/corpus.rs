//! The inputs that fuzzing found worth keeping, as ordinary tests: what the fuzz targets do, without
//! a fuzzer. See `make fuzz`.

#[path = "../../fuzz/bodies/mod.rs"]
mod bodies;

use std::fs;
use std::path::Path;

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
