//! The events of a node as a stream (server-sent events, <https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use http_body_util::{Either, StreamBody};
use hyper::StatusCode;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::answer::{Answer, refuse, with};
use super::{Shown, api};
use crate::client::json::peer;
use crate::protocol::ownership::Event;

/// A stream on which nothing has happened for this long gets a comment, so that a client that is gone is noticed.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// The events of the first node, from now on.
pub(super) async fn answer(shown: &Shown) -> Answer {
    let Some((node, _)) = shown.first() else { return api::not_a_member() };
    let Ok(place) = shown.streams.clone().try_acquire_owned() else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "too many clients follow the events");
    };
    // A handle that waits with the client would keep the node alive.
    let events = node.events().await;
    drop(node);
    let begin = stream::iter([Bytes::from_static(b": events of this node\n\n")]);
    let texts = begin.chain(texts(events)).map(move |text| {
        let _held = &place;
        Ok(Frame::data(text))
    });
    with(StatusCode::OK, "text/event-stream", Either::Right(StreamBody::new(texts.boxed())))
}

fn texts(events: impl Stream<Item = Event> + Unpin + Send + 'static) -> impl Stream<Item = Bytes> + Send {
    stream::unfold(events, async |mut events| {
        let text = match timeout(SIGN_OF_LIFE, events.next()).await {
            Ok(Some(event)) => text(&event, SystemTime::now()),
            Ok(None) => return None,
            Err(_) => ":\n\n".into(),
        };
        Some((Bytes::from(text), events))
    })
}

fn text(event: &Event, now: SystemTime) -> String {
    let mut data = data(event);
    // To the millisecond.
    let at = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as f64 / 1e3;
    data["at"] = json!(at);
    format!("event: {}\ndata: {data}\n\n", name(event))
}

/// The word for an event.
fn name(event: &Event) -> &'static str {
    match event {
        Event::Joined => "joined",
        Event::Left => "left",
        Event::PredecessorChanged(_) => "predecessor_changed",
        Event::SuccessorsChanged(_) => "successors_changed",
        Event::RangeChanged(_) => "range_changed",
        Event::Suspected(_) => "suspected",
        Event::Dead(_) => "dead",
        Event::Alone => "alone",
        Event::Reunited => "reunited",
        Event::Lagged(_) => "lagged",
    }
}

fn data(event: &Event) -> Value {
    let mut data = json!({ "event": name(event) });
    match event {
        Event::Joined | Event::Left | Event::Alone | Event::Reunited => {}
        Event::PredecessorChanged(predecessor) => data["predecessor"] = json!(predecessor.map(peer)),
        Event::SuccessorsChanged(successors) => data["successors"] = successors.iter().copied().map(peer).collect(),
        Event::RangeChanged(range) => {
            data["range"] = json!(
                range.map(|range| { json!({ "behind": range.behind.to_string(), "up_to": range.up_to.to_string() }) })
            );
        }
        Event::Suspected(node) | Event::Dead(node) => data["node"] = peer(*node),
        Event::Lagged(lost) => data["lost"] = json!(lost),
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::addr::Addr;
    use crate::protocol::id::Bits;
    use crate::protocol::peer::Peer;

    #[test]
    fn event_is_a_name_and_a_line_of_data() {
        let dead = Peer::at(Addr::new([127, 0, 0, 1], 4170), Bits::FULL);
        let told = text(&Event::Dead(dead), UNIX_EPOCH + Duration::from_millis(1500));
        let data = told.strip_prefix("event: dead\ndata: ").and_then(|data| data.strip_suffix("\n\n")).unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data, json!({ "event": "dead", "at": 1.5, "node": peer(dead) }));
    }
}
