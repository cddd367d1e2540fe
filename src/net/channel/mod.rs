//! Calls of applications, on connections of their own: *channels*.
//!
//! Calls have their own connection so that a body of some MiB never delays a call of the ring. The runtime of the
//! program reads and writes it, not the thread of the node. A channel begins like any connection; when the other end
//! has agreed to [`OpenChannel`](crate::protocol::rpc::Request::OpenChannel), the [`link`](super::link) hands the
//! connection over, and both ends exchange [`ChannelFrame`](crate::wire::ChannelFrame)s. At the end that answers, a
//! channel counts as an accepted connection, and is closed with the node. [`calling`] is the end that made the channel,
//! [`serving`] the other; [`services`] is what is offered there, `pace` keeps large bodies from
//! keeping the processors busy.

pub mod calling;
mod pace;
pub mod services;
pub mod serving;

use std::time::Duration;

/// At most this many calls are in flight on one channel; further calls wait at the calling end.
pub const MAX_CALLS: usize = 64;

/// A frame that was begun must be read, or written, within this time: 4 MiB need about 1 Mbit/s. A slower peer would
/// delay the calls behind it.
pub const FRAME_TIMEOUT: Duration = Duration::from_secs(30);

/// A channel without a call is closed after this time by the end that made it, and a little later by the other, so that
/// the latter rarely closes while a call is on its way.
pub const IDLE: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(90)];
