//! A raw client: it knows only how long an answer is.

use std::io;
use std::net::SocketAddr;

use bytes::BytesMut;
use chord::Peer;
use chord::protocol::rpc::Request;
use chord::wire::{Frame, FrameCodec, Question};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::codec::Encoder;

/// The bytes of a call that asks a node for the owner of its own identifier; a plain call ends its connection.
pub fn call(me: Peer, plain: bool) -> Vec<u8> {
    let request = Request::FindSuccessor { key: me.id, hops: 0, want_path: false };
    let question = Question { call_id: (!plain).then_some(1), ..Question::plain(request) };
    let mut bytes = BytesMut::new();
    FrameCodec::default().encode(Frame::Call(question), &mut bytes).expect("a call that fits");
    bytes.to_vec()
}

/// The length of the reply to a call, learned from one call.
pub async fn reply(addr: SocketAddr, call: &[u8]) -> io::Result<usize> {
    let mut line = Line::to(addr, call, 8).await?;
    line.call(1).await?;
    Ok(line.announced())
}

/// A connection to a node, or to the floor.
pub struct Line {
    pub stream: TcpStream,
    /// The bytes of a call.
    pub call: Vec<u8>,
    /// The length of its reply.
    pub reply: usize,
    buffer: Vec<u8>,
}

impl Line {
    /// A connection on which each reply has this many bytes.
    pub async fn to(addr: SocketAddr, call: &[u8], reply: usize) -> io::Result<Line> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Line { stream, call: call.to_vec(), reply, buffer: vec![0; 64 * 1024] })
    }

    /// Makes `at_once` calls at once and reads their replies.
    pub async fn call(&mut self, at_once: usize) -> io::Result<()> {
        self.stream.write_all(&self.call.repeat(at_once)).await?;
        let answers = &mut self.buffer[..at_once * self.reply];
        self.stream.read_exact(answers).await.map(drop)
    }

    /// The length that the last frame announces, its first 8 bytes included.
    pub fn announced(&self) -> usize {
        self.buffer[..8].iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
    }
}
