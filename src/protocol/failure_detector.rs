//! Who is dead: evidence, not impatience.
//!
//! All nodes of a thread share one detector. A node that finds another one silent *suspects* it here:
//!
//! - if the suspect has answered anything in its own name a moment ago, it lives, and is not probed;
//! - if it is being probed already, the verdict of that probe is for all that wait for it;
//! - if it was found dead a moment ago and nothing was heard of it since, the verdict stands;
//! - else the node that suspects it probes it, for all: a ping on the kept connection, ahead of everything that waits
//!   there, and if nothing comes, on a fresh one.
//!
//! What a front says in its own name says nothing about the nodes behind it, so only answers that name their responder
//! count. Only suspected nodes are recorded: to a healthy ring the detector costs nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use super::peer::Peer;
use super::procedure::Answer;

/// An answer in its own name shows for this long that a node lives: the time after which the target of a forwarded
/// question is suspected where calls have a second.
pub const ALIVE_FOR: Duration = Duration::from_millis(250);

/// A verdict of death stands for this long. A node that was just found dead may be back, but not within the time that
/// it takes to start and to join; and its first answer ends the verdict.
pub const DEAD_FOR: Duration = Duration::from_secs(1);

/// Probes in flight at once on a thread. Beyond, no node is judged.
const MAX_PROBES: usize = 256;

/// Nodes that are recorded; beyond, expired verdicts are forgotten at once.
const MAX_SUSPECTS: usize = 1024;

/// The share of a probe's time that belongs to the kept connection alone: one in this many.
pub const KEPT_SHARE: u32 = 4;

/// What a thread knows about the nodes that were suspected lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailureDetector {
    suspects: BTreeMap<Peer, Suspect>,
    probes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suspect {
    /// It is being probed.
    Probed,
    /// It last answered at this time.
    Alive(Duration),
    /// It was found dead at this time.
    Dead(Duration),
}

/// What to do about a node that is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// It has answered something else just now, or was found dead; or too many nodes are being probed.
    Known(Verdict),
    /// It is being probed: wait for the verdict.
    Wait,
    /// Probe it, and report to [`concluded`](FailureDetector::concluded).
    Probe,
}

/// Whether a node lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It has answered in its own name: the probe, or anything else just before or meanwhile.
    Alive,
    /// It answered on no connection in time, or it is gone or no member any more.
    Dead,
    /// It is silent, but it is a plain peer that may be waiting for an answer to its own question
    /// ([`excuses`](super::excuses)).
    Excused,
    /// The probe could not be made.
    Unknown,
}

impl Verdict {
    /// What it means to a conversation that suspects the node.
    pub fn answer(self) -> Answer {
        match self {
            Verdict::Alive => Answer::Alive,
            Verdict::Dead => Answer::Gone,
            Verdict::Excused => Answer::Excused,
            Verdict::Unknown => Answer::Unasked,
        }
    }
}

impl FailureDetector {
    /// A node stays silent.
    pub fn suspect(&mut self, peer: Peer, now: Duration) -> Suspicion {
        let fresh = |since: Duration, limit| now.saturating_sub(since) < limit;
        match self.suspects.get(&peer) {
            Some(Suspect::Probed) => return Suspicion::Wait,
            Some(Suspect::Alive(since)) if fresh(*since, ALIVE_FOR) => return Suspicion::Known(Verdict::Alive),
            Some(Suspect::Dead(since)) if fresh(*since, DEAD_FOR) => return Suspicion::Known(Verdict::Dead),
            _ => {}
        }
        if self.probes >= MAX_PROBES {
            return Suspicion::Known(Verdict::Unknown);
        }
        if self.suspects.len() >= MAX_SUSPECTS {
            self.fade(now);
        }
        self.suspects.insert(peer, Suspect::Probed);
        self.probes += 1;
        Suspicion::Probe
    }

    /// Forgets expired verdicts; to be called now and then.
    pub fn fade(&mut self, now: Duration) {
        self.suspects.retain(|_, suspect| match suspect {
            Suspect::Probed => true,
            Suspect::Alive(since) => now.saturating_sub(*since) < ALIVE_FOR,
            Suspect::Dead(since) => now.saturating_sub(*since) < DEAD_FOR,
        });
    }

    /// Whether no node is suspected: then answers need not be reported.
    pub fn is_quiet(&self) -> bool {
        self.suspects.is_empty()
    }

    /// A node has answered something in its own name. Returns whether that is the verdict of a probe that was in
    /// flight.
    pub fn heard(&mut self, peer: Peer, now: Duration) -> bool {
        let Some(suspect) = self.suspects.get_mut(&peer) else { return false };
        let probed = std::mem::replace(suspect, Suspect::Alive(now)) == Suspect::Probed;
        self.probes -= usize::from(probed);
        probed
    }

