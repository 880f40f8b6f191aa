//! Traces of requests, if the program is built with them (feature `otel`).

pub(crate) use options::BoxedLayer;
pub use options::TraceOptions;

use crate::failure::Failure;
use crate::program::Program;

mod options;
#[cfg(feature = "otel")]
mod otlp;

/// Running traces. Dropping them sends what is left, which blocks for some seconds at most.
pub(crate) struct Traces {
    #[cfg(feature = "otel")]
    sender: otlp::Traces,
}

impl Traces {
    /// Starts to send, if there is an endpoint.
    #[cfg(feature = "otel")]
    pub(crate) fn start(options: &TraceOptions, program: &Program, service: &str) -> Result<Option<Self>, Failure> {
        Ok(otlp::Traces::start(options, program, service)?.map(|sender| Self { sender }))
    }

    /// Starts nothing.
    #[cfg(not(feature = "otel"))]
    #[expect(clippy::unnecessary_wraps, reason = "as with traces")]
    pub(crate) fn start(_: &TraceOptions, _: &Program, _: &str) -> Result<Option<Self>, Failure> {
        Ok(None)
    }

    /// Returns the layer that takes the spans of the program.
    #[cfg(feature = "otel")]
    pub(crate) fn layer(&self, program: &Program) -> BoxedLayer {
        self.sender.layer(program)
    }

    /// Returns a layer that takes nothing.
    #[cfg(not(feature = "otel"))]
    #[expect(clippy::unused_self, reason = "as with traces")]
    pub(crate) fn layer(&self, _: &Program) -> BoxedLayer {
        Box::new(tracing_subscriber::layer::Identity::new())
    }
}

/// Returns the current span as the header `traceparent` names it (W3C Trace Context, section 3.2),
/// if it is traced.
pub fn parent() -> Option<String> {
    #[cfg(feature = "otel")]
    return otlp::parent();
    #[cfg(not(feature = "otel"))]
    None
}
