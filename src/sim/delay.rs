//! How long messages take.

use std::ops::RangeInclusive;
use std::time::Duration;

use rand::{Rng, RngExt};

use super::events::Slot;

/// The time that a message takes.
///
/// Calculated times are whole microseconds: the last bits of a logarithm differ between machines, and a seed must give
/// the same history on all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delay {
    /// Any time in this range, uniformly distributed.
    Uniform(RangeInclusive<Duration>),
    /// Exponentially distributed with this mean, as in the Chord paper (section V, which has 50 ms).
    Exponential(Duration),
    /// Proportional to the distance, in a square with a side of this length. The place of a node follows from its slot:
    /// the distance is the same both ways, and in every run of its program.
    Plane(Duration),
}

/// The default.
pub const USUAL: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_millis(20);

impl Delay {
    /// How long a message takes from one node to another.
    pub(super) fn draw(&self, from: Slot, to: Slot, rng: &mut impl Rng) -> Duration {
        match self {
            Delay::Uniform(range) => rng.random_range(range.clone()),
            Delay::Exponential(mean) => exponential(*mean, rng),
            Delay::Plane(side) => {
                let ((x, y), (to_x, to_y)) = (place(from), place(to));
                let way = (x - to_x).hypot(y - to_y);
                Duration::from_micros((side.as_micros() as f64 * way) as u64)
            }
        }
    }
}

/// A time from an exponential distribution with this mean, in whole microseconds.
pub fn exponential(mean: Duration, rng: &mut impl Rng) -> Duration {
    // Above 0 and at most 1, so that it has a logarithm.
    let uniform = 1.0 - rng.random::<f64>();
    Duration::from_micros((mean.as_micros() as f64 * -uniform.ln()) as u64)
}

/// The place of a node in a square with a side of 1: scattered by a hash (splitmix64) of its slot.
fn place(slot: Slot) -> (f64, f64) {
    let mut hash = (slot.index() as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    let part = |bits: u32| f64::from(bits) / f64::from(u32::MAX);
    (part((hash >> 32) as u32), part(hash as u32))
}

#[cfg(test)]
mod tests {
    use crate::protocol::addr::Addr;

    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::protocol::id::Bits;
    use crate::sim::World;
    use crate::sim::nodes::address;

    fn slots(count: u32) -> Vec<Slot> {
        let mut world = World::new(1, Bits::FULL, 4);
        (0..count).map(address).map(|addr: Addr| world.env.slot(addr)).collect()
    }

    /// The mean in seconds.
    fn mean(times: &[Duration]) -> f64 {
        times.iter().map(Duration::as_secs_f64).sum::<f64>() / times.len() as f64
    }

    #[test]
    fn exponential_delays_have_their_mean_and_their_deviation() {
        let (slots, mut rng) = (slots(2), ChaCha8Rng::seed_from_u64(1));
        let delay = Delay::Exponential(Duration::from_millis(50));
        let times: Vec<_> = (0..100_000).map(|_| delay.draw(slots[0], slots[1], &mut rng)).collect();
        let mean = mean(&times);
        assert!((0.049..0.051).contains(&mean), "{mean}");
        let beyond = times.iter().filter(|time| **time > Duration::from_millis(150)).count();
        assert!((4_700..5_300).contains(&beyond), "e^-3 of them are beyond three means: {beyond}");
    }

    #[test]
    fn way_in_the_plane_is_the_same_both_ways_and_every_time() {
        let (slots, mut rng) = (slots(100), ChaCha8Rng::seed_from_u64(1));
        let delay = Delay::Plane(Duration::from_millis(100));
        for (from, to) in slots.iter().zip(&slots[1..]) {
            let way = delay.draw(*from, *to, &mut rng);
            assert_eq!(delay.draw(*to, *from, &mut rng), way);
            assert!(Duration::ZERO < way && way < Duration::from_millis(142), "{way:?}");
        }
        assert_eq!(delay.draw(slots[0], slots[0], &mut rng), Duration::ZERO);
    }

    #[test]
    fn nodes_are_spread_over_the_whole_square() {
        let (slots, mut rng) = (slots(500), ChaCha8Rng::seed_from_u64(1));
        let delay = Delay::Plane(Duration::from_secs(1));
        let pairs = slots.iter().flat_map(|from| slots.iter().map(move |to| (*from, *to)));
        let times: Vec<_> = pairs.map(|(from, to)| delay.draw(from, to, &mut rng)).collect();
        // The mean distance between two random points of a square with a side of 1 is 0.5214 (a known integral).
        let mean = mean(&times);
        assert!((0.50..0.54).contains(&mean), "{mean}");
    }
}
