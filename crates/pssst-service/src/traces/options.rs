//! Options of traces.

use tracing_subscriber::Registry;
use tracing_subscriber::layer::Layer;

/// A layer of the log.
pub(crate) type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Options of a service's traces. Without the feature `otel` there are none.
#[derive(clap::Args, Clone, Debug)]
#[non_exhaustive]
pub struct TraceOptions {
    #[cfg(feature = "otel")]
    /// Send traces of requests to the OpenTelemetry collector at this HTTP or HTTPS URL; without a
    /// path, to /v1/traces. Headers come from the environment: `OTEL_EXPORTER_OTLP_HEADERS`.
    #[arg(long, value_name = "URL", value_parser = url)]
    pub(super) otlp_endpoint: Option<String>,
    #[cfg(feature = "otel")]
    /// Share of the requests to trace, from 0 to 1.
    #[arg(long, value_name = "RATIO", default_value = "0.01", value_parser = ratio)]
    pub(super) trace_sample: f64,
}

#[cfg(feature = "otel")]
fn ratio(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio)).ok_or_else(|| "give a number from 0 to 1".to_owned())
}

#[cfg(feature = "otel")]
/// Returns where the collector takes traces.
fn url(endpoint: &str) -> Result<String, String> {
    let mut url = reqwest::Url::parse(endpoint).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("its scheme must be http or https".into());
    }
    if url.path() == "/" {
        url.set_path("/v1/traces");
    }
    Ok(url.into())
}
