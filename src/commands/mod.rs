//! What the `chord` command does after its arguments have been read: one file per command, and what several share.

pub mod ask;
mod interrupt;
pub mod meta;
pub mod node;
mod progress;
pub mod sim;
pub mod swarm;
