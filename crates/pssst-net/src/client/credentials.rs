//! Secrets that a client authenticates its requests with.

use std::fmt;
use std::sync::Arc;

use pssst::{PreSharedKey, PublicKey, SecretKey, ServerKey};
use pssst_support::secret_pem;
use zeroize::Zeroizing;

use crate::Error;

/// The secrets that a client authenticates with: its identity, and perhaps its pre-shared key.
///
/// The identity is the secret key c; or, for a device that must not hold c, the public key C and
/// `Z2 = x25519(c, S)` for each key S of the server. Cheap to clone. The secrets are wiped when the
/// last clone is dropped, and redacted by `Debug`.
///
/// ```
/// use pssst_net::Credentials;
/// use pssst_net::pssst::{SecretKey, ServerKey, SysRng};
///
/// let server_key = SecretKey::generate(&mut SysRng)?.public_key();
/// // Where devices are made.
/// let identity = SecretKey::generate(&mut SysRng)?;
/// let z2 = identity.shared_secret(&server_key)?;
///
/// // On the device, which never holds the secret key.
/// let server_key = ServerKey::from(server_key);
/// let credentials =
///     Credentials::precomputed(identity.public_key()).with_shared_secret(server_key.hash(), z2.as_bytes());
/// assert!(credentials.has_secret_for(&server_key.hash()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Credentials {
    client_key: PublicKey,
    identity: Identity,
    psk: Option<Arc<PreSharedKey>>,
}

#[derive(Clone)]
enum Identity {
    Secret(Arc<SecretKey>),
    /// By the hash of the server's key.
    Precomputed(Vec<([u8; 32], SharedSecret)>),
}

const KEY_LEN: usize = 32;
/// Length of an entry of a stored identity: the hash of a server's key, then Z2.
const ENTRY_LEN: usize = 2 * KEY_LEN;

/// Z2, which never moves: a list that grows leaves no copies behind.
type SharedSecret = Arc<Zeroizing<[u8; 32]>>;

impl Credentials {
    /// Returns the credentials of a client that holds its secret key.
    pub fn new(identity: SecretKey) -> Self {
        Self { client_key: identity.public_key(), identity: Identity::Secret(Arc::new(identity)), psk: None }
    }

    /// Returns the credentials of a client with this public key that does not hold its secret key.
    /// It needs a [shared secret](Self::with_shared_secret) for each key of the server.
    pub const fn precomputed(client_key: PublicKey) -> Self {
        Self { client_key, identity: Identity::Precomputed(Vec::new()), psk: None }
    }

    /// Returns the credentials with `Z2 = x25519(c, S)` for the server's key with this
    /// [hash](ServerKey::hash). Wipe your own copy of it. Does nothing for a client that holds its
    /// secret key.
    #[must_use]
    pub fn with_shared_secret(mut self, server_key_hash: [u8; 32], z2: &[u8; 32]) -> Self {
        if let Identity::Precomputed(secrets) = &mut self.identity {
            let mut secret = Arc::new(Zeroizing::new([0; 32]));
            if let Some(bytes) = Arc::get_mut(&mut secret) {
                bytes.copy_from_slice(z2);
            }
            secrets.retain(|(hash, _)| *hash != server_key_hash);
            secrets.push((server_key_hash, secret));
        }
        self
    }

    /// Returns the credentials without the shared secrets for other keys of the server than these.
    #[must_use]
    pub fn retain_shared_secrets(mut self, is_kept: impl Fn(&[u8; 32]) -> bool) -> Self {
        if let Identity::Precomputed(secrets) = &mut self.identity {
            secrets.retain(|(hash, _)| is_kept(hash));
        }
        self
    }

    /// The label of a document that holds the identity of a client without its secret key.
    pub const PRECOMPUTED_LABEL: &str = "PSSST PRECOMPUTED IDENTITY";

