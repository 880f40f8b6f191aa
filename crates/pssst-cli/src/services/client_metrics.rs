//! Metrics of a client of PSSST.

use std::fmt;

use pssst_directory::FetchStatus;
use pssst_net::ClientStats;

use pssst_service::MetricsWriter;

pub(super) fn metrics(page: &mut MetricsWriter<'_>, stats: &ClientStats) -> fmt::Result {
    page.counter("pssst_client_requests", "Requests that expect a reply", stats.requests)?;
    page.counter("pssst_client_one_way", "Messages sent one way", stats.one_way)?;
    page.counter("pssst_client_attempts", "Datagrams sent, including retransmissions", stats.datagrams_sent)?;
    page.counter("pssst_client_retransmits", "Datagrams sent again", stats.retransmits)?;
    page.counter(
        "pssst_client_fallbacks",
        "Messages sent under suite f002 because the network does not carry those of f003",
        stats.fallbacks,
    )?;
    page.counter("pssst_client_replies", "Replies taken", stats.replies)?;
    page.counter("pssst_client_timeouts", "Requests that timed out", stats.timeouts)?;
    page.counter(
        "pssst_client_path_too_narrow",
        "Messages whose packets are too long for the path to the server",
        stats.path_too_narrow,
    )?;
    page.counters(
        "pssst_client_refused_replies",
        "Packets refused as replies: forged or damaged",
        "cause",
        stats.refused_by_cause().map(|(cause, count)| (cause.name(), count)),
    )?;
    page.counter("pssst_client_unmatched_replies", "Packets that match no request in flight", stats.unmatched_replies)?;
    page.counter("pssst_client_send_errors", "Errors of the system when sending", stats.send_errors)
}

pub(super) fn directory(page: &mut MetricsWriter<'_>, status: &FetchStatus) -> fmt::Result {
    if let Some(age) = status.age {
        page.gauge("pssst_client_keys_age_seconds", "Time since the directory last answered", age.as_secs_f64())?;
    }
    page.number(
        "pssst_client_keys_overdue",
        "Whether the directory's key document should have been refreshed by now (1)",
        status.is_overdue.into(),
    )?;
    page.counter("pssst_client_keys_failures", "Fetches of the key document that failed", status.failures)?;
    page.counter(
        "pssst_client_keys_cache_failures",
        "Key documents that could not be written to the cache",
        status.cache_failures,
    )
}
