//! Framing: an 8-byte big-endian length that counts itself, then one message.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};

use super::block::append;
use super::error::WireError;
use super::node::Ids;
use super::proto;
use super::question::Question;
use super::reply::Reply;

/// One message on a connection.
#[derive(Debug)]
pub enum Frame {
    Call(Question),
    Return(Reply),
}

/// The largest frame that is sent or read, in bytes, prefix included: a successor list of 32 nodes
/// is under 2 KiB and the path of a lookup under 4 KiB; the rest is headroom for other programs.
pub const MAX_FRAME: usize = 16 * 1024;

/// The longest name of a ring, in bytes.
pub const MAX_RING: usize = 64;

pub(super) const PREFIX: usize = 8;

/// Reads and writes frames on a byte stream.
#[derive(Clone, Debug)]
pub struct FrameCodec {
    lengths: LengthDelimitedCodec,
    /// Which nodes are believed to exist.
    ids: Ids,
}

impl Default for FrameCodec {
    fn default() -> FrameCodec {
        FrameCodec::new(Ids::Any)
    }
}

impl FrameCodec {
    /// Reads frames that may name these nodes.
    pub fn new(ids: Ids) -> FrameCodec {
        // The adjustment makes the length count itself, and refuses one below 8.
        let lengths = LengthDelimitedCodec::builder()
            .length_field_length(PREFIX)
            .length_adjustment(-(PREFIX as isize))
            .max_frame_length(MAX_FRAME)
            .new_codec();
        FrameCodec { lengths, ids }
    }
}

impl Decoder for FrameCodec {
    type Item = Frame;
    type Error = WireError;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, WireError> {
        let Some(payload) = self.lengths.decode(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => WireError::Length,
            _ => WireError::Io(error),
        })?
        else {
            return Ok(None);
        };
        parse(payload.freeze(), self.ids).map(Some)
    }
}

/// Field 1 is length-delimited in a call and a varint in a return, and comes first from every encoder; a payload that
/// begins with anything else is read as whichever of the two it can be.
fn parse(payload: Bytes, ids: Ids) -> Result<Frame, WireError> {
    const RETURN_BEGINS: u8 = 0x08;
    if payload.first() == Some(&RETURN_BEGINS) {
        return Ok(Frame::Return(Reply::heard(proto::Return::decode(payload)?, ids)));
    }
    match proto::Call::decode(payload.clone()) {
        Ok(call) => Ok(Frame::Call(Question::heard(call, ids))),
        Err(error) => match proto::Return::decode(payload) {
            Ok(reply) => Ok(Frame::Return(Reply::heard(reply, ids))),
            Err(_) => Err(error.into()),
        },
    }
}

impl Encoder<Frame> for FrameCodec {
    type Error = WireError;

    fn encode(&mut self, frame: Frame, bytes: &mut BytesMut) -> Result<(), WireError> {
        match frame {
            Frame::Call(question) => write(&proto::Call::from(question), bytes),
            Frame::Return(reply) => write(&proto::Return::from(reply), bytes),
        }
    }
}

