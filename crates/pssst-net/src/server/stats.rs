//! What became of the packets.

use std::array;

use pssst::{Keyring, Refusal};

use crate::stats::{AtomicHistogram, Buckets, Counter, Histogram};

/// The end of a received datagram. Each has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DatagramOutcome {
    /// The handler's reply was given to the system to be sent.
    Replied,
    /// A repeated request; the reply that it got before was sent again, without asking the handler.
    ReplyResent,
    /// The handler wanted no reply.
    NoReply,
    /// Refused by the protocol, for this cause.
    Refused(Refusal),
    /// Dropped: longer than the server takes
    /// ([`ServerBuilder::max_datagram`](crate::ServerBuilder::max_datagram)).
    RequestTooLarge,
    /// Dropped before any work: its source sent too much
    /// ([`ServerConfig::rate_limit`](crate::ServerConfig::rate_limit)).
    RateLimited,
    /// Dropped after it was opened: its client sent too much
    /// ([`ServerConfig::client_rate_limit`](crate::ServerConfig::client_rate_limit)).
    ClientRateLimited,
    /// Dropped: as many requests were in flight as may be, or the handler shed load.
    Overloaded,
    /// A repeated request, dropped because the handler was still at work on the first.
    InProgress,
    /// The handler's time was up.
    HandlerTimedOut,
    /// The handler failed or panicked.
    HandlerFailed,
    /// The reply was not sent, being too large beside its request
    /// ([`ServerConfig::max_amplification`](crate::ServerConfig::max_amplification)) or for a
    /// datagram.
    ReplyTooLarge,
    /// The reply was not sent: the handler gave another one to the same request before, and under
    /// suite 1 two of them would reveal the authentication key. Make handlers answer the same
    /// request with the same bytes.
    ConflictingReply,
    /// The system did not take the reply: no route, no room, a firewall.
    SendFailed,
    /// Given up at shutdown, its time being up.
    Cancelled,
}

impl DatagramOutcome {
    /// Outcomes of what was served.
    const SERVED: [Self; 3] = [Self::Replied, Self::ReplyResent, Self::NoReply];

    /// Outcomes of what was dropped, other than refusals.
    const DROPPED: [Self; 11] = [
        Self::RequestTooLarge,
        Self::RateLimited,
        Self::ClientRateLimited,
        Self::Overloaded,
        Self::InProgress,
        Self::HandlerTimedOut,
        Self::HandlerFailed,
        Self::ReplyTooLarge,
        Self::ConflictingReply,
        Self::SendFailed,
        Self::Cancelled,
    ];

    /// The number of outcomes, each cause of a refusal counted as one.
    pub(super) const COUNT: usize = Self::SERVED.len() + Refusal::COUNT + Self::DROPPED.len();

    /// Every outcome, each cause of a refusal as one.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::SERVED.into_iter().chain(Refusal::ALL.map(Self::Refused)).chain(Self::DROPPED)
    }

    /// Returns whether the request was served: its reply was sent, or its handler wanted none.
    pub const fn is_served(self) -> bool {
        match self {
            Self::Replied | Self::ReplyResent | Self::NoReply => true,
            Self::Refused(_)
            | Self::RequestTooLarge
            | Self::RateLimited
            | Self::ClientRateLimited
            | Self::Overloaded
            | Self::InProgress
            | Self::HandlerTimedOut
            | Self::HandlerFailed
            | Self::ReplyTooLarge
            | Self::ConflictingReply
            | Self::SendFailed
            | Self::Cancelled => false,
        }
    }

    /// Returns the place in a table of [`DatagramOutcome::COUNT`] counters.
    const fn index(self) -> usize {
        match self {
            Self::Replied => 0,
            Self::ReplyResent => 1,
            Self::NoReply => 2,
            Self::Refused(cause) => 3 + cause.index(),
            Self::RequestTooLarge => 3 + Refusal::COUNT,
            Self::RateLimited => 4 + Refusal::COUNT,
            Self::ClientRateLimited => 5 + Refusal::COUNT,
            Self::Overloaded => 6 + Refusal::COUNT,
            Self::InProgress => 7 + Refusal::COUNT,
            Self::HandlerTimedOut => 8 + Refusal::COUNT,
            Self::HandlerFailed => 9 + Refusal::COUNT,
            Self::ReplyTooLarge => 10 + Refusal::COUNT,
            Self::ConflictingReply => 11 + Refusal::COUNT,
            Self::SendFailed => 12 + Refusal::COUNT,
            Self::Cancelled => 13 + Refusal::COUNT,
        }
    }

    /// Returns the name in `snake_case` for logs and metrics; for a refusal, that of its cause.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Replied => "replied",
            Self::ReplyResent => "reply_resent",
            Self::NoReply => "no_reply",
            Self::Refused(cause) => cause.name(),
            Self::RequestTooLarge => "request_too_large",
            Self::RateLimited => "rate_limit",
            Self::ClientRateLimited => "client_rate_limit",
            Self::Overloaded => "overload",
            Self::InProgress => "in_progress",
            Self::HandlerTimedOut => "handler_timeout",
            Self::HandlerFailed => "handler_failed",
            Self::ReplyTooLarge => "reply_too_large",
            Self::ConflictingReply => "conflicting_reply",
            Self::SendFailed => "send_failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Counters of one worker, which alone writes them.
