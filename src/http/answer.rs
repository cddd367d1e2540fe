//! What goes back to a client.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use http_body_util::{Either, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// A whole body, or one that goes on.
pub(super) type Body = Either<Full<Bytes>, StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>>;

/// An answer to a client.
pub(super) type Answer = Response<Body>;

pub(super) const JSON: &str = "application/json";

/// The page loads nothing but what comes from here, and no other page may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// An answer of this type.
pub(super) fn whole(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    with(status, kind, Either::Left(Full::new(body.into())))
}

/// An answer of this type with any body.
pub(super) fn with(status: StatusCode, kind: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // What is told is true now.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
    answer
}

/// JSON, as one line.
pub(super) fn data(status: StatusCode, value: &Value) -> Answer {
    whole(status, JSON, format!("{value}\n"))
}

/// An error in words. Clients that are refused for now hear when to try again.
pub(super) fn refuse(status: StatusCode, why: impl Into<String>) -> Answer {
    let mut answer = data(status, &json!({ "error": why.into() }));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    answer
}

/// What takes long to find out: it is found out once for all who ask in the meantime, and told again for a while.
pub(super) struct Fresh<T> {
    lasts: Duration,
    last: Mutex<Option<(Instant, Arc<T>)>>,
}

impl<T> Fresh<T> {
    /// Told again for this long.
    pub(super) fn lasting(lasts: Duration) -> Fresh<T> {
        Fresh { lasts, last: Mutex::new(None) }
    }

    /// What was found out lately, or else is found out now. A failure is told to one client only.
    pub(super) async fn get<E>(&self, find_out: impl Future<Output = Result<T, E>>) -> Result<Arc<T>, E> {
        let mut last = self.last.lock().await;
        if let Some((at, found)) = &*last
            && at.elapsed() < self.lasts
        {
            return Ok(found.clone());
        }
        let found = Arc::new(find_out.await?);
        *last = Some((Instant::now(), found.clone()));
        Ok(found)
    }

    /// What was found out last.
    pub(super) async fn last(&self) -> Option<Arc<T>> {
        self.last.lock().await.as_ref().map(|(_, found)| found.clone())
    }
}
