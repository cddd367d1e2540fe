//! The figures of the last minute: lookups of the watch itself, and those that ended at the members.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::member::Member;

/// Figures are about the last minute.
pub const WINDOW: Duration = Duration::from_secs(60);

const SECONDS: usize = WINDOW.as_secs() as usize;

/// The parts of the lookups that are at most as slow as a figure tells.
pub const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)];

/// Lookups of the watch itself in the last minute: when each ended, and its time or the reason why it failed.
#[derive(Debug, Default)]
pub struct Probes {
    ended: VecDeque<(Duration, Result<Duration, String>)>,
}

impl Probes {
    pub fn add(&mut self, now: Duration, result: Result<Duration, String>) {
        self.ended.push_back((now, result));
    }

    /// Forgets what is older than a minute.
    pub fn forget(&mut self, now: Duration) {
        while self.ended.front().is_some_and(|(at, _)| now.saturating_sub(*at) > WINDOW) {
            self.ended.pop_front();
        }
    }

    /// The times of those that were answered, the shortest first.
    pub fn times(&self) -> Vec<Duration> {
        let mut times: Vec<_> = self.ended.iter().filter_map(|(_, result)| result.as_ref().ok().copied()).collect();
        times.sort_unstable();
        times
    }

    /// How many failed, by reason.
    pub fn failed(&self) -> BTreeMap<&str, u64> {
        let mut failed = BTreeMap::new();
        for (_, result) in &self.ended {
            if let Err(why) = result {
                *failed.entry(why.as_str()).or_default() += 1;
            }
        }
        failed
    }

    /// Answered lookups a second.
    pub fn per_second(&self, now: Duration) -> f64 {
        let answered = self.ended.iter().filter(|(_, result)| result.is_ok()).count();
        answered as f64 / now.clamp(Duration::from_secs(1), WINDOW).as_secs_f64()
    }

    /// The slowest of each second in microseconds, the last second first; `None` if none was answered.
    pub fn slowest(&self, now: Duration) -> [Option<u64>; SECONDS] {
        let mut slowest = [None; SECONDS];
        for (at, result) in &self.ended {
            let ago = now.saturating_sub(*at).as_secs() as usize;
            if let (Ok(took), Some(second)) = (result, slowest.get_mut(ago)) {
                *second = (*second).max(u64::try_from(took.as_micros()).ok());
            }
        }
        slowest
    }
}

/// The time that this part of the lookups took at most; the times are in order.
pub fn quantile(times: &[Duration], part: f64) -> Option<Duration> {
    let rank = (part * times.len() as f64).ceil() as usize;
    times.get(rank.saturating_sub(1)).copied()
}

/// Lookups that ended at the members, a second, as their reports tell.
#[derive(Debug, Default)]
pub struct Lookups {
    /// The latest first, one for each walk after the first.
    pub rates: VecDeque<f64>,
    /// How many members the last is about: the others don't report, or did not before.
    pub members: usize,
}

impl Lookups {
    pub fn add(&mut self, members: &[Member]) {
        let rates: Vec<f64> = members.iter().filter_map(|member| member.rate).collect();
        self.members = rates.len();
        if !rates.is_empty() {
            self.rates.push_front(rates.iter().sum());
            self.rates.truncate(SECONDS);
        }
    }

    /// The last rate, if there is one.
    pub fn now(&self) -> Option<f64> {
        self.rates.front().copied().filter(|_| self.members > 0)
    }
}
