//! Simulations: one file per command of `chord sim`, and what several share.

pub mod chaos;
pub mod churn;
pub mod merge;
mod outcome;
pub mod paper;
pub mod ring;
pub mod storm;
pub mod text;
