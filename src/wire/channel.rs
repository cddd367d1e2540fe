//! What applications say to each other, on connections of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use tokio_util::codec::Decoder;

use super::error::WireError;
use super::frame::PREFIX;
use super::node::{id, id_bytes};
use super::proto;
use crate::protocol::id::Id;

/// The largest body of a call or of its answer, in bytes.
pub const MAX_BODY: usize = 4 * 1024 * 1024;

/// The longest name of a service, and the longest error text of an answer, in bytes.
pub const MAX_SERVICE: usize = 255;

/// Everything but the body fits into this.
const MAX_ENVELOPE: usize = 1024;

/// One message on a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelFrame {
    Call {
        /// Repeated by the answer.
        number: u64,
        service: String,
        body: Bytes,
        /// How long the caller waits.
        patience: Duration,
        /// The key that the callee owns, as the caller believes.
        key: Option<Id>,
    },
    Return {
        number: u64,
        answer: Result<Bytes, (Fault, String)>,
    },
    /// The caller of this call no longer waits for the answer.
    Cancel(u64),
}

/// Why a call has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The application could not, or would not.
    Failed,
    /// Another node owns the key.
    NotOwner,
    /// No service of that name is offered.
    NoService,
    /// Too many calls at once.
    Overloaded,
}

/// Reads the frames of a channel. A frame takes memory as its bytes arrive, not when its length is announced.
#[derive(Clone, Debug)]
pub struct ChannelCodec {
    /// The largest body that is read, in bytes; it may change at any time.
    most: Arc<AtomicUsize>,
}

impl Default for ChannelCodec {
    fn default() -> ChannelCodec {
        ChannelCodec::up_to(Arc::new(MAX_BODY.into()))
    }
}

impl ChannelCodec {
    /// Reads frames with bodies of up to that many bytes, at most [`MAX_BODY`].
    pub fn up_to(most: Arc<AtomicUsize>) -> ChannelCodec {
        ChannelCodec { most }
    }
}

impl ChannelFrame {
    /// The frame as it travels.
    ///
    /// # Errors
    ///
    /// It is larger than a frame may be.
    pub fn bytes(&self) -> Result<BytesMut, WireError> {
        let message = proto::ChannelFrame::from(self);
        let length = PREFIX + message.encoded_len();
        if length > PREFIX + MAX_ENVELOPE + MAX_BODY {
            return Err(WireError::Length);
        }
        let mut bytes = BytesMut::with_capacity(length);
        bytes.put_u64(length as u64);
        message.encode_raw(&mut bytes);
        Ok(bytes)
    }
}

impl Decoder for ChannelCodec {
    type Item = ChannelFrame;
    type Error = WireError;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<ChannelFrame>, WireError> {
        let Some(prefix) = bytes.first_chunk::<PREFIX>() else { return Ok(None) };
        let length = u64::from_be_bytes(*prefix);
        let most = PREFIX + MAX_ENVELOPE + self.most.load(Ordering::Relaxed).min(MAX_BODY);
        let length = usize::try_from(length).ok().filter(|length| (PREFIX..=most).contains(length));
        let length = length.ok_or(WireError::Length)?;
        if bytes.len() < length {
            return Ok(None);
        }
        let mut frame = bytes.split_to(length);
        frame.advance(PREFIX);
        proto::ChannelFrame::decode(frame.freeze())?.try_into().map(Some)
    }
}

impl From<&ChannelFrame> for proto::ChannelFrame {
    fn from(frame: &ChannelFrame) -> proto::ChannelFrame {
        use proto::channel_frame::Frame;
        let frame = match frame {
            ChannelFrame::Call { number, service, body, patience, key } => Frame::Call(proto::ServiceCall {
                number: *number,
                service: service.clone(),
                body: body.clone(),
                deadline_ms: u32::try_from(patience.as_millis()).unwrap_or(u32::MAX),
                key: key.map(id_bytes),
            }),
            ChannelFrame::Return { number, answer } => {
                let fault = answer.as_ref().err().map(|(fault, _)| proto::Fault::from(*fault).into());
                let error = answer.as_ref().err().map(|(_, why)| cut(why).to_owned());
                let body = answer.as_ref().ok().cloned();
                Frame::Answer(proto::ServiceReturn { number: *number, body, fault, error })
            }
            ChannelFrame::Cancel(number) => Frame::Cancel(*number),
        };
        proto::ChannelFrame { frame: Some(frame) }
    }
}

