//! The floor: frames of a fixed size there and back between bare tokio tasks, with nothing done in between.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{TcpListener, TcpStream};

/// A call and its reply, in bytes: what lookups need.
pub const FRAME: usize = 60;

/// Sends whatever comes back, on any number of connections, for as long as anybody waits for this.
pub async fn echo(socket: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = socket.accept().await?;
        // A connection that breaks is of no interest.
        actix_rt::spawn(async move { drop(send_back(stream).await) });
    }
}

/// Frame by frame; those that come together leave together.
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
