//! Counts of what became of a proxy's datagrams.

use std::array;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pssst_net::Histogram;
use pssst_support::named_enum;
use pssst_support::sync::lock;

named_enum! {
    /// Cause of a missing reply to a datagram of a program. Each datagram has at most one.
    #[non_exhaustive]
    pub enum Drop {
        /// It does not fit into a request ([`pssst_net::Client::max_message_len`]).
        RequestTooLarge => "request_too_large",
        /// Too many datagrams were in flight.
        Overloaded => "overload",
        /// It came from another machine.
        NotLoopback => "not_loopback",
        /// No reply came in time.
        TimedOut => "timeout",
        /// It could not be sent, because of the network or the client's key.
        Failed => "failed",
        /// The reply could not be sent to the program.
        SendFailed => "send_failed",
        /// Cancelled because the proxy stopped.
        Cancelled => "cancelled",
    }
}

/// Counters of a proxy since it started. Every datagram that was received was answered, sent one
/// way, dropped, or is in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyStats {
    /// Datagrams received from programs.
    pub received: u64,
    /// Replies sent to programs.
    pub replies: u64,
    /// Datagrams that were sent on without waiting for replies.
    pub one_way: u64,
    /// Receive errors of the system.
    pub receive_errors: u64,
    /// From when a datagram was received until its reply was there, in nanoseconds.
    pub request_nanos: Histogram,
    drops: [u64; Drop::COUNT],
}

impl ProxyStats {
    /// Datagrams that were dropped for this cause.
    pub const fn dropped(&self, cause: Drop) -> u64 {
        self.drops[cause.index()]
    }

    /// Returns the number of dropped datagrams for each cause.
    pub fn drops(&self) -> impl Iterator<Item = (Drop, u64)> {
        Drop::ALL.into_iter().map(|cause| (cause, self.dropped(cause)))
    }

    /// Datagrams in flight.
    pub fn in_flight(&self) -> u64 {
        self.received.saturating_sub(self.replies + self.one_way + self.drops.iter().sum::<u64>())
    }
}

#[derive(Debug)]
pub(super) struct Counters {
    pub(super) received: AtomicU64,
    pub(super) replies: AtomicU64,
    pub(super) one_way: AtomicU64,
    pub(super) receive_errors: AtomicU64,
    request_nanos: Mutex<Histogram>,
    drops: [AtomicU64; Drop::COUNT],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            received: AtomicU64::default(),
            replies: AtomicU64::default(),
            one_way: AtomicU64::default(),
            receive_errors: AtomicU64::default(),
            request_nanos: Mutex::new(Histogram::nanoseconds()),
            drops: array::from_fn(|_| AtomicU64::default()),
        }
    }
}

impl Counters {
    pub(super) fn dropped(&self, cause: Drop) {
        add(&self.drops[cause.index()]);
    }

    /// Counts how long a reply took.
    pub(super) fn replied_after(&self, time: Duration) {
        lock(&self.request_nanos).record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn snapshot(&self) -> ProxyStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // Ends first: what ends between the readings shows as in flight.
        let (replies, one_way) = (read(&self.replies), read(&self.one_way));
        let drops = array::from_fn(|place| read(&self.drops[place]));
        let (received, receive_errors) = (read(&self.received), read(&self.receive_errors));
        let request_nanos = lock(&self.request_nanos).clone();
        ProxyStats { received, replies, one_way, receive_errors, request_nanos, drops }
    }
}

pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
