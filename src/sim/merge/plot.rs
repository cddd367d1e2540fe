//! How the cost of a merge grows with the number of nodes.

use super::{Merged, Report};
use crate::sim::plot::{self, Chart, Count, Line, Point};

/// Messages per node, compared with the square of the logarithm of all nodes; and round trips, compared with the
/// logarithm.
pub fn svg(report: &Report) -> String {
    plot::svg(&charts(report))
}

fn charts(report: &Report) -> Vec<Chart> {
    let line = |label: &str, apart: bool, value: fn(&Merged) -> f64| Line {
        label: label.into(),
        points: points(report, apart, value),
        ..Line::default()
    };
    let reference = |label: &str, value: fn(&Merged) -> f64| {
        let any = report.merged.first().is_some_and(|merged| merged.pair.apart);
        Line { is_reference: true, ..line(label, any, value) }
    };
    let chart = |title: &str, y: &str, lines: Vec<Line>| Chart {
        title: title.into(),
        x: ("nodes of both rings".into(), Count::Logarithmic),
        y: (y.into(), Count::Linear),
        lines: lines.into_iter().filter(|line| !line.points.is_empty()).collect(),
        shade: None,
    };
    vec![
        chart(
            "What it costs until two rings are one",
            "messages per node",
            vec![
                line("mixed", false, |merged| merged.messages),
                line("apart", true, |merged| merged.messages),
                reference("log² N", |merged| merged.log() * merged.log()),
            ],
        ),
        chart(
            "How long it takes",
            "round trips",
            vec![
                line("mixed", false, Merged::rounds),
                line("apart", true, Merged::rounds),
                reference("4 log N", |merged| 4.0 * merged.log()),
            ],
        ),
    ]
}

fn points(report: &Report, apart: bool, value: fn(&Merged) -> f64) -> Vec<Point> {
    let merged = report.merged.iter().filter(|merged| merged.pair.apart == apart);
    merged.map(|merged| Point::at(merged.nodes().into(), value(merged))).collect()
}
