//! `chord sim lessons`: records the lessons and writes them.

use std::fs;
use std::process::ExitCode;

use chord::console::streams::complain;
use chord::sim::lessons::LESSONS;

use crate::cli::Lessons;

/// Writes each lesson into its file.
pub fn run(lessons: &Lessons) -> ExitCode {
    match write(lessons) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain(format_args!("chord: {why}"));
            ExitCode::FAILURE
        }
    }
}

fn write(Lessons { out }: &Lessons) -> Result<(), String> {
    fs::create_dir_all(out).map_err(|why| format!("can't create {}: {why}", out.display()))?;
    for lesson in LESSONS {
        let recording = lesson.record().map_err(|why| format!("the lesson {}: {why}", lesson.name))?;
        let path = out.join(lesson.name).with_extension("jsonl");
        fs::write(&path, recording).map_err(|why| format!("can't write {}: {why}", path.display()))?;
    }
    Ok(())
}
