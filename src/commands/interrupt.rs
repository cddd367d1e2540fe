//! Ctrl-C during a long sequence of runs: the finished ones are kept.

use std::io::Result;
use std::ops::ControlFlow;
use std::process::{ExitCode, exit};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use chord::console::streams::complain;
use chord::node::worker::runtime;
use tokio::signal::unix::{SignalKind, signal};

/// The exit status of an interrupted program, as in shells: 128 plus the number of SIGINT.
pub const INTERRUPTED: u8 = 130;

/// Whether Ctrl-C was pressed.
#[derive(Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Waits for Ctrl-C from now on. A second Ctrl-C exits immediately.
    pub fn watch() -> Interrupt {
        let pressed = Interrupt(Arc::default());
        if let Err(error) = pressed.clone().listen() {
            complain(format_args!("chord: can't wait for SIGINT: {error}; Ctrl-C ends the program at once"));
        }
        pressed
    }

    fn listen(self) -> Result<()> {
        let runtime = runtime()?;
        let mut interrupt = {
            let _context = runtime.enter();
            signal(SignalKind::interrupt())?
        };
        thread::Builder::new().spawn(move || {
            runtime.block_on(async {
                interrupt.recv().await;
                self.0.store(true, Ordering::Relaxed);
                interrupt.recv().await;
                exit(INTERRUPTED.into());
            });
        })?;
        Ok(())
    }

    /// Whether to continue.
    pub fn go_on(&self) -> ControlFlow<()> {
        if self.0.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Reports how many histories of a sweep are missing. Returns the exit status if any are.
pub fn missing(finished: u64, wanted: u64) -> Option<ExitCode> {
    let missing = wanted.checked_sub(finished).filter(|missing| *missing > 0)?;
    complain(format_args!("chord: interrupted; {missing} of {wanted} histories are missing"));
    Some(ExitCode::from(INTERRUPTED))
}
