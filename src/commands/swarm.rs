//! `chord swarm`: runs many nodes, prints their figures, and answers the console of the first.

use std::fmt::Display;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chord::console::Language;
use chord::console::input::{self, Printer};
use chord::swarm::figures::Formation;
use chord::swarm::{Forming, Swarm, SwarmConfig};
use futures::FutureExt;
use futures::future::try_join;
use serde_json::json;

use super::console::answer;
use super::node::{Hangup, begin, offer_report, told_to_end};
use super::progress::Progress;
use crate::cli;

/// A ring that has not formed within this time never will: a thousand nodes take seconds.
const FORMS_WITHIN: Duration = Duration::from_secs(600);

/// Runs a swarm until it is told to end.
pub async fn run(wanted: cli::Swarm) -> Result<()> {
    let mut told_to_end = pin!(told_to_end(Hangup::Ends)?);
    begin(wanted.warning.as_deref(), &wanted.config.node.seeds);
    let (swarm, formation) = tokio::select! {
        formed = form(wanted.config.clone()) => formed?,
        () = &mut told_to_end => return Ok(()),
    };
    let ended = tokio::select! {
        ended = live(&swarm, formation, &wanted) => ended,
        () = told_to_end => Ok(()),
    };
    if wanted.config.node.seeds.is_empty() {
        swarm.stop().await
    } else {
        swarm.leave().await
    }
    ended
}

/// Starts the nodes and waits until they are a ring.
async fn form(config: SwarmConfig) -> Result<(Swarm, Formation)> {
    let bar = |what| Arc::new(Progress::of(config.nodes.into(), what));
    let (joining, settling) = (bar("nodes have joined"), bar("nodes have right tables"));
    let (joined, settled) = (joining.clone(), settling.clone());
    let swarm = Swarm::start(config, move |forming| match forming {
        Forming::Joined => joined.add(1),
        Forming::Right => settled.add(1),
    });
    let swarm = swarm.await;
    joining.end();
    let swarm = swarm?;
    let formation = swarm.await_ideal(FORMS_WITHIN).await;
    settling.end();
    swarm.nodes().for_each(offer_report);
    Ok((swarm, formation?))
}

/// Measures what is requested, and answers the console meanwhile.
async fn live(swarm: &Swarm, formation: Formation, wanted: &cli::Swarm) -> Result<()> {
    let printer = Printer::default();
    if !wanted.json {
        // Before there is a prompt.
        printer.print(&format!("{}\n{formation}\n", heading(swarm)));
    }
    let measured = measure(swarm, formation, wanted, &printer);
    let wrong = if wanted.quit {
        measured.await?
    } else {
        let commands = input::start(&printer, Language::Course).context("can't start the console")?;
        try_join(measured, answer(swarm.first(), Language::Course, commands).map(Ok)).await?.0
    };
    match wrong {
        0 => Ok(()),
        _ => bail!("{wrong} lookups named a wrong owner"),
    }
}

/// Prints the figures; returns how many lookups named a wrong owner.
async fn measure(swarm: &Swarm, formation: Formation, wanted: &cli::Swarm, printer: &Printer) -> Result<u64> {
    let say = |what: &dyn Display| {
        if !wanted.json {
            printer.print(&format!("{what}\n"));
        }
    };
    let mut idle = None;
    if let Some(time) = wanted.idle {
        say(idle.insert(swarm.idle(time).await));
    }
    let mut load = None;
    if let Some(wanted) = wanted.load {
        say(load.insert(swarm.load(wanted).await?));
    }
    if wanted.json {
        let SwarmConfig { nodes, threads, node, .. } = swarm.config();
        let data = json!({
            "nodes": nodes,
            "others": swarm.existing().len(),
            "r": node.successors,
            "threads": threads,
            "transport": node.transport.to_string(),
            "seed": wanted.seed,
            "formation": formation.to_json(),
            "idle": idle.map(|idle| idle.to_json()),
            "load": load.as_ref().map(|load| load.to_json()),
        });
        printer.print(&format!("{data:#}\n"));
    }
    Ok(load.map_or(0, |load| load.wrong))
}

/// One line about the nodes of the ring.
fn heading(swarm: &Swarm) -> String {
    let SwarmConfig { nodes, threads, node, .. } = swarm.config();
    let called = node.advertise.unwrap_or(node.listen);
    let (address, first) = (called.ip(), called.port());
    let last = first + (nodes - 1);
    let threads = if *threads == 1 { "1 thread".into() } else { format!("{threads} threads") };
    let others = match swarm.existing().len() {
        0 => String::new(),
        others => format!(", in a ring with {others} others"),
    };
    let (r, transport) = (node.successors, &node.transport);
    format!("nodes        {nodes} at {address}, ports {first} to {last}, r = {r}, {threads}, over {transport}{others}")
}
