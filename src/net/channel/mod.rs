//! Calls of applications, on connections of their own: *channels*.
//!
//! A channel is made for them, so that a body of some MiB never stands before a call of the ring, and is read and written by the runtime of
//! the program, not by the thread of the node. It begins as any connection does; when the other end has agreed to
//! [`OpenChannel`](crate::protocol::rpc::Request::OpenChannel), the [`link`](super::link) hands it over, and both ends speak in
//! [`ChannelFrame`](crate::wire::ChannelFrame)s. It counts as a connection that somebody has made, and is closed with the node.
//! [`calling`] is the end that has made it, [`serving`] the other, [`services`] what is offered there, [`error`] why there is no answer.

pub mod calling;
pub mod error;
pub mod services;
pub mod serving;

use std::time::Duration;

/// Calls in flight on one channel: more wait at the end that makes them.
pub const MAX_CALLS: usize = 64;

/// A frame that was begun is read, or written, in this time: 4 MiB take 1 MBit/s. Whoever takes longer holds what others wait for.
pub const FRAME_TIMEOUT: Duration = Duration::from_secs(30);

/// A channel without a call is closed after this time by the end that has made it, and a little later by the other, so that it
/// rarely closes on a call.
pub const IDLE: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(90)];