    /// Returns the identity of a client without its secret key as a PEM document for storage,
    /// `BEGIN PSSST PRECOMPUTED IDENTITY`: C, then for each key of the server, in the order of
    /// their hashes, its hash and Z2, of 32 bytes each. `None` for a client that holds its secret
    /// key. The pre-shared key is not in it.
    pub fn expose_precomputed_pem(&self) -> Option<Zeroizing<String>> {
        let Identity::Precomputed(secrets) = &self.identity else { return None };
        // Sized at once: growing would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_LEN + secrets.len() * ENTRY_LEN));
        bytes.extend_from_slice(self.client_key.as_bytes());
        // So that all who make it write the same text.
        let mut secrets: Vec<_> = secrets.iter().collect();
        secrets.sort_unstable_by_key(|(hash, _)| *hash);
        for (hash, z2) in secrets {
            bytes.extend_from_slice(hash);
            bytes.extend_from_slice(z2.as_slice());
        }
        Some(secret_pem::encode(Self::PRECOMPUTED_LABEL, &bytes))
    }

    /// Reads what [`expose_precomputed_pem`](Self::expose_precomputed_pem) writes.
    ///
    /// # Errors
    /// [`pssst::Error::InvalidKey`] for anything else, and without a shared secret.
    pub fn from_precomputed_pem(pem: &str) -> Result<Self, pssst::Error> {
        const INVALID: pssst::Error = pssst::Error::InvalidKey;
        let bytes = secret_pem::decode(Self::PRECOMPUTED_LABEL, pem).ok_or(INVALID)?;
        let (client_key, rest) = bytes.split_first_chunk::<KEY_LEN>().ok_or(INVALID)?;
        let (entries, rest) = rest.as_chunks::<ENTRY_LEN>();
        if entries.is_empty() || !rest.is_empty() {
            return Err(INVALID);
        }
        let client_key = PublicKey::from_bytes(*client_key);
        client_key.validate().map_err(|_| INVALID)?;
        entries.iter().try_fold(Self::precomputed(client_key), |credentials, entry| {
            let (hash, z2) = entry.split_first_chunk::<KEY_LEN>().ok_or(INVALID)?;
            Ok(credentials.with_shared_secret(*hash, z2.first_chunk().ok_or(INVALID)?))
        })
    }

    /// Returns the number of keys of the server that a client without its secret key can
    /// authenticate towards.
    pub const fn shared_secrets(&self) -> usize {
        match &self.identity {
            Identity::Secret(_) => 0,
            Identity::Precomputed(secrets) => secrets.len(),
        }
    }

    /// Returns the credentials with the pre-shared key that the pool gave this client.
    #[must_use]
    pub fn with_psk(self, psk: PreSharedKey) -> Self {
        Self { psk: Some(Arc::new(psk)), ..self }
    }

    /// Returns the credentials without a pre-shared key.
    #[must_use]
    pub fn without_psk(self) -> Self {
        Self { psk: None, ..self }
    }

    /// Returns the client's public key.
    pub const fn client_key(&self) -> PublicKey {
        self.client_key
    }

    /// Returns the pre-shared key, if the client has one.
    pub fn psk(&self) -> Option<&PreSharedKey> {
        self.psk.as_deref()
    }

    /// Returns whether the client holds its secret key.
    pub const fn has_secret_key(&self) -> bool {
        matches!(self.identity, Identity::Secret(_))
    }

    /// Returns whether the client can authenticate towards the server's key with this
    /// [hash](ServerKey::hash).
    pub fn has_secret_for(&self, server_key_hash: &[u8; 32]) -> bool {
        match &self.identity {
            Identity::Secret(_) => true,
            Identity::Precomputed(secrets) => secrets.iter().any(|(hash, _)| hash == server_key_hash),
        }
    }

