//! Simulations: one file per command of `chord sim`, and what several share.

pub mod chaos;
pub mod churn;
pub mod lessons;
pub mod merge;
mod outcome;
pub mod paper;
mod recording;
pub mod ring;
pub mod storm;
pub mod text;
