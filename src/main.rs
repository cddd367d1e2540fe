//! The `chord` command: arguments, nodes, console, exit status; or a simulation.

// A program of its own: no other one sees its items.
#![allow(unreachable_pub)]
// The print macros end the program when its output is closed.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod cli;
mod commands;

use std::io::{IsTerminal, Write, stderr};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use chord::console::streams::{Log, complain, output, own_terminals};
use chord::console::terminal::{KeepTerminal, block_signals};
use chord::node::worker::runtime;
use cli::serve::LogFormat;
use commands::sim::{chaos, churn, lessons, merge, paper, ring, storm};
use commands::{ask, meta, node, play, serve, swarm};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    block_signals();
    own_terminals();
    match cli::parse(std::env::args_os()) {
        Ok(cli::Run::Node(host)) => run(node::run(host), "warn"),
        Ok(cli::Run::Serve(settings)) => {
            let format = settings.log_format;
            run_and_log(serve::run(*settings), "warn", format)
        }
        // Hundreds of nodes would repeat each warning every second.
        Ok(cli::Run::Swarm(swarm)) => run(swarm::run(swarm), "error"),
        Ok(cli::Run::Ask(question)) => {
            log("error", LogFormat::Text);
            ask::run(question)
        }
        Ok(cli::Run::Play(recording)) => run(play::run(recording), "warn"),
        Ok(cli::Run::Completions(shell)) => meta::completions(shell),
        Ok(cli::Run::Man) => meta::man(),
        Ok(cli::Run::Sim(cli::Sim::Chaos(chaos))) => chaos::run(&chaos),
        Ok(cli::Run::Sim(cli::Sim::Churn(churn))) => churn::run(&churn),
        Ok(cli::Run::Sim(cli::Sim::Lessons(lessons))) => lessons::run(&lessons),
        Ok(cli::Run::Sim(cli::Sim::Merge(merge))) => merge::run(&merge),
        Ok(cli::Run::Sim(cli::Sim::Paper(paper))) => paper::run(&paper),
        Ok(cli::Run::Sim(cli::Sim::Ring(ring))) => ring::run(&ring),
        Ok(cli::Run::Sim(cli::Sim::Storm(storm))) => storm::run(&storm),
        Err(cli::Instead::Print(text)) => {
            // An error means that the output is closed.
            let _ = output().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(cli::Instead::Usage(text)) => {
            complain(text.trim_end());
            ExitCode::from(2)
        }
        Err(cli::Instead::Complain(why)) => {
            complain(format_args!("chord: {why}"));
            ExitCode::from(2)
        }
    }
}

/// Runs nodes to their end; they log at this level unless `RUST_LOG` names another.
fn run(nodes: impl Future<Output = Result<()>>, level: &str) -> ExitCode {
    run_and_log(nodes, level, LogFormat::Text)
}

fn run_and_log(nodes: impl Future<Output = Result<()>>, level: &str, format: LogFormat) -> ExitCode {
    log(level, format);
    let _terminal = KeepTerminal;
    match block_on(nodes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("chord: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs nodes to their end. What is left then is dropped in the context of the runtime: an actor that is dropped before
/// its first run starts during the drop and sets timers.
fn block_on(nodes: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = Arc::new(runtime().context("can't start")?);
    let system = actix_rt::System::with_tokio_rt(|| runtime.clone());
    let ended = system.block_on(nodes);
    let _context = runtime.enter();
    drop(system);
    ended
}

/// Logs to standard error, at the level that `RUST_LOG` names, or else at this one.
fn log(usual: &str, format: LogFormat) {
    let filter = match std::env::var("RUST_LOG") {
        Ok(level) => EnvFilter::try_new(&level).unwrap_or_else(|error| {
            complain(format_args!("chord: RUST_LOG is {level:?}: {error}; it is taken for {usual:?}"));
            EnvFilter::new(usual)
        }),
        Err(_) => EnvFilter::new(usual),
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(stderr().is_terminal());
    // The logger would report its own errors to standard error again, and end the program.
    let log = log.log_internal_errors(false).with_writer(|| Log);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
    }
}

#[cfg(test)]
mod tests {
    use chord::Addr;
    use std::net::Ipv4Addr;

    use chord::net::pool::ConnectionPool;
    use chord::{Config, Node};
    use futures::FutureExt;

    use super::*;

    #[test]
    fn actors_that_have_not_run_yet_end_with_their_runtime() {
        let nobody = Addr::new(Ipv4Addr::LOCALHOST, 1);
        let config = Config { seeds: vec![nobody.into()], ..Config::new(Ipv4Addr::LOCALHOST) };
        let ended = block_on(async {
            // As if a signal came just then.
            assert!(Node::start_sharing(config, ConnectionPool::default()).now_or_never().is_none());
            Ok(())
        });
        assert!(ended.is_ok());
    }
}
