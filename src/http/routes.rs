//! Which path is answered by what.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{ACCEPT, HOST};
use hyper::{Method, Request, StatusCode};
use serde_json::json;
use tokio::time::timeout;

use super::answer::{Answer, data, refuse};
use super::{Feed, Shown, api, events, metrics, page};

/// An answer that takes longer is none: a walk waits up to two seconds for each node that is silent.
const WITHIN: Duration = Duration::from_secs(30);

/// Answers a request.
pub(super) async fn answer<B>(shown: Arc<Shown>, request: Request<B>) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let why = format!("{} is not allowed: this only tells, by GET", request.method());
        return refuse(StatusCode::METHOD_NOT_ALLOWED, why);
    }
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    if let Some(host) = header(HOST).filter(|host| shown.is_local && !is_of_this_machine(host)) {
        let why = format!("{host} is not a name of this machine: ask 127.0.0.1 or localhost");
        return refuse(StatusCode::MISDIRECTED_REQUEST, why);
    }
    let query = api::Query::of(request.uri().query());
    let path = request.uri().path();
    if let Some(part) = page::part(path, &shown.feed) {
        return part;
    }
    if let Feed::Recording(_) = shown.feed {
        return unknown(path);
    }
    let answered = async {
        match path {
            "/healthz" => api::health(&shown).await,
            "/readyz" => api::readiness(&shown),
            "/metrics" => metrics::answer(&shown, header(ACCEPT)).await,
            "/api/v1/state" => api::state(&shown, &query).await,
            "/api/v1/lookup" => api::lookup(&shown, &query).await,
            "/api/v1/trace" => api::trace(&shown, &query).await,
            "/api/v1/ring" => api::ring(&shown).await,
            "/api/v1/check" => api::check(&shown).await,
            "/api/v1/events" => events::answer(&shown).await,
            _ => unknown(path),
        }
    };
    let late = || refuse(StatusCode::SERVICE_UNAVAILABLE, format!("no answer within {WITHIN:?}"));
    timeout(WITHIN, answered).await.unwrap_or_else(|_| late())
}

fn unknown(path: &str) -> Answer {
    let shown: String = path.chars().take(80).collect();
    data(StatusCode::NOT_FOUND, &json!({ "error": format!("there is no {shown:?}"), "paths": api::PATHS }))
}

/// Whether a `Host` is an address or `localhost`, with or without a port. No owner of a name can point an address
/// somewhere else.
fn is_of_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_localhost_are_of_this_machine_and_names_are_not() {
        for host in ["127.0.0.1", "127.0.0.1:9080", "[::1]:9080", "[::1]", "localhost", "LocalHost:1", "10.0.0.7:80"] {
            assert!(is_of_this_machine(host), "{host}");
        }
        for host in ["", "example.org", "example.org:9080", "localhost.example.org", "127.0.0.1.example.org", "[x]"] {
            assert!(!is_of_this_machine(host), "{host}");
        }
    }
}
