//! Requests and answers as the receiver decodes them.

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

use crate::protocol::peer::Peer;
use crate::protocol::procedure::Answer;
use crate::protocol::rpc::{Code, Request, Response};
use crate::wire::{self, Frame, FrameCodec, Reply};

/// A request as the receiver decodes it.
pub(super) fn heard(request: &Request) -> Option<Request> {
    let question = wire::Question {
        request: Ok(request.clone()),
        call_id: Some(1),
        deadline: None,
        caller: None,
        to: None,
        ring: None,
    };
    match pass(Frame::Call(question))? {
        Frame::Call(question) => question.request.ok(),
        Frame::Return(_) => None,
    }
}

/// An answer as the receiver decodes it.
pub(super) fn read(request: &Request, answer: Result<Response, Code>, responder: Peer, r: usize) -> Answer {
    let mut reply = match answer {
        Ok(response) => Reply::to(&response, responder, r),
        Err(code) => Reply::refuse(code, code.to_string()),
    };
    reply.call_id = Some(1);
    let Some(Frame::Return(reply)) = pass(Frame::Return(reply)) else { return Answer::Refused(Code::Unspecified) };
    match reply.read(request, Some(responder.id)) {
        Ok(Ok(response)) => Answer::Reply(response),
        Ok(Err(code)) => Answer::Refused(code),
        Err(_) => Answer::Refused(Code::Unspecified),
    }
}

/// Encodes and decodes a frame.
fn pass(frame: Frame) -> Option<Frame> {
    let (mut codec, mut bytes) = (FrameCodec::default(), BytesMut::new());
    codec.encode(frame, &mut bytes).ok()?;
    codec.decode(&mut bytes).ok()?
}
