//! The access policy of a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use pssst::{KeyCheck, PublicKey};

use crate::{IdentitySnapshot, RefusedCause, RefusedClients, State};

/// Treatment of clients that prove a key which is not enrolled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnknownClients {
    /// Refuse them.
    #[default]
    Refuse,
    /// Serve them, if their key is valid and not an alias. Handlers find no name for them.
    Allow,
}

/// A server's policy: who of those in an [`IdentitySnapshot`] is served, and how often who was not.
///
/// It does not apply to anonymous clients: a server refuses them with
/// `pssst::Server::authenticated_only`.
///
/// ```
/// use std::sync::Arc;
/// use pssst_identity::pssst::{KeyCheck, PublicKey};
/// use pssst_identity::{AccessPolicy, IdentitySnapshot, UnknownClients};
///
/// let policy = AccessPolicy::new(Arc::new(IdentitySnapshot::new()), UnknownClients::Refuse);
/// // What `pssst_net::ServerBuilder::clients` takes: `move |key| policy.check(key)`.
/// assert_eq!(policy.check(&PublicKey::from_bytes([9; 32])), KeyCheck::RejectUnknown);
/// assert_eq!(policy.stats().unknown, 1);
/// ```
#[derive(Debug)]
pub struct AccessPolicy {
    snapshot: Arc<IdentitySnapshot>,
    unknown_clients: UnknownClients,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    unknown: AtomicU64,
    suspended: AtomicU64,
    revoked: AtomicU64,
    expired: AtomicU64,
    refused: RefusedClients,
}

/// Counters of requests that a policy saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessStats {
    /// Requests of unknown clients, refused or not.
    pub unknown: u64,
    /// Refused requests of suspended clients.
    pub suspended: u64,
    /// Refused requests of revoked clients.
    pub revoked: u64,
    /// Requests refused because the client has expired.
    pub expired: u64,
}

impl AccessPolicy {
    /// Returns the policy over this snapshot.
    pub fn new(snapshot: Arc<IdentitySnapshot>, unknown_clients: UnknownClients) -> Self {
        Self { snapshot, unknown_clients, counts: Arc::default() }
    }

    /// Shares the counters of `policy`, so that a replacement continues its statistics.
    #[must_use]
    pub fn replacing(self, policy: &Self) -> Self {
        Self { counts: Arc::clone(&policy.counts), ..self }
    }

    /// Decides about a request of the client that proved this key. For a client that is served, it
    /// takes no lock and does not allocate.
    pub fn check(&self, key: &PublicKey) -> KeyCheck {
        self.check_at(key, Timestamp::now)
    }

    /// Returns the snapshot, for the names of clients.
    pub fn snapshot(&self) -> &IdentitySnapshot {
        &self.snapshot
    }

    /// Returns the clients that were refused.
    pub fn refused(&self) -> &RefusedClients {
        &self.counts.refused
    }

    /// Returns the counts of refused requests, by cause.
    pub fn stats(&self) -> AccessStats {
        let Counts { unknown, suspended, revoked, expired, refused: _ } = &*self.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        AccessStats {
            unknown: read(unknown),
            suspended: read(suspended),
            revoked: read(revoked),
            expired: read(expired),
        }
    }

    /// The clock is read only for a client that expires or is refused.
    fn check_at(&self, key: &PublicKey, now: impl Fn() -> Timestamp) -> KeyCheck {
        let refuse = |count: &AtomicU64, cause| {
            count.fetch_add(1, Ordering::Relaxed);
            self.counts.refused.add(key, cause, now());
        };
        let Some(client) = self.snapshot.authorization(key) else {
            if self.unknown_clients == UnknownClients::Allow {
                self.counts.unknown.fetch_add(1, Ordering::Relaxed);
                return KeyCheck::Validate;
            }
            refuse(&self.counts.unknown, RefusedCause::Unknown);
            return KeyCheck::RejectUnknown;
        };
        match client.state {
            State::Enrolled if client.expires.is_none() || !client.is_expired(now()) => {
                return match self.unknown_clients {
                    UnknownClients::Refuse => KeyCheck::Accept,
                    // As much work as for a key that is not enrolled: the time tells nothing.
                    UnknownClients::Allow => KeyCheck::Validate,
                };
            }
            State::Enrolled => refuse(&self.counts.expired, RefusedCause::Expired),
            State::Suspended => refuse(&self.counts.suspended, RefusedCause::Suspended),
            State::Revoked => refuse(&self.counts.revoked, RefusedCause::Revoked),
        }
        KeyCheck::RejectInactive
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Change, ClientStatus, Revision};

    #[test]
    fn each_cause_is_refused_and_counted() {
        let time = |second| Timestamp::from_second(second).unwrap();
        let clients = [
            (1, State::Enrolled, None, KeyCheck::Accept),
            (2, State::Enrolled, Some(time(1_001)), KeyCheck::Accept),
            (3, State::Enrolled, Some(time(1_000)), KeyCheck::RejectInactive),
            (4, State::Suspended, None, KeyCheck::RejectInactive),
            (5, State::Revoked, Some(time(1)), KeyCheck::RejectInactive),
        ];
        let snapshot = Arc::new(IdentitySnapshot::new());
        let key = |number| PublicKey::from_bytes([number; 32]);
        snapshot.apply(&clients.map(|(number, state, expires, _)| Change {
            revision: Revision(number.into()),
            key: key(number),
            status: Some(ClientStatus { name: "a".into(), state, expires }),
        }));

        let refusing = AccessPolicy::new(Arc::clone(&snapshot), UnknownClients::Refuse);
        for (number, .., expected) in clients {
            assert_eq!(refusing.check_at(&key(number), || time(1_000)), expected, "{number}");
        }
        assert_eq!(refusing.check(&key(6)), KeyCheck::RejectUnknown);
        assert_eq!(refusing.stats(), AccessStats { unknown: 1, suspended: 1, revoked: 1, expired: 1 });
        let mut refused = refusing.refused().report(Timestamp::now(), |_| None).clients;
        refused.sort_by_key(|client| *client.key.as_bytes());
        let refused: Vec<_> = refused.iter().map(|client| client.cause.name()).collect();
        assert_eq!(refused, ["expired", "suspended", "revoked", "unknown"]);

        let passing = AccessPolicy::new(snapshot, UnknownClients::Allow);
        assert_eq!(passing.check(&key(6)), KeyCheck::Validate);
        assert_eq!(passing.check(&key(1)), KeyCheck::Validate);
        assert_eq!(passing.check(&key(4)), KeyCheck::RejectInactive);
        assert_eq!(passing.stats(), AccessStats { unknown: 1, suspended: 1, ..AccessStats::default() });

        let passing = passing.replacing(&refusing);
        assert_eq!(passing.check(&key(5)), KeyCheck::RejectInactive);
        assert_eq!(passing.stats(), AccessStats { unknown: 1, suspended: 1, revoked: 2, expired: 1 });
        assert_eq!(refusing.stats(), passing.stats());
    }
}
