//! The frame decoder: a stream decodes to the same frames however it is cut into pieces, and an encoded frame decodes
//! to itself.

use bytes::BytesMut;
use chord::wire::{ChannelCodec, ChannelFrame, Frame, FrameCodec, MAX_FRAME, WireError};
use tokio_util::codec::{Decoder, Encoder};

use super::words::frame;

/// The first byte says whether the rest is a stream of frames, or payloads to be framed, each behind a byte with its
/// length. The next four bytes give the lengths of the pieces.
pub fn run(data: &[u8]) {
    let Some((head, rest)) = data.split_at_checked(5) else { return };
    let stream = if head[0] % 2 == 0 { rest.to_vec() } else { framed(rest) };
    let whole = decode(std::iter::once(&stream[..]));
    let cuts = head[1..].iter().map(|cut| usize::from(*cut) + 1).cycle();
    assert_eq!(decode(pieces(&stream, cuts)), whole, "cut in another way");
    let channel = channel(std::iter::once(&stream[..]));
    let cuts = head[1..].iter().map(|cut| usize::from(*cut) + 1).cycle();
    assert_eq!(self::channel(pieces(&stream, cuts)), channel, "cut in another way");
    for frame in &channel.0 {
        let bytes = frame.bytes().expect("it came in a frame");
        assert_eq!(
            self::channel(std::iter::once(&bytes[..])).0,
            std::slice::from_ref(frame),
            "what is said comes back"
        );
    }
    for bytes in &whole.frames {
        assert_eq!(decode(std::iter::once(&bytes[..])).frames, [&bytes[..]], "what is said comes back");
    }
}

fn framed(mut payloads: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    while let Some((length, rest)) = payloads.split_first() {
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        stream.extend(frame(payload));
        payloads = rest;
    }
    stream
}

fn pieces(mut stream: &[u8], cuts: impl Iterator<Item = usize>) -> impl Iterator<Item = &[u8]> {
    cuts.map_while(move |cut| {
        let piece = stream.split_off(..cut.min(stream.len()))?;
        (!piece.is_empty()).then_some(piece)
    })
}

/// The result of decoding a stream.
#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    /// Encoded again.
    frames: Vec<Vec<u8>>,
    /// The error that ended it, if any.
    error: Option<String>,
}

/// The same for a channel. Its frames are compared as values: a fault may be of a later version and be written
/// differently.
fn channel<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<ChannelFrame>, Option<String>) {
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match ChannelCodec::default().decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error.to_string())),
            }
        }
    }
    (frames, None)
}

fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Decoded {
    let (mut codec, mut buffer) = (FrameCodec::default(), BytesMut::new());
    let mut decoded = Decoded { frames: Vec::new(), error: None };
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(frame)) => decoded.frames.extend(encode(frame)),
                Ok(None) => break,
                Err(error) => {
                    decoded.error = Some(error.to_string());
                    return decoded;
                }
            }
        }
        assert!(buffer.capacity() <= 4 * (MAX_FRAME + piece.len()), "{} bytes are held", buffer.capacity());
    }
    decoded
}

/// The frame encoded again; `None` if it was one of the largest and is too long in our encoding.
fn encode(frame: Frame) -> Option<Vec<u8>> {
    let mut bytes = BytesMut::new();
    match FrameCodec::default().encode(frame, &mut bytes) {
        Ok(()) => Some(bytes.to_vec()),
        Err(WireError::Length) => None,
        Err(error) => panic!("{error}"),
    }
}
