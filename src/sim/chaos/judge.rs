//! Checks that the protocol keeps its promises while its assumptions hold.

use crate::sim::reason::reason;
use std::collections::BTreeMap;
use std::time::Duration;

use super::bound;
use crate::protocol::id::Id;
use crate::protocol::lookup::{Found, LookupFailure};
use crate::protocol::peer::Peer;
use crate::sim::oracle::{self, Survey};
use crate::sim::world::{World, recorded};

/// Watches a history.
///
/// The environment's rules: there are always more than r principals, every list has a living entry, and no living node
/// is taken for dead. While they hold, no step of a join or of maintenance may take a principal away, and every answer
/// must be right. A breach is recorded, and nothing is judged from then until the ring is ideal again and no false news
/// is left.
pub(super) struct Judge {
    survey: Survey,
    /// Whether the rules hold, and for how long they held before `since`.
    holding: bool,
    held: Duration,
    since: Duration,
    /// The last breach.
    broken_at: Duration,
    breaches: Vec<Breach>,
    /// The rings over time, each with the time it began; `None` while nothing is judged.
    rings: Vec<(Duration, Option<Vec<Peer>>)>,
    failures: Vec<Failure>,
    lookups: BTreeMap<u64, Asked>,
    /// How often several rings became one.
    pub(super) merges: u64,
    pub(super) verdicts: Verdicts,
}

/// A rule that the environment broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// On the virtual clock.
    pub at: Duration,
    /// What happened, with the names of the nodes, as a sentence for people.
    pub cause: String,
}

/// Nodes that have failed at once.
struct Failure {
    at: Duration,
    victims: Vec<Peer>,
    /// The members before the failure.
    members: Vec<Peer>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    from: Peer,
    /// Which run of its program asked.
    generation: u32,
    key: Id,
    at: Duration,
}

/// How lookups ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// The owner was named.
    pub right: u64,
    /// The answer named a node that owned the key, or would have been an early owner, until a failure too recent to be
    /// noticed.
    pub stale: u64,
    /// The answer named a member around which the ring had yet to close: the first living one at or after the key.
    /// Appendages can't tell that they are outside the ring, and name each other.
    pub early: u64,
    /// An owner was named while the rules did not hold all the time.
    pub unjudged: u64,
    /// No owner was named, for this reason.
    pub lost: BTreeMap<&'static str, u64>,
    /// The node that asked has died.
    pub orphaned: u64,
}

impl Judge {
    pub(super) fn new() -> Judge {
        Judge {
            survey: Survey::default(),
            holding: false,
            held: Duration::ZERO,
            since: Duration::ZERO,
            broken_at: Duration::ZERO,
            breaches: Vec::new(),
            rings: Vec::new(),
            failures: Vec::new(),
            lookups: BTreeMap::new(),
            merges: 0,
            verdicts: Verdicts::default(),
        }
    }

    /// The world as it was last seen.
    pub(super) fn survey(&self) -> &Survey {
        &self.survey
    }

    /// For how long the rules have held so far.
    pub(super) fn held(&self, now: Duration) -> Duration {
        if self.holding { self.held + (now - self.since) } else { self.held }
    }

    pub(super) fn breaches(&self) -> &[Breach] {
        &self.breaches
    }

    /// Looks at the world after something has happened in it.
    pub(super) fn watch(&mut self, world: &mut World) -> Result<(), String> {
        self.hear_suspicions(world);
        if !std::mem::take(&mut world.env.changed) {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.survey, Survey::of(world));
        self.merges += u64::from(before.rings().len() > 1 && self.survey.rings().len() == 1);
        if self.holding {
            self.check(world, &before, &[])?;
            self.keep_ring(world.now());
        }
        Ok(())
    }

    /// Looks at the world after these nodes have failed at once.
    pub(super) fn struck(&mut self, world: &mut World, victims: &[Peer]) -> Result<(), String> {
        world.env.changed = false;
        let before = std::mem::replace(&mut self.survey, Survey::of(world));
        let (at, members) = (world.now(), before.members().to_vec());
        self.failures.push(Failure { at, victims: victims.to_vec(), members });
        if !self.holding {
            return Ok(());
        }
        let principals = self.survey.principals().len();
        if principals <= world.config.successors {
            self.breach(world, format!("{principals} principals are left"));
        } else if let Some(bereft) = self.survey.bereft() {
            self.breach(world, format!("the whole list of {} is dead", world.name(bereft)));
        } else if !self.survey.can_spare(world, &[]) {
            self.breach(world, "a whole list that is about to be adopted is dead".into());
        } else {
            self.check(world, &before, victims)?;
            self.keep_ring(world.now());
        }
        Ok(())
    }

    /// The rules hold again once the ring is ideal and no node keeps false news: a lookup reports the nodes that it has
    /// found dead only when it ends.
    pub(super) fn try_to_resume(&mut self, world: &World) {
        let quiet = self.breaches.is_empty() || world.now() > self.broken_at + world.config.lookup_timeout;
        if self.holding || !quiet || world.ideal_neighbors().is_err() {
            return;
        }
        // A list that was sent may have been discarded without setting `changed`.
        self.survey = Survey::of(world);
        let principals = self.survey.principals().len();
        // A paused node is a member, too, but not of the ring that looks ideal without it.
        let whole = self.survey.bereft().is_none() && self.survey.ring().is_some();
        if whole && principals > world.config.successors && principals == self.survey.members().len() {
            (self.holding, self.since) = (true, world.now());
            self.keep_ring(world.now());
        }
    }

