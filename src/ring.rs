//! `chord sim ring`: a ring is made, measured and shown.

use std::io::{Write, stdout};
use std::process::ExitCode;

use chord::Peer;
use chord::sim::ring::grow::{Grown, grow};
use chord::sim::ring::measure::measure;
use chord::sim::ring::report::{Growth, Report};
use chord::sim::ring::{members, print};
use chord::sim::tables::Tables;

use crate::cli::Ring;
use crate::progress::Progress;

/// Why there is no answer.
enum Trouble {
    /// The ring is not what it should be.
    Wrong(String),
    /// What was asked for makes no sense in this ring.
    Asked(String),
}

/// Makes the ring, and says what is wanted of it.
pub fn run(ring: &Ring) -> ExitCode {
    let (why, status) = match show(ring) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Trouble::Wrong(why)) => (why, 1),
        Err(Trouble::Asked(why)) => (why, 2),
    };
    eprintln!("chord: {why}");
    ExitCode::from(status)
}

fn show(ring: &Ring) -> Result<(), Trouble> {
    let (tables, collisions, growth) = make(ring)?;
    let walk = ring.lookup.as_ref().map(|(key, from)| look_up(&tables, *key, from.as_deref())).transpose()?;
    let progress = Progress::of(ring.lookups, "lookups");
    let measured = measure(&tables, ring.lookups, ring.seed, |done| progress.add(done));
    progress.end();
    let wrong = measured.wrong;
    let (nodes, bits, r, seed) = (tables.ring().len(), ring.bits, ring.r, ring.seed);
    let report = Report { nodes, bits, r, seed, collisions, measured, growth };
    if ring.json {
        let mut data = report.to_json();
        if ring.print_tables {
            data["tables"] = (0..nodes).map(|at| print::table_as_data(&tables, at)).collect();
        }
        if let Some((from, key, walk)) = &walk {
            data["lookup"] = print::walk_as_data(*from, *key, walk, bits);
        }
        say(&format!("{data:#}\n"));
    } else {
        if ring.print_tables {
            (0..nodes).for_each(|at| say(&(print::table(&tables, at) + "\n")));
        }
        if let Some((from, key, walk)) = &walk {
            say(&(print::walk(*from, *key, walk, bits) + "\n"));
        }
        say(&format!("{report}\n"));
    }
    if wrong > 0 { Err(Trouble::Wrong(format!("{wrong} lookups named a wrong owner"))) } else { Ok(()) }
}

type Made = (Tables, Vec<members::Collision>, Option<Growth>);

fn make(ring: &Ring) -> Result<Made, Trouble> {
    if ring.by_definition {
        let (peers, collisions) = members::without_collisions(&ring.peers);
        return Ok((Tables::by_definition(peers, ring.bits, ring.r), collisions, None));
    }
    let progress = Progress::of(ring.peers.len() as u64, "nodes have joined");
    let grown = grow(&ring.peers, ring.bits, ring.r, ring.seed, || progress.add(1));
    progress.end();
    let Grown { world, tables, collisions, joined, ideal } = grown.map_err(Trouble::Wrong)?;
    let growth = Growth { tally: world.env.tally.clone(), joined, ideal };
    Ok((tables, collisions, Some(growth)))
}

fn look_up(
    tables: &Tables,
    key: chord::Id,
    from: Option<&str>,
) -> Result<(Peer, chord::Id, chord::sim::tables::Walk), Trouble> {
    let from = match from {
        Some(text) => {
            members::find(tables.ring(), text, tables.bits()).map_err(|why| Trouble::Asked(format!("--from: {why}")))?
        }
        None => tables.ring()[0],
    };
    let at = tables.position(from).unwrap_or_default();
    Ok((from, key, tables.lookup(at, key)))
}

fn say(text: &str) {
    // An error means that nobody reads it.
    let _ = stdout().write_all(text.as_bytes());
}
