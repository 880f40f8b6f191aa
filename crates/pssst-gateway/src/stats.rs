//! Counts of what became of the requests to a gateway.

use std::array;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pssst_net::Histogram;

/// How the exchange with the upstream ended, for a request. Each ends in exactly one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExchangeOutcome {
    /// The upstream's answer is the reply.
    Answered,
    /// One-way: the upstream has the message, and nobody waits for more.
    Delivered,
    /// The upstream answered with a status that is not a reply.
    StatusRefused,
    /// The upstream's answer, or the message, is longer than may be.
    TooLarge,
    /// Nobody takes connections or datagrams there.
    Unreachable,
    /// The connection broke before the answer was complete.
    Broken,
    /// The upstream's answer violates its own protocol.
    Malformed,
    /// No complete answer came in time.
    TimedOut,
    /// The upstream was not asked, having failed too often
    /// ([`GatewayBuilder::circuit_breaker`](crate::GatewayBuilder::circuit_breaker)).
    CircuitOpen,
    /// The upstream was not asked, as many requests being with it as may be
    /// ([`GatewayBuilder::max_concurrency`](crate::GatewayBuilder::max_concurrency)).
    Overloaded,
    /// Given up by the server, which was stopping.
    Abandoned,
}

impl ExchangeOutcome {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Answered,
        Self::Delivered,
        Self::StatusRefused,
        Self::TooLarge,
        Self::Unreachable,
        Self::Broken,
        Self::Malformed,
        Self::TimedOut,
        Self::CircuitOpen,
        Self::Overloaded,
        Self::Abandoned,
    ];

    /// A name for logs and metrics, in snake case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Delivered => "delivered",
            Self::StatusRefused => "status_refused",
            Self::TooLarge => "too_large",
            Self::Unreachable => "unreachable",
            Self::Broken => "broken",
            Self::Malformed => "malformed",
            Self::TimedOut => "timed_out",
            Self::CircuitOpen => "circuit_open",
            Self::Overloaded => "overloaded",
            Self::Abandoned => "abandoned",
        }
    }
}

/// What a gateway has done since it was built, and those before it that it replaced
/// ([`GatewayBuilder::replacing`](crate::GatewayBuilder::replacing)).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GatewayStats {
    /// Requests that are with the upstream now.
    pub in_flight: usize,
    /// Whether the upstream is being left alone.
    pub is_circuit_open: bool,
    /// How long the upstream took, whether it answered or failed, in nanoseconds.
    pub upstream_nanos: Histogram,
    outcomes: [u64; ExchangeOutcome::ALL.len()],
}

impl GatewayStats {
    /// Requests that ended in this way.
    pub const fn count(&self, outcome: ExchangeOutcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    /// How many requests ended in which way.
    pub fn outcomes(&self) -> impl Iterator<Item = (ExchangeOutcome, u64)> {
        ExchangeOutcome::ALL.into_iter().map(|outcome| (outcome, self.count(outcome)))
    }
}

#[derive(Debug)]
pub(crate) struct Counters {
    in_flight: AtomicUsize,
    outcomes: [AtomicU64; ExchangeOutcome::ALL.len()],
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
        self.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request as with the upstream.
    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts its end, after `time`.
    pub(crate) fn end(&self, outcome: ExchangeOutcome, time: Duration) {
        self.count(outcome);
        self.upstream_nanos().record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self, is_circuit_open: bool) -> GatewayStats {
        GatewayStats {
            in_flight: self.in_flight.load(Ordering::Relaxed),
            is_circuit_open,
            upstream_nanos: self.upstream_nanos().clone(),
            outcomes: array::from_fn(|place| self.outcomes[place].load(Ordering::Relaxed)),
        }
    }

    fn upstream_nanos(&self) -> MutexGuard<'_, Histogram> {
        self.upstream_nanos.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_own_place_and_name() {
        for (place, outcome) in ExchangeOutcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, place);
            assert_eq!(ExchangeOutcome::ALL.iter().filter(|other| other.name() == outcome.name()).count(), 1);
        }
    }
}
