//! A Chord node: maps any key to the live node that owns it, in O(log N) hops, over a ring that
//! heals itself.
//!
//! A program embeds a node like this; several may run in one process:
//!
//! ```
//! use std::net::Ipv4Addr;
//! use chord::{Config, Node};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let first = Node::start(Config::new(Ipv4Addr::LOCALHOST)).await?;
//!     let config = Config { seeds: vec![first.me().addr.into()], ..Config::new(Ipv4Addr::LOCALHOST) };
//!     let second = Node::start(config).await?;
//!
//!     let owner = second.lookup("Hello").await?;
//!     assert!(owner == first.me() || owner == second.me());
//!
//!     second.leave().await;
//!     first.leave().await;
//!     Ok(())
//! }
//! ```
//!
//! Each node runs on a thread of its own ([`Node::start_on`] puts many on one), whatever runtime the program uses; a
//! [`Node`] is a handle that can be cloned, sent and shared.
//!
//! An embedding program needs only the library, without the dependencies of the `chord` command:
//!
//! ```toml
//! [dependencies]
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
//! chord = { path = "../chord", default-features = false }
//! ```
//!
//! The feature `sim` adds the simulator; `swarm` adds many nodes in one process and their measurement (with `sim`);
//! `http` adds metrics, health, an API and a page of the ring; `cli`, the default, adds the command and its console (with
//! all of them).
//!
//! To read the code, begin with [`protocol`], which makes all decisions and does no I/O; then `wire`, the bytes; then
//! `actors` and `net`, which run the protocol over the wire. [`config`] is the configuration of a node; `sim` runs whole
//! rings on a virtual clock, `swarm` many real nodes in one process.

// The print macros end the program when its output is closed: see [`console::streams`].
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

pub mod client;
#[cfg(feature = "http")]
pub mod http;
pub mod node;
pub mod protocol;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(feature = "swarm")]
pub mod swarm;

// For the command, tests and benches of this package only; no promise is made to other programs.
#[doc(hidden)]
pub mod actors;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod console;
#[doc(hidden)]
pub mod net;
#[doc(hidden)]
pub mod wire;

/// Compiles and runs the examples in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use net::seed::Seed;
pub use net::traffic::Traffic;
pub use node::config::{self, Config, IfAlone};
pub use node::worker::Worker;
pub use node::{JoinError, LookupError, Node, ServeError, StartError, State};
pub use protocol::addr::Addr;
pub use protocol::id::Id;
pub use protocol::ownership::{Event, KeyRange, Ownership};
pub use protocol::peer::Peer;
pub use protocol::service::{CallError, Refusal, ServiceCall};
