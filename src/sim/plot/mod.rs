//! Shared by all plots: charts of lines over two axes, as SVG, readable at the width of a page.
//!
//! In reading order: [`drawing`], shapes and texts; [`axis`], where an axis ends and the numbers beside it; [`chart`],
//! one chart; here, several of them in one picture.

pub mod axis;
pub mod chart;
pub mod drawing;

pub use axis::Count;
pub use chart::{Chart, Line, Point, Shade};
use drawing::Drawing;

/// As wide as the text of a page, so that fonts are shown in their own size.
const WIDTH: f64 = 900.0;

/// Narrower charts would have no room for the labels of their axes.
const COLUMNS: usize = 2;

/// The gap between charts, and the margin around them.
const GAP: f64 = 28.0;
const MARGIN: f64 = 12.0;

/// These charts, two side by side; a last one that is alone in its row gets the whole width.
pub fn svg(charts: &[Chart]) -> String {
    drawing(charts).svg()
}

/// Texts that overlap or extend beyond the picture.
#[cfg(test)]
pub(crate) fn unreadable(charts: &[Chart]) -> Vec<String> {
    drawing(charts).unreadable()
}

fn drawing(charts: &[Chart]) -> Drawing {
    let mut rows = Vec::new();
    let mut top = MARGIN;
    for row in charts.chunks(COLUMNS) {
        let columns = row.len() as f64;
        let width = (WIDTH - 2.0 * MARGIN - GAP * (columns - 1.0)) / columns;
        let height = row.iter().map(|chart| chart.height(width)).fold(0.0, f64::max);
        rows.push((row, top, width));
        top += height + GAP;
    }
    let mut drawing = Drawing::new(WIDTH, (top - GAP + MARGIN).max(2.0 * MARGIN), chart::STYLE);
    for (row, top, width) in rows {
        let mut left = MARGIN;
        for chart in row {
            chart.draw(&mut drawing, (left, top), width);
            left += width + GAP;
        }
    }
    drawing
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chart with this many lines.
    fn chart(lines: usize) -> Chart {
        let line = |n: usize| {
            let points = (0..9).map(|x| Point::at(f64::from(1 << x), (n * x) as f64)).collect();
            Line { label: format!("line number {n}"), points, ..Line::default() }
        };
        Chart {
            title: "What grows".into(),
            x: ("nodes".into(), Count::Logarithmic),
            y: ("messages per node".into(), Count::Linear),
            lines: (0..lines).map(line).collect(),
            shade: None,
        }
    }

    #[test]
    fn texts_of_one_to_five_charts_with_up_to_twelve_lines_stand_apart() {
        for charts in 1..=5 {
            for lines in [0, 1, 2, 7, 12] {
                let drawing = drawing(&vec![chart(lines); charts]);
                assert_eq!(drawing.unreadable(), Vec::<String>::new(), "{charts} charts, {lines} lines");
                assert_eq!(drawing.width, WIDTH);
                let named = drawing.texts().iter().filter(|text| text.text.starts_with("line number")).count();
                assert_eq!(named, charts * lines, "every line is named");
            }
        }
    }
}
