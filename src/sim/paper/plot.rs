//! Plots of rows: our values as lines with their intervals, the paper's values as circles.

use super::chapter::{Panel, Row};
use super::report;
use crate::sim::plot::{self, Chart, Line, Point};

/// Draws these panels in one picture, each with the rows that it shows.
pub fn svg(panels: &[Panel], rows: &[Row]) -> String {
    plot::svg(&charts(panels, rows))
}

/// The same from the data file of an earlier run.
pub fn redrawn(panels: &[Panel], csv: &str) -> Result<String, String> {
    Ok(svg(panels, &report::read_csv(csv, panels)?))
}

fn charts(panels: &[Panel], rows: &[Row]) -> Vec<Chart> {
    panels.iter().map(|panel| chart(panel, rows)).collect()
}

fn chart(panel: &Panel, rows: &[Row]) -> Chart {
    let shown: Vec<&Row> = rows.iter().filter(|row| panel.shows(row)).collect();
    let mut lines: Vec<Line> = Vec::new();
    for row in &shown {
        let label = label(panel, row, &shown);
        let at = lines.iter().position(|line| line.label == label).unwrap_or_else(|| {
            lines.push(Line { label, ..Line::default() });
            lines.len() - 1
        });
        let line = &mut lines[at];
        line.points.push(Point { x: row.x, y: row.ours.mean, interval: row.ours.interval });
        line.others.extend(row.paper.map(|paper| (row.x, paper.value)));
    }
    let axis = |(name, count): (&str, _)| (name.to_owned(), count);
    Chart { title: panel.title.into(), x: axis(panel.x), y: axis(panel.y), lines, shade: None }
}

/// The label that distinguishes a line in its panel: its series, its measure, or both; for a single line, its measure.
fn label(panel: &Panel, row: &Row, shown: &[&Row]) -> String {
    let in_short = |name: &str| -> String {
        let short = panel.names.iter().find(|(long, _)| *long == name);
        short.map_or(name, |(_, short)| short).to_owned()
    };
    let (series, measure) = (in_short(&row.series), in_short(row.measure));
    let varies = |differs: fn(&Row, &Row) -> bool| shown.iter().any(|other| differs(other, row));
    let several_series = varies(|one, other| one.series != other.series);
    let several_measures = varies(|one, other| one.measure != other.measure);
    match (several_series, several_measures) {
        (true, true) => format!("{series}, {measure}"),
        (true, false) => series,
        (false, _) => measure,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::sim::paper::Experiment;

    /// Reads a file of the documentation.
    fn kept(file: &str) -> String {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/paper").join(file)).unwrap()
    }

    #[test]
    fn each_panel_of_each_experiment_has_few_lines_with_short_names_apart() {
        for experiment in Experiment::ALL {
            let csv = kept(&format!("{}.csv", experiment.file()));
            let charts = charts(experiment.panels(), &report::read_csv(&csv, experiment.panels()).unwrap());
            assert!(!charts.is_empty());
            for chart in &charts {
                let title = format!("{}: {}", experiment.file(), chart.title);
                assert!((1..=8).contains(&chart.lines.len()), "{title}: {} lines", chart.lines.len());
                for line in &chart.lines {
                    assert!(!line.label.is_empty() && line.label.len() <= 48, "{title}: {:?}", line.label);
                    assert!(line.points.len() > 1, "{title}: {:?} is a line", line.label);
                }
            }
            assert_eq!(plot::unreadable(&charts), Vec::<String>::new(), "{}", experiment.file());
        }
    }

    /// `make pictures` redraws them from the data beside them.
    #[test]
    fn plots_in_the_documentation_show_the_data_beside_them() {
        for experiment in Experiment::ALL {
            let file = experiment.file();
            let (csv, drawn) = (kept(&format!("{file}.csv")), kept(&format!("{file}.svg")));
            assert!(redrawn(experiment.panels(), &csv).unwrap() == drawn, "{file}: make pictures");
        }
    }

    #[test]
    fn a_line_that_is_no_data_is_named() {
        let csv = format!("{}this is no data\n", report::csv("nodes", &[]));
        assert_eq!(redrawn(&[], &csv), Err("line 2: \"this is no data\"".into()));
    }
}
