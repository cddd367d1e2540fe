//! How many connections there may be, and what is dropped beyond.

pub mod budget;
pub mod dials;
pub mod drops;
pub mod inbound;
