//! Shapes and texts of a picture as SVG. Texts are kept separately until the end, so that overlaps between them can be
//! found.

use std::fmt::Write;

/// The mean width of a character of size 1, in the widest of the fonts that are used to show pages (DejaVu Sans; of the
/// characters that labels have many of, its digits are the widest).
const CHARACTER: f64 = 0.64;

/// The classes of bold texts, and the factor by which these are wider.
pub const BOLD: [&str; 3] = ["title", "of-key", "on-path"];
const BOLDER: f64 = 1.12;

/// How far a text of size 1 reaches above and below its baseline.
const ASCENT: f64 = 0.76;
const DESCENT: f64 = 0.24;

/// The part of a text that is at its given place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Its left end.
    Start,
    /// The middle of its width.
    Middle,
    /// Its right end.
    End,
}

/// A line of text.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// In pixels from the left edge of the drawing; of the part that `anchor` says.
    pub x: f64,
    /// Of the baseline.
    pub y: f64,
    /// The part of the text that is at `x`.
    pub anchor: Anchor,
    /// In pixels.
    pub size: f64,
    /// One of the classes in the style of the drawing; empty if it has none.
    pub class: &'static str,
    /// One line, not yet escaped for SVG.
    pub text: String,
}

impl Text {
    /// The rectangle that it takes with any usual font.
    pub fn bounds(&self) -> Bounds {
        let width = width(&self.text, self.size) * if BOLD.contains(&self.class) { BOLDER } else { 1.0 };
        let left = match self.anchor {
            Anchor::Start => self.x,
            Anchor::Middle => self.x - width / 2.0,
            Anchor::End => self.x - width,
        };
        let (top, bottom) = (self.y - ASCENT * self.size, self.y + DESCENT * self.size);
        Bounds { left, top, right: left + width, bottom }
    }
}

/// The width of a text, at most, in pixels.
pub fn width(text: &str, size: f64) -> f64 {
    CHARACTER * size * text.chars().count() as f64
}

/// A rectangle, in pixels from the upper left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The least x.
    pub left: f64,
    /// The least y: it grows downwards.
    pub top: f64,
    /// The greatest x; not less than `left`.
    pub right: f64,
    /// The greatest y; not less than `top`.
    pub bottom: f64,
}

impl Bounds {
    /// Whether the two have more than an edge in common.
    pub fn overlaps(&self, other: &Bounds) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }

    /// Whether all of it is inside the other.
    pub fn is_within(&self, other: &Bounds) -> bool {
        self.left >= other.left && self.right <= other.right && self.top >= other.top && self.bottom <= other.bottom
    }
}

/// A picture that is being drawn.
pub struct Drawing {
    /// In pixels.
    pub width: f64,
    /// In pixels; may be set until the end, when it is known how much was drawn.
    pub height: f64,
    style: &'static str,
    shapes: String,
    texts: Vec<Text>,
}

impl Drawing {
    /// An empty drawing of this size in pixels; `style` defines its classes, in CSS.
    pub fn new(width: f64, height: f64, style: &'static str) -> Drawing {
        Drawing { width, height, style, shapes: String::new(), texts: Vec::new() }
    }

    /// Adds an element on top of the earlier ones.
    pub fn shape(&mut self, element: std::fmt::Arguments) {
        // Writing to a string does not fail.
        let _ = writeln!(self.shapes, "{element}");
    }

    /// Adds a text; all texts are on top of all shapes.
    pub fn text(&mut self, text: Text) {
        self.texts.push(text);
    }

    /// All texts so far.
    pub fn texts(&self) -> &[Text] {
        &self.texts
    }

    /// The whole document.
    pub fn svg(&self) -> String {
        let Drawing { width, height, style, shapes, texts } = self;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"Helvetica, Arial, sans-serif\">\n\
             <style>text{{fill:#333}} {style}</style>\n\
             <rect width=\"{width:.0}\" height=\"{height:.0}\" fill=\"#fff\"/>\n{shapes}"
        );
        for Text { x, y, anchor, size, class, text } in texts {
            let anchor = match anchor {
                Anchor::Start => "",
                Anchor::Middle => " text-anchor=\"middle\"",
                Anchor::End => " text-anchor=\"end\"",
            };
            let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\"{anchor}{class}>{text}</text>");
        }
        svg + "</svg>\n"
    }

    /// Pairs of texts that overlap, and texts that extend beyond the picture: none if it is readable.
    pub fn unreadable(&self) -> Vec<String> {
        let whole = Bounds { left: 0.0, top: 0.0, right: self.width, bottom: self.height };
        let mut found = Vec::new();
        for (at, text) in self.texts.iter().enumerate() {
            let bounds = text.bounds();
            if !bounds.is_within(&whole) {
                found.push(format!("{:?} runs out of the picture", text.text));
            }
            let others = self.texts[at + 1..].iter().filter(|other| other.bounds().overlaps(&bounds));
            found.extend(others.map(|other| format!("{:?} and {:?}", text.text, other.text)));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(x: f64, anchor: Anchor, text: &str) -> Text {
        Text { x, y: 50.0, anchor, size: 10.0, class: "", text: text.into() }
    }

    #[test]
    fn texts_that_run_into_each_other_or_out_of_the_picture_are_named() {
        let mut drawing = Drawing::new(100.0, 100.0, "");
        drawing.text(text(0.0, Anchor::Start, "12345"));
        drawing.text(text(100.0, Anchor::End, "12345"));
        assert_eq!(drawing.unreadable(), Vec::<String>::new());
        drawing.text(text(50.0, Anchor::Middle, "abcdefg"));
        drawing.text(Text { y: 5.0, ..text(50.0, Anchor::Middle, "x") });
        let found = ["\"12345\" and \"abcdefg\"", "\"12345\" and \"abcdefg\"", "\"x\" runs out of the picture"];
        assert_eq!(drawing.unreadable(), found);
    }

    #[test]
    fn signs_of_the_language_itself_are_escaped() {
        let mut drawing = Drawing::new(9.0, 9.0, "");
        drawing.text(text(0.0, Anchor::Start, "a < b & c"));
        assert!(drawing.svg().contains(">a &lt; b &amp; c</text>"));
    }
}
