//! The wire: protobuf messages in length-prefixed frames, as in `proto/chord.proto`.
//!
//! Bytes from a peer are hostile until the files of `call` have checked them: presence, lengths, ranges.
//! The generated types do not leave this folder.

mod block;
mod call;
mod channel;
mod code;
mod error;
mod frame;
mod node;
mod question;
mod reply;

pub use channel::{ChannelCodec, ChannelFrame, Fault, MAX_BODY, MAX_SERVICE};
pub use error::WireError;
pub use frame::{Frame, FrameCodec, MAX_FRAME, MAX_RING};
pub use node::Ids;
pub use question::Question;
pub use reply::Reply;

/// The types that prost generates from `proto/chord.proto`; empty ones are never made, only read.
#[allow(dead_code, unreachable_pub)]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/protocol.rs"));
}

#[cfg(test)]
mod tests;
