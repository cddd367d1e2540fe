//! The file of a recording.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file that is made before the work begins: a path that can't be written is noticed at once.
pub struct Recording {
    path: PathBuf,
    file: File,
}

impl Recording {
    /// Makes the file of `--record`, or empties it.
    pub fn create(path: &Path) -> Result<Recording, String> {
        let file = File::create(path).map_err(|why| format!("--record {}: {why}", path.display()))?;
        Ok(Recording { path: path.into(), file })
    }

    /// Writes the recording.
    pub fn write(mut self, text: &str) -> Result<(), String> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|why| format!("--record {}: {why}", self.path.display()))
    }
}
