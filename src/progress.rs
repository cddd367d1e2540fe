//! How far something is that takes its time.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on standard error that appears when something has taken longer than two seconds, on a terminal
/// only.
pub struct Progress {
    bar: ProgressBar,
    begin: Instant,
}

const APPEARS_AFTER: Duration = Duration::from_secs(2);

impl Progress {
    /// So many of these are to be done.
    pub fn of(total: u64, what: &str) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        let template = format!("{{bar:40}} {{pos}} of {{len}} {what}, {{per_sec}}, {{eta}} left");
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Progress { bar: bar.with_style(style), begin: Instant::now() }
    }

    /// So many more were done.
    pub fn add(&self, done: u64) {
        if self.bar.is_hidden() && self.begin.elapsed() > APPEARS_AFTER && stderr().is_terminal() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.inc(done);
    }

    /// All is done: the bar goes away.
    pub fn end(self) {
        self.bar.finish_and_clear();
    }
}
