//! The output of chapters: data to calculate with, and a report to read.

use std::fmt::Write;

use super::chapter::{Chapter, Panel, Printed, Row};
use super::stats::Estimate;
use super::{Experiment, Extent};

/// The first line of a report: a directory whose report begins with it may be overwritten.
pub const MARK: &str = "<!-- written by chord sim paper -->";

/// The name of the report.
pub const NAME: &str = "report.md";

/// All figures, one per line, below a header; `x` names what varies along a line.
pub fn csv(x: &str, rows: &[Row]) -> String {
    let mut text = format!("series,{},measure,ours,interval_95,seeds,paper\n", x.replace(", ", " "));
    // A field with a comma is quoted.
    let field = |text: &str| if text.contains(',') { format!("\"{text}\"") } else { text.to_owned() };
    for Row { series, x, measure, ours, paper } in rows {
        let interval = if ours.interval.is_finite() { ours.interval.to_string() } else { String::new() };
        let paper = paper.map(|paper| paper.value.to_string()).unwrap_or_default();
        // Writing to a string does not fail.
        let (series, measure) = (field(series), field(measure));
        let _ = writeln!(text, "{series},{x},{measure},{},{interval},{},{paper}", ours.mean, ours.seeds);
    }
    text
}

/// Reads the rows of such a text that these panels show, with all that is needed to draw them: the spread is not in the
/// text. An error names the line that can't be read.
pub fn read_csv(text: &str, panels: &[Panel]) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for (number, line) in (1..).zip(text.lines()).skip(1) {
        let row = read_line(line, panels).ok_or_else(|| format!("line {number}: {line:?}"))?;
        rows.extend(row);
    }
    Ok(rows)
}

/// `None` if the line can't be read; no row if no panel shows it.
fn read_line(line: &str, panels: &[Panel]) -> Option<Option<Row>> {
    let fields = fields(line);
    let [series, x, measure, mean, interval, seeds, paper] = &fields[..] else { return None };
    let shown = panels.iter().flat_map(|panel| panel.measures).find(|shown| *shown == measure);
    let interval = if interval.is_empty() { f64::INFINITY } else { interval.parse().ok()? };
    let decimals = paper.split_once('.').map_or(0, |(_, decimals)| decimals.len() as u8);
    let paper = if paper.is_empty() { None } else { Some(Printed { value: paper.parse().ok()?, decimals }) };
    let ours = Estimate { mean: mean.parse().ok()?, interval, spread: f64::INFINITY, seeds: seeds.parse().ok()? };
    let x = x.parse().ok()?;
    Some(shown.map(|measure| Row { series: series.clone(), x, measure, ours, paper }))
}

/// The fields of a line; those with a comma are quoted.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    for sign in line.chars() {
        match sign {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            sign => fields.last_mut().into_iter().for_each(|field| field.push(sign)),
        }
    }
    fields
}

/// The report on all requested experiments; names those that are missing.
pub fn markdown(asked: &[Experiment], chapters: &[Chapter], extent: Extent) -> String {
    let mut text = format!("{MARK}\n# The Chord paper's evaluation, on this code\n\n");
    text += "Section V of \"Chord: A Scalable Peer-to-peer Lookup Protocol for Internet Applications\" (IEEE/ACM \
             Transactions on Networking 11(1), 2003), repeated by `chord sim paper`; experiments from G on are not \
             in the paper. A number is the mean over seeds, ± what it may be off by with 95 % confidence; where a \
             difference to the paper is more than that and the paper's rounding, its reason stands below the table.\n";
    if extent == Extent::Quick {
        text +=
            "\n**This is the quick form:** rings are small, so that nothing but the shape compares with the paper.\n";
    }
    let missing: Vec<Experiment> =
        asked.iter().copied().filter(|asked| chapters.iter().all(|chapter| chapter.experiment != *asked)).collect();
    if !missing.is_empty() {
        text += &format!("\n**Interrupted. Missing:** {}.\n", names(&missing));
    }
    chapters.iter().for_each(|chapter| text += &section(chapter));
    text
}

/// Experiments by letter and title.
pub fn names(experiments: &[Experiment]) -> String {
    let names: Vec<String> =
        experiments.iter().map(|experiment| format!("{} ({})", experiment.letter(), experiment.title())).collect();
    names.join(", ")
}

fn section(chapter: &Chapter) -> String {
    let (experiment, file) = (chapter.experiment, chapter.experiment.file());
    let mut text = format!(
        "\n## {}. {}\n\n{}\n\n![{}]({file}.svg)\n\nData: [{file}.csv]({file}.csv)\n\n",
        experiment.letter(),
        experiment.title(),
        chapter.about,
        experiment.title()
    );
    text += &table(chapter);
    chapter.notes.iter().for_each(|note| text += &format!("\n{note}\n"));
    let differences = differences(chapter);
    if !differences.is_empty() {
        text += "\nWhere we differ from the paper, and why:\n\n";
        differences.iter().for_each(|line| text += &format!("- {line}\n"));
    }
    text
}