/// The part of an error text that is sent.
fn cut(text: &str) -> &str {
    let end = (0..=text.len().min(MAX_SERVICE)).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

impl TryFrom<proto::ChannelFrame> for ChannelFrame {
    type Error = WireError;

    fn try_from(frame: proto::ChannelFrame) -> Result<ChannelFrame, WireError> {
        use proto::channel_frame::Frame;
        Ok(match frame.frame.ok_or(WireError::Empty)? {
            Frame::Call(call) => ChannelFrame::Call {
                number: call.number,
                service: within(call.service, MAX_SERVICE)?,
                body: body(call.body)?,
                patience: Duration::from_millis(call.deadline_ms.into()),
                key: call.key.as_deref().map(id).transpose()?,
            },
            Frame::Answer(answer) => {
                let fault = answer.fault.map(|_| answer.fault().into());
                let said = match fault {
                    Some(fault) => Err((fault, within(answer.error.unwrap_or_default(), MAX_SERVICE)?)),
                    None => Ok(body(answer.body.unwrap_or_default())?),
                };
                ChannelFrame::Return { number: answer.number, answer: said }
            }
            Frame::Cancel(number) => ChannelFrame::Cancel(number),
        })
    }
}

fn within(text: String, most: usize) -> Result<String, WireError> {
    if text.len() <= most { Ok(text) } else { Err(WireError::Length) }
}

fn body(body: Bytes) -> Result<Bytes, WireError> {
    if body.len() <= MAX_BODY { Ok(body) } else { Err(WireError::Length) }
}

impl From<Fault> for proto::Fault {
    fn from(fault: Fault) -> proto::Fault {
        match fault {
            Fault::Failed => proto::Fault::Failed,
            Fault::NotOwner => proto::Fault::NotOwner,
            Fault::NoService => proto::Fault::NoService,
            Fault::Overloaded => proto::Fault::Overloaded,
        }
    }
}

impl From<proto::Fault> for Fault {
    fn from(fault: proto::Fault) -> Fault {
        match fault {
            proto::Fault::Failed => Fault::Failed,
            proto::Fault::NotOwner => Fault::NotOwner,
            proto::Fault::NoService => Fault::NoService,
            proto::Fault::Overloaded => Fault::Overloaded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::id::Bits;

    fn call(body: Bytes) -> ChannelFrame {
        let (service, patience) = ("rooms".to_string(), Duration::from_millis(1500));
        ChannelFrame::Call { number: 7, service, body, patience, key: Some(Id::of_key(b"Hello", Bits::FULL)) }
    }

    fn back(mut bytes: BytesMut) -> Result<Option<ChannelFrame>, WireError> {
        ChannelCodec::default().decode(&mut bytes)
    }

    #[test]
    fn frames_come_as_they_were_sent() {
        let returned = |answer| ChannelFrame::Return { number: 7, answer };
        for frame in [
            call(Bytes::from_static(b"who is in there?")),
            call(vec![7; MAX_BODY].into()),
            returned(Ok(Bytes::new())),
            returned(Ok(vec![8; MAX_BODY].into())),
            returned(Err((Fault::NotOwner, "moved".into()))),
            returned(Err((Fault::Failed, String::new()))),
            returned(Err((Fault::NoService, "rooms".into()))),
            returned(Err((Fault::Overloaded, String::new()))),
            ChannelFrame::Cancel(u64::MAX),
        ] {
            assert_eq!(back(frame.bytes().unwrap()).unwrap(), Some(frame));
        }
    }

    #[test]
    fn body_beyond_the_limit_is_neither_sent_nor_read() {
        let large: Bytes = vec![7; MAX_BODY + MAX_ENVELOPE].into();
        assert!(matches!(call(large).bytes(), Err(WireError::Length)));
        let beyond = call(vec![7; MAX_BODY + 1].into()).bytes().unwrap();
        assert!(matches!(back(beyond), Err(WireError::Length)));
    }

    #[test]
    fn body_is_no_larger_than_the_services_take_at_that_time() {
        let most = Arc::new(AtomicUsize::new(0));
        let mut codec = ChannelCodec::up_to(most.clone());
        assert_eq!(codec.decode(&mut call(Bytes::new()).bytes().unwrap()).unwrap(), Some(call(Bytes::new())));
        let large = call(vec![7; 64 * 1024].into());
        assert!(matches!(codec.decode(&mut large.bytes().unwrap()), Err(WireError::Length)));
        most.store(64 * 1024, Ordering::Relaxed);
        assert_eq!(codec.decode(&mut large.bytes().unwrap()).unwrap(), Some(large));
    }

    #[test]
    fn length_that_lies_takes_no_memory() {
        for length in [0u64, 7, 1 << 40, u64::MAX, (PREFIX + MAX_ENVELOPE + MAX_BODY + 1) as u64] {
            let mut lie = BytesMut::new();
            lie.put_u64(length);
            assert!(matches!(back(lie), Err(WireError::Length)), "{length}");
        }
        let mut announced = BytesMut::new();
        announced.put_u64(MAX_BODY as u64);
        assert!(ChannelCodec::default().decode(&mut announced).unwrap().is_none());
        assert!(announced.capacity() < 1024);
    }

    #[test]
    fn what_an_application_says_is_cut_where_a_character_ends() {
        let frame = ChannelFrame::Return { number: 1, answer: Err((Fault::Failed, "ä".repeat(200))) };
        let Some(ChannelFrame::Return { answer: Err((_, why)), .. }) = back(frame.bytes().unwrap()).unwrap() else {
            panic!("a fault")
        };
        assert_eq!(why, "ä".repeat(127));
    }

    #[test]
    fn nonsense_is_refused() {
        let mut empty = BytesMut::new();
        empty.put_u64(PREFIX as u64);
        assert!(matches!(back(empty), Err(WireError::Empty)));
        let mut garbled = BytesMut::new();
        garbled.put_u64(PREFIX as u64 + 4);
        garbled.put_slice(&[0xff; 4]);
        assert!(matches!(back(garbled), Err(WireError::Protobuf(_))));
    }
}
