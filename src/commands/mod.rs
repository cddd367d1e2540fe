//! What the `chord` command does after its arguments have been read: one file per command, and what several share.

pub mod chaos;
pub mod churn;
mod interrupt;
pub mod merge;
pub mod node;
mod outcome;
pub mod paper;
mod progress;
pub mod ring;
pub mod storm;
pub mod swarm;
pub mod text;
