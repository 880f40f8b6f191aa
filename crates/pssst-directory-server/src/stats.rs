//! Counters of a directory's events.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};

use pssst_directory::Refusal;
use pssst_http::{HttpEvent, HttpStats};
use pssst_support::named_enum;

named_enum! {
    /// Event of a directory. Refused enrolments are counted by their [`Refusal`] instead, and
    /// refused renewals by their [`RenewalRefusal`].
    #[non_exhaustive]
    pub enum DirectoryEvent {
        /// A connection was accepted.
        Connected => "connected",
        /// An idle connection gave way to a new one.
        ConnectionEvicted => "connection_evicted",
        /// A connection was closed at once, since its source has its share of requests in progress.
        SourceRefused => "source_refused",
        /// The system could not accept a connection, for instance for lack of file descriptors.
        AcceptFailed => "accept_failed",
        /// A TLS handshake failed: another version, another authority, or no TLS at all.
        HandshakeFailed => "handshake_failed",
        /// A TLS handshake took too long.
        HandshakeTimedOut => "handshake_timed_out",
        /// A request took too long, at its end or at ours.
        RequestTimedOut => "request_timed_out",
        /// The key document was sent.
        KeysSent => "keys_sent",
        /// A client had the key document already.
        KeysUnchanged => "keys_unchanged",
        /// A device was enrolled, or its enrolment was confirmed once more.
        Enrolled => "enrolled",
        /// A client renewed its secrets.
        Renewed => "renewed",
        /// An operator with a good credential was let in.
        OperatorAdmitted => "operator_admitted",
        /// A request at the admin listener had no credential: a browser's first request, mostly.
        OperatorUnknown => "operator_unknown",
        /// A request at the admin listener had a wrong credential.
        OperatorRefused => "operator_refused",
        /// An operator's failed login, too often for the audit log.
        OperatorRateLimited => "operator_rate_limited",
        /// A browser sent a form for a page of another origin.
        CrossOriginRefused => "cross_origin_refused",
        /// A rotation of the server's keys was started.
        RotationStarted => "rotation_started",
        /// An entry could not be written to the audit log. (Changes of identities and tokens are
        /// never made without their entry.)
        AuditFailed => "audit_failed",
    }
}

named_enum! {
    /// The reason why the directory refuses a renewal. The client is not told: all refusals look
    /// alike, except the last two.
    #[non_exhaustive]
    pub enum RenewalRefusal {
        /// The body is not a sealed request of this purpose, or is sealed for another pool's key.
        InvalidRequest => "invalid_request",
        /// The key that the client proved is not enrolled.
        UnknownClient => "unknown_client",
        /// The client is suspended.
        Suspended => "suspended",
        /// The client is revoked.
        Revoked => "revoked",
        /// The client has expired.
        Expired => "expired",
        /// The client must use a pre-shared key, and presented none.
        MissingPsk => "missing_psk",
        /// The client must use a pre-shared key, and presented one of no master in use: an old one,
        /// or another client's.
        WrongPsk => "wrong_psk",
        /// Too many requests from this source.
        RateLimited => "rate_limited",
        /// The directory failed.
        Unavailable => "unavailable",
    }
}

impl From<HttpEvent> for DirectoryEvent {
    fn from(event: HttpEvent) -> Self {
        match event {
            HttpEvent::Connected => Self::Connected,
            HttpEvent::Evicted => Self::ConnectionEvicted,
            HttpEvent::SourceRefused => Self::SourceRefused,
            HttpEvent::AcceptFailed => Self::AcceptFailed,
            HttpEvent::HandshakeFailed => Self::HandshakeFailed,
            HttpEvent::HandshakeTimedOut => Self::HandshakeTimedOut,
            HttpEvent::RequestTimedOut => Self::RequestTimedOut,
        }
    }
}

/// Counters of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryStats {
    events: [u64; DirectoryEvent::COUNT],
    refusals: [u64; Refusal::ALL.len()],
    renewal_refusals: [u64; RenewalRefusal::COUNT],
    connections: usize,
}

impl DirectoryStats {
    /// Returns how often this happened.
    pub fn count(&self, event: DirectoryEvent) -> u64 {
        self.events.get(event as usize).copied().unwrap_or(0)
    }

    /// Returns how many enrolments were refused for this cause.
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.refusals.get(refusal as usize).copied().unwrap_or(0)
    }

    /// Returns how many renewals were refused for this cause.
    pub fn renewals_refused(&self, refusal: RenewalRefusal) -> u64 {
        self.renewal_refusals.get(refusal as usize).copied().unwrap_or(0)
    }

    /// Open connections.
    pub fn connections(&self) -> usize {
        self.connections
    }
}

/// The counters behind it.
#[derive(Debug)]
pub(super) struct Counters {
    events: [AtomicU64; DirectoryEvent::COUNT],
    refusals: [AtomicU64; Refusal::ALL.len()],
    renewal_refusals: [AtomicU64; RenewalRefusal::COUNT],
}

impl Counters {
    pub(super) fn add(&self, event: DirectoryEvent) {
        add_one(self.events.get(event as usize));
    }

    pub(super) fn add_refusal(&self, refusal: Refusal) {
        add_one(self.refusals.get(refusal as usize));
    }

    pub(super) fn add_renewal_refusal(&self, refusal: RenewalRefusal) {
        add_one(self.renewal_refusals.get(refusal as usize));
    }

    /// Together with what happened at the listeners.
    pub(super) fn snapshot(&self, http: HttpStats) -> DirectoryStats {
        let mut events = self.events.each_ref().map(|count| count.load(Ordering::Relaxed));
        for event in HttpEvent::ALL {
            events[DirectoryEvent::from(event).index()] += http.count(event);
        }
        DirectoryStats {
            events,
            refusals: self.refusals.each_ref().map(|count| count.load(Ordering::Relaxed)),
            renewal_refusals: self.renewal_refusals.each_ref().map(|count| count.load(Ordering::Relaxed)),
            connections: http.connections(),
        }
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            events: array::from_fn(|_| AtomicU64::new(0)),
            refusals: array::from_fn(|_| AtomicU64::new(0)),
            renewal_refusals: array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

fn add_one(count: Option<&AtomicU64>) {
    if let Some(count) = count {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_counter_and_a_name_of_its_own() {
        let counters = Counters::default();
        for (times, event) in DirectoryEvent::ALL.into_iter().enumerate() {
            (0..=times).for_each(|_| counters.add(event));
        }
        for (times, refusal) in Refusal::ALL.into_iter().enumerate() {
            (0..=times).for_each(|_| counters.add_refusal(refusal));
        }
        for (times, refusal) in RenewalRefusal::ALL.into_iter().enumerate() {
            (0..=times).for_each(|_| counters.add_renewal_refusal(refusal));
        }
        let stats = counters.snapshot(HttpStats::default());
        for (place, refusal) in RenewalRefusal::ALL.into_iter().enumerate() {
            assert_eq!(stats.renewals_refused(refusal), place as u64 + 1, "{refusal}");
        }
        for (place, event) in DirectoryEvent::ALL.into_iter().enumerate() {
            assert_eq!(stats.count(event), place as u64 + 1, "{}", event.name());
        }
        for (place, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(stats.refused(refusal), place as u64 + 1, "{refusal}");
        }
        let names: std::collections::HashSet<_> = DirectoryEvent::ALL.map(DirectoryEvent::name).into_iter().collect();
        assert_eq!(names.len(), DirectoryEvent::COUNT);
    }
}
