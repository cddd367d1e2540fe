//! `chord serve` as a process.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use chord::Addr;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::process::CHORD;

const LIMIT: Duration = Duration::from_secs(30);

/// A service that is killed at the end of its test, if it still runs.
pub struct Service {
    child: Child,
    errors: Receiver<String>,
    said: String,
}

impl Service {
    pub fn start(addr: Addr, more: &[&str]) -> Service {
        Service::start_with(addr, more, &[])
    }

    pub fn start_with(addr: Addr, more: &[&str], environment: &[(&str, &str)]) -> Service {
        let mut command = Command::new(CHORD);
        command.args(["serve", "--listen", &addr.to_string(), "--profile", "test"]).args(more);
        command.envs(environment.iter().copied());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (lines, errors) = channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
        Service { child, errors, said: String::new() }
    }

    /// Reads its standard error up to a line with this text.
    pub fn says(&mut self, what: &str) {
        while !self.said.contains(what) {
            let line =
                self.errors.recv_timeout(LIMIT).unwrap_or_else(|why| panic!("{what:?} expected, {why}: {}", self.said));
            self.said += &(line + "\n");
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its exit status, and its standard error.
    pub fn end(&mut self) -> (Option<i32>, &str) {
        self.errors.iter().for_each(|line| self.said += &(line + "\n"));
        (self.child.wait().unwrap().code(), &self.said)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.child.kill();
        let (status, said) = self.end();
        if thread::panicking() {
            eprintln!("--- a service said, and ended with {status:?}:\n{said}");
        }
    }
}
