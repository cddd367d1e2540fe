//! Metrics for Prometheus: what the nodes of the process do, how they see their ring, and what the process uses.
//!
//! Read anew for each scrape; between scrapes they cost the nodes a few additions per call. `docs/operations.md` has the
//! list, and rules for alerts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures::future::join_all;
use hyper::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::timeout;

use super::answer::{Answer, refuse, whole};
use super::process::Process;
use super::{NODES_ANSWER_WITHIN, Shown};
use crate::net::limits::drops::REASONS;
use crate::net::meters::{CALLS, CONVERSATIONS, DECISIONS, Durations, FAILURES, Meters, RESULTS};
use crate::net::traffic::{Counter, Traffic};
use crate::node::Node;
use crate::node::report::Report;
use crate::node::state::State;
use crate::protocol::id::Id;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics, in the form that the client accepts.
pub(super) async fn answer(shown: &Shown, accepts: Option<&str>) -> Answer {
    let nodes = shown.all();
    let _turn = shown.asks_all.lock().await;
    let Ok(reports) = timeout(NODES_ANSWER_WITHIN, join_all(nodes.iter().map(Node::report))).await else {
        let why = format!("the actors of a node have not answered within {NODES_ANSWER_WITHIN:?}");
        return refuse(StatusCode::SERVICE_UNAVAILABLE, why);
    };
    let mut meters: Vec<Arc<Meters>> = nodes.iter().map(Node::meters).collect();
    meters.sort_by_key(Arc::as_ptr);
    meters.dedup_by(|one, other| Arc::ptr_eq(one, other));
    let scrape = Scrape {
        reports: reports.into_iter().flatten().collect(),
        accepted: nodes.iter().map(Node::accepted).sum(),
        meters,
        is_ready: shown.readiness.borrow().why_not().is_none(),
        process: Process::now(),
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut told = String::new();
    if text::encode(&mut told, &registry).is_err() {
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, "the metrics can't be written");
    }
    match accepts.is_some_and(|kinds| kinds.contains("application/openmetrics-text")) {
        true => whole(StatusCode::OK, OPEN_METRICS, told),
        false => whole(StatusCode::OK, PLAIN, plain(&told)),
    }
}

/// OpenMetrics in the older form (<https://prometheus.io/docs/instrumenting/exposition_formats/>): a counter is described
/// by its full name, units are not told, and there is no end.
fn plain(told: &str) -> String {
    let counters: Vec<&str> =
        told.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut text = String::with_capacity(told.len());
    for line in told.lines() {
        let described = line.strip_prefix("# HELP ").or(line.strip_prefix("# TYPE "));
        match described.and_then(|rest| rest.split_once(' ')) {
            Some((name, rest)) if counters.contains(&name) => {
                text.push_str(&line[.."# HELP ".len()]);
                text.push_str(&format!("{name}_total {rest}\n"));
            }
            None if line.starts_with("# UNIT ") || line == "# EOF" => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

/// What is told in one scrape.
struct Scrape {
    reports: Vec<Report>,
    accepted: u64,
    /// One for each thread of nodes.
    meters: Vec<Arc<Meters>>,
    is_ready: bool,
    process: Option<Process>,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a scrape of {} nodes", self.reports.len())
    }
}

type Result = std::result::Result<(), fmt::Error>;

/// No label.
const NONE: [(&str, &str); 0] = [];

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder) -> Result {
        let mut told = Teller(encoder);
        self.tell_calls(&mut told)?;
        self.tell_lookups(&mut told)?;
        self.tell_maintenance(&mut told)?;
        self.tell_ring(&mut told)?;
        self.tell_connections(&mut told)?;
        self.tell_process(&mut told)
    }
}

impl Scrape {
    /// The sum over all threads.
    fn sum<'a>(&'a self, counter: impl Fn(&'a Meters) -> &'a Counter) -> u64 {
        self.meters.iter().map(|meters| counter(meters).get()).sum()
    }

    fn durations<'a>(&'a self, durations: impl Fn(&'a Meters) -> &'a Durations) -> Buckets {
        let mut all = Buckets::default();
        for meters in &self.meters {
            let (buckets, sum) = durations(meters).read();
            all.add(buckets, sum);
        }
        all
    }

