//! What a node and its ring tell programs, as JSON: the same as `chord state`, `lookup`, `trace`, `ring` and `check`
//! print with `--json`, asked of the first node of the process.

use std::borrow::Cow;

use futures::future::join_all;
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::answer::{Answer, data, refuse};
use super::{NODES_ANSWER_WITHIN, Shown, client};
use crate::client::check::check as check_ring;
use crate::client::json;
use crate::client::trace::trace as trace_key;
use crate::client::walk::{Reports, Visited, visit_at, walk};
use crate::node::Node;
use crate::protocol::id::{Bits, Id};

/// All paths that are answered.
pub(super) const PATHS: [&str; 11] = [
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/v1/state",
    "/api/v1/lookup?key=TEXT",
    "/api/v1/trace?key=TEXT",
    "/api/v1/ring",
    "/api/v1/check",
    "/api/v1/events",
    "/api/v1/openapi.json",
];

/// The longest key, in bytes.
const MAX_KEY: usize = 4096;

/// A walk for the page asks this many nodes for all that they know: some fingers lead to other rings.
const REPORTS: usize = 16;

const MANY_LOOKUPS: &str = "too many lookups are under way";

/// The parameters of a request.
pub(super) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// Why there is no answer: the status, and the reason in words.
struct Refused(StatusCode, String);

impl From<Refused> for Answer {
    fn from(Refused(status, why): Refused) -> Answer {
        refuse(status, why)
    }
}

fn bad(why: impl Into<String>) -> Refused {
    Refused(StatusCode::BAD_REQUEST, why.into())
}

fn not_now(why: impl ToString) -> Refused {
    Refused(StatusCode::SERVICE_UNAVAILABLE, why.to_string())
}

fn said(answer: Result<Value, Refused>) -> Answer {
    answer.map_or_else(Answer::from, |value| data(StatusCode::OK, &value))
}

impl<'a> Query<'a> {
    pub(super) fn of(query: Option<&'a str>) -> Query<'a> {
        Query(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).collect())
    }

    /// The only parameter that is allowed, if it is given, among these names.
    fn only(&self, names: &[&str]) -> Result<Option<(&str, &str)>, Refused> {
        match &self.0[..] {
            [] => Ok(None),
            [(name, value)] if names.contains(&name.as_ref()) => Ok(Some((name, value))),
            [(name, _)] => {
                let name: String = name.chars().take(80).collect();
                Err(bad(format!("{name:?} is no parameter here; there is {}", names.join(" or "))))
            }
            _ => Err(bad(format!("one parameter is expected: {}", names.join(" or ")))),
        }
    }

    /// The key to look up, as it was given and as an identifier.
    fn key(&self) -> Result<(&str, Id), Refused> {
        match self.only(&["key", "id"])? {
            Some((_, text)) if text.is_empty() || text.len() > MAX_KEY => {
                Err(bad(format!("the key has {} bytes; 1 to {MAX_KEY} are expected", text.len())))
            }
            Some(("id", text)) => match text.parse() {
                Ok(id) => Ok((text, id)),
                Err(_) => Err(bad("id is expected to have 40 hexadecimal digits")),
            },
            Some((_, text)) => Ok((text, Id::of_key(text.as_bytes(), Bits::FULL))),
            None => Err(bad("what to look up is expected as key=TEXT or id=HEX")),
        }
    }
}

/// There is no node to ask yet.
pub(super) fn not_a_member() -> Answer {
    no_member().into()
}

fn no_member() -> Refused {
    not_now("the node is not a member of a ring yet")
}

/// Whether the process lives and the actors of its nodes answer.
pub(super) async fn health(shown: &Shown) -> Answer {
    let nodes = shown.all();
    let asked = async {
        let _turn = shown.asks_all.lock().await;
        join_all(nodes.iter().map(Node::state)).await
    };
    match timeout(NODES_ANSWER_WITHIN, asked).await {
        Ok(states) if states.iter().all(Option::is_some) => {
            data(StatusCode::OK, &json!({ "healthy": true, "nodes": nodes.len() }))
        }
        Ok(_) => data(StatusCode::SERVICE_UNAVAILABLE, &json!({ "healthy": false, "why": "a node was stopped" })),
        Err(_) => {
            let why = format!("the actors of a node have not answered within {NODES_ANSWER_WITHIN:?}");
            data(StatusCode::SERVICE_UNAVAILABLE, &json!({ "healthy": false, "why": why }))
        }
    }
}

