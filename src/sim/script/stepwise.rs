//! A world without time: everything happens by command.
//!
//! It replays histories that were found elsewhere, step by step: the shortest counter-example of a model checker, or a
//! race found on paper. Each node holds at most one conversation, which stays where the commands have left it. The
//! commands:
//!
//! | command | what happens |
//! |---|---|
//! | `bits M`, `r R` | the circle has M bits (1 to 24, else 6), lists R entries (1 to 32, else 3); before any node |
//! | `ring A B C …` | these nodes are an ideal ring, with nothing under way |
//! | `alone A` | this node is a ring of one |
//! | `join N through M` | N begins an attempt to join; its program starts if it is not up |
//! | `stabilize N`, `check N` | the timer of N fires: it begins that conversation |
//! | `reunite N through M` | N begins to ask M, as if it remembered it, whether there is another ring |
//! | `give up N` | N has lost its ring and no node lets it in: it becomes a ring of one |
//! | `rectify N` | N handles the next waiting notification |
//! | `arrive N` | the open question of N, or its probe, reaches its target and is answered there |
//! | `arrive N at M` | the same for a lookup that M answers, to which it was forwarded |
//! | `answer N` | that answer reaches N, whose conversation continues or ends |
//! | `suspect N` | N takes the target of its open question for dead: it was silent twice, though it may live |
//! | `notify N M` | the notification that N has sent to M arrives, or is lost if M is not up |
//! | `meet N M K` | M hears from N that K, of another ring, belongs right behind M |
//! | `bury N D` | a lookup of N has just found D dead |
//! | `admission N` | the time limit of the joiner that N has admitted has passed |
//! | `crash N` | N dies |
//! | `leave N` | N leaves, and ends once its neighbours have heard it |
//! | `lookup N K` | N looks key K up, which takes no time; the result is printed |
//! | `print` | the ring is drawn, as it is at the end |
//!
//! A conversation begins only by command, and no timer fires by itself, not even one that is due at once. A lookup is
//! carried out completely when it arrives, along successors, since there are no fingers; it marks no node dead. Nudges,
//! invitations and news for a whole ring are dropped. Nodes remember no acquaintances. A node that joins again after
//! its death can't be distinguished from its former self.

mod codec;
mod recorded;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Circle, Played, Player};
use crate::protocol::conversation::{Conversation, Outcome};
use crate::protocol::join::Joined;
use crate::protocol::lookup::{Found, Lookup, Query, Scope};
use crate::protocol::maintenance::{Effect, Maintenance, Setup, Standing, Timer};
use crate::protocol::peer::Peer;
use crate::protocol::procedure::{Answer, Procedure, Step, Target};
use crate::protocol::rectify::Rectified;
use crate::protocol::reunite::{Reunion, Reunite};
use crate::protocol::rpc::{Code, Request, Response};
use crate::sim::draw;
use crate::sim::recording::{Recorder, call};
use codec::{heard, read};
use recorded::Recorded;

/// Nodes, their conversations, and notifications on their way.
#[derive(Default)]
pub struct Stepwise {
    circle: Circle,
    nodes: BTreeMap<Peer, Node>,
    notifications: BTreeSet<(Peer, Peer)>,
    /// News of a node of another ring: sender, receiver, and that node.
    meetings: BTreeSet<(Peer, Peer, Peer)>,
    drawing: String,
    recorded: Recorded,
}

struct Node {
    maintenance: Maintenance,
    talk: Option<Talk>,
}

/// A conversation and its open question.
struct Talk {
    conversation: Conversation,
    target: Target,
    asked: Asked,
}

enum Asked {
    Question(Request),
    Probe,
    /// The target has answered.
    Answered(Answer),
}

