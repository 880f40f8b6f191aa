//! Metrics of a client of PSSST.

use std::fmt;

use pssst_net::ClientStats;

use pssst_service::MetricsWriter;

pub(super) fn metrics(page: &mut MetricsWriter<'_>, stats: &ClientStats) -> fmt::Result {
    page.counter("pssst_client_requests", "Requests that were to be answered", stats.requests)?;
    page.counter("pssst_client_one_way", "Messages sent one way", stats.one_way)?;
    page.counter("pssst_client_attempts", "Datagrams sent, those sent again among them", stats.datagrams_sent)?;
    page.counter("pssst_client_retransmits", "Datagrams sent again", stats.retransmits)?;
    page.counter("pssst_client_replies", "Replies taken", stats.replies)?;
    page.counter("pssst_client_timeouts", "Requests whose time was up", stats.timeouts)?;
    page.counters(
        "pssst_client_refused_replies",
        "Packets that claimed to be replies and were forged or damaged",
        "cause",
        stats.refused_by_cause().map(|(cause, count)| (cause.name(), count)),
    )?;
    page.counter("pssst_client_unmatched_replies", "Packets that belong to no request", stats.unmatched_replies)?;
    page.counter("pssst_client_send_errors", "Times that the system refused to send", stats.send_errors)
}
