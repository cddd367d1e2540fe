//! Breadth-first search over all events, and whether every state can end well.

use std::fmt;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use super::circle::Place;
use super::masks::Mask;
use super::recording;
use super::system::{Cause, Event, Move, State, System};

/// The properties to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// The invariant in every state, and that maintenance alone makes every state ideal.
    InvariantAndProgress,
    /// The latter alone, where the invariant can't hold.
    Progress,
    /// The former alone, in as many states as there is time for.
    Invariant,
}

/// The result of an exploration.
#[derive(Clone, Debug)]
pub struct Explored {
    pub states: usize,
    pub steps: u64,
    /// The length of the longest shortest history.
    pub depth: usize,
    pub node_states: usize,
    pub ideal: usize,
    /// Whether every reachable state was reached.
    pub complete: bool,
    pub took: Duration,
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explored { states, steps, depth, node_states, ideal, complete, took } = self;
        write!(f, "{states} states and {steps} steps of {node_states} node states, {depth} deep, ")?;
        let all = if *complete { "all there are" } else { "not all" };
        write!(f, "{all}; {ideal} ideal for good; {:.1} s", took.as_secs_f64())
    }
}

/// A forbidden state or step.
#[derive(Clone, Debug)]
pub struct Violation {
    pub what: String,
    /// The members of the ideal ring that it begins with.
    pub beginning: Mask,
    /// The shortest history that leads to it: each event with its place.
    pub history: Vec<(Place, Event)>,
    /// The same history, recorded.
    pub recording: String,
}

/// Explores one ring of at most `N` nodes.
pub struct Explorer<const N: usize> {
    system: System<N>,
    judged: Judged,
    most_states: usize,
    states: Vec<State<N>>,
    /// The number of each state.
    known: HashTable<u32>,
    /// The state from which each was reached first; a beginning is its own parent.
    parents: Vec<u32>,
    /// The states to which maintenance leads from each state in turn, and how many there are for each.
    edges: Vec<u32>,
    degrees: Vec<u8>,
}

/// A long search reports its progress each time that it has visited this many states.
const REPORT: usize = 10_000_000;

impl<const N: usize> Explorer<N> {
    pub fn new(system: System<N>, judged: Judged, most_states: usize) -> Explorer<N> {
        Explorer {
            system,
            judged,
            most_states,
            states: Vec::new(),
            known: HashTable::new(),
            parents: Vec::new(),
            edges: Vec::new(),
            degrees: Vec::new(),
        }
    }

    /// Explores from these states.
    pub fn explore(&mut self, beginnings: &[State<N>]) -> Result<Explored, Box<Violation>> {
        let began = Instant::now();
        for state in beginnings {
            self.visit(&state.canonical().0, None);
        }
        let (mut next, mut steps, mut depth, mut layer_ends) = (0, 0, 0, self.states.len());
        let mut moves = Vec::new();
        while next < self.states.len() && self.states.len() < self.most_states {
            if next == layer_ends {
                depth += 1;
                layer_ends = self.states.len();
            }
            if next > 0 && next % REPORT == 0 {
                let thread = std::thread::current();
                let (test, known) = (thread.name().unwrap_or_default(), self.states.len());
                eprintln!("{test}: {next} of {known} states, {depth} steps deep, {:.0?}", began.elapsed());
            }
            let state = self.states[next];
            self.system.find_moves(&state);
            if let Some(panic) = self.system.catalog.panic.take() {
                return Err(self.violation(format!("a node panics: {panic}"), next as u32, None));
            }
            std::mem::swap(&mut moves, &mut self.system.moves);
            steps += moves.len() as u64;
            let first_edge = self.edges.len();
            for step in &moves {
                self.take(&state, step, next as u32)?;
            }
            self.degrees.push(u8::try_from(self.edges.len() - first_edge).expect("a state has few steps"));
            next += 1;
        }
        let complete = next == self.states.len();
        let ideal = if complete && self.judged != Judged::Invariant { self.judge_progress()? } else { 0 };
        Ok(Explored {
            states: self.states.len(),
            steps,
            depth,
            node_states: self.system.catalog.len(),
            ideal,
            complete,
            took: began.elapsed(),
        })
    }