impl Player for Stepwise {
    fn command(&mut self, words: &[&str]) -> Result<(), String> {
        if self.nodes.is_empty() && self.circle.command(words)? {
            return Ok(());
        }
        let circle = self.circle;
        self.recorded.tick();
        let done = match words {
            ["bits" | "r", _] => Err("the circle is given before any node".into()),
            ["ring", nodes @ ..] => self.ring(circle.peers(nodes)?),
            ["alone", node] => self.alone(circle.peer(node)?),
            ["join", node, "through", seed] => self.join(circle.peer(node)?, circle.peer(seed)?),
            ["stabilize", node] => self.stabilize(circle.peer(node)?),
            ["check", node] => self.check(circle.peer(node)?),
            ["rectify", node] => self.rectify(circle.peer(node)?),
            ["reunite", node, "through", known] => self.reunite(circle.peer(node)?, circle.peer(known)?),
            ["give", "up", node] => self.give_up(circle.peer(node)?),
            ["arrive", node] => self.arrive(circle.peer(node)?, None),
            ["arrive", node, "at", other] => self.arrive(circle.peer(node)?, Some(circle.peer(other)?)),
            ["answer", node] => self.answer(circle.peer(node)?),
            ["suspect", node] => self.suspect(circle.peer(node)?),
            ["notify", from, to] => self.notify(circle.peer(from)?, circle.peer(to)?),
            ["meet", from, to, node] => self.meet(circle.peer(from)?, circle.peer(to)?, circle.peer(node)?),
            ["bury", node, dead] => self.mark_dead(circle.peer(node)?, circle.peer(dead)?),
            ["admission", node] => self.admission(circle.peer(node)?),
            ["crash", node] => self.crash(circle.peer(node)?),
            ["leave", node] => self.leave(circle.peer(node)?),
            ["lookup", node, key] => self.look_up(circle.peer(node)?, circle.peer(key)?.id),
            ["print"] => {
                self.drawing += &self.draw();
                Ok(())
            }
            _ => Err(format!("no stepwise command: {}", words.join(" "))),
        };
        self.show();
        done
    }

    fn circle(&self) -> Circle {
        self.circle
    }

    fn record(&mut self, recorder: Recorder) -> Result<(), String> {
        self.recorded.begin(recorder);
        self.show();
        Ok(())
    }

    fn say(&mut self, text: &str) {
        self.recorded.say(text);
    }

    fn take_recorder(&mut self) -> Option<Recorder> {
        self.recorded.take()
    }

    fn end(mut self) -> Result<Played, String> {
        self.drawing += &self.draw();
        let number = |me: &Peer| crate::sim::nodes::number_of(me.addr);
        let neighbors = self.nodes.iter().map(|(me, node)| (number(me), node.maintenance.neighbors().clone()));
        Ok(Played { neighbors: neighbors.collect(), drawing: self.drawing, fingerprint: 0 })
    }
}

/// The first commands.
impl Stepwise {
    fn ring(&mut self, mut peers: Vec<Peer>) -> Result<(), String> {
        peers.sort();
        peers.dedup();
        if peers.len() < 2 {
            return Err("a ring has at least two nodes; one is: alone".into());
        }
        let n = peers.len();
        for (i, me) in peers.iter().enumerate() {
            let successors = (1..n).take(self.circle.r).map(|k| peers[(i + k) % n]).collect();
            let predecessor = peers[(i + n - 1) % n];
            // The regular way: it joins and is notified.
            let mut maintenance = self.program(*me, &[predecessor]);
            maintenance.next_conversation();
            maintenance.digest(Outcome::Join(Joined::Member(successors)));
            let verdict = Rectified { notifier: predecessor, answered: true, dead: None };
            maintenance.digest(Outcome::Rectify(verdict));
            self.add(*me, maintenance.without_pace())?;
        }
        Ok(())
    }

    fn alone(&mut self, me: Peer) -> Result<(), String> {
        let maintenance = self.program(me, &[]).without_pace();
        self.add(me, maintenance)
    }

    fn program(&self, me: Peer, seeds: &[Peer]) -> Maintenance {
        Maintenance::new(Setup {
            me,
            bits: self.circle.bits,
            r: self.circle.r,
            // No timer is due by itself.
            stabilize_every: Duration::MAX,
            check_predecessor_every: Duration::MAX,
            seeds: seeds.iter().map(|seed| seed.addr).collect(),
            creates: true,
        })
    }

