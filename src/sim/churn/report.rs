//! The outcome of rings whose nodes come and go.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::sim::tally::Tally;

/// The outcome of one or many histories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many are summed up here.
    pub histories: u64,
    /// The sum over all histories, independent of their order: equal fingerprints mean equal events.
    pub fingerprint: u64,
    /// What the simulator counted, over all histories.
    pub tally: Tally,
    /// On the virtual clock.
    pub time: Duration,
    /// The time that nodes lived, over all nodes.
    pub lived: Duration,
    /// The verdicts on lookups; those still open when the time was over have none.
    pub verdicts: Verdicts,
}

/// How lookups ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// The answer was the first living member at or after the key when it came.
    pub right: u64,
    /// The answer was another node.
    pub wrong: u64,
    /// There was no answer, by reason.
    pub lost: BTreeMap<&'static str, u64>,
    /// The asking node left before there was an answer.
    pub orphaned: u64,
    /// How many nodes were asked until there was a right answer, over all lookups.
    pub hops: u64,
}

impl Report {
    /// Adds the outcome of other histories.
    pub fn add(&mut self, other: &Report) {
        self.histories += other.histories;
        self.fingerprint = self.fingerprint.wrapping_add(other.fingerprint);
        self.tally.add(&other.tally);
        self.time += other.time;
        self.lived += other.lived;
        let (mine, others) = (&mut self.verdicts, &other.verdicts);
        mine.right += others.right;
        mine.wrong += others.wrong;
        mine.orphaned += others.orphaned;
        mine.hops += others.hops;
        for (why, count) in &others.lost {
            *mine.lost.entry(why).or_default() += count;
        }
    }

    /// The mean number of living nodes.
    pub fn living(&self) -> f64 {
        ratio(self.lived.as_secs_f64(), self.time.as_secs_f64())
    }

    /// How many nodes a lookup asked, on average over those that were right.
    pub fn path_length(&self) -> f64 {
        ratio(self.verdicts.hops as f64, self.verdicts.right as f64)
    }

    /// How many lookups ended in each way, in words.
    fn ends(&self) -> Vec<(&'static str, u64)> {
        let Verdicts { right, wrong, lost, orphaned, .. } = &self.verdicts;
        let lost = lost.iter().map(|(why, count)| (*why, *count));
        [("right", *right), ("wrong", *wrong), ("asker left", *orphaned)].into_iter().chain(lost).collect()
    }

    /// A count per living node and second.
    fn each(&self, count: u64) -> f64 {
        ratio(count as f64, self.lived.as_secs_f64())
    }

    /// The same as data.
    pub fn to_json(&self) -> Value {
        let Tally { events, messages, bytes, starts, joins, crashes, unjoined, timeouts, lookups, .. } = self.tally;
        json!({
            "histories": self.histories,
            "fingerprint": format!("{:016x}", self.fingerprint),
            "virtual_seconds": self.time.as_secs_f64(),
            "nodes_living": self.living(),
            "starts": starts,
            "joins": joins,
            "could_not_join": unjoined,
            "leaves": crashes,
            "lookups": lookups,
            "lookups_ended": self.ends().into_iter().collect::<BTreeMap<_, _>>(),
            "nodes_asked": self.path_length(),
            "messages": messages,
            "messages_per_node_and_second": self.each(messages),
            "bytes": bytes,
            "bytes_per_node_and_second": self.each(bytes),
            "timeouts": timeouts,
            "events": events,
        })
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { events, messages, bytes, starts, joins, crashes, lookups, timeouts, .. } = self.tally;
        let hours = self.time.as_secs_f64() / 3600.0;
        let histories = if self.histories == 1 { "history" } else { "histories" };
        writeln!(f, "{} {histories}, virtual time {hours:.1} h", self.histories)?;
        writeln!(
            f,
            "nodes     {:.1} living on average, {starts} starts, {joins} joins, {crashes} left",
            self.living()
        )?;
        let percent = 100.0 * ratio(self.verdicts.right as f64, lookups as f64);
        writeln!(f, "lookups   {lookups}, {percent:.2} % right, {:.2} nodes asked on average", self.path_length())?;
        for (what, count) in self.ends() {
            writeln!(f, "          {count:>12} {what}")?;
        }
        writeln!(f, "messages  {messages}, {:.3} per node and second, {timeouts} time-outs", self.each(messages))?;
        writeln!(f, "bytes     {bytes}, {:.1} per node and second", self.each(bytes))?;
        writeln!(f, "events    {events}")?;
        write!(f, "fingerprint {:016x}", self.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_add_up_whatever_their_order() {
        let one = Report {
            histories: 1,
            fingerprint: u64::MAX,
            time: Duration::from_secs(10),
            lived: Duration::from_secs(40),
            verdicts: Verdicts { right: 4, hops: 8, lost: [("timeout", 1)].into(), ..Verdicts::default() },
            ..Report::default()
        };
        let other = Report {
            histories: 2,
            fingerprint: 3,
            time: Duration::from_secs(20),
            lived: Duration::from_secs(20),
            verdicts: Verdicts { right: 1, hops: 7, lost: [("isolated", 2)].into(), wrong: 5, orphaned: 6 },
            ..Report::default()
        };
        let (mut sum, mut again) = (one.clone(), other.clone());
        sum.add(&other);
        again.add(&one);
        assert_eq!(sum, again);
        assert_eq!((sum.histories, sum.fingerprint, sum.living(), sum.path_length()), (3, 2, 2.0, 3.0));
        assert_eq!(
            sum.ends(),
            [("right", 5), ("wrong", 5), ("asker left", 6), ("isolated", 2), ("timeout", 1)],
            "{sum}"
        );
    }
}
