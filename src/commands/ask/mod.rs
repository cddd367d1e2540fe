//! The commands that question a running ring from outside: one file each, and what they share.
//!
//! They end with 3 if no node answers, and with 1 if an answer can't be written; each help says what else their exit
//! status tells. When nobody reads their output any more they end without a word.

mod bench;
pub(super) mod check;
mod draw;
mod lookup;
pub(super) mod ring;
mod state;
pub(super) mod trace;
mod watch;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use chord::client::{AskError, Client};
use chord::console::streams::{complain, output};
use chord::net::seed::Host;
use chord::node::worker::runtime;
use chord::protocol::rpc::Request;
use chord::{Addr, Seed};
use serde_json::Value;
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::cli::ask::{Ask, Common};

/// Why there is no answer.
enum Failure {
    /// No node could be asked.
    Unreached(String),
    /// The answer could not be written.
    Unwritten(String),
    /// Nobody reads the answer any more.
    Unread,
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Failure {
        Failure::Unreached(error.to_string())
    }
}

/// Asks, prints the answer, and returns the exit status.
pub fn run(ask: Ask) -> ExitCode {
    let ended = match runtime() {
        Ok(runtime) => {
            let ended = runtime.block_on(answer(ask));
            // A thread that reads standard input may wait for ever.
            runtime.shutdown_background();
            ended
        }
        Err(why) => Err(Failure::Unreached(format!("can't start: {why}"))),
    };
    let (why, status) = match ended {
        Ok(status) => return ExitCode::from(status),
        Err(Failure::Unread) => return ExitCode::SUCCESS,
        Err(Failure::Unwritten(why)) => (why, 1),
        Err(Failure::Unreached(why)) => (why, 3),
    };
    complain(format_args!("chord: {why}"));
    ExitCode::from(status)
}

async fn answer(ask: Ask) -> Result<u8, Failure> {
    match ask {
        Ask::Lookup(lookup) => lookup::run(lookup).await,
        Ask::Trace(trace) => trace::run(&trace).await,
        Ask::State(state) => state::run(&state).await,
        Ask::Ring(ring) => ring::run(&ring).await,
        Ask::Check(check) => check::run(&check).await,
        Ask::Bench(bench) => bench::run(&bench).await,
        Ask::Watch(watch) => watch::run(&watch).await,
    }
}

/// A client, and the first of the nodes that answers; or what was tried.
async fn reach(common: &Common) -> Result<(Client, Addr), Failure> {
    let client = Client::new(common.timeout);
    let mut tried = Vec::new();
    for seed in &common.at {
        for addr in addrs(seed, common, &mut tried).await {
            match client.ask(addr, None, Request::CheckPredecessor).await {
                Ok(_) => return Ok((client, addr)),
                Err(why) => tried.push(why.to_string()),
            }
        }
    }
    let tried = tried.join("; ");
    Err(Failure::Unreached(format!("{tried}; is a node running there? Name one that is with --at HOST:PORT")))
}

/// The addresses of a node, which may have a name.
async fn addrs(seed: &Seed, common: &Common, tried: &mut Vec<String>) -> Vec<Addr> {
    let name = match &seed.host {
        Host::Ip(_) => return seed.addr().into_iter().collect(),
        Host::Name(name) => name.as_str(),
    };
    match timeout(common.timeout, lookup_host((name, seed.port))).await {
        Ok(Ok(found)) => {
            let addrs: Vec<Addr> = found.map(Addr::from).filter(|addr| addr.check().is_ok()).collect();
            if addrs.is_empty() {
                tried.push(format!("{name} has no address that can be called"));
            }
            addrs
        }
        Ok(Err(why)) => {
            tried.push(format!("{name} does not resolve: {why}"));
            Vec::new()
        }
        Err(_) => {
            tried.push(format!("{name} was not resolved within {:?}", common.timeout));
            Vec::new()
        }
    }
}

/// Prints a text of whole lines.
fn print(text: &str) -> Result<(), Failure> {
    output().write_all(text.as_bytes()).map_err(|why| match why.kind() {
        ErrorKind::BrokenPipe => Failure::Unread,
        _ => Failure::Unwritten(format!("can't write to standard output: {why}")),
    })
}

fn print_json(value: &Value) -> Result<(), Failure> {
    print(&format!("{value}\n"))
}

/// Rows as columns that stand under each other.
fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
