//! The commands to a world, as values and as text.

use std::fmt;
use std::time::Duration;

use super::Circle;
use crate::sim::delay::Delay;
use crate::sim::events::Slot;
use crate::sim::nodes::numbered;
use crate::sim::storm::{Defences, Prices};
use crate::sim::world::World;

/// One command to a world. Nodes and keys are numbers on its circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `thread P A B …`: these nodes share a thread from now on, whose work takes P times as long as usual. Nodes
    /// without a thread need no time to serve.
    Thread(u32, Vec<u32>),
    /// `start N [through M …]`: the program of N starts, with these seeds; without any it creates a ring. If it runs
    /// already, it is first killed without notice.
    Start(u32, Vec<u32>),
    /// `crash N`: the program of N ends. Its connections break, and calls are refused.
    Crash(u32),
    /// `leave N`: N leaves the ring: it tells its neighbours, and its program ends 250 ms later.
    Leave(u32),
    /// `vanish N`: N falls silent for ever, like a host that has lost power.
    Vanish(u32),
    /// `pause N TIME`: N does nothing for this time; then everything that waits is due at once.
    Pause(u32, Duration),
    /// `slow N TIME`: each message to and from N takes this much longer.
    Slow(u32, Duration),
    /// `delay TIME TIME`: the shortest and the longest time that a message takes.
    Delay(Duration, Duration),
    /// `loss P`: P of a thousand messages are lost.
    Loss(u16),
    /// `duplication P`: P of a thousand messages come twice.
    Duplication(u16),
    /// `lateness P`: P of a thousand messages are up to 300 ms late.
    Lateness(u16),
    /// `partition A B … | C D …`: no message gets from one group to the other.
    Partition(Vec<u32>, Vec<u32>),
    /// `cut A B … | C D …`: no message gets from the first group to the second; the other direction is open.
    Cut(Vec<u32>, Vec<u32>),
    /// `mend A B … | C D …`: both directions are open again.
    Mend(Vec<u32>, Vec<u32>),
    /// `hold A B`: messages between A and B wait.
    Hold(u32, u32),
    /// `release A B`: they need not wait any longer.
    Release(u32, u32),
    /// `sever A B`: the connection between A and B breaks.
    Sever(u32, u32),
    /// `heal`: the network is as it was at the beginning. Dead nodes stay dead.
    Heal,
    /// `lookup N K`: N begins to look key K up.
    Lookup(u32, u32),
    /// `iterate N K`: N begins to look key K up, and itself asks each node on the way.
    Iterate(u32, u32),
    /// `run TIME`: this much time passes.
    Run(Duration),
    /// `settle TIME`: time passes until the ring is ideal, which must take no longer than this.
    Settle(Duration),
    /// `print`: the ring is drawn, as it is at the end.
    Print,
}

impl Command {
    /// Parses the words of a command, on that circle.
    pub(super) fn parse(words: &[&str], circle: Circle) -> Result<Command, String> {
        let node = |word: &str| circle.number(word);
        let nodes = |words: &[&str]| words.iter().map(|word| circle.number(word)).collect::<Result<Vec<u32>, String>>();
        let groups = |words: &[&str]| {
            let bar = words.iter().position(|word| *word == "|").ok_or("two groups have a | between them")?;
            Ok::<_, String>((nodes(&words[..bar])?, nodes(&words[bar + 1..])?))
        };
        Ok(match words {
            ["thread", factor, rest @ ..] => match factor.parse() {
                Ok(factor @ 1..=MOST_TIMES) => Command::Thread(factor, nodes(rest)?),
                _ => return Err(format!("{factor:?} is no number from 1 to {MOST_TIMES}")),
            },
            ["start", n] => Command::Start(node(n)?, Vec::new()),
            ["start", n, "through", seeds @ ..] if !seeds.is_empty() => Command::Start(node(n)?, nodes(seeds)?),
            ["crash", n] => Command::Crash(node(n)?),
            ["leave", n] => Command::Leave(node(n)?),
            ["vanish", n] => Command::Vanish(node(n)?),
            ["pause", n, t] => Command::Pause(node(n)?, time(t)?),
            ["slow", n, t] => Command::Slow(node(n)?, time(t)?),
            ["delay", from, to] => match (time(from)?, time(to)?) {
                (from, to) if from <= to => Command::Delay(from, to),
                _ => return Err("delay takes the shortest, then the longest time".into()),
            },
            ["loss", p] => Command::Loss(thousandths(p)?),
            ["duplication", p] => Command::Duplication(thousandths(p)?),
            ["lateness", p] => Command::Lateness(thousandths(p)?),
            ["partition", rest @ ..] => groups(rest).map(|(one, other)| Command::Partition(one, other))?,
            ["cut", rest @ ..] => groups(rest).map(|(one, other)| Command::Cut(one, other))?,
            ["mend", rest @ ..] => groups(rest).map(|(one, other)| Command::Mend(one, other))?,
            ["hold", a, b] => Command::Hold(node(a)?, node(b)?),
            ["release", a, b] => Command::Release(node(a)?, node(b)?),
            ["sever", a, b] => Command::Sever(node(a)?, node(b)?),
            ["heal"] => Command::Heal,
            ["lookup", n, key] => Command::Lookup(node(n)?, node(key)?),
            ["iterate", n, key] => Command::Iterate(node(n)?, node(key)?),
            ["run", t] => Command::Run(time(t)?),
            ["settle", t] => Command::Settle(time(t)?),
            ["print"] => Command::Print,
            _ => return Err(format!("no command: {}", words.join(" "))),
        })
    }

