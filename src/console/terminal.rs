//! The terminal that a process shares with its shell. Only the job in the foreground may read from it and set its
//! modes: the kernel stops a process in the background that tries (SIGTTIN, SIGTTOU), and a node that stands still is
//! dead for its ring.

use std::fs::read_to_string;
use std::io::stdin;
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::SigSet;
use nix::sys::signal::Signal::{SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2};
use rustix::process::{Signal, getpgrp, kill_current_process_group};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

/// Keeps signals from stopping or ending this process that ask nothing of it; for this thread and those that it
/// starts, so it comes first. Where SIGTTIN and SIGTTOU are blocked, a read in the background is an error, and a write
/// passes, also where the terminal has `tostop`. SIGUSR1 and SIGUSR2 mean nothing here, and would end it.
pub fn block_signals() {
    let signals: SigSet = [SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2].into_iter().collect();
    // An error is only possible for sets that no system has.
    let _ = signals.thread_block();
}

/// Whether this process was started so that it ignores SIGHUP, as nohup has it. Taken for false where the system does not
/// tell.
pub fn ignores_hangup() -> bool {
    let status = read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    // Signal n is bit n - 1.
    ignored & 1 << (Signal::HUP.as_raw() - 1) != 0
}

/// Whether this process may use the terminal on standard input. One that has it, but not as its controlling terminal,
/// has no shell to share it with.
pub fn in_foreground() -> bool {
    tcgetpgrp(stdin()).map_or(true, |foreground| foreground == getpgrp())
}

/// How long it takes to be noticed that a job was brought to the foreground. Shells send no signal then to one that
/// runs.
const LOOKS_EVERY: Duration = Duration::from_millis(100);

/// Waits until this process may use the terminal.
pub fn await_foreground() {
    while !in_foreground() {
        sleep(LOOKS_EVERY);
    }
}

/// Stops this job, as Ctrl-Z does, until the shell has it go on.
pub fn suspend() {
    // An error is not possible: a process may signal itself.
    let _ = kill_current_process_group(Signal::TSTP);
    // The signal goes to any of the threads, and the others stop when that one has.
    sleep(LOOKS_EVERY);
}

/// How the terminal was before the line that is being edited.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Line editing changes the terminal while it waits for a line. It remembers here how it was, since the process may be
/// ended just then.
pub struct Edited;

impl Edited {
    /// The terminal is changed from now on, until this is dropped.
    pub fn begin() -> Edited {
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = tcgetattr(stdin()).ok();
        Edited
    }
}

impl Drop for Edited {
    fn drop(&mut self) {
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Puts the terminal back as it was, when it is dropped, if a line is being edited just then.
pub struct KeepTerminal;

impl Drop for KeepTerminal {
    fn drop(&mut self) {
        let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(before) = before.filter(|_| in_foreground()) {
            // An error means that the terminal is gone.
            let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
        }
    }
}
