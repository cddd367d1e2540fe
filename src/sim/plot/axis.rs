//! An axis: where it ends, and the numbers beside it.

/// The scale of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Equal distances stand for equal differences.
    Linear,
    /// Zero and negative values can't be drawn and are left out.
    Logarithmic,
}

/// The first and the last value, and the values that are labelled.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// How values are spread between the ends.
    pub count: Count,
    /// The value at the left or lower end.
    pub from: f64,
    /// The value at the right or upper end; above `from`.
    pub to: f64,
    /// In ascending order, within `from` and `to`.
    pub ticks: Vec<f64>,
}

/// An axis that chooses its own ticks has about this many.
const TICKS: f64 = 5.0;

/// At most this many measured values become ticks themselves: more than of round numbers, since these are the values
/// that a reader looks for.
const MOST_VALUES: usize = 11;

/// The steps between ticks, within one power of ten.
const STEPS: [f64; 3] = [1.0, 2.0, 5.0];

impl Count {
    /// Whether this value can be drawn on such an axis.
    pub fn shows(self, value: f64) -> bool {
        value.is_finite() && (self == Count::Linear || value > 0.0)
    }
}

impl Axis {
    /// The axis of what was varied: from the least value to the greatest, with the values themselves as ticks if they
    /// are few.
    pub fn across(values: impl Iterator<Item = f64>, count: Count) -> Axis {
        let mut values: Vec<f64> = values.filter(|value| count.shows(*value)).collect();
        values.sort_unstable_by(f64::total_cmp);
        values.dedup();
        let (from, to) = ends(&values);
        let ticks = if values.len() <= MOST_VALUES { values } else { ticks(from, to, count) };
        Axis { count, ticks, ..Axis::padded(from, to, count) }
    }

    /// The axis of what was measured: from zero if it is linear, to the next tick above all values.
    pub fn up(values: impl Iterator<Item = f64>, count: Count) -> Axis {
        let values: Vec<f64> = values.filter(|value| count.shows(*value)).collect();
        let (least, most) = values.iter().fold((f64::MAX, f64::MIN), |(l, m), value| (l.min(*value), m.max(*value)));
        let (least, most) = if values.is_empty() { (1.0, 2.0) } else { (least, most) };
        match count {
            Count::Linear => {
                let (from, to) = (least.min(0.0), if most > 0.0 { most } else { 1.0 });
                let step = step(from, to);
                let (from, to) = ((from / step).floor() * step, (to / step).ceil() * step);
                Axis { count, from, to, ticks: multiples(step, from, to) }
            }
            Count::Logarithmic => {
                let (from, to) = if most > least { (least, most) } else { (least / 2.0, least * 2.0) };
                Axis { ticks: ticks(from, to, count), ..Axis::padded(from, to, count) }
            }
        }
    }

    /// Adds a little room at either end.
    fn padded(from: f64, to: f64, count: Count) -> Axis {
        let (from, to) = match count {
            Count::Linear => (from - 0.03 * (to - from), to + 0.03 * (to - from)),
            Count::Logarithmic => (from / (to / from).powf(0.03), to * (to / from).powf(0.03)),
        };
        Axis { count, from, to, ticks: Vec::new() }
    }

    /// The place of a value: 0 at the beginning of the axis, 1 at its end.
    pub fn at(&self, value: f64) -> f64 {
        match self.count {
            Count::Linear => (value - self.from) / (self.to - self.from),
            Count::Logarithmic => (value / self.from).ln() / (self.to / self.from).ln(),
        }
    }
}

/// The ends of sorted values; they differ even if there is only one value.
fn ends(values: &[f64]) -> (f64, f64) {
    match (values.first(), values.last()) {
        (Some(from), Some(to)) if from < to => (*from, *to),
        (Some(only), _) => (only * 0.5, if *only > 0.0 { only * 2.0 } else { only + 1.0 }),
        _ => (1.0, 2.0),
    }
}

/// The round number that divides this range into about [`TICKS`] steps.
fn step(from: f64, to: f64) -> f64 {
    let rough = (to - from) / TICKS;
    let power = 10f64.powf(rough.log10().floor());
    let steps = STEPS.iter().chain(&[10.0]).map(|step| step * power);
    steps.min_by(|one, other| (one / rough).ln().abs().total_cmp(&(other / rough).ln().abs())).unwrap_or(power)
}