    fn add(&mut self, me: Peer, maintenance: Maintenance) -> Result<(), String> {
        match self.nodes.insert(me, Node { maintenance, talk: None }) {
            None => Ok(()),
            Some(_) => Err(format!("{} is up already", self.circle.name(me))),
        }
    }
}

/// The beginnings of conversations.
impl Stepwise {
    fn join(&mut self, me: Peer, seed: Peer) -> Result<(), String> {
        if let Ok(node) = self.idle(me) {
            if node.maintenance.standing() == Standing::Member && node.maintenance.neighbors().successor().is_some() {
                return Err(format!("{} is a member already", self.circle.name(me)));
            }
            node.maintenance = node.maintenance.without_pace();
            if node.maintenance.may_return() {
                node.maintenance.fired(Timer::Join);
            } else {
                node.maintenance.digest(Outcome::Reunite(Reunion::JoinThrough(seed.addr)));
            }
        } else {
            let maintenance = self.program(me, &[seed]);
            self.add(me, maintenance)?;
        }
        self.begin(me)
    }

    fn stabilize(&mut self, me: Peer) -> Result<(), String> {
        let name = self.circle.name(me);
        let node = self.idle(me)?;
        match node.maintenance.standing() {
            Standing::Member => {
                node.fire(Timer::Stabilize);
                self.begin(me)
            }
            standing => Err(format!("{name} does not stabilize while it is {standing:?}")),
        }
    }

    fn check(&mut self, me: Peer) -> Result<(), String> {
        let name = self.circle.name(me);
        let node = self.idle(me)?;
        if node.maintenance.neighbors().predecessor().is_none() {
            return Err(format!("{name} has no predecessor to check"));
        }
        node.fire(Timer::CheckPredecessor);
        self.begin(me)
    }

    fn reunite(&mut self, me: Peer, known: Peer) -> Result<(), String> {
        let name = self.circle.name(me);
        let maintenance = &self.idle(me)?.maintenance;
        match maintenance.standing() {
            Standing::Member => {
                let mut reunite = Conversation::Reunite(Reunite::new(maintenance.neighbors(), known.addr));
                let step = reunite.start();
                self.follow(me, reunite, step)
            }
            standing => Err(format!("{name} asks for no other ring while it is {standing:?}")),
        }
    }

    fn give_up(&mut self, me: Peer) -> Result<(), String> {
        let name = self.circle.name(me);
        let node = &mut self.idle(me)?.maintenance;
        if node.standing() != Standing::Isolated {
            return Err(format!("{name} has not lost its ring"));
        }
        while node.standing() == Standing::Isolated {
            node.fired(Timer::Join);
            node.next_conversation();
            node.digest(Outcome::Join(Joined::NoAnswer));
        }
        self.tell(me);
        self.forget_pace(me);
        Ok(())
    }

    fn rectify(&mut self, me: Peer) -> Result<(), String> {
        let name = self.circle.name(me);
        let node = self.idle(me)?;
        if !node.maintenance.is_notified() {
            return Err(format!("no notification waits at {name}"));
        }
        node.maintenance = node.maintenance.without_pace();
        self.begin(me)
    }

    /// Begins the conversation that the node wants.
    fn begin(&mut self, me: Peer) -> Result<(), String> {
        let name = self.circle.name(me);
        let node = self.node(me)?;
        let mut conversation = node.maintenance.next_conversation().ok_or(format!("{name} has nothing to say"))?;
        let step = conversation.start();
        self.follow(me, conversation, step)
    }

    fn follow(&mut self, me: Peer, conversation: Conversation, step: Step<Outcome>) -> Result<(), String> {
        let name = self.circle.name(me);
        let node = self.node(me)?;
        let (target, asked) = match step {
            Step::Ask(target, request) => (target, Asked::Question(request)),
            Step::Probe(target) | Step::Suspect(target) => (target, Asked::Probe),
            Step::Wait | Step::Rest { .. } => return Err(format!("{name} waits for nothing")),
            Step::Done(outcome) => {
                node.maintenance.digest(outcome);
                self.tell(me);
                self.forget_pace(me);
                return Ok(());
            }
        };
        node.talk = Some(Talk { conversation, target, asked });
        Ok(())
    }

