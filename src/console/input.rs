//! Reads standard input on a thread of its own: a read that has begun can't be cancelled.

use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::thread;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::Editor;
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use tokio::sync::{mpsc, oneshot};

use super::streams::{complain, input, output};
use super::{BadLine, Command, MAX_LINE, parse, render_error};

/// Puts the terminal back as it was: line editing changes it while it waits for a line, and the
/// node may be ended just then.
pub struct KeepTerminal(Option<Termios>);

impl KeepTerminal {
    /// Remembers the terminal on standard input, if there is one.
    pub fn as_it_is() -> KeepTerminal {
        KeepTerminal(tcgetattr(io::stdin()).ok())
    }
}

impl Drop for KeepTerminal {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // An error means that the terminal is gone.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// A command, and where its answer goes.
pub type Asked = (Command, oneshot::Sender<Vec<u8>>);

/// Starts the thread. Commands come one at a time: the next line is read once the answer to the
/// last one was printed. On a terminal there are a prompt, line editing and history.
pub fn start() -> io::Result<mpsc::Receiver<Asked>> {
    let (commands, asked) = mpsc::channel(1);
    thread::Builder::new().name("console".into()).spawn(move || {
        // An error means that nobody reads the answers: the node runs on without a console.
        let ended = if io::stdin().is_terminal() { talk(&commands) } else { listen(&commands) };
        if let Err(error) = ended {
            tracing::info!(%error, "the console is closed");
        }
    })?;
    Ok(asked)
}

/// Reads lines until the end of standard input.
fn listen(commands: &mpsc::Sender<Asked>) -> io::Result<()> {
    let mut input = BufReader::new(input());
    while let Some(line) = read_line(&mut input)? {
        answer(line, commands)?;
    }
    Ok(())
}

/// Reads lines from a terminal.
fn talk(commands: &mpsc::Sender<Asked>) -> io::Result<()> {
    let config = rustyline::Config::builder().auto_add_history(true).build();
    let mut editor: Editor<(), MemHistory> =
        Editor::with_history(config, MemHistory::new()).map_err(io::Error::other)?;
    loop {
        match editor.readline("> ") {
            Ok(line) if line.len() > MAX_LINE => answer(Err(BadLine::TooLong), commands)?,
            Ok(line) => answer(Ok(line.into_bytes()), commands)?,
            Err(ReadlineError::Interrupted) => answer(Ok(b"Quit".to_vec()), commands)?,
            Err(ReadlineError::Eof) => {
                complain("The console is closed; the node runs on. Ctrl-C ends it.");
                return Ok(());
            }
            Err(ReadlineError::Io(error)) => return Err(error),
            Err(error) => answer(Err(BadLine::Unreadable(error.to_string())), commands)?,
        }
    }
}

/// Has a line answered, and prints the answer whole.
fn answer(line: Result<Vec<u8>, BadLine>, commands: &mpsc::Sender<Asked>) -> io::Result<()> {
    let command = match line.and_then(|line| parse(&line)) {
        Ok(Some(command)) => command,
        Ok(None) => return Ok(()),
        Err(error) => return print(&render_error(&error)),
    };
    let (reply, answered) = oneshot::channel();
    let stopped = |_| io::Error::other("the node has stopped");
    commands.blocking_send((command, reply)).map_err(|_| io::Error::other("the node has stopped"))?;
    print(&answered.blocking_recv().map_err(stopped)?)
}

fn print(answer: &[u8]) -> io::Result<()> {
    output().write_all(answer)
}

/// The next line without its end; `None` at the end of the input. Of a line that is too long no
/// more than a buffer is kept.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<Result<Vec<u8>, BadLine>>> {
    let mut line = Vec::new();
    let (mut length, mut ended) = (0usize, false);
    while !ended {
        let buffer = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if buffer.is_empty() {
            if length == 0 {
                return Ok(None);
            }
            break;
        }
        let newline = buffer.iter().position(|byte| *byte == b'\n');
        let piece = &buffer[..newline.unwrap_or(buffer.len())];
        let used = piece.len() + usize::from(newline.is_some());
        length = length.saturating_add(piece.len());
        if length <= MAX_LINE {
            line.extend_from_slice(piece);
        }
        ended = newline.is_some();
        input.consume(used);
    }
    Ok(Some(if length > MAX_LINE { Err(BadLine::TooLong) } else { Ok(line) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8], buffer: usize) -> Vec<Result<Vec<u8>, BadLine>> {
        let mut input = io::BufReader::with_capacity(buffer, input);
        std::iter::from_fn(|| read_line(&mut input).unwrap()).collect()
    }

    #[test]
    fn lines_are_read_whole_across_buffers() {
        let expected = vec![Ok(b"one".to_vec()), Ok(vec![]), Ok(b"two \xff".to_vec())];
        assert_eq!(lines(b"one\n\ntwo \xff\n", 2), expected);
        assert_eq!(lines(b"one\n\ntwo \xff", 100), expected, "the last one may lack its end");
    }

    #[test]
    fn endless_line_is_refused_and_the_next_one_is_read() {
        let mut input = vec![b'x'; MAX_LINE + 1];
        input.extend_from_slice(b"\nnext\n");
        assert_eq!(lines(&input, 4096), vec![Err(BadLine::TooLong), Ok(b"next".to_vec())]);
        let longest = vec![b'x'; MAX_LINE];
        assert_eq!(lines(&longest, 4096), vec![Ok(longest.clone())]);
    }

    #[test]
    fn empty_input_has_no_line() {
        assert_eq!(lines(b"", 10), vec![]);
    }
}
