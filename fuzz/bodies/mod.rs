//! What the fuzz targets do with their input. The tests of the program run the same code on the corpus.

// Each target uses its own part.
#![allow(dead_code)]

pub mod conversion;
pub mod frames;
pub mod link;
pub mod words;