    /// Sends the messages that a conversation left to send.
    fn tell(&mut self, me: Peer) {
        let Some(node) = self.nodes.get_mut(&me) else { return };
        for effect in node.maintenance.effects() {
            match effect {
                Effect::Tell(to, Request::Notify { .. }) => drop(self.notifications.insert((me, to))),
                Effect::Tell(to, Request::Meet { node, .. }) => drop(self.meetings.insert((me, to, node))),
                _ => {}
            }
        }
    }
}

/// Messages.
impl Stepwise {
    fn arrive(&mut self, me: Peer, at: Option<Peer>) -> Result<(), String> {
        let name = self.circle.name(me);
        let talk = self.node(me)?.talk.as_ref().ok_or(format!("{name} asks nothing"))?;
        let passed_on = at.filter(|_| matches!(talk.asked, Asked::Question(Request::FindSuccessor { .. })));
        let target = passed_on.map_or(talk.target, |at| Target::Address(at.addr));
        let request = match &talk.asked {
            Asked::Answered(_) => return Err(format!("the question of {name} has arrived already")),
            Asked::Question(request) => Some(request.clone()),
            Asked::Probe => None,
        };
        self.told(me, target.addr(), call(request.as_ref().unwrap_or(&Request::CheckPredecessor)));
        let answer = match request {
            Some(request) => self.serve(target, request),
            None => match self.serve(target, Request::CheckPredecessor) {
                Answer::Reply(_) => Answer::Alive,
                Answer::Refused(code) if code != Code::NotJoined => Answer::Alive,
                dead => dead,
            },
        };
        if let Some(talk) = &mut self.node(me)?.talk {
            talk.asked = Asked::Answered(answer);
        }
        Ok(())
    }

    fn answer(&mut self, me: Peer) -> Result<(), String> {
        let name = self.circle.name(me);
        let node = self.node(me)?;
        match node.talk.take() {
            Some(Talk { mut conversation, target, asked: Asked::Answered(answer) }) => {
                self.answered(target.addr(), me);
                let step = conversation.resume(answer);
                self.follow(me, conversation, step)
            }
            talk => {
                node.talk = talk;
                Err(format!("no answer is on its way to {name}"))
            }
        }
    }

    fn suspect(&mut self, me: Peer) -> Result<(), String> {
        let name = self.circle.name(me);
        let Talk { mut conversation, asked, .. } = self.node(me)?.talk.take().ok_or(format!("{name} asks nothing"))?;
        // A node that already probes decides for itself what silence means.
        let silence = if matches!(asked, Asked::Probe) { Answer::Silent } else { Answer::Gone };
        let step = conversation.resume(silence);
        self.follow(me, conversation, step)
    }

    fn notify(&mut self, from: Peer, to: Peer) -> Result<(), String> {
        let (name, of) = (self.circle.name(from), self.circle.name(to));
        if !self.notifications.remove(&(from, to)) {
            return Err(format!("no notification of {name} is on its way to {of}"));
        }
        self.told(from, to.addr, "Notify");
        // Lost if `to` is not up.
        self.serve(to.into(), Request::Notify { me: from });
        Ok(())
    }

    fn meet(&mut self, from: Peer, to: Peer, node: Peer) -> Result<(), String> {
        if !self.meetings.remove(&(from, to, node)) {
            return Err(format!(
                "{} tells {} nothing of {}",
                self.circle.name(from),
                self.circle.name(to),
                self.circle.name(node)
            ));
        }
        self.told(from, to.addr, "Meet");
        self.serve(to.into(), Request::Meet { node, until: None });
        Ok(())
    }

    fn mark_dead(&mut self, me: Peer, dead: Peer) -> Result<(), String> {
        self.node(me)?.maintenance.forget(&[dead]);
        self.tell(me);
        Ok(())
    }

    fn admission(&mut self, me: Peer) -> Result<(), String> {
        let name = self.circle.name(me);
        let node = self.node(me)?;
        if node.maintenance.admitted().is_none() {
            return Err(format!("{name} has admitted no joiner"));
        }
        node.maintenance.fired(Timer::Admission);
        self.forget_pace(me);
        Ok(())
    }

