//! Metrics and health of a service over HTTP: /metrics for Prometheus, /livez and /readyz for
//! service managers and balancers.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;

pub use monitored::{Monitored, stuck};
pub(crate) use status::Status;
pub use status::seconds_since_1970;
pub use writer::MetricsWriter;

use crate::followed_file::FilesHealth;
use crate::program::Program;
use crate::stderr;

mod drop_log;
mod files;
mod http;
mod monitored;
mod process;
mod status;
mod writer;

pub(crate) use drop_log::report as report_drops;
pub(crate) use http::serve;

/// A service and its frame, for the listener.
pub(crate) struct Telemetry {
    registry: Registry,
    service: Arc<dyn Monitored>,
    status: Arc<Status>,
}

impl Telemetry {
    pub(crate) fn new(
        program: &Program,
        name: &str,
        service: Arc<dyn Monitored>,
        status: Arc<Status>,
        files: FilesHealth,
    ) -> Self {
        let mut registry = Registry::default();
        let facts = [("service", name.to_owned()), ("version", program.version.to_owned())];
        let facts = facts.into_iter().chain(program.facts.clone()).collect();
        let (of_service, of_frame) = (Arc::clone(&service), Arc::clone(&status));
        let collector = MetricsCollector { name: program.name, facts, service: of_service, status: of_frame, files };
        registry.register_collector(Box::new(collector));
        Self { registry, service, status }
    }

    /// Returns the text of /metrics, as `OpenMetrics` 1.0 has it.
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

fn not_ready(service: &dyn Monitored, status: &Status) -> Vec<String> {
    let draining = status.is_draining().then(|| "it is about to stop".to_owned());
    draining.into_iter().chain(service.not_ready()).collect()
}

/// All metrics, collected on each request.
struct MetricsCollector {
    name: &'static str,
    facts: Vec<(&'static str, String)>,
    service: Arc<dyn Monitored>,
    status: Arc<Status>,
    files: FilesHealth,
}

impl Collector for MetricsCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let writer = &mut MetricsWriter::new(encoder);
        let facts: Vec<_> = self.facts.iter().map(|(name, value)| (*name, value.as_str())).collect();
        writer.info(&format!("{}_build", self.name), "The program", &facts)?;
        let is_ready = not_ready(&*self.service, &self.status).is_empty();
        writer.number(
            &format!("{}_ready", self.name),
            "Whether the service is ready, as in /readyz",
            is_ready.into(),
        )?;
        self.status.metrics(self.name, writer)?;
        writer.counter(
            &format!("{}_log_lines_lost", self.name),
            "Lines of the log that were lost, since nobody read standard error",
            stderr::lost_lines(),
        )?;
        let followed: Vec<_> = self.files.status().into_iter().chain(self.service.files()).collect();
        files::metrics(self.name, &followed, writer)?;
        process::metrics(writer)?;
        self.service.metrics(writer)
    }
}

impl fmt::Debug for MetricsCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsCollector").finish_non_exhaustive()
    }
}
