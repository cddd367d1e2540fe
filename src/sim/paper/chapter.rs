//! The results of an experiment: our figures beside those of the paper.

use super::Experiment;
use super::stats::Estimate;
use crate::sim::plot::Count;

/// One number from one seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What distinguishes the lines of the plot.
    pub series: String,
    /// What varies along a line.
    pub x: f64,
    /// What was measured.
    pub measure: &'static str,
    /// In the unit that the measure names.
    pub value: f64,
}

/// A number as the paper prints it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Printed {
    /// As printed, that is, rounded.
    pub value: f64,
    /// The digits after the point; the rest was rounded away.
    pub decimals: u8,
}

impl Printed {
    /// The most that rounding may have changed it.
    pub fn rounding(self) -> f64 {
        0.5 * 0.1f64.powi(self.decimals.into())
    }
}

/// One measure at one point, over all seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// As in [`Reading::series`].
    pub series: String,
    /// As in [`Reading::x`].
    pub x: f64,
    /// As in [`Reading::measure`].
    pub measure: &'static str,
    /// The mean of the values of all seeds, with its uncertainty.
    pub ours: Estimate,
    /// `None` where the paper gives no value.
    pub paper: Option<Printed>,
}

impl Row {
    /// Our mean minus the paper's value, if chance and rounding do not explain the difference.
    pub fn difference(&self) -> Option<f64> {
        let paper = self.paper?;
        let difference = self.ours.mean - paper.value;
        (difference.abs() > self.ours.interval + paper.rounding()).then_some(difference)
    }

    /// Whether one more seed of ours might give the paper's value.
    pub fn is_within_spread(&self) -> bool {
        self.paper.is_some_and(|paper| (self.ours.mean - paper.value).abs() <= self.ours.spread + paper.rounding())
    }
}

/// One of the plots of an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panel {
    /// Written above the chart.
    pub title: &'static str,
    /// What the axes show, and how they count.
    pub x: (&'static str, Count),
    /// The vertical axis, which shows the measures.
    pub y: (&'static str, Count),
    /// A line for each of these measures in each series that has it.
    pub measures: &'static [&'static str],
    /// Limited to these series; all if empty.
    pub series: &'static [&'static str],
    /// Short names for the legend, for series and measures whose names are too long.
    pub names: &'static [(&'static str, &'static str)],
}

impl Panel {
    /// Whether a row belongs here.
    pub fn shows(&self, row: &Row) -> bool {
        self.measures.contains(&row.measure) && (self.series.is_empty() || self.series.contains(&&*row.series))
    }
}

/// The results of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct Chapter {
    /// The one that was run.
    pub experiment: Experiment,
    /// What was done, with which parameters.
    pub about: &'static str,
    /// What x is.
    pub x: &'static str,
    /// The measures in the table of the report; the data file has all.
    pub table: &'static [&'static str],
    /// In the order in which their points first occurred.
    pub rows: Vec<Row>,
    /// Further remarks on the figures, as paragraphs or tables.
    pub notes: Vec<String>,
    /// Why we differ from the paper: each reason says which rows it explains.
    pub reasons: Vec<Reason>,
}

/// Why rows differ from the paper.
#[derive(Clone, Copy)]
pub struct Reason {
    /// Whether the reason applies to a row.
    pub explains: fn(&Row) -> bool,
    /// The reason, and how it was found.
    pub text: &'static str,
}

impl std::fmt::Debug for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.text.fmt(f)
    }
}

impl PartialEq for Reason {
    fn eq(&self, other: &Reason) -> bool {
        self.text == other.text
    }
}

impl Chapter {
    /// The row of this measure at this point.
    pub fn row(&self, series: &str, x: f64, measure: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.series == series && row.x == x && row.measure == measure)
    }
}

/// Combines readings into rows, in the order in which their points first occur; `paper` gives the paper's value for a
/// series, an x and a measure.
pub fn rows(readings: Vec<Reading>, paper: impl Fn(&str, f64, &str) -> Option<Printed>) -> Vec<Row> {
    let mut points: Vec<(Reading, Vec<f64>)> = Vec::new();
    for reading in readings {
        let same = |(point, _): &&mut (Reading, Vec<f64>)| {
            (point.x, point.measure) == (reading.x, reading.measure) && point.series == reading.series
        };
        match points.iter_mut().find(same) {
            Some((_, values)) => values.push(reading.value),
            None => {
                let value = reading.value;
                points.push((reading, vec![value]));
            }
        }
    }
    let row = |(point, values): (Reading, Vec<f64>)| Row {
        paper: paper(&point.series, point.x, point.measure),
        ours: Estimate::of(&values),
        series: point.series,
        x: point.x,
        measure: point.measure,
    };
    points.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(series: &str, x: f64, value: f64) -> Reading {
        Reading { series: series.into(), x, measure: "mean", value }
    }

    #[test]
    fn readings_of_one_point_become_one_row() {
        let readings = vec![reading("b", 1.0, 4.0), reading("a", 1.0, 1.0), reading("b", 1.0, 6.0)];
        let rows =
            rows(readings, |series, x, _| (series == "b" && x == 1.0).then_some(Printed { value: 5.0, decimals: 0 }));
        let named: Vec<_> =
            rows.iter().map(|row| (&*row.series, row.ours.mean, row.ours.seeds, row.paper.is_some())).collect();
        assert_eq!(named, [("b", 5.0, 2, true), ("a", 1.0, 1, false)]);
    }

    #[test]
    fn difference_is_told_beyond_chance_and_rounding_only() {
        let row = |mean, interval, paper: f64| Row {
            series: String::new(),
            x: 0.0,
            measure: "mean",
            ours: Estimate { mean, interval, spread: 2.0 * interval, seeds: 5 },
            paper: Some(Printed { value: paper, decimals: 1 }),
        };
        assert_eq!(row(3.0, 0.1, 3.13).difference(), None);
        assert_eq!(row(3.0, 0.1, 3.25).difference(), Some(-0.25));
        assert!(row(3.0, 0.1, 3.25).is_within_spread() && !row(3.0, 0.1, 3.26).is_within_spread());
        assert_eq!(row(3.0, f64::INFINITY, 9.0).difference(), None);
        assert_eq!(Row { paper: None, ..row(3.0, 0.0, 9.0) }.difference(), None);
    }
}
