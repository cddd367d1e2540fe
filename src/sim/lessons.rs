//! Lessons: small rings, recorded step by step with the words of the protocol, for students.
//!
//! `make lessons` writes them into `docs/lessons`; a test compares these files with what the code does now. Three of
//! them are scenarios ([`script`]); the fourth runs the paper's pseudocode beside our protocol.

use super::paper::original;
use super::script;

/// One lesson.
#[derive(Clone, Copy, Debug)]
pub struct Lesson {
    /// The name of its file.
    pub name: &'static str,
    source: Source,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Scenario(&'static str),
    Pseudocode,
}

/// All lessons, in the order in which students see them.
pub const LESSONS: [Lesson; 4] = [
    Lesson { name: "join", source: Source::Scenario(include_str!("lessons/join.txt")) },
    Lesson { name: "half", source: Source::Scenario(include_str!("lessons/half.txt")) },
    Lesson { name: "partition", source: Source::Scenario(include_str!("lessons/partition.txt")) },
    Lesson { name: "pseudocode", source: Source::Pseudocode },
];

impl Lesson {
    /// Runs the lesson and records it. An error names the line of its scenario.
    pub fn record(&self) -> Result<String, String> {
        match self.source {
            Source::Scenario(text) => script::record(text).map_err(|error| error.to_string()),
            Source::Pseudocode => Ok(original::lesson()),
        }
    }
}
