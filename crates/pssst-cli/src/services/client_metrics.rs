//! Metrics of a client of PSSST.

use std::fmt;

use pssst_net::ClientStats;

use pssst_service::MetricsWriter;

pub(super) fn metrics(page: &mut MetricsWriter<'_>, stats: &ClientStats) -> fmt::Result {
    page.counter("pssst_client_requests", "Requests that expect a reply", stats.requests)?;
    page.counter("pssst_client_one_way", "Messages sent one way", stats.one_way)?;
    page.counter("pssst_client_attempts", "Datagrams sent, including retransmissions", stats.datagrams_sent)?;
    page.counter("pssst_client_retransmits", "Datagrams sent again", stats.retransmits)?;
    page.counter("pssst_client_replies", "Replies taken", stats.replies)?;
    page.counter("pssst_client_timeouts", "Requests that timed out", stats.timeouts)?;
    page.counters(
        "pssst_client_refused_replies",
        "Packets refused as replies: forged or damaged",
        "cause",
        stats.refused_by_cause().map(|(cause, count)| (cause.name(), count)),
    )?;
    page.counter("pssst_client_unmatched_replies", "Packets that match no request in flight", stats.unmatched_replies)?;
    page.counter("pssst_client_send_errors", "Errors of the system when sending", stats.send_errors)
}
