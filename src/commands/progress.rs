//! How far something is that takes its time.

use std::io::{IsTerminal, stderr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on standard error that appears when something has taken longer than two seconds, on a terminal
/// only.
pub struct Progress {
    bar: ProgressBar,
    begin: Instant,
    /// When it was counted last what is done.
    looked: Mutex<Option<Instant>>,
}

const APPEARS_AFTER: Duration = Duration::from_secs(2);
const LOOKS_EVERY: Duration = Duration::from_millis(500);

impl Progress {
    /// So many of these are to be done.
    pub fn of(total: u64, what: &str) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        let template = format!("{{bar:40}} {{pos}} of {{len}} {what}, {{per_sec}}, {{eta}} left");
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Progress { bar: bar.with_style(style), begin: Instant::now(), looked: Mutex::new(None) }
    }

    /// So many more were done.
    pub fn add(&self, done: u64) {
        self.appear();
        self.bar.inc(done);
    }

    /// As many are done as are counted now and then, if somebody sees it.
    pub fn look(&self, count: impl FnOnce() -> u64) {
        // Another thread that looks counts the same.
        let Ok(mut looked) = self.looked.try_lock() else { return };
        if looked.is_some_and(|at| at.elapsed() < LOOKS_EVERY) || !stderr().is_terminal() {
            return;
        }
        self.bar.set_position(count());
        match looked.replace(Instant::now()) {
            Some(_) => self.appear(),
            // What was done before says nothing of the time that is left.
            None => self.bar.reset_eta(),
        }
    }

    fn appear(&self) {
        if self.bar.is_hidden() && self.begin.elapsed() > APPEARS_AFTER && stderr().is_terminal() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// All is done: the bar goes away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}
