//! Compares what the nodes of a ring have said with the definitions of the paper (sections IV.B and IV.E): successors,
//! predecessor and fingers follow from the members alone.

use std::collections::{HashMap, HashSet};

use super::finding::{Finding, Kind};
use super::walk::{Visited, Walk};
use crate::protocol::id::Bits;
use crate::protocol::peer::Peer;

/// What is wrong with these nodes, as definitions say.
pub fn judge(walk: &Walk) -> Vec<Finding> {
    let judged = Judged::new(walk);
    let mut findings = Vec::new();
    judged.rings(&mut findings);
    judged.same_identifiers(&mut findings);
    for (at, node) in walk.nodes.iter().enumerate() {
        judged.node(at, node, &mut findings);
    }
    for unreached in &walk.unreached {
        let (addr, n) = (unreached.peer.addr, unreached.named_by.len());
        let by = if n == 1 { "1 node still names".into() } else { format!("{n} nodes still name") };
        let what = format!("{by} {addr}, but {}", unreached.why);
        findings.push(Finding { kind: Kind::Unreached, node: Some(unreached.peer), what });
    }
    judged.lengths(&mut findings);
    if walk.cut {
        let what = format!("there are more than {} nodes; the others were not visited", walk.nodes.len());
        findings.push(Finding { kind: Kind::Cut, node: None, what });
    }
    findings
}

struct Judged<'a> {
    walk: &'a Walk,
    position: HashMap<Peer, usize>,
    /// The length of successor lists, if all nodes that report it have the same.
    r: Option<usize>,
}

