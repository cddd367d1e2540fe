//! What `chord watch --json` prints: a line of figures at intervals, and one for each event. `docs/openapi.json` has a
//! schema of both, `WatchFigures` and `WatchEvent`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chord::client::json::{finding, millis, peer};
use serde_json::{Map, Value, json};

use super::events::What;
use super::figures::{QUANTILES, quantile};
use super::model::{Health, Watch};
use crate::commands::ask::{Failure, print};

/// Prints lines.
pub struct Lines {
    began: SystemTime,
}

impl Lines {
    /// The watch begins now.
    pub fn begin() -> Lines {
        Lines { began: SystemTime::now() }
    }

    /// A time since the watch began, in seconds since 1970, to the millisecond.
    fn at(&self, time: Duration) -> f64 {
        let since = (self.began + time).duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_millis() as f64 / 1e3
    }

    pub fn events(&self, now: Duration, happened: &[What]) -> Result<(), Failure> {
        print(&happened.iter().map(|what| format!("{}\n", event(self.at(now), what))).collect::<String>())
    }

    pub fn figures(&self, watch: &Watch) -> Result<(), Failure> {
        print(&format!("{}\n", figures(self.at(watch.now), watch)))
    }
}

fn figures(at: f64, watch: &Watch) -> Value {
    let times = watch.probes.times();
    let times: Option<Map<_, _>> = QUANTILES
        .iter()
        .map(|(name, part)| quantile(&times, *part).map(|time| (name.to_string(), json!(millis(time)))))
        .collect();
    json!({
        "at": at,
        "through": watch.through.to_string(),
        "members": watch.members.len(),
        "silent": watch.silent.len(),
        "health": watch.health().map(Health::word),
        "findings": watch.verdict.iter().flat_map(|verdict| &verdict.findings).map(finding).collect::<Value>(),
        "lookups_per_second": watch.lookups.now(),
        "reporting": watch.lookups.members,
        "probes": {
            "per_second": watch.probes.per_second(watch.now),
            "failed": watch.probes.failed(),
            "millis": times,
        },
    })
}

fn event(at: f64, what: &What) -> Value {
    match what {
        What::Found(n) => json!({ "at": at, "event": "found", "members": n }),
        What::Appeared(node) => json!({ "at": at, "event": "appeared", "node": peer(*node) }),
        What::Returned(node) => json!({ "at": at, "event": "returned", "node": peer(*node) }),
        What::Restarted(node) => json!({ "at": at, "event": "restarted", "node": peer(*node) }),
        What::Gone(node) => json!({ "at": at, "event": "gone", "node": peer(*node) }),
        What::Silent(node, why) => json!({ "at": at, "event": "silent", "node": peer(*node), "error": why }),
        What::Predecessor(node, other) => {
            json!({ "at": at, "event": "predecessor", "node": peer(*node), "predecessor": other.map(peer) })
        }
        What::Successor(node, other) => {
            json!({ "at": at, "event": "successor", "node": peer(*node), "successor": other.map(peer) })
        }
        What::Lists(n) => json!({ "at": at, "event": "lists", "members": n }),
        What::Health(health) => json!({ "at": at, "event": "health", "health": health.word() }),
        What::Asking(addr) => json!({ "at": at, "event": "through", "through": addr.to_string() }),
        What::Lost(why) => json!({ "at": at, "event": "unreachable", "error": why }),
    }
}
