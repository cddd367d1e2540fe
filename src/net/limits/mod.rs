//! How many connections there may be, and which are dropped beyond that.

pub mod budget;
pub mod dials;
pub mod drops;
pub mod inbound;