#[derive(Debug)]
pub(crate) struct WorkerCounts {
    pub(super) received: Counter,
    pub(super) received_bytes: Counter,
    pub(super) sent_bytes: Counter,
    pub(super) anonymous: Counter,
    pub(super) authenticated: Counter,
    pub(super) receive_errors: Counter,
    pub(super) batch_size: AtomicHistogram,
    pub(super) handler: AtomicHistogram,
    pub(super) request_duration: AtomicHistogram,
    pub(super) by_key: [Counter; Keyring::MAX_KEYS],
    pub(super) config_errors: Counter,
    outcomes: [Counter; DatagramOutcome::COUNT],
}

impl WorkerCounts {
    pub(crate) fn new() -> Self {
        Self {
            received: Counter::default(),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            anonymous: Counter::default(),
            authenticated: Counter::default(),
            receive_errors: Counter::default(),
            batch_size: AtomicHistogram::new(Buckets::BATCH_SIZES),
            handler: AtomicHistogram::new(Buckets::NANOSECONDS),
            request_duration: AtomicHistogram::new(Buckets::NANOSECONDS),
            by_key: array::from_fn(|_| Counter::default()),
            config_errors: Counter::default(),
            outcomes: array::from_fn(|_| Counter::default()),
        }
    }

    pub(super) fn count(&self, outcome: DatagramOutcome) {
        self.outcomes[outcome.index()].add(1);
    }

    pub(crate) fn snapshot(&self) -> Stats {
        // Outcomes first: what ends between the two readings shows as in flight, not as ended
        // before it came.
        let outcomes = array::from_fn(|place| self.outcomes[place].get());
        Stats {
            received: self.received.get(),
            received_bytes: self.received_bytes.get(),
            sent_bytes: self.sent_bytes.get(),
            anonymous_requests: self.anonymous.get(),
            authenticated_requests: self.authenticated.get(),
            receive_errors: self.receive_errors.get(),
            config_errors: self.config_errors.get(),
            batch_size: self.batch_size.snapshot(),
            handler_nanos: self.handler.snapshot(),
            request_nanos: self.request_duration.snapshot(),
            requests_by_key: array::from_fn(|place| self.by_key[place].get()),
            kernel_drops: None,
            outcomes,
        }
    }
}