    fn traffic(&self, count: impl Fn(&Traffic) -> u64) -> u64 {
        self.reports.iter().map(|report| count(&report.traffic)).sum()
    }

    fn tell_calls(&self, told: &mut Teller<'_>) -> Result {
        let mut metric = told.counter("chord_calls", "Calls to other nodes that have ended, by what came of them")?;
        for (number, call) in CALLS.into_iter().enumerate() {
            for (at, result) in RESULTS.into_iter().enumerate() {
                let n = self.sum(|meters| &meters.calls[number].ended[at]);
                count(&mut metric, &[("call", call), ("result", result)], n)?;
            }
        }
        let help = "Calls of other nodes, by what was done with them";
        let mut metric = told.counter("chord_calls_served", help)?;
        for (number, call) in CALLS.into_iter().enumerate() {
            for (at, decision) in DECISIONS.into_iter().enumerate() {
                let n = self.sum(|meters| &meters.calls[number].served[at]);
                count(&mut metric, &[("call", call), ("result", decision)], n)?;
            }
        }
        let help = "From writing a call to reading its answer, for those that were answered or refused";
        let mut metric = told.histogram("chord_call_duration", help, Some(&Unit::Seconds))?;
        for (number, call) in CALLS.into_iter().enumerate() {
            self.durations(|meters| &meters.calls[number].took).tell(&mut metric, &[("call", call)])?;
        }
        let all = |count: fn(&crate::net::meters::Call) -> u64| -> u64 {
            self.meters.iter().flat_map(|meters| &meters.calls).map(count).sum()
        };
        let ended = all(|call| call.ended.iter().map(Counter::get).sum());
        let in_flight = all(|call| call.asked.get()).saturating_sub(ended);
        told.gauge("chord_calls_in_flight", "Calls to other nodes that wait for their answer", in_flight as f64)?;
        told.one("chord_service_calls", "Calls of the program to services of other nodes", self.traffic(|t| t.called))?;
        let help = "Calls of other programs that a service here began to answer";
        told.one("chord_service_calls_served", help, self.traffic(|t| t.served))
    }

    fn tell_lookups(&self, told: &mut Teller<'_>) -> Result {
        let took = self.durations(|meters| &meters.lookups);
        let mut metric = told.counter("chord_lookups", "Lookups of the program, by what came of them")?;
        count(&mut metric, &[("result", "found")], took.counts.values().map(|(_, n)| n).sum())?;
        for (at, why) in FAILURES.into_iter().enumerate() {
            count(&mut metric, &[("result", why)], self.meters.iter().map(|meters| meters.failed(at)).sum())?;
        }
        let help = "Whole lookups of the program that found an owner";
        let mut metric = told.histogram("chord_lookup_duration", help, Some(&Unit::Seconds))?;
        took.tell(&mut metric, &NONE)?;
        let help = "Hops of the lookups that ended at a node here, whoever began them";
        let mut metric = told.histogram("chord_lookup_hops", help, None)?;
        let mut hops = Buckets::default();
        for meters in &self.meters {
            let last = meters.hops.len() - 1;
            let bound = |hops: usize| if hops == last { f64::MAX } else { hops as f64 };
            let counts = meters.hops.iter().enumerate().map(|(hops, count)| (bound(hops), count.get()));
            hops.add(counts.collect(), meters.hops_sum.get() as f64);
        }
        hops.tell(&mut metric, &NONE)
    }

    fn tell_maintenance(&self, told: &mut Teller<'_>) -> Result {
        let mut metric = told.counter("chord_conversations", "Conversations of ring maintenance that were begun")?;
        for (at, name) in CONVERSATIONS.into_iter().enumerate() {
            count(&mut metric, &[("conversation", name)], self.sum(|meters| &meters.conversations[at]))?;
        }
        let help = "Changes of a successor list, a predecessor or a membership";
        told.one("chord_neighbor_changes", help, self.sum(|meters| &meters.changes))?;
        let help = "Nodes that did not answer in time and were asked whether they live";
        told.one("chord_suspected_peers", help, self.sum(|meters| &meters.suspected))?;
        told.one("chord_dead_peers", "Neighbours that were found dead", self.traffic(|t| t.dead))?;
        let mut metric =
            told.counter("chord_dropped", "Connections, calls and replies that were dropped, by reason")?;
        for (at, reason) in REASONS.into_iter().enumerate() {
            count(&mut metric, &[("reason", reason)], self.sum(|meters| &meters.dropped[at]))?;
        }
        Ok(())
    }

