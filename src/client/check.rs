//! Judges a ring by what its nodes have said: the doctor.
//!
//! The definitions are those of the paper (sections IV.B and IV.E): successors, predecessor and fingers follow from the
//! members alone. A node that was visited early and one that was visited late may have seen different rings, so a
//! finding counts only if a second walk finds it as well.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use tokio::time::sleep;

use super::walk::{Reports, Visited, Walk, walk};
use super::{AskError, Client};
use crate::protocol::addr::Addr;
use crate::protocol::id::{Bits, Id};
use crate::protocol::peer::Peer;

/// How serious a finding is; for a ring, how serious its worst one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing is wrong now.
    Note,
    /// Answers may be slow or fail; the ring heals by itself.
    Degraded,
    /// Answers may be wrong, or it does not heal by itself.
    Broken,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Note => "note",
            Severity::Degraded => "degraded",
            Severity::Broken => "broken",
        })
    }
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Some nodes are in a ring of their own.
    Rings,
    /// Two nodes have the same identifier.
    Identifier,
    /// A node knows no living successor.
    Alone,
    /// A node has named a wrong owner.
    WrongOwner,
    /// A node could not name an owner, or has named a node that does not answer.
    Lookup,
    /// There are fewer members than were expected.
    Missing,
    /// A node that others name does not answer.
    Unreached,
    /// A node's first living successor is not the next member.
    Successor,
    /// The rest of a node's successor list is not the next members.
    SuccessorList,
    /// A node's predecessor is not the member before it.
    Predecessor,
    /// Some fingers of a node are not as defined.
    Fingers,
    /// There are fewer members than a node's list needs.
    Members,
    /// Nodes have lists of different lengths.
    Lengths,
    /// More nodes were named than are visited.
    Cut,
}

impl Kind {
    /// A word for programs.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Rings => "rings",
            Kind::Identifier => "identifier",
            Kind::Alone => "alone",
            Kind::WrongOwner => "wrong_owner",
            Kind::Lookup => "lookup",
            Kind::Missing => "missing",
            Kind::Unreached => "unreached",
            Kind::Successor => "successor",
            Kind::SuccessorList => "successor_list",
            Kind::Predecessor => "predecessor",
            Kind::Fingers => "fingers",
            Kind::Members => "members",
            Kind::Lengths => "lengths",
            Kind::Cut => "cut",
        }
    }

    /// How serious it is.
    pub fn severity(self) -> Severity {
        match self {
            Kind::Rings | Kind::Identifier | Kind::Alone | Kind::WrongOwner => Severity::Broken,
            Kind::Members | Kind::Lengths | Kind::Cut => Severity::Note,
            _ => Severity::Degraded,
        }
    }

    /// What to do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Kind::Rings => {
                "rings that know of each other become one within a minute; if these don't, start a node of one with a \
                 node of the other to join"
            }
            Kind::Identifier => "stop one of them, and start it without an identifier of its own",
            Kind::Alone => {
                "it goes on trying the nodes that it knew; if it stays alone, start it again with a node to join"
            }
            Kind::WrongOwner => "wait for the ring to heal; if it stays so, a node lies or runs another program",
            Kind::Lookup => "try again; if it stays so, look at the load of that node",
            Kind::Missing => "wait for them to join, or start them",
            Kind::Unreached => {
                "if it has died, the others drop it within some periods; if it lives, its address can't be called from here"
            }
            Kind::Successor => "stabilize mends it within some periods",
            Kind::SuccessorList => "stabilize mends it within one period for each entry",
            Kind::Predecessor => "the next notification mends it",
            Kind::Fingers => {
                "fix fingers mends it within its period for each finger; lookups are right meanwhile, but may take more hops"
            }
            Kind::Members => "start more nodes, or all with a smaller successor list",
            Kind::Lengths => "give all nodes the same length of the successor list",
            Kind::Cut => "check a part of the ring from another node",
        }
    }
}

