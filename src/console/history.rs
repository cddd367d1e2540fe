//! Lines that were typed at consoles, kept in a file for the next session.
//!
//! Several processes may share the file: each line is added in one piece. No failure is reported: the console also
//! works without history.

use std::env::var_os;
use std::fs::{DirBuilder, File, OpenOptions, metadata, rename};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;

/// At most this many lines are kept: the last ones.
pub const MOST_LINES: usize = 1000;

/// The longest line that is kept, in bytes: people type no longer ones.
const LONGEST: usize = 1000;

/// A file of lines.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    lines: Vec<String>,
    /// How many lines the file has, as far as this process knows.
    count: usize,
}

impl History {
    /// The history of this name, in the directory for the state of programs: `$XDG_STATE_HOME/chord`, or
    /// `$HOME/.local/state/chord`. `None` if there is neither.
    pub fn find(name: &str) -> Option<History> {
        let directory = |variable| var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = directory("XDG_STATE_HOME").or_else(|| Some(directory("HOME")?.join(".local/state")))?;
        Some(History::at(state.join("chord").join(name)))
    }

    fn at(path: PathBuf) -> History {
        let lines = read(&path).unwrap_or_default();
        let mut history = History { path, count: lines.len(), lines };
        history.shorten();
        history
    }

    /// The lines of earlier sessions, the oldest first.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Adds a line to the file.
    pub fn add(&mut self, line: &str) {
        if is_kept(line) && append(&self.path, line).is_ok() {
            self.count += 1;
            self.shorten();
        }
    }

    /// Drops the oldest lines if there are too many.
    fn shorten(&mut self) {
        if self.count <= MOST_LINES {
            return;
        }
        let Ok(mut lines) = read(&self.path) else { return };
        lines.drain(..lines.len().saturating_sub(MOST_LINES));
        // An error leaves the file as it was: the next line tries again.
        if replace(&self.path, &lines).is_ok() {
            self.count = lines.len();
        }
        self.lines.drain(..self.lines.len().saturating_sub(MOST_LINES));
    }
}

/// At most this much is read of any file: twice what the history may hold.
const MOST_BYTES: u64 = 2 * (MOST_LINES * (LONGEST + 1)) as u64;

fn is_kept(line: &str) -> bool {
    !line.trim().is_empty() && line.len() <= LONGEST && !line.contains(char::is_control)
}

fn read(path: &Path) -> io::Result<Vec<String>> {
    // Do not read a pipe or a device, which may never end.
    if !metadata(path)?.is_file() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().filter(|line| is_kept(line)).map(String::from).collect())
}

/// Other users should not read which keys were looked up.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    options
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    if metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    private().append(true).open(path)?.write_all(format!("{line}\n").as_bytes())
}

fn replace(path: &Path, lines: &[String]) -> io::Result<()> {
    let beside = path.with_extension(format!("{}.new", process::id()));
    let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
    private().write(true).truncate(true).open(&beside)?.write_all(text.as_bytes())?;
    rename(beside, path)
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, read_to_string, remove_dir_all, write};

    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("chord-history-{name}-{}", process::id()));
        // An error means that it does not exist.
        let _ = remove_dir_all(&path);
        path
    }

    #[test]
    fn lines_are_there_in_the_next_session() {
        let directory = directory("next");
        let path = directory.join("chord/console");
        let mut history = History::at(path.clone());
        assert_eq!(history.lines(), [""; 0]);
        let long = "x".repeat(LONGEST + 1);
        ["Lookup Hello", "PrintState", "", "\u{1b}[2J", &long].iter().for_each(|line| history.add(line));
        assert_eq!(History::at(path).lines(), ["Lookup Hello", "PrintState"]);
        remove_dir_all(directory).unwrap();
    }

    #[test]
    fn no_more_than_the_last_thousand_lines_are_kept() {
        let directory = directory("most");
        create_dir_all(&directory).unwrap();
        let path = directory.join("console");
        write(&path, (0..5000).map(|n| format!("Lookup {n}\n")).collect::<String>()).unwrap();
        let mut history = History::at(path.clone());
        assert_eq!((history.lines().len(), &*history.lines()[0]), (MOST_LINES, "Lookup 4000"));
        (0..10).for_each(|n| history.add(&format!("Help {n}")));
        let text = read_to_string(&path).unwrap();
        assert_eq!((text.lines().count(), text.lines().last()), (MOST_LINES, Some("Help 9")));
        remove_dir_all(directory).unwrap();
    }

    #[test]
    fn file_that_can_not_be_had_is_no_error() {
        let directory = directory("cant");
        create_dir_all(directory.join("console")).unwrap();
        for path in [directory.join("console"), "/dev/full".into(), "/dev/null/chord/console".into()] {
            let mut history = History::at(path);
            history.add("Lookup Hello");
            assert_eq!(history.lines(), [""; 0]);
        }
        remove_dir_all(directory).unwrap();
    }
}
