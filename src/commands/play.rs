//! `chord play`: a recording in a browser.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context, Result, bail};
use chord::console::streams::output;
use chord::http::Face;
use serde_json::Value;

use super::node::{Hangup, told_to_end};
use crate::cli::play::Play;

/// The longest recording, in bytes: browsers keep all of it.
const MAX_RECORDING: u64 = 64 << 20;

/// Shows the recording until it is told to end.
pub async fn run(play: Play) -> Result<()> {
    let text = read(&play.file)?;
    let listener = TcpListener::bind(play.http).with_context(|| format!("can't show it at {} (--http)", play.http))?;
    let at = listener.local_addr().context("can't tell where it is shown")?;
    let _face = Face::play(listener, text).context("can't answer over HTTP")?;
    // An error means that nobody reads where it is.
    let _ = output().write_all(format!("{} is shown at http://{at}/; Ctrl-C ends\n", play.file.display()).as_bytes());
    told_to_end(Hangup::Ends)?.await;
    Ok(())
}

/// The text of a recording, whose first line says that it is one.
fn read(path: &Path) -> Result<String> {
    let unread = || format!("can't read {}", path.display());
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(MAX_RECORDING + 1).read_to_string(&mut text)).with_context(unread)?;
    if text.len() as u64 > MAX_RECORDING {
        bail!("{} has more than {} MiB", path.display(), MAX_RECORDING >> 20);
    }
    let header = text.lines().next().and_then(|line| serde_json::from_str::<Value>(line).ok());
    match header.as_ref().and_then(|header| header.get("recording")) {
        Some(version) if *version == 1 => Ok(text),
        Some(version) => bail!("{} is a recording of version {version}; this program shows version 1", path.display()),
        None => bail!("{} is no recording: its first line is expected to begin with {{\"recording\":1", path.display()),
    }
}
