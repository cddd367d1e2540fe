//! One ring, seen whole: what `chord sim ring` shows.
//!
//! In reading order: [`members`], the nodes of the ring; [`grow`], how the protocol makes one ring of them, and the
//! check that it is as defined; [`measure`], what lookups cost and how keys are spread; [`report`], all of that in
//! numbers; [`mod@print`], the tables as the paper prints them; [`picture`], the ring drawn, with [`labels`] beside its
//! nodes; [`play`], nodes that join and leave on the commands of a script or a user.

pub mod grow;
pub mod labels;
pub mod measure;
pub mod members;
pub mod picture;
pub mod play;
pub mod print;
pub mod report;