    /// A node was told to create a ring although one exists.
    pub(super) fn second_ring(&mut self, world: &World) {
        if self.holding {
            self.breach(world, "a second ring is created".into());
        }
    }

    fn hear_suspicions(&mut self, world: &mut World) {
        for (target, by) in std::mem::take(&mut world.env.suspected) {
            let lives = world.host(target).is_some_and(|host| host.is_alive() && host.is_member());
            if lives {
                self.breach(world, format!("{} takes {} for dead, which lives", world.name(by), world.name(target)));
            }
        }
    }

    fn breach(&mut self, world: &World, cause: String) {
        self.broken_at = world.now();
        if self.holding || self.breaches.is_empty() {
            self.breaches.push(Breach { at: world.now(), cause });
        }
        if self.holding {
            self.holding = false;
            self.held += world.now() - self.since;
            self.rings.push((world.now(), None));
        }
    }

    /// Checks what the rules protect.
    fn check(&self, world: &World, before: &Survey, victims: &[Peer]) -> Result<(), String> {
        let survey = &self.survey;
        let taken = before.principals().iter().find(|p| !survey.principals().contains(p) && !victims.contains(p));
        if let Some(taken) = taken {
            return Err(format!("{} is no principal any more, though it has not failed", world.name(*taken)));
        }
        if let Some(bereft) = survey.bereft() {
            return Err(format!("{} has no living successor", world.name(bereft)));
        }
        if survey.ring().is_none() {
            return Err("the best successors are not one ordered ring".into());
        }
        Ok(())
    }

    fn keep_ring(&mut self, now: Duration) {
        let ring = self.survey.ring();
        if self.rings.last().is_none_or(|(_, last)| last.as_deref() != ring) {
            self.rings.push((now, ring.map(<[Peer]>::to_vec)));
        }
    }

    /// A node has begun to look a key up.
    pub(super) fn asked(&mut self, world: &World, number: u64, from: Peer, key: Id) {
        let generation = world.host(from).map(|host| host.generation()).unwrap_or_default();
        self.lookups.insert(number, Asked { from, generation, key, at: world.now() });
    }

    /// Judges the lookups that have ended.
    pub(super) fn judge_lookups(&mut self, world: &mut World) -> Result<(), String> {
        if world.env.found.is_empty() {
            return Ok(());
        }
        for (number, result) in std::mem::take(&mut world.env.found) {
            if let Some(asked) = self.lookups.remove(&number) {
                let accepted = |verdicts: &Verdicts| verdicts.right + verdicts.early;
                let before = accepted(&self.verdicts);
                let judged = self.judge(world, asked, &result);
                let recorded = recorded::Asked { from: asked.from, key: asked.key, text: None, at: asked.at };
                world.record_lookup(recorded, &result, accepted(&self.verdicts) > before);
                judged?;
            }
        }
        Ok(())
    }

    /// Drops lookups whose askers have died: they will never end.
    pub(super) fn bury_lookups(&mut self, world: &World) {
        let asks = |asked: &Asked| {
            world.host(asked.from).is_some_and(|host| host.is_alive() && host.generation() == asked.generation)
        };
        let before = self.lookups.len();
        self.lookups.retain(|_, asked| asks(asked));
        self.verdicts.orphaned += (before - self.lookups.len()) as u64;
    }

    pub(super) fn open_lookups(&self) -> usize {
        self.lookups.len()
    }

    fn judge(&mut self, world: &World, asked: Asked, result: &Result<Found, LookupFailure>) -> Result<(), String> {
        let found = match result {
            Ok(found) => found.owner,
            Err(lost) => {
                *self.verdicts.lost.entry(reason(*lost)).or_default() += 1;
                return Ok(());
            }
        };
        let now = world.now();
        let owned_since = |since: Duration| {
            let first = self.rings.partition_point(|(from, _)| *from <= since).saturating_sub(1);
            let rings = self.rings[first..].iter();
            rings.map(|(_, ring)| ring.as_deref().map(|ring| oracle::owner(ring, asked.key) == Some(found)))
        };
        let begun = self.rings.first().is_some_and(|(from, _)| *from <= asked.at);
        if !begun || !self.holding || owned_since(asked.at).any(|owned| owned.is_none()) {
            self.verdicts.unjudged += 1;
        } else if owned_since(asked.at).any(|owned| owned == Some(true)) {
            self.verdicts.right += 1;
        } else if oracle::owner(self.survey.members(), asked.key) == Some(found) {
            self.verdicts.early += 1;
        } else {
            let since = asked.at.saturating_sub(bound::notice(&world.config));
            let mut failures = self.failures.iter().filter(|failure| (since..=now).contains(&failure.at)).peekable();
            let owned = failures.peek().is_some() && owned_since(since).any(|owned| owned == Some(true));
            let early = |failure: &Failure| {
                failure.victims.contains(&found) && oracle::owner(&failure.members, asked.key) == Some(found)
            };
            if !owned && !failures.any(early) {
                let (from, key, found) = (world.name(asked.from), world.env.name(asked.key), world.name(found));
                return Err(format!(
                    "{from} asked for {key} after {:?} and was told {found}, which has not owned it since",
                    asked.at
                ));
            }
            self.verdicts.stale += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
