//! How all figures grow with the ring: 2^4 to 2^11 nodes, as a table and a plot.

use std::io;
use std::path::Path;

use chord::sim::paper::chapter::{Panel, Reading, rows};
use chord::sim::paper::{plot, report};
use chord::sim::plot::Count;

use super::rings::swarm;

/// Rings of each size: only the shape matters here, and the other parts show the spread.
const RUNS: usize = 1;

/// The figures of each ring: their part in the output of `chord swarm`, their name there, a factor, and their name
/// here.
const MEASURES: [(&str, &str, f64, &str); 9] = [
    ("load", "lookups_per_second", 1.0, "lookups/s"),
    ("load", "p50_seconds", 1e6, "p50, us"),
    ("load", "p99_seconds", 1e6, "p99, us"),
    ("load", "calls_per_lookup", 1.0, "calls per lookup"),
    ("load", "reconnects_per_lookup", 1.0, "reconnects per lookup"),
    ("formation", "ideal_after_seconds", 1.0, "formed after, s"),
    ("formation", "memory_per_node_bytes", 1.0 / 1024.0, "KiB per node"),
    ("idle", "calls_per_node_and_second", 1.0, "idle calls/s per node"),
    ("idle", "bytes_per_node_and_second", 1.0, "idle bytes/s per node"),
];

const fn panel(title: &'static str, unit: &'static str, measures: &'static [&'static str]) -> Panel {
    Panel { title, x: ("nodes", Count::Logarithmic), y: (unit, Count::Linear), measures, series: &[], names: &[] }
}

/// The plots: each has its own axis.
const PANELS: [Panel; 6] = [
    panel("Lookups with 16 clients", "lookups/s", &["lookups/s"]),
    panel("How long they take", "microseconds", &["p50, us", "p99, us"]),
    panel("Calls per lookup", "calls", &["calls per lookup", "reconnects per lookup"]),
    panel("Memory", "KiB per node", &["KiB per node"]),
    panel("Calls without lookups", "calls per node and second", &["idle calls/s per node"]),
    panel("Bytes without lookups", "bytes per node and second", &["idle bytes/s per node"]),
];

/// Measures all rings, prints a table, and writes `growth.csv` and `growth.svg` into this directory.
pub fn measure(directory: &Path) -> io::Result<()> {
    let mut readings = Vec::new();
    for nodes in (4..=11).map(|power| 1 << power) {
        for _ in 0..RUNS {
            let figures = swarm(nodes, &["--idle", "5", "--clients", "16", "--seconds", "3"])?;
            readings.extend(MEASURES.map(|(part, name, factor, measure)| {
                let value = factor * figures.number(part, name);
                Reading { series: String::new(), x: nodes.into(), measure, value }
            }));
        }
        eprintln!("{nodes} nodes are measured");
    }
    let rows = rows(readings, |_, _, _| None);
    let names = MEASURES.map(|(.., measure)| measure);
    println!("| nodes | {} |\n|{}", names.join(" | "), "---|".repeat(names.len() + 1));
    for of_one_size in rows.chunks(names.len()) {
        let cells = of_one_size.iter().map(|row| match row.ours.mean {
            large if large >= 100.0 => format!("{large:.0}"),
            small => format!("{small:.3}"),
        });
        println!("| {} | {} |", of_one_size[0].x, cells.collect::<Vec<_>>().join(" | "));
    }
    std::fs::write(directory.join("growth.csv"), report::csv("nodes", &rows))?;
    redraw(directory)
}

/// Redraws `growth.svg` from the `growth.csv` of this directory.
pub fn redraw(directory: &Path) -> io::Result<()> {
    let csv = std::fs::read_to_string(directory.join("growth.csv"))?;
    std::fs::write(directory.join("growth.svg"), plot::redrawn(&PANELS, &csv).map_err(io::Error::other)?)
}
