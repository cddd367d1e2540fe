//! Frames out of and into a stream of bytes, each within a limit of time.
//!
//! Whoever sends a frame piece by piece, or does not read what it is sent, holds a connection and
//! some memory; these limits say for how long.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use futures::SinkExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::codec::{Decoder, FramedWrite};

use crate::wire::{Frame, FrameCodec, WireError};

/// A frame that was begun is completed in this time: the largest one fits into some packets.
pub const FRAME_TIMEOUT: Duration = Duration::from_secs(5);

/// A frame that can't be written for so long ends the connection.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Room for a frame or two; it grows to the largest frame only when one is announced.
const BUFFER: usize = 2 * 1024;

/// The two directions of a connection, whatever it is made of.
pub struct Stream {
    reading: Box<dyn AsyncRead + Unpin>,
    writing: Box<dyn AsyncWrite + Unpin>,
}

impl Stream {
    /// Any stream of bytes.
    pub fn new(stream: impl AsyncRead + AsyncWrite + 'static) -> Stream {
        let (reading, writing) = tokio::io::split(stream);
        Stream { reading: Box::new(reading), writing: Box::new(writing) }
    }

    /// What comes, and where to write.
    pub fn split(self, codec: FrameCodec) -> (Reader, Writer) {
        let reader = Reader { reading: self.reading, codec: codec.clone(), buffer: BytesMut::with_capacity(BUFFER) };
        (reader, Writer { sink: FramedWrite::new(self.writing, codec) })
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Stream {
        // A frame is written whole; waiting for more would only delay it.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "can't set TCP_NODELAY");
        }
        let (reading, writing) = stream.into_split();
        Stream { reading: Box::new(reading), writing: Box::new(writing) }
    }
}

/// Reads frames.
pub struct Reader {
    reading: Box<dyn AsyncRead + Unpin>,
    codec: FrameCodec,
    buffer: BytesMut,
}

impl Reader {
    /// The next frame; `None` at the end of the stream. After an error there is nothing more to be
    /// read.
    pub async fn next(&mut self) -> Option<Result<Frame, WireError>> {
        self.read().await.transpose()
    }

    async fn read(&mut self) -> Result<Option<Frame>, WireError> {
        let mut deadline = (!self.buffer.is_empty()).then(|| Instant::now() + FRAME_TIMEOUT);
        loop {
            if let Some(frame) = self.codec.decode(&mut self.buffer)? {
                return Ok(Some(frame));
            }
            self.buffer.reserve(1);
            let more = self.reading.read_buf(&mut self.buffer);
            let count = match deadline {
                Some(deadline) => timeout_at(deadline, more).await.map_err(|_| WireError::Slow)??,
                None => more.await?,
            };
            match (count, deadline) {
                (0, None) => return Ok(None),
                (0, Some(_)) => return Err(cut_off().into()),
                (_, None) => deadline = Some(Instant::now() + FRAME_TIMEOUT),
                (_, Some(_)) => {}
            }
        }
    }
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it ends in the middle of a frame")
}

/// A frame to be written, and what it holds until then.
pub struct Outgoing {
    pub frame: Frame,
    pub permit: Option<OwnedSemaphorePermit>,
}

/// Writes frames.
pub struct Writer {
    sink: FramedWrite<Box<dyn AsyncWrite + Unpin>, FrameCodec>,
}

impl Writer {
    /// Writes what comes until nobody sends any more; frames that wait together leave together.
    pub async fn write_all(mut self, mut frames: mpsc::Receiver<Outgoing>) -> Result<(), WireError> {
        while let Some(first) = frames.recv().await {
            self.feed(first).await?;
            while let Ok(next) = frames.try_recv() {
                self.feed(next).await?;
            }
            timely(self.sink.flush()).await?;
        }
        Ok(())
    }

    /// Takes a frame in, after writing others if there are many.
    async fn feed(&mut self, Outgoing { frame, permit }: Outgoing) -> Result<(), WireError> {
        timely(self.sink.feed(frame)).await?;
        drop(permit);
        Ok(())
    }
}

async fn timely(written: impl Future<Output = Result<(), WireError>>) -> Result<(), WireError> {
    timeout(WRITE_TIMEOUT, written).await.map_err(|_| WireError::Unread)?
}