impl Judged<'_> {
    fn new(walk: &Walk) -> Judged<'_> {
        let position = walk.nodes.iter().enumerate().map(|(at, node)| (node.peer, at)).collect();
        let mut lengths = walk.nodes.iter().filter_map(|node| Some(node.report.as_ref()?.state.r));
        let r = lengths.next().filter(|first| lengths.all(|r| r == *first));
        Judged { walk, position, r }
    }

    /// How many entries the list of a node should have. Where that is not known, as of plain peers, it is as long as it
    /// is.
    fn length(&self, node: &Visited) -> usize {
        let reported = node.report.as_ref().map(|report| report.state.r);
        reported.or(self.r.filter(|_| !node.plain)).unwrap_or(node.successors.len().max(1))
    }

    /// The members after the one at this place, in order.
    fn after(&self, at: usize) -> impl Iterator<Item = Peer> {
        let nodes = &self.walk.nodes;
        (1..nodes.len()).map(move |step| nodes[(at + step) % nodes.len()].peer)
    }

    /// A node's first successor that lives.
    fn living(&self, node: &Visited) -> Option<Peer> {
        node.successors.iter().copied().find(|peer| self.position.contains_key(peer))
    }

    /// Follows first living successors: each node leads to one cycle in the end, and in a ring to the same.
    fn rings(&self, findings: &mut Vec<Finding>) {
        let next: Vec<usize> = self
            .walk
            .nodes
            .iter()
            .enumerate()
            .map(|(at, node)| self.living(node).map_or(at, |peer| self.position[&peer]))
            .collect();
        // The cycle that each node leads to, by its lowest place.
        let mut leads = vec![None; next.len()];
        for begin in 0..next.len() {
            let (mut at, mut path) = (begin, Vec::new());
            let mut on_path = HashSet::new();
            while leads[at].is_none() && on_path.insert(at) {
                path.push(at);
                at = next[at];
            }
            let cycle = leads[at].unwrap_or_else(|| {
                let from = path.iter().position(|other| *other == at).unwrap_or_default();
                path[from..].iter().copied().min().unwrap_or(at)
            });
            path.into_iter().for_each(|at| leads[at] = Some(cycle));
        }
        let mut sizes = HashMap::<usize, usize>::new();
        leads.into_iter().flatten().for_each(|cycle| *sizes.entry(cycle).or_default() += 1);
        let mut sizes: Vec<_> = sizes.into_iter().collect();
        sizes.sort_by_key(|(cycle, size)| (std::cmp::Reverse(*size), *cycle));
        for (cycle, size) in sizes.iter().skip(1) {
            // Nodes alone are told of by themselves.
            if *size > 1 {
                let peer = self.walk.nodes[*cycle].peer;
                let what = format!(
                    "{} and {} others are a ring of their own, beside one of {}",
                    peer.addr,
                    size - 1,
                    sizes[0].1
                );
                findings.push(Finding { kind: Kind::Rings, node: Some(peer), what });
            }
        }
    }

    fn same_identifiers(&self, findings: &mut Vec<Finding>) {
        for pair in self.walk.nodes.windows(2) {
            let [one, other] = [pair[0].peer, pair[1].peer];
            if one.id == other.id {
                let what = format!("{} and {} both have the identifier {}", one.addr, other.addr, one.id);
                findings.push(Finding { kind: Kind::Identifier, node: Some(one), what });
            }
        }
    }

    fn node(&self, at: usize, node: &Visited, findings: &mut Vec<Finding>) {
        let me = node.peer.addr;
        let mut found = |kind, what| findings.push(Finding { kind, node: Some(node.peer), what });
        let others = self.walk.nodes.len() - 1;
        let expected: Vec<Peer> = self.after(at).take(self.length(node)).collect();
        match (self.living(node), expected.first()) {
            (None, Some(_)) => {
                found(Kind::Alone, format!("{me} knows no living successor, but {others} other nodes live"));
            }
            (Some(successor), Some(next)) if successor != *next => {
                let what = format!("{me} has the successor {}, but the next member is {}", successor.addr, next.addr);
                found(Kind::Successor, what);
            }
            (Some(_), _) if node.successors != expected => {
                found(Kind::SuccessorList, self.list(node, &expected));
            }
            _ => {}
        }
        let n = self.walk.nodes.len();
        let before = Some(self.walk.nodes[(at + n - 1) % n].peer).filter(|_| n > 1);
        if node.predecessor != before {
            let has = node.predecessor.map_or("no predecessor".into(), |peer| format!("the predecessor {}", peer.addr));
            let is = before.map_or("it is alone".into(), |peer| format!("the member before it is {}", peer.addr));
            found(Kind::Predecessor, format!("{me} has {has}, but {is}"));
        }
        let fingers = node.report.iter().flat_map(|report| &report.state.fingers);
        let is_wrong = |(i, finger): &(u8, &Peer)| {
            self.walk.owner(node.peer.id.finger_start(*i, Bits::FULL)).is_some_and(|owner| owner != **finger)
        };
        let wrong: Vec<_> = (1..=Bits::FULL.count()).zip(fingers).filter(is_wrong).collect();
        if let Some((i, finger)) = wrong.first() {
            let n = wrong.len();
            let fingers = if n == 1 { "1 finger that is".into() } else { format!("{n} fingers that are") };
            found(Kind::Fingers, format!("{me} has {fingers} not as defined, the first {i}: {}", finger.addr));
        }
    }

    /// What is wrong with a list whose first living node is right.
    fn list(&self, node: &Visited, expected: &[Peer]) -> String {
        let me = node.peer.addr;
        let dead = node.successors.iter().find(|peer| !self.position.contains_key(peer));
        let missing = expected.iter().find(|peer| !node.successors.contains(peer));
        match (dead, missing) {
            (Some(dead), _) => format!("{me} has {} in its successor list, which does not answer", dead.addr),
            (_, Some(missing)) => format!("{me} lacks {} in its successor list", missing.addr),
            _ => format!("{me} has the next members in its successor list, but not in order"),
        }
    }

    fn lengths(&self, findings: &mut Vec<Finding>) {
        let mut lengths: Vec<usize> =
            self.walk.nodes.iter().filter_map(|node| Some(node.report.as_ref()?.state.r)).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let n = self.walk.nodes.len();
        if let Some(r) = lengths.last().filter(|r| n <= **r) {
            let what = format!(
                "the ring has {n} of the {} members that lists of {r} successors need to survive {r} deaths at once",
                r + 1
            );
            findings.push(Finding { kind: Kind::Members, node: None, what });
        }
        if let [least, .., most] = lengths[..] {
            let what = format!("successor lists have from {least} to {most} entries");
            findings.push(Finding { kind: Kind::Lengths, node: None, what });
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::client::finding::Severity;
    use crate::client::walk::Unreached;
    use crate::node::report::Report;
    use crate::node::state::State;
    use crate::protocol::addr::Addr;
    use crate::protocol::id::Id;

    const R: usize = 3;

    pub(crate) fn peer(n: u8) -> Peer {
        Peer { id: Id::from_bytes([n; 20]), addr: Addr::new([127, 0, 0, n], 4170) }
    }

    /// A ring of these nodes as it should be, as a walk finds it.
    pub(crate) fn ring(members: &[u8]) -> Walk {
        let n = members.len();
        let mut walk = Walk::default();
        for (at, member) in members.iter().enumerate() {
            let me = peer(*member);
            let successors: Vec<_> = (1..n).map(|step| peer(members[(at + step) % n])).take(R).collect();
            let predecessor = (n > 1).then(|| peer(members[(at + n - 1) % n]));
            walk.nodes.push(Visited {
                peer: me,
                run: Some(n as u64),
                plain: false,
                took: Duration::ZERO,
                at: Duration::ZERO,
                predecessor,
                successors: successors.clone(),
                report: Some(Report {
                    state: State { me, r: R, successors, predecessor, fingers: Vec::new() },
                    version: "1".into(),
                    uptime: Duration::ZERO,
                    run: 0,
                    traffic: Default::default(),
                }),
            });
        }
        for at in 0..n {
            let me = walk.nodes[at].peer.id;
            let fingers = (1..=160).filter_map(|i| walk.owner(me.finger_start(i, Bits::FULL))).collect();
            walk.nodes[at].report.as_mut().unwrap().state.fingers = fingers;
        }
        walk
    }

    fn kinds(walk: &Walk) -> Vec<(Kind, Option<Peer>)> {
        judge(walk).into_iter().map(|finding| (finding.kind, finding.node)).collect()
    }

    #[test]
    fn ring_as_defined_has_no_findings() {
        for members in [&[1, 9, 50, 200][..], &[7, 8, 9, 10, 11, 12, 13]] {
            assert_eq!(judge(&ring(members)), []);
        }
    }

    #[test]
    fn ring_of_fewer_nodes_than_its_lists_want_is_noted_and_healthy() {
        for members in [&[1][..], &[1, 9], &[1, 9, 50]] {
            assert_eq!(kinds(&ring(members)), [(Kind::Members, None)], "{members:?}");
        }
        assert_eq!(Kind::Members.severity(), Severity::Note);
    }

    #[test]
    fn each_wrong_table_is_found_at_its_node() {
        let right = ring(&[1, 9, 50, 120, 200]);
        let mut walk = right.clone();
        walk.nodes[0].successors = [50, 120, 200].map(peer).to_vec();
        assert_eq!(kinds(&walk), [(Kind::Successor, Some(peer(1)))]);
        let mut walk = right.clone();
        walk.nodes[1].successors.pop();
        assert_eq!(kinds(&walk), [(Kind::SuccessorList, Some(peer(9)))]);
        let mut walk = right.clone();
        walk.nodes[1].successors.swap(1, 2);
        assert_eq!(kinds(&walk), [(Kind::SuccessorList, Some(peer(9)))]);
        for predecessor in [None, Some(peer(1)), Some(peer(77))] {
            let mut walk = right.clone();
            walk.nodes[2].predecessor = predecessor;
            assert_eq!(kinds(&walk), [(Kind::Predecessor, Some(peer(50)))]);
        }
        let mut walk = right.clone();
        walk.nodes[3].report.as_mut().unwrap().state.fingers[159] = peer(120);
        assert_eq!(kinds(&walk), [(Kind::Fingers, Some(peer(120)))]);
    }

    #[test]
    fn lists_of_nodes_that_do_not_report_their_length_may_be_shorter() {
        let mut walk = ring(&[1, 9, 50, 120, 200]);
        walk.nodes[1].successors.truncate(1);
        walk.nodes[1].report = None;
        assert_eq!(kinds(&walk), [(Kind::SuccessorList, Some(peer(9)))], "all others have three entries");
        walk.nodes[1].plain = true;
        assert_eq!(kinds(&walk), []);
        walk.nodes[1].successors = vec![peer(120)];
        assert_eq!(kinds(&walk), [(Kind::Successor, Some(peer(9)))]);
    }

    #[test]
    fn dead_node_in_a_list_is_told_of_once_and_by_those_that_have_it() {
        let mut walk = ring(&[1, 9, 50, 120]);
        walk.nodes[0].successors = [5, 9, 50].map(peer).to_vec();
        walk.unreached = vec![Unreached { peer: peer(5), named_by: vec![peer(1)], why: "silent".into() }];
        assert_eq!(kinds(&walk), [(Kind::SuccessorList, Some(peer(1))), (Kind::Unreached, Some(peer(5)))]);
        assert!(judge(&walk)[0].what.contains("127.0.0.5:4170"));
    }

    #[test]
    fn two_rings_and_nodes_alone_are_broken() {
        let (one, other) = (ring(&[1, 50, 120]), ring(&[9, 60, 200, 201]));
        let mut walk = Walk { nodes: [one.nodes, other.nodes].concat(), ..Walk::default() };
        walk.nodes.sort_by_key(|node| node.peer);
        let found = judge(&walk);
        let rings: Vec<_> = found.iter().filter(|finding| finding.kind == Kind::Rings).collect();
        assert_eq!(rings.len(), 1, "{found:?}");
        assert!(
            rings[0].what.contains("127.0.0.1:4170 and 2 others") && rings[0].what.contains("one of 4"),
            "{rings:?}"
        );

        let mut walk = ring(&[1, 9, 50, 120]);
        walk.nodes[2].successors = vec![peer(77)];
        assert!(kinds(&walk).contains(&(Kind::Alone, Some(peer(50)))));
        assert!([Kind::Alone, Kind::Rings].iter().all(|kind| kind.severity() == Severity::Broken));
    }

    #[test]
    fn two_nodes_of_one_identifier_are_found() {
        let mut walk = ring(&[1, 9, 50, 120]);
        let twin = Visited { peer: Peer { addr: Addr::new([127, 0, 1, 9], 4170), ..peer(9) }, ..walk.nodes[1].clone() };
        walk.nodes.insert(2, twin);
        assert!(kinds(&walk).contains(&(Kind::Identifier, Some(peer(9)))));
    }
}
