//! Reads frames from a stream of bytes and writes them to it, each within a time limit.
//!
//! A peer that sends a frame piece by piece, or does not read what it is sent, occupies a connection and some memory;
//! these limits say for how long. An idle connection holds no buffer at all: most connections are idle most of the
//! time, and a node has many.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::codec::Decoder;

use crate::net::outbox::Outgoing;
use crate::net::traffic::Counters;

use crate::wire::{FrameCodec, WireError};

/// A frame that was begun must be complete within this time: the largest one fits into a few packets.
pub const FRAME_TIMEOUT: Duration = Duration::from_secs(5);

/// A frame that can't be written within this time ends the connection.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes read at once: some dozens of calls.
const READ: usize = 16 * 1024;

/// The two directions of a connection over any transport.
pub struct Stream {
    reading: Box<dyn AsyncRead + Send + Unpin>,
    writing: Box<dyn AsyncWrite + Send + Unpin>,
}

impl Stream {
    /// Any stream of bytes.
    pub fn new(stream: impl AsyncRead + AsyncWrite + Send + 'static) -> Stream {
        let (reading, writing) = tokio::io::split(stream);
        Stream { reading: Box::new(reading), writing: Box::new(writing) }
    }

    /// The reading and the writing end.
    pub fn split(self, codec: FrameCodec) -> (Reader, Writer) {
        let reader = Reader {
            reading: self.reading,
            codec,
            buffer: BytesMut::new(),
            patience: FRAME_TIMEOUT,
            deadline: None,
            counters: None,
        };
        (reader, Writer { writing: self.writing })
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Stream {
        // Frames are written whole: Nagle's algorithm would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "can't set TCP_NODELAY");
        }
        let (reading, writing) = stream.into_split();
        Stream { reading: Box::new(reading), writing: Box::new(writing) }
    }
}

/// Reads the frames of one codec.
pub struct Reader<C = FrameCodec> {
    reading: Box<dyn AsyncRead + Send + Unpin>,
    codec: C,
    buffer: BytesMut,
    /// A frame that was begun must be complete within this time.
    patience: Duration,
    /// When the frame that was begun must be complete. Kept here, since a caller may drop [`next`](Reader::next) and
    /// call it again.
    deadline: Option<Instant>,
    /// Where the bytes are counted.
    counters: Option<Arc<Counters>>,
}

impl<C: Decoder<Error = WireError>> Reader<C> {
    /// Reads the frames of another codec from now on.
    pub fn then<D>(self, codec: D, patience: Duration) -> Reader<D> {
        Reader { reading: self.reading, codec, buffer: self.buffer, patience, deadline: None, counters: None }
    }

    /// Counts the bytes of the frames, but not of those of another codec.
    pub fn counted(self, counters: Arc<Counters>) -> Reader<C> {
        Reader { counters: Some(counters), ..self }
    }

    /// The next frame; `None` at the end of the stream. Nothing can be read after an error.
    pub async fn next(&mut self) -> Option<Result<C::Item, WireError>> {
        self.read().await.transpose()
    }

    async fn read(&mut self) -> Result<Option<C::Item>, WireError> {
        loop {
            if let Some(frame) = self.codec.decode(&mut self.buffer)? {
                self.deadline = None;
                return Ok(Some(frame));
            }
            if self.buffer.is_empty() {
                self.buffer = BytesMut::new();
            } else if self.deadline.is_none() {
                self.deadline = Some(Instant::now() + self.patience);
            }
            let deadline = self.deadline;
            let more = poll_fn(|cx| read_more(Pin::new(&mut self.reading), &mut self.buffer, cx));
            let count = match deadline {
                // Boxed: a connection that waits for a first byte needs no room for it.
                Some(deadline) => Box::pin(timeout_at(deadline, more)).await.map_err(|_| WireError::Slow)??,
                None => more.await?,
            };
            match (count, deadline) {
                (0, None) => return Ok(None),
                (0, Some(_)) => return Err(cut_off().into()),
                _ => self.counters.iter().for_each(|counters| counters.read.add(count as u64)),
            }
        }
    }
}

/// Appends the bytes that have come to the buffer. They pass through the stack, so that an idle connection needs no
/// memory.
fn read_more(
    reading: Pin<&mut (dyn AsyncRead + Unpin)>,
    buffer: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut room = [MaybeUninit::uninit(); READ];
    let mut read = ReadBuf::uninit(&mut room);
    ready!(reading.poll_read(cx, &mut read))?;
    buffer.extend_from_slice(read.filled());
    Poll::Ready(Ok(read.filled().len()))
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it ends in the middle of a frame")
}

/// Writes frames.
pub struct Writer {
    writing: Box<dyn AsyncWrite + Send + Unpin>,
}

impl Writer {
    /// Writes frames until no more will come; frames that wait together leave together. Returns the writer, which can
    /// then be used further.
    pub async fn write_all(mut self, outgoing: Outgoing) -> Result<Writer, WireError> {
        while let Some(mut batch) = outgoing.take().await {
            let mut written = pin!(self.writing.write_all_buf(&mut batch.bytes));
            match written.as_mut().now_or_never() {
                Some(written) => written?,
                // Boxed: it is rare, and too large to keep in a connection that is idle.
                None => Box::pin(timeout(WRITE_TIMEOUT, written)).await.map_err(|_| WireError::Unread)??,
            }
        }
        Ok(self)
    }

    /// Writes a frame; fails if the other end does not read it within this time.
    pub async fn write(&mut self, mut frame: impl Buf, within: Duration) -> Result<(), WireError> {
        let written = self.writing.write_all_buf(&mut frame);
        Ok(timeout(within, written).await.map_err(|_| WireError::Unread)??)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    /// A reader that answered in between dropped `next` and called it again, so that each piece of a frame had the
    /// whole time.
    #[tokio::test(start_paused = true)]
    async fn frame_that_was_begun_has_its_time_whoever_stops_reading_in_between() {
        let (ours, mut theirs) = duplex(64);
        let (mut reader, _writer) = Stream::new(ours).split(FrameCodec::default());
        theirs.write_all(&[0, 0, 0]).await.unwrap();
        let began = Instant::now();
        let ended = loop {
            assert!(began.elapsed() <= 2 * FRAME_TIMEOUT, "it goes on");
            if let Ok(ended) = timeout(FRAME_TIMEOUT / 3, reader.next()).await {
                break ended;
            }
        };
        assert!(matches!(ended, Some(Err(WireError::Slow))), "{ended:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn frame_that_is_read_a_little_at_a_time_is_given_up() {
        let (ours, mut theirs) = duplex(64);
        let (_reader, mut writer) = Stream::new(ours).split(FrameCodec::default());
        let slow = async {
            let mut byte = [0];
            while theirs.read_exact(&mut byte).await.is_ok() {
                tokio::time::sleep(WRITE_TIMEOUT / 2).await;
            }
        };
        let written = tokio::select! {
            written = writer.write(&[7; 4096][..], 2 * WRITE_TIMEOUT) => written,
            () = slow => unreachable!("it reads as long as the writer writes"),
        };
        assert!(matches!(written, Err(WireError::Unread)), "{written:?}");
    }
}
