//! Judges a ring by what its nodes say: the doctor.
//!
//! A node that was visited early and one that was visited late may have seen different rings, so a finding counts only
//! if a second walk finds it as well.

use std::time::Duration;

use tokio::time::sleep;

use super::finding::{Finding, Kind, Severity};
use super::judge::judge;
use super::walk::{Reports, Walk, walk};
use super::{AskError, Client};
use crate::protocol::addr::Addr;
use crate::protocol::id::Id;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::judge::tests::{peer, ring};

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
