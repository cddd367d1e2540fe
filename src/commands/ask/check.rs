//! `chord check`: what is wrong with a ring.

use std::time::Instant;

use chord::client::check::{Checked, check};
use chord::client::finding::Severity;
use chord::client::json::{self, millis};
use tokio::time::{Duration, sleep};

use super::{Failure, print, print_json, reach};
use crate::cli::ask::Check;
use crate::commands::progress::Progress;

/// How long to rest between checks while a ring is waited for.
const REST: Duration = Duration::from_millis(250);

/// At most this many findings of one kind are printed; JSON has all.
const SHOWN: usize = 10;

pub(super) async fn run(args: &Check) -> Result<u8, Failure> {
    let until = Instant::now() + args.wait.unwrap_or_default();
    loop {
        let checked = look(args).await;
        let is_healthy = checked.as_ref().is_ok_and(|checked| checked.health().is_none());
        if is_healthy || Instant::now() + REST >= until {
            let checked = checked?;
            if args.common.json {
                print_json(&json::check(&checked))?
            } else {
                print(&text(&checked))?
            }
            return Ok(match checked.health() {
                None | Some(Severity::Note) => 0,
                Some(Severity::Degraded) => 1,
                Some(Severity::Broken) => 2,
            });
        }
        sleep(REST).await;
    }
}

async fn look(args: &Check) -> Result<Checked, Failure> {
    let (client, addr) = reach(&args.common).await?;
    let progress = Progress::of(1, "nodes are visited");
    // The others may know what the first does not, and need not answer.
    let others = args.common.at.iter().filter_map(|seed| seed.addr()).filter(|other| *other != addr);
    let from: Vec<_> = std::iter::once(addr).chain(others).collect();
    let checked = check(&client, &from, args.thorough, |done, known| progress.at(done, known)).await;
    progress.end();
    Ok(checked?.expecting(args.nodes))
}

pub(in crate::commands) fn text(checked: &Checked) -> String {
    let n = checked.walk.nodes.len();
    let s = |n: usize| if n == 1 { "" } else { "s" };
    let (fingers, lookups, took) = (checked.fingers, checked.lookups, millis(checked.walk.took));
    let mut text = format!(
        "{}: {n} node{} visited in {took} ms, {fingers} fingers and {lookups} lookup{} compared\n",
        json::health(checked),
        s(n),
        s(lookups)
    );
    for alike in checked.findings.chunk_by(|one, next| one.kind == next.kind) {
        let kind = alike[0].kind;
        for finding in alike.iter().take(SHOWN) {
            text += &format!("{}: {}\n", kind.severity(), finding.what);
        }
        if alike.len() > SHOWN {
            text += &format!("{}: and {} more of the kind\n", kind.severity(), alike.len() - SHOWN);
        }
        text += &format!("  -> {}\n", kind.advice());
    }
    text
}
