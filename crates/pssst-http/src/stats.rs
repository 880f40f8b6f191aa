//! Counters of a listener's events.

use std::array;
use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};

use pssst_support::named_enum;

named_enum! {
    /// Event of a listener.
    #[expect(clippy::exhaustive_enums, reason = "callers map every event")]
    pub enum HttpEvent {
        /// A connection was accepted.
        Connected => "connected",
        /// An idle connection gave way to a new one.
        Evicted => "connection_evicted",
        /// A connection was closed at once, since its source has its share of requests in progress.
        SourceRefused => "source_refused",
        /// The system could not accept a connection, for instance for lack of file descriptors.
        AcceptFailed => "accept_failed",
        /// A TLS handshake failed: another version, another authority, or no TLS at all.
        HandshakeFailed => "handshake_failed",
        /// A TLS handshake took too long.
        HandshakeTimedOut => "handshake_timed_out",
        /// A request took too long, at the client's end or here.
        RequestTimedOut => "request_timed_out",
    }
}

/// Counters of a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpStats {
    events: [u64; HttpEvent::COUNT],
    connections: usize,
}

impl HttpStats {
    /// Returns how often this happened.
    pub const fn count(&self, event: HttpEvent) -> u64 {
        self.events[event.index()]
    }

    /// Returns how many connections are open now.
    pub const fn connections(&self) -> usize {
        self.connections
    }
}

/// What happened at two listeners.
impl Add for HttpStats {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let events = HttpEvent::ALL.map(|event| self.count(event) + other.count(event));
        Self { events, connections: self.connections + other.connections }
    }
}

/// The counters behind it.
#[derive(Debug)]
pub(crate) struct Counters([AtomicU64; HttpEvent::COUNT]);

impl Counters {
    pub(crate) fn add(&self, event: HttpEvent) {
        self.0[event.index()].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self, connections: usize) -> HttpStats {
        HttpStats { events: self.0.each_ref().map(|count| count.load(Ordering::Relaxed)), connections }
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self(array::from_fn(|_| AtomicU64::new(0)))
    }
}
