//! The progress of one request.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use pssst_support::sync::lock;

use super::path::Path;
use crate::Error;

/// Counts what becomes of a request, for its error.
#[derive(Default)]
pub(super) struct Progress {
    sent: AtomicU32,
    /// Length of the last packet sent.
    packet_len: AtomicUsize,
    refused: Arc<AtomicU32>,
    last_error: Mutex<Option<io::Error>>,
    /// The last path, and the number of replies received on it by then.
    last_path: Mutex<Option<(Arc<Path>, u64)>>,
}

impl Progress {
    /// Returns the counter of replies that were refused.
    pub(super) fn refused(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.refused)
    }

    /// Records a sent packet with the number of replies received on its path, and returns how many
    /// were sent before.
    pub(super) fn count_sent(&self, path: Arc<Path>, valid_replies: u64, packet_len: usize) -> u32 {
        self.packet_len.store(packet_len, Ordering::Relaxed);
        *lock(&self.last_path) = Some((path, valid_replies));
        self.sent.fetch_add(1, Ordering::Relaxed)
    }

    /// Packets sent so far.
    pub(super) fn sent(&self) -> u32 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Marks the path on which it was last sent as suspect, unless something arrived from there
    /// since.
    pub(super) fn mark_suspect(&self) {
        if let Some((path, valid_replies)) = &*lock(&self.last_path)
            && path.valid_replies() == *valid_replies
        {
            path.mark_suspect();
        }
    }

    pub(super) fn set_error(&self, error: io::Error) {
        *lock(&self.last_error) = Some(error);
    }

    pub(super) fn to_timeout(&self) -> Error {
        Error::Timeout {
            sent: self.sent(),
            packet_len: self.packet_len.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            last_network_error: lock(&self.last_error).take(),
        }
    }

    /// Returns whether anything was sent, or else why not.
    pub(super) fn into_sent(self) -> io::Result<()> {
        if self.sent.into_inner() > 0 {
            return Ok(());
        }
        let error = lock(&self.last_error).take();
        Err(error.unwrap_or_else(|| io::ErrorKind::NetworkUnreachable.into()))
    }
}
