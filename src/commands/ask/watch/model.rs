//! What `chord watch` shows, and how news changes it: no I/O and no clock. All times are since the watch began, and are
//! passed in.

use std::collections::VecDeque;
use std::time::Duration;

use chord::client::check::Checked;
use chord::client::finding::{Finding, Severity};
use chord::client::walk::{Unreached, Visited, Walk};
use chord::{Addr, Peer};

use super::events::{Event, What, differences};
use super::figures::{Lookups, Probes};
use super::keys::Key;
use super::member::Member;

/// A member that is gone is shown for this long.
pub const GHOST: Duration = Duration::from_secs(30);

/// At most this many events are kept: a screen shows fewer.
const EVENTS: usize = 1000;

/// What the ring is, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Healthy,
    Degraded,
    Broken,
    /// No member that is known answers.
    Unreachable,
}

impl Health {
    pub fn of(checked: &Checked) -> Health {
        match checked.health() {
            None | Some(Severity::Note) => Health::Healthy,
            Some(Severity::Degraded) => Health::Degraded,
            Some(Severity::Broken) => Health::Broken,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Health::Healthy => "healthy",
            Health::Degraded => "degraded",
            Health::Broken => "broken",
            Health::Unreachable => "unreachable",
        }
    }
}

/// What the last check found.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub at: Duration,
    pub health: Health,
    pub findings: Vec<Finding>,
}

/// What has become known.
#[derive(Debug)]
pub enum News {
    /// The ring was walked from this address; the walk began then.
    Walked { began: Duration, through: Addr, walk: Walk },
    /// Nobody answered the walk: what happened.
    Lost(String),
    /// A check has begun.
    Checking,
    /// It has ended; with nothing if no node answered.
    Checked(Option<Checked>),
    /// A lookup was answered in this time, or failed for this reason.
    Probed(Result<Duration, String>),
}

/// What a key asks for that the model does not do itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Quit,
    Check,
    Suspend,
}