    fn take(&mut self, state: &State<N>, step: &Move<N>, from: u32) -> Result<(), Box<Violation>> {
        let (to, _) = step.to.canonical();
        let judged = self.judged != Judged::Progress;
        if judged && let Some(what) = self.system.wrong_step(state, step) {
            return Err(self.violation(what, from, Some(&step.to)));
        }
        let (number, new) = self.visit(&to, Some(from));
        if new
            && judged
            && let Some(what) = self.system.wrong_state(&to)
        {
            return Err(self.violation(what, number, None));
        }
        if step.cause == Cause::Maintenance && self.judged != Judged::Invariant && number != from {
            self.edges.push(number);
        }
        Ok(())
    }

    /// The number of a state, and whether it is new.
    fn visit(&mut self, state: &State<N>, from: Option<u32>) -> (u32, bool) {
        let (hasher, states) = (FxBuildHasher, &mut self.states);
        let hash = |state: &State<N>| scramble(hasher.hash_one(state));
        if let Some(number) = self.known.find(hash(state), |number| states[*number as usize] == *state) {
            return (*number, false);
        }
        let number = u32::try_from(states.len()).expect("fewer than four billion states");
        states.push(*state);
        self.parents.push(from.unwrap_or(number));
        self.known.insert_unique(hash(state), number, |number| hash(&states[*number as usize]));
        (number, true)
    }

    /// Whether every bottom component of the graph of maintenance consists of ideal states: that is
    /// so if from every state maintenance can come to a set of ideal states that it never leaves.
    fn judge_progress(&mut self) -> Result<usize, Box<Violation>> {
        let mut good: Vec<bool> = self.states.iter().map(|state| self.system.is_ideal(state)).collect();
        // An ideal state that maintenance may leave for others is not final.
        while self.sweep(&mut good, |good, next| good && !next.iter().all(|next| *next)) {}
        let ideal = good.iter().filter(|good| **good).count();
        while self.sweep(&mut good, |good, next| !good && next.iter().any(|next| *next)) {}
        match good.iter().position(|good| !good) {
            None => Ok(ideal),
            Some(stuck) => {
                let lost = good.iter().filter(|good| !**good).count();
                let what = format!("{lost} states from which maintenance never makes the ring ideal");
                Err(self.violation(what, stuck as u32, None))
            }
        }
    }

    /// Flips each mark for which `turn` says so, given the marks of the states to which maintenance
    /// leads, from the last state to the first; whether any was flipped.
    fn sweep(&self, marks: &mut [bool], turn: impl Fn(bool, &[bool]) -> bool) -> bool {
        let (mut end, mut turned) = (self.edges.len(), false);
        let mut next = Vec::new();
        for state in (0..marks.len()).rev() {
            let first = end - usize::from(self.degrees[state]);
            next.clear();
            next.extend(self.edges[first..end].iter().map(|next| marks[*next as usize]));
            if turn(marks[state], &next) {
                marks[state] = !marks[state];
                turned = true;
            }
            end = first;
        }
        turned
    }

    /// The shortest history to a state, and perhaps one step further.
    fn violation(&mut self, what: String, state: u32, last: Option<&State<N>>) -> Box<Violation> {
        let mut numbers = vec![state];
        loop {
            let last = numbers[numbers.len() - 1];
            let parent = self.parents[last as usize];
            if parent == last {
                break;
            }
            numbers.push(parent);
        }
        let mut path: Vec<State<N>> = numbers.iter().rev().map(|number| self.states[*number as usize]).collect();
        path.extend(last);
        let steps = self.system.history(&path);
        let history = steps.iter().flat_map(|step| step.events.iter().map(|event| (step.at, *event))).collect();
        let recording = recording::record(&self.system.catalog, &what, &path[0], &steps);
        Box::new(Violation { what, beginning: self.system.members(&path[0]), history, recording })
    }
}

/// Spreads the bits of a hash over the whole word, as hash tables want it.
fn scramble(hash: u64) -> u64 {
    hash.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26) ^ hash
}
