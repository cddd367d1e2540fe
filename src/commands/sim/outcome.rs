//! Prints the outcome of a simulation, and draws it if requested.

use std::fmt::Display;
use std::fs;
use std::io::Write;

use chord::console::streams::output;
use serde_json::Value;

use crate::cli::Shown;

/// Prints the outcome as text or as data, and draws it. An error says why it could not be drawn.
pub fn show(
    shown: &Shown,
    text: &dyn Display,
    data: impl FnOnce() -> Value,
    picture: impl FnOnce() -> String,
) -> Result<(), String> {
    let text = if shown.json { format!("{:#}\n", data()) } else { text.to_string() };
    // An error means that the output is closed.
    let _ = output().write_all(text.as_bytes());
    let Some(file) = &shown.plot else { return Ok(()) };
    fs::write(file, picture()).map_err(|why| format!("can't write {}: {why}", file.display()))
}
