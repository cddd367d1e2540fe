//! The figures of a swarm.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::load::{Answers, Demand, Traced};
use super::timeline::Timeline;

/// How a ring formed. Times count from the start of the first node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Formation {
    /// Until all nodes were members.
    pub joined: Duration,
    /// Until all successors and predecessors were right.
    pub neighbors: Duration,
    /// Until all successor lists and all fingers were right, too.
    pub ideal: Duration,
    /// Calls until then, on average.
    pub calls_per_node: f64,
    /// Connections open then, on average; each counts at both of its ends.
    pub connections_per_node: f64,
    /// `None` if the system does not report it.
    pub memory: Option<Memory>,
}

/// Resident memory of the process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// Before the first node was started.
    pub before: u64,
    /// When the ring had formed.
    pub after: u64,
    /// What each node added; some 2 KiB of it belong to the tables by definition.
    pub per_node: f64,
}

impl Memory {
    pub(super) fn new(before: Option<u64>, after: Option<u64>, nodes: u16) -> Option<Memory> {
        let (before, after) = before.zip(after)?;
        Some(Memory { before, after, per_node: ratio(after.saturating_sub(before) as f64, nodes.into()) })
    }
}

/// What nodes do while no program asks for anything.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Idle {
    /// How long the nodes were observed.
    pub elapsed: Duration,
    /// Calls of each node a second, on average.
    pub calls: f64,
    /// Bytes that each node wrote a second, on average.
    pub bytes: f64,
    /// Processor time that all nodes use, as a share of one processor: 1.0 is all of it.
    pub processor_share: f64,
}

/// The results of a load.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// As it was asked for; what was served is `lookups` in `elapsed`.
    pub demand: Demand,
    /// When it began.
    pub began: SystemTime,
    /// Until the last lookup ended.
    pub elapsed: Duration,
    /// All lookups that ended, `errors` included; those traced afterwards are not counted.
    pub lookups: u64,
    /// Lookups that named no owner.
    pub errors: u64,
    /// Lookups that named another node than the owner, including those traced afterwards.
    pub wrong: u64,
    /// The median and the 99th percentile of the latency of lookups that named an owner.
    pub p50: Duration,
    /// See `p50`; like it at most 100 s, the longest latency that is distinguished.
    pub p99: Duration,
    /// Connections that were made meanwhile.
    pub dialed: u64,
    /// Verdicts of death on other nodes meanwhile. They are all false if the ring has no members outside of the swarm.
    pub dead: u64,
    /// How many lookups succeeded and failed over time.
    pub timeline: Timeline,
    /// Lookups traced afterwards, with the calls that they took and the calls that they would have taken by definition.
    pub traced: Traced,
}

impl Figures {
    pub(super) fn new(demand: Demand, elapsed: Duration, answers: Vec<Answers>, traced: Vec<Traced>) -> Figures {
        let (answers, traced) = (Answers::sum(answers), Traced::sum(traced));
        let quantile = |part| Duration::from_nanos(answers.latency.value_at_quantile(part));
        Figures {
            demand,
            began: UNIX_EPOCH,
            elapsed,
            lookups: answers.lookups,
            errors: answers.errors,
            wrong: answers.wrong + traced.wrong,
            p50: quantile(0.5),
            p99: quantile(0.99),
            dialed: 0,
            dead: 0,
            timeline: answers.timeline,
            traced,
        }
    }

    /// Lookups that ended, per second.
    pub fn throughput(&self) -> f64 {
        ratio(self.lookups as f64, self.elapsed.as_secs_f64())
    }

    /// Calls that a lookup takes, on average.
    pub fn calls(&self) -> f64 {
        ratio(self.traced.calls as f64, self.traced.lookups as f64)
    }

    /// Calls that it would take by definition.
    pub fn ideal_calls(&self) -> f64 {
        ratio(self.traced.ideal as f64, self.traced.lookups as f64)
    }

    /// Connections made for each lookup.
    pub fn reconnects(&self) -> f64 {
        ratio(self.dialed as f64, self.lookups as f64)
    }
}

/// `part / whole`; 0 if the whole is 0.
pub fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

impl Formation {
    /// The same as data.
    pub fn to_json(&self) -> Value {
        json!({
            "members_after_seconds": self.joined.as_secs_f64(),
            "neighbors_right_after_seconds": self.neighbors.as_secs_f64(),
            "ideal_after_seconds": self.ideal.as_secs_f64(),
            "calls_per_node": self.calls_per_node,
            "connections_per_node": self.connections_per_node,
            "memory_before_bytes": self.memory.map(|memory| memory.before),
            "memory_after_bytes": self.memory.map(|memory| memory.after),
            "memory_per_node_bytes": self.memory.map(|memory| memory.per_node),
        })
    }
}

