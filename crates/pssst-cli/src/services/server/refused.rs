//! Refused clients by name: in the log at once, and in the store for the operators.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pssst_identity::jiff::Timestamp;
use pssst_identity::{RefusedClient, RefusedReport};

use super::Clients;

const INTERVAL: Duration = Duration::from_secs(1);

/// Reports refused clients until it is dropped.
pub(super) async fn report(clients: Arc<Clients>, unsaved: Arc<AtomicU64>) -> Infallible {
    let mut was_saved = true;
    loop {
        tokio::time::sleep(INTERVAL).await;
        let RefusedReport { clients: refused, others, .. } = clients.take_refused(Timestamp::now());
        refused.iter().for_each(log);
        if others > 0 {
            tracing::warn!(requests = others, "refused further clients; there are too many to name each of them");
        }
        if refused.is_empty() {
            continue;
        }
        match clients.store().record_refused(&refused).await {
            Ok(()) => was_saved = true,
            Err(error) => {
                unsaved.fetch_add(refused.len() as u64, Ordering::Relaxed);
                if std::mem::replace(&mut was_saved, false) {
                    tracing::warn!(%error, "operators do not see which clients are refused: the store does not take it");
                }
            }
        }
    }
}

fn log(client: &RefusedClient) {
    let RefusedClient { key, name, cause, requests, first, .. } = client;
    let since = first.strftime("%Y-%m-%dT%H:%M:%SZ");
    let name = name.as_deref().map(tracing::field::display);
    tracing::info!(name, %key, %cause, requests, %since, "refused a client");
}
