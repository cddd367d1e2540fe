//! Means, percentiles, and the precision of a mean over seeds.

/// Values in ascending order, at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Sorted(Vec<f64>);

impl Sorted {
    /// Sorts the values. No values count as a single zero, so that a share of nothing is zero.
    pub fn new(mut values: Vec<f64>) -> Sorted {
        if values.is_empty() {
            values.push(0.0);
        }
        values.sort_unstable_by(f64::total_cmp);
        Sorted(values)
    }

    /// The arithmetic mean.
    pub fn mean(&self) -> f64 {
        mean(&self.0)
    }

    /// The smallest value such that at least `percent` of all values do not exceed it (nearest rank).
    pub fn percentile(&self, percent: f64) -> f64 {
        let rank = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        self.0[rank.clamp(1, self.0.len()) - 1]
    }

    /// The part of the values that equal this.
    pub fn part_of(&self, value: f64) -> f64 {
        let below = |limit: f64| self.0.partition_point(|other| other.total_cmp(&limit).is_lt());
        (below(value.next_up()) - below(value)) as f64 / self.0.len() as f64
    }

    /// The largest value.
    pub fn max(&self) -> f64 {
        self.0[self.0.len() - 1]
    }
}

/// A mean over seeds, each of which gave one independent value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The arithmetic mean of the values.
    pub mean: f64,
    /// The true mean is within this distance of `mean` with 95 % confidence (Student's t).
    pub interval: f64,
    /// One more seed would give a value within this distance of `mean`, with the same confidence.
    pub spread: f64,
    /// How many values there are; with a single one, `interval` and `spread` are infinite.
    pub seeds: usize,
}

impl Estimate {
    /// From one value per seed. A single value gives no spread: the interval is infinite.
    pub fn of(values: &[f64]) -> Estimate {
        let (n, mean) = (values.len(), mean(values));
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let (interval, spread) = match n {
            0 | 1 => (f64::INFINITY, f64::INFINITY),
            _ => {
                let deviation = student(n - 1) * (squares / (n - 1) as f64).sqrt();
                (deviation / (n as f64).sqrt(), deviation * (1.0 + 1.0 / n as f64).sqrt())
            }
        };
        Estimate { mean, interval, spread, seeds: n }
    }
}

/// The interval that contains, with 95 % confidence, the true rate of independent events of which this many were
/// counted (exact, after Garwood).
pub fn poisson(events: u32) -> (f64, f64) {
    let rate = |most: u32, likely: f64| {
        let (mut low, mut high) = (0.0, 2.0 * f64::from(most) + 20.0);
        // The higher the rate, the less likely so few events are.
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            *if at_most(most, middle) > likely { &mut low } else { &mut high } = middle;
        }
        low
    };
    (if events == 0 { 0.0 } else { rate(events - 1, 0.975) }, rate(events, 0.025))
}

/// The probability of at most `most` events at this rate.
fn at_most(most: u32, rate: f64) -> f64 {
    let (mut term, mut sum) = ((-rate).exp(), 0.0);
    for events in 0..=most {
        sum += term;
        term *= rate / f64::from(events + 1);
    }
    sum
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The quantile of Student's t distribution that leaves 2.5 % above it, by degrees of freedom.
fn student(freedom: usize) -> f64 {
    const TABLE: [f64; 20] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086,
    ];
    match TABLE.get(freedom.saturating_sub(1)) {
        Some(quantile) => *quantile,
        None => 1.96 + 2.5 / freedom as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values = Sorted::new((1..=200).rev().map(f64::from).collect());
        assert_eq!([0.0, 1.0, 50.0, 99.0, 100.0].map(|p| values.percentile(p)), [1.0, 2.0, 100.0, 198.0, 200.0]);
        assert_eq!((values.mean(), values.max()), (100.5, 200.0));
        let few = Sorted::new(vec![3.0, 1.0, 3.0, 2.0]);
        assert_eq!([1.0, 3.0, 4.0].map(|value| few.part_of(value)), [0.25, 0.5, 0.0]);
    }

    #[test]
    fn nothing_is_zero() {
        assert_eq!((Sorted::new(vec![]).mean(), Sorted::new(vec![]).percentile(99.0)), (0.0, 0.0));
    }

    /// The interval of a textbook: 95 % of five values with mean 3 and standard deviation 1.581.
    #[test]
    fn interval_is_that_of_student() {
        let estimate = Estimate::of(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!((estimate.mean, estimate.seeds), (3.0, 5));
        assert!((estimate.interval - 1.963).abs() < 0.001, "{}", estimate.interval);
        assert!((estimate.spread - 4.809).abs() < 0.001, "{}", estimate.spread);
        assert_eq!(Estimate::of(&[7.0, 7.0]).interval, 0.0);
        assert_eq!(Estimate::of(&[7.0]).interval, f64::INFINITY);
    }

    /// Values from the table of Garwood (1936) and its like.
    #[test]
    fn interval_of_a_count_is_exact() {
        for (events, (low, high)) in
            [(0, (0.0, 3.689)), (1, (0.0253, 5.572)), (2, (0.242, 7.225)), (15, (8.395, 24.74))]
        {
            let interval = poisson(events);
            assert!((interval.0 - low).abs() < 0.001 && (interval.1 - high).abs() < 0.005, "{events}: {interval:?}");
        }
    }

    #[test]
    fn quantiles_go_on_smoothly_beyond_the_table() {
        assert!((student(20) - student(21)).abs() < 0.01);
        assert!((student(30) - 2.042).abs() < 0.003 && (student(120) - 1.980).abs() < 0.003);
    }
}
