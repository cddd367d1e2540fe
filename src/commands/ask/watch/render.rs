//! Draws what is known of a ring. Words and symbols say everything; colours repeat it.

use std::time::Duration;

use ratatui_core::layout::{Constraint, Layout, Rect};
use ratatui_core::style::{Color, Style, Stylize};
use ratatui_core::terminal::Frame;
use ratatui_core::text::{Line, Span, Text};
use ratatui_widgets::block::Block;
use ratatui_widgets::clear::Clear;
use ratatui_widgets::paragraph::{Paragraph, Wrap};
use ratatui_widgets::table::{Cell, Row as Cells, Table};

use super::circle;
use super::events::What;
use super::model::{Health, Row, Standing, Watch};
use super::rates;

/// Where each part is; parts for which there is no room have no area.
struct Areas {
    title: Rect,
    circle: Rect,
    members: Rect,
    rates: Rect,
    check: Rect,
    events: Rect,
    footer: Rect,
}

/// Screens at least this wide have parts beside each other.
pub const WIDE: u16 = 80;

/// From here on there is room for the circle.
const CIRCLE: (u16, u16) = (100, 24);

fn areas(area: Rect) -> Areas {
    let Rect { width, height, .. } = area;
    let is_wide = width >= WIDE;
    let rates = match height {
        ..14 => 0,
        _ if !is_wide => 4,
        14..36 => 5,
        _ => 6,
    };
    let footer = u16::from(height >= 5);
    let rest = height.saturating_sub(1 + rates + footer);
    // Few rows are for the members alone.
    let below = if height < 14 { 0 } else { rest * 2 / 5 };
    let below = if is_wide || height < 14 { below } else { rest * 4 / 7 };
    let [title, above, rates, below, footer] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(rates),
        Constraint::Length(below),
        Constraint::Length(footer),
    ])
    .areas(area);
    let has_circle = width >= CIRCLE.0 && height >= CIRCLE.1;
    let side = if has_circle { (above.height * 2).min(width / 2) } else { 0 };
    let [circle, members] = Layout::horizontal([Constraint::Length(side), Constraint::Fill(1)]).areas(above);
    let halves = [Constraint::Fill(1), Constraint::Fill(1)];
    let [check, events] = if is_wide { Layout::horizontal(halves) } else { Layout::vertical(halves) }.areas(below);
    Areas { title, circle, members, rates, check, events, footer }
}

/// How many members are shown at once.
pub fn rows(area: Rect) -> usize {
    // Without the borders and the heads of the columns.
    usize::from(areas(area).members.height.saturating_sub(3))
}

pub fn render(frame: &mut Frame<'_>, watch: &Watch) {
    let areas = areas(frame.area());
    frame.render_widget(title(watch), areas.title);
    if areas.circle.width > 0 {
        circle::draw(frame, areas.circle, watch);
    }
    members(frame, areas.members, watch);
    rates::draw(frame, areas.rates, watch);
    check(frame, areas.check, watch);
    let events: Vec<Line<'_>> = watch.events.iter().take(areas.events.height.into()).map(event).collect();
    let events = Paragraph::new(events).wrap(Wrap { trim: false });
    frame.render_widget(events.block(Block::bordered().title(" events, the latest first ")), areas.events);
    frame.render_widget(Line::from(FOOTER).dim(), areas.footer);
    if watch.help {
        help(frame);
    }
}

const FOOTER: &str = " q quit   ↑ ↓ scroll   c check now   ? help";

/// The word of the check, and its sign.
fn health(watch: &Watch) -> (&'static str, &'static str, Color) {
    match watch.health() {
        None => ("…", "not checked yet", Color::Reset),
        Some(health @ Health::Healthy) => ("●", health.word(), Color::Green),
        Some(health @ Health::Degraded) => ("▲", health.word(), Color::Yellow),
        Some(health) => ("✖", health.word(), Color::Red),
    }
}

