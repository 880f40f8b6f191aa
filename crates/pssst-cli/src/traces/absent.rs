//! In place of traces, in a program that was built without them.

use std::convert::Infallible;

use tracing_subscriber::Registry;
use tracing_subscriber::layer::Layer;

use crate::failure::Failure;

/// No options.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct TraceOptions {}

/// There are none.
pub(crate) struct Traces(Infallible);

impl Traces {
    #[expect(clippy::unnecessary_wraps, reason = "as where there are traces")]
    pub(crate) fn start(_: &TraceOptions, _: &'static str) -> Result<Option<Self>, Failure> {
        Ok(None)
    }

    pub(crate) fn layer(&self) -> Box<dyn Layer<Registry> + Send + Sync> {
        match self.0 {}
    }
}

/// Nowhere.
pub(crate) fn parent() -> Option<String> {
    None
}
