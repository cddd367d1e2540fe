//! A world that is recorded: after each event, the node that handled it is shown to the recorder.

use std::time::Duration;

use super::World;
use crate::protocol::id::Id;
use crate::protocol::lookup::{Found, LookupFailure};
use crate::protocol::maintenance::Standing;
use crate::protocol::peer::Peer;
use crate::sim::events::Slot;
use crate::sim::host::Host;
use crate::sim::recording::{Hop, Lookup, Recorder, View, Why};

/// A lookup that is to be recorded.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The node that looks up.
    pub from: Peer,
    /// What it looks up.
    pub key: Id,
    /// The text whose hash that is, if it is known.
    pub text: Option<&'a str>,
    /// When it began.
    pub at: Duration,
}

impl World {
    /// Records what happens from now on, beginning with the nodes as they are.
    pub fn record(&mut self, recorder: Recorder) {
        self.env.recorder = Some(Box::new(recorder));
        self.show_all();
    }

    /// Whether what happens is recorded.
    pub fn is_recorded(&self) -> bool {
        self.env.recorder.is_some()
    }

    /// Ends the recording, if there is one.
    pub fn take_recorder(&mut self) -> Option<Recorder> {
        self.show_all();
        self.env.recorder.take().map(|recorder| *recorder)
    }

    /// Begins a step of the recording, if there is one.
    pub fn say(&mut self, text: &str) {
        self.show_all();
        let now = self.env.now;
        if let Some(recorder) = &mut self.env.recorder {
            recorder.say(now, text);
        }
    }

    /// Records the messages of this node from now on; `None` records none.
    pub fn follow(&mut self, node: Option<Peer>) {
        if let Some(recorder) = &mut self.env.recorder {
            recorder.follow(node.map(|node| node.id));
        }
    }

    /// Records a lookup that has ended; `is_right` if it is known that the answer was right while the lookup was under
    /// way. Else the answer is compared with the ring as it is now.
    pub fn record_lookup(&mut self, asked: Asked, found: &Result<Found, LookupFailure>, is_right: bool) {
        let Some(recorder) = &self.env.recorder else { return };
        let owner = found.as_ref().map(|found| found.owner).map_err(|lost| lost.to_string());
        let wrong = !is_right && owner.as_ref().is_ok_and(|owner| !recorder.owns(owner.id, asked.key));
        let mut path = vec![Hop { node: asked.from.id, why: None, took: None }];
        for hop in found.iter().flat_map(|found| &found.path) {
            let before = path.last().map(|before| before.node);
            let why = before.and_then(|before| self.why(before, hop.node.id));
            path.push(Hop { node: hop.node.id, why, took: Some(hop.took) });
        }
        let (now, text, key) = (self.env.now, asked.text.map(str::to_owned), asked.key);
        let lookup = Lookup { text, key, path, found: owner, took: Some(now - asked.at), wrong };
        if let Some(recorder) = &mut self.env.recorder {
            recorder.lookup(now, &lookup);
        }
    }

    /// Which entry of one node leads to another: its highest finger that does, or else a successor.
    fn why(&self, from: Id, to: Id) -> Option<String> {
        let view = self.env.recorder.as_ref()?.node(from)?;
        let finger =
            view.fingers.iter().rev().find(|(_, _, node)| *node == to).map(|(_, last, _)| format!("finger {last}"));
        let successor =
            || view.successors.iter().position(|node| *node == to).map(|at| format!("successor {}", at + 1));
        finger.or_else(successor)
    }

    /// Shows the recorder the node at a slot, after an event there.
    pub(super) fn show(&mut self, slot: Slot) {
        let World { env, hosts, bits, .. } = self;
        let Some(recorder) = env.recorder.as_mut().filter(|recorder| !recorder.is_full()) else { return };
        let Some(host) = hosts.get(slot.index()).and_then(Option::as_deref) else { return };
        match (host.is_alive(), host.maintenance.standing()) {
            (false, _) => recorder.gone(env.now, host.me, Why::Died),
            (_, Standing::Left) => recorder.gone(env.now, host.me, Why::Left),
            _ => recorder.see(env.now, view(host, *bits)),
        }
    }

    fn show_all(&mut self) {
        if self.is_recorded() {
            let slots: Vec<Slot> = self.up.values().copied().collect();
            slots.into_iter().for_each(|slot| self.show(slot));
        }
    }

    /// Tells the recorder that a program has ended.
    pub(super) fn show_end(&mut self, host: &Host) {
        let now = self.env.now;
        if let Some(recorder) = &mut self.env.recorder {
            recorder.gone(now, host.me, if host.ended { Why::Left } else { Why::Died });
        }
    }
}

fn view(host: &Host, bits: crate::protocol::id::Bits) -> View {
    View::new(host.maintenance.standing(), host.maintenance.neighbors()).with_fingers(host.fingers.table(), bits)
}
