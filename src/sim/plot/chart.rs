//! One chart: its title, the name of the y axis, the lines, the name of the x axis, and the legend.

use super::axis::{Axis, Count};
use super::drawing::{Anchor, Drawing, Text, width};

/// Lines over two axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// In bold above the chart.
    pub title: String,
    /// The names of what was varied and what was measured, and the scale of each axis.
    pub x: (String, Count),
    /// The vertical axis; it begins at zero if it is linear.
    pub y: (String, Count),
    /// In the order of the legend; later lines are drawn over earlier ones.
    pub lines: Vec<Line>,
    /// Drawn behind the lines, to point out a part of the x axis.
    pub shade: Option<Shade>,
}

/// A line, with its own colour.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// Its name in the legend.
    pub label: String,
    /// In the order in which the line runs through them; those that an axis can't show are left out.
    pub points: Vec<Point>,
    /// The values of others, drawn as circles.
    pub others: Vec<(f64, f64)>,
    /// Whether it is not measured, but a reference for the other lines: grey and dashed.
    pub is_reference: bool,
}

/// A value and its uncertainty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// What was varied.
    pub x: f64,
    /// What was measured.
    pub y: f64,
    /// The uncertainty of `y`, either way; 0 if there is none. Not drawn if it is infinite.
    pub interval: f64,
}

impl Point {
    /// A value without uncertainty.
    pub fn at(x: f64, y: f64) -> Point {
        Point { x, y, interval: 0.0 }
    }
}

/// A part of the chart that is grey, and its meaning.
#[derive(Clone, Debug, PartialEq)]
pub struct Shade {
    /// Where it begins, in units of the x axis.
    pub from: f64,
    /// Where it ends; greater than `from`.
    pub to: f64,
    /// Its meaning, in the legend.
    pub label: String,
}

pub(super) const STYLE: &str = ".title{font-weight:bold} .quiet{fill:#555} .grid{stroke:#e3e3e3} .axis{stroke:#888} \
                                .line{fill:none;stroke-width:2;stroke-linejoin:round} .interval{opacity:.55} \
                                .others{fill:none;stroke-width:1.5} .shade{fill:#000;opacity:.1}";

/// The colours of lines, in the order of their use: eight that differ as much as possible on white.
const COLOURS: [&str; 8] = ["#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#e377c2", "#17becf"];
const GREY: &str = "#999";

/// Font sizes, in pixels.
const TITLE: f64 = 15.0;
const LABEL: f64 = 13.0;
const TICK: f64 = 12.0;

/// From the top: the baselines of the title and of the name of the y axis, and the rectangle of the lines.
const TITLE_AT: f64 = 14.0;
const Y_LABEL_AT: f64 = 33.0;
const PLOT_FROM: f64 = 46.0;
const PLOT_TO: f64 = 276.0;

/// From the bottom of that rectangle: the baselines of the numbers at the x axis, of its name, and of the legend's
/// first row.
const TICKS_BELOW: f64 = 19.0;
const X_LABEL_BELOW: f64 = 38.0;
const LEGEND_BELOW: f64 = 62.0;
const LEGEND_ROW: f64 = 19.0;

/// The width of the sample before a name, and the room after the name.
const SWATCH: f64 = 24.0;
const AFTER_NAME: f64 = 18.0;

/// The name of the circles in the legend.
const OTHERS: &str = "the paper (circles)";

/// Longer lines have no marks at their points: they would be nothing but marks.
const MOST_MARKS: usize = 40;

/// A line that is this near to another, in pixels, hides it.
const HIDES: f64 = 1.5;

/// An entry of the legend.
enum Entry<'a> {
    Line(&'a Line, &'a str),
    Others,
    Shade(&'a str),
}

impl Entry<'_> {
    fn name(&self) -> &str {
        match self {
            Entry::Line(line, _) => &line.label,
            Entry::Others => OTHERS,
            Entry::Shade(label) => label,
        }
    }
}

