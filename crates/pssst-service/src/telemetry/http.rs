//! The listener for /metrics, /livez and /readyz: plain HTTP, read-only, and bounded whatever
//! comes.

use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;

use pssst_http::hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use pssst_http::hyper::{Method, Request, Response, StatusCode};
use pssst_http::{Bytes, Full, Listener, RequestBody, Server};

use super::Telemetry;
use crate::failure::Failure;

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Shows a service at this address until the server is dropped.
pub(crate) async fn serve(address: SocketAddr, telemetry: Telemetry) -> Result<Server, Failure> {
    let listener = Listener::bind(address).await.map_err(|error| {
        Failure::new(
            format!("cannot serve metrics at {address}: {error}"),
            "choose another port, of an address of this machine; `ss -lntp` shows which process has one",
        )
        .of_option("metrics")
    })?;
    let telemetry = Arc::new(telemetry);
    Ok(listener.for_probes().serve(move |_| {
        let telemetry = Arc::clone(&telemetry);
        move |request: Request<RequestBody>| ready(answer(&request, &telemetry))
    }))
}

fn answer(request: &Request<RequestBody>, telemetry: &Telemetry) -> Response<Full<Bytes>> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut refusal = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n".into());
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match request.uri().path() {
        "/metrics" => match telemetry.metrics() {
            Ok(page) => response(StatusCode::OK, OPEN_METRICS, page),
            Err(_) => response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the metrics cannot be written\n".into()),
        },
        "/livez" => health(&telemetry.not_live()),
        "/readyz" => health(&telemetry.not_ready()),
        _ => response(StatusCode::NOT_FOUND, TEXT, "not found: there are /metrics, /livez and /readyz\n".into()),
    }
}

/// Returns a line for each reason, or that all is well.
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
