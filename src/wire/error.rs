//! What came over the wire can't be understood.

use std::io;

use crate::protocol::peer::Peer;
use crate::protocol::rpc::Code;

/// What came over the wire can't be understood.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("frame length outside 8 to {} bytes", super::MAX_FRAME)]
    Length,
    #[error("not a protobuf message: {0}")]
    Protobuf(#[from] prost::DecodeError),
    #[error("a message without content")]
    Empty,
    #[error("a call where only answers are expected, or an answer where only calls are")]
    Misplaced,
    #[error("identifier of {0} bytes instead of 20")]
    Id(usize),
    #[error("{0:?} is not an address that others can call")]
    Address(String),
    #[error("port {0} is outside 1 to 65535")]
    Port(u32),
    #[error("identifier {} is not the SHA-1 of {}", .0.id, .0.addr)]
    NotItsId(Peer),
    #[error("there is no call named {0:?}")]
    UnknownCall(String),
    #[error("a frame was begun and not completed in time")]
    Slow,
    #[error("nothing is read any more")]
    Unread,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl WireError {
    pub(super) fn code(&self) -> Code {
        match self {
            WireError::UnknownCall(_) => Code::UnknownCall,
            _ => Code::BadRequest,
        }
    }
}