    fn tell_ring(&self, told: &mut Teller<'_>) -> Result {
        told.gauge("chord_nodes", "Nodes of this process", self.reports.len() as f64)?;
        let help = "Whether others of the ring have confirmed the first node within the last 5 seconds";
        told.gauge("chord_ready", help, u8::from(self.is_ready).into())?;
        let states = || self.reports.iter().map(|report| &report.state);
        let least = |counts: &mut dyn Iterator<Item = usize>| counts.min().unwrap_or_default() as f64;
        let help = "Entries of the shortest successor list here";
        told.gauge("chord_successors", help, least(&mut states().map(|state| state.successors.len())))?;
        let help = "Entries that a full successor list has (r)";
        told.gauge("chord_successors_wanted", help, least(&mut states().map(|state| state.r)))?;
        let known = states().filter(|state| state.predecessor.is_some() || state.successors.is_empty());
        told.gauge("chord_predecessors", "Nodes here that know their predecessor, or are alone", known.count() as f64)?;
        let fingers = states().map(|state| crate::client::json::runs(&state.fingers).len());
        told.gauge(
            "chord_fingers",
            "Different fingers of the node here that has fewest",
            least(&mut fingers.into_iter()),
        )?;
        let sizes: Vec<f64> = states().map(size).collect();
        let mean = sizes.iter().sum::<f64>() / sizes.len().max(1) as f64;
        told.gauge("chord_ring_size_estimate", "Members of the ring, estimated from the distance of successors", mean)?;
        let share = states().map(|state| match state.predecessor {
            Some(before) => part(state.me.id.clockwise_from(before.id)),
            None => {
                if state.successors.is_empty() {
                    1.0
                } else {
                    0.0
                }
            }
        });
        let help = "Part of all keys that the nodes here believe they own";
        told.of("chord_key_share", help, Some(&Unit::Other("ratio".into())), MetricType::Gauge)?
            .encode_gauge(&share.sum::<f64>())
    }

    fn tell_connections(&self, told: &mut Teller<'_>) -> Result {
        let mut metric = told.of("chord_connections", "Open connections with nodes", None, MetricType::Gauge)?;
        let open = self.traffic(|t| t.open);
        for (kind, n) in [("accepted", self.accepted), ("dialed", open.saturating_sub(self.accepted))] {
            metric.encode_family(&[("kind", kind)])?.encode_gauge(&(n as f64))?;
        }
        told.one("chord_dials", "Connections that were made or tried", self.traffic(|t| t.dialed))?;
        for (name, help, bytes) in [
            ("chord_written", "Frames written to nodes", self.traffic(|t| t.written)),
            ("chord_read", "Frames read from nodes", self.traffic(|t| t.read)),
        ] {
            let mut metric = told.of(name, help, Some(&Unit::Bytes), MetricType::Counter)?;
            metric.encode_counter::<[(&str, &str); 0], u64, f64>(&bytes, None)?;
        }
        let mut metric = told.of("chord_build_info", "The program that runs", None, MetricType::Gauge)?;
        metric.encode_family(&[("version", env!("CARGO_PKG_VERSION"))])?.encode_gauge(&1.0)
    }

    fn tell_process(&self, told: &mut Teller<'_>) -> Result {
        let Some(process) = self.process else { return Ok(()) };
        let help = "Processor time of this process";
        let mut metric = told.of("process_cpu", help, Some(&Unit::Seconds), MetricType::Counter)?;
        metric.encode_counter::<[(&str, &str); 0], f64, f64>(&process.cpu, None)?;
        for (name, help, bytes) in [
            ("process_resident_memory", "Memory of this process that is in RAM", process.resident),
            ("process_virtual_memory", "Address space of this process", process.virtual_),
        ] {
            told.of(name, help, Some(&Unit::Bytes), MetricType::Gauge)?.encode_gauge(&(bytes as f64))?;
        }
        told.gauge("process_open_fds", "Open files of this process", process.open_files as f64)?;
        told.gauge("process_threads", "Threads of this process", process.threads as f64)?;
        if let Some(most) = process.max_files {
            told.gauge("process_max_fds", "Files that this process may have open", most as f64)?;
        }
        if let Some(started) = process.started {
            let help = "When this process started, since 1970";
            told.of("process_start_time", help, Some(&Unit::Seconds), MetricType::Gauge)?.encode_gauge(&started)?;
        }
        Ok(())
    }
}