/// Whether others of the ring find the node.
pub(super) fn readiness(shown: &Shown) -> Answer {
    match shown.readiness.borrow().why_not() {
        None => data(StatusCode::OK, &json!({ "ready": true })),
        Some(why) => data(StatusCode::SERVICE_UNAVAILABLE, &json!({ "ready": false, "why": why })),
    }
}

/// What the node knows and has done; or another of the last walk, by its identifier.
pub(super) async fn state(shown: &Shown, query: &Query<'_>) -> Answer {
    said(state_of(shown, query).await)
}

async fn state_of(shown: &Shown, query: &Query<'_>) -> Result<Value, Refused> {
    let (node, _) = shown.first().ok_or_else(no_member)?;
    let wanted = query.only(&["node"])?.map(|(_, id)| id.parse::<Id>()).transpose();
    let wanted = wanted.map_err(|_| bad("node is expected to have 40 hexadecimal digits"))?;
    let Some(other) = wanted.filter(|id| *id != node.me().id) else {
        let began = Instant::now();
        let report = node.report().await.ok_or_else(|| not_now("the node was stopped"))?;
        return Ok(json::state(&Visited::of(report, began.elapsed())));
    };
    let last = shown.walk.last().await;
    let found = last.and_then(|walk| walk.nodes.iter().map(|node| node.peer).find(|peer| peer.id == other));
    // Whoever asks can't have this process call any other address.
    let nobody = || Refused(StatusCode::NOT_FOUND, "the last walk of the ring has found no such node".into());
    let other = found.ok_or_else(nobody)?;
    Ok(json::state(&visit_at(&client(), other.addr).await.map_err(not_now)?))
}

/// The owner of a key.
pub(super) async fn lookup(shown: &Shown, query: &Query<'_>) -> Answer {
    said(owner_of(shown, query).await)
}

async fn owner_of(shown: &Shown, query: &Query<'_>) -> Result<Value, Refused> {
    let (text, key) = query.key()?;
    let (node, _) = shown.first().ok_or_else(no_member)?;
    let _place = shown.lookups.try_acquire().map_err(|_| not_now(MANY_LOOKUPS))?;
    let began = Instant::now();
    let owner = node.lookup_id(key).await.map_err(not_now)?;
    Ok(json::lookup(text, Some(key), Ok((owner, began.elapsed()))))
}

/// The way of a lookup.
pub(super) async fn trace(shown: &Shown, query: &Query<'_>) -> Answer {
    said(way_of(shown, query).await)
}

async fn way_of(shown: &Shown, query: &Query<'_>) -> Result<Value, Refused> {
    let (text, key) = query.key()?;
    let (_, at) = shown.first().ok_or_else(no_member)?;
    let _place = shown.lookups.try_acquire().map_err(|_| not_now(MANY_LOOKUPS))?;
    let traced = trace_key(&client(), at, key).await.map_err(not_now)?;
    Ok(json::trace(text, &traced))
}

/// All nodes of the ring.
pub(super) async fn ring(shown: &Shown) -> Answer {
    let Some((_, at)) = shown.first() else { return not_a_member() };
    let (client, from) = (client(), [at]);
    let walk = walk(&client, &from, Reports::Of(REPORTS), |_, _| {});
    said(shown.walk.get(walk).await.map(|walk| json::ring(&walk)).map_err(not_now))
}

/// What is wrong with the ring.
pub(super) async fn check(shown: &Shown) -> Answer {
    let Some((_, at)) = shown.first() else { return not_a_member() };
    let (client, from) = (client(), [at]);
    let check = check_ring(&client, &from, false, |_, _| {});
    said(shown.check.get(check).await.map(|checked| json::check(&checked)).map_err(not_now))
}