fn write(message: &impl Message, bytes: &mut BytesMut) -> Result<(), WireError> {
    let payload = message.encoded_len();
    let length = PREFIX + payload;
    if length > MAX_FRAME {
        return Err(WireError::Length);
    }
    bytes.reserve(length);
    bytes.put_u64(length as u64);
    append(message, payload, bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::id::{Bits, Id};
    use crate::protocol::peer::Peer;
    use crate::protocol::rpc::{Request, Response};

    /// The frames of the family's wire protocol, as other programs send them.
    const CHECK_PREDECESSOR: &str = "000000000000001d0a11636865636b5f7072656465636573736f721200";
    const GET_PREDECESSOR: &str = "000000000000001b0a0f6765745f7072656465636573736f721200";
    const GET_SUCCESSOR_LIST: &str = "000000000000001e0a126765745f737563636573736f725f6c6973741200";
    const FIND_SUCCESSOR: &str =
        "00000000000000300a0e66696e645f737563636573736f7212160a14f7ff9e8b7bb2e09b70935a5d785e0cc5d9d0abf0";
    const NOTIFY: &str = "00000000000000380a066e6f7469667912260a240a14a1cc973d2d4c68eebb3701c0f4133194a423e0b3\
                          12093132372e302e302e3918e13c";
    const DONE: &str = "000000000000000a0801";
    const FOUND: &str = "0000000000000032080112260a240a1410f78bab790612c304ca2d91da6da30e59be9056\
                         12093132372e302e302e3118ca20";

    fn bytes(hex: &str) -> BytesMut {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    fn encoded(frame: Frame) -> BytesMut {
        let mut out = BytesMut::new();
        FrameCodec::default().encode(frame, &mut out).unwrap();
        out
    }

    fn decoded(mut input: BytesMut) -> Result<Option<Frame>, WireError> {
        FrameCodec::default().decode(&mut input)
    }

    fn peer(addr: &str) -> Peer {
        Peer::at(addr.parse().unwrap(), Bits::FULL)
    }

    fn calls() -> Vec<(Request, &'static str)> {
        let key = Id::of_key(b"Hello", Bits::FULL);
        vec![
            (Request::CheckPredecessor, CHECK_PREDECESSOR),
            (Request::GetPredecessor, GET_PREDECESSOR),
            (Request::GetSuccessorList { joiner: None }, GET_SUCCESSOR_LIST),
            (Request::FindSuccessor { key, hops: 0, want_path: false }, FIND_SUCCESSOR),
            (Request::Notify { me: peer("127.0.0.9:7777") }, NOTIFY),
        ]
    }

    #[test]
    fn calls_are_the_family_s_byte_for_byte() {
        for (request, hex) in calls() {
            assert_eq!(encoded(Frame::Call(Question::plain(request.clone()))), bytes(hex), "{request:?}");
            let Ok(Some(Frame::Call(question))) = decoded(bytes(hex)) else { panic!("{request:?} is a call") };
            assert_eq!(question.request.unwrap(), request);
        }
    }

    #[test]
    fn returns_are_the_family_s_byte_for_byte() {
        let me = peer("127.0.0.1:4170");
        let found = Response::Successor { owner: me, path: vec![] };
        assert_eq!(encoded(Frame::Return(Reply::to(&found, me, 4))), bytes(FOUND));
        assert_eq!(encoded(Frame::Return(Reply::to(&Response::Done, me, 4))), bytes(DONE));
        let Ok(Some(Frame::Return(reply))) = decoded(bytes(FOUND)) else { panic!("a return") };
        assert_eq!(reply.read(&calls()[3].0, None).unwrap(), Ok(found));
    }

    #[test]
    fn frame_in_pieces_waits_for_the_rest() {
        let whole = bytes(NOTIFY);
        let (mut codec, mut buffer) = (FrameCodec::default(), BytesMut::new());
        for (i, byte) in whole.iter().enumerate() {
            buffer.put_u8(*byte);
            let frame = codec.decode(&mut buffer).unwrap();
            assert_eq!(frame.is_some(), i + 1 == whole.len());
        }
    }

    #[test]
    fn length_that_lies_is_refused() {
        for length in [0u64, 7, MAX_FRAME as u64 + 1, 1 << 63, u64::MAX] {
            let mut lie = BytesMut::new();
            lie.put_u64(length);
            lie.put_slice(&[0x0a; 32]);
            assert!(matches!(decoded(lie), Err(WireError::Length)), "{length}");
        }
    }

    #[test]
    fn payload_that_is_no_message_is_refused() {
        assert!(matches!(decoded(bytes("000000000000000cffffffff")), Err(WireError::Protobuf(_))));
    }

    #[test]
    fn fields_may_come_in_any_order() {
        // Call { args, name: "notify" }, and Return { value, success }.
        let call = bytes("0000000000000012 1200 0a066e6f74696679");
        assert!(matches!(decoded(call), Ok(Some(Frame::Call(_)))));
        let reply = bytes("000000000000000c 1200 0801");
        assert!(matches!(decoded(reply), Ok(Some(Frame::Return(_)))));
    }

    #[test]
    fn frame_beyond_the_limit_is_not_sent() {
        let path = vec![crate::protocol::rpc::Hop { node: peer("127.0.0.1:1"), took: Default::default() }; 1024];
        let response = Response::Successor { owner: peer("127.0.0.1:1"), path };
        let reply = Reply::to(&response, peer("127.0.0.1:1"), 4);
        assert!(encoded(Frame::Return(reply)).len() < MAX_FRAME, "paths are cut before");
    }
}
