//! What all workers of a server share: read by every batch, written now and then.

use std::fmt;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use pssst::{KeyCheck, PublicKey, Suite, SuiteSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Handler;
use crate::memo::Memo;
use crate::rate_limit::RateLimiter;
use crate::udp::MAX_DATAGRAM;

pub(crate) struct Shared {
    pub(super) serving: ArcSwap<Serving>,
    pub(super) handler: ArcSwap<Handler>,
    pub(super) limits: Limits,
    pub(super) memo: Option<Memo>,
    pub(super) memo_suites: SuiteSet,
    pub(super) stop: Stop,
    /// As many datagrams as can wait in a socket, or more.
    pub(super) max_waiting: usize,
    /// The sockets were passed to us, so what waits in them is not lost when we end.
    pub(super) is_inherited: bool,
}

impl Shared {
    /// Where the replies to requests of this suite are remembered.
    pub(super) fn memo_for(&self, suite: Suite) -> Option<&Memo> {
        self.memo.as_ref().filter(|_| self.memo_suites.contains(suite))
    }
}

/// What is asked about a client's key.
pub(super) type Check = Arc<dyn Fn(&PublicKey) -> KeyCheck + Send + Sync>;

/// What requests are taken and opened with, and how they may be answered; replaced as a whole.
#[derive(Clone)]
pub(super) struct Serving {
    pub(super) server: Arc<pssst::Server>,
    pub(super) check: Check,
    pub(super) rate_limiter: Option<Arc<RateLimiter>>,
    pub(super) amplification: Amplification,
}

impl Serving {
    pub(super) fn public_keys(&self) -> Vec<PublicKey> {
        self.server.keyring().public_keys().copied().collect()
    }

    /// The key at this place of the keyring.
    pub(super) fn key(&self, place: usize) -> Option<PublicKey> {
        self.server.keyring().public_keys().nth(place).copied()
    }
}

/// What a worker may hold at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) datagram: usize,
    pub(super) in_flight: usize,
}

/// How many times longer than their requests replies may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amplification {
    pub(super) anonymous: Option<u32>,
    pub(super) authenticated: Option<u32>,
}

impl Amplification {
    /// Bytes of the reply to a request of this length, at most.
    pub(super) fn max_reply(self, request_len: usize, is_authenticated: bool) -> usize {
        let factor = if is_authenticated { self.authenticated } else { self.anonymous };
        let limit = factor.map_or(MAX_DATAGRAM, |factor| request_len.saturating_mul(factor as usize));
        limit.min(MAX_DATAGRAM)
    }
}

/// The word to stop, and how long what was accepted may take to finish.
#[derive(Clone, Default)]
pub(super) struct Stop {
    requested: CancellationToken,
    deadline: Arc<OnceLock<Instant>>,
}

impl Stop {
    /// The first request counts.
    pub(super) fn request(&self, deadline: Instant) {
        self.deadline.get_or_init(|| deadline);
        self.requested.cancel();
    }

    pub(super) async fn requested(&self) {
        self.requested.cancelled().await;
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline.get().copied().unwrap_or_else(Instant::now)
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").field("server", &self.server).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_limited_by_their_requests_and_by_datagrams() {
        let amplification = Amplification { anonymous: Some(3), authenticated: None };
        assert_eq!(amplification.max_reply(60, false), 180);
        assert_eq!(amplification.max_reply(60, true), 65_507);
        assert_eq!(amplification.max_reply(usize::MAX, false), 65_507);
        let none = Amplification { anonymous: Some(0), ..amplification };
        assert_eq!(none.max_reply(60, false), 0);
    }
}
