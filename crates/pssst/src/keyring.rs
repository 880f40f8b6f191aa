//! A server's secret keys.

use crate::{Error, PublicKey, SecretKey};

/// The secret keys of a server: the current one, and others during a rotation.
///
/// A packet does not name its key, so the keys are tried in order [R-27]: put the one that most
/// clients use first. Every further key adds an X25519 to the cost of refusing junk, so their
/// number is bounded.
///
/// ```
/// use pssst::{Keyring, SecretKey, Server, SysRng};
///
/// let (previous, current) = (SecretKey::generate(&mut SysRng)?, SecretKey::generate(&mut SysRng)?);
/// let server = Server::new(Keyring::new(current).with_key(previous)?);
/// assert_eq!(server.keyring().public_keys().count(), 2);
/// # Ok::<(), pssst::Error>(())
/// ```
///
/// A server is replaced as a whole. Threads that still work with the old one finish with it:
///
/// ```
/// use std::sync::{Arc, RwLock};
/// # use pssst::{Keyring, SecretKey, Server, SysRng};
/// # let [current, next] = [SecretKey::generate(&mut SysRng)?, SecretKey::generate(&mut SysRng)?];
///
/// let serving = RwLock::new(Arc::new(Server::new(current.clone())));
/// // For every packet, or batch of packets:
/// let server = Arc::clone(&serving.read().unwrap());
/// // Now and then:
/// *serving.write().unwrap() = Arc::new(Server::new(Keyring::new(next).with_key(current)?));
/// # assert_eq!((server.keyring().public_keys().count(), Arc::strong_count(&server)), (1, 1));
/// # Ok::<(), pssst::Error>(())
/// ```
pub struct Keyring {
    keys: [Option<ServerKey>; Self::CAPACITY],
}

/// A secret key with its public key, which suite 0xf001 hashes.
pub(crate) struct ServerKey {
    pub(crate) secret: SecretKey,
    pub(crate) public: PublicKey,
}

impl Keyring {
    /// The most keys of a keyring: next, current and previous key, and a spare one.
    pub const CAPACITY: usize = 4;

    /// Returns a keyring of one key.
    pub fn new(secret: SecretKey) -> Self {
        let mut keys = [const { None }; Self::CAPACITY];
        keys[0] = Some(ServerKey::new(secret));
        Self { keys }
    }

    /// Returns the keyring with one more key, tried after the others. A key that is in it already
    /// is not added again.
    ///
    /// # Errors
    /// [`Error::KeyringFull`] when it holds [`Keyring::CAPACITY`] keys.
    pub fn with_key(mut self, secret: SecretKey) -> Result<Self, Error> {
        let key = ServerKey::new(secret);
        if !self.public_keys().any(|public| *public == key.public) {
            *self.keys.iter_mut().find(|place| place.is_none()).ok_or(Error::KeyringFull)? = Some(key);
        }
        Ok(self)
    }

    /// Returns the public keys, in the order in which the secret keys are tried.
    pub fn public_keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.iter().map(|key| &key.public)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &ServerKey> {
        self.keys.iter().flatten()
    }
}

impl ServerKey {
    fn new(secret: SecretKey) -> Self {
        Self { public: secret.public_key(), secret }
    }
}

impl From<SecretKey> for Keyring {
    fn from(secret: SecretKey) -> Self {
        Self::new(secret)
    }
}

impl core::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.public_keys()).finish()
    }
}
