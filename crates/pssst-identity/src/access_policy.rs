//! The access policy of a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use pssst::{ClientCheck, ClientClaim, KeyCheck, PublicKey, SharedSecret};
use subtle::ConstantTimeEq;

use crate::snapshot::Authorization;
use crate::{IdentitySnapshot, RefusedCause, RefusedClients, SharedSecrets, State};

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
/// It is what `pssst::Server` asks about clients. A client that must use its pre-shared key, and
/// does not, is refused under every suite, in every state and also where unknown clients are
/// served: otherwise the pre-shared key would prove nothing. It learns no more than an unknown one.
///
/// Without [`SharedSecrets`], the server computes an X25519 more for each authenticated request,
/// and such clients and unknown ones are counted at once. With them, their requests do not decrypt:
/// [`PacketSample`](crate::PacketSample) finds them later.
///
/// It does not apply to anonymous clients: a server refuses them with
/// `pssst::Server::authenticated_only`.
///
/// Clones share what they follow and count: give one to the server, and keep one to look at.
///
/// ```
/// use std::sync::Arc;
/// use pssst_identity::pssst::{Client, Refusal, SecretKey, Server, SysRng};
/// use pssst_identity::{AccessPolicy, IdentitySnapshot, UnknownClients};
///
/// let policy = AccessPolicy::new(Arc::new(IdentitySnapshot::new()), UnknownClients::Refuse);
/// # let secret = SecretKey::generate(&mut SysRng)?;
/// # let identity = SecretKey::generate(&mut SysRng)?;
/// # let client = Client::new(secret.public_key())?.with_identity(&identity)?;
/// # let (mut packet, _) = client.seal_request_to_vec(&mut SysRng, b"ping")?;
/// # let server = Server::new(secret);
/// let request = server.open_request_with(&mut packet, &policy);
/// assert_eq!(request.err(), Some(Refusal::UnknownClient));
/// assert_eq!(policy.stats().unknown, 1);
/// # Ok::<(), pssst_identity::pssst::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AccessPolicy {
    snapshot: Arc<IdentitySnapshot>,
    unknown_clients: UnknownClients,
    shared_secrets: Option<SharedSecrets>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    unknown: AtomicU64,
    suspended: AtomicU64,
    revoked: AtomicU64,
    expired: AtomicU64,
    psk_required: AtomicU64,
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
    /// Requests refused because the client must use its pre-shared key, and did not.
    pub psk_required: u64,
}

impl AccessPolicy {
    /// Returns the policy over this snapshot.
    pub fn new(snapshot: Arc<IdentitySnapshot>, unknown_clients: UnknownClients) -> Self {
        Self { snapshot, unknown_clients, shared_secrets: None, counts: Arc::default() }
    }

    /// Returns the policy with secrets that were computed ahead of time, or without. They are used
    /// once they are complete, and where unknown clients are refused.
    ///
    /// They must be those of this policy's snapshot and of the keyring of the server that asks it:
    /// see [`SharedSecrets::matches`].
    #[must_use]
    pub fn with_shared_secrets(self, shared_secrets: impl Into<Option<SharedSecrets>>) -> Self {
        Self { shared_secrets: shared_secrets.into(), ..self }
    }

    /// Shares the counters of `policy`, so that a replacement continues its statistics.
    #[must_use]
    pub fn replacing(self, policy: &Self) -> Self {
        Self { counts: Arc::clone(&policy.counts), ..self }
    }

    /// Returns the secrets that were computed ahead of time, if there are such.
    pub fn shared_secrets(&self) -> Option<&SharedSecrets> {
        self.shared_secrets.as_ref()
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
        let Counts { unknown, suspended, revoked, expired, psk_required, refused: _ } = &*self.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        AccessStats {
            unknown: read(unknown),
            suspended: read(suspended),
            revoked: read(revoked),
            expired: read(expired),
            psk_required: read(psk_required),
        }
    }

    /// Returns whether a claim is that of an enrolled client with all that it must prove.
    pub(crate) fn is_proven(&self, claim: &ClientClaim<'_>) -> bool {
        self.snapshot.authorization(claim.key()).is_some_and(|client| client.admits(claim))
    }

