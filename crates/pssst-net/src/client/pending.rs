//! The requests that await their replies.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use pssst::PendingReply;
use pssst_support::sync::lock;
use tokio::sync::oneshot;

use super::stats::Counts;

/// The requests under way, by their exchange values.
#[derive(Default)]
pub(super) struct Pending {
    requests: Mutex<HashMap<[u8; 32], Waiting>>,
}

struct Waiting {
    pending: PendingReply,
    /// Replies that were refused.
    refused: Arc<AtomicU32>,
    reply: oneshot::Sender<Bytes>,
}

/// A request under way. Dropped, it is forgotten.
pub(super) struct Registered<'p> {
    table: &'p Pending,
    exchange_value: [u8; 32],
    /// Brings the reply's message.
    pub(super) reply: oneshot::Receiver<Bytes>,
}

impl Pending {
    pub(super) fn register(&self, pending: PendingReply, refused: Arc<AtomicU32>) -> Registered<'_> {
        let exchange_value = *pending.exchange_value();
        let (sender, reply) = oneshot::channel();
        lock(&self.requests).insert(exchange_value, Waiting { pending, refused, reply: sender });
        Registered { table: self, exchange_value, reply }
    }

    /// Requests under way.
    pub(super) fn len(&self) -> usize {
        lock(&self.requests).len()
    }

    /// Takes whatever arrived. True if it was the reply to a request; anything else changes
    /// nothing.
    pub(super) fn deliver(&self, packet: &mut [u8], counts: &Counts) -> bool {
        let exchange_value = match pssst::exchange_value(packet) {
            Ok(exchange_value) => *exchange_value,
            Err(cause) => {
                counts.refused(cause);
                return false;
            }
        };
        let mut requests = lock(&self.requests);
        let Entry::Occupied(entry) = requests.entry(exchange_value) else {
            drop(requests);
            counts.unmatched_replies.add();
            return false;
        };
        match entry.get().pending.open(packet) {
            Ok(message) => {
                let message = Bytes::copy_from_slice(message);
                // If the caller no longer waits, the reply is dropped.
                drop(entry.remove().reply.send(message));
                counts.replies.add();
                true
            }
            Err(cause) => {
                entry.get().refused.fetch_add(1, Ordering::Relaxed);
                drop(requests);
                counts.refused(cause);
                tracing::debug!(cause = cause.name(), "a reply was refused");
                false
            }
        }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        lock(&self.table.requests).remove(&self.exchange_value);
    }
}
