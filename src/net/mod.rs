//! Connections: who makes them, what they carry, and how many there may be.
//!
//! A [`link`] is one connection: its [`frames`], its [`outbox`], the calls that are [`pending`] on it and those that it
//! is [`serving`]. The [`peers`] actor owns the connections of a node; the [`listener`] hands it the accepted ones.
//! Calls find kept connections in the [`pool`], which all nodes of a thread may share, through [`routes`], which
//! consult the [`peer_cache`] about their targets. Calls of applications have connections of their own, [`channel`]s.
//! Connections run over a [`transport`]; [`limits`] say how many there may be. A [`seed`] may have a name, which
//! [`names`] resolve. An overloaded thread guards its [`gate`] against
//! lookups of its own program.

pub mod channel;
pub mod events;
pub mod frames;
pub mod gate;
pub mod limits;
pub mod link;
pub mod listener;
pub mod meters;
pub mod names;
pub mod outbox;
pub mod peer_cache;
pub mod peers;
pub mod pending;
pub mod pool;
pub mod resident;
pub mod routes;
pub mod seed;
pub mod serves;
pub mod serving;
pub mod shared;
pub mod traffic;
pub mod transport;
