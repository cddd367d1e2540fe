//! What a program has of a node: how it is set up ([`config`]), its [`handle`], what that says ([`state`]), and what can go wrong
//! ([`error`]); and what it tells of its own accord ([`events`]). A [`worker`] is a thread on which nodes live.

pub mod config;
pub mod error;
pub mod events;
pub mod handle;
pub mod state;
pub mod worker;

pub use error::{LookupError, ServeError, StartError};
pub use handle::Node;
pub use state::State;
