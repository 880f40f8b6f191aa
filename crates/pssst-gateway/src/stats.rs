//! Counts of what became of the requests to a gateway.

use std::array;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use pssst_net::Histogram;
use pssst_support::named_enum;
use pssst_support::sync::lock;

named_enum! {
    /// Outcome of the exchange with the upstream for a request. Each request has exactly one.
    #[non_exhaustive]
    pub enum ExchangeOutcome {
        /// The upstream's answer is the reply.
        Answered => "answered",
        /// One-way: the upstream has the message, and no answer is awaited.
        Delivered => "delivered",
        /// The upstream answered with a status that is not a reply.
        StatusRefused => "status_refused",
        /// The upstream's answer, or the message, is too long.
        TooLarge => "too_large",
        /// Nothing accepts connections or datagrams at the upstream's address.
        Unreachable => "unreachable",
        /// This machine has no descriptor, port or buffer left for a connection to the upstream.
        LocalShortage => "local_shortage",
        /// The connection broke before the answer was complete.
        Broken => "broken",
        /// The upstream's answer violates its own protocol.
        Malformed => "malformed",
        /// No complete answer came in time.
        TimedOut => "timed_out",
        /// The upstream was not called, because the circuit is open
        /// ([`GatewayBuilder::circuit_breaker`](crate::GatewayBuilder::circuit_breaker)).
        CircuitOpen => "circuit_open",
        /// The upstream was not called, because too many requests are in flight
        /// ([`GatewayBuilder::max_concurrency`](crate::GatewayBuilder::max_concurrency)).
        Overloaded => "overloaded",
        /// Cancelled because the server stopped.
        Cancelled => "cancelled",
    }
}

/// Counters of a gateway since it was built, and those before it that it replaced
/// ([`GatewayBuilder::replacing`](crate::GatewayBuilder::replacing)).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GatewayStats {
    /// Requests in flight at the upstream now.
    pub in_flight: usize,
    /// Whether the circuit is open.
    pub is_circuit_open: bool,
    /// Duration of upstream calls, failed ones included, in nanoseconds.
    pub upstream_nanos: Histogram,
    outcomes: [u64; ExchangeOutcome::COUNT],
}

impl GatewayStats {
    /// Requests that ended in this way.
    pub const fn count(&self, outcome: ExchangeOutcome) -> u64 {
        self.outcomes[outcome.index()]
    }

    /// Returns how many requests ended in which way.
    pub fn outcomes(&self) -> impl Iterator<Item = (ExchangeOutcome, u64)> {
        ExchangeOutcome::ALL.into_iter().map(|outcome| (outcome, self.count(outcome)))
    }
}

#[derive(Debug)]
pub(crate) struct Counters {
    in_flight: AtomicUsize,
    outcomes: [AtomicU64; ExchangeOutcome::COUNT],
    upstream_nanos: Mutex<Histogram>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            in_flight: AtomicUsize::default(),
            outcomes: array::from_fn(|_| AtomicU64::default()),
            upstream_nanos: Mutex::new(Histogram::nanoseconds()),
        }
    }
}

impl Counters {
    pub(crate) fn count(&self, outcome: ExchangeOutcome) {
        self.outcomes[outcome.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request as with the upstream.
    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts its end, after `time`.
    pub(crate) fn end(&self, outcome: ExchangeOutcome, time: Duration) {
        self.count(outcome);
        lock(&self.upstream_nanos).record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self, is_circuit_open: bool) -> GatewayStats {
        GatewayStats {
            in_flight: self.in_flight.load(Ordering::Relaxed),
            is_circuit_open,
            upstream_nanos: lock(&self.upstream_nanos).clone(),
            outcomes: array::from_fn(|place| self.outcomes[place].load(Ordering::Relaxed)),
        }
    }
}
