//! Writing with pauses: a stream of large bodies must leave the processors to the calls of the ring.
//!
//! Both ends of a channel copy what they carry, and a fast network lets them do so without a pause: two busy threads, which
//! a system with few processors takes away from a node's thread only at the end of a turn of some milliseconds. A
//! thread that pauses by itself after a fraction of a millisecond delays no other one for longer.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::time::{Instant, sleep};

use super::FRAME_TIMEOUT;
use crate::net::frames::Writer;
use crate::wire::WireError;

/// At most this many bytes are written without a pause: a tenth of a millisecond's work at each end.
const BURST: usize = 128 * 1024;

/// The pause. A timer takes up to twice as long, so that a channel carries about 55 MiB a second each way.
const PAUSE: Duration = Duration::from_millis(1);

/// Writes the frames of a channel.
pub(super) struct Paced {
    writer: Writer,
    /// Bytes since the last pause.
    written: usize,
}

impl Paced {
    pub(super) fn new(writer: Writer) -> Paced {
        Paced { writer, written: 0 }
    }

    /// Writes a frame; fails if the other end does not read it in time.
    pub(super) async fn write(&mut self, mut frame: BytesMut) -> Result<(), WireError> {
        let until = Instant::now() + FRAME_TIMEOUT;
        while frame.has_remaining() {
            let piece = frame.split_to(frame.len().min(BURST - self.written));
            self.written += piece.len();
            self.writer.write(piece, until.saturating_duration_since(Instant::now())).await?;
            if self.written == BURST {
                self.written = 0;
                sleep(PAUSE).await;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;
    use crate::net::frames::Stream;
    use crate::wire::FrameCodec;

    /// The time that it takes to write frames of this length.
    async fn time_of(lengths: &[usize]) -> Duration {
        let (ours, mut theirs) = duplex(1 << 20);
        let (_reader, writer) = Stream::new(ours).split(FrameCodec::default());
        let (mut paced, began) = (Paced::new(writer), Instant::now());
        let written = async {
            for length in lengths {
                paced.write(BytesMut::zeroed(*length)).await.unwrap();
            }
        };
        let mut all = vec![0; lengths.iter().sum()];
        let (_, read) = tokio::join!(written, theirs.read_exact(&mut all));
        read.unwrap();
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_of_any_size_pause_after_each_burst() {
        assert_eq!(time_of(&[BURST - 1]).await, Duration::ZERO);
        let whole = time_of(&[4 << 20]).await;
        assert!(whole >= PAUSE * 32, "{whole:?}");
        let pieces = time_of(&[BURST / 8; 256]).await;
        assert!(pieces >= PAUSE * 32, "{pieces:?}");
    }
}
