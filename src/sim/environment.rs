//! What a node does not control: time, chance, and the delivery of its messages.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio_util::codec::{Decoder, Encoder};

use super::events::{Content, Event, Happening, Place, Post, Slot};
use super::log::Log;
use super::network::{Fate, Network};
use super::nodes;
use super::queue::Queue;
use super::recording::Recorder;
use super::storm::threads::Threads;
use super::tally::Tally;
use crate::protocol::addr::Addr;
use crate::protocol::id::{Bits, Id};
use crate::protocol::lookup::{Found, LookupFailure};
use crate::protocol::peer::Peer;
use crate::protocol::rpc::Request;
use crate::protocol::service::CallError;
use crate::wire::{Frame, FrameCodec};

/// Time, chance, and the messages on their way.
pub struct Environment {
    /// Decides everything random. One seed is one history.
    pub rng: ChaCha8Rng,
    /// Decides whether and when each message arrives.
    pub network: Network,
    /// Counts of what has happened so far.
    pub tally: Tally,
    /// The fingerprint of the history so far, and its trace, if wanted.
    pub log: Log,
    /// Records what happens, if wanted.
    pub(super) recorder: Option<Box<Recorder>>,
    pub(super) bits: Bits,
    pub(super) now: Duration,
    pub(super) queue: Queue<Event>,
    /// The threads that nodes share, where work takes time.
    pub(super) threads: Threads,
    /// The results of lookups that were begun from outside, by their numbers.
    pub(super) found: BTreeMap<u64, Result<Found, LookupFailure>>,
    /// The answers to calls of programs, by their numbers.
    pub(super) answered: BTreeMap<u64, Result<Bytes, CallError>>,
    /// Whether neighbours of some node have changed since this was last taken.
    pub(super) changed: bool,
    /// Lists that were just sent: the receiver, the number of the call that they answer, and the list, with its sender
    /// in front.
    pub(super) said: Vec<(Place, u64, Vec<Peer>)>,
    /// Suspicions since these were last taken, because of two silences or of an answer: the node that is taken for
    /// dead, and the node that does so. The suspected node may be alive.
    pub(super) suspected: Vec<(Peer, Peer)>,
    /// Whether nodes leave their tables as they are: see [`World::freeze`](super::World::freeze).
    pub(super) frozen: bool,
    /// Requests that were refused by dead nodes while tables were frozen.
    pub(super) vain: Vec<(Peer, Request)>,
    slots: BTreeMap<Addr, Slot>,
    addresses: Vec<Addr>,
    /// The last number given to a call, run, timer or the like.
    last_number: u64,
    codec: FrameCodec,
}

impl Environment {
    pub(super) fn new(seed: u64, bits: Bits) -> Environment {
        Environment {
            rng: ChaCha8Rng::seed_from_u64(seed),
            network: Network::new(),
            tally: Tally::default(),
            log: Log::default(),
            recorder: None,
            bits,
            now: Duration::ZERO,
            queue: Queue::default(),
            threads: Threads::default(),
            found: BTreeMap::new(),
            answered: BTreeMap::new(),
            changed: false,
            said: Vec::new(),
            suspected: Vec::new(),
            frozen: false,
            vain: Vec::new(),
            slots: BTreeMap::new(),
            addresses: Vec::new(),
            last_number: 0,
            codec: FrameCodec::default(),
        }
    }

    /// The virtual time since the world began.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// The slot of an address.
    pub fn slot(&mut self, addr: Addr) -> Slot {
        let Environment { slots, addresses, .. } = self;
        *slots.entry(addr).or_insert_with(|| {
            addresses.push(addr);
            // An address is an IPv4 address and a port, and memory is full before there are 2^32 of them.
            Slot(addresses.len() as u32 - 1)
        })
    }

    pub(super) fn address(&self, slot: Slot) -> Addr {
        self.addresses[slot.index()]
    }

    pub(super) fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub(super) fn schedule(&mut self, after: Duration, place: Place, happening: Happening) {
        let event = Event { slot: place.slot, generation: Some(place.generation), happening };
        self.queue.push(self.now + after, event);
    }

