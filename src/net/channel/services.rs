//! What applications offer at a node.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::protocol::addr::network;
use crate::protocol::service::{Refusal, ServiceCall};

/// The result of a call.
pub type Answer = Result<Bytes, Refusal>;

/// Answers calls.
pub trait Service: Send + Sync {
    /// Begins to answer. The future is dropped when the caller no longer waits.
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

/// The services of one node, by name. Any thread may call them.
#[derive(Default)]
pub struct Services {
    offered: RwLock<Offered>,
    /// The largest body that any of them takes, in bytes: a caller can keep no larger one in memory here.
    largest_body: Arc<AtomicUsize>,
    /// How many channels were made from each address.
    channels: Mutex<HashMap<IpAddr, usize>>,
}

/// The place of one channel among those that there may be; freed when dropped.
pub struct Place {
    services: Arc<Services>,
    from: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut channels = self.services.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut held) = channels.entry(self.from) {
            *held.get_mut() -= 1;
            if *held.get() == 0 {
                held.remove();
            }
        }
    }
}

#[derive(Default)]
struct Offered {
    services: HashMap<String, (Arc<dyn Service>, Handle)>,
    /// Where channels are read: the runtime of the last service offered.
    runtime: Option<Handle>,
}

/// A call that is being answered, until it is dropped.
pub struct Answering(JoinHandle<Answer>);

/// At most this many accepted channels at once: each may hold some MiB. One address, or IPv6 network of 64 bits, has at
/// most as many channels as are still free: alone it gets half of them.
const MAX_CHANNELS: usize = 64;

/// Why a channel was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unopened {
    NothingOffered,
    TooMany,
}

impl Services {
    /// Offers a service under this name, in place of any earlier one; it takes bodies of up to that many bytes, and
    /// answers on this runtime.
    pub fn offer(&self, name: String, service: Arc<dyn Service>, body: usize, runtime: Handle) {
        self.largest_body.fetch_max(body, Ordering::Relaxed);
        let mut offered = self.offered.write().unwrap_or_else(PoisonError::into_inner);
        offered.runtime = Some(runtime.clone());
        offered.services.insert(name, (service, runtime));
    }

    /// The largest body that any service offered so far takes, in bytes.
    pub fn largest_body(&self) -> Arc<AtomicUsize> {
        self.largest_body.clone()
    }

    /// Withdraws a service. Returns whether it was offered.
    pub fn withdraw(&self, name: &str) -> bool {
        self.offered.write().unwrap_or_else(PoisonError::into_inner).services.remove(name).is_some()
    }

    /// Opens a channel for a caller at this address: the runtime to read it on, and its place.
    pub fn open(self: &Arc<Self>, from: IpAddr) -> Result<(Handle, Place), Unopened> {
        let offered = self.offered.read().unwrap_or_else(PoisonError::into_inner);
        let runtime = offered.runtime.clone().filter(|_| !offered.services.is_empty());
        let runtime = runtime.ok_or(Unopened::NothingOffered)?;
        let from = network(from);
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, held) = (channels.values().sum::<usize>(), channels.get(&from).copied().unwrap_or_default());
        if held >= MAX_CHANNELS.saturating_sub(all) {
            return Err(Unopened::TooMany);
        }
        channels.insert(from, held + 1);
        Ok((runtime, Place { services: self.clone(), from }))
    }

    /// Calls the service of that name; `None` if there is none.
    pub fn call(&self, name: &str, call: ServiceCall) -> Option<Answering> {
        let offered = self.offered.read().unwrap_or_else(PoisonError::into_inner);
        let (service, runtime) = offered.services.get(name)?.clone();
        drop(offered);
        Some(Answering(runtime.spawn(async move { service.call(call).await })))
    }
}

impl Answering {
    /// The answer. A service that panicked, or whose runtime has ended, has failed.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_address_has_half_of_all_channels_and_gives_them_back() {
        let services = Arc::new(Services::default());
        let from = |n: u8| IpAddr::from([10, 0, 0, n]);
        assert_eq!(services.open(from(1)).err(), Some(Unopened::NothingOffered));
        let service = |_| async { Ok(Bytes::new()) };
        services.offer("any".into(), Arc::new(service), 7, Handle::current());
        assert_eq!(services.largest_body().load(Ordering::Relaxed), 7);
        let places: Vec<_> = std::iter::from_fn(|| services.open(from(1)).ok()).collect();
        assert_eq!(places.len(), MAX_CHANNELS / 2);
        let others: Vec<_> = (2..100).filter_map(|n| services.open(from(n)).ok()).collect();
        assert_eq!(others.len(), MAX_CHANNELS / 2);
        drop(places);
        assert!(services.open(from(1)).is_ok());
        drop(others);
        assert!(services.channels.lock().unwrap().is_empty(), "nothing is kept of those that are gone");
    }
}
