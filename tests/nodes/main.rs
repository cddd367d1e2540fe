//! Real nodes: their actors, connections and processes. One program, so that it is linked once: tests share its
//! process, and whatever is of a process (its limits, its number, its log) with all others.
//!
//! `cargo test --test nodes link::` runs one file.

mod actors;
#[cfg(target_os = "linux")]
mod addresses;
#[cfg(target_os = "linux")]
mod chaos;
mod cli;
mod corpus;
mod docs;
mod embedding;
mod examples;
mod fronts;
#[cfg(target_os = "linux")]
mod hostile;
mod liars;
mod link;
mod plain;
mod ring;
mod services;
mod sharing;
mod support;
mod swarm;
mod tcp;
