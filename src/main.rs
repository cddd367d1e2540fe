//! The `chord` command: arguments, node, console, exit status; or a simulation.

mod chaos;
mod churn;
mod cli;
mod interrupt;
mod paper;
mod progress;
mod ring;
mod text;

use std::io::{IsTerminal, Write, stderr};
use std::pin::pin;
use std::process::ExitCode;

use anyhow::{Context, Result};
use chord::console::{self, Command, input};
use chord::{Config, Node};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let config = match cli::parse(std::env::args_os()) {
        Ok(cli::Run::Node(config)) => config,
        Ok(cli::Run::Sim(cli::Sim::Chaos(chaos))) => return chaos::run(&chaos),
        Ok(cli::Run::Sim(cli::Sim::Churn(churn))) => return churn::run(&churn),
        Ok(cli::Run::Sim(cli::Sim::Paper(paper))) => return paper::run(&paper),
        Ok(cli::Run::Sim(cli::Sim::Ring(ring))) => return ring::run(&ring),
        Err(cli::Instead::Print(text)) => {
            // An error means that nobody reads it.
            let _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(cli::Instead::Complain(why)) => {
            eprintln!("chord: {why}");
            return ExitCode::from(2);
        }
    };
    log();
    let _terminal = input::KeepTerminal::as_it_is();
    match actix_rt::System::new().block_on(run(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chord: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Logs to standard error, from the level that `RUST_LOG` names.
fn log() {
    let filter = match std::env::var("RUST_LOG") {
        Ok(level) => EnvFilter::try_new(&level).unwrap_or_else(|error| {
            eprintln!("chord: RUST_LOG is {level:?}: {error}; logging warnings");
            EnvFilter::new("warn")
        }),
        Err(_) => EnvFilter::new("warn"),
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(stderr().is_terminal()).init();
}

/// Runs a node until it is told to end.
async fn run(config: Config) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("can't wait for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("can't wait for SIGTERM")?;
    let mut told_to_end = pin!(async {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    });
    let node = tokio::select! {
        started = Node::start(config) => started?,
        () = &mut told_to_end => return Ok(()),
    };
    tracing::info!(id = %node.me().id, addr = %node.me().addr, "member of a ring");
    let commands = input::start().context("can't start the console")?;
    tokio::select! {
        () = answer(&node, commands) => {}
        () = told_to_end => {}
    }
    node.leave().await;
    Ok(())
}

/// Answers the console until it says `Quit`; the end of its input does not end the node.
async fn answer(node: &Node, mut commands: mpsc::Receiver<input::Asked>) {
    while let Some((command, reply)) = commands.recv().await {
        let answer = match command {
            Command::Lookup(key) => {
                let owner = node.lookup(&key).await;
                console::render_lookup(&key, owner)
            }
            Command::PrintState => match node.state().await {
                Some(state) => console::render_state(&state),
                None => console::render_error(&"the node was stopped"),
            },
            Command::Help => console::render_help(),
            Command::Quit => return,
        };
        // An error means that the console is gone.
        let _ = reply.send(answer);
    }
    std::future::pending().await
}
