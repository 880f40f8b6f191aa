//! What a service shows of itself over HTTP: /metrics for Prometheus, /livez and /readyz for whoever starts, stops and balances it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;
use pssst::X25519;

use crate::service::Status;
use page::Page;

pub(crate) mod client;
pub(crate) mod gateway;
mod http;
pub(crate) mod page;
mod process;
pub(crate) mod server;

pub(crate) use http::Listener;

/// What can be seen of a running service, at any time and from any thread.
pub(crate) trait Observed: Send + Sync + 'static {
    /// Writes its metrics.
    fn metrics(&self, page: &mut Page<'_>) -> fmt::Result;

    /// Why it should be started anew, if so.
    fn not_live(&self) -> Vec<String> {
        Vec::new()
    }

    /// Why nothing should be sent to it, if so.
    fn not_ready(&self) -> Vec<String> {
        Vec::new()
    }

    /// How many packets were refused for which cause, since it started.
    fn refusals(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

/// A service and its frame, as they are shown.
pub(crate) struct Observer {
    registry: Registry,
    service: Arc<dyn Observed>,
    status: Arc<Status>,
}

impl Observer {
    pub(crate) fn new(service: Arc<dyn Observed>, status: Arc<Status>) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Everything(Arc::clone(&service), Arc::clone(&status))));
        Self { registry, service, status }
    }

    /// The text of /metrics, as `OpenMetrics` 1.0 has it.
    fn metrics(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }

    fn not_live(&self) -> Vec<String> {
        self.service.not_live()
    }

    fn not_ready(&self) -> Vec<String> {
        not_ready(&*self.service, &self.status)
    }
}

/// Whose turn lasts longer is stuck.
const LONGEST_TURN: Duration = Duration::from_secs(10);

/// Says so if a worker has been at its present turn for too long.
pub(crate) fn stuck(longest_turn: Duration) -> Vec<String> {
    let said = || format!("a worker is stuck: its turn has lasted {} s", longest_turn.as_secs());
    (longest_turn > LONGEST_TURN).then(said).into_iter().collect()
}

fn not_ready(service: &dyn Observed, status: &Status) -> Vec<String> {
    let draining = status.is_draining().then(|| "it is about to stop".to_owned());
    draining.into_iter().chain(service.not_ready()).collect()
}

/// All metrics, read when somebody asks.
struct Everything(Arc<dyn Observed>, Arc<Status>);

impl Collector for Everything {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let page = &mut Page::new(encoder);
        page.info("pssst_build", "The program", &[("version", env!("CARGO_PKG_VERSION")), ("backend", &backend())])?;
        let is_ready = not_ready(&*self.0, &self.1).is_empty();
        page.number("pssst_ready", "Whether it is as /readyz wants it", is_ready.into())?;
        self.1.metrics(page)?;
        process::metrics(page)?;
        self.0.metrics(page)
    }
}

impl fmt::Debug for Everything {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Everything")
    }
}

/// What computes X25519 for batches.
fn backend() -> String {
    format!("{:?}", X25519::new().batch_backend()).to_lowercase()
}
