//! Recordings: what happened to a ring, as a text that a program can play again.
//!
//! The format is described in `docs/recording.md`: a header, then one event a line. A [`Recorder`] is shown the nodes
//! ([`view`]) and told what else happens; it writes what has changed, and judges the ring by what it has been shown
//! (`health`). So it serves every kind of ring alike: a [`World`](super::World), a stepwise scenario, the paper's
//! pseudocode, and the states of a model checker. `words` has the commands of scenarios as sentences.

mod health;
pub mod view;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::finding::{Finding, Kind, Severity};
use crate::protocol::addr::Addr;
use crate::protocol::id::{Bits, Id};
use crate::protocol::peer::Peer;
use crate::sim::nodes::name;
pub use view::View;
pub(super) use words::{call, words};

/// The version of the format, in the header.
const VERSION: u32 = 1;

/// The largest recording in bytes: more than a browser plays without trouble.
pub const LIMIT: usize = 64 << 20;

/// The room that is kept for the last sentence of a recording that has reached its limit.
const LAST_WORDS: usize = 256;

/// How often a change of fingers alone is written: a joiner learns a finger every few milliseconds.
const FINGERS: Duration = Duration::from_millis(250);

/// How often the ring is judged.
const HEALTH: Duration = Duration::from_millis(250);

/// For how long a wrong answer counts as a finding.
const WRONG: Duration = Duration::from_secs(1);

/// What a recording says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// A few words.
    pub title: String,
    /// One or two sentences.
    pub text: String,
    /// The length of a full successor list.
    pub r: usize,
    /// The identifiers of the ring.
    pub bits: Bits,
}

/// Why a node is no longer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its program has ended, or is silent for ever, and has told nobody.
    Died,
    /// It has told its neighbours; or it could not join, and has ended.
    Left,
}

/// One node that a lookup asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The node.
    pub node: Id,
    /// Which entry of the node before it led there, like `finger 159`.
    pub why: Option<String>,
    /// From the question to the answer.
    pub took: Option<Duration>,
}

/// The course of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The text whose hash was looked up, if it is known.
    pub text: Option<String>,
    /// What was looked up.
    pub key: Id,
    /// First the node that looks up, then the nodes that were asked.
    pub path: Vec<Hop>,
    /// The node that was named, or why none was.
    pub found: Result<Peer, String>,
    /// From the beginning to the answer.
    pub took: Option<Duration>,
    /// Whether the named node does not own the key.
    pub wrong: bool,
}

/// Writes a recording.
pub struct Recorder {
    header: Header,
    /// The events, each with its time.
    lines: Vec<(Duration, String)>,
    /// The length of all lines, and what it may become.
    size: usize,
    limit: usize,
    /// The time of the first event, on the clock of the caller; all times in the recording count from there.
    begun: Option<Duration>,
    now: Duration,
    /// The nodes that are there, as they were last written.
    nodes: BTreeMap<Id, View>,
    /// Those of which only fingers have changed since, and how they are now.
    pending: BTreeMap<Id, View>,
    flushed: Duration,
    /// Whether a node has changed since the ring was last judged.
    changed: bool,
    judged: Duration,
    findings: Option<Vec<Finding>>,
    /// The nodes that were last named as wrong owners, and when.
    wrong: BTreeMap<Id, Duration>,
    /// The number of the side in a recording of two.
    side: Option<u8>,
    /// The node whose messages are written.
    follows: Option<Id>,
    full: bool,
}

impl Recorder {
    /// An empty recording.
    pub fn new(header: Header) -> Recorder {
        Recorder {
            header,
            lines: Vec::new(),
            size: 0,
            limit: LIMIT,
            begun: None,
            now: Duration::ZERO,
            nodes: BTreeMap::new(),
            pending: BTreeMap::new(),
            flushed: Duration::ZERO,
            changed: false,
            judged: Duration::ZERO,
            findings: None,
            wrong: BTreeMap::new(),
            side: None,
            follows: None,
            full: false,
        }
    }

    /// One of the two sides of a recording, 0 or 1.
    pub fn on_side(self, side: u8) -> Recorder {
        Recorder { side: Some(side), ..self }
    }

    /// Ends at this many bytes instead of [`LIMIT`].
    pub fn with_limit(self, limit: usize) -> Recorder {
        Recorder { limit, ..self }
    }

    /// Whether the limit is reached: nothing more is written.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Writes the messages to and from this node from now on; `None` writes none.
    pub fn follow(&mut self, node: Option<Id>) {
        self.follows = node;
    }

    /// What was last shown of a node that is there.
    pub fn node(&self, id: Id) -> Option<&View> {
        self.pending.get(&id).or_else(|| self.nodes.get(&id))
    }

    /// Whether a node owns a key: it is the first member at or after the key, or the first of those that the ring has
    /// closed around. An answer that names either is right.
    pub fn owns(&self, node: Id, key: Id) -> bool {
        health::owners(&self.nodes, key).contains(&Some(node))
    }

