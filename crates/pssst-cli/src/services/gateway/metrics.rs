//! Metrics of a gateway.

use std::fmt;

use pssst_gateway::GatewayStats;

use pssst_service::MetricsWriter;

const NANOS: f64 = 1e9;

pub(super) fn metrics(page: &mut MetricsWriter<'_>, stats: &GatewayStats) -> fmt::Result {
    page.counters(
        "pssst_gateway_requests",
        "Requests by outcome at the upstream",
        "outcome",
        stats.outcomes().map(|(outcome, count)| (outcome.name(), count)),
    )?;
    page.number("pssst_gateway_in_flight", "Requests in flight at the upstream", stats.in_flight as u64)?;
    page.number(
        "pssst_gateway_circuit_open",
        "Whether the circuit breaker is open (1) and the upstream is not called",
        stats.is_circuit_open.into(),
    )?;
    page.histogram(
        "pssst_gateway_upstream_duration_seconds",
        "Duration of upstream calls, failed ones included",
        NANOS,
        stats.upstream_nanos.sum(),
        stats.upstream_nanos.buckets(),
    )
}