/// Tells one metric after the other.
struct Teller<'a>(DescriptorEncoder<'a>);

impl Teller<'_> {
    fn of<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        unit: Option<&'s Unit>,
        kind: MetricType,
    ) -> std::result::Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, unit, kind)
    }

    fn counter<'s>(&'s mut self, name: &'s str, help: &str) -> std::result::Result<MetricEncoder<'s>, fmt::Error> {
        self.of(name, help, None, MetricType::Counter)
    }

    fn histogram<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        unit: Option<&'s Unit>,
    ) -> std::result::Result<MetricEncoder<'s>, fmt::Error> {
        self.of(name, help, unit, MetricType::Histogram)
    }

    fn one(&mut self, name: &str, help: &str, n: u64) -> Result {
        self.counter(name, help)?.encode_counter::<[(&str, &str); 0], u64, f64>(&n, None)
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> Result {
        self.of(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }
}

fn count(metric: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, n: u64) -> Result {
    metric.encode_family(labels)?.encode_counter::<[(&str, &str); 0], u64, f64>(&n, None)
}

/// The counts of several histograms, added up: by their upper bound, each with that bound.
#[derive(Default)]
struct Buckets {
    counts: BTreeMap<u64, (f64, u64)>,
    sum: f64,
}

impl Buckets {
    fn add(&mut self, counts: Vec<(f64, u64)>, sum: f64) {
        for (bound, n) in counts {
            // Bits of numbers that are not negative have the order of the numbers.
            self.counts.entry(bound.to_bits()).or_insert((bound, 0)).1 += n;
        }
        self.sum += sum;
    }

    fn tell(&self, metric: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet) -> Result {
        let buckets: Vec<(f64, u64)> = self.counts.values().copied().collect();
        let n = buckets.iter().map(|(_, n)| n).sum();
        metric.encode_family(labels)?.encode_histogram::<[(&str, &str); 0]>(self.sum, n, &buckets, None)
    }
}

/// A distance as a part of the circle.
fn part(distance: Id) -> f64 {
    crate::client::walk::part(distance)
}

/// How many members there are: exact if the successor list is not full, since then these are all; else what it would be
/// if all were as close together as this node and its successors.
fn size(State { me, r, successors, .. }: &State) -> f64 {
    let known = successors.len() as f64;
    match successors.last() {
        Some(last) if successors.len() >= *r => (known / part(last.id.clockwise_from(me.id))).max(known + 1.0),
        _ => known + 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::addr::Addr;
    use crate::protocol::peer::Peer;

    #[test]
    fn size_is_exact_while_the_list_has_room_and_estimated_when_it_is_full() {
        let at = |first: u8| Peer { id: Id::from_bytes([first; 20]), addr: Addr::new([127, 0, 0, 1], 4170) };
        let ring = |r, successors: &[u8]| {
            let successors = successors.iter().map(|first| at(*first)).collect();
            size(&State { me: at(0), r, successors, predecessor: None, fingers: Vec::new() })
        };
        assert_eq!((ring(3, &[]), ring(3, &[8, 16])), (1.0, 3.0));
        assert!((ring(2, &[8, 16]) - 32.0).abs() < 1.0, "a sixteenth of the circle has two");
        assert_eq!(ring(2, &[8, 255]), 3.0, "there are no fewer than it knows");
    }

    #[test]
    fn older_form_describes_counters_by_their_full_names() {
        let told = "# HELP a_b Calls.\n# TYPE a_b counter\na_b_total{c=\"x\"} 1\n# HELP s_seconds S.\n# TYPE s_seconds histogram\n\
                    # UNIT s_seconds seconds\ns_seconds_count 0\n# EOF\n";
        let expected = "# HELP a_b_total Calls.\n# TYPE a_b_total counter\na_b_total{c=\"x\"} 1\n# HELP s_seconds S.\n\
                        # TYPE s_seconds histogram\ns_seconds_count 0\n";
        assert_eq!(plain(told), expected);
    }
}
