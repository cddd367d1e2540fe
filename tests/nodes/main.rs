//! Real nodes: their actors, connections and processes. One program, so that it is linked once. All its tests share one
//! process, with its limits, its process number and its log.
//!
//! `cargo test --test nodes link::` runs one file.

// A program of its own: no other one sees its items.
#![allow(missing_docs, unreachable_pub)]

mod actors;
#[cfg(target_os = "linux")]
mod addresses;
mod ask;
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
mod http;
mod liars;
mod link;
mod overload;
mod plain;
mod ring;
mod rings;
mod seeds;
mod serve;
mod services;
mod sharing;
mod support;
mod swarm;
mod tcp;
mod watch;
