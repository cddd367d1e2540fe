//! A lesson: the same five events for the pseudocode and for our protocol, recorded beside each other.

use std::time::Duration;

use super::ring::Ring;
use super::{R, System};
use crate::protocol::id::{Bits, Id};
use crate::sim::World;
use crate::sim::numbered;
use crate::sim::recording::{Header, Recorder};
use crate::sim::world::recorded::Asked;

/// The circle of the paper's examples, and its ring.
const SIX: Bits = Bits::new(6).unwrap();
const NODES: [u32; 10] = [1, 8, 14, 21, 32, 38, 42, 48, 51, 56];
const JOINER: u32 = 26;

/// Decides the delay of each message.
const SEED: u64 = 1;

/// Time between the starts of two nodes, and until both rings are as defined.
const APART: Duration = Duration::from_millis(500);
const SETTLES: Duration = Duration::from_secs(60);

/// How often it is looked whether lookups have ended.
const GLANCE: Duration = Duration::from_millis(1);

/// A join takes less than this, and a node of the pseudocode that has just joined does not stabilize in that time.
const JOINS: Duration = Duration::from_millis(300);

struct Both {
    theirs: Ring,
    ours: World,
}

impl Both {
    fn start(&mut self, n: u32, seed: Option<u32>) {
        let (me, seed) = (numbered(n, SIX), seed.map(|n| numbered(n, SIX)));
        self.theirs.start(me, seed);
        System::start(&mut self.ours, me, seed);
    }

    fn fail(&mut self, n: u32) {
        self.theirs.fail(numbered(n, SIX));
        self.ours.fail(numbered(n, SIX));
    }

    fn run(&mut self, time: Duration) {
        self.theirs.run(time);
        System::run(&mut self.ours, time);
    }

    /// Both rings begin a step.
    fn say(&mut self, text: &str) {
        self.theirs.say(text);
        let now = self.ours.now();
        if let Some(recorder) = &mut self.ours.env.recorder {
            recorder.look(now);
        }
    }

    /// Records the messages of the joiner, or no longer.
    fn follow(&mut self, node: Option<Id>) {
        for recorder in [self.theirs.recorder(), self.ours.env.recorder.as_deref_mut()].into_iter().flatten() {
            recorder.follow(node);
        }
    }

    /// Looks a key up in both rings, and gives the answers a second.
    fn look_up(&mut self, from: u32, key: u32) {
        let (from, key) = (numbered(from, SIX), numbered(key, SIX).id);
        let begun = self.ours.now();
        let mut theirs = self.theirs.look_up(from, key);
        let mut ours = self.ours.look_up(from, key);
        while self.ours.now() < begun + Duration::from_secs(1) {
            self.theirs.run(GLANCE);
            System::run(&mut self.ours, GLANCE);
            if let Some(owner) = theirs.and_then(|number| self.theirs.found(from, number)) {
                theirs = None;
                self.theirs.record_lookup(from, key, begun, owner);
            }
            if let Some(found) = ours.and_then(|number| self.ours.take_found(number)) {
                ours = None;
                self.ours.record_lookup(Asked { from, key, text: None, at: begun }, &found, false);
            }
        }
    }
}

/// The recording.
pub(in crate::sim) fn lesson() -> String {
    let mut both = Both { theirs: Ring::new(SEED, R), ours: World::new(SEED, SIX, R) };
    for n in NODES {
        both.start(n, (n != NODES[0]).then_some(NODES[0]));
        both.run(APART);
    }
    both.run(SETTLES);
    let header = Header {
        title: "What the published pseudocode loses".into(),
        text: "The same join and the same death for the pseudocode of the Chord paper (IEEE/ACM ToN 2003, Figures 5 \
               and 6, and the successor lists of section IV.E.3) and for the corrected protocol (Zave, \"Reasoning about \
               identifier spaces: How to make Chord correct\", IEEE TSE 2017)."
            .into(),
        r: R,
        bits: SIX,
    };
    both.theirs.record(Recorder::new(header.clone()).on_side(0));
    both.ours.record(Recorder::new(header).on_side(1));
    both.say(
        "Two rings of the same ten nodes, r = 3: to the left they follow the published pseudocode, to the right the \
         corrected protocol. As long as nothing fails both are right.",
    );
    both.run(Duration::from_secs(1));
    both.look_up(8, 30);
    both.say(
        "Node 26 joins both rings through node 8. Left: join() is find_successor(26), and the answer is all that the \
         joiner learns: its list is 32, one entry of three. Right: the joiner also takes over the list of node 32, and \
         begins with 32, 38, 42.",
    );
    both.follow(Some(numbered(JOINER, SIX).id));
    both.start(JOINER, Some(8));
    both.run(JOINS);
    both.say(
        "Node 32 dies, a moment after the join: left, node 26 has not yet run stabilize. That is within the rules of the \
         paper: of r = 3 nodes in a row one has died, and successor lists are there to survive that (section IV.E.3).",
    );
    both.fail(32);
    both.run(Duration::from_secs(2));
    both.follow(None);
    both.say(
        "Left: the only entry of node 26 is dead, and its list is empty. The pseudocode has no case for that; a node \
         without a successor is alone, as after create(). Nobody knows of node 26, since it never got to notify(): it is \
         a ring of one, beside the ring of the others. Right: node 26 drops 32 and goes on with 38, the next entry of its \
         list, and notifies it.",
    );
    both.run(Duration::from_secs(3));
    both.say(
        "Both nodes 26 are asked for key 30. Its owner is node 38, the first living node at or after it. Left: node 26 \
         believes that it is the only node and names itself, for this key and for every other. Right: it names 38.",
    );
    both.look_up(JOINER, 30);
    both.run(Duration::from_secs(1));
    both.say(
        "The others of the left ring never find node 26: key 24, which belongs to it, ends at node 38. A program that \
         stored it through node 26 will not find it through any other node.",
    );
    both.look_up(8, 24);
    both.run(Duration::from_secs(20));
    both.say(
        "Twenty seconds later the left ring is still split, and it stays so: no line of the pseudocode ever looks for \
         another ring. Zave showed with a model checker that the published protocol is not correct, and what makes it \
         so: a joiner takes over a whole list, a node believes no news of another node before that node has answered, \
         and a ring has at least r + 1 members. The right ring follows these rules.",
    );
    both.look_up(JOINER, 54);
    both.run(Duration::from_secs(1));
    match (both.theirs.take_recorder(), both.ours.take_recorder()) {
        (Some(theirs), Some(ours)) => theirs.finish_both(ours, ["published pseudocode", "corrected protocol"]),
        _ => unreachable!("both are recorded"),
    }
}
