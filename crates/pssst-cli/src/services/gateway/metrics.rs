//! Metrics of a gateway.

use std::fmt;

use pssst_gateway::GatewayStats;

use pssst_service::MetricsWriter;

const NANOS: f64 = 1e9;

pub(super) fn metrics(page: &mut MetricsWriter<'_>, stats: &GatewayStats) -> fmt::Result {
    page.counters(
        "pssst_gateway_requests",
        "Requests by how they ended at the upstream",
        "outcome",
        stats.outcomes().map(|(outcome, count)| (outcome.name(), count)),
    )?;
    page.number("pssst_gateway_in_flight", "Requests that are with the upstream", stats.in_flight as u64)?;
    page.number(
        "pssst_gateway_circuit_open",
        "Whether the upstream is left alone, having failed too often",
        stats.is_circuit_open.into(),
    )?;
    page.histogram(
        "pssst_gateway_upstream_duration_seconds",
        "How long the upstream took, whether it answered or failed",
        NANOS,
        stats.upstream_nanos.sum(),
        stats.upstream_nanos.buckets(),
    )
}