/// The colour of the measured line with this number. After the first eight, colours are taken round the colour wheel by
/// the golden angle, so that no two are equal.
fn colour(at: usize) -> String {
    match COLOURS.get(at) {
        Some(colour) => (*colour).to_owned(),
        None => format!("hsl({:.0},65%,{}%)", (at as f64 * 137.508) % 360.0, 28 + 12 * (at % 3)),
    }
}

impl Chart {
    fn colours(&self) -> Vec<String> {
        let mut measured = 0..;
        let mut next = || colour(measured.next().unwrap_or_default());
        self.lines.iter().map(|line| if line.is_reference { GREY.to_owned() } else { next() }).collect()
    }

    fn is_drawable(&self, (x, y): (f64, f64)) -> bool {
        self.x.1.shows(x) && self.y.1.shows(y)
    }

    fn points<'a>(&'a self, line: &'a Line) -> impl Iterator<Item = &'a Point> {
        line.points.iter().filter(|point| self.is_drawable((point.x, point.y)))
    }

    fn axes(&self) -> (Axis, Axis) {
        let points = || self.lines.iter().flat_map(|line| self.points(line));
        let others = || self.lines.iter().flat_map(|line| &line.others).filter(|other| self.is_drawable(**other));
        let high = |point: &Point| point.y + if point.interval.is_finite() { point.interval } else { 0.0 };
        let x = points().map(|point| point.x).chain(others().map(|(x, _)| *x));
        let y = points().flat_map(|point| [point.y, high(point)]).chain(others().map(|(_, y)| *y));
        (Axis::across(x, self.x.1), Axis::up(y, self.y.1))
    }

    /// The rows of the legend, each at most this wide.
    fn legend<'a>(&'a self, colours: &'a [String], room: f64) -> Vec<Vec<Entry<'a>>> {
        let mut entries: Vec<Entry> = self.lines.iter().zip(colours).map(|(line, c)| Entry::Line(line, c)).collect();
        if self.lines.iter().any(|line| !line.others.is_empty()) {
            entries.push(Entry::Others);
        }
        entries.extend(self.shade.as_ref().map(|shade| Entry::Shade(&shade.label)));
        let (mut rows, mut right) = (Vec::<Vec<Entry>>::new(), f64::MAX);
        for entry in entries {
            let needed = SWATCH + width(entry.name(), TICK) + AFTER_NAME;
            match rows.last_mut() {
                Some(row) if right + needed <= room + AFTER_NAME => row.push(entry),
                _ => {
                    rows.push(vec![entry]);
                    right = 0.0;
                }
            }
            right += needed;
        }
        rows
    }

    /// Its height at this width.
    pub(super) fn height(&self, width: f64) -> f64 {
        let colours = self.colours();
        let rows = self.legend(&colours, width).len() as f64;
        PLOT_TO + if rows > 0.0 { LEGEND_BELOW + LEGEND_ROW * (rows - 1.0) + 6.0 } else { X_LABEL_BELOW + 6.0 }
    }