    /// A node as it is at this time. Of two nodes with the same identifier the first member is shown.
    pub fn see(&mut self, at: Duration, view: View) {
        self.pass(at);
        let id = view.me.id;
        if self.full || self.nodes.get(&id).is_some_and(|known| known.me != view.me && known.is_member()) {
            return;
        }
        match self.nodes.get(&id) {
            Some(known) if *known == view => drop(self.pending.remove(&id)),
            Some(known) if known.has_neighbors_of(&view) => drop(self.pending.insert(id, view)),
            _ => {
                self.pending.remove(&id);
                self.write_node(view);
            }
        }
    }

    /// All nodes as they are at this time; of those that are missing, these have left and the others have died.
    pub fn see_all(&mut self, at: Duration, views: impl IntoIterator<Item = View>, left: &[Peer]) {
        let mut missing: BTreeSet<Peer> = self.nodes.values().map(|view| view.me).collect();
        for view in views {
            missing.remove(&view.me);
            self.see(at, view);
        }
        for peer in missing {
            self.gone(at, peer, if left.contains(&peer) { Why::Left } else { Why::Died });
        }
    }

    /// A node is no longer there.
    pub fn gone(&mut self, at: Duration, peer: Peer, why: Why) {
        self.pass(at);
        if self.nodes.get(&peer.id).is_none_or(|known| known.me != peer) {
            return;
        }
        self.nodes.remove(&peer.id);
        self.pending.remove(&peer.id);
        self.changed = true;
        let why = if why == Why::Left { "left" } else { "died" };
        self.write("gone", &[("id", hex(peer.id)), ("why", why.into())]);
    }

    /// A lookup has ended.
    pub fn lookup(&mut self, at: Duration, lookup: &Lookup) {
        self.pass(at);
        self.flush();
        let hop = |hop: &Hop| {
            let mut value = json!({ "id": hop.node.to_string() });
            if let Some(why) = &hop.why {
                value["why"] = why.as_str().into();
            }
            if let Some(took) = hop.took {
                value["millis"] = millis(took);
            }
            value
        };
        let owner = lookup.found.as_ref().map(|owner| owner.id);
        let mut fields = vec![
            ("key", lookup.text.clone().into()),
            ("id", hex(lookup.key)),
            ("path", lookup.path.iter().map(hop).collect()),
            ("owner", owner.map_or(Value::Null, hex)),
        ];
        fields.extend(lookup.took.map(|took| ("millis", millis(took))));
        fields.extend(lookup.found.as_ref().err().map(|why| ("error", why.as_str().into())));
        if lookup.wrong {
            fields.push(("wrong", true.into()));
            self.changed = true;
            // A node that nothing was heard of can't be named in a finding.
            self.wrong.extend(owner.map(|owner| (owner, self.now)));
        }
        self.write("lookup", &fields);
        if lookup.wrong {
            self.judge();
        }
    }

    /// A message that has arrived. Both nodes must be there; others are not drawn.
    pub fn message(&mut self, at: Duration, from: Id, to: Id, text: &str) {
        self.pass(at);
        if [from, to].iter().all(|node| self.nodes.contains_key(node)) {
            self.write("message", &[("from", hex(from)), ("to", hex(to)), ("text", text.into())]);
        }
    }

    /// The same, only if the messages of one of them are to be written; the sender is known by its address.
    pub(super) fn hear(&mut self, at: Duration, from: Addr, to: Id, text: &str) {
        let Some(followed) = self.follows else { return };
        let from = self.nodes.values().find(|view| view.me.addr == from).map(|view| view.me.id);
        // What a node tells itself is no message.
        if let Some(from) = from.filter(|from| *from != to && (*from == followed || to == followed)) {
            self.message(at, from, to, text);
        }
    }

    /// Writes what was put off, and whether the ring is healthy.
    pub fn look(&mut self, at: Duration) {
        self.pass(at);
        self.flush();
        self.judge();
    }

    /// A step begins: what happens, in words.
    pub fn say(&mut self, at: Duration, text: &str) {
        self.look(at);
        self.write_say(text);
    }

    /// The whole recording.
    pub fn finish(mut self) -> String {
        let header = header(&self.header, None);
        self.end();
        let lines = self.lines.iter().map(|(_, line)| line.as_str());
        std::iter::once(header.as_str()).chain(lines).collect()
    }

    /// A recording of two rings, drawn beside each other; `names` are those of the sides.
    pub fn finish_both(mut self, mut other: Recorder, names: [&str; 2]) -> String {
        let header = header(&self.header, Some(names));
        self.end();
        other.end();
        let mut lines = self.lines;
        lines.append(&mut other.lines);
        // Stable: at the same time the first side comes first, with the words.
        lines.sort_by_key(|(at, _)| *at);
        std::iter::once(header.as_str()).chain(lines.iter().map(|(_, line)| line.as_str())).collect()
    }

    fn end(&mut self) {
        self.flush();
        self.judge();
    }

