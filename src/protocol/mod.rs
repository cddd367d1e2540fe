//! The protocol: what a node knows, says and concludes.
//!
//! Nothing in this folder has a socket, a clock, randomness or an actor, so that one and the same code runs on the
//! network, in a simulator and in a model checker; `tests/simulated/purity.rs` checks it.
//!
//! In reading order: [`id`] and [`peer`], what nodes say in [`rpc`]; what a node knows in [`neighbors`], [`fingers`]
//! and [`acquaintances`]; how conversations work in [`procedure`] and [`patient`]; the conversations [`lookup`]
//! (recursive and [`iterative`](lookup::iterative)), [`join`], [`stabilize`], [`awaken`], [`rectify`],
//! [`check_predecessor`], [`reunite`] and [`spread`], together [`conversation`]; and when each is held: [`maintenance`]
//! and [`fix_fingers`]. What an application
//! learns and asks: [`ownership`] and [`service`]. What the nodes of a thread decide together, under load: [`local_health`], [`failure_detector`],
//! [`excuses`], [`admission`], [`bulkhead`], [`retry_budget`], and [`fronts`].

pub mod acquaintances;
pub mod addr;
pub mod admission;
pub mod awaken;
pub mod bulkhead;
pub mod check_predecessor;
pub mod conversation;
pub mod excuses;
pub mod failure_detector;
pub mod fingers;
pub mod fix_fingers;
pub mod fronts;
pub mod id;
pub mod join;
pub mod local_health;
pub mod lookup;
pub mod maintenance;
pub mod neighbors;
pub mod ownership;
pub mod patient;
pub mod peer;
pub mod procedure;
pub mod rectify;
pub mod retry_budget;
pub mod reunite;
pub mod rpc;
pub mod service;
pub mod spread;
pub mod stabilize;
#[cfg(test)]
mod testing;