/// One thing that is wrong, of one node if it has one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// The node that it is about.
    pub node: Option<Peer>,
    /// A sentence for people, without its full stop.
    pub what: String,
}

/// A ring, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The last walk.
    pub walk: Walk,
    /// The worst first.
    pub findings: Vec<Finding>,
    /// Fingers that were compared.
    pub fingers: usize,
    /// Keys that were looked up.
    pub lookups: usize,
}

impl Checked {
    /// The same with a finding if there are fewer members than expected.
    pub fn expecting(mut self, members: usize) -> Checked {
        let n = self.walk.nodes.len();
        if n < members {
            let what = format!("the ring has {n} of the {members} members that are expected");
            self.findings.push(Finding { kind: Kind::Missing, node: None, what });
            self.sort();
        }
        self
    }

    fn sort(&mut self) {
        self.findings.sort_by_key(|finding| (std::cmp::Reverse(finding.kind.severity()), finding.kind, finding.node));
    }

    /// The worst of all findings; notes are none.
    pub fn health(&self) -> Option<Severity> {
        let worst = self.findings.iter().map(|finding| finding.kind.severity()).max();
        worst.filter(|worst| *worst > Severity::Note)
    }
}

/// The fingers of this many nodes are compared, unless all are wanted.
const SAMPLE: usize = 16;

/// This many keys are looked up, each by another node.
const LOOKUPS: usize = 16;

/// A second walk follows this long after one that found something.
const PAUSE: Duration = Duration::from_millis(500);

/// Checks the ring of the nodes at these addresses; all fingers if `thorough`. `told` hears how many nodes were visited
/// and how many are known.
///
/// # Errors
///
/// None of the nodes answered.
pub async fn check(
    client: &Client,
    from: &[Addr],
    thorough: bool,
    told: impl Fn(usize, usize),
) -> Result<Checked, AskError> {
    let first = once(client, from, thorough, &told).await?;
    if first.health().is_none() {
        return Ok(first);
    }
    sleep(PAUSE).await;
    let again = once(client, from, thorough, &told).await?;
    Ok(again.confirmed(&first))
}

impl Checked {
    /// Without what a walk before has not found as well: kinds and nodes count, not the words. Of lookups only kinds
    /// do: their keys are others each time.
    fn confirmed(mut self, before: &Checked) -> Checked {
        let was_found = |found: &dyn Fn(&Finding) -> bool| before.findings.iter().any(found);
        let kept = |finding: &Finding| match finding.kind {
            kind if kind.severity() == Severity::Note => true,
            kind @ (Kind::WrongOwner | Kind::Lookup) => was_found(&|before| before.kind == kind),
            kind => was_found(&|before| (before.kind, before.node) == (kind, finding.node)),
        };
        self.findings.retain(kept);
        self
    }
}

async fn once(
    client: &Client,
    from: &[Addr],
    thorough: bool,
    told: impl Fn(usize, usize),
) -> Result<Checked, AskError> {
    let reports = if thorough { Reports::All } else { Reports::Of(SAMPLE) };
    let walk = walk(client, from, reports, told).await?;
    let mut findings = judge(&walk);
    let lookups = look_up(client, &walk, &mut findings).await;
    let fingers = walk.nodes.iter().filter_map(|node| node.report.as_ref()).map(|report| report.state.fingers.len());
    let mut checked = Checked { fingers: fingers.sum(), lookups, findings, walk };
    checked.sort();
    Ok(checked)
}

