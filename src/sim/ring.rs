//! One ring, seen whole: what `chord sim ring` shows.
//!
//! In reading order: [`members`], who is in the ring; [`grow`], how the protocol makes one of them, and
//! that it is as defined; [`measure`], what lookups cost and how keys are spread; [`report`], all of
//! that in numbers; [`mod@print`], the tables as the paper prints them; [`picture`], the ring drawn, with [`labels`] beside its nodes;
//! [`play`], nodes that join and leave when a script, or somebody at a terminal, says so.

pub mod grow;
pub mod labels;
pub mod measure;
pub mod members;
pub mod picture;
pub mod play;
pub mod print;
pub mod report;
