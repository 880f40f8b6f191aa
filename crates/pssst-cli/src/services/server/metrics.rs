//! Metrics of a server of PSSST.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pssst::Keyring;
use pssst_identity::SharedSecrets;
use pssst_net::{DatagramOutcome, Server, Stats};

use super::Clients;
use pssst_service::MetricsWriter;

/// Clients that have not been compared with their store for longer are stale.
const STALE: Duration = Duration::from_mins(1);
const NANOS: f64 = 1e9;

pub(crate) fn metrics(page: &mut MetricsWriter<'_>, server: &Server, keyring_changed: &AtomicU64) -> fmt::Result {
    let stats = server.stats();
    packets(page, &stats)?;
    page.number("pssst_server_workers", "Worker threads", server.worker_stats().len() as u64)?;
    page.gauge(
        "pssst_server_worker_stall_seconds",
        "Age of the oldest event-loop iteration of any worker; above 1 s a handler blocks its worker",
        server.worker_stall().as_secs_f64(),
    )?;
    page.number("pssst_keyring_keys", "Secret keys in the keyring", server.server_keys().len() as u64)?;
    page.number(
        "pssst_keyring_reload_timestamp_seconds",
        "Time of the last change of keys, in seconds since 1970",
        keyring_changed.load(Ordering::Relaxed),
    )
}

fn packets(page: &mut MetricsWriter<'_>, stats: &Stats) -> fmt::Result {
    page.counter("pssst_server_datagrams_received", "Datagrams received", stats.received)?;
    page.counter("pssst_server_received_bytes", "Bytes received, without UDP and IP headers", stats.received_bytes)?;
    page.counter("pssst_server_sent_bytes", "Bytes of replies, without UDP and IP headers", stats.sent_bytes)?;
    page.counters(
        "pssst_server_requests",
        "Requests opened, by kind",
        "auth",
        [("anonymous", stats.anonymous_requests), ("authenticated", stats.authenticated_requests)],
    )?;
    page.counters(
        "pssst_server_replies",
        "Replies sent; repeated ones are from the reply cache",
        "repeated",
        [("false", stats.count(DatagramOutcome::Replied)), ("true", stats.count(DatagramOutcome::ReplyResent))],
    )?;
    page.counter(
        "pssst_server_no_reply",
        "Requests without a reply: one-way messages, and requests that the handler did not answer",
        stats.count(DatagramOutcome::NoReply),
    )?;
    let drops = stats.outcomes().filter(|(outcome, _)| !outcome.is_served());
    page.counters(
        "pssst_server_drops",
        "Datagrams not served, by cause",
        "cause",
        drops.map(|(outcome, count)| (outcome.name(), count)),
    )?;
    if let Some(drops) = stats.kernel_drops {
        page.counter(
            "pssst_server_kernel_drops",
            "Datagrams that the kernel dropped because the socket's receive buffer was full",
            drops,
        )?;
    }
    page.counter("pssst_server_receive_errors", "Receive errors of the system", stats.receive_errors)?;
    page.counter(
        "pssst_server_config_errors",
        "Configurations rejected because the new handler panicked",
        stats.config_errors,
    )?;
    page.number("pssst_server_in_flight", "Requests in flight", stats.in_flight())?;
    page.histogram(
        "pssst_server_batch_size",
        "Datagrams received together",
        1.0,
        stats.batch_size.sum(),
        stats.batch_size.buckets(),
    )?;
    page.histogram(
        "pssst_server_handler_duration_seconds",
        "Duration of handler calls, failed ones included",
        NANOS,
        stats.handler_nanos.sum(),
        stats.handler_nanos.buckets(),
    )?;
    page.histogram(
        "pssst_server_request_duration_seconds",
        "Time from receiving a request to sending its reply",
        NANOS,
        stats.request_nanos.sum(),
        stats.request_nanos.buckets(),
    )?;
    let place = |place: usize| match place.checked_sub(Keyring::CAPACITY) {
        None => place.to_string(),
        Some(place) => format!("f003-{place}"),
    };
    let places: Vec<_> = (0..stats.requests_by_key.len()).map(place).collect();
    let by_key = places.iter().map(String::as_str).zip(stats.requests_by_key);
    page.counters(
        "pssst_server_key_requests",
        "Requests by the position of the key that opened them, among those of its kind",
        "key",
        by_key,
    )
}

/// Writes the metrics of the store of clients.
pub(crate) fn identities(page: &mut MetricsWriter<'_>, clients: &Clients, refused_unsaved: u64) -> fmt::Result {
    let (refusals, status) = (clients.stats(), clients.follower().status());
    page.number("pssst_identity_clients", "Clients in the snapshot", clients.follower().snapshot().len() as u64)?;
    page.gauge("pssst_identity_snapshot_age_seconds", "Age of the snapshot of clients", status.age.as_secs_f64())?;
    page.number("pssst_identity_revision", "Revision of the store in the snapshot", status.revision.0)?;
    page.counters(
        "pssst_identity_refusals",
        "Authenticated requests refused, by the status of the client",
        "cause",
        [
            ("unknown", refusals.unknown),
            ("suspended", refusals.suspended),
            ("revoked", refusals.revoked),
            ("expired", refusals.expired),
            ("psk_required", refusals.psk_required),
        ],
    )?;
    let secrets = clients.shared_secrets();
    page.number(
        "pssst_server_client_secrets",
        "Shared secrets in the table in use, one for each client and server key; 0 while they are computed for each request",
        secrets.map_or(0, SharedSecrets::count) as u64,
    )?;
    page.number(
        "pssst_server_client_secrets_bytes",
        "Memory of the table of shared secrets in use",
        secrets.map_or(0, SharedSecrets::memory) as u64,
    )?;
    page.counter(
        "pssst_identity_refused_unsaved",
        "Reports of refused clients that the store did not take, so that operators do not see them",
        refused_unsaved,
    )
}

pub(crate) fn not_ready(server: &Server, clients: Option<&Clients>) -> Vec<String> {
    let status = clients.map(|clients| clients.follower().status()).filter(|status| status.age > STALE);
    let stale = status.map(|status| format!("the snapshot of clients is {} s old", status.age.as_secs()));
    let keyless = server.server_keys().is_empty().then(|| "the keyring is empty".to_owned());
    stale.into_iter().chain(keyless).collect()
}