/// The table of a chapter: its measures, and where the paper has a value, that value and the difference.
fn table(chapter: &Chapter) -> String {
    let printed = |measure: &str| chapter.rows.iter().any(|row| row.measure == measure && row.paper.is_some());
    let mut head = vec!["", chapter.x];
    for measure in chapter.table {
        head.push(measure);
        if printed(measure) {
            head.extend(["paper", "difference"]);
        }
    }
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    let mut points: Vec<(&str, f64)> = Vec::new();
    for row in chapter.rows.iter().filter(|row| chapter.table.contains(&row.measure)) {
        let point = (&*row.series, row.x);
        if !points.contains(&point) {
            points.push(point);
        }
    }
    for (series, x) in points {
        let mut cells = vec![series.to_owned(), number(x)];
        for measure in chapter.table {
            let row = chapter.row(series, x, measure);
            cells.push(row.map(ours).unwrap_or_default());
            if printed(measure) {
                let paper = row.and_then(|row| Some((row, row.paper?)));
                cells.push(paper.map(|(_, paper)| fixed(paper.value, paper.decimals)).unwrap_or_default());
                cells.push(paper.map(|(row, paper)| compared(row.ours.mean, paper.value)).unwrap_or_default());
            }
        }
        text += &format!("| {} |\n", cells.join(" | "));
    }
    text
}

/// Each reason with the points that it explains, and the points without a reason.
fn differences(chapter: &Chapter) -> Vec<String> {
    let mut rows: Vec<&Row> = chapter.rows.iter().filter(|row| row.difference().is_some()).collect();
    let mut lines = Vec::new();
    for reason in &chapter.reasons {
        let (explained, rest): (Vec<&Row>, Vec<&Row>) = rows.into_iter().partition(|row| (reason.explains)(row));
        if !explained.is_empty() {
            lines.push(format!("{}: {}", points(&explained), reason.text));
        }
        rows = rest;
    }
    let (chance, rows): (Vec<&Row>, Vec<&Row>) = rows.into_iter().partition(|row| row.is_within_spread());
    if !chance.is_empty() {
        let spreads: Vec<String> = chance.iter().map(|row| spread(row)).collect();
        lines.push(format!(
            "{}: by chance. One more seed of ours would give, with 95 % confidence, {}; the paper's number is among these.",
            points(&chance),
            spreads.join("; ")
        ));
    }
    if !rows.is_empty() {
        lines.push(format!("{}: not explained.", points(&rows)));
    }
    lines
}

fn points(rows: &[&Row]) -> String {
    let mut lines: Vec<((&str, &str), Vec<String>)> = Vec::new();
    for row in rows {
        let line = (&*row.series, row.measure);
        match lines.iter_mut().find(|(other, _)| *other == line) {
            Some((_, at)) => at.push(number(row.x)),
            None => lines.push((line, vec![number(row.x)])),
        }
    }
    let name =
        |((series, measure), at): &((&str, &str), Vec<String>)| format!("{series}, {measure} at {}", at.join(", "));
    lines.iter().map(name).collect::<Vec<_>>().join("; ")
}

/// The range of values that one more seed may give.
fn spread(row: &Row) -> String {
    let (mean, spread) = (row.ours.mean, row.ours.spread);
    format!("{} to {}", number((mean - spread).max(0.0)), number(mean + spread))
}

fn ours(row: &Row) -> String {
    let (mean, interval) = (number(row.ours.mean), row.ours.interval);
    if interval.is_finite() && interval > 0.0 { format!("{mean} ± {}", number(interval)) } else { mean }
}

fn compared(ours: f64, paper: f64) -> String {
    if paper == 0.0 { format!("{:+.2}", ours - paper) } else { format!("{:+.1} %", 100.0 * (ours - paper) / paper) }
}

fn fixed(value: f64, decimals: u8) -> String {
    format!("{value:.*}", decimals.into())
}

/// A number with about three significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        _ if value.fract() == 0.0 => format!("{value}"),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        0.1.. => format!("{value:.2}"),
        0.001.. => format!("{value:.4}"),
        _ => format!("{value:.1e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_with_a_comma_is_quoted_and_notes_stand_below_the_table() {
        let ours = Estimate { mean: 2.0, interval: f64::INFINITY, spread: f64::INFINITY, seeds: 1 };
        let row = Row { series: "a".into(), x: 0.5, measure: "of 10,000", ours, paper: None };
        let chapter = Chapter {
            experiment: Experiment::Churn,
            about: "",
            x: "R",
            table: &["of 10,000"],
            rows: vec![row],
            notes: vec!["A note.".into()],
            reasons: Vec::new(),
        };
        assert_eq!(
            csv(chapter.x, &chapter.rows),
            "series,R,measure,ours,interval_95,seeds,paper\na,0.5,\"of 10,000\",2,,1,\n"
        );
        let report = markdown(&[Experiment::Churn], &[chapter], Extent::Full);
        assert!(report.ends_with("|  | R | of 10,000 |\n|---|---|---|\n| a | 0.50 | 2 |\n\nA note.\n"), "{report}");
    }
}