    /// Time has passed: what was put off is written if it is due.
    fn pass(&mut self, at: Duration) {
        let begun = *self.begun.get_or_insert(at);
        let now = at.saturating_sub(begun).max(self.now);
        // Before the time of the next event, so that times do not decrease.
        if now >= self.judged + HEALTH && self.changed {
            self.judge();
            self.judged = now;
        }
        if now >= self.flushed + FINGERS {
            self.flush();
            self.flushed = now;
        }
        self.now = now;
    }

    fn flush(&mut self) {
        self.flushed = self.now;
        for view in std::mem::take(&mut self.pending).into_values() {
            self.write_node(view);
        }
    }

    /// Writes whether the ring is healthy, if that has changed.
    fn judge(&mut self) {
        let now = self.now;
        self.judged = now;
        self.wrong.retain(|_, since| *since + WRONG > now);
        self.changed = !self.wrong.is_empty();
        if self.nodes.is_empty() {
            return;
        }
        let mut findings = health::findings(&self.nodes, self.header.r, self.header.bits);
        if !self.wrong.is_empty() {
            let bits = self.header.bits;
            let named: Vec<String> = self.wrong.keys().map(|id| name(*id, bits)).collect();
            let what = format!("an answer named {}, which does not own the key", named.join(" and "));
            findings.push(Finding { kind: Kind::WrongOwner, node: None, what });
        }
        if self.findings.as_ref() == Some(&findings) {
            return;
        }
        let worst = findings.iter().map(|finding| finding.kind.severity()).max();
        let health = match worst {
            None | Some(Severity::Note) => "healthy",
            Some(Severity::Degraded) => "degraded",
            Some(Severity::Broken) => "broken",
        };
        let finding = |Finding { kind, node, what }: &Finding| {
            json!({
                "severity": kind.severity().to_string(),
                "kind": kind.name(),
                "what": what,
                "advice": kind.advice(),
                "node": node.map(|node| node.id.to_string()),
            })
        };
        let told = findings.iter().map(finding).collect();
        self.write("health", &[("health", health.into()), ("findings", told)]);
        self.findings = Some(findings);
    }

    fn write_node(&mut self, view: View) {
        self.changed |= !self.nodes.get(&view.me.id).is_some_and(|known| known.has_neighbors_of(&view));
        let id = view.me.id;
        let mut fields = vec![
            ("id", hex(id)),
            ("addr", view.me.addr.to_string().into()),
            ("standing", view.word().into()),
            ("predecessor", view.predecessor.map_or(Value::Null, hex)),
            ("successors", view.successors.iter().copied().map(hex).collect()),
        ];
        if !view.fingers.is_empty() {
            let run = |(first, last, node): &(u8, u8, Id)| json!([first, last, node.to_string()]);
            fields.push(("fingers", view.fingers.iter().map(run).collect()));
        }
        self.write("node", &fields);
        self.nodes.insert(id, view);
    }

    fn write(&mut self, event: &str, fields: &[(&str, Value)]) {
        let side = self.side.map(|side| ("side", side.into()));
        self.write_line(event, side.as_slice(), fields);
    }

    /// Words are about both sides.
    fn write_say(&mut self, text: &str) {
        self.write_line("say", &[], &[("text", text.into())]);
    }

    fn write_line(&mut self, event: &str, side: &[(&str, Value)], fields: &[(&str, Value)]) {
        if self.full {
            return;
        }
        let begin = [("at", seconds(self.now)), ("event", event.into())];
        let line = object(begin.iter().chain(side).chain(fields));
        if self.size + line.len() > self.limit.saturating_sub(LAST_WORDS) {
            self.full = true;
            let text = format!("The recording ends here: it has reached its limit of {} bytes.", self.limit);
            let line = object([&begin[0], &("event", "say".into()), &("text", text.into())]);
            self.size += line.len();
            self.lines.push((self.now, line));
            return;
        }
        self.size += line.len();
        self.lines.push((self.now, line));
    }
}

fn header(header: &Header, sides: Option<[&str; 2]>) -> String {
    let Header { title, text, r, bits } = header;
    let mut fields = vec![
        ("recording", VERSION.into()),
        ("title", title.as_str().into()),
        ("text", text.as_str().into()),
        ("r", (*r).into()),
        ("bits", bits.count().into()),
    ];
    fields.extend(sides.map(|names| ("sides", names.iter().map(|name| json!({ "name": name })).collect())));
    object(&fields)
}

/// A line with these fields, in this order.
fn object<'a>(fields: impl IntoIterator<Item = &'a (&'a str, Value)>) -> String {
    let fields: Vec<String> = fields.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}\n", fields.join(","))
}

fn hex(id: Id) -> Value {
    id.to_string().into()
}

/// Seconds, to the microsecond.
fn seconds(time: Duration) -> Value {
    (time.as_micros() as f64 / 1e6).into()
}

/// Milliseconds, to the microsecond.
fn millis(time: Duration) -> Value {
    (time.as_micros() as f64 / 1e3).into()
}

#[cfg(test)]
mod tests;