/// One row of the table of members.
#[derive(Clone, Debug, PartialEq)]
pub struct Row<'a> {
    pub peer: Peer,
    pub standing: Standing<'a>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Standing<'a> {
    Member(&'a Member),
    /// It answered the last walk, and now no member does.
    Lost,
    /// Others name it, and it does not answer.
    Silent,
    /// It was there until then.
    Gone(Duration),
}

/// All that is shown.
#[derive(Debug)]
pub struct Watch {
    /// The node that was named to be asked.
    pub asked: Addr,
    /// The node through which the ring was found last.
    pub through: Addr,
    pub now: Duration,
    /// By identifier.
    pub members: Vec<Member>,
    pub silent: Vec<Unreached>,
    /// Members that no longer answer and that nobody names, and since when.
    pub gone: Vec<(Peer, Duration)>,
    /// When the last walk ended, and how long it took.
    pub walked: Option<(Duration, Duration)>,
    /// Why no member answers, if none does.
    pub lost: Option<String>,
    pub verdict: Option<Verdict>,
    pub checking: bool,
    /// The latest first.
    pub events: VecDeque<Event>,
    pub probes: Probes,
    pub lookups: Lookups,
    /// The first row of the table that is shown.
    pub scroll: usize,
    /// How many rows the table has room for.
    pub page: usize,
    pub help: bool,
}

impl Watch {
    pub fn new(asked: Addr) -> Watch {
        Watch {
            asked,
            through: asked,
            now: Duration::ZERO,
            members: Vec::new(),
            silent: Vec::new(),
            gone: Vec::new(),
            walked: None,
            lost: None,
            verdict: None,
            checking: false,
            events: VecDeque::new(),
            probes: Probes::default(),
            lookups: Lookups::default(),
            scroll: 0,
            page: 0,
            help: false,
        }
    }

    /// Time has passed.
    pub fn pass(&mut self, now: Duration) {
        self.now = now;
        self.gone.retain(|(_, since)| now.saturating_sub(*since) < GHOST);
        self.probes.forget(now);
        self.clamp();
    }

    /// The health of the ring, when something is known of it.
    pub fn health(&self) -> Option<Health> {
        match (&self.lost, &self.verdict) {
            (Some(_), _) => Some(Health::Unreachable),
            (None, verdict) => verdict.as_ref().map(|verdict| verdict.health),
        }
    }

    /// Takes in what has become known now. Returns what happened, in its order.
    pub fn learn(&mut self, now: Duration, news: News) -> Vec<What> {
        self.pass(now);
        let before = self.health();
        let mut happened = Vec::new();
        match news {
            News::Walked { began, through, walk } => {
                if through != self.through {
                    happened.push(What::Asking(through));
                    self.through = through;
                }
                self.lost = None;
                happened.extend(self.walked(now, began, walk));
            }
            News::Lost(why) => {
                if self.lost.is_none() {
                    happened.push(What::Lost(why.clone()));
                }
                self.lost = Some(why);
                // What was true before may not be when members answer again.
                self.lookups.members = 0;
                self.verdict = None;
            }
            News::Checking => self.checking = true,
            News::Checked(checked) => {
                self.checking = false;
                if let Some(checked) = checked {
                    let health = Health::of(&checked);
                    self.verdict = Some(Verdict { at: now, health, findings: checked.findings });
                }
            }
            News::Probed(result) => self.probes.add(now, result),
        }
        // Lost tells of itself.
        if let Some(health) = self.health().filter(|health| Some(*health) != before && *health != Health::Unreachable) {
            happened.push(What::Health(health));
        }
        for what in &happened {
            self.events.push_front(Event { at: now, what: what.clone() });
        }
        self.events.truncate(EVENTS);
        self.clamp();
        happened
    }

    fn walked(&mut self, now: Duration, began: Duration, walk: Walk) -> Vec<What> {
        let member = |(at, visited): (usize, &Visited)| {
            let before = self.members.binary_search_by_key(&visited.peer, |member| member.peer);
            Member::of(visited, walk.share(at), began, before.ok().map(|at| &self.members[at]))
        };
        let members: Vec<_> = walk.nodes.iter().enumerate().map(member).collect();
        let happened = match self.walked {
            None => vec![What::Found(members.len())],
            Some(_) => differences((&self.members, &self.silent), (&members, &walk.unreached)),
        };
        for what in &happened {
            match what {
                What::Gone(peer) => self.gone.push((*peer, now)),
                What::Appeared(peer) => self.gone.retain(|(gone, _)| gone != peer),
                _ => {}
            }
        }
        self.gone.retain(|(gone, _)| walk.unreached.iter().all(|silent| silent.peer != *gone));
        (self.members, self.silent) = (members, walk.unreached);
        self.walked = Some((now, walk.took));
        self.lookups.add(&self.members);
        happened
    }

    /// Members, silent nodes and those that are gone, by identifier.
    pub fn rows(&self) -> Vec<Row<'_>> {
        let standing = |member| if self.lost.is_some() { Standing::Lost } else { Standing::Member(member) };
        let members = self.members.iter().map(|member| Row { peer: member.peer, standing: standing(member) });
        let silent = self.silent.iter().map(|silent| Row { peer: silent.peer, standing: Standing::Silent });
        let gone = self.gone.iter().map(|(peer, since)| Row { peer: *peer, standing: Standing::Gone(*since) });
        let mut rows: Vec<_> = members.chain(silent).chain(gone).collect();
        rows.sort_by_key(|row| row.peer);
        rows
    }

    /// The table has room for this many rows.
    pub fn fit(&mut self, page: usize) {
        self.page = page;
        self.clamp();
    }

    fn clamp(&mut self) {
        let rows = self.members.len() + self.silent.len() + self.gone.len();
        self.scroll = self.scroll.min(rows.saturating_sub(self.page));
    }

    /// A key was pressed.
    pub fn press(&mut self, key: Key) -> Option<Wish> {
        let page = self.page.max(1);
        match key {
            Key::Escape if self.help => self.help = false,
            Key::Quit | Key::Escape | Key::Interrupt => return Some(Wish::Quit),
            Key::Suspend => return Some(Wish::Suspend),
            Key::Check => return Some(Wish::Check),
            Key::Help => self.help = !self.help,
            Key::Down => self.scroll += 1,
            Key::Up => self.scroll = self.scroll.saturating_sub(1),
            Key::PageDown => self.scroll += page,
            Key::PageUp => self.scroll = self.scroll.saturating_sub(page),
            Key::Home => self.scroll = 0,
            Key::End => self.scroll = usize::MAX,
        }
        self.clamp();
        None
    }
}
