//! Histories as scripts that people read and the simulator replays.

use std::fmt::Write;

use super::circle::{BITS, Place, SPACING};
use super::explore::Violation;
use super::local::Kind;
use super::system::Event;

/// A history from an ideal ring of the nodes at these places, as a script.
pub fn script(r: usize, members: &[Place], history: &[(Place, Event)]) -> String {
    let name = |place: Place| place * SPACING;
    let names: Vec<String> = members.iter().map(|place| name(*place).to_string()).collect();
    let beginning = if members.len() == 1 { "alone" } else { "ring" };
    let mut text = format!("stepwise\nbits {}\nr {r}\n{beginning} {}\n", BITS.count(), names.join(" "));
    for (i, (at, event)) in history.iter().enumerate() {
        let me = name(*at);
        let _ = match event {
            Event::Begin(kind @ (Kind::Join | Kind::Reunite)) => {
                // Its seed is the node that will answer its lookup.
                let later = history[i + 1..].iter().filter(|(place, _)| place == at);
                let arrives =
                    later.map_while(
                        |(_, event)| if matches!(event, Event::Crash | Event::Leave) { None } else { Some(event) },
                    );
                let seed =
                    arrives.filter_map(|event| if let Event::Arrive(to) = event { Some(*to) } else { None }).next();
                let seed = seed.or(members.iter().copied().find(|member| member != at));
                let word = if *kind == Kind::Join { "join" } else { "reunite" };
                writeln!(text, "{word} {me} through {}", seed.map_or(me, name))
            }
            Event::Begin(Kind::Stabilize) => writeln!(text, "stabilize {me}"),
            Event::Begin(Kind::Check) => writeln!(text, "check {me}"),
            Event::Begin(Kind::Rectify) => writeln!(text, "rectify {me}"),
            Event::Begin(Kind::GiveUp) => writeln!(text, "give up {me}"),
            Event::Arrive(to) => writeln!(text, "arrive {me} at {}", name(*to)),
            // A node that suspects its target has its answer already.
            Event::Answer if i > 0 && matches!(history[i - 1], (by, Event::Suspect(_)) if by == *at) => Ok(()),
            Event::Answer => writeln!(text, "answer {me}"),
            Event::Notify(to) => writeln!(text, "notify {me} {}", name(*to)),
            Event::Meet(to, node) => writeln!(text, "meet {me} {} {}", name(*to), name(*node)),
            Event::Suspect(_) => writeln!(text, "suspect {me}"),
            Event::Leave => writeln!(text, "leave {me}"),
            Event::Crash => writeln!(text, "crash {me}"),
            Event::Bury(whom) => writeln!(text, "bury {me} {}", name(*whom)),
            Event::Admission => writeln!(text, "admission {me}"),
        };
    }
    text
}

impl Violation {
    /// What is wrong, and the script that shows it.
    pub fn report(&self, r: usize) -> String {
        let members: Vec<Place> = self.beginning.places().collect();
        format!("{}\n{}", self.what, script(r, &members, &self.history))
    }
}
