//! What applications offer at a node.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::protocol::id::Id;
use crate::protocol::peer::Peer;

/// What one application asks another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCall {
    /// The node that asks, as it says itself: nobody has checked it.
    pub from: Option<Peer>,
    /// The key whose owner the caller takes this node for, of [`Node::call_owner`](crate::Node::call_owner). Whether it is may have changed since it
    /// was looked up: [`Node::ownership`](crate::Node::ownership) tells.
    pub key: Option<Id>,
    /// At most 4 MiB.
    pub body: Bytes,
}

/// Why an application does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The key is somebody else's: [`Node::call_owner`](crate::Node::call_owner) looks it up again.
    NotOwner,
    /// For a reason of its own, which the caller hears; at most 255 bytes of it.
    Failed(String),
}

/// What comes of a call.
pub type Answer = Result<Bytes, Refusal>;

/// Answers calls.
pub trait Service: Send + Sync {
    /// Begins to answer. It is dropped when nobody waits for the answer any more.
    fn call(&self, call: ServiceCall) -> BoxFuture<'static, Answer>;
}

impl<F, R> Service for F
where
    F: Fn(ServiceCall) -> R + Send + Sync,
    R: Future<Output = Answer> + Send + 'static,
{
    fn call(&self, call: ServiceCall) -> BoxFuture<'static, Answer> {
        Box::pin(self(call))
    }
}

/// What is offered at one node, by name. Any thread may ask.
pub struct Services {
    offered: RwLock<Offered>,
    channels: Arc<Semaphore>,
}

#[derive(Default)]
struct Offered {
    services: HashMap<String, (Arc<dyn Service>, Handle)>,
    /// Where channels are read: the runtime in which a service was offered last.
    runtime: Option<Handle>,
}

/// A call that is being answered, until it is dropped.
pub struct Answering(JoinHandle<Answer>);

/// Channels that others have made, at once: each may hold some MiB.
const MAX_CHANNELS: usize = 64;

impl Default for Services {
    fn default() -> Services {
        Services { offered: RwLock::default(), channels: Arc::new(Semaphore::new(MAX_CHANNELS)) }
    }
}

/// Why there is no channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unopened {
    NothingOffered,
    TooMany,
}

impl Services {
    /// Offers a service, in place of another of that name; it answers on this runtime.
    pub fn offer(&self, name: String, service: Arc<dyn Service>, runtime: Handle) {
        let mut offered = self.offered.write().unwrap_or_else(PoisonError::into_inner);
        offered.runtime = Some(runtime.clone());
        offered.services.insert(name, (service, runtime));
    }

    /// Offers it no more. Says whether it was offered.
    pub fn withdraw(&self, name: &str) -> bool {
        self.offered.write().unwrap_or_else(PoisonError::into_inner).services.remove(name).is_some()
    }

    /// Where a channel is read, and its place among those that there may be.
    pub fn open(&self) -> Result<(Handle, OwnedSemaphorePermit), Unopened> {
        let offered = self.offered.read().unwrap_or_else(PoisonError::into_inner);
        let runtime = offered.runtime.clone().filter(|_| !offered.services.is_empty());
        let runtime = runtime.ok_or(Unopened::NothingOffered)?;
        let place = self.channels.clone().try_acquire_owned().map_err(|_| Unopened::TooMany)?;
        Ok((runtime, place))
    }

    /// Has the service of that name answer; `None` if there is none.
    pub fn call(&self, name: &str, call: ServiceCall) -> Option<Answering> {
        let offered = self.offered.read().unwrap_or_else(PoisonError::into_inner);
        let (service, runtime) = offered.services.get(name)?.clone();
        drop(offered);
        Some(Answering(runtime.spawn(async move { service.call(call).await })))
    }
}

impl Answering {
    /// What comes of it. A service that panicked, or whose runtime has ended, has failed.
    pub async fn answer(mut self) -> Answer {
        let answer = (&mut self.0).await;
        answer.unwrap_or_else(|_| Err(Refusal::Failed("the service ended without an answer".into())))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.abort();
    }
}