    /// Carries the command out, unless it takes time, prints or looks a key up.
    pub(in crate::sim) fn perform(&self, world: &mut World) {
        let bits = world.bits();
        let peer = |n: &u32| numbered(*n, bits);
        let thousandths = |p: &u16| f64::from(*p) / 1000.0;
        match self {
            Command::Thread(factor, nodes) => {
                let nodes: Vec<_> = nodes.iter().map(|n| peer(n).addr).collect();
                world.share_thread(&nodes, Prices::USUAL.times(*factor), Defences::default());
            }
            Command::Start(n, seeds) => world.start(peer(n), &seeds.iter().map(peer).collect::<Vec<_>>()),
            Command::Crash(n) => world.crash(peer(n)),
            Command::Leave(n) => world.leave(peer(n)),
            Command::Vanish(n) => world.pause(peer(n), Duration::MAX),
            Command::Pause(n, time) => world.pause(peer(n), *time),
            Command::Slow(n, by) => {
                let slot = world.env.slot(peer(n).addr);
                world.env.network.slow(slot, *by);
            }
            Command::Delay(from, to) => world.env.network.delay = Delay::Uniform(*from..=*to),
            Command::Loss(p) => world.env.network.loss = thousandths(p),
            Command::Duplication(p) => world.env.network.duplication = thousandths(p),
            Command::Lateness(p) => world.env.network.lateness = thousandths(p),
            Command::Partition(one, other) => {
                Command::Cut(one.clone(), other.clone()).perform(world);
                Command::Cut(other.clone(), one.clone()).perform(world);
            }
            Command::Cut(one, other) => each_way(world, one, other, |world, from, to| world.env.network.cut(from, to)),
            Command::Mend(one, other) => each_way(world, one, other, |world, from, to| {
                world.env.network.mend(from, to);
                world.env.network.mend(to, from);
            }),
            Command::Hold(a, b) => each_way(world, &[*a], &[*b], |world, from, to| {
                world.env.network.hold(from, to);
                world.env.network.hold(to, from);
            }),
            Command::Release(a, b) => each_way(world, &[*a], &[*b], |world, from, to| {
                world.release(from, to);
                world.release(to, from);
            }),
            Command::Sever(a, b) => world.sever(peer(a), peer(b)),
            Command::Heal => world.heal(),
            Command::Lookup(..) | Command::Iterate(..) | Command::Run(_) | Command::Settle(_) | Command::Print => {}
        }
    }
}

fn each_way(world: &mut World, one: &[u32], other: &[u32], act: impl Fn(&mut World, Slot, Slot)) {
    let bits = world.bits();
    for (from, to) in one.iter().flat_map(|from| other.iter().map(move |to| (from, to))) {
        let (from, to) = (numbered(*from, bits).addr, numbered(*to, bits).addr);
        let (from, to) = (world.env.slot(from), world.env.slot(to));
        act(world, from, to);
    }
}

