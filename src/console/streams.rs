//! The standard streams as they were inherited: another program may have made them non-blocking, and their reader may
//! be slow or gone.
//!
//! Input and answers wait: [`Patient`]. Logs and complaints never wait long: [`Log`]. A node that can't write its log
//! has to run on.

use std::fmt;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl, open};
use rustix::io::Errno;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

/// A stream that is waited for, even if it is non-blocking: "not now" is neither its end nor an error.
#[derive(Clone, Copy, Debug)]
pub struct Patient<F>(pub F);

/// Standard input.
pub fn input() -> Patient<io::Stdin> {
    Patient(io::stdin())
}

/// Standard output. There is no buffer: each text is written at once.
pub fn output() -> Patient<io::Stdout> {
    Patient(io::stdout())
}

impl<F: AsFd> Read for Patient<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        retry(&self.0, PollFlags::IN, || rustix::io::read(&self.0, &mut *buffer))
    }
}

impl<F: AsFd> Write for Patient<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        retry(&self.0, PollFlags::OUT, || rustix::io::write(&self.0, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn retry(stream: impl AsFd, ready: PollFlags, mut act: impl FnMut() -> rustix::io::Result<usize>) -> io::Result<usize> {
    loop {
        match act() {
            Err(Errno::AGAIN) => is_ready(&stream, ready, None)?,
            Err(Errno::INTR) => continue,
            done => return Ok(done?),
        };
    }
}

/// Waits until the stream is ready or has an error, at most for `limit`.
fn is_ready(stream: impl AsFd, ready: PollFlags, limit: Option<Duration>) -> io::Result<bool> {
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    match poll(&mut [PollFd::new(&stream, ready)], limit.as_ref()) {
        Ok(streams) => Ok(streams > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Standard error. A line that can't be written is lost and counted; the next line that can be written is preceded by
/// the count.
#[derive(Clone, Copy, Debug)]
pub struct Log;

static LOG: Mutex<Lines> = Mutex::new(Lines { lost: 0, torn: false });

impl Write for Log {
    /// Takes a line. Never fails: the caller could only log the error.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // No panic can leave the counts inconsistent.
        LOG.lock().unwrap_or_else(PoisonError::into_inner).write(io::stderr(), line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Prints a line on standard error, if possible.
pub fn complain(what: impl fmt::Display) {
    // In one piece, so that no line of another program comes in between. It never fails.
    let _ = Log.write(format!("{what}\n").as_bytes());
}

/// Lines for a stream that may not take them.
#[derive(Debug)]
struct Lines {
    /// How many were lost since the last one that was written.
    lost: u64,
    /// Whether the last one was cut off.
    torn: bool,
}

/// How long a full stream is waited for, once: a node that waited until its log is read would be dead for its ring, but
/// a reader that was just not scheduled should miss nothing.
const PATIENCE: Duration = Duration::from_millis(100);

/// A pipe that reports room takes this many bytes without blocking (POSIX: PIPE_BUF, here that of Linux).
const PIECE: usize = 4096;

impl Lines {
    fn write(&mut self, stream: impl AsFd, line: &[u8]) {
        let mut bytes = Vec::new();
        if self.torn {
            bytes.push(b'\n');
        }
        if self.lost > 0 {
            bytes.extend_from_slice(
                format!("chord: {} lines were lost that could not be written\n", self.lost).as_bytes(),
            );
        }
        bytes.extend_from_slice(line);
        let patience = if self.lost == 0 { PATIENCE } else { Duration::ZERO };
        let written = write_within(&stream, &bytes, Instant::now() + patience);
        if written == bytes.len() {
            *self = Lines { lost: 0, torn: false };
        } else {
            self.lost = self.lost.saturating_add(1);
            self.torn |= written > 0;
        }
    }
}

/// How many of these bytes could be written before the deadline.
fn write_within(stream: impl AsFd, bytes: &[u8], deadline: Instant) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        let piece = piece(&bytes[written..]);
        // A blocking stream is only given as much as it has room for.
        let room = is_ready(&stream, PollFlags::OUT, Some(deadline.saturating_duration_since(Instant::now())));
        match room.map(|room| room.then(|| rustix::io::write(&stream, piece))) {
            Ok(Some(Ok(n))) => written += n,
            Ok(Some(Err(Errno::AGAIN | Errno::INTR)) | None) if Instant::now() < deadline => {}
            _ => break,
        }
    }
    written
}

/// What is written at once: whole lines, if they fit into one piece of a pipe, so that no line of another program comes
/// in between.
fn piece(bytes: &[u8]) -> &[u8] {
    let most = &bytes[..bytes.len().min(PIECE)];
    match most.iter().rposition(|byte| *byte == b'\n') {
        Some(end) if most.len() < bytes.len() => &most[..=end],
        _ => most,
    }
}

/// Makes the standard streams that are terminals this process's own. An inherited one is shared with the shell and all
/// programs that it runs, and any of them can make it non-blocking at any time.
pub fn own_terminals() {
    own(io::stdin(), dup2_stdin);
    own(io::stdout(), dup2_stdout);
    own(io::stderr(), dup2_stderr);
}

fn own(stream: impl IsTerminal + AsFd + AsRawFd, put_in_place: impl FnOnce(OwnedFd) -> rustix::io::Result<()>) {
    if !stream.is_terminal() {
        return;
    }
    let path = format!("/proc/self/fd/{}", stream.as_raw_fd());
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    if open(path, flags, Mode::empty()).and_then(put_in_place).is_err() {
        // For example, it belongs to another user. Then at least make it block now, as shells do; an error means that
        // it is gone.
        let _ = fcntl_getfl(&stream).and_then(|flags| fcntl_setfl(&stream, flags - OFlags::NONBLOCK));
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{BufRead, BufReader, PipeReader, PipeWriter, pipe};
    use std::thread;

    use super::*;

    fn pipe_that_does_not_block() -> (PipeReader, PipeWriter) {
        let (reader, writer) = pipe().unwrap();
        fcntl_setfl(&reader, OFlags::NONBLOCK).unwrap();
        fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
        (reader, writer)
    }

    fn lines(reader: PipeReader) -> Vec<String> {
        BufReader::new(Patient(reader)).lines().map(Result::unwrap).collect()
    }

    #[test]
    fn input_that_comes_late_is_waited_for() {
        let (reader, mut writer) = pipe_that_does_not_block();
        let reading = thread::spawn(move || lines(reader));
        for line in ["one\n", "two\n"] {
            thread::sleep(Duration::from_millis(20));
            writer.write_all(line.as_bytes()).unwrap();
        }
        drop(writer);
        assert_eq!(reading.join().unwrap(), ["one", "two"]);
    }

    #[test]
    fn output_longer_than_a_pipe_arrives_whole() {
        let (reader, writer) = pipe_that_does_not_block();
        let text = "0123456789\n".repeat(50_000);
        let expected = text.len();
        let writing = thread::spawn(move || Patient(writer).write_all(text.as_bytes()));
        let read: usize = lines(reader).iter().map(|line| line.len() + 1).sum();
        assert_eq!(read, expected);
        writing.join().unwrap().unwrap();
    }

    #[test]
    fn lines_for_which_there_is_no_room_are_lost_and_counted() {
        for blocks in [false, true] {
            let (reader, writer) = pipe_that_does_not_block();
            if blocks {
                fcntl_setfl(&writer, OFlags::empty()).unwrap();
            }
            let mut log = Lines { lost: 0, torn: false };
            let began = Instant::now();
            (0..100_000).for_each(|n| log.write(&writer, format!("line {n}\n").as_bytes()));
            assert!(log.lost > 10_000, "{log:?}");
            assert!(began.elapsed() < Duration::from_secs(10), "it waits once and not for each");
            let lost = log.lost;
            let kept = thread::spawn(move || lines(reader));
            while log.lost > 0 {
                log.write(&writer, b"the last\n");
            }
            drop(writer);
            let kept = kept.join().unwrap();
            assert_eq!(kept.last().unwrap(), "the last");
            let counted = kept.iter().find_map(|line| line.strip_prefix("chord: ")?.split(' ').next()?.parse().ok());
            assert!(counted.is_some_and(|counted: u64| counted >= lost), "{counted:?} of {lost}");
            let whole = |line: &String| line.starts_with("line ") || line.starts_with("chord: ") || line == "the last";
            assert!(kept.iter().filter(|line| !whole(line)).count() <= 1, "at most one was torn");
        }
    }

    #[test]
    fn line_that_fits_into_a_pipe_is_never_written_in_two_pieces() {
        let text = [&[b'x'; 3000][..], b"\n", &[b'y'; 3000], b"\nend\n"].concat();
        assert_eq!((piece(&text), piece(&text[3001..])), (&text[..3001], &text[3001..]));
        assert_eq!(piece(&[b'x'; PIECE + 1]).len(), PIECE, "longer ones have to be");
    }

    #[test]
    fn line_that_nobody_can_read_is_lost_and_counted() {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let full = File::options().write(true).open("/dev/full").unwrap();
        for stream in [writer.as_fd(), full.as_fd()] {
            let mut log = Lines { lost: 0, torn: false };
            log.write(stream, b"one\n");
            log.write(stream, b"two\n");
            assert_eq!(log.lost, 2);
        }
    }
}
