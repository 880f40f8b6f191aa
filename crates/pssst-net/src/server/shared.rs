//! What all workers of a server share: read by every batch, written now and then.

use arc_swap::ArcSwap;
use pssst::{Suite, SuiteSet};

use super::config::ActiveConfig;
use crate::memo::Memo;
use crate::runtime::Shutdown;

pub(crate) struct Shared {
    pub(super) config: ArcSwap<ActiveConfig>,
    pub(super) limits: Limits,
    pub(super) memo: Option<Memo>,
    pub(super) memo_suites: SuiteSet,
    pub(super) shutdown: Shutdown,
    /// As many datagrams as can wait in a socket, or more.
    pub(super) max_waiting: usize,
    /// The sockets were passed to us, so what waits in them is not lost when we end.
    pub(super) is_inherited: bool,
}

impl Shared {
    /// The memory of replies to requests of this suite.
    pub(super) fn memo_for(&self, suite: Suite) -> Option<&Memo> {
        self.memo.as_ref().filter(|_| self.memo_suites.contains(suite))
    }
}

/// Bounds of a worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of the longest request datagram.
    pub(super) datagram: usize,
    /// Requests that handlers have at a time.
    pub(super) in_flight: usize,
}
