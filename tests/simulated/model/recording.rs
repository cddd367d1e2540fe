//! Histories as recordings: the states of the model, and a sentence for each step.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use chord::protocol::neighbors::Neighbors;
use chord::protocol::peer::Peer;
use chord::sim::recording::{Header, Recorder, View};

use super::catalog::Catalog;
use super::circle::{self, BITS, Place, SPACING, Turn};
use super::explore::Violation;
use super::local::Kind;
use super::system::{Event, State, Step};

/// The time between two steps, so that each can be seen.
const STEP: Duration = Duration::from_secs(1);

/// The history that leads from a state to what is wrong.
pub fn record<const N: usize>(catalog: &Catalog, what: &str, beginning: &State<N>, steps: &[Step<N>]) -> String {
    let r = catalog.rules.r;
    let title = "A counterexample of the model checker".into();
    let text = format!("The shortest history that leads to: {what} (r = {r}).");
    let mut recorder = Recorder::new(Header { title, text, r, bits: BITS });
    let mut now = Duration::ZERO;
    recorder.see_all(now, views(catalog, beginning), &[]);
    recorder.say(now, "The ring at the beginning.");
    for step in steps {
        now += STEP;
        recorder.say(now, &sentence(step));
        let left: Vec<Peer> = step.events.contains(&Event::Leave).then(|| circle::peer(step.at)).into_iter().collect();
        recorder.see_all(now, views(catalog, &step.to), &left);
    }
    recorder.say(now + STEP, &format!("This is wrong: {what}."));
    recorder.finish()
}

fn views<const N: usize>(catalog: &Catalog, state: &State<N>) -> Vec<View> {
    let view = |at: Place| {
        let local = catalog.local(state.locals[at]);
        let turn = Turn { places: N, by: at };
        let id = |peer: Peer| turn.peer(peer).id;
        let neighbors = local.neighbors();
        Some(View {
            me: circle::peer(at),
            standing: local.standing()?,
            predecessor: neighbors.and_then(Neighbors::predecessor).map(id),
            successors: neighbors.map(Neighbors::successors).unwrap_or_default().iter().copied().map(id).collect(),
            fingers: Vec::new(),
        })
    };
    (0..N).filter_map(view).collect()
}

fn sentence<const N: usize>(step: &Step<N>) -> String {
    let words: Vec<String> = step.events.iter().map(words).collect();
    format!("Node {}: {}.", step.at * SPACING, words.join("; "))
}

fn words(event: &Event) -> String {
    let name = |place: &Place| place * SPACING;
    match event {
        Event::Begin(Kind::Join) => "it begins to join".into(),
        Event::Begin(Kind::Stabilize) => "it begins to stabilize".into(),
        Event::Begin(Kind::Check) => "it begins to check its predecessor".into(),
        Event::Begin(Kind::Rectify) => "it begins to judge a notification".into(),
        Event::Begin(Kind::Reunite) => "it asks an acquaintance whether there is another ring".into(),
        Event::Begin(Kind::GiveUp) => "it has found no ring, and decides that it is alone".into(),
        Event::Arrive(to) => format!("its question is answered at {}", name(to)),
        Event::Answer => "the answer reaches it".into(),
        Event::Notify(to) => format!("its notification reaches {}", name(to)),
        Event::Meet(to, node) => format!("{} is told that {} belongs right behind it", name(to), name(node)),
        Event::Suspect(whom) => format!("it takes {} for dead, which lives", name(whom)),
        Event::Crash => "it dies".into(),
        Event::Leave => "it leaves, and its neighbours hear of it".into(),
        Event::Bury(whom) => format!("a lookup found {} dead", name(whom)),
        Event::Admission => "the time of the joiner that it has admitted runs out".into(),
    }
}

impl Violation {
    /// Writes the recording and returns its path.
    pub fn write(&self, name: &str) -> PathBuf {
        let name: String = name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("counterexample-{name}.jsonl"));
        fs::write(&path, &self.recording).unwrap_or_else(|why| panic!("can't write {}: {why}", path.display()));
        path
    }
}
