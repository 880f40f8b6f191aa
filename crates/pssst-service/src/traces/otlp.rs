//! Traces of requests, sent to an OpenTelemetry collector over HTTP.
//!
//! Traces cover the work on a request: when it and the call of the upstream began and ended, the
//! peer's address, the suite, whether the client is authenticated, and the outcome. No messages, no
//! keys.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter,
};
use pssst_support::sync::lock;
use pssst_support::tls;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::Layer;

use super::options::{BoxedLayer, TraceOptions};
use crate::failure::Failure;
use crate::program::Program;

/// Spans that wait to be sent. Those that are too many are left out.
const MAX_WAITING: usize = 2048;
const MAX_IN_BATCH: usize = 512;
const SEND_EVERY: Duration = Duration::from_secs(5);
const SEND_TIMEOUT: Duration = Duration::from_secs(3);
/// For the last ones, when the program stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two complaints.
const QUIET: Duration = Duration::from_mins(1);

/// Traces at work. When this is dropped, what is left is sent, which blocks for some seconds at
/// most.
pub(crate) struct Traces(SdkTracerProvider);

impl Traces {
    /// Starts to send, in a thread of its own, if there is somewhere to send to.
    pub(crate) fn start(options: &TraceOptions, program: &Program, service: &str) -> Result<Option<Self>, Failure> {
        let Some(endpoint) = &options.otlp_endpoint else { return Ok(None) };
        let failure = |error: String| {
            Failure::usage(
                format!("cannot send traces to {endpoint}: {error}"),
                "check the endpoint, as in --otlp-endpoint http://localhost:4318",
            )
        };
        let exporter = exporter(endpoint).map_err(failure)?;
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(MAX_WAITING)
            .with_max_export_batch_size(MAX_IN_BATCH)
            .with_scheduled_delay(SEND_EVERY)
            .build();
        let resource = Resource::builder()
            .with_service_name(format!("{}-{service}", program.name))
            .with_attribute(KeyValue::new("service.version", program.version))
            .build();
        // A client has no trace that this could belong to: sampling is decided here.
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::new(Reported { exporter, said: Mutex::default() }, config))
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(options.trace_sample))))
            .with_resource(resource)
            .build();
        Ok(Some(Self(provider)))
    }

    /// What takes the spans of the program.
    pub(crate) fn layer(&self, program: &Program) -> BoxedLayer {
        let spans =
            Targets::new().with_targets(program.traced_crates.iter().map(|target| (*target, LevelFilter::DEBUG)));
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(program.name))
            .with_location(false)
            .with_threads(false)
            .with_filter(spans)
            .boxed()
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        // Failures to send were logged.
        drop(self.0.shutdown_with_timeout(FLUSH_TIMEOUT));
    }
}

/// Returns the span at work, as the header `traceparent` names it: W3C Trace Context, section 3.2.
pub(crate) fn parent() -> Option<String> {
    let context = tracing::Span::current().context();
    let span = context.span().span_context().clone();
    let flags = span.trace_flags().to_u8();
    span.is_valid().then(|| format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id()))
}

fn exporter(url: &str) -> Result<opentelemetry_otlp::SpanExporter, String> {
    opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(client()?)
        .with_endpoint(url)
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(SEND_TIMEOUT)
        .build()
        .map_err(|error| error.to_string())
}

/// Returns a client that trusts whom the system trusts. It blocks, and so is made where nothing
/// else waits.
fn client() -> Result<reqwest::blocking::Client, String> {
    let make = || {
        let tls = tls::client_config(tls::Trust::System, &[]).map_err(|error| error.to_string())?;
        let builder = reqwest::blocking::Client::builder().tls_backend_preconfigured(tls);
        // Spans go nowhere but to the endpoint.
        let builder = builder.redirect(reqwest::redirect::Policy::none()).no_proxy().timeout(SEND_TIMEOUT);
        builder.build().map_err(|error| error.to_string())
    };
    thread::scope(|scope| scope.spawn(make).join()).unwrap_or_else(|_| Err("cannot create an HTTP client".into()))
}

/// An exporter whose failures are logged, at most once a minute.
#[derive(Debug)]
struct Reported {
    exporter: opentelemetry_otlp::SpanExporter,
    said: Mutex<Option<Instant>>,
}

impl SpanExporter for Reported {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let outcome = self.exporter.export(batch).await;
        if let Err(error) = &outcome {
            let mut said = lock(&self.said);
            if said.is_none_or(|at| at.elapsed() >= QUIET) {
                *said = Some(Instant::now());
                tracing::warn!(%error, "traces cannot be sent and are lost");
            }
        }
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