    /// A probe has ended, and nothing was [`heard`](Self::heard) before.
    pub fn concluded(&mut self, peer: Peer, verdict: Verdict, now: Duration) {
        if self.suspects.get(&peer) != Some(&Suspect::Probed) {
            return;
        }
        self.probes = self.probes.saturating_sub(1);
        match verdict {
            Verdict::Alive => self.suspects.insert(peer, Suspect::Alive(now)),
            Verdict::Dead => self.suspects.insert(peer, Suspect::Dead(now)),
            Verdict::Excused | Verdict::Unknown => self.suspects.remove(&peer),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::addr::Addr;
    use crate::protocol::testing::peer;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn one_probe_answers_all_who_suspect_the_same_node() {
        let mut detector = FailureDetector::default();
        assert_eq!(detector.suspect(peer(1), ms(0)), Suspicion::Probe);
        assert!((0..1000).all(|_| detector.suspect(peer(1), ms(10)) == Suspicion::Wait));
        assert_eq!(detector.suspect(peer(2), ms(10)), Suspicion::Probe, "another");
        detector.concluded(peer(1), Verdict::Dead, ms(1000));
        assert_eq!(detector.suspect(peer(1), ms(1500)), Suspicion::Known(Verdict::Dead));
        detector.fade(ms(1999));
        assert_eq!(detector.suspect(peer(1), ms(1999)), Suspicion::Known(Verdict::Dead));
        detector.fade(ms(2000));
        assert_eq!(detector.suspect(peer(1), ms(2000)), Suspicion::Probe, "it may be back");
    }

    #[test]
    fn any_answer_in_its_own_name_is_evidence_for_a_moment() {
        let mut detector = FailureDetector::default();
        detector.heard(peer(1), ms(0));
        assert_eq!(detector.suspect(peer(1), ms(0)), Suspicion::Probe, "no node had suspected it before");
        detector.concluded(peer(1), Verdict::Alive, ms(10));
        assert_eq!(detector.suspect(peer(1), ms(259)), Suspicion::Known(Verdict::Alive));
        detector.heard(peer(1), ms(259));
        assert_eq!(detector.suspect(peer(1), ms(500)), Suspicion::Known(Verdict::Alive));
        assert_eq!(detector.suspect(peer(1), ms(509)), Suspicion::Probe);
    }

    /// A ping was lost though the node answered lookups all the time.
    #[test]
    fn answer_to_something_else_is_the_verdict_of_a_probe_under_way() {
        let mut detector = FailureDetector::default();
        detector.suspect(peer(1), ms(0));
        assert!(detector.heard(peer(1), ms(10)));
        assert!(!detector.heard(peer(1), ms(20)), "it is over");
        detector.concluded(peer(1), Verdict::Dead, ms(30));
        assert_eq!(detector.suspect(peer(1), ms(40)), Suspicion::Known(Verdict::Alive));
    }

    #[test]
    fn verdict_ends_with_the_first_word_of_the_dead() {
        let mut detector = FailureDetector::default();
        detector.suspect(peer(1), ms(0));
        detector.concluded(peer(1), Verdict::Dead, ms(10));
        detector.heard(peer(1), ms(20));
        assert_eq!(detector.suspect(peer(1), ms(30)), Suspicion::Known(Verdict::Alive));
    }

    #[test]
    fn probe_that_could_not_be_made_is_no_verdict() {
        let mut detector = FailureDetector::default();
        detector.suspect(peer(1), ms(0));
        detector.concluded(peer(1), Verdict::Unknown, ms(10));
        assert_eq!(detector.suspect(peer(1), ms(10)), Suspicion::Probe);
    }

    #[test]
    fn probes_are_bounded_and_their_end_makes_room() {
        let mut detector = FailureDetector::default();
        let others = |n: usize| Peer { addr: Addr::new([10, 0, 0, 1], n as u16), ..peer(1) };
        assert!((1..=MAX_PROBES).all(|n| detector.suspect(others(n), ms(0)) == Suspicion::Probe));
        assert_eq!(detector.suspect(peer(1), ms(0)), Suspicion::Known(Verdict::Unknown));
        detector.concluded(others(1), Verdict::Alive, ms(0));
        detector.concluded(others(1), Verdict::Alive, ms(0));
        assert_eq!(detector.suspect(peer(1), ms(0)), Suspicion::Probe);
        assert_eq!(detector.suspect(peer(2), ms(0)), Suspicion::Known(Verdict::Unknown));
    }
}
