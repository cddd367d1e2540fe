//! What the `chord` command does when its arguments have been read: one file a command, and what several share.

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
