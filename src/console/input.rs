//! Reads standard input on its own thread: a read that has begun can't be cancelled.

use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustyline::ExternalPrinter;
use tokio::sync::{mpsc, oneshot};

use super::command::{BadLine, Command, Language, MAX_LINE};
use super::editor::{Editor, Input};
use super::render_error;
use super::streams::{complain, input, output};
use super::terminal::{await_foreground, in_foreground};

/// A command, and the sender for its answer.
pub type Asked = (Command, oneshot::Sender<Vec<u8>>);

/// Prints texts beside the console: on a terminal above its prompt, not into the line that is being typed.
#[derive(Clone, Default)]
pub struct Printer(Arc<Mutex<Option<Box<dyn ExternalPrinter + Send>>>>);

impl Printer {
    /// Prints a text of whole lines.
    pub fn print(&self, text: &str) {
        let mut above = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let printed = above.as_mut().is_some_and(|above| above.print(text.into()).is_ok());
        if !printed {
            // An error means that standard output has no reader.
            let _ = print(text.as_bytes());
        }
    }

    /// From now on there is a prompt.
    fn begin(&self, above: Option<Box<dyn ExternalPrinter + Send>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = above;
    }
}

/// Starts the thread. Commands come one at a time: the next line is read after the answer to the last one was printed.
/// If both input and output are a terminal, there are a prompt, line editing and history. A terminal is read only while
/// this process is in its foreground.
///
/// An answer without a reader is lost, but reading goes on: `Quit` has no answer.
pub fn start(printer: &Printer, language: Language) -> io::Result<mpsc::Receiver<Asked>> {
    let (commands, asked) = mpsc::channel(1);
    let printer = printer.clone();
    thread::Builder::new().name("console".into()).spawn(move || {
        // A prompt needs a user who types and sees it.
        let editing = io::stdin().is_terminal() && io::stdout().is_terminal();
        let ended = if editing { talk(&commands, &printer, language) } else { listen(&commands, language) };
        match ended {
            Ok(()) if io::stdin().is_terminal() => complain("The console is closed; the node runs on. Ctrl-C ends it."),
            Ok(()) => {}
            // There is nothing to read, or the node has stopped.
            Err(error) => tracing::info!(%error, "the console is closed"),
        }
    })?;
    Ok(asked)
}

/// Reads lines until the end of standard input.
fn listen(commands: &mpsc::Sender<Asked>, language: Language) -> io::Result<()> {
    let mut input = BufReader::new(input());
    loop {
        await_foreground();
        match read_line(&mut input) {
            Ok(Some(line)) => answer(line, commands, language)?,
            Ok(None) => return Ok(()),
            // It is a terminal that now belongs to the shell.
            Err(_) if !in_foreground() => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads lines from a terminal.
fn talk(commands: &mpsc::Sender<Asked>, printer: &Printer, language: Language) -> io::Result<()> {
    let mut editor = Editor::new(language.commands(), "console")?;
    printer.begin(editor.printer());
    loop {
        match editor.read()? {
            Input::Line(line) if line.len() > MAX_LINE => answer(Err(BadLine::TooLong), commands, language)?,
            Input::Line(line) => answer(Ok(line.into_bytes()), commands, language)?,
            Input::Unreadable(why) => answer(Err(BadLine::Unreadable(why)), commands, language)?,
            Input::Interrupted => answer(Ok(b"Quit".to_vec()), commands, language)?,
            Input::End => return Ok(()),
        }
    }
}

/// Gets the answer to a line and prints it as a whole. An error means that the node has stopped.
fn answer(line: Result<Vec<u8>, BadLine>, commands: &mpsc::Sender<Asked>, language: Language) -> io::Result<()> {
    let text = match line.and_then(|line| language.parse(&line)) {
        Ok(Some(command)) => {
            let (reply, answered) = oneshot::channel();
            let stopped = || io::Error::other("the node has stopped");
            commands.blocking_send((command, reply)).map_err(|_| stopped())?;
            answered.blocking_recv().map_err(|_| stopped())?
        }
        Ok(None) => return Ok(()),
        Err(error) => render_error(&error),
    };
    if let Err(error) = print(&text) {
        tracing::info!(%error, "an answer is lost");
    }
    Ok(())
}

fn print(answer: &[u8]) -> io::Result<()> {
    output().write_all(answer)
}

/// The next line without its newline; `None` at the end of the input. Of a line that is too long no more than a buffer
/// is kept in memory.
pub fn read_line(input: &mut impl BufRead) -> io::Result<Option<Result<Vec<u8>, BadLine>>> {
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
