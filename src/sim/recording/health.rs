//! Whether a ring is as defined, judged from the tables of all nodes at once.
//!
//! Only members count; fingers do not: with wrong ones, answers are right all the same, and take longer.

use std::collections::BTreeMap;

use super::View;
use crate::client::finding::{Finding, Kind};
use crate::protocol::id::{Bits, Id};
use crate::sim::nodes::{counted, name};
use crate::sim::oracle::{cycles, winds};

/// A finding names at most this many nodes.
const NAMES: usize = 8;

/// The first member at or after a key, and the first member there that is on the ring, if there is one ring.
pub(super) fn owners(nodes: &BTreeMap<Id, View>, key: Id) -> [Option<Id>; 2] {
    let (members, cycles) = rings(nodes);
    let first = |ring: &[Id]| ring.iter().find(|id| **id >= key).or(ring.first()).copied();
    let all: Vec<Id> = members.iter().map(|view| view.me.id).collect();
    let on = match &cycles[..] {
        [one] => {
            let mut on: Vec<Id> = one.iter().map(|at| all[*at]).collect();
            on.sort_unstable();
            first(&on)
        }
        _ => None,
    };
    [first(&all), on]
}

/// The members, and the cycles of their first living successors.
fn rings(nodes: &BTreeMap<Id, View>) -> (Vec<&View>, Vec<Vec<usize>>) {
    let members: Vec<&View> = nodes.values().filter(|view| view.is_member()).collect();
    let next = |(at, view): (usize, &&View)| next(&members, view).unwrap_or(at);
    let next: Vec<usize> = members.iter().enumerate().map(next).collect();
    let cycles = cycles(&next);
    (members, cycles)
}

/// The first entry of a list that is a member.
fn next(members: &[&View], view: &View) -> Option<usize> {
    view.successors.iter().find_map(|id| members.binary_search_by_key(id, |view| view.me.id).ok())
}

/// What is not as defined: at most one finding of each kind.
pub(super) fn findings(nodes: &BTreeMap<Id, View>, r: usize, bits: Bits) -> Vec<Finding> {
    let (ring, cycles) = rings(nodes);
    let n = ring.len();
    let mut found = Vec::new();
    if cycles.len() > 1 {
        let sizes: Vec<String> = cycles.iter().map(|cycle| cycle.len().to_string()).collect();
        let what = format!("there are {} rings, of {} nodes", cycles.len(), sizes.join(" and "));
        found.push(Finding { kind: Kind::Rings, node: None, what });
    } else if cycles.iter().any(|cycle| winds(cycle)) {
        let what = "the ring goes round the circle more than once".into();
        found.push(Finding { kind: Kind::Rings, node: None, what });
    }
    let mut wrong: BTreeMap<Kind, Vec<&View>> = BTreeMap::new();
    for (at, view) in ring.iter().enumerate() {
        let way = |k: usize| ring[(at + k) % n].me.id;
        let list: Vec<Id> = (1..n).take(r).map(way).collect();
        if n > 1 && next(&ring, view).is_none() {
            wrong.entry(Kind::Alone).or_default().push(view);
        } else if view.successors.first() != list.first() {
            wrong.entry(Kind::Successor).or_default().push(view);
        } else if view.successors != list {
            wrong.entry(Kind::SuccessorList).or_default().push(view);
        }
        if view.predecessor != (n > 1).then(|| way(n - 1)) {
            wrong.entry(Kind::Predecessor).or_default().push(view);
        }
    }
    found.extend(wrong.into_iter().map(|(kind, views)| {
        let node = if views.len() == 1 { views.first().map(|view| view.me) } else { None };
        Finding { kind, node, what: sentence(kind, &views, bits) }
    }));
    found
}

fn sentence(kind: Kind, views: &[&View], bits: Bits) -> String {
    let names: Vec<String> = views.iter().take(NAMES).map(|view| name(view.me.id, bits)).collect();
    let more = if views.len() > NAMES { " and others" } else { "" };
    let whose = format!("of {} ({}{more})", counted(views.len(), "node"), names.join(", "));
    match kind {
        Kind::Alone => format!("no successor {whose} is a living member"),
        Kind::Successor => format!("the first successor {whose} is not the next member"),
        Kind::SuccessorList => format!("the successor list {whose} is not the next members"),
        _ => format!("the predecessor {whose} is not the member before"),
    }
}
