//! Shows the progress of long tasks.

use std::io::{IsTerminal, stderr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on standard error that appears when a task has taken longer than two seconds, on a terminal only.
pub struct Progress {
    bar: ProgressBar,
    begin: Instant,
    /// Time of the last count.
    looked: Mutex<Option<Instant>>,
}

const APPEARS_AFTER: Duration = Duration::from_secs(2);
const LOOKS_EVERY: Duration = Duration::from_millis(500);

impl Progress {
    /// A bar for `total` steps, called `what`.
    pub fn of(total: u64, what: &str) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        let template = format!("{{bar:40}} {{pos}} of {{len}} {what}, {{per_sec}}, {{eta}} left");
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Progress { bar: bar.with_style(style), begin: Instant::now(), looked: Mutex::new(None) }
    }

    /// This many more steps are done.
    pub fn add(&self, done: u64) {
        self.appear();
        self.bar.inc(done);
    }

    /// Sets the number of steps done by counting them now and then, and only on a terminal.
    pub fn look(&self, count: impl FnOnce() -> u64) {
        // If another thread is counting, its count will do.
        let Ok(mut looked) = self.looked.try_lock() else { return };
        if looked.is_some_and(|at| at.elapsed() < LOOKS_EVERY) || !stderr().is_terminal() {
            return;
        }
        self.bar.set_position(count());
        match looked.replace(Instant::now()) {
            Some(_) => self.appear(),
            // Steps done before the first count say nothing about the time left.
            None => self.bar.reset_eta(),
        }
    }

    /// This many of so many steps are done.
    pub fn at(&self, done: usize, total: usize) {
        self.appear();
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
    }

    fn appear(&self) {
        if self.bar.is_hidden() && self.begin.elapsed() > APPEARS_AFTER && stderr().is_terminal() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// All steps are done: removes the bar.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}
