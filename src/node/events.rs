//! Notifies programs of changes in a node, so that they need not poll.

use futures::stream::{BoxStream, StreamExt, unfold};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use crate::protocol::maintenance::{Effect, Maintenance};
use crate::protocol::ownership::{Event, Observer, Ownership};

/// At most this many events wait for a slow subscriber; beyond, the oldest are lost.
const WAITING: usize = 256;

/// Tells programs what changes. Only nodes with a subscriber have one.
pub struct Watchers {
    observer: Observer,
    events: broadcast::Sender<Event>,
    ownership: watch::Sender<Ownership>,
}

/// The receiving ends of both for one subscriber.
pub type Watched = (broadcast::Receiver<Event>, watch::Receiver<Ownership>);

impl Watchers {
    /// Tells of changes from now on.
    pub fn new(node: &Maintenance) -> Watchers {
        let observer = Observer::new(node);
        let ownership = watch::Sender::new(observer.ownership().clone());
        Watchers { observer, events: broadcast::Sender::new(WAITING), ownership }
    }

    /// Adds a subscriber.
    pub fn join(&self) -> Watched {
        (self.events.subscribe(), self.ownership.subscribe())
    }

    /// Tells what has changed since the last call, and what these effects say.
    pub fn look(&mut self, node: &Maintenance, effects: &[Effect]) {
        for event in self.observer.look(node, effects) {
            // An error means that there is no subscriber just now.
            let _ = self.events.send(event);
        }
        let now = self.observer.ownership();
        self.ownership.send_if_modified(|told| {
            let is_new = told != now;
            told.clone_from(now);
            is_new
        });
    }
}

/// The events in order. A lagging subscriber hears how many it missed. The stream ends with the node.
pub fn stream(events: broadcast::Receiver<Event>) -> BoxStream<'static, Event> {
    let next = |mut events: broadcast::Receiver<Event>| async {
        let event = match events.recv().await {
            Ok(event) => event,
            Err(RecvError::Lagged(lost)) => Event::Lagged(lost),
            Err(RecvError::Closed) => return None,
        };
        Some((event, events))
    };
    unfold(events, next).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_is_slow_hears_how_much_it_has_missed_and_the_rest() {
        let (sender, receiver) = broadcast::channel(WAITING);
        for _ in 0..WAITING + 44 {
            sender.send(Event::Alone).unwrap();
        }
        drop(sender);
        let heard: Vec<Event> = stream(receiver).collect().await;
        assert_eq!(heard.first(), Some(&Event::Lagged(44)));
        assert_eq!(heard.len(), 1 + WAITING);
    }
}
