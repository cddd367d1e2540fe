//! A member of the ring, and how busy it is.

use std::time::Duration;

use chord::Peer;
use chord::client::walk::Visited;

/// A member that answered the last walk.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub peer: Peer,
    pub run: Option<u64>,
    pub plain: bool,
    /// One question and its answer.
    pub took: Duration,
    /// The part of all keys that it owns.
    pub share: f64,
    pub predecessor: Option<Peer>,
    pub successors: Vec<Peer>,
    /// When it reported, and how many lookups had ended there until then.
    pub lookups: Option<(Duration, u64)>,
    /// Lookups a second that ended there since the walk before.
    pub rate: Option<f64>,
}

impl Member {
    /// As it was visited by a walk that began then; `before` is what the walk before found there.
    pub fn of(visited: &Visited, share: f64, began: Duration, before: Option<&Member>) -> Member {
        let lookups = visited.report.as_ref().map(|report| (began + visited.at, report.traffic.lookups));
        let earlier = before.filter(|before| before.run == visited.run).and_then(|before| before.lookups);
        let rate = match (earlier, lookups) {
            (Some((at, few)), Some((now, many))) if now > at => {
                Some(many.saturating_sub(few) as f64 / (now - at).as_secs_f64())
            }
            _ => None,
        };
        Member {
            peer: visited.peer,
            run: visited.run,
            plain: visited.plain,
            took: visited.took,
            share,
            predecessor: visited.predecessor,
            successors: visited.successors.clone(),
            lookups,
            rate,
        }
    }
}
