//! The floor: frames of a fixed size there and back between bare tokio tasks, with no work in between.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{TcpListener, TcpStream};

/// The length of a call and of its reply, in bytes: that of lookups.
pub const FRAME: usize = 60;

/// Sends each frame back, on any number of connections, until it is dropped.
pub async fn echo(socket: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = socket.accept().await?;
        // A broken connection does not matter.
        actix_rt::spawn(async move { drop(send_back(stream).await) });
    }
}

/// Frame by frame; frames that arrive together leave together.
async fn send_back(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reading, writing) = stream.into_split();
    let (mut reading, mut writing) = (BufReader::new(reading), BufWriter::new(writing));
    let mut frame = [0; FRAME];
    while !reading.fill_buf().await?.is_empty() {
        reading.read_exact(&mut frame).await?;
        writing.write_all(&frame).await?;
        if reading.buffer().len() < FRAME {
            writing.flush().await?;
        }
    }
    Ok(())
}