    /// Returns a client of this key of the server with the identity of these credentials, and
    /// without their pre-shared key.
    ///
    /// # Errors
    /// [`Error::NoSharedSecret`]; [`Error::Protocol`] with [`WeakKey`](pssst::Refusal::WeakKey).
    pub fn identify(&self, client: pssst::Client, server_key: &ServerKey) -> Result<pssst::Client, Error> {
        match &self.identity {
            Identity::Secret(identity) => Ok(client.with_identity(identity)?),
            Identity::Precomputed(secrets) => {
                let wanted = server_key.hash();
                let secret = secrets.iter().find(|(hash, _)| *hash == wanted);
                let (_, z2) = secret.ok_or_else(|| Error::NoSharedSecret(Box::new(server_key.clone())))?;
                Ok(client.as_precomputed(self.client_key, z2)?)
            }
        }
    }
}

impl From<SecretKey> for Credentials {
    fn from(identity: SecretKey) -> Self {
        Self::new(identity)
    }
}

/// Without secrets.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Credentials");
        debug.field("client_key", &self.client_key).field("has_psk", &self.psk.is_some());
        if let Identity::Precomputed(secrets) = &self.identity {
            debug.field("shared_secrets", &secrets.len());
        }
        debug.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_secrets_replace_those_for_the_same_key() {
        let key = SecretKey::from_bytes([1; 32]).public_key();
        let credentials = Credentials::precomputed(key).with_shared_secret([2; 32], &[3; 32]);
        let credentials = credentials.with_shared_secret([4; 32], &[5; 32]).with_shared_secret([2; 32], &[6; 32]);
        let Identity::Precomputed(secrets) = &credentials.identity else { panic!("it holds no secret key") };
        assert_eq!(secrets.iter().map(|(hash, z2)| (hash[0], z2[0])).collect::<Vec<_>>(), [(4, 5), (2, 6)]);
        let kept = credentials.retain_shared_secrets(|hash| hash[0] == 4);
        assert!(kept.has_secret_for(&[4; 32]) && !kept.has_secret_for(&[2; 32]));
    }

    #[test]
    fn precomputed_identities_survive_their_text() {
        let identity = SecretKey::from_bytes([1; 32]);
        let key = identity.public_key();
        let stored =
            Credentials::precomputed(key).with_shared_secret([2; 32], &[3; 32]).with_shared_secret([4; 32], &[5; 32]);
        let text = stored.expose_precomputed_pem().unwrap();
        assert!(text.starts_with("-----BEGIN PSSST PRECOMPUTED IDENTITY-----\n"));
        let read = Credentials::from_precomputed_pem(&text).unwrap();
        assert_eq!((read.client_key(), read.shared_secrets(), read.has_secret_key()), (key, 2, false));
        assert_eq!(read.expose_precomputed_pem(), Some(text));
        assert_eq!(Credentials::new(identity).expose_precomputed_pem(), None);
        let bytes = [&key.as_bytes()[..], &[7; 129]].concat();
        let with = |label, len: usize| secret_pem::encode(label, &bytes[..len]);
        assert!(Credentials::from_precomputed_pem(&with(Credentials::PRECOMPUTED_LABEL, 96)).is_ok());
        for len in [0, 31, 32, 95, 97, 161] {
            assert!(Credentials::from_precomputed_pem(&with(Credentials::PRECOMPUTED_LABEL, len)).is_err(), "{len}");
        }
        assert!(Credentials::from_precomputed_pem(&with("PSSST PSK", 96)).is_err());
        let low_order = secret_pem::encode(Credentials::PRECOMPUTED_LABEL, &[0; 96]);
        assert!(Credentials::from_precomputed_pem(&low_order).is_err());
    }

    #[test]
    fn debug_shows_no_secret() {
        let identity = SecretKey::from_bytes([0x51; 32]);
        let psk = PreSharedKey::from_bytes([0x52; 32]);
        let precomputed = Credentials::precomputed(identity.public_key()).with_shared_secret([1; 32], &[0x53; 32]);
        for credentials in [Credentials::new(identity.clone()), precomputed.with_psk(psk)] {
            let text = format!("{credentials:?}");
            assert!(text.contains(&identity.public_key().to_string()), "{text}");
            assert!(
                !["5151", "5252", "5353", "81, 81", "82, 82", "83, 83"].iter().any(|it| text.contains(it)),
                "{text}"
            );
        }
    }
}