/// Has nodes all around the ring look up keys, and compares their answers with the members.
async fn look_up(client: &Client, walk: &Walk, findings: &mut Vec<Finding>) -> usize {
    let n = walk.nodes.len();
    let every = n.div_ceil(LOOKUPS).max(1);
    let asked = walk.nodes.iter().step_by(every).map(|node| {
        let key = Id::from_bytes(rand::random());
        async move { (node.peer, key, client.lookup(node.peer.addr, key).await) }
    });
    let asked = futures::future::join_all(asked).await;
    let lookups = asked.len();
    for (node, key, answer) in asked {
        client.forget(node);
        match (answer, walk.owner(key)) {
            (Ok(found), Some(owner)) if found.owner == owner => {}
            (Ok(found), Some(owner)) if walk.nodes.iter().any(|member| member.peer == found.owner) => {
                let what = format!(
                    "{} names {} as the owner of {key}, but that is {}",
                    node.addr, found.owner.addr, owner.addr
                );
                findings.push(Finding { kind: Kind::WrongOwner, node: Some(node), what });
            }
            (Ok(found), _) => {
                let what =
                    format!("{} names {}, which was not reached, as the owner of {key}", node.addr, found.owner.addr);
                findings.push(Finding { kind: Kind::Lookup, node: Some(node), what });
            }
            (Err(why), _) => {
                let what = format!("{} could not say who owns {key}: {why}", node.addr);
                findings.push(Finding { kind: Kind::Lookup, node: Some(node), what });
            }
        }
    }
    lookups
}

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
    /// The length of successor lists, of nodes that don't report their own: that of the longest list.
    r: usize,
}

impl Judged<'_> {
    fn new(walk: &Walk) -> Judged<'_> {
        let position = walk.nodes.iter().enumerate().map(|(at, node)| (node.peer, at)).collect();
        let r = walk.nodes.iter().map(|node| node.successors.len()).max().unwrap_or_default();
        Judged { walk, position, r }
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
        let r = node.report.as_ref().map_or(self.r, |report| report.state.r);
        let expected: Vec<Peer> = self.after(at).take(r).collect();
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
        let before = self.after(at).last();
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
mod tests {
    use super::*;
    use crate::client::walk::Unreached;
    use crate::node::report::Report;
    use crate::node::state::State;

    const R: usize = 3;

    fn peer(n: u8) -> Peer {
        Peer { id: Id::from_bytes([n; 20]), addr: Addr::new([127, 0, 0, n], 4170) }
    }

    /// A ring of these nodes as it should be, as a walk finds it.
    fn ring(members: &[u8]) -> Walk {
        let n = members.len();
        let mut walk = Walk::default();
        for (at, member) in members.iter().enumerate() {
            let me = peer(*member);
            let successors: Vec<_> = (1..n).map(|step| peer(members[(at + step) % n])).take(R).collect();
            let predecessor = (n > 1).then(|| peer(members[(at + n - 1) % n]));
            walk.nodes.push(Visited {
                peer: me,
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

    #[test]
    fn members_that_are_expected_and_missing_are_a_finding() {
        let checked = Checked { walk: ring(&[1, 9, 50, 120]), findings: Vec::new(), fingers: 0, lookups: 0 };
        assert_eq!(checked.clone().expecting(4).health(), None);
        let missing = checked.expecting(5);
        assert_eq!((missing.health(), missing.findings[0].kind), (Some(Severity::Degraded), Kind::Missing));
    }

    #[test]
    fn only_what_is_found_twice_counts() {
        let walk = ring(&[1, 9, 50, 120]);
        let finding = |kind, n| Finding { kind, node: Some(peer(n)), what: String::new() };
        let checked = |findings| Checked { walk: walk.clone(), findings, fingers: 0, lookups: 0 };
        let first = vec![finding(Kind::Successor, 1), finding(Kind::Predecessor, 9), finding(Kind::WrongOwner, 1)];
        let first = checked(first);
        assert_eq!(first.health(), Some(Severity::Broken));
        let again = checked(vec![
            finding(Kind::Successor, 9),
            finding(Kind::Predecessor, 9),
            finding(Kind::WrongOwner, 50),
            finding(Kind::Lookup, 1),
        ]);
        let kept = again.confirmed(&first);
        assert_eq!(kept.findings, [finding(Kind::Predecessor, 9), finding(Kind::WrongOwner, 50)]);
        assert_eq!(kept.health(), Some(Severity::Broken));
    }
}
