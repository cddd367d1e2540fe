//! Draws cells on a terminal by the control sequences of ECMA-48, which all terminals of today understand. A library of
//! terminals would be eleven crates for these few sequences.

use std::io::{self, Write};

use chord::console::streams::output;
use ratatui_core::backend::{Backend, ClearType, WindowSize};
use ratatui_core::buffer::Cell;
use ratatui_core::layout::{Position, Size};
use ratatui_core::style::{Color, Modifier};
use rustix::termios::tcgetwinsize;

/// What cells look like beside their symbols.
type Look = (Color, Color, Modifier);

const PLAIN: Look = (Color::Reset, Color::Reset, Modifier::empty());

/// The terminal on standard output.
pub struct Ansi<W = Output> {
    /// A frame is written at once, by `flush`.
    frame: Vec<u8>,
    to: W,
    colours: bool,
}

/// Standard output, which is waited for.
pub struct Output;

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        output().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Ansi {
    /// Without `colours` only bold, dim and reversed remain.
    pub fn new(colours: bool) -> Ansi {
        Ansi { frame: Vec::new(), to: Output, colours }
    }
}

impl<W: Write> Ansi<W> {
    fn put(&mut self, sequence: &str) {
        self.frame.extend_from_slice(sequence.as_bytes());
    }

    fn look(&mut self, (foreground, background, modifier): Look) {
        let mut codes = vec!["0".to_string()];
        for (flag, code) in [(Modifier::BOLD, "1"), (Modifier::DIM, "2"), (Modifier::REVERSED, "7")] {
            codes.extend(modifier.contains(flag).then(|| code.into()));
        }
        if self.colours {
            codes.extend(code(foreground).map(|code| format!("3{code}")));
            codes.extend(code(background).map(|code| format!("4{code}")));
        }
        self.put(&format!("\x1b[{}m", codes.join(";")));
    }
}

/// The colours that every terminal has and lets its user choose; no others are drawn with.
fn code(colour: Color) -> Option<u8> {
    let colours =
        [Color::Black, Color::Red, Color::Green, Color::Yellow, Color::Blue, Color::Magenta, Color::Cyan, Color::Gray];
    colours.iter().position(|other| *other == colour).and_then(|at| u8::try_from(at).ok())
}

impl<W: Write> Backend for Ansi<W> {
    type Error = io::Error;

    fn draw<'a, I: Iterator<Item = (u16, u16, &'a Cell)>>(&mut self, content: I) -> io::Result<()> {
        let (mut at, mut look) = (None, PLAIN);
        for (x, y, cell) in content {
            if at != Some((x, y)) {
                self.put(&format!("\x1b[{};{}H", y + 1, x + 1));
            }
            let wanted = (cell.fg, cell.bg, cell.modifier);
            if look != wanted {
                self.look(wanted);
                look = wanted;
            }
            self.put(cell.symbol());
            // Symbols of two columns are followed by a move.
            at = Some((x + 1, y));
        }
        if look != PLAIN {
            self.look(PLAIN);
        }
        Ok(())
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.put("\x1b[?25l");
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.put("\x1b[?25h");
        Ok(())
    }

    /// Only drawings inside a page of text ask for it.
    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        let Position { x, y } = position.into();
        self.put(&format!("\x1b[{};{}H", y + 1, x + 1));
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.put("\x1b[2J");
        Ok(())
    }

    fn clear_region(&mut self, region: ClearType) -> io::Result<()> {
        self.put(match region {
            ClearType::All => "\x1b[2J",
            ClearType::AfterCursor => "\x1b[J",
            ClearType::BeforeCursor => "\x1b[1J",
            ClearType::CurrentLine => "\x1b[2K",
            ClearType::UntilNewLine => "\x1b[K",
        });
        Ok(())
    }

    fn size(&self) -> io::Result<Size> {
        let size = tcgetwinsize(io::stdout())?;
        Ok(Size::new(size.ws_col, size.ws_row))
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize { columns_rows: self.size()?, pixels: Size::default() })
    }

    fn flush(&mut self) -> io::Result<()> {
        let frame = std::mem::take(&mut self.frame);
        self.to.write_all(&frame)
    }
}

#[cfg(test)]
mod tests {
    use ratatui_core::buffer::Buffer;
    use ratatui_core::layout::Rect;
    use ratatui_core::style::Style;

    use super::*;

    fn drawn(colours: bool) -> String {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 8, 2));
        buffer.set_string(1, 0, "ok", Style::new().fg(Color::Green).add_modifier(Modifier::BOLD));
        buffer.set_string(4, 1, "x", Style::new());
        let changed = Buffer::empty(Rect::new(0, 0, 8, 2));
        let mut ansi = Ansi { frame: Vec::new(), to: Vec::new(), colours };
        ansi.draw(changed.diff(&buffer).into_iter()).unwrap();
        ansi.flush().unwrap();
        String::from_utf8(ansi.to).unwrap()
    }

    #[test]
    fn only_what_has_changed_is_drawn_and_the_look_is_reset() {
        assert_eq!(drawn(true), "\x1b[1;2H\x1b[0;1;32mok\x1b[2;5H\x1b[0mx");
        assert_eq!(drawn(false), "\x1b[1;2H\x1b[0;1mok\x1b[2;5H\x1b[0mx", "without colours");
    }
}
