//! Goodput over time: a line for each load, and the time of the fault in grey.

use super::load::INTERVAL;
use super::report::{Report, seconds};
use crate::sim::plot::{self, Chart, Count, Line, Point, Shade};

/// Right answers per second in each interval.
pub fn svg(report: &Report) -> String {
    plot::svg(&[chart(report)])
}

fn chart(report: &Report) -> Chart {
    let options = &report.options;
    let lines = report.outcomes.iter().map(|outcome| {
        let middles = (0..).map(|at| (f64::from(at) + 0.5) * seconds(INTERVAL));
        let per_second = outcome.counts.right.iter().map(|right| f64::from(*right) / seconds(INTERVAL));
        let points = middles.zip(per_second).map(|(x, y)| Point::at(x, y)).collect();
        Line { label: format!("load {}", outcome.load), points, ..Line::default() }
    });
    let shade = report.outcomes.first().map(|outcome| {
        let (from, to) = outcome.fault;
        // A fault without duration is drawn all the same.
        let to = to.max(from + INTERVAL / 4);
        Shade { from: seconds(from), to: seconds(to), label: options.fault.name().into() }
    });
    Chart {
        title: format!("Goodput of {} nodes on {} threads", options.nodes, options.threads),
        x: ("seconds".into(), Count::Linear),
        y: ("right answers a second".into(), Count::Linear),
        lines: lines.collect(),
        shade,
    }
}
