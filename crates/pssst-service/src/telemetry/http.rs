//! The listener for /metrics, /livez and /readyz: plain HTTP, read-only, and bounded whatever comes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::Telemetry;
use crate::failure::Failure;

/// Connections at a time; more wait.
const MAX_CONNECTIONS: usize = 64;
/// Bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;
/// How long a request's head may take, and an idle connection stay.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may live at all.
const LIFETIME: Duration = Duration::from_mins(5);
/// After an error of the system's.
const PAUSE: Duration = Duration::from_millis(100);

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A port that shows a service; closed when this is dropped.
pub(crate) struct Listener {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Listener {
    pub(crate) async fn start(address: SocketAddr, observer: Telemetry) -> Result<Self, Failure> {
        let bind = async {
            let listener = TcpListener::bind(address).await?;
            Ok::<_, std::io::Error>((listener.local_addr()?, listener))
        };
        let (address, listener) = bind.await.map_err(|error| {
            Failure::new(format!("cannot show metrics at {address}: {error}"), "choose another port")
                .of_option("metrics")
        })?;
        Ok(Self { address, task: tokio::spawn(accept(listener, Arc::new(observer))) })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, observer: Arc<Telemetry>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // It is never closed.
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let observer = Arc::clone(&observer);
                tokio::spawn(async move {
                    serve(stream, observer).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection for metrics");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, observer: Arc<Telemetry>) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let response = answer(&request, &observer);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), answer);
    // Whatever ends it is the other side's affair.
    drop(tokio::time::timeout(LIFETIME, connection).await);
}

fn answer(request: &Request<Incoming>, observer: &Telemetry) -> Response<Full<Bytes>> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut refusal = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n".into());
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match request.uri().path() {
        "/metrics" => match observer.metrics() {
            Ok(page) => response(StatusCode::OK, OPEN_METRICS, page),
            Err(_) => response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the page cannot be written\n".into()),
        },
        "/livez" => health(&observer.not_live()),
        "/readyz" => health(&observer.not_ready()),
        _ => response(StatusCode::NOT_FOUND, TEXT, "there are /metrics, /livez and /readyz\n".into()),
    }
}

/// A line for each reason, or that all is well.
fn health(reasons: &[String]) -> Response<Full<Bytes>> {
    if reasons.is_empty() {
        return response(StatusCode::OK, TEXT, "ok\n".into());
    }
    response(StatusCode::SERVICE_UNAVAILABLE, TEXT, reasons.join("\n") + "\n")
}

fn response(status: StatusCode, content_type: HeaderValue, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
