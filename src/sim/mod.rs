//! A simulator: whole rings on a virtual clock, every fault on demand, and every history again from
//! its seed.
//!
//! The nodes are what the program runs: its `Maintenance`, its `FixFingers`, and the conversations
//! and lookups that they hold. Every message passes the codec of [`crate::wire`]. Only what the
//! actors do is done by other code, as little as possible, in [`host`].
//!
//! In reading order: [`queue`], what is to happen; [`network`] and [`delay`], what becomes of messages;
//! [`environment`], both together with clock and chance; [`host`], one node; [`world`], all of them;
//! [`ideal`] and [`tables`], what a ring should be; [`nodes`], [`draw`] and [`plot`], names, pictures and curves; [`log`] and [`tally`],
//! what has happened.
//!
//! Chance comes from one seed through `ChaCha8`, and every collection that is walked is an ordered
//! one, so that a seed is a history: the same on every machine, event by event.

pub mod chaos;
pub mod churn;
pub mod delay;
pub mod draw;
pub mod environment;
pub mod events;
pub mod host;
pub mod ideal;
pub mod log;
pub mod merge;
pub mod network;
pub mod nodes;
pub mod oracle;
pub mod paper;
pub mod plot;
pub mod queue;
mod reason;
pub mod ring;
pub mod script;
pub mod storm;
pub mod tables;
pub mod tally;
pub mod world;

pub use host::Host;
pub use nodes::{address, hashed, numbered, owner};
pub use world::World;
