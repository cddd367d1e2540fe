//! Services of programs on simulated nodes, and their calls.

use bytes::Bytes;

use super::World;
use crate::protocol::id::Id;
use crate::protocol::ownership::KeyRange;
use crate::protocol::peer::Peer;
use crate::protocol::service::{CallError, Refusal, ServiceCall};

impl World {
    /// Has the program of a node offer a service, until it ends; returns whether it is up.
    pub fn serve(
        &mut self,
        at: Peer,
        service: &str,
        answer: impl FnMut(ServiceCall, Option<KeyRange>) -> Result<Bytes, Refusal> + Send + 'static,
    ) -> bool {
        let host = self.host_mut(at);
        host.map(|host| host.serve(service, Box::new(answer))).is_some()
    }

    /// Begins a call of a node's program to a service of another node, or of this one. [`answered`](Self::take_answered)
    /// will hold what comes of it, under the number that is returned; `None` if the node is not up.
    pub fn call(&mut self, from: Peer, to: Peer, service: &str, body: impl Into<Bytes>) -> Option<u64> {
        self.begin_call(from, Ok(to), (service, body.into()))
    }

    /// The same to the owner of a key, which is looked up again as by [`Node::call_owner`](crate::Node::call_owner).
    pub fn call_owner(&mut self, from: Peer, key: Id, service: &str, body: impl Into<Bytes>) -> Option<u64> {
        self.begin_call(from, Err(key), (service, body.into()))
    }

    fn begin_call(&mut self, from: Peer, to: Result<Peer, Id>, call: (&str, Bytes)) -> Option<u64> {
        let slot = *self.up.get(&from)?;
        let host = self.hosts[slot.index()].as_mut()?;
        let number = self.env.number();
        host.call(number, to, call, &mut self.env);
        Some(number)
    }

    /// Takes the answer to a call; `None` while it is under way, and for ever if the node that called has ended.
    pub fn take_answered(&mut self, number: u64) -> Option<Result<Bytes, CallError>> {
        self.env.answered.remove(&number)
    }
}