impl Idle {
    /// The same as data.
    pub fn to_json(&self) -> Value {
        json!({
            "seconds": self.elapsed.as_secs_f64(),
            "calls_per_node_and_second": self.calls,
            "bytes_per_node_and_second": self.bytes,
            "processor_share": self.processor_share,
        })
    }
}

impl Figures {
    /// The same as data.
    pub fn to_json(&self) -> Value {
        let (clients, rate) = match self.demand {
            Demand::Clients(clients) => (Some(clients), None),
            Demand::Rate(rate) => (None, Some(rate)),
        };
        json!({
            "clients": clients,
            "rate": rate,
            "seconds": self.elapsed.as_secs_f64(),
            "lookups": self.lookups,
            "lookups_per_second": self.throughput(),
            "errors": self.errors,
            "wrong_owners": self.wrong,
            "p50_seconds": self.p50.as_secs_f64(),
            "p99_seconds": self.p99.as_secs_f64(),
            "calls_per_lookup": self.calls(),
            "ideal_calls_per_lookup": self.ideal_calls(),
            "traced_lookups": self.traced.lookups,
            "reconnects": self.dialed,
            "reconnects_per_lookup": self.reconnects(),
            "found_dead": self.dead,
            "began_unix_seconds": self.began.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            "timeline": self.timeline.to_json(),
        })
    }
}

impl fmt::Display for Formation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Formation { joined, neighbors, ideal, calls_per_node, connections_per_node, memory } = self;
        let (joined, neighbors, ideal) = (joined.as_secs_f64(), neighbors.as_secs_f64(), ideal.as_secs_f64());
        writeln!(f, "members      all after {joined:.3} s")?;
        writeln!(f, "neighbors    successors and predecessors right after {neighbors:.3} s")?;
        writeln!(f, "tables       lists and fingers ideal after {ideal:.3} s, {calls_per_node:.1} calls per node")?;
        write!(f, "connections  {connections_per_node:.3} open per node")?;
        if let Some(Memory { after, per_node, .. }) = memory {
            let (mib, kib) = (*after as f64 / f64::from(1 << 20), per_node / 1024.0);
            write!(f, "\nmemory       {mib:.1} MiB, {kib:.1} KiB per node")?;
        }
        Ok(())
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Idle { elapsed, calls, bytes, processor_share } = self;
        write!(
            f,
            "idle         {calls:.2} calls/s and {bytes:.0} bytes/s per node, {:.2} % of a processor, over {:.1} s",
            100.0 * processor_share,
            elapsed.as_secs_f64(),
        )
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        match self.demand {
            Demand::Clients(1) => writeln!(f, "load         1 client, {seconds:.1} s")?,
            Demand::Clients(clients) => writeln!(f, "load         {clients} clients, {seconds:.1} s")?,
            Demand::Rate(rate) => writeln!(f, "load         {rate} lookups/s, {seconds:.1} s")?,
        }
        let (lookups, errors, wrong) = (self.lookups, self.errors, self.wrong);
        let throughput = self.throughput();
        writeln!(f, "lookups      {lookups}, {throughput:.0}/s, {errors} errors, {wrong} wrong owners")?;
        writeln!(f, "latency      p50 {:.0} us, p99 {:.0} us", micros(self.p50), micros(self.p99))?;
        let (calls, ideal, traced) = (self.calls(), self.ideal_calls(), self.traced.lookups);
        writeln!(f, "calls        {calls:.3} per lookup, ideal {ideal:.3}, of {traced} traced")?;
        write!(f, "reconnects   {:.5} per lookup, {} in all", self.reconnects(), self.dialed)?;
        if self.dead > 0 {
            write!(f, "\nfound dead   {} verdicts", self.dead)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_without_lookups_divide_by_nothing() {
        let none = Figures::new(Demand::Rate(1), Duration::ZERO, Vec::new(), Vec::new());
        let ratios = [none.throughput(), none.calls(), none.ideal_calls(), none.reconnects()];
        assert_eq!((ratios, none.p99), ([0.0; 4], Duration::ZERO));
        assert!(!none.to_string().contains("NaN"), "{none}");
    }
}
