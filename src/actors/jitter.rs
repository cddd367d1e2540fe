//! Randomness in waits.

use std::time::Duration;

/// A duration off by up to a quarter, so that nodes that start together do not stay in step.
pub fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(rand::random_range(0.75..1.25))
}
