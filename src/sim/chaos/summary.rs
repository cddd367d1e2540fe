//! The outcome of many histories.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::director::all_names;
use super::{Faults, Report, Temper, Verdicts};
use crate::sim::tally::Tally;

/// The sums and maxima of some histories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many were added.
    pub histories: u64,
    /// Histories of each temper.
    pub tempers: BTreeMap<&'static str, u64>,
    /// The sum of all fingerprints: independent of their order.
    pub fingerprint: u64,
    /// The sum of their virtual times.
    pub time: Duration,
    /// For how much of `time` the rules held.
    pub held: Duration,
    /// The sum over all histories.
    pub tally: Tally,
    /// The sum over all histories; trouble that never began is absent.
    pub faults: Faults,
    /// The sum over all histories.
    pub verdicts: Verdicts,
    /// How often, over all histories, the rules ceased to hold.
    pub breaches: u64,
    /// How often, over all histories, several rings became one.
    pub merges: u64,
    /// Histories in which a partition made two rings that forgot each other.
    pub purged: u64,
    /// Histories that ended with rings that knew nothing of each other.
    pub parted: u64,
    /// The longest healing and its bound: where the rules held all the time, and where they did not.
    pub repaired: (Duration, Duration),
    /// The same where some rule was broken at some time: rings may have to find each other again.
    pub reunited: (Duration, Duration),
    /// The violation of each failed seed, and its time.
    pub violations: BTreeMap<u64, (Duration, String)>,
}

/// With at least this many histories, every kind of trouble is expected.
const ENOUGH: u64 = 200;

impl Summary {
    /// Adds one history.
    pub fn add(&mut self, report: &Report) {
        self.histories += 1;
        *self.tempers.entry(report.temper.name()).or_default() += 1;
        self.fingerprint = self.fingerprint.wrapping_add(report.fingerprint);
        self.time += report.time;
        self.held += report.held;
        self.tally.add(&report.tally);
        add_all(&mut self.faults, &report.faults);
        self.verdicts.add(&report.verdicts);
        self.breaches += report.breaches.len() as u64;
        self.merges += report.merges;
        self.purged += u64::from(report.purged);
        self.parted += u64::from(report.parted);
        let healed = if report.breaches.is_empty() { &mut self.repaired } else { &mut self.reunited };
        *healed = report.healed.max(*healed);
        if let Some(violation) = &report.violation {
            self.violations.insert(report.seed, (report.time, violation.clone()));
        }
    }

    /// Adds all histories of another summary.
    pub fn merge(&mut self, other: Summary) {
        self.histories += other.histories;
        add_all(&mut self.tempers, &other.tempers);
        self.fingerprint = self.fingerprint.wrapping_add(other.fingerprint);
        self.time += other.time;
        self.held += other.held;
        self.tally.add(&other.tally);
        add_all(&mut self.faults, &other.faults);
        self.verdicts.add(&other.verdicts);
        self.breaches += other.breaches;
        self.merges += other.merges;
        self.purged += other.purged;
        self.parted += other.parted;
        self.repaired = self.repaired.max(other.repaired);
        self.reunited = self.reunited.max(other.reunited);
        self.violations.extend(other.violations);
    }

    /// What never happened though it should have in this many histories.
    pub fn missing(&self) -> Vec<&'static str> {
        if self.histories < ENOUGH {
            return Vec::new();
        }
        let counted = self.counts().into_iter().filter(|(what, _)| !MAY_BE_ZERO.contains(what));
        let zero = counted.filter(|(_, count)| *count == 0).map(|(what, _)| what);
        let faults = all_names().filter(|name| self.faults.get(name).is_none_or(|count| *count == 0));
        zero.chain(faults).collect()
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        let (tally, verdicts) = (&self.tally, &self.verdicts);
        vec![
            ("events", tally.events),
            ("messages", tally.messages),
            ("bytes", tally.bytes),
            ("messages lost", tally.lost),
            ("messages repeated", tally.duplicated),
            ("messages held up", tally.held),
            ("frames garbled", tally.garbled),
            ("answers too late", tally.stale),
            ("calls put again", tally.repeated),
            ("events postponed", tally.postponed),
            ("time-outs", tally.timeouts),
            ("given up as dead", tally.given_up),
            ("starts", tally.starts),
            ("restarts", tally.restarts),
            ("joins", tally.joins),
            ("could not join", tally.unjoined),
            ("crashes", tally.crashes),
            ("leaves", tally.leaves),
            ("silent deaths", tally.vanished),
            ("pauses", tally.pauses),
            ("links broken", tally.severed),
            ("rules broken", self.breaches),
            ("rings merged", self.merges),
            ("rings purged", self.purged),
            ("rings parted", self.parted),
            ("lookups", tally.lookups),
            ("remote hops", tally.hops),
            ("answers right", verdicts.right),
            ("answers stale", verdicts.stale),
            ("answers early", verdicts.early),
            ("answers unjudged", verdicts.unjudged),
            ("lookups lost", verdicts.lost.values().sum()),
            ("askers died", verdicts.orphaned),
        ]
    }

    /// The same as data.
    pub fn to_json(&self) -> Value {
        let seconds = |time: Duration| time.as_secs_f64();
        let violations = self.violations.iter();
        json!({
            "histories": self.histories,
            "tempers": self.tempers,
            "fingerprint": format!("{:016x}", self.fingerprint),
            "virtual_seconds": seconds(self.time),
            "rules_held_seconds": seconds(self.held),
            "counts": self.counts().into_iter().collect::<BTreeMap<_, _>>(),
            "troubles": self.faults,
            "lookups_lost": self.verdicts.lost,
            "healed_seconds": {
                "rules_held": { "most": seconds(self.repaired.0), "bound": seconds(self.repaired.1) },
                "otherwise": { "most": seconds(self.reunited.0), "bound": seconds(self.reunited.1) },
            },
            "violations": violations.map(|(seed, (at, what))| {
                json!({ "seed": seed, "after_seconds": seconds(*at), "what": what })
            }).collect::<Vec<_>>(),
        })
    }
}

