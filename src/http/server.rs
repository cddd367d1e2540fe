//! Takes connections, and no more of them, nor for longer, than a process can spare.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::{Shown, routes};

/// At most this many connections are open; more are refused.
const MAX_CONNECTIONS: usize = 128;

/// A request line and its headers have at most this many bytes.
const MAX_HEAD: usize = 16 * 1024;

/// A client that has connected, or had its answer, has this long to send the head of a request.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// A client that does not read for this long is gone.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// After a connection that could not be accepted, most likely for lack of files.
const REST: Duration = Duration::from_millis(100);

const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Serves, for ever.
pub(super) async fn serve(listener: TcpListener, shown: Arc<Shown>) {
    let open = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection for HTTP could not be accepted");
                sleep(REST).await;
                continue;
            }
        };
        match open.clone().try_acquire_owned() {
            Ok(place) => {
                let shown = shown.clone();
                tokio::spawn(async move {
                    talk(stream, shown).await;
                    drop(place);
                });
            }
            // An error means that the client is gone, or that it is told by the end of the connection.
            Err(_) => drop(stream.try_write(TOO_MANY)),
        }
    }
}

async fn talk(stream: TcpStream, shown: Arc<Shown>) {
    let limit = u32::try_from(READ_WITHIN.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = set_tcp_user_timeout(&stream, limit) {
        tracing::debug!(%error, "a client that does not read is waited for");
    }
    let answer = service_fn(move |request| {
        let shown = shown.clone();
        async move { Ok::<_, std::convert::Infallible>(routes::answer(shown, request).await) }
    });
    let talking = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = talking.await {
        tracing::debug!(%error, "a client of HTTP was lost");
    }
}