fn title(watch: &Watch) -> Line<'static> {
    let (sign, word, colour) = health(watch);
    let (n, silent) = (watch.members.len(), watch.silent.len());
    let mut line = vec![
        Span::styled(format!(" {sign} {word} "), Style::new().fg(colour).bold().reversed()),
        format!(" {n} member{}", s(n)).bold(),
    ];
    if silent > 0 {
        line.push(format!(", {silent} silent").fg(Color::Red));
    }
    line.push(format!(" │ {}", watch.asked).into());
    if watch.through != watch.asked {
        line.push(format!(" is silent, through {}", watch.through).fg(Color::Yellow));
    }
    line.push(format!(" │ {}", clock(watch.now)).into());
    if let Some((at, took)) = watch.walked {
        let ago = short(watch.now.saturating_sub(at));
        line.push(format!(" │ walked {ago} ago in {} ms", millis(took)).into());
    }
    line.into()
}

pub fn s(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

/// Minutes and seconds, and hours if there are any.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

fn short(time: Duration) -> String {
    if time < Duration::from_secs(120) {
        format!("{} s", time.as_secs())
    } else {
        format!("{} min", time.as_secs() / 60)
    }
}

/// Three digits are enough.
pub fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    match millis {
        ..10.0 => format!("{millis:.2}"),
        ..100.0 => format!("{millis:.1}"),
        _ => format!("{millis:.0}"),
    }
}