/// These must be zero or may be zero.
const MAY_BE_ZERO: [&str; 4] = ["rings parted", "frames garbled", "answers stale", "answers early"];

impl Temper {
    pub(super) fn name(self) -> &'static str {
        match self {
            Temper::Lawful => "lawful",
            Temper::Lawless => "lawless",
            Temper::Torn => "torn",
        }
    }
}

impl Verdicts {
    fn add(&mut self, other: &Verdicts) {
        self.right += other.right;
        self.stale += other.stale;
        self.early += other.early;
        self.unjudged += other.unjudged;
        self.orphaned += other.orphaned;
        add_all(&mut self.lost, &other.lost);
    }
}

impl Tally {
    pub(in crate::sim) fn add(&mut self, other: &Tally) {
        let Tally { events, messages, bytes, lost, duplicated, held, garbled, stale, repeated, .. } = other;
        let Tally { postponed, timeouts, given_up, forwarded, joins, unjoined, starts, restarts, .. } = other;
        let Tally { crashes, leaves, vanished, pauses, severed, lookups, hops, .. } = other;
        for (sum, more) in [
            (&mut self.events, events),
            (&mut self.messages, messages),
            (&mut self.bytes, bytes),
            (&mut self.lost, lost),
            (&mut self.duplicated, duplicated),
            (&mut self.held, held),
            (&mut self.garbled, garbled),
            (&mut self.stale, stale),
            (&mut self.repeated, repeated),
            (&mut self.postponed, postponed),
            (&mut self.timeouts, timeouts),
            (&mut self.given_up, given_up),
            (&mut self.forwarded, forwarded),
            (&mut self.joins, joins),
            (&mut self.unjoined, unjoined),
            (&mut self.starts, starts),
            (&mut self.restarts, restarts),
            (&mut self.crashes, crashes),
            (&mut self.leaves, leaves),
            (&mut self.vanished, vanished),
            (&mut self.pauses, pauses),
            (&mut self.severed, severed),
            (&mut self.lookups, lookups),
            (&mut self.hops, hops),
        ] {
            *sum += more;
        }
    }
}

fn add_all(sums: &mut BTreeMap<&'static str, u64>, more: &BTreeMap<&'static str, u64>) {
    for (what, count) in more {
        *sums.entry(what).or_default() += count;
    }
}

impl fmt::Display for Summary {
    /// A table, three columns wide.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |time: Duration| format!("{:.1} h", time.as_secs_f64() / 3600.0);
        let tempers: Vec<String> = self.tempers.iter().map(|(name, count)| format!("{count} {name}")).collect();
        writeln!(f, "{} histories ({})", self.histories, tempers.join(", "))?;
        writeln!(f, "virtual time {}, rules held {}", time(self.time), time(self.held))?;
        table(f, &self.counts())?;
        writeln!(f, "trouble")?;
        let faults: Vec<_> =
            all_names().map(|name| (name, self.faults.get(name).copied().unwrap_or_default())).collect();
        table(f, &faults)?;
        writeln!(f, "lookups lost because of")?;
        table(f, &self.verdicts.lost.iter().map(|(why, count)| (*why, *count)).collect::<Vec<_>>())?;
        let healed = |(most, bound): (Duration, Duration)| {
            format!("{:.1} s at most, bound {:.0} s", most.as_secs_f64(), bound.as_secs_f64())
        };
        writeln!(f, "healed, rules held: {}", healed(self.repaired))?;
        writeln!(f, "healed, otherwise:  {}", healed(self.reunited))?;
        writeln!(f, "fingerprint {:016x}", self.fingerprint)?;
        write!(f, "violations: {}", self.violations.len())
    }
}

fn table(f: &mut fmt::Formatter<'_>, rows: &[(&str, u64)]) -> fmt::Result {
    for row in rows.chunks(3) {
        let cells: Vec<String> = row.iter().map(|(what, count)| format!("{what:<18} {count:>12}")).collect();
        writeln!(f, "  {}", cells.join("   "))?;
    }
    Ok(())
}
