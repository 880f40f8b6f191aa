//! Messages between an enrolled client and the directory when it renews its secrets
//! (docs/directory.md).
//!
//! Like an enrolment, the exchange is one PSSST transaction inside HTTPS: the body of
//! `POST /v1/renew` is an authenticated request of suite 0xf0e1. It carries no token: the client
//! proves its identity, and presents the pre-shared key that it has. So an attacker who has the
//! client's secret key alone, or a quantum computer, gets no pre-shared key.

use std::fmt;

use pssst::{PreSharedKey, PublicKey};
use pssst_net::Credentials;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::json::{from_hex, to_wiped_vec};
use crate::{Error, IssuedPsk};

/// The message of the sealed request:
/// `{"purpose": "pssst-renew-v1", "psk": "(64 hexadecimal digits)", "shared_secrets": false}`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers make it")]
pub struct RenewalRequest {
    /// The present pre-shared key, if the client has one.
    pub psk: Option<PreSharedKey>,
    /// Whether the client asks for the secrets that it shares with the server's keys: it holds no
    /// secret key of its own.
    pub wants_shared_secrets: bool,
}

impl RenewalRequest {
    /// The purpose in the message.
    pub const PURPOSE: &str = "pssst-renew-v1";

    /// Length of the longest message that is read, in bytes.
    pub const MAX_LEN: usize = 2048;

    /// Reads the message of a request that was opened.
    ///
    /// # Errors
    /// [`Error::TooLong`]; [`Error::Syntax`] for anything but a request of this purpose.
    pub fn parse(message: &[u8]) -> Result<Self, Error> {
        const EXPECTED: Error = Error::Syntax("a renewal in JSON: purpose, and perhaps psk and shared_secrets");
        if message.len() > Self::MAX_LEN {
            return Err(Error::TooLong { limit: Self::MAX_LEN });
        }
        // Not the parser's own error, which may quote the key.
        let wire: WireRequest<'_> = serde_json::from_slice(message).map_err(|_| EXPECTED)?;
        if wire.purpose != Self::PURPOSE {
            return Err(EXPECTED);
        }
        let psk = wire.psk.map(|psk| from_hex(psk).ok_or(EXPECTED)).transpose()?;
        let psk = psk.map(|psk| PreSharedKey::from_bytes(*psk));
        Ok(Self { psk, wants_shared_secrets: wire.shared_secrets })
    }

    /// Returns the message.
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let psk = self.psk.as_ref().map(PreSharedKey::expose_hex);
        let psk = psk.as_ref().map(|psk| psk.as_str());
        to_wiped_vec(&WireRequest { purpose: Self::PURPOSE, psk, shared_secrets: self.wants_shared_secrets })
    }
}

/// Borrowed, so that no copy of the key is left behind.
#[derive(Serialize, Deserialize)]
struct WireRequest<'a> {
    purpose: &'a str,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    psk: Option<&'a str>,
    #[serde(default)]
    shared_secrets: bool,
}

/// The secrets that a client has after a renewal, the message of the sealed reply.
///
/// They are wiped when dropped, and redacted by `Debug`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "the directory makes it")]
pub struct Renewed {
    /// The client's public key.
    pub key: PublicKey,
    /// The pre-shared key under the current master; `None` for a client that need not use one.
    #[serde(default)]
    pub psk: Option<IssuedPsk>,
    /// Secrets that the client shares with each key of the server, if it asked for that.
    #[serde(default)]
    pub shared_secrets: Vec<IssuedSecret>,
}

impl Renewed {
    /// Length of the longest message that is read, in bytes.
    pub const MAX_LEN: usize = 16 * 1024;

    /// Reads the message of a reply that was opened.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Syntax`].
    pub fn parse(message: &[u8]) -> Result<Self, Error> {
        if message.len() > Self::MAX_LEN {
            return Err(Error::TooLong { limit: Self::MAX_LEN });
        }
        serde_json::from_slice(message).map_err(|_| Error::Syntax("renewed secrets in JSON"))
    }

    /// Returns the message.
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        to_wiped_vec(self)
    }

    /// Returns the client's credentials with these secrets. Shared secrets for other keys of the
    /// server remain.
    pub fn apply_to(&self, credentials: Credentials) -> Credentials {
        let credentials = match &self.psk {
            Some(issued) => credentials.with_psk(issued.psk.clone()),
            None => credentials.without_psk(),
        };
        self.shared_secrets.iter().fold(credentials, |credentials, shared| {
            credentials.with_shared_secret(shared.server_key_hash, shared.expose_bytes())
        })
    }

    /// Returns the client's [stored identity](Credentials::expose_precomputed_pem) with the shared
    /// secrets that it got; `None` if it got none, since it holds its secret key.
    pub fn expose_precomputed_pem(&self) -> Option<Zeroizing<String>> {
        let has_secrets = !self.shared_secrets.is_empty();
        has_secrets.then(|| self.apply_to(Credentials::precomputed(self.key)).expose_precomputed_pem()).flatten()
    }
}

/// A secret that a client shares with one key of the server, `Z2 = x25519(c, S)`.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedSecret {
    /// The hash of the server's key ([`pssst::ServerKey::hash`]).
    pub server_key_hash: [u8; 32],
    /// In a box, so that a list that grows leaves no copies behind.
    secret: Box<Zeroizing<[u8; 32]>>,
}

impl IssuedSecret {
    /// Returns the secret for the server's key with this hash. Wipe your own copy.
    pub fn new(server_key_hash: [u8; 32], secret: &[u8; 32]) -> Self {
        let mut boxed = Box::new(Zeroizing::new([0; 32]));
        boxed.copy_from_slice(secret);
        Self { server_key_hash, secret: boxed }
    }