pub fn symbol(standing: &Standing<'_>) -> &'static str {
    match standing {
        Standing::Member(member) if member.plain => "◆",
        Standing::Member(_) => "●",
        Standing::Lost => "?",
        Standing::Silent => "✖",
        Standing::Gone(_) => "○",
    }
}

pub fn colour(standing: &Standing<'_>) -> Color {
    match standing {
        Standing::Member(_) => Color::Green,
        Standing::Lost | Standing::Silent => Color::Red,
        Standing::Gone(_) => Color::Yellow,
    }
}

/// A column of the table: its head, whether it stands at the right, its width, and how wide a table has it.
type Column = (&'static str, bool, u16, u16);

const COLUMNS: [Column; 7] = [
    ("", true, 6, 0),
    ("address", false, 21, 0),
    ("id", false, 9, 79),
    ("keys", true, 8, 0),
    ("round trip", true, 10, 0),
    ("lookups/s", true, 9, 69),
    ("", false, 9, 0),
];

fn members(frame: &mut Frame<'_>, area: Rect, watch: &Watch) {
    let rows = watch.rows();
    let page = usize::from(area.height.saturating_sub(3));
    let shown = rows.iter().enumerate().skip(watch.scroll).take(page);
    let columns = COLUMNS.iter().filter(|(.., from)| area.width >= *from);
    let line = |cells: [String; 7]| {
        let cells = cells.into_iter().zip(COLUMNS).filter(|(_, (.., from))| area.width >= *from);
        cells.map(|(text, (_, right, ..))| if right { Line::from(text).right_aligned() } else { Line::from(text) })
    };
    let heads = Cells::new(line(COLUMNS.map(|(head, ..)| head.into())).map(Cell::from)).bold();
    let cells = shown.map(|(at, row)| {
        let style = match row.standing {
            Standing::Member(_) => Style::new(),
            _ => Style::new().fg(colour(&row.standing)),
        };
        Cells::new(line(texts(at, row, watch.now)).map(Cell::from)).style(style)
    });
    let last = (watch.scroll + page).min(rows.len());
    let title = match rows.len() {
        n if n <= page || page == 0 => " members, by identifier ".into(),
        n => format!(" members, {} to {last} of {n} ", watch.scroll + 1),
    };
    // Addresses of IPv6 are longer.
    let longest = rows.iter().map(|row| row.peer.addr.to_string().len()).max().unwrap_or_default();
    let widths = columns.map(|(head, _, width, _)| match *head {
        "address" => Constraint::Length(u16::try_from(longest).unwrap_or(u16::MAX).clamp(9, 30)),
        _ => Constraint::Length(*width),
    });
    let table = Table::new(cells, widths).header(heads).block(Block::bordered().title(title));
    frame.render_widget(table, area);
}

fn texts(at: usize, row: &Row<'_>, now: Duration) -> [String; 7] {
    let id: String = row.peer.id.to_string().chars().take(8).collect();
    let [mark, addr] = [format!("{} {:>3}", symbol(&row.standing), at + 1), row.peer.addr.to_string()];
    let none = String::new;
    let standing = match row.standing {
        Standing::Member(member) => {
            let rate = member.rate.map_or_else(none, |rate| format!("{rate:.1}"));
            let share = format!("{:.2} %", member.share * 100.0);
            let plain = if member.plain { "plain".into() } else { none() };
            return [mark, addr, id, share, format!("{} ms", millis(member.took)), rate, plain];
        }
        Standing::Lost => "unknown".into(),
        Standing::Silent => "silent".into(),
        Standing::Gone(since) => format!("gone {}", short(now.saturating_sub(since))),
    };
    [mark, addr, id, none(), none(), none(), standing]
}

fn check(frame: &mut Frame<'_>, area: Rect, watch: &Watch) {
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut title = " check: not done yet ".to_string();
    if let Some(why) = &watch.lost {
        title = " check: not possible ".into();
        lines.push(Line::from(format!("no member answers: {why}")).fg(Color::Red));
        lines.push(Line::from("  -> the members that were known are asked again and again").dim());
    } else if let Some(verdict) = &watch.verdict {
        let ago = if watch.checking { "running".into() } else { short(watch.now.saturating_sub(verdict.at)) + " ago" };
        title = format!(" check: {}, {ago} ", verdict.health.word());
        for alike in verdict.findings.chunk_by(|one, next| one.kind == next.kind) {
            let kind = alike[0].kind;
            lines.extend(alike.iter().map(|finding| Line::from(format!("{}: {}", kind.severity(), finding.what))));
            lines.push(Line::from(format!("  -> {}", kind.advice())).dim());
        }
        if verdict.findings.is_empty() {
            lines.push("nothing is wrong".into());
        }
    }
    lines.truncate(area.height.into());
    let text = Paragraph::new(Text::from(lines)).wrap(Wrap { trim: false });
    frame.render_widget(text.block(Block::bordered().title(title)), area);
}

fn event(event: &super::events::Event) -> Line<'static> {
    let style = match &event.what {
        What::Gone(_) | What::Silent(..) | What::Lost(_) => Style::new().fg(Color::Red),
        What::Appeared(_) | What::Returned(_) | What::Health(Health::Healthy) => Style::new().fg(Color::Green),
        What::Restarted(_) | What::Asking(_) | What::Health(_) => Style::new().fg(Color::Yellow),
        _ => Style::new(),
    };
    Line::from(vec![format!("{:>5} ", clock(event.at)).dim(), Span::styled(event.what.to_string(), style)])
}

const HELP: &str = "\
q, Esc        end
↑ ↓ j k       scroll the members by one
PageUp, PageDown, Home, End
c             check now
Ctrl-Z        suspend; fg goes on

● member   ◆ plain peer   ✖ named, but silent   ? no member answers
○ gone: nobody names it any more, shown for 30 s

The ring is asked from outside, and not joined. Events are what
differs from one walk to the next; what comes and goes between
two walks is not seen. This watch looks up four random keys a
second at random members: their times are without connecting, a
bar is the slowest of its second. The lookups of the ring are all
that end at its members; a bar is a walk.";

fn help(frame: &mut Frame<'_>) {
    let area = frame.area();
    let (width, height) = (68.min(area.width), (HELP.lines().count() as u16 + 2).min(area.height));
    let at = Rect::new((area.width - width) / 2, (area.height - height) / 2, width, height);
    frame.render_widget(Clear, at);
    frame.render_widget(Paragraph::new(HELP).wrap(Wrap { trim: false }).block(Block::bordered().title(" help ")), at);
}
