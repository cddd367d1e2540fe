//! The `chord` command: arguments, nodes, console, exit status; or a simulation.

mod chaos;
mod churn;
mod cli;
mod interrupt;
mod living;
mod paper;
mod progress;
mod ring;
mod swarming;
mod text;

use std::io::{IsTerminal, Write, stderr};
use std::process::ExitCode;

use anyhow::Result;
use chord::console::input;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(cli::Run::Node(host)) => run(living::run(host), "warn"),
        // What a node warns of, hundreds of them have said in a second.
        Ok(cli::Run::Swarm(swarm)) => run(swarming::run(swarm), "error"),
        Ok(cli::Run::Sim(cli::Sim::Chaos(chaos))) => chaos::run(&chaos),
        Ok(cli::Run::Sim(cli::Sim::Churn(churn))) => churn::run(&churn),
        Ok(cli::Run::Sim(cli::Sim::Paper(paper))) => paper::run(&paper),
        Ok(cli::Run::Sim(cli::Sim::Ring(ring))) => ring::run(&ring),
        Err(cli::Instead::Print(text)) => {
            // An error means that nobody reads it.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(cli::Instead::Complain(why)) => {
            eprintln!("chord: {why}");
            ExitCode::from(2)
        }
    }
}

/// Runs nodes to their end, which log so much unless told otherwise.
fn run(nodes: impl Future<Output = Result<()>>, level: &str) -> ExitCode {
    log(level);
    let _terminal = input::KeepTerminal::as_it_is();
    match actix_rt::System::new().block_on(nodes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chord: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Logs to standard error, from the level that `RUST_LOG` names, or else from this one.
fn log(usual: &str) {
    let filter = match std::env::var("RUST_LOG") {
        Ok(level) => EnvFilter::try_new(&level).unwrap_or_else(|error| {
            eprintln!("chord: RUST_LOG is {level:?}: {error}; it is taken for {usual:?}");
            EnvFilter::new(usual)
        }),
        Err(_) => EnvFilter::new(usual),
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(stderr().is_terminal()).init();
}
