//! The actors: thin shells that run the protocol over TCP.
//!
//! `docs/architecture.md` has a picture of them, and the way of a lookup from file to file.
//!
//! What all nodes of a thread decide together (which peers are dead, which questions they take on, how often they ask
//! again) is in [`thread`].
//!
//! Calls find kept connections in the [`pool`](crate::net::pool), which all nodes of a thread may share; the peers
//! actor gets only the calls for which there is none. A link hands a question to the node of the thread that it is
//! addressed to.
//!
//! Lookups are no actor: a link begins them where it reads their questions, using the tables that their owners have
//! published in the [`snapshot`], and most end there.
//!
//! All actors of a node live on one thread. A message that needs an answer is sent with `send`; hints and ticks with
//! `do_send`. What happens in a conversation is decided in [`crate::protocol`]; the [`drive`] module is the only
//! bridge.

pub mod desk;
pub mod drive;
pub mod fingers;
pub mod jitter;
pub mod lookups;
pub mod messages;
pub mod neighbors;
pub mod node;
pub mod snapshot;
pub mod thread;
pub mod throttle;

pub use messages::{
    Call, CallRefusal, Disturbed, Forget, Leave, Resolve, Serve, Severed, ShowFingers, ShowNeighbors, Slept, Stop, Way,
};
