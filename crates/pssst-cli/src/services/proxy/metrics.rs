//! Metrics of a proxy.

use std::fmt;

use pssst_gateway::Proxy;
use pssst_service::MetricsWriter;

/// Nanoseconds in a second.
const NANOS: f64 = 1e9;

pub(super) fn metrics(page: &mut MetricsWriter<'_>, proxy: &Proxy) -> fmt::Result {
    let stats = proxy.stats();
    page.counter("pssst_proxy_datagrams_received", "Datagrams received from programs", stats.received)?;
    page.counter("pssst_proxy_replies", "Replies sent to programs", stats.replies)?;
    page.counters(
        "pssst_proxy_drops",
        "Datagrams without a reply",
        "cause",
        stats.drops().map(|(cause, count)| (cause.name(), count)),
    )?;
    page.number("pssst_proxy_in_flight", "Datagrams in flight", stats.in_flight())?;
    page.histogram(
        "pssst_proxy_request_duration_seconds",
        "From a program's datagram to the server's reply",
        NANOS,
        stats.request_nanos.sum(),
        stats.request_nanos.buckets(),
    )?;
    page.gauge(
        "pssst_proxy_worker_stall_seconds",
        "Age of the oldest event-loop iteration of any thread; above 1 s a thread is blocked",
        proxy.worker_stall().as_secs_f64(),
    )
}
