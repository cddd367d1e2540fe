//! What the `chord` command does after its arguments have been read: one file per command, and what several share.

pub mod ask;
mod console;
mod dialogue;
mod interrupt;
pub mod meta;
pub mod node;
pub mod play;
mod progress;
mod remember;
pub mod serve;
pub mod sim;
pub mod swarm;
