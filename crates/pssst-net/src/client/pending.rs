//! The requests that await their replies.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use pssst::{EXCHANGE_VALUE_LEN, PendingReply, Suite, TRANSACTION_ID_LEN};
use pssst_support::sync::lock;
use tokio::sync::oneshot;

use super::stats::Counts;
use crate::wiping::on_wiped_stack;

type ExchangeValue = [u8; EXCHANGE_VALUE_LEN];

/// The requests under way, by their exchange values: a reply repeats the front of one, which two
/// may share.
#[derive(Default)]
pub(super) struct Pending {
    requests: Mutex<BTreeMap<ExchangeValue, Waiting>>,
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
    reply: Mutex<Option<oneshot::Sender<Answer>>>,
}

/// The answer to a request.
pub(super) struct Answer {
    pub(super) message: Bytes,
    /// The suite of the packet that was answered.
    pub(super) suite: Suite,
}

/// A request under way. Dropped, it is forgotten.
pub(super) struct Registered<'p> {
    table: &'p Pending,
    exchange_values: Vec<ExchangeValue>,
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
    pub(super) fn register(&self, refused: Arc<AtomicU32>) -> (Registered<'_>, oneshot::Receiver<Answer>) {
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
        let id = match pssst::transaction_id(packet) {
            Ok(id) => *id,
            Err(cause) => {
                counts.refused(cause);
                return false;
            }
        };
        let mut requests = lock(&self.requests);
        let mut refused = None;
        let mut opened = None;
        for (exchange_value, waiting) in requests.range(filled(id, 0)..=filled(id, 0xff)) {
            match on_wiped_stack(|| waiting.pending.open(packet).map(|message| Bytes::copy_from_slice(message))) {
                Ok(message) => {
                    opened = Some((*exchange_value, Answer { message, suite: waiting.pending.suite() }));
                    break;
                }
                Err(cause) => {
                    waiting.caller.refused.fetch_add(1, Ordering::Relaxed);
                    refused = Some(cause);
                }
            }
        }
        if let Some((exchange_value, answer)) = opened {
            // If the caller no longer waits, the reply is dropped.
            let sender = requests.remove(&exchange_value).and_then(|waiting| lock(&waiting.caller.reply).take());
            drop(sender.map(|sender| sender.send(answer)));
            counts.replies.add();
            return true;
        }
        drop(requests);
        match refused {
            Some(cause) => {
                counts.refused(cause);
                tracing::debug!(cause = cause.name(), "a reply was refused");
            }
            None => counts.unmatched_replies.add(),
        }
        false
    }
}

/// An exchange value with this front, and this byte everywhere else.
fn filled(id: [u8; TRANSACTION_ID_LEN], rest: u8) -> ExchangeValue {
    std::array::from_fn(|place| *id.get(place).unwrap_or(&rest))
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
