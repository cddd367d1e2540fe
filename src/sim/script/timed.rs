//! A world with a clock: [`Command`]s, and time between them.

use std::time::Duration;

use super::command::Command;
use super::{Circle, Played, Player};
use crate::protocol::lookup::iterative::Style;
use crate::protocol::lookup::{Found, LookupFailure};
use crate::protocol::peer::Peer;
use crate::sim::draw::draw;
use crate::sim::nodes::{number_of, numbered};
use crate::sim::recording::Recorder;
use crate::sim::world::World;
use crate::sim::world::recorded::Asked;

/// Plays [`Command`]s in a [`World`]. Before the first node a scenario may give `bits M`, `r R` and `seed S`.
///
/// The result of a lookup is printed with the first command after it is known.
#[derive(Default)]
pub struct Timed {
    circle: Circle,
    seed: u64,
    world: Option<World>,
    lookups: Vec<Begun>,
    drawing: String,
}

/// How often it is checked whether a recorded ring is ideal.
const GLANCE: Duration = Duration::from_millis(10);

/// A lookup under way.
struct Begun {
    number: u64,
    from: Peer,
    key: u32,
    at: Duration,
}

impl Player for Timed {
    fn command(&mut self, words: &[&str]) -> Result<(), String> {
        if self.world.is_none() {
            if self.circle.command(words)? {
                return Ok(());
            }
            if let ["seed", seed] = words {
                self.seed = seed.parse().map_err(|_| format!("{seed:?} is no seed"))?;
                return Ok(());
            }
        }
        if let ["bits" | "r" | "seed", _] = words {
            return Err("circle and seed are given before anything else".into());
        }
        let command = Command::parse(words, self.circle)?;
        let Circle { bits, r } = self.circle;
        let world = self.world.get_or_insert_with(|| World::new(self.seed, bits, r));
        match &command {
            Command::Crash(n)
            | Command::Leave(n)
            | Command::Vanish(n)
            | Command::Pause(n, _)
            | Command::Lookup(n, _)
            | Command::Iterate(n, _)
                if !world.is_up(numbered(*n, bits)) =>
            {
                return Err(format!("{n} is not up"));
            }
            Command::Lookup(n, key) | Command::Iterate(n, key) => {
                let (from, id) = (numbered(*n, bits), numbered(*key, bits).id);
                let iterative = matches!(command, Command::Iterate(..));
                let style = if iterative { Style::Iterative } else { Style::Recursive };
                if let Some(number) = world.lookup_in_style(from, id, style) {
                    self.lookups.push(Begun { number, from, key: *key, at: world.now() });
                }
            }
            Command::Run(time) => {
                let end = world.now() + *time;
                self.run_recorded(end);
                if let Some(world) = &mut self.world {
                    world.run(end - world.now());
                }
            }
            Command::Settle(limit) => {
                let end = world.now() + *limit;
                self.settle_recorded(end);
                if let Some(world) = &mut self.world {
                    world.run_until(end.saturating_sub(world.now()), World::ideal)?;
                }
            }
            Command::Print => self.drawing += &draw(world),
            other => other.perform(world),
        }
        self.report_lookups();
        Ok(())
    }

    fn circle(&self) -> Circle {
        self.circle
    }

    fn record(&mut self, recorder: Recorder) -> Result<(), String> {
        let Circle { bits, r } = self.circle;
        self.world.get_or_insert_with(|| World::new(self.seed, bits, r)).record(recorder);
        Ok(())
    }

    fn say(&mut self, text: &str) {
        if let Some(world) = &mut self.world {
            world.say(text);
        }
    }

    fn take_recorder(&mut self) -> Option<Recorder> {
        self.report_lookups();
        self.world.as_mut()?.take_recorder()
    }

    fn end(mut self) -> Result<Played, String> {
        self.report_lookups();
        let world = self.world.ok_or("nothing happens")?;
        self.drawing += &draw(&world);
        let neighbors = world.hosts().map(|host| (number_of(host.me.addr), host.maintenance.neighbors().clone()));
        let fingerprint = world.env.log.fingerprint();
        Ok(Played { neighbors: neighbors.collect(), drawing: self.drawing, fingerprint })
    }
}

impl Timed {
    /// Lets time pass if it is recorded, so that each answer is recorded when it comes.
    fn run_recorded(&mut self, end: Duration) {
        while let Some(world) = &mut self.world
            && world.is_recorded()
            && world.next_at().is_some_and(|at| at <= end)
        {
            world.step();
            self.report_lookups();
        }
    }

    /// The same until the ring is ideal.
    fn settle_recorded(&mut self, end: Duration) {
        while let Some(world) = &self.world
            && world.is_recorded()
            && world.now() < end
            && world.ideal().is_err()
        {
            let next = world.now() + GLANCE;
            self.run_recorded(next);
            if let Some(world) = &mut self.world {
                world.run(next.saturating_sub(world.now()));
            }
        }
    }

    fn report_lookups(&mut self) {
        let Some(world) = &mut self.world else { return };
        let drawing = &mut self.drawing;
        self.lookups.retain(|Begun { number, from, key, at }| {
            let Some(result) = world.take_found(*number) else { return true };
            let name = world.name(*from);
            let asked = Asked { from: *from, key: numbered(*key, world.bits()).id, text: None, at: *at };
            world.record_lookup(asked, &result, false);
            *drawing += &match result {
                Ok(Found { owner, path, .. }) => {
                    let asked = world.names(path.iter().map(|hop| hop.node));
                    format!("{name} finds {key} at {} by way of [{asked}]\n", world.name(owner))
                }
                Err(lost) => not_found(&name, *key, lost),
            };
            false
        });
    }
}

fn not_found(name: &str, key: u32, lost: LookupFailure) -> String {
    format!("{name} does not find {key}: {lost}\n")
}
