//! A stepwise scenario that is recorded. Since it has no time, each command takes [`COMMAND`].

use std::time::Duration;

use super::{Scope, Stepwise};
use crate::protocol::addr::Addr;
use crate::protocol::id::Id;
use crate::protocol::lookup::{Found, Query};
use crate::protocol::peer::Peer;
use crate::sim::nodes::name;
use crate::sim::recording::{Hop, Lookup, Recorder, View};

/// The time between two commands, so that each can be seen.
const COMMAND: Duration = Duration::from_millis(500);

/// The recording, if there is one, and its time.
#[derive(Default)]
pub(super) struct Recorded {
    recorder: Option<Recorder>,
    now: Duration,
    left: Vec<Peer>,
}

impl Recorded {
    pub(super) fn begin(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    pub(super) fn take(&mut self) -> Option<Recorder> {
        self.recorder.take()
    }

    pub(super) fn tick(&mut self) {
        self.now += COMMAND;
    }

    pub(super) fn say(&mut self, text: &str) {
        self.now += COMMAND;
        if let Some(recorder) = &mut self.recorder {
            recorder.say(self.now, text);
        }
    }

    pub(super) fn leaves(&mut self, node: Peer) {
        self.left.push(node);
    }
}

impl Stepwise {
    /// Shows all nodes to the recorder.
    pub(super) fn show(&mut self) {
        let Stepwise { recorded: Recorded { recorder: Some(recorder), now, left }, nodes, .. } = self else { return };
        let views = nodes.values().map(|node| View::new(node.maintenance.standing(), node.maintenance.neighbors()));
        recorder.see_all(*now, views, left);
        left.clear();
    }

    /// A message of one node reaches another.
    pub(super) fn told(&mut self, from: Peer, to: Addr, text: &str) {
        let to = self.nodes.keys().find(|peer| peer.addr == to).map(|peer| peer.id);
        if let (Some(recorder), Some(to)) = (&mut self.recorded.recorder, to) {
            recorder.message(self.recorded.now, from.id, to, text);
        }
    }

    /// The answer of one node reaches another.
    pub(super) fn answered(&mut self, from: Addr, to: Peer) {
        if let Some(from) = self.nodes.keys().find(|peer| peer.addr == from).copied() {
            self.told(from, to.addr, "answer");
        }
    }

    /// Looks a key up, which takes no time.
    pub(super) fn look_up(&mut self, from: Peer, key: Id) -> Result<(), String> {
        self.node(from)?;
        let found = self.find(from, Query { key, scope: Scope::Ring { hops: 0 }, want_path: true });
        let bits = self.circle.bits;
        let (me, of) = (name(from.id, bits), name(key, bits));
        self.drawing += &match &found {
            Ok(Found { owner, path, .. }) => {
                let asked: Vec<String> = path.iter().map(|hop| name(hop.node.id, bits)).collect();
                format!("{me} finds {of} at {} by way of [{}]\n", name(owner.id, bits), asked.join(" "))
            }
            Err(code) => format!("{me} does not find {of}: {code}\n"),
        };
        let Some(recorder) = &mut self.recorded.recorder else { return Ok(()) };
        let asked = found.iter().flat_map(|found| &found.path).map(|hop| hop.node.id);
        let path = std::iter::once(from.id).chain(asked).map(|node| Hop { node, why: None, took: None }).collect();
        let wrong = found.as_ref().is_ok_and(|found| !recorder.owns(found.owner.id, key));
        let found = found.map(|found| found.owner).map_err(|code| code.to_string());
        recorder.lookup(self.recorded.now, &Lookup { text: None, key, path, found, took: None, wrong });
        Ok(())
    }
}
