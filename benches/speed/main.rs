//! How fast calls and lookups are, beside the floor of the same run: bare tokio tasks that send frames of 60
//! bytes there and back.
//!
//! `cargo bench --bench speed` measures everything; `-- calls` one part. Five runs each, shown as the median
//! and what they lie between; the ratio to the floor is the median of the runs' ratios, since the machine
//! changes both alike. *must* is what the project asks of itself.

mod calls;
mod floor;

use std::process::ExitCode;

/// How often everything is measured.
const RUNS: usize = 5;

/// What several runs came to.
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

    /// The median and what all lie between, in whole numbers.
    fn spread(&self) -> String {
        let (least, most) = (self.0[0], self.0[self.0.len() - 1]);
        format!("{:.0} ({least:.0}-{most:.0})", self.middle())
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["serve", callee] => calls::serve(callee),
        [] | ["calls"] => calls::measure(),
        _ => {
            eprintln!("speed: {words:?}: there is only: calls");
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
