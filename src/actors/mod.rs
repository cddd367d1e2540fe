//! The actors: thin shells that run the protocol over TCP.
//!
//! `docs/architecture.md` has them in a picture, with the way of a lookup from file to file.
//!
//! What all nodes of a thread decide together (whom they take for dead, what they take on, how often they ask again) is in
//! [`thread`].
//!
//! Calls find kept connections in the [`pool`](crate::net::pool), which all nodes of a thread may share, and ask on them; the
//! peers actor hears only of those for which there is none. A link hands a question to the node of the thread that it is
//! for.
//!
//! Lookups are no actor: a link begins them where it reads their questions, from what the owners of the
//! tables have published in the [`snapshot`], and most end there.
//!
//! Everything lives on one thread. A message that is owed an answer is sent with `send`; hints and
//! ticks with `do_send`. What happens in a conversation is decided in [`crate::protocol`]; the
//! [`drive`] module is the only bridge.

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
    Call, Disturbed, Forget, Leave, Refusal, Resolve, Serve, Severed, ShowFingers, ShowNeighbors, Slept, Stop, Way,
};