    /// Draws it with its upper left corner at this point.
    pub(super) fn draw(&self, drawing: &mut Drawing, (left, top): (f64, f64), width: f64) {
        let (x, y) = self.axes();
        let names_of_y = y.names();
        let widest = names_of_y.iter().map(|name| super::drawing::width(name, TICK)).fold(0.0, f64::max);
        let frame = Frame { left: left + widest + 8.0, right: left + width - 8.0, top: top + PLOT_FROM, x, y };
        let write = |drawing: &mut Drawing, (x, y), anchor, size, class, text: &str| {
            drawing.text(Text { x, y, anchor, size, class, text: text.to_owned() });
        };
        write(drawing, (left, top + TITLE_AT), Anchor::Start, TITLE, "title", &self.title);
        write(drawing, (left, top + Y_LABEL_AT), Anchor::Start, LABEL, "quiet", &self.y.0);
        for (tick, name) in frame.y.ticks.iter().zip(&names_of_y) {
            let at = frame.y_at(*tick);
            let (from, to) = (frame.left, frame.right);
            drawing.shape(format_args!("<path class=\"grid\" d=\"M{from:.1} {at:.1}H{to:.1}\"/>"));
            write(drawing, (frame.left - 8.0, at + 0.36 * TICK), Anchor::End, TICK, "", name);
        }
        let bottom = frame.bottom();
        for (tick, name, fits) in frame.names_of_x() {
            let at = frame.x_at(tick);
            drawing.shape(format_args!("<path class=\"axis\" d=\"M{at:.1} {bottom:.1}v4\"/>"));
            if fits {
                write(drawing, (at, bottom + TICKS_BELOW), Anchor::Middle, TICK, "", &name);
            }
        }
        drawing.shape(format_args!("<path class=\"axis\" d=\"M{:.1} {bottom:.1}H{:.1}\"/>", frame.left, frame.right));
        let middle = (frame.left + frame.right) / 2.0;
        write(drawing, (middle, bottom + X_LABEL_BELOW), Anchor::Middle, LABEL, "quiet", &self.x.0);
        if let Some(shade) = &self.shade {
            let (from, to) = (frame.x_at(shade.from), frame.x_at(shade.to));
            drawing.shape(format_args!(
                "<rect class=\"shade\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
                frame.top,
                to - from,
                bottom - frame.top
            ));
        }
        let colours = self.colours();
        for (at, (line, colour)) in self.lines.iter().zip(&colours).enumerate() {
            self.draw_line(drawing, &frame, line, colour, self.runs_over_another(&frame, at));
        }
        self.draw_legend(drawing, (left, bottom + LEGEND_BELOW), &self.legend(&colours, width));
    }

    /// The places of the points of a line.
    fn places(&self, frame: &Frame, line: &Line) -> Vec<(f64, f64)> {
        self.points(line).map(|point| (frame.x_at(point.x), frame.y_at(point.y))).collect()
    }

    /// Whether a part of this line would hide an earlier line.
    fn runs_over_another(&self, frame: &Frame, at: usize) -> bool {
        let is_near = |one: &(f64, f64), other: &(f64, f64)| (one.0 - other.0).hypot(one.1 - other.1) < HIDES;
        let points = self.places(frame, &self.lines[at]);
        self.lines[..at].iter().any(|other| {
            let others = self.places(frame, other);
            let is_hidden = |point: &(f64, f64)| others.iter().any(|other| is_near(point, other));
            points.windows(2).any(|part| part.iter().all(is_hidden))
        })
    }

