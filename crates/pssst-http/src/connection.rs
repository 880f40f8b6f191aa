//! One connection: its timeouts, and its end.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Limited;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::answer::Answer;
use crate::slots::Slot;
use crate::stats::{Counters, HttpEvent};

/// For the head of a request, from the end of the one before: so an idle connection lives no
/// longer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// From the head of a request to the head of its response.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// For the connection as a whole: this also ends those that do not read their responses.
const MAX_AGE: Duration = Duration::from_secs(120);
/// Limits of a head and of a connection where health checks connect.
const PROBE_TIMEOUTS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));
/// For the request in flight when a connection ends.
const LAST_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest head of a request, in bytes, which is also the buffer of each connection.
const MAX_HEAD_LEN: usize = 16 * 1024;

/// What all connections of a listener share.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) max_body_len: usize,
    pub(crate) is_for_probes: bool,
    pub(crate) counters: Arc<Counters>,
    /// Accepts no further request.
    pub(crate) stop: CancellationToken,
}

/// Serves the requests of one connection, until it ends or gets too old, or a stop.
pub(crate) async fn serve<S, A>(stream: S, answer: A, context: &Context, slot: &Slot) -> Result<(), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Answer,
{
    let (head_timeout, max_age) = if context.is_for_probes { PROBE_TIMEOUTS } else { (HEAD_TIMEOUT, MAX_AGE) };
    let service = service_fn(|request| {
        slot.set_busy();
        let response = in_time(&answer, request, context);
        async {
            let response = response.await;
            slot.set_idle();
            response
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .keep_alive(!context.is_for_probes)
        .max_buf_size(MAX_HEAD_LEN)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = async { drop(timeout(max_age, context.stop.cancelled()).await) } => {
            connection.as_mut().graceful_shutdown();
            timeout(LAST_REQUEST_TIMEOUT, connection).await.unwrap_or(Ok(()))
        }
    }
}

fn in_time<A: Answer>(
    answer: &A,
    request: Request<Incoming>,
    context: &Context,
) -> impl Future<Output = Result<Response<A::Body>, Infallible>> {
    let answered =
        timeout(REQUEST_TIMEOUT, answer.answer(request.map(|body| Limited::new(body, context.max_body_len))));
    async {
        Ok(answered.await.unwrap_or_else(|_| {
            context.counters.add(HttpEvent::RequestTimedOut);
            let mut response = Response::<A::Body>::default();
            *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }))
    }
}
