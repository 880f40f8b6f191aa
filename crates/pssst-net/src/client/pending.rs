//! The requests that await their replies.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use pssst::PendingReply;
use pssst_support::sync::lock;
use tokio::sync::oneshot;

use super::stats::Counts;
use crate::wiping::on_wiped_stack;

/// The requests under way, by their exchange values.
#[derive(Default)]
pub(super) struct Pending {
    requests: Mutex<HashMap<[u8; 32], Waiting>>,
    /// A request that was sealed twice has two exchange values.
    in_flight: AtomicUsize,
}

struct Waiting {
    /// In an allocation of its own: the table moves its entries, and a move leaves a copy.
    pending: Box<PendingReply>,
    caller: Arc<Caller>,
}

/// The caller that waits for a reply.
struct Caller {
    /// Replies that were refused.
    refused: Arc<AtomicU32>,
    reply: Mutex<Option<oneshot::Sender<Bytes>>>,
}

/// A request under way. Dropped, it is forgotten.
pub(super) struct Registered<'p> {
    table: &'p Pending,
    exchange_values: Vec<[u8; 32]>,
    caller: Arc<Caller>,
}

impl Registered<'_> {
    /// Takes replies to this sealed request too.
    pub(super) fn add(&mut self, pending: Box<PendingReply>) {
        let exchange_value = *pending.exchange_value();
        self.exchange_values.push(exchange_value);
        let waiting = Waiting { pending, caller: Arc::clone(&self.caller) };
        lock(&self.table.requests).insert(exchange_value, waiting);
    }
}

impl Pending {
    /// Registers a request that is not sealed yet. The receiver brings the reply's message.
    pub(super) fn register(&self, refused: Arc<AtomicU32>) -> (Registered<'_>, oneshot::Receiver<Bytes>) {
        let (sender, reply) = oneshot::channel();
        let caller = Arc::new(Caller { refused, reply: Mutex::new(Some(sender)) });
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        (Registered { table: self, exchange_values: Vec::new(), caller }, reply)
    }

    /// Requests under way.
    pub(super) fn len(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
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
        match on_wiped_stack(|| entry.get().pending.open(packet)) {
            Ok(message) => {
                let message = Bytes::copy_from_slice(message);
                // If the caller no longer waits, the reply is dropped.
                let sender = lock(&entry.remove().caller.reply).take();
                drop(sender.map(|sender| sender.send(message)));
                counts.replies.add();
                true
            }
            Err(cause) => {
                entry.get().caller.refused.fetch_add(1, Ordering::Relaxed);
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
        let mut requests = lock(&self.table.requests);
        for exchange_value in &self.exchange_values {
            requests.remove(exchange_value);
        }
        self.table.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
