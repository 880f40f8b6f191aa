//! What became of the requests that a gateway was handed.

use std::array;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How a request ended at the gateway. Each ends in exactly one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GatewayOutcome {
    /// The upstream's answer is the reply.
    Answered,
    /// One-way: the upstream has the message, and nobody waits for more.
    Delivered,
    /// The upstream answered with a status that is no reply.
    StatusRefused,
    /// The upstream's answer, or the message, is longer than may be.
    TooLarge,
    /// Nobody takes connections or datagrams there.
    Unreachable,
    /// The connection broke before the answer was complete.
    Broken,
    /// What came is no answer in the upstream's own protocol.
    Malformed,
    /// No complete answer came in time.
    TimedOut,
    /// The upstream was not asked, having failed too often ([`GatewayBuilder::circuit_breaker`](crate::GatewayBuilder::circuit_breaker)).
    CircuitOpen,
    /// The upstream was not asked, as many requests being with it as may be
    /// ([`GatewayBuilder::max_concurrency`](crate::GatewayBuilder::max_concurrency)).
    Overloaded,
    /// Given up by the server, which was stopping.
    Abandoned,
}

impl GatewayOutcome {
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

/// How long the upstream took, whether it answered or failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Durations {
    /// The sum of all of them, in nanoseconds.
    pub sum_nanos: u64,
    counts: [u64; Self::BUCKETS],
}

impl Durations {
    const BUCKETS: usize = 18;
    /// The first bucket's upper bound, in nanoseconds; each further one's is twice the one before.
    const FIRST: u64 = 125_000;

    /// For each bucket, in rising order, the longest time that falls into it in nanoseconds, and how many did. The last one takes
    /// all that is left, and its bound is [`u64::MAX`].
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.counts.iter().enumerate().map(|(place, &count)| (Self::bound(place), count))
    }

    fn bound(place: usize) -> u64 {
        if place + 1 == Self::BUCKETS { u64::MAX } else { Self::FIRST << place }
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
    /// How long the upstream took.
    pub durations: Durations,
    outcomes: [u64; GatewayOutcome::ALL.len()],
}

impl GatewayStats {
    /// Requests that ended in this way.
    pub const fn count(&self, outcome: GatewayOutcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    /// How many requests ended in which way.
    pub fn outcomes(&self) -> impl Iterator<Item = (GatewayOutcome, u64)> {
        GatewayOutcome::ALL.into_iter().map(|outcome| (outcome, self.count(outcome)))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    in_flight: AtomicUsize,
    outcomes: [AtomicU64; GatewayOutcome::ALL.len()],
    durations: [AtomicU64; Durations::BUCKETS],
    sum_nanos: AtomicU64,
}

impl Counts {
    pub(crate) fn count(&self, outcome: GatewayOutcome) {
        self.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A request is handed to the upstream.
    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// It has ended, after so long.
    pub(crate) fn end(&self, outcome: GatewayOutcome, time: Duration) {
        self.count(outcome);
        self.took(time);
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    fn took(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let place = (0..Durations::BUCKETS).position(|place| nanos <= Durations::bound(place));
        self.durations[place.unwrap_or(Durations::BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self, is_circuit_open: bool) -> GatewayStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = array::from_fn(|place| read(&self.durations[place]));
        GatewayStats {
            in_flight: self.in_flight.load(Ordering::Relaxed),
            is_circuit_open,
            durations: Durations { sum_nanos: read(&self.sum_nanos), counts },
            outcomes: array::from_fn(|place| read(&self.outcomes[place])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_own_place_and_name() {
        for (place, outcome) in GatewayOutcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, place);
            assert_eq!(GatewayOutcome::ALL.iter().filter(|other| other.name() == outcome.name()).count(), 1);
        }
    }

    #[test]
    fn durations_fall_below_their_bounds() {
        let counts = Counts::default();
        for nanos in [0, 125_000, 125_001, 250_000, 8_192_000_000, 8_192_000_001, 3_600_000_000_000] {
            counts.took(Duration::from_nanos(nanos));
        }
        let durations = counts.snapshot(false).durations;
        let filled: Vec<_> = durations.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(125_000, 2), (250_000, 2), (8_192_000_000, 1), (u64::MAX, 2)]);
        assert_eq!(durations.sum_nanos, 3_616_384_500_002);
    }
}
