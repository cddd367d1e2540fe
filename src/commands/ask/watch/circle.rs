//! The ring as a circle: members where their identifiers are, zero at the top and then clockwise.

use chord::Peer;
use chord::sim::ring::labels::angle;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Style};
use ratatui_core::terminal::Frame;
use ratatui_core::text::Span;
use ratatui_widgets::block::Block;
use ratatui_widgets::canvas::{Canvas, Circle, Context};

use super::model::{Row, Watch};
use super::render::{colour, symbol};

/// Rings of up to this many rows of the table have their numbers beside the members.
const NUMBERED: usize = 24;

/// Half of the side of the drawn square; the circle has the radius one.
const EDGE: f64 = 1.3;

/// Where the numbers are.
const OUTSIDE: f64 = 1.18;

pub fn draw(frame: &mut Frame<'_>, area: Rect, watch: &Watch) {
    let inside = Block::bordered().inner(area);
    // A cell is about twice as high as it is wide.
    let wide = EDGE * f64::from(inside.width) / (2.0 * f64::from(inside.height.max(1)));
    let rows = watch.rows();
    let canvas = Canvas::default()
        .block(Block::bordered().title(" ring "))
        .x_bounds([-wide, wide])
        .y_bounds([-EDGE, EDGE])
        .paint(|context| {
            let cell = (2.0 * wide / f64::from(inside.width.max(1)), 2.0 * EDGE / f64::from(inside.height.max(1)));
            paint(context, &rows, cell, watch.members.len());
        });
    frame.render_widget(canvas, area);
}

/// A cell has this width and height.
fn paint(context: &mut Context<'_>, rows: &[Row<'_>], (width, height): (f64, f64), members: usize) {
    context.draw(&Circle { x: 0.0, y: 0.0, radius: 1.0, color: Color::Blue });
    let mut write = |text: String, style: Style, (x, y): (f64, f64)| {
        // A text begins in the cell that it is in, and not in the nearest.
        let before = text.chars().count() as f64 / 2.0 - 1.0;
        context.print(x - before * width, y - height / 2.0, Span::styled(text, style));
    };
    let s = if members == 1 { "" } else { "s" };
    write(format!("{members} member{s}"), Style::new(), (0.0, 0.0));
    if rows.len() <= NUMBERED {
        for (at, row) in rows.iter().enumerate() {
            write(format!("{}", at + 1), Style::new(), point(row.peer, OUTSIDE));
        }
    }
    for row in rows {
        write(symbol(&row.standing).into(), Style::new().fg(colour(&row.standing)), point(row.peer, 1.0));
    }
}

fn point(peer: Peer, radius: f64) -> (f64, f64) {
    let angle = angle(peer.id);
    (radius * angle.sin(), radius * angle.cos())
}