fn multiples(step: f64, from: f64, to: f64) -> Vec<f64> {
    let (first, last) = ((from / step - 1e-9).ceil() as i64, (to / step + 1e-9).floor() as i64);
    (first..=last).map(|n| n as f64 * step).collect()
}

/// Round numbers in this range, at least three if it has room for them.
fn ticks(from: f64, to: f64, count: Count) -> Vec<f64> {
    let powers = |steps: &[f64]| -> Vec<f64> {
        let (low, high) = (from.log10().floor() as i32, to.log10().ceil() as i32);
        let all = (low..=high).flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
        all.filter(|tick| (from..=to).contains(tick)).collect()
    };
    match count {
        Count::Linear => multiples(step(from, to), from, to),
        Count::Logarithmic => [&STEPS[..1], &[1.0, 3.0], &STEPS]
            .iter()
            .map(|steps| powers(steps))
            .find(|ticks| ticks.len() > 3)
            .unwrap_or_else(|| multiples(step(from, to), from, to)),
    }
}

impl Axis {
    /// The labels of the ticks; on a linear axis all have as many decimals as the one that needs most.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.ticks.iter().copied().map(name).collect();
        let decimals = |name: &String| name.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let most = names.iter().map(decimals).max().unwrap_or_default();
        let is_plain = names.iter().all(|name| !name.ends_with(char::is_alphabetic));
        if self.count == Count::Linear && most > 0 && is_plain {
            names = self.ticks.iter().map(|tick| format!("{tick:.most$}")).collect();
        }
        names
    }
}

/// A number as an axis shows it.
fn name(value: f64) -> String {
    let rounded = |value: f64| (value * 1e6).round() / 1e6;
    match value.abs() {
        millions if millions >= 1e6 => format!("{}M", rounded((value / 1e5).round() / 10.0)),
        thousands if thousands >= 1e4 => format!("{}k", rounded((value / 1e2).round() / 10.0)),
        _ => rounded(value).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_measured_fills_most_of_its_axis(most in 1e-3..1e7f64) {
            let axis = Axis::up([0.0, most].into_iter(), Count::Linear);
            prop_assert!(axis.from == 0.0 && axis.to >= most && axis.at(most) > 0.74, "{axis:?}");
            prop_assert!((3..=9).contains(&axis.ticks.len()), "{axis:?}");
        }

        #[test]
        fn an_axis_in_powers_has_three_names_at_least(least in 1e-3..1e6f64, times in 1.3..1e5f64) {
            let axis = Axis::up([least, least * times].into_iter(), Count::Logarithmic);
            prop_assert!(axis.ticks.len() >= 3, "{axis:?}");
            prop_assert!(axis.ticks.iter().all(|tick| (0.0..=1.0).contains(&axis.at(*tick))), "{axis:?}");
            prop_assert!(axis.at(least) < 0.05 && axis.at(least * times) > 0.95, "{axis:?}");
        }
    }

    #[test]
    fn few_values_are_named_themselves() {
        let axis = Axis::across([16.0, 1.0, 4.0, 2.0, 8.0, 4.0].into_iter(), Count::Logarithmic);
        assert_eq!(axis.ticks, [1.0, 2.0, 4.0, 8.0, 16.0]);
        let many = Axis::across((3..=20).map(|power| f64::from(1 << power)), Count::Logarithmic);
        assert_eq!(many.ticks, [10.0, 100.0, 1e3, 1e4, 1e5, 1e6]);
    }

    #[test]
    fn nothing_and_one_value_have_axes() {
        for count in [Count::Linear, Count::Logarithmic] {
            for values in [vec![], vec![7.0], vec![0.0]] {
                for axis in [Axis::across(values.iter().copied(), count), Axis::up(values.iter().copied(), count)] {
                    assert!(axis.from < axis.to && axis.at(axis.to) == 1.0, "{values:?}: {axis:?}");
                }
            }
        }
    }

    #[test]
    fn numbers_at_an_axis_have_one_form() {
        let axis = Axis::up([0.0, 0.31].into_iter(), Count::Linear);
        assert_eq!(axis.names(), ["0.00", "0.05", "0.10", "0.15", "0.20", "0.25", "0.30", "0.35"]);
        assert_eq!(Axis::up([0.0, 4.0].into_iter(), Count::Linear).names(), ["0", "1", "2", "3", "4"]);
    }

    #[test]
    fn large_numbers_are_short() {
        assert_eq!([0.05, 1500.0, 65536.0, 1e6, 1048576.0].map(name), ["0.05", "1500", "65.5k", "1M", "1M"]);
    }
}
