//! Draws the lookups of the last minute: those of the watch, and all.

use ratatui_core::layout::{Constraint, Layout, Rect};
use ratatui_core::style::{Color, Style, Stylize};
use ratatui_core::terminal::Frame;
use ratatui_core::text::{Line, Span};
use ratatui_widgets::block::Block;
use ratatui_widgets::paragraph::Paragraph;
use ratatui_widgets::sparkline::{RenderDirection, Sparkline, SparklineBar};

use super::figures::{QUANTILES, quantile};
use super::model::Watch;
use super::render::{WIDE, millis};

pub fn draw(frame: &mut Frame<'_>, area: Rect, watch: &Watch) {
    if area.width < WIDE {
        let lines = vec![times(watch), answered(watch), all(watch)];
        // The failures are what a narrow screen should not lose.
        let [times, answered, all] = <[Line<'_>; 3]>::try_from(lines).unwrap_or_default();
        let mut second = answered.spans;
        second.push("  ".into());
        second.extend(all.spans);
        let text = Paragraph::new(vec![times, Line::from(second)]);
        frame.render_widget(text.block(Block::bordered().title(" lookups of this watch, and all ")), area);
        return;
    }
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(area);
    let slowest = watch.probes.slowest(watch.now).into_iter().map(SparklineBar::from);
    let lookups = (" lookups of this watch, last minute ", [times(watch), answered(watch)]);
    panel(frame, left, lookups, slowest, Color::Cyan);
    let about = Line::from("by anybody, those of fingers among them").dim();
    let rates = watch.lookups.rates.iter().map(|rate| SparklineBar::from((rate * 10.0) as u64));
    panel(frame, right, (" lookups of the ring ", [all(watch), about]), rates, Color::Magenta);
}

type Described<'a> = (&'static str, [Line<'a>; 2]);

fn panel(
    frame: &mut Frame<'_>,
    area: Rect,
    (title, lines): Described<'_>,
    bars: impl Iterator<Item = SparklineBar>,
    colour: Color,
) {
    let block = Block::bordered().title(title);
    let [text, bottom] = Layout::vertical([Constraint::Length(2), Constraint::Fill(1)]).areas(block.inner(area));
    frame.render_widget(block, area);
    frame.render_widget(Paragraph::new(lines.to_vec()), text);
    // The latest is at the right.
    let bars = Sparkline::default().data(bars).direction(RenderDirection::RightToLeft);
    frame.render_widget(bars.absent_value_symbol(" ").style(Style::new().fg(colour)), bottom);
}

fn times(watch: &Watch) -> Line<'static> {
    let times = watch.probes.times();
    let figures: Vec<Span<'_>> = QUANTILES
        .iter()
        .filter_map(|(name, part)| Some((name, quantile(&times, *part)?)))
        .flat_map(|(name, time)| [format!("{name} ").dim(), format!("{} ", millis(time)).bold()])
        .collect();
    match figures[..] {
        [] => "no answer yet".into(),
        _ => Line::from([figures, vec!["ms".into()]].concat()),
    }
}

fn answered(watch: &Watch) -> Line<'static> {
    let failed = watch.probes.failed();
    let mut line = vec![format!("{:.1}/s answered, ", watch.probes.per_second(watch.now)).into()];
    let n: u64 = failed.values().sum();
    let reasons: Vec<_> = failed.iter().map(|(why, n)| format!("{n} {why}")).collect();
    line.push(match n {
        0 => "0 failed".into(),
        _ => format!("{n} failed: {}", reasons.join(", ")).fg(Color::Red),
    });
    line.into()
}

fn all(watch: &Watch) -> Line<'static> {
    match (watch.lookups.now(), watch.members.len()) {
        (None, _) => "all: not known".into(),
        (Some(rate), n) if n == watch.lookups.members => format!("{rate:.0} lookups/s end at all members").into(),
        (Some(rate), n) => {
            format!("{rate:.0} lookups/s end at the {} of {n} that report", watch.lookups.members).into()
        }
    }
}