    /// Commands decide when something happens, not the pace that a node has worked out.
    fn forget_pace(&mut self, me: Peer) {
        if let Some(node) = self.nodes.get_mut(&me) {
            node.maintenance = node.maintenance.without_pace();
        }
    }

    fn crash(&mut self, me: Peer) -> Result<(), String> {
        self.node(me)?;
        self.nodes.remove(&me);
        Ok(())
    }

    fn leave(&mut self, me: Peer) -> Result<(), String> {
        let told = self.node(me)?.maintenance.leave();
        self.nodes.remove(&me);
        self.recorded.leaves(me);
        for (to, request) in told {
            self.serve(to.into(), request);
        }
        Ok(())
    }

    /// The answer to a request at its target.
    fn serve(&mut self, target: Target, request: Request) -> Answer {
        let at = self.nodes.keys().copied().find(|peer| peer.addr == target.addr());
        let (Some(at), Request::FindSuccessor { key, hops, want_path }) = (at, &request) else {
            let node = at.and_then(|at| Some((at, self.nodes.get_mut(&at)?)));
            let Some((at, node)) = node else { return Answer::Gone };
            let Some(heard) = heard(&request) else { return Answer::Refused(Code::BadRequest) };
            let answer = node.maintenance.serve(&heard, false);
            self.tell(at);
            return read(&request, answer, at, self.circle.r);
        };
        let found = self.find(at, Query { key: *key, scope: Scope::Ring { hops: *hops }, want_path: *want_path });
        let answer = found.map(|Found { owner, path, .. }| Response::Successor { owner, path });
        read(&request, answer, at, self.circle.r)
    }

    /// A lookup that takes no time.
    fn find(&mut self, at: Peer, query: Query) -> Result<Found, Code> {
        let neighbors = match self.nodes.get(&at) {
            Some(node) => node.maintenance.vantage().cloned().map_err(Code::from)?,
            None => return Err(Code::NotJoined),
        };
        let mut lookup = Lookup::new(query, neighbors, Vec::new());
        let mut step = lookup.start();
        loop {
            let (target, request) = match step {
                Step::Done(finding) => return finding.owner().map_err(Code::from),
                Step::Ask(target, request) => (target, request),
                Step::Probe(target) | Step::Suspect(target) => (target, Request::CheckPredecessor),
                Step::Wait => return Err(Code::Unspecified),
                Step::Rest { .. } => return Err(Code::Busy),
            };
            step = lookup.resume(self.serve(target, request));
        }
    }

    fn node(&mut self, me: Peer) -> Result<&mut Node, String> {
        let name = self.circle.name(me);
        self.nodes.get_mut(&me).ok_or_else(|| format!("{name} is not up"))
    }

    /// A node that holds no conversation.
    fn idle(&mut self, me: Peer) -> Result<&mut Node, String> {
        let name = self.circle.name(me);
        let node = self.node(me)?;
        if node.talk.is_some() { Err(format!("{name} holds a conversation already")) } else { Ok(node) }
    }

    fn draw(&self) -> String {
        let line = |(me, node): (&Peer, &Node)| {
            let target = |talk: &Talk| crate::sim::nodes::number_of(talk.target.addr());
            let talk = match &node.talk {
                None => String::new(),
                Some(talk) => match &talk.asked {
                    Asked::Question(_) => format!(" asks {}", target(talk)),
                    Asked::Probe => format!(" probes {}", target(talk)),
                    Asked::Answered(_) => format!(" is answered by {}", target(talk)),
                },
            };
            format!("{}{talk}\n", draw::node(*me, &node.maintenance, self.circle.bits))
        };
        let name = |peer: &Peer| self.circle.name(*peer);
        let notifications = self.notifications.iter().map(|(me, to)| format!("{} notifies {}\n", name(me), name(to)));
        self.nodes.iter().map(line).chain(notifications).collect()
    }
}

impl Node {
    /// Fires only this timer.
    fn fire(&mut self, timer: Timer) {
        self.maintenance = self.maintenance.without_pace();
        self.maintenance.fired(timer);
    }
}

#[cfg(test)]
mod tests;