    fn draw_line(&self, drawing: &mut Drawing, frame: &Frame, line: &Line, colour: &str, is_broken: bool) {
        let place = |(x, y): (f64, f64)| (frame.x_at(x), frame.y_at(y));
        let points = self.places(frame, line);
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
        let path = path.join("L");
        if line.is_reference {
            drawing.shape(format_args!(
                "<path class=\"line\" stroke=\"{colour}\" stroke-dasharray=\"6 4\" d=\"M{path}\"/>"
            ));
            return;
        }
        let dashes = if is_broken { " stroke-dasharray=\"7 7\"" } else { "" };
        drawing.shape(format_args!("<path class=\"line\" stroke=\"{colour}\"{dashes} d=\"M{path}\"/>"));
        let uncertain = |point: &&Point| point.interval.is_finite() && point.interval > 0.0;
        let intervals: String = self
            .points(line)
            .filter(uncertain)
            .map(|point| {
                let low = frame.y_at(point.y - point.interval).min(frame.bottom());
                let (x, high) = place((point.x, point.y + point.interval));
                format!("M{x:.1} {low:.1}V{high:.1}")
            })
            .collect();
        if !intervals.is_empty() {
            drawing.shape(format_args!("<path class=\"interval\" stroke=\"{colour}\" d=\"{intervals}\"/>"));
        }
        for (x, y) in points.iter().filter(|_| points.len() <= MOST_MARKS) {
            drawing.shape(format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{colour}\"/>"));
        }
        for (x, y) in line.others.iter().filter(|other| self.is_drawable(**other)).map(|other| place(*other)) {
            drawing.shape(format_args!(
                "<circle class=\"others\" stroke=\"{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"/>"
            ));
        }
    }

    fn draw_legend(&self, drawing: &mut Drawing, (left, top): (f64, f64), rows: &[Vec<Entry>]) {
        let mut y = top;
        for row in rows {
            let mut x = left;
            for entry in row {
                let (middle, end) = (y - 0.36 * TICK, x + SWATCH - 7.0);
                match entry {
                    Entry::Line(line, colour) => {
                        let dashes = if line.is_reference { " stroke-dasharray=\"6 4\"" } else { "" };
                        drawing.shape(format_args!(
                            "<path class=\"line\" stroke=\"{colour}\"{dashes} d=\"M{x:.1} {middle:.1}H{end:.1}\"/>"
                        ));
                    }
                    Entry::Others => drawing.shape(format_args!(
                        "<circle class=\"others\" stroke=\"#333\" cx=\"{:.1}\" cy=\"{middle:.1}\" r=\"5\"/>",
                        (x + end) / 2.0
                    )),
                    Entry::Shade(_) => drawing.shape(format_args!(
                        "<rect class=\"shade\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"12\"/>",
                        middle - 6.0,
                        end - x
                    )),
                }
                let text = entry.name().to_owned();
                let after = SWATCH + width(&text, TICK) + AFTER_NAME;
                drawing.text(Text { x: x + SWATCH, y, anchor: Anchor::Start, size: TICK, class: "", text });
                x += after;
            }
            y += LEGEND_ROW;
        }
    }
}

/// The rectangle of the lines.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    x: Axis,
    y: Axis,
}

impl Frame {
    fn bottom(&self) -> f64 {
        self.top + PLOT_TO - PLOT_FROM
    }

    fn x_at(&self, value: f64) -> f64 {
        self.left + (self.right - self.left) * self.x.at(value)
    }

    /// Values that a logarithmic axis can't show are put at the bottom.
    fn y_at(&self, value: f64) -> f64 {
        let at = if self.y.count.shows(value) { self.y.at(value) } else { 0.0 };
        self.bottom() - (self.bottom() - self.top) * at
    }

    /// The ticks of the x axis with their labels, and whether a label fits beside the earlier ones.
    fn names_of_x(&self) -> Vec<(f64, String, bool)> {
        let mut free_from = f64::MIN;
        let ticks = self.x.ticks.iter().zip(self.x.names()).map(|(tick, text)| {
            let at = self.x_at(*tick);
            let half = width(&text, TICK) / 2.0;
            let fits = at - half >= free_from;
            if fits {
                free_from = at + half + 4.0;
            }
            (*tick, text, fits)
        });
        ticks.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_line_that_runs_over_another_is_broken_so_that_both_are_seen() {
        let line = |label: &str, at: f64| Line {
            label: label.into(),
            points: (0..4).map(|x| Point::at(f64::from(x), if x == 3 { at } else { 0.0 })).collect(),
            ..Line::default()
        };
        let axis = |name: &str| (name.to_owned(), Count::Linear);
        let lines = vec![line("ours", 0.0), line("theirs", 9.0)];
        let chart = Chart { title: String::new(), x: axis("x"), y: axis("y"), lines, shade: None };
        let svg = crate::sim::plot::svg(std::slice::from_ref(&chart));
        assert_eq!(svg.matches("stroke-dasharray=\"7 7\"").count(), 1);
        let apart = Chart { lines: vec![line("one", 9.0)], ..chart };
        assert!(!crate::sim::plot::svg(&[apart]).contains("dasharray"));
    }

    #[test]
    fn no_two_lines_have_one_colour() {
        let colours: BTreeSet<String> = (0..30).map(colour).collect();
        assert_eq!(colours.len(), 30);
    }
}
