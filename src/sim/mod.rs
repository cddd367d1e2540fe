//! A simulator: whole rings on a virtual clock, with every fault on demand, and every history reproducible from its
//! seed.
//!
//! The nodes are those of the program: its `Maintenance`, its `FixFingers`, and the conversations and lookups that
//! these hold. Every message passes the codec of [`crate::wire`]. Only the work of the actors is done by other code, as
//! little as possible, in [`host`].
//!
//! In reading order: [`queue`], the events that are due; [`network`] and [`delay`], the delivery of messages;
//! [`environment`], both together with clock and chance; [`host`], one node; [`world`], all nodes; [`ideal`] and
//! [`tables`], what a ring should be; [`nodes`], [`draw`] and [`plot`], names, pictures and curves; [`log`] and
//! [`tally`], what has happened; [`recording`], the same to be played again; [`lessons`], recordings for students.
//!
//! All random numbers come from one seed through `ChaCha8`, and every collection that is iterated is ordered, so a seed
//! is one history: the same on every machine, event by event.

pub mod chaos;
pub mod churn;
pub mod delay;
pub mod draw;
pub mod environment;
pub mod events;
pub mod host;
pub mod ideal;
pub mod lessons;
pub mod log;
pub mod merge;
pub mod network;
pub mod nodes;
pub mod oracle;
pub mod paper;
pub mod plot;
pub mod queue;
mod reason;
pub mod recording;
pub mod ring;
pub mod script;
pub mod storm;
pub mod tables;
pub mod tally;
pub mod world;

pub use host::Host;
pub use nodes::{address, hashed, numbered, owner};
pub use world::World;
