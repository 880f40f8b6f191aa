//! The requests that wait for their replies.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use pssst::PendingReply;
use tokio::sync::oneshot;

use super::path::Path;
use super::stats::Counts;
use crate::Error;

/// The requests under way, by their exchange values.
#[derive(Default)]
pub(super) struct Pending {
    requests: Mutex<HashMap<[u8; 32], Waiting>>,
}

struct Waiting {
    pending: PendingReply,
    progress: Arc<Progress>,
    reply: oneshot::Sender<Bytes>,
}

/// How a request fares, for its error.
#[derive(Default)]
pub(super) struct Progress {
    sent: AtomicU32,
    refused: AtomicU32,
    last_error: Mutex<Option<io::Error>>,
    /// Where it was last sent, and how many replies had come from there.
    last_path: Mutex<Option<(Arc<Path>, u64)>>,
}

impl Progress {
    /// Counts a packet that was sent, when so many replies had come along its path, and tells how many were sent before.
    pub(super) fn count_sent(&self, path: Arc<Path>, answers: u64) -> u32 {
        *self.last_path.lock().unwrap_or_else(PoisonError::into_inner) = Some((path, answers));
        self.sent.fetch_add(1, Ordering::Relaxed)
    }

    /// Doubts the path that it was last sent on, unless something was heard from there since.
    pub(super) fn doubt_path(&self) {
        if let Some((path, answers)) = &*self.last_path.lock().unwrap_or_else(PoisonError::into_inner)
            && path.answers() == *answers
        {
            path.doubt();
        }
    }

    pub(super) fn set_error(&self, error: io::Error) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    pub(super) fn to_timeout(&self) -> Error {
        Error::Timeout {
            sent: self.sent.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            last_network_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).take(),
        }
    }

    /// Whether anything was sent, or else why not.
    pub(super) fn into_sent(self) -> io::Result<()> {
        if self.sent.into_inner() > 0 {
            return Ok(());
        }
        let error = self.last_error.into_inner().unwrap_or_else(PoisonError::into_inner);
        Err(error.unwrap_or_else(|| io::ErrorKind::NetworkUnreachable.into()))
    }
}

/// A request under way. Dropped, it is forgotten.
pub(super) struct Registered<'p> {
    table: &'p Pending,
    exchange_value: [u8; 32],
    /// Brings the reply's message.
    pub(super) reply: oneshot::Receiver<Bytes>,
}

impl Pending {
    pub(super) fn register(&self, pending: PendingReply, progress: Arc<Progress>) -> Registered<'_> {
        let exchange_value = *pending.exchange_value();
        let (sender, reply) = oneshot::channel();
        self.lock().insert(exchange_value, Waiting { pending, progress, reply: sender });
        Registered { table: self, exchange_value, reply }
    }

    /// Requests under way.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Takes whatever arrived. True if it was the reply to a request; anything else changes nothing.
    pub(super) fn deliver(&self, packet: &mut [u8], counts: &Counts) -> bool {
        let exchange_value = match pssst::exchange_value(packet) {
            Ok(exchange_value) => *exchange_value,
            Err(cause) => {
                counts.refused(cause);
                return false;
            }
        };
        let mut requests = self.lock();
        let Entry::Occupied(entry) = requests.entry(exchange_value) else {
            drop(requests);
            counts.strays.add();
            return false;
        };
        match entry.get().pending.open(packet) {
            Ok(message) => {
                let message = Bytes::copy_from_slice(message);
                // If nobody waits any more, nobody misses it.
                drop(entry.remove().reply.send(message));
                counts.replies.add();
                true
            }
            Err(cause) => {
                entry.get().progress.refused.fetch_add(1, Ordering::Relaxed);
                drop(requests);
                counts.refused(cause);
                tracing::debug!(cause = cause.name(), "a packet that claims to be a reply was refused");
                false
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Waiting>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.table.lock().remove(&self.exchange_value);
    }
}
