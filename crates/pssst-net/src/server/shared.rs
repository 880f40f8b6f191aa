//! What all workers of a server share: read by every batch, written now and then.

use arc_swap::ArcSwap;
use pssst::Suite;

use super::config::ActiveConfig;
use crate::reply_cache::ReplyCache;
use crate::runtime::Shutdown;

pub(crate) struct Shared {
    pub(super) config: ArcSwap<ActiveConfig>,
    pub(super) limits: Limits,
    pub(super) reply_cache: Option<ReplyCache>,
    pub(super) shutdown: Shutdown,
    /// As many datagrams as can wait in a socket, or more.
    pub(super) max_waiting: usize,
    /// The sockets were passed to us, so what waits in them is not lost when we end.
    pub(super) is_inherited: bool,
}

impl Shared {
    /// Returns the memory of replies to requests of this suite: only suite 1 needs one.
    pub(super) fn reply_cache_for(&self, suite: Suite) -> Option<&ReplyCache> {
        self.reply_cache.as_ref().filter(|_| !suite.allows_different_answers())
    }
}

/// Bounds of a worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Length of the longest request datagram, in bytes.
    pub(super) datagram: usize,
    /// Requests that handlers have at a time.
    pub(super) in_flight: usize,
}
