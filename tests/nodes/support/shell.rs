//! A shell at a terminal, and a person who types there.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A directory of this run; it may not exist yet.
pub fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("chord-cli-{}-{name}", std::process::id()))
}

/// A shell with job control at a terminal, and the text that is typed there.
pub struct Shell {
    child: Child,
    input: ChildStdin,
    output: Receiver<Vec<u8>>,
    pub shown: String,
    /// The text up to here has been searched.
    seen: usize,
}

impl Shell {
    /// The history of its consoles is kept in the scratch directory of this name.
    pub fn start(name: &str) -> Shell {
        // script(1) gives it a terminal; a narrow one would break lines.
        let bash = "stty cols 1000; exec env PS1='shell$ ' bash --norc --noprofile -i";
        let mut child = Command::new("script")
            .args(["-qec", bash, "/dev/null"])
            .env("TERM", "xterm")
            .env("XDG_STATE_HOME", scratch(name))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script(1) is installed");
        let input = child.stdin.take().unwrap();
        let mut from = child.stdout.take().unwrap();
        let (pieces, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = from.read(&mut buffer) {
                if pieces.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        let mut shell = Shell { child, input, output, shown: String::new(), seen: 0 };
        shell.until("shell$ ");
        shell
    }

    pub fn enter(&mut self, text: &str) {
        self.input.write_all(text.as_bytes()).unwrap();
    }

    /// Reads on until the text appears anywhere: two programs write in any order.
    pub fn shows(&mut self, what: &str) {
        while !self.shown.contains(what) {
            self.read(what);
        }
    }

    fn read(&mut self, what: &str) {
        match self.output.recv_timeout(20 * SECOND) {
            Ok(piece) => self.shown.push_str(&String::from_utf8_lossy(&piece)),
            Err(error) => panic!("{what:?} expected, {error}: {:?}", self.shown),
        }
        // The shell brackets pasted text with these sequences, also in front of the output of other programs.
        let news = self.shown.split_off(self.seen).replace("\x1b[?2004h", "").replace("\x1b[?2004l\r", "");
        self.shown.push_str(&news);
    }

    /// Reads on until the text appears after the part that was searched before; returns the text in front of it.
    pub fn until(&mut self, what: &str) -> String {
        loop {
            if let Some(at) = self.shown[self.seen..].find(what) {
                let before = self.shown[self.seen..self.seen + at].to_string();
                self.seen += at + what.len();
                return before;
            }
            self.read(what);
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Its jobs end with their terminal. An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
