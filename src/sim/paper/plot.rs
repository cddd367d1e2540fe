//! Plots of rows, as SVG: our values as lines with their intervals, those of the paper as circles.

use plotters::coord::Shift;
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::prelude::*;

use super::chapter::{Count, Panel, Row};
use crate::sim::plot::{COLOURS, CantDraw};

/// The size of one panel, in pixels.
const WIDTH: u32 = 560;
const HEIGHT: u32 = 400;

/// What a line of the legend takes.
const LEGEND_LINE: u32 = 17;

/// These panels side by side, each with those of the rows that it shows.
pub fn svg(panels: &[Panel], rows: &[Row]) -> Result<String, CantDraw> {
    let mut text = String::new();
    {
        let count = panels.len().max(1);
        let size = (WIDTH * count as u32, HEIGHT);
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        let failed = |error: &dyn std::fmt::Display| CantDraw::because(error);
        area.fill(&WHITE).map_err(|error| failed(&error))?;
        for (panel, area) in panels.iter().zip(area.split_evenly((1, count))) {
            draw(panel, &lines(panel, rows), &area).map_err(|error| failed(&error))?;
        }
        area.present().map_err(|error| failed(&error))?;
    }
    Ok(text)
}

/// The points of one measure in one series.
struct Line<'a> {
    label: String,
    rows: Vec<&'a Row>,
}

/// What stands in the legend, and the rows of each line, in the order of the chapter.
fn lines<'a>(panel: &Panel, rows: &'a [Row]) -> Vec<Line<'a>> {
    let mut lines: Vec<Line> = Vec::new();
    let shown = || rows.iter().filter(|row| panel.shows(row));
    for row in shown().filter(|row| is_drawable(panel, row.x, row.ours.mean)) {
        let label = match panel.measures {
            [_] => row.series.clone(),
            _ if shown().all(|other| other.series == row.series || other.measure != row.measure) => {
                row.measure.to_owned()
            }
            _ => format!("{}, {}", row.series, row.measure),
        };
        match lines.iter_mut().find(|line| line.label == label) {
            Some(line) => line.rows.push(row),
            None => lines.push(Line { label, rows: vec![row] }),
        }
    }
    lines
}

fn is_drawable(panel: &Panel, x: f64, y: f64) -> bool {
    let shows = |value: f64, count| value.is_finite() && (count == Count::Linear || value > 0.0);
    shows(x, panel.x.1) && shows(y, panel.y.1)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Failure<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

fn draw<'a>(panel: &Panel, lines: &[Line], area: &Area<'a>) -> Result<(), Failure<'a>> {
    let rows = || lines.iter().flat_map(|line| &line.rows);
    let papers = || rows().filter_map(|row| row.paper).map(|paper| paper.value);
    let highs = rows().map(|row| row.ours.mean + row.ours.interval).filter(|high| high.is_finite());
    let x = extent(rows().map(|row| row.x), panel.x.1);
    let y = extent(rows().map(|row| row.ours.mean).chain(highs).chain(papers()), panel.y.1);
    let y = below_legend(y, panel.y.1, lines.len() + 1);
    let (linear, logarithmic) = (|(from, to)| from..to, |(from, to): (f64, f64)| (from..to).log_scale());
    let mut builder = ChartBuilder::on(area);
    builder.caption(panel.title, ("sans-serif", 18)).margin(12).x_label_area_size(40).y_label_area_size(60);
    match (panel.x.1, panel.y.1) {
        (Count::Linear, Count::Linear) => fill(panel, lines, builder.build_cartesian_2d(linear(x), linear(y))?),
        (Count::Logarithmic, Count::Linear) => {
            fill(panel, lines, builder.build_cartesian_2d(logarithmic(x), linear(y))?)
        }
        (Count::Linear, Count::Logarithmic) => {
            fill(panel, lines, builder.build_cartesian_2d(linear(x), logarithmic(y))?)
        }
        (Count::Logarithmic, Count::Logarithmic) => {
            fill(panel, lines, builder.build_cartesian_2d(logarithmic(x), logarithmic(y))?)
        }
    }
}

/// The ends of an axis: all values with a little room; from zero if it is linear.
fn extent(values: impl Iterator<Item = f64>, count: Count) -> (f64, f64) {
    let (least, most) = values.fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)));
    match count {
        _ if least > most => (1.0, 2.0),
        Count::Linear => (least.min(0.0), if most > 0.0 { most * 1.1 } else { 1.0 }),
        Count::Logarithmic => (least / 1.2, most * 1.2),
    }
}

/// The axis with room above all values for a legend of so many lines.
fn below_legend((from, to): (f64, f64), count: Count, lines: usize) -> (f64, f64) {
    let part = (f64::from(LEGEND_LINE) * lines as f64 / f64::from(HEIGHT - 80)).min(0.6);
    match count {
        Count::Linear => (from, from + (to - from) / (1.0 - part)),
        Count::Logarithmic => (from, from * (to / from).powf(1.0 / (1.0 - part))),
    }
}

fn fill<'a, X, Y>(
    panel: &Panel,
    lines: &[Line],
    mut chart: ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
) -> Result<(), Failure<'a>>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut mesh = chart.configure_mesh();
    let (x_label, y_label) = (|value: &f64| tick(*value), |value: &f64| tick(*value));
    mesh.light_line_style(TRANSPARENT).x_desc(panel.x.0).y_desc(panel.y.0).x_labels(8).y_labels(8);
    mesh.x_label_formatter(&x_label).y_label_formatter(&y_label).draw()?;
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let ours: Vec<(f64, f64)> = line.rows.iter().map(|row| (row.x, row.ours.mean)).collect();
        let drawn = chart.draw_series([PathElement::new(ours, colour.stroke_width(2))])?;
        let swatch = move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2));
        drawn.label(line.label.clone()).legend(swatch);
        let intervals = line.rows.iter().filter_map(|row| {
            let (low, high) = (row.ours.mean - row.ours.interval, row.ours.mean + row.ours.interval);
            let drawable = is_drawable(panel, row.x, low) && high.is_finite();
            drawable.then(|| PathElement::new(vec![(row.x, low), (row.x, high)], colour.stroke_width(1)))
        });
        chart.draw_series(intervals)?;
        let papers = line.rows.iter().filter_map(|row| row.paper.map(|paper| (row.x, paper.value)));
        let papers = papers.filter(|(x, y)| is_drawable(panel, *x, *y));
        chart.draw_series(papers.map(|at| Circle::new(at, 4, colour.stroke_width(1))))?;
    }
    if lines.iter().any(|line| line.rows.iter().any(|row| row.paper.is_some())) {
        let nothing: [Circle<(f64, f64), i32>; 0] = [];
        let drawn = chart.draw_series(nothing)?;
        drawn.label("the paper").legend(|(x, y)| Circle::new((x + 8, y), 4, BLACK.stroke_width(1)));
    }
    let mut labels = chart.configure_series_labels();
    labels.position(SeriesLabelPosition::UpperLeft).background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3));
    labels.draw()
}

/// A number at an axis.
fn tick(value: f64) -> String {
    match value.abs() {
        large if large >= 1000.0 && value % 1000.0 == 0.0 => format!("{}k", value / 1000.0),
        _ => format!("{}", (value * 1e6).round() / 1e6),
    }
}