/// Counts of a server, or of one of its workers, since it started.
///
/// Every datagram that was received is in [`Stats::outcomes`] exactly once, or
/// [`Stats::in_flight`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Datagrams received.
    pub received: u64,
    /// Bytes received, without UDP and IP headers.
    pub received_bytes: u64,
    /// Length of the replies that were sent, in bytes, without headers of UDP and IP.
    pub sent_bytes: u64,
    /// Anonymous requests that were opened.
    pub anonymous_requests: u64,
    /// Authenticated requests that were opened.
    pub authenticated_requests: u64,
    /// Requests opened, by the place of the key among those of its kind in the keyring of that
    /// time: whether an old key is still in use. X25519 keys have the first
    /// [`CAPACITY`](Keyring::CAPACITY) places, X-Wing keys the others.
    pub requests_by_key: [u64; Keyring::MAX_KEYS],
    /// Receive errors of the system.
    pub receive_errors: u64,
    /// Configurations that a worker did not take, since their handler panicked as it was made.
    pub config_errors: u64,
    /// Datagrams that the kernel dropped because the socket's receive buffer was full, and that the
    /// server therefore never received. `None` if the system does not report it, and for single
    /// workers.
    pub kernel_drops: Option<u64>,
    /// Datagrams received together.
    pub batch_size: Histogram,
    /// Nanoseconds that the handler took for a request, whether it answered or failed. What a
    /// service lets wait before it is ready is part of it.
    pub handler_nanos: Histogram,
    /// Nanoseconds from receiving a request to having sent its reply.
    pub request_nanos: Histogram,
    outcomes: [u64; DatagramOutcome::COUNT],
}

impl Stats {
    /// Returns the number of datagrams with this outcome.
    pub const fn count(&self, outcome: DatagramOutcome) -> u64 {
        self.outcomes[outcome.index()]
    }

    /// Returns the number of datagrams for each outcome.
    pub fn outcomes(&self) -> impl Iterator<Item = (DatagramOutcome, u64)> {
        DatagramOutcome::all().map(|outcome| (outcome, self.count(outcome)))
    }

    /// Requests opened, by kind.
    pub const fn requests(&self) -> u64 {
        self.anonymous_requests + self.authenticated_requests
    }

    /// Datagrams that were received and have not ended.
    pub fn in_flight(&self) -> u64 {
        self.received.saturating_sub(self.outcomes.iter().sum())
    }

    /// Returns counts of nothing.
    pub(super) fn new() -> Self {
        WorkerCounts::new().snapshot()
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.received_bytes += other.received_bytes;
        self.sent_bytes += other.sent_bytes;
        self.anonymous_requests += other.anonymous_requests;
        self.authenticated_requests += other.authenticated_requests;
        self.receive_errors += other.receive_errors;
        self.config_errors += other.config_errors;
        self.batch_size.merge(&other.batch_size);
        self.handler_nanos.merge(&other.handler_nanos);
        self.request_nanos.merge(&other.request_nanos);
        for (mine, theirs) in self.requests_by_key.iter_mut().zip(other.requests_by_key) {
            *mine += theirs;
        }
        for (mine, theirs) in self.outcomes.iter_mut().zip(other.outcomes) {
            *mine += theirs;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_own_place_and_name() {
        for (place, outcome) in DatagramOutcome::all().enumerate() {
            assert_eq!(outcome.index(), place);
            assert_eq!(DatagramOutcome::all().filter(|other| other.name() == outcome.name()).count(), 1);
        }
    }

    #[test]
    fn each_refusal_has_its_own_counter() {
        for refusal in Refusal::ALL {
            let counts = WorkerCounts::new();
            counts.count(DatagramOutcome::Refused(refusal));
            let stats = counts.snapshot();
            let counted: Vec<_> = stats.outcomes().filter(|(_, count)| *count > 0).collect();
            assert_eq!(counted, [(DatagramOutcome::Refused(refusal), 1)]);
            assert_eq!(counted[0].0.name(), refusal.name());
            assert!(!counted[0].0.is_served());
        }
    }

    #[test]
    fn what_has_not_ended_is_in_flight() {
        let counts = WorkerCounts::new();
        counts.received.add(3);
        counts.count(DatagramOutcome::Replied);
        counts.count(DatagramOutcome::Refused(Refusal::ReservedFlags { bits: 1 }));
        let mut stats = counts.snapshot();
        assert_eq!(
            (stats.in_flight(), stats.count(DatagramOutcome::Refused(Refusal::ReservedFlags { bits: 0 }))),
            (1, 1)
        );
        stats.add(&counts.snapshot());
        assert_eq!((stats.received, stats.in_flight(), stats.count(DatagramOutcome::Replied)), (6, 2, 2));
        assert_eq!(stats.outcomes().map(|(_, count)| count).sum::<u64>(), 4);
    }
}
