//! Tests without sockets: the protocol by itself, whole rings on a virtual clock, and every event in
//! a small ring. One program, so that it is linked once.
//!
//! `cargo test --test simulated paper::` runs one file.

// A program of its own: no other one sees its items.
#![allow(missing_docs, unreachable_pub)]

mod evaluation;
mod histories;
mod model;
mod ownership;
mod paper;
mod protocol;
mod purity;
mod recordings;
mod reunion;
mod services;
mod sim_ring;
mod simulation;
mod sleepers;
mod storms;
mod world;
