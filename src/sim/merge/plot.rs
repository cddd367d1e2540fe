//! How the cost of becoming one ring grows with the number of nodes, as SVG.

use plotters::prelude::*;

use super::{Merged, Report};
use crate::sim::plot::CantDraw;

const SIZE: (u32, u32) = (840, 420);

/// A curve that is drawn: what it is called, its points, and its colour.
type Curve = (&'static str, Vec<(f64, f64)>, RGBColor);

/// Messages per node beside the square of the logarithm of all nodes.
pub fn svg(report: &Report) -> Result<String, CantDraw> {
    let mut text = String::new();
    draw(report, &mut text).map_err(CantDraw::because)?;
    Ok(text)
}

fn draw(report: &Report, text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let curve = |apart: bool, value: fn(&Merged) -> f64| -> Vec<(f64, f64)> {
        let merged = report.merged.iter().filter(|merged| merged.pair.apart == apart);
        merged.map(|merged| (merged.log(), value(merged))).collect()
    };
    let curves: [Curve; 5] = [
        ("messages per node, mixed", curve(false, |merged| merged.messages), RGBColor(31, 119, 180)),
        ("messages per node, apart", curve(true, |merged| merged.messages), RGBColor(255, 127, 14)),
        ("round trips, mixed", curve(false, Merged::rounds), RGBColor(44, 160, 44)),
        ("round trips, apart", curve(true, Merged::rounds), RGBColor(214, 39, 40)),
        ("log² N", curve(false, |merged| merged.log() * merged.log()), RGBColor(150, 150, 150)),
    ];
    let points = || curves.iter().flat_map(|(_, points, _)| points);
    let (least, most) = points().fold((f64::MAX, 1.0f64), |(least, most), (x, _)| (least.min(*x), most.max(*x)));
    let highest = points().fold(1.0f64, |highest, (_, y)| highest.max(*y));
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("two rings become one", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(least.min(most - 1.0)..most, 0.0..highest * 1.1)?;
    chart.configure_mesh().light_line_style(TRANSPARENT).x_desc("log N, of all nodes").draw()?;
    for (name, points, colour) in curves {
        let swatch = move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2));
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
        let line = [PathElement::new(points, colour.stroke_width(2))];
        chart.draw_series(line)?.label(name).legend(swatch);
    }
    let mut labels = chart.configure_series_labels();
    labels.position(SeriesLabelPosition::UpperLeft).background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3));
    labels.draw()?;
    area.present()?;
    Ok(())
}
