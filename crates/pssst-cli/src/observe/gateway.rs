//! What a gateway and a proxy show, besides what their servers and clients do.

use std::fmt;

use pssst_gateway::{GatewayStats, Proxy};

use super::page::Page;

const NANOS: f64 = 1e9;

pub(crate) fn gateway(page: &mut Page<'_>, stats: &GatewayStats) -> fmt::Result {
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
    page.runtime_histogram(
        "pssst_gateway_upstream_duration_seconds",
        "How long the upstream took, whether it answered or failed",
        NANOS,
        &stats.upstream_nanos,
    )
}

pub(crate) fn proxy(page: &mut Page<'_>, proxy: &Proxy) -> fmt::Result {
    let stats = proxy.stats();
    page.counter("pssst_proxy_datagrams_received", "Datagrams that programs sent", stats.received)?;
    page.counter("pssst_proxy_replies", "Replies that were handed to programs", stats.replies)?;
    page.counters(
        "pssst_proxy_drops",
        "Datagrams that got no answer",
        "cause",
        stats.drops().map(|(cause, count)| (cause.name(), count)),
    )?;
    page.number("pssst_proxy_in_flight", "Datagrams that wait for their replies", stats.in_flight())?;
    page.gauge(
        "pssst_proxy_longest_turn_seconds",
        "How long the thread that has been at it the longest is in its present turn; about a second at most",
        proxy.longest_turn().as_secs_f64(),
    )
}
