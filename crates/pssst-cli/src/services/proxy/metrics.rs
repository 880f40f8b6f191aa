//! Metrics of a proxy.

use std::fmt;

use pssst_gateway::Proxy;
use pssst_service::MetricsWriter;

pub(super) fn metrics(page: &mut MetricsWriter<'_>, proxy: &Proxy) -> fmt::Result {
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
        "pssst_proxy_worker_stall_seconds",
        "How long the thread that has been at it the longest is in its present turn; about a second at most",
        proxy.worker_stall().as_secs_f64(),
    )
}
