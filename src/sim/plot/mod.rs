//! What all plots share.

use plotters::style::RGBColor;

/// The colours of lines, in the order in which they are taken.
pub const COLOURS: [RGBColor; 8] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 39, 40),
    RGBColor(44, 160, 44),
    RGBColor(255, 127, 14),
    RGBColor(148, 103, 189),
    RGBColor(140, 86, 75),
    RGBColor(227, 119, 194),
    RGBColor(23, 190, 207),
];

/// A plot could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("can't draw: {0}")]
pub struct CantDraw(String);

impl CantDraw {
    /// For this reason.
    pub fn because(error: impl std::fmt::Display) -> CantDraw {
        CantDraw(error.to_string())
    }
}
