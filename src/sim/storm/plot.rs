//! Goodput over time, as SVG: a line for each load, and the time of the fault in grey.

use plotters::prelude::*;

use super::load::INTERVAL;
use super::report::{Report, seconds};
use crate::sim::plot::{COLOURS, CantDraw};

const SIZE: (u32, u32) = (840, 420);

/// Right answers a second in each interval.
pub fn svg(report: &Report) -> Result<String, CantDraw> {
    let mut text = String::new();
    draw(report, &mut text).map_err(CantDraw::because)?;
    Ok(text)
}

fn draw(report: &Report, text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let per_second = |right: u32| f64::from(right) / seconds(INTERVAL);
    let intervals = report.outcomes.iter().map(|outcome| outcome.counts.right.len()).max().unwrap_or(1);
    let all = report.outcomes.iter().flat_map(|outcome| &outcome.counts.right);
    let most = all.map(|right| per_second(*right)).fold(report.capacity, f64::max);
    let until = intervals as f64 * seconds(INTERVAL);
    let title = format!("goodput, {} nodes on {} threads", report.options.nodes, report.options.threads);
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..until, 0.0..most * 1.1)?;
    if let Some(outcome) = report.outcomes.first() {
        let (from, to) = outcome.fault;
        let to = to.max(from + INTERVAL / 4);
        let fault = Rectangle::new([(seconds(from), 0.0), (seconds(to), most * 1.1)], BLACK.mix(0.12).filled());
        chart.draw_series([fault])?;
    }
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(TRANSPARENT).x_desc("seconds").y_desc("right answers a second").draw()?;
    for (outcome, colour) in report.outcomes.iter().zip(COLOURS.iter().cycle()) {
        let point = |(at, right): (usize, &u32)| ((at as f64 + 0.5) * seconds(INTERVAL), per_second(*right));
        let points: Vec<(f64, f64)> = outcome.counts.right.iter().enumerate().map(point).collect();
        let line = [PathElement::new(points, colour.stroke_width(2))];
        let swatch = move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2));
        chart.draw_series(line)?.label(format!("load {}", outcome.load)).legend(swatch);
    }
    let mut labels = chart.configure_series_labels();
    labels.position(SeriesLabelPosition::LowerRight).background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3));
    labels.draw()?;
    area.present()?;
    Ok(())
}
