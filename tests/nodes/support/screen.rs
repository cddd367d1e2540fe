//! A program that draws on a terminal, and a person who looks at it and presses keys.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

const LIMIT: Duration = Duration::from_secs(30);

/// How long a look at the screen waits for what comes.
const LOOK: Duration = Duration::from_millis(100);

/// The program, ended when this is dropped, and its screen.
pub struct Screen {
    child: Child,
    /// The end of the terminal that a person has.
    person: File,
    /// The end that the program has.
    terminal: File,
    output: Receiver<Vec<u8>>,
    /// All that was written.
    pub written: Vec<u8>,
    /// The part of it that is on the screen.
    drawn: usize,
    cells: Vec<Vec<char>>,
    at: (usize, usize),
}

impl Screen {
    pub fn start(command: &mut Command, columns: u16, rows: u16) -> Screen {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&person, size).unwrap();
        let path = ptsname(&person, Vec::new()).unwrap().into_string().unwrap();
        let terminal = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let end = || terminal.try_clone().unwrap();
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let person = File::from(person);
        let mut from = person.try_clone().unwrap();
        let (pieces, output) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = from.read(&mut buffer)
                && pieces.send(buffer[..n].to_vec()).is_ok()
            {}
        });
        let cells = vec![vec![' '; columns.into()]; rows.into()];
        Screen { child, person, terminal, output, written: Vec::new(), drawn: 0, cells, at: (0, 0) }
    }

    pub fn press(&mut self, keys: &str) {
        self.person.write_all(keys.as_bytes()).unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Looks at the screen until it shows all of these texts at once.
    pub fn shows(&mut self, texts: &[&str]) {
        let end = Instant::now() + LIMIT;
        loop {
            let text = self.text();
            if texts.iter().all(|expected| text.contains(expected)) {
                return;
            }
            assert!(Instant::now() < end, "{texts:?} expected:\n{text}");
            self.read();
        }
    }

    fn read(&mut self) {
        if let Ok(piece) = self.output.recv_timeout(LOOK) {
            self.written.extend(piece);
            self.draw();
        }
    }

    pub fn text(&self) -> String {
        self.cells.iter().map(|row| row.iter().collect::<String>() + "\n").collect()
    }

    /// Draws what was written, as far as whole characters and sequences have come.
    fn draw(&mut self) {
        let written = self.written[self.drawn..].to_vec();
        let text = match std::str::from_utf8(&written) {
            Ok(text) => text,
            Err(cut) => std::str::from_utf8(&written[..cut.valid_up_to()]).unwrap(),
        };
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            if next != '\x1b' {
                if let Some(cell) = self.cells.get_mut(self.at.0).and_then(|row| row.get_mut(self.at.1)) {
                    *cell = next;
                }
                self.at.1 += 1;
                rest = &rest[next.len_utf8()..];
                continue;
            }
            // ESC [ parameters and a letter.
            let Some(end) = rest[1..].find(|c: char| c.is_ascii_alphabetic()) else { break };
            let (sequence, after) = rest[1..].split_at(end + 1);
            match sequence.split_at(end) {
                (numbers, "H") => {
                    let numbers: Vec<usize> = numbers[1..].split(';').map(|number| number.parse().unwrap()).collect();
                    self.at = (numbers[0] - 1, numbers[1] - 1);
                }
                (_, "J") => self.cells.iter_mut().for_each(|row| row.fill(' ')),
                (_, "m" | "h" | "l") => {}
                other => panic!("the sequence {other:?} is not known here"),
            }
            rest = after;
        }
        self.drawn += text.len() - rest.len();
    }

    /// Waits until the program has ended: its exit status. The terminal is what it was before.
    pub fn end(mut self) -> (Option<i32>, String) {
        let end = Instant::now() + LIMIT;
        let status = loop {
            self.read();
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < end, "it does not end:\n{}", self.text());
        };
        while let Ok(piece) = self.output.recv_timeout(LOOK) {
            self.written.extend(piece);
        }
        let modes = tcgetattr(&self.terminal).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG), "{modes:?}");
        (status.code(), String::from_utf8_lossy(&self.written).into_owned())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Errors mean that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
