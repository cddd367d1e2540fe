//! The terminal that a process shares with its shell. Only the job in the foreground may read from it and set its
//! modes: the kernel stops a background process that tries (SIGTTIN, SIGTTOU), and a stopped node is dead for its ring.

use std::fs::{File, read_to_string};
use std::io::{self, stdin};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, sleep};
use std::time::Duration;

use nix::sys::signal::SigSet;
use nix::sys::signal::Signal::{SIGCONT, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2};
use rustix::process::{Signal, getpgrp, getpid, kill_current_process_group, kill_process};
use rustix::stdio::dup2_stdin;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

/// Blocks signals that would stop or end this process without need, in this thread and in those that it starts; so it
/// has to be called first. While SIGTTIN and SIGTTOU are blocked, a read in the background is an error, and a write
/// succeeds, even if the terminal has `tostop`. SIGUSR1 and SIGUSR2 have no meaning here, and would end the process.
/// SIGCONT has its effect all the same, and [`watch_stops`] waits for it.
pub fn block_signals() {
    let signals: SigSet = [SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGCONT].into_iter().collect();
    // An error is possible only for invalid sets.
    let _ = signals.thread_block();
}

/// Whether this process was started with SIGHUP ignored, as by nohup. False if the system does not tell.
pub fn ignores_hangup() -> bool {
    let status = read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    // Signal n is bit n - 1.
    ignored & 1 << (Signal::HUP.as_raw() - 1) != 0
}

/// Whether this process may use the terminal on standard input. If that is not its controlling terminal, there is no
/// shell to share it with.
pub fn in_foreground() -> bool {
    taken_away().is_multiple_of(2) && is_foreground_of(stdin())
}

fn is_foreground_of(terminal: impl AsFd) -> bool {
    tcgetpgrp(terminal).map_or(true, |foreground| foreground == getpgrp())
}

/// How long it takes to notice that a job was brought to the foreground: shells send no signal to a job that is
/// running.
const LOOKS_EVERY: Duration = Duration::from_millis(100);

/// Waits until this process may use the terminal.
pub fn await_foreground() {
    while !in_foreground() {
        sleep(LOOKS_EVERY);
    }
}

/// Stops this job, as Ctrl-Z does, until the shell continues it.
pub fn suspend() {
    // An error is not possible: a process may signal itself.
    let _ = kill_current_process_group(Signal::TSTP);
    // The signal goes to any one of the threads, and the others stop after that one.
    sleep(LOOKS_EVERY);
}

/// The modes of a terminal on which a line is being edited.
struct Modes {
    /// Before editing; to be restored.
    before: Termios,
    /// During editing.
    editing: Option<Termios>,
}

static EDITED: Mutex<Option<Modes>> = Mutex::new(None);

fn edited() -> MutexGuard<'static, Option<Modes>> {
    EDITED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Line editing changes the terminal while it waits for a line. The earlier modes are kept here, since the process may
/// be ended or stopped meanwhile.
pub struct Edited;

impl Edited {
    /// The terminal is changed from now on, until this is dropped.
    pub fn begin() -> Edited {
        *edited() = tcgetattr(stdin()).ok().map(|before| Modes { before, editing: None });
        Edited
    }

    /// Notes the modes of editing, if not done yet.
    pub fn changed() {
        if let Some(modes) = edited().as_mut().filter(|modes| modes.editing.is_none() && in_foreground()) {
            modes.editing = tcgetattr(stdin()).ok();
        }
    }
}

impl Drop for Edited {
    fn drop(&mut self) {
        *edited() = None;
    }
}

/// When dropped, restores the terminal if a line is being edited.
pub struct KeepTerminal;

impl Drop for KeepTerminal {
    fn drop(&mut self) {
        let modes = edited().take();
        if let Some(Modes { before, .. }) = modes.filter(|_| in_foreground()) {
            // An error means that the terminal is gone.
            let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
        }
    }
}

/// How often standard input was taken from the line editor or given back: odd while it is taken.
static TAKEN_AWAY: AtomicUsize = AtomicUsize::new(0);

/// If this number has changed, a line was edited without a terminal meanwhile.
pub fn taken_away() -> usize {
    TAKEN_AWAY.load(Ordering::SeqCst)
}

/// Waits for SIGCONT from now on. A process that was stopped at its prompt by something other than Ctrl-Z is still at
/// its prompt when it continues: in the background it would set the modes of a terminal that belongs to the shell; in
/// the foreground it finds the modes of the shell.
pub fn watch_stops() -> io::Result<()> {
    let continued: SigSet = [SIGCONT].into_iter().collect();
    thread::Builder::new().name("terminal".into()).spawn(move || {
        while continued.wait().is_ok() {
            if edited().is_some() {
                // An error means that the terminal is gone.
                let _ = return_to_prompt();
            }
        }
    })?;
    Ok(())
}

/// Keeps the terminal from the line editor until this process is in the foreground, and then makes it redraw its line.
fn return_to_prompt() -> io::Result<()> {
    if !in_foreground() {
        let terminal = stdin().as_fd().try_clone_to_owned()?;
        TAKEN_AWAY.fetch_add(1, Ordering::SeqCst);
        let taken = File::open("/dev/null").and_then(|nothing| Ok(dup2_stdin(nothing)?));
        while !is_foreground_of(&terminal) {
            sleep(LOOKS_EVERY);
        }
        let given_back = taken.and_then(|()| Ok(dup2_stdin(&terminal)?));
        TAKEN_AWAY.fetch_add(1, Ordering::SeqCst);
        given_back?;
    }
    if let Some(editing) = edited().as_ref().and_then(|modes| modes.editing.as_ref()) {
        tcsetattr(stdin(), OptionalActions::Now, editing)?;
        // Line editing redraws its line when the size of the window changes.
        kill_process(getpid(), Signal::WINCH)?;
    }
    Ok(())
}
