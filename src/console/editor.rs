//! Lines typed at a terminal: a prompt, editing, Tab, and the lines of earlier sessions.

use std::collections::VecDeque;
use std::io;
use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{
    Cmd, CompletionType, ConditionalEventHandler, Context, Event, EventContext, EventHandler, ExternalPrinter, Helper,
    KeyEvent, RepeatCount,
};

use super::history::History;
use super::terminal::{Edited, await_foreground, in_foreground, suspend, taken_away, watch_stops};

/// Reads lines from the terminal on standard input, while this process is in its foreground.
pub struct Editor {
    editor: rustyline::Editor<Commands, MemHistory>,
    history: Option<History>,
    suspended: Suspended,
    /// What was read and not returned yet: a text that is pasted may have many lines.
    lines: VecDeque<String>,
}

/// The result of waiting for a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    Line(String),
    /// A line that is not text, and why.
    Unreadable(String),
    /// Ctrl-C was pressed.
    Interrupted,
    /// There will be no more lines.
    End,
}

impl Editor {
    /// Completes the first word of a line to one of these commands, and keeps lines in the history of this name.
    pub fn new(commands: &'static [&'static str], history: &str) -> io::Result<Editor> {
        let history = History::find(history);
        let mut editor = Editor::with(commands)?;
        for line in history.iter().flat_map(History::lines) {
            editor.editor.add_history_entry(line).map_err(io::Error::other)?;
        }
        Ok(Editor { history, ..editor })
    }

    /// An editor for answers to questions, which are not kept.
    pub fn without_history() -> io::Result<Editor> {
        Editor::with(&[])
    }

    fn with(commands: &'static [&'static str]) -> io::Result<Editor> {
        let config = rustyline::Config::builder().completion_type(CompletionType::List).build();
        let mut editor = rustyline::Editor::with_history(config, MemHistory::new()).map_err(io::Error::other)?;
        editor.set_helper(Some(Commands(commands)));
        let suspended = Suspended::default();
        let handler = EventHandler::Conditional(Box::new(suspended.clone()));
        editor.bind_sequence(Event::from(KeyEvent::ctrl('Z')), handler);
        watch_stops()?;
        Ok(Editor { editor, history: None, suspended, lines: VecDeque::new() })
    }

    /// A printer for texts above the prompt; `None` if the prompt is not on a terminal.
    pub fn printer(&mut self) -> Option<Box<dyn ExternalPrinter + Send>> {
        self.editor.create_external_printer().ok().map(|printer| Box::new(printer) as _)
    }

    /// Reads the next line. An error means that the terminal is gone.
    pub fn read(&mut self) -> io::Result<Input> {
        if self.lines.is_empty() {
            match self.ask("> ")? {
                Input::Line(text) => self.lines.extend(text.split('\n').map(Into::into)),
                other => return Ok(other),
            }
        }
        // There is one: a text without a newline is a line.
        let line = self.lines.pop_front().unwrap_or_default();
        self.keep(&line);
        Ok(Input::Line(line))
    }

    /// Reads the answer to a question, which is shown before it.
    pub fn ask(&mut self, question: &str) -> io::Result<Input> {
        let mut begun = Begun::default();
        loop {
            await_foreground();
            let before = taken_away();
            let line = {
                let _edited = Edited::begin();
                self.editor.readline_with_initial(question, (&begun.0, &begun.1))
            };
            match line {
                Ok(line) => return Ok(Input::Line(line)),
                Err(ReadlineError::Interrupted) => match self.suspended.take() {
                    Some(line) => {
                        begun = line;
                        suspend();
                    }
                    None => return Ok(Input::Interrupted),
                },
                // Something other than Ctrl-Z stopped the process, and it has continued in the background.
                Err(_) if !in_foreground() || taken_away() != before => begun = Begun::default(),
                Err(ReadlineError::Signal(_)) => {}
                Err(ReadlineError::Eof) => return Ok(Input::End),
                Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    return Ok(Input::Unreadable(error.to_string()));
                }
                Err(ReadlineError::Io(error)) => return Err(error),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }

    /// Keeps a line, so that it can be recalled.
    fn keep(&mut self, line: &str) {
        // An error is not possible: the line is kept in memory.
        let new = self.editor.add_history_entry(line).unwrap_or(false);
        if let Some(history) = self.history.as_mut().filter(|_| new) {
            history.add(line);
        }
    }
}

/// The text before and after the cursor.
type Begun = (String, String);

/// Ctrl-Z ends the editing of a line, so that the terminal is left alone while the job is stopped or runs in the
/// background; the line is kept until the job is back in the foreground.
#[derive(Clone, Default)]
struct Suspended(Arc<Mutex<Option<Begun>>>);

impl Suspended {
    fn take(&self) -> Option<Begun> {
        take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ConditionalEventHandler for Suspended {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext) -> Option<Cmd> {
        let (before, behind) = context.line().split_at(context.pos());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((before.into(), behind.into()));
        Some(Cmd::Interrupt)
    }
}

/// The commands that Tab completes.
struct Commands(&'static [&'static str]);

impl Helper for Commands {}

impl Highlighter for Commands {}

impl Validator for Commands {}

impl Hinter for Commands {
    type Hint = String;

    /// There are no hints; but this is called whenever the line is drawn.
    fn hint(&self, _: &str, _: usize, _: &Context<'_>) -> Option<String> {
        Edited::changed();
        None
    }
}

impl Completer for Commands {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(complete(self.0, &line[..at]))
    }
}

/// The commands that begin like this, in any case, and the place in the line where they begin; a command that takes an
/// argument ends with a space.
fn complete(commands: &[&str], line: &str) -> (usize, Vec<String>) {
    let begin = line.len() - line.trim_start().len();
    let word = &line[begin..];
    let fits = |command: &&&str| {
        command.get(..word.len()).is_some_and(|part| part.eq_ignore_ascii_case(word)) && !word.contains(' ')
    };
    (begin, commands.iter().filter(fits).map(|command| (*command).into()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_word_is_completed_in_any_case() {
        let commands = ["Lookup ", "PrintState", "Help"];
        let complete = |line| complete(&commands, line);
        assert_eq!(complete("l"), (0, vec!["Lookup ".into()]));
        assert_eq!(complete("  PRINT"), (2, vec!["PrintState".into()]));
        assert_eq!(complete("").1.len(), 3);
        assert_eq!(complete("Lookup l").1, [""; 0]);
        assert_eq!(complete("\u{e9}").1, [""; 0]);
    }
}
