//! Services: what programs of nodes ask each other, beside the ring.
//!
//! It stands for `src/net/channel` and for the calls of [`Node`](crate::Node). A channel is there at once, and takes no time
//! of a thread. Only members answer.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rand::RngExt;
use tokio_util::codec::Decoder;

use super::super::environment::Environment;
use super::super::events::{Content, Happening, Place, Post};
use super::Host;
use super::run::{Purpose, Sought};
use crate::protocol::id::Id;
use crate::protocol::lookup::{Finding, LookupFailure, Query};
use crate::protocol::ownership::{KeyRange, range};
use crate::protocol::peer::Peer;
use crate::protocol::service::{CallError, Refusal, ServiceCall, rest};
use crate::wire::{ChannelCodec, ChannelFrame, Fault};

/// Answers calls at one node; is told the keys that the node takes for its own then.
pub type Service = Box<dyn FnMut(ServiceCall, Option<KeyRange>) -> Result<Bytes, Refusal> + Send>;

/// A call of this node's program that is under way.
pub(super) struct Calling {
    service: String,
    body: Bytes,
    /// The key whose owner is to answer; none if a certain node is.
    key: Option<Id>,
    until: Duration,
    /// How often it has rested.
    rests: u32,
    /// The node that was asked, and the number of the frame.
    asked: Option<(Peer, u64)>,
    /// Why the last attempt has failed.
    failed: Option<CallError>,
}

impl Host {
    /// Offers a service, in place of another of that name.
    pub(in crate::sim) fn serve(&mut self, name: &str, service: Service) {
        self.services.insert(name.into(), service);
    }

    /// Begins a call to a node, or to the owner of a key; its answer will be found under this number.
    pub(in crate::sim) fn call(
        &mut self,
        number: u64,
        to: Result<Peer, Id>,
        (service, body): (&str, Bytes),
        env: &mut Environment,
    ) {
        let until = env.now + self.config.call_timeout;
        env.schedule(self.config.call_timeout, self.place, Happening::CallDeadline(number));
        let (service, key) = (service.into(), to.err());
        self.calling.insert(number, Calling { service, body, key, until, rests: 0, asked: None, failed: None });
        match to {
            Ok(peer) => self.call_peer(number, peer, env),
            Err(_) => self.find_owner(number, env),
        }
    }

    /// Looks up who is to answer.
    pub(super) fn find_owner(&mut self, number: u64, env: &mut Environment) {
        let Some(key) = self.calling.get(&number).and_then(|call| call.key) else { return };
        let sought = Sought::by(self.config.lookup_style, Query::begun(key, false));
        self.resolve(sought, self.config.lookup_timeout, Purpose::Service(number), env);
    }

    /// The owner was found, or not.
    pub(super) fn found_owner(&mut self, number: u64, found: Result<Finding, LookupFailure>, env: &mut Environment) {
        match found.and_then(Finding::owner) {
            Ok(found) => self.call_peer(number, found.owner, env),
            Err(why) => self.call_ended(number, Err(CallError::Lookup(why)), env),
        }
    }

    fn call_peer(&mut self, number: u64, peer: Peer, env: &mut Environment) {
        let frame = env.number();
        let Some(call) = self.calling.get_mut(&number) else { return };
        call.asked = Some((peer, frame));
        let (key, body, service) = (call.key, call.body.clone(), call.service.clone());
        let patience = call.until.saturating_sub(env.now);
        if peer == self.me {
            let answer = self.answer_service(&service, ServiceCall { from: Some(peer), key, body });
            return self.call_ended(number, answer.map_err(|(fault, why)| failure(fault, why, service)), env);
        }
        let to = env.slot(peer.addr);
        self.channels.insert(to);
        let frame = ChannelFrame::Call { number: frame, service, body, patience, key };
        match frame.bytes() {
            Ok(bytes) => {
                let content = Content::Channel { caller: self.me, callee: peer.id, bytes };
                env.post(Post { from: self.place, to, generation: None, content });
            }
            Err(_) => self.call_ended(number, Err(CallError::TooLarge(self.calling[&number].body.len())), env),
        }
    }

