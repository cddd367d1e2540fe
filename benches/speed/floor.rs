//! The floor: frames of a fixed size there and back between bare tokio tasks, with nothing done in between.

use std::io;
use std::net::SocketAddr;

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

/// A connection to a node, or to the floor.
pub struct Line {
    stream: TcpStream,
    call: Vec<u8>,
    reply: usize,
    buffer: Vec<u8>,
}

impl Line {
    /// A connection on which each call is answered by so many bytes.
    pub async fn to(addr: SocketAddr, call: &[u8], reply: usize) -> io::Result<Line> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Line { stream, call: call.to_vec(), reply, buffer: vec![0; 64 * 1024] })
    }

    /// So many calls at once, and their answers.
    pub async fn call(&mut self, at_once: usize) -> io::Result<()> {
        self.stream.write_all(&self.call.repeat(at_once)).await?;
        let answers = &mut self.buffer[..at_once * self.reply];
        self.stream.read_exact(answers).await.map(drop)
    }

    /// The length that the frame which was read last announces.
    pub fn announced(&self) -> usize {
        self.buffer[..8].iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
    }

    /// One call more for each answer that has come, so that there are always as many in flight as were
    /// begun with; says how many have come.
    pub async fn go_on(&mut self, left: &mut usize) -> io::Result<usize> {
        let count = self.stream.read(&mut self.buffer).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        *left += count;
        let answered = *left / self.reply;
        *left %= self.reply;
        self.stream.write_all(&self.call.repeat(answered)).await?;
        Ok(answered)
    }

    /// Begins with so many calls in flight.
    pub async fn begin(&mut self, at_once: usize) -> io::Result<()> {
        self.stream.write_all(&self.call.repeat(at_once)).await
    }
}