/// The largest factor by which work takes longer: a connection then takes 0.6 s.
const MOST_TIMES: u32 = 1000;

/// The longest time in a command: a longer one could move the clock beyond its end.
const LONGEST: Duration = Duration::from_secs(1000 * 24 * 3600);

pub(in crate::sim) fn time(word: &str) -> Result<Duration, String> {
    match humantime::parse_duration(word) {
        Ok(time) if time <= LONGEST => Ok(time),
        Ok(_) => Err(format!("{word:?} is longer than 1000d")),
        Err(_) => Err(format!("{word:?} is no time like 250ms or 30s")),
    }
}

fn thousandths(word: &str) -> Result<u16, String> {
    let number = word.parse().ok().filter(|p| *p <= 1000);
    number.ok_or_else(|| format!("{word:?} is no number from 0 to 1000"))
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |nodes: &[u32]| nodes.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
        let time = |time: &Duration| humantime::format_duration(*time).to_string().replace(' ', "");
        match self {
            Command::Thread(factor, nodes) => write!(f, "thread {factor} {}", list(nodes)),
            Command::Start(n, seeds) if seeds.is_empty() => write!(f, "start {n}"),
            Command::Start(n, seeds) => write!(f, "start {n} through {}", list(seeds)),
            Command::Crash(n) => write!(f, "crash {n}"),
            Command::Leave(n) => write!(f, "leave {n}"),
            Command::Vanish(n) => write!(f, "vanish {n}"),
            Command::Pause(n, t) => write!(f, "pause {n} {}", time(t)),
            Command::Slow(n, t) => write!(f, "slow {n} {}", time(t)),
            Command::Delay(from, to) => write!(f, "delay {} {}", time(from), time(to)),
            Command::Loss(p) => write!(f, "loss {p}"),
            Command::Duplication(p) => write!(f, "duplication {p}"),
            Command::Lateness(p) => write!(f, "lateness {p}"),
            Command::Partition(one, other) => write!(f, "partition {} | {}", list(one), list(other)),
            Command::Cut(one, other) => write!(f, "cut {} | {}", list(one), list(other)),
            Command::Mend(one, other) => write!(f, "mend {} | {}", list(one), list(other)),
            Command::Hold(a, b) => write!(f, "hold {a} {b}"),
            Command::Release(a, b) => write!(f, "release {a} {b}"),
            Command::Sever(a, b) => write!(f, "sever {a} {b}"),
            Command::Heal => write!(f, "heal"),
            Command::Lookup(n, key) => write!(f, "lookup {n} {key}"),
            Command::Iterate(n, key) => write!(f, "iterate {n} {key}"),
            Command::Run(t) => write!(f, "run {}", time(t)),
            Command::Settle(t) => write!(f, "settle {}", time(t)),
            Command::Print => write!(f, "print"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_can_be_read_again() {
        for line in [
            "thread 20 1 8",
            "start 1",
            "start 8 through 1 14",
            "crash 8",
            "leave 8",
            "vanish 8",
            "pause 8 1s500ms",
            "slow 8 0s",
            "delay 1ms 20ms",
            "loss 10",
            "duplication 1000",
            "lateness 0",
            "partition 1 8 | 14",
            "cut 1 | 8 14",
            "mend 1 8 | 14",
            "hold 1 8",
            "release 1 8",
            "sever 1 8",
            "heal",
            "lookup 1 63",
            "iterate 1 63",
            "run 1m1s1ms",
            "settle 1m",
            "print",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            let command = Command::parse(&words, Circle::default());
            assert_eq!(command.map(|command| command.to_string()), Ok(line.to_owned()));
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for (line, reason) in [
            ("start", "no command: start"),
            ("start 64", "\"64\" is no number below 2^6"),
            ("start 8 through", "no command: start 8 through"),
            ("pause 8 soon", "\"soon\" is no time like 250ms or 30s"),
            ("run 1000d1ns", "\"1000d1ns\" is longer than 1000d"),
            ("delay 2s 1s", "delay takes the shortest, then the longest time"),
            ("loss 1001", "\"1001\" is no number from 0 to 1000"),
            ("cut 1 8", "two groups have a | between them"),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(Command::parse(&words, Circle::default()), Err(reason.to_owned()));
        }
    }
}
