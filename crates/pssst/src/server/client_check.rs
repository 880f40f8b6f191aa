//! The caller's decision on client keys.

use zeroize::Zeroizing;

use crate::{PublicKey, Suite};

/// A client key that a request names, and what else matters for a decision on it.
#[derive(Clone, Copy, Debug)]
pub struct ClientClaim<'a> {
    key: &'a PublicKey,
    suite: Suite,
    server_key_index: usize,
    has_psk: bool,
}

impl<'a> ClientClaim<'a> {
    /// Returns a claim: for tests of a [`ClientCheck`], and for one that asks another.
    pub const fn new(key: &'a PublicKey, suite: Suite, server_key_index: usize, has_psk: bool) -> Self {
        Self { key, suite, server_key_index, has_psk }
    }

    /// Returns the client key, C.
    pub const fn key(&self) -> &PublicKey {
        self.key
    }

    /// Returns the request's suite.
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Returns the place in the server's [`Keyring`](crate::Keyring) of the key that the request is
    /// for.
    pub const fn server_key_index(&self) -> usize {
        self.server_key_index
    }

    /// Returns whether the request is made with the client's pre-shared key.
    ///
    /// Treat a client that must use its pre-shared key, and does not, as one that you do not know:
    /// otherwise an attacker who has the client's key leaves the pre-shared key away, and that
    /// authenticates nothing.
    pub const fn has_psk(&self) -> bool {
        self.has_psk
    }
}

/// Decides on client keys: a function of the key that passed its proof, or a table of secrets that
/// were computed ahead of time.
///
/// Every `Fn(&PublicKey) -> KeyCheck` is one, for servers without pre-shared keys.
pub trait ClientCheck {
    /// Decides on a client key whose proof holds: it is called for every request that was
    /// decrypted, except those of a key that [`look_up`](Self::look_up) does not know.
    ///
    /// It is the place for everything that remembers: counters, limits, times.
    fn check(&self, claim: &ClientClaim<'_>) -> KeyCheck;

    /// Looks up what client and server share, **before any proof**.
    ///
    /// It must not remember that it was called, nor the key: no cache, no counter, no limit, no
    /// lock-out. Otherwise an attacker who repeats the front of a recorded request can find out
    /// which client sent it.
    ///
    /// It decides nothing: a client that is known and not served now has its true secret here, and
    /// [`check`](Self::check) refuses it after decryption. So such a client takes as long as any
    /// other, and is counted only once it has proven itself.
    ///
    /// A server asks every time or never: return [`SharedSecret::Compute`] for all keys, as by
    /// default, or for none. A secret for each of a server's keys (see
    /// [`ClientClaim::server_key_index`]) takes `x25519(c, S)`, or `x25519(s, C)`.
    fn look_up(&self, _claim: &ClientClaim<'_>) -> SharedSecret {
        SharedSecret::Compute
    }

    /// Returns whether clients that are not known are served. It decides how a client key of low
    /// order is counted. True by default.
    fn allows_unknown_clients(&self) -> bool {
        true
    }
}

impl<F: Fn(&PublicKey) -> KeyCheck> ClientCheck for F {
    fn check(&self, claim: &ClientClaim<'_>) -> KeyCheck {
        self(claim.key())
    }
}

/// Z2, what a client's key and a server's key give, as [`ClientCheck::look_up`] has it.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "callers make it")]
pub enum SharedSecret {
    /// The server computes it, for every request whose front is intact.
    Compute,
    /// The key is known, and this is its secret.
    Known(Zeroizing<[u8; 32]>),
    /// The key is not known. The server continues with a secret that nobody has, so that the time
    /// it takes does not tell, and refuses the request as [`Refusal::DecryptFailed`].
    ///
    /// [`Refusal::DecryptFailed`]: crate::Refusal::DecryptFailed
    Unknown,
}

/// The decision of the caller's client check on a client key that passed its proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyCheck {
    /// Exactly these bytes are enrolled, and passed
    /// [`PublicKey::validate`](crate::PublicKey::validate) then: accept them as they are.
    Accept,
    /// Not on the list: run [`PublicKey::validate`](crate::PublicKey::validate), at the cost of two
    /// thirds of an X25519, and less in a batch.
    Validate,
    /// Not on the list, and only listed keys are served: refuse the request as
    /// [`Refusal::UnknownClient`](crate::Refusal::UnknownClient).
    RejectUnknown,
    /// On the list, and not served now: suspended, revoked, expired. Refuse the request as
    /// [`Refusal::ClientRefused`](crate::Refusal::ClientRefused).
    RejectInactive,
    /// On the list, must use its pre-shared key, and has not ([`ClientClaim::has_psk`]). Refuse the
    /// request as [`Refusal::PskRequired`](crate::Refusal::PskRequired).
    RejectWithoutPsk,
}
