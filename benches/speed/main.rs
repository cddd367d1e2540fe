//! How fast calls and lookups are, compared with the floor of the same run: bare tokio tasks that send frames of 60
//! bytes there and back.
//!
//! `cargo bench --bench speed` measures everything, which takes half an hour. `-- calls`, `channels`, `lookups`,
//! `formation` or `cost` measures one part; *growth* writes a table and a plot into a directory; *storm* prints a
//! table, and writes data and a plot if a directory is named. Each figure is the median of five runs, with their range;
//! the ratio to the floor is the median of the runs' ratios, since the machine changes both alike. *must* is the
//! project's own goal.

// A program of its own: no other one sees its items.
#![allow(missing_docs, unreachable_pub)]

mod calls;
mod channels;
mod floor;
mod growth;
mod line;
mod rings;
mod storm;

use std::path::Path;
use std::process::ExitCode;

/// How often each part is measured.
const RUNS: usize = 5;

/// The values of several runs.
#[derive(Default)]
pub struct Median(Vec<f64>);

impl Median {
    fn add(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    fn middle(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    /// The median and the range, in whole numbers.
    fn spread(&self) -> String {
        let (least, most) = (self.0[0], self.0[self.0.len() - 1]);
        format!("{:.0} ({least:.0}-{most:.0})", self.middle())
    }

    /// The same with two decimals.
    fn fine(&self) -> String {
        let (least, most) = (self.0[0], self.0[self.0.len() - 1]);
        format!("{:.2} ({least:.2}-{most:.2})", self.middle())
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["serve", callee] => calls::serve(callee),
        [] => [calls::measure, channels::measure, rings::look_up, rings::form, rings::be]
            .into_iter()
            .try_for_each(|part| part()),
        ["calls"] => calls::measure(),
        ["channels"] => channels::measure(),
        ["lookups"] => rings::look_up(),
        ["formation"] => rings::form(),
        ["cost"] => rings::be(),
        ["growth", directory] => growth::measure(Path::new(directory)),
        ["redraw", directory] => growth::redraw(Path::new(directory)),
        ["storm"] => storm::measure(None),
        ["storm", directory] => storm::measure(Some(Path::new(directory))),
        _ => {
            eprintln!(
                "speed: {words:?}: there are calls, channels, lookups, formation, cost, growth DIRECTORY, redraw DIRECTORY, and storm [DIRECTORY]"
            );
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("speed: {error}");
            ExitCode::FAILURE
        }
    }
}
