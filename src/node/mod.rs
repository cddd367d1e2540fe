//! A node as a program sees it: its configuration ([`config`]), its [`handle`], what it reports ([`state`], [`report`]), its errors
//! ([`error`]) and its notifications ([`events`]). A [`worker`] is a thread on which nodes live.

pub mod config;
pub mod error;
pub mod events;
pub mod handle;
pub mod report;
pub mod state;
pub mod worker;

pub use error::{JoinError, LookupError, ServeError, StartError};
pub use handle::Node;
pub use state::State;