    /// Schedules an event after about this time: nodes that start together do not stay in step.
    pub(super) fn schedule_jittered(&mut self, after: Duration, place: Place, happening: Happening) {
        let after = if after.is_zero() { after } else { after.mul_f64(self.rng.random_range(0.75..1.25)) };
        self.schedule(after, place, happening);
    }

    /// Hands a message to the network.
    pub(super) fn post(&mut self, post: Post) {
        let certain = matches!(post.content, Content::Severed | Content::ChannelLost);
        self.tally.messages += 1;
        match self.network.fate(post.from.slot, post.to, certain, &mut self.rng) {
            Fate::Lost => self.tally.lost += 1,
            Fate::Waits => {
                self.tally.held += 1;
                self.network.wait(post);
            }
            Fate::Arrives(once, again) => {
                if let Some(again) = again {
                    self.tally.duplicated += 1;
                    self.arrive(again, post.clone());
                }
                self.arrive(once, post);
            }
        }
    }

    fn arrive(&mut self, after: Duration, post: Post) {
        let Post { from, to, generation, content } = post;
        let happening = Happening::Heard(from, content);
        self.queue.push(self.now + after, Event { slot: to, generation, happening });
    }

    /// A frame as bytes; `None` if it is too long.
    pub(super) fn encode(&mut self, frame: Frame) -> Option<BytesMut> {
        // Each frame gets its own small buffer: the decoder would reserve as much as for a large one.
        let mut bytes = BytesMut::new();
        self.codec.encode(frame, &mut bytes).ok()?;
        self.tally.bytes += bytes.len() as u64;
        Some(bytes)
    }

    /// Decodes a frame. What was encoded here can be decoded: anything else is a fault of the codec, and counted.
    pub(super) fn decode(&mut self, mut bytes: BytesMut) -> Option<Frame> {
        match self.codec.decode(&mut bytes) {
            Ok(Some(frame)) if bytes.is_empty() => Some(frame),
            _ => {
                self.tally.garbled += 1;
                None
            }
        }
    }

    /// Adds an event to the fingerprint of the history.
    pub(super) fn fingerprint(&mut self, slot: Slot, happening: &Happening) {
        let Environment { log, now, .. } = self;
        log.mix(now.as_nanos() as u64);
        let (kind, detail) = match happening {
            Happening::Heard(
                from,
                Content::Call(_, bytes) | Content::Return(bytes) | Content::Channel { bytes, .. },
            ) => {
                log.mix_bytes(bytes);
                (0, u64::from(from.slot.0))
            }
            Happening::Heard(_, Content::Refused(number)) => (1, *number),
            Happening::Heard(from, Content::Severed) => (2, u64::from(from.slot.0)),
            Happening::Alarm { alarm, .. } => (3, *alarm),
            Happening::Deadline(run) => (4, *run),
            Happening::Fire(timer, number) => (5 + (*timer as u64), *number),
            Happening::FixFinger(number) => (100, *number),
            Happening::End => (101, 0),
            Happening::LookUp { number, .. } => (102, *number),
            Happening::Verdict { run, .. } => (103, *run),
            Happening::Heard(from, Content::Opened) => (104, u64::from(from.slot.0)),
            Happening::Turn(thread) | Happening::Beat(thread, _) => (105, *thread as u64),
            Happening::Heard(from, Content::ChannelLost) => (106, u64::from(from.slot.0)),
            Happening::CallDeadline(number) => (107, *number),
            Happening::CallAgain(number) => (108, *number),
        };
        log.mix(u64::from(slot.0) << 8 | kind);
        log.mix(detail);
    }

    pub(super) fn name(&self, id: Id) -> String {
        nodes::name(id, self.bits)
    }

    /// Adds a line to the trace, with the time.
    pub(super) fn note(&mut self, line: impl FnOnce(&Environment) -> String) {
        if self.log.is_traced() {
            let line = format!("# {:>10.6} {}", self.now.as_secs_f64(), line(self));
            self.log.note(|| line);
        }
    }
}