    /// What another program asks or answers.
    pub(super) fn channel(&mut self, from: Place, caller: Peer, bytes: BytesMut, env: &mut Environment) {
        match decode(bytes) {
            Some(ChannelFrame::Call { number, service, body, key, .. }) => {
                let answer = self.answer_service(&service, ServiceCall { from: Some(caller), key, body });
                self.channels.insert(from.slot);
                if let Ok(bytes) = (ChannelFrame::Return { number, answer }).bytes() {
                    let content = Content::Channel { caller: self.me, callee: caller.id, bytes };
                    env.post(Post { from: self.place, to: from.slot, generation: Some(from.generation), content });
                }
            }
            Some(ChannelFrame::Return { number, answer }) => {
                let Some((call, service)) = self.call_of_frame(number) else { return };
                self.call_ended(call, answer.map_err(|(fault, why)| failure(fault, why, service)), env);
            }
            Some(ChannelFrame::Cancel(_)) | None => {}
        }
    }

    fn answer_service(&mut self, name: &str, call: ServiceCall) -> Result<Bytes, (Fault, String)> {
        let keys = range(&self.maintenance);
        let service = self.services.get_mut(name).ok_or((Fault::NoService, String::new()))?;
        service(call, keys).map_err(|refusal| match refusal {
            Refusal::NotOwner => (Fault::NotOwner, String::new()),
            Refusal::Failed(why) => (Fault::Failed, why),
        })
    }

    /// The node of that frame is not there, or another lives there.
    pub(super) fn channel_refused(&mut self, frame: u64, env: &mut Environment) -> bool {
        let Some((number, _)) = self.call_of_frame(frame) else { return false };
        let Some((peer, _)) = self.calling[&number].asked else { return false };
        self.call_ended(number, Err(CallError::Gone(peer)), env);
        true
    }

    /// A channel has broken.
    pub(super) fn channel_lost(&mut self, from: Place, env: &mut Environment) {
        self.channels.remove(&from.slot);
        let addr = env.address(from.slot);
        let on_it = |call: &Calling| call.asked.is_some_and(|(peer, _)| peer.addr == addr);
        let lost: Vec<u64> = self.calling.iter().filter(|(_, call)| on_it(call)).map(|(number, _)| *number).collect();
        for number in lost {
            self.call_ended(number, Err(CallError::Lost), env);
        }
    }

    /// The time of a call is over.
    pub(super) fn call_out_of_time(&mut self, number: u64, env: &mut Environment) {
        if let Some(call) = self.calling.remove(&number) {
            env.answered.insert(number, Err(call.failed.unwrap_or(CallError::Timeout)));
        }
    }

    fn call_of_frame(&self, frame: u64) -> Option<(u64, String)> {
        let mut calls = self.calling.iter();
        let (number, call) = calls.find(|(_, call)| call.asked.is_some_and(|(_, asked)| asked == frame))?;
        Some((*number, call.service.clone()))
    }

    /// An attempt has ended; a call to the owner of a key is repeated if it was not delivered and another lookup may help.
    fn call_ended(&mut self, number: u64, answer: Result<Bytes, CallError>, env: &mut Environment) {
        let Some(call) = self.calling.get_mut(&number) else { return };
        call.asked = None;
        match answer {
            Err(why) if call.key.is_some() && (why.may_move() || matches!(why, CallError::Lookup(_))) => {
                let after = rest(call.rests).mul_f64(env.rng.random_range(0.5..1.5));
                call.rests += 1;
                call.failed = Some(why);
                env.schedule(after, self.place, Happening::CallAgain(number));
            }
            answer => {
                self.calling.remove(&number);
                env.answered.insert(number, answer);
            }
        }
    }
}

/// Why the other end does not answer.
fn failure(fault: Fault, why: String, service: String) -> CallError {
    match fault {
        Fault::Failed => CallError::Failed(why),
        Fault::NotOwner => CallError::NotOwner,
        Fault::NoService => CallError::NoService(service),
        Fault::Overloaded => CallError::Overloaded,
    }
}

/// The frame that these bytes are.
fn decode(mut bytes: BytesMut) -> Option<ChannelFrame> {
    ChannelCodec::default().decode(&mut bytes).ok().flatten()
}

/// The number of a call, if these bytes are one.
pub(in crate::sim) fn number_of_call(bytes: &BytesMut) -> Option<u64> {
    match decode(bytes.clone()) {
        Some(ChannelFrame::Call { number, .. }) => Some(number),
        _ => None,
    }
}