    /// The clock is read only for a client that expires or is refused.
    fn check_at(&self, claim: &ClientClaim<'_>, now: impl Fn() -> Timestamp) -> KeyCheck {
        let key: &PublicKey = claim.key();
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
        // An enrolled key has a name: no one may use it without the pre-shared key.
        if !client.admits(claim) {
            refuse(&self.counts.psk_required, RefusedCause::PskRequired);
            return KeyCheck::RejectWithoutPsk;
        }
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

impl ClientCheck for AccessPolicy {
    /// Decides about a request of a client that proved its key, and counts. For a client that is
    /// served, it takes no lock and does not allocate.
    fn check(&self, claim: &ClientClaim<'_>) -> KeyCheck {
        self.check_at(claim, Timestamp::now)
    }

    /// It remembers nothing, takes no lock and does not allocate.
    fn look_up(&self, claim: &ClientClaim<'_>) -> SharedSecret {
        let is_used = |secrets: &&SharedSecrets| !self.allows_unknown_clients() && secrets.is_complete();
        let Some(secrets) = self.shared_secrets.as_ref().filter(is_used) else { return SharedSecret::Compute };
        let found = secrets.look_up(claim.key(), claim.server_key_index());
        match found.filter(|(client, _)| client.admits(claim)) {
            // A key of low order, which no store accepts, gives zero.
            Some((_, secret)) if !bool::from(secret.ct_eq(&[0; 32])) => SharedSecret::Known(secret),
            _ => SharedSecret::Unknown,
        }
    }

    fn allows_unknown_clients(&self) -> bool {
        self.unknown_clients == UnknownClients::Allow
    }
}

impl Authorization {
    /// Returns whether the claim is good for this client: it is not without the pre-shared key that
    /// the client must use.
    fn admits(self, claim: &ClientClaim<'_>) -> bool {
        !self.requires_psk || claim.has_psk()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Change, ClientStatus, Revision};

    use pssst::Suite;

    fn key(number: u8) -> PublicKey {
        PublicKey::from_bytes([number; 32])
    }

    fn snapshot(clients: impl IntoIterator<Item = (u8, ClientStatus)>) -> Arc<IdentitySnapshot> {
        let snapshot = Arc::new(IdentitySnapshot::new());
        let change = |(number, status)| Change::new(Revision(u64::from(number)), key(number), Some(status));
        snapshot.apply(&clients.into_iter().map(change).collect::<Vec<_>>());
        snapshot
    }

    fn claim(key: &PublicKey) -> ClientClaim<'_> {
        ClientClaim::new(key, Suite::X25519Aes256GcmSiv, 0, false)
    }

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
        let snapshot = snapshot(clients.map(|(number, state, expires, _)| {
            (number, ClientStatus { name: "a".into(), state, expires, requires_psk: false })
        }));

        let refusing = AccessPolicy::new(Arc::clone(&snapshot), UnknownClients::Refuse);
        for (number, .., expected) in clients {
            assert_eq!(refusing.check_at(&claim(&key(number)), || time(1_000)), expected, "{number}");
        }
        assert_eq!(refusing.check(&claim(&key(6))), KeyCheck::RejectUnknown);
        assert_eq!(
            refusing.stats(),
            AccessStats { unknown: 1, suspended: 1, revoked: 1, expired: 1, ..AccessStats::default() }
        );
        let mut refused = refusing.refused().report(Timestamp::now(), |_| None).clients;
        refused.sort_by_key(|client| *client.key.as_bytes());
        let refused: Vec<_> = refused.iter().map(|client| client.cause.name()).collect();
        assert_eq!(refused, ["expired", "suspended", "revoked", "unknown"]);

        let passing = AccessPolicy::new(snapshot, UnknownClients::Allow);
        assert_eq!(passing.check(&claim(&key(6))), KeyCheck::Validate);
        assert_eq!(passing.check(&claim(&key(1))), KeyCheck::Validate);
        assert_eq!(passing.check(&claim(&key(4))), KeyCheck::RejectInactive);
        assert_eq!(passing.stats(), AccessStats { unknown: 1, suspended: 1, ..AccessStats::default() });

        let passing = passing.replacing(&refusing);
        assert_eq!(passing.check(&claim(&key(5))), KeyCheck::RejectInactive);
        assert_eq!(
            passing.stats(),
            AccessStats { unknown: 1, suspended: 1, revoked: 2, expired: 1, ..AccessStats::default() }
        );
        assert_eq!(refusing.stats(), passing.stats());
    }

    /// In every suite and every state.
    #[test]
    fn a_client_that_must_use_its_pre_shared_key_is_refused_without() {
        let status = |state| ClientStatus { name: "a".into(), state, expires: None, requires_psk: true };
        let snapshot = snapshot([(1, status(State::Enrolled)), (2, status(State::Suspended))]);
        let suites = [Suite::X25519AesGcm128, Suite::X25519Aes256GcmSiv, Suite::XWingAes256GcmSiv];
        for unknown_clients in [UnknownClients::Refuse, UnknownClients::Allow] {
            let policy = AccessPolicy::new(Arc::clone(&snapshot), unknown_clients);
            assert_eq!(policy.allows_unknown_clients(), unknown_clients == UnknownClients::Allow);
            for (client, suite) in [1, 2].into_iter().flat_map(|client| suites.map(|suite| (client, suite))) {
                let verdict = policy.check(&ClientClaim::new(&key(client), suite, 0, false));
                assert_eq!(verdict, KeyCheck::RejectWithoutPsk, "{client} {suite:?}");
            }
            assert_eq!(policy.stats(), AccessStats { psk_required: 6, ..AccessStats::default() });
            let refused = policy.refused().report(Timestamp::now(), |_| None).clients;
            assert!(refused.len() == 2 && refused.iter().all(|client| client.cause == RefusedCause::PskRequired));

            let with_psk = |client| policy.check(&ClientClaim::new(&key(client), suites[1], 0, true));
            assert!(matches!(with_psk(1), KeyCheck::Accept | KeyCheck::Validate));
            assert_eq!(with_psk(2), KeyCheck::RejectInactive);
            assert_eq!(policy.stats(), AccessStats { psk_required: 6, suspended: 1, ..AccessStats::default() });
        }
    }
}