    /// Returns the secret bytes, for storage.
    pub fn expose_bytes(&self) -> &[u8; 32] {
        &self.secret
    }
}

impl fmt::Debug for IssuedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = base16ct::lower::encode_string(&self.server_key_hash);
        f.debug_struct("IssuedSecret").field("server_key_hash", &hash).finish_non_exhaustive()
    }
}

/// Borrowed, so that no copy of the secret is left behind.
#[derive(Serialize, Deserialize)]
struct WireSecret<'a> {
    server_key: &'a str,
    secret: &'a str,
}

impl Serialize for IssuedSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hash = base16ct::lower::encode_string(&self.server_key_hash);
        let secret = Zeroizing::new(base16ct::lower::encode_string(self.expose_bytes()));
        WireSecret { server_key: &hash, secret: &secret }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for IssuedSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let WireSecret { server_key, secret } = WireSecret::deserialize(deserializer)?;
        let read = || Some(Self::new(*from_hex(server_key)?, &*from_hex(secret)?));
        read().ok_or_else(|| serde::de::Error::custom("not a shared secret"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pssst::SecretKey;
    use serde_json::{Value, json};

    use super::*;

    fn requests() -> [RenewalRequest; 2] {
        [
            RenewalRequest { psk: Some(PreSharedKey::from_bytes([0x5c; 32])), wants_shared_secrets: true },
            RenewalRequest { psk: None, wants_shared_secrets: false },
        ]
    }

    fn renewed() -> Renewed {
        let psk = IssuedPsk { psk: PreSharedKey::from_bytes([0x5c; 32]), master: [0x17; 8].into() };
        let shared_secrets = vec![IssuedSecret::new([1; 32], &[0x5d; 32]), IssuedSecret::new([2; 32], &[0x5e; 32])];
        Renewed { key: SecretKey::from_bytes([1; 32]).public_key(), psk: Some(psk), shared_secrets }
    }

    #[test]
    fn requests_survive_their_text() {
        for request in requests() {
            assert_eq!(RenewalRequest::parse(&request.to_json()).unwrap(), request);
            assert!(!format!("{request:?}").contains("5c5c"));
        }
        let [with, without] = requests().map(|it| serde_json::from_slice::<Value>(&it.to_json()).unwrap());
        assert_eq!(with, json!({ "purpose": "pssst-renew-v1", "psk": "5c".repeat(32), "shared_secrets": true }));
        assert_eq!(without, json!({ "purpose": "pssst-renew-v1", "shared_secrets": false }));
        let short = br#"{"purpose":"pssst-renew-v1","psk":null,"later":[1]}"#;
        assert_eq!(RenewalRequest::parse(short).unwrap(), requests()[1]);
    }

    #[test]
    fn requests_for_anything_else_are_refused() {
        let good: Value = serde_json::from_slice(&requests()[0].to_json()).unwrap();
        for (field, wrong) in [
            ("purpose", json!("pssst-enroll-v1")),
            ("purpose", json!(null)),
            ("psk", json!("5c".repeat(31))),
            ("psk", json!(["5c".repeat(32)])),
            ("shared_secrets", json!("true")),
            ("later", json!("x".repeat(RenewalRequest::MAX_LEN))),
        ] {
            let mut value = good.clone();
            value[field] = wrong.clone();
            let error = RenewalRequest::parse(value.to_string().as_bytes()).unwrap_err();
            assert!(!error.to_string().contains("5c5c"), "{error}");
        }
    }

    #[test]
    fn renewed_secrets_survive_their_text_and_are_not_shown() {
        let renewed = renewed();
        let text = renewed.to_json();
        assert_eq!(Renewed::parse(&text).unwrap(), renewed);
        let value: Value = serde_json::from_slice(&text).unwrap();
        let second = json!({ "server_key": "02".repeat(32), "secret": "5e".repeat(32) });
        assert_eq!((&value["shared_secrets"][1], &value["psk"]["master"]), (&second, &json!("1717171717171717")));
        let shown = format!("{renewed:?}");
        assert!(!["5c5c", "5d5d", "5e5e", "93, 93", "94, 94"].iter().any(|secret| shown.contains(secret)), "{shown}");
        let bare = Renewed { psk: None, shared_secrets: Vec::new(), ..renewed };
        assert_eq!(Renewed::parse(&bare.to_json()).unwrap(), bare);
    }

    #[test]
    fn renewed_secrets_go_into_the_credentials() {
        let renewed = renewed();
        let before = Credentials::precomputed(renewed.key).with_shared_secret([9; 32], &[9; 32]);
        let after = renewed.apply_to(before);
        assert!([1, 2, 9].iter().all(|key| after.has_secret_for(&[*key; 32])));
        assert_eq!(after.psk(), renewed.psk.as_ref().map(|issued| &issued.psk));
        let stored = Credentials::from_precomputed_pem(&renewed.expose_precomputed_pem().unwrap()).unwrap();
        assert_eq!((stored.client_key(), stored.shared_secrets()), (renewed.key, 2));
        assert_eq!(Renewed { shared_secrets: Vec::new(), ..renewed.clone() }.expose_precomputed_pem(), None);
        assert_eq!(Renewed { psk: None, ..renewed }.apply_to(after).psk(), None);
    }

    proptest! {
        #[test]
        fn no_bytes_disturb_them(bytes in prop::collection::vec(any::<u8>(), 0..200), place in any::<prop::sample::Index>()) {
            for mut text in [requests()[0].to_json().to_vec(), renewed().to_json().to_vec()] {
                let place = place.index(text.len());
                text.splice(place..place, bytes.iter().copied().take(2));
                for bytes in [&bytes[..], &text[..], &text[..place]] {
                    drop(RenewalRequest::parse(bytes));
                    drop(Renewed::parse(bytes));
                }
            }
        }
    }
}
