//! A server's secret keys.

use x25519_batch::{Product, X25519};

#[cfg(feature = "pq")]
use crate::XWingSecretKey;
use crate::agreement::{KeyAgreement, X25519Key};
use crate::batch::BATCH_LEN;
#[cfg(feature = "pq")]
use crate::xwing::XWingKey;
use crate::{Error, PublicKey, SecretKey, ServerKey, Suite};

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
#[derive(Clone)]
pub struct Keyring {
    keys: [Option<X25519Key>; Self::CAPACITY],
    #[cfg(feature = "pq")]
    xwing_keys: [Option<XWingKey>; Self::CAPACITY],
}

impl Keyring {
    /// The most keys of each kind: next, current and previous key, and a spare one.
    pub const CAPACITY: usize = 4;

    /// The most keys of both kinds together.
    pub const MAX_KEYS: usize = 2 * Self::CAPACITY;

    /// Returns a keyring of one key.
    #[cfg_attr(all(feature = "pq", not(feature = "std")), expect(clippy::large_stack_arrays, reason = "no allocator"))]
    pub fn new(secret: SecretKey) -> Self {
        let mut keys = [const { None }; Self::CAPACITY];
        keys[0] = Some(X25519Key::new(secret));
        Self {
            keys,
            #[cfg(feature = "pq")]
            xwing_keys: [const { None }; Self::CAPACITY],
        }
    }

    /// Returns the keyring with one more key, tried after the others. A key that is in it already
    /// is not added again.
    ///
    /// # Errors
    /// [`Error::KeyringFull`] when it holds [`Keyring::CAPACITY`] keys.
    pub fn with_key(mut self, secret: SecretKey) -> Result<Self, Error> {
        let key = X25519Key::new(secret);
        if !self.public_keys().any(|public| *public == key.public) {
            *self.keys.iter_mut().find(|place| place.is_none()).ok_or(Error::KeyringFull)? = Some(key);
        }
        Ok(self)
    }

    /// Returns the keyring with one more X-Wing key, tried after the others of its kind. A key that
    /// is in it already is not added again.
    ///
    /// # Errors
    /// [`Error::KeyringFull`] when it holds [`Keyring::CAPACITY`] X-Wing keys.
    #[cfg(feature = "pq")]
    pub fn with_xwing_key(mut self, secret: &XWingSecretKey) -> Result<Self, Error> {
        let key = XWingKey::new(secret);
        if !self.xwing_keys.iter().flatten().any(|other| other.public == key.public) {
            *self.xwing_keys.iter_mut().find(|place| place.is_none()).ok_or(Error::KeyringFull)? = Some(key);
        }
        Ok(self)
    }

    /// Returns all public keys: first those of X25519, then those of X-Wing, each in the order in
    /// which the secret keys are tried.
    pub fn server_keys(&self) -> impl Iterator<Item = ServerKey> {
        let keys = self.public_keys().map(|key| ServerKey::X25519(*key));
        #[cfg(feature = "pq")]
        let keys = keys.chain(self.xwing_keys.iter().flatten().map(|key| ServerKey::XWing(key.public.clone())));
        keys
    }

    /// Returns the public X25519 keys, in the order in which the secret keys are tried.
    pub fn public_keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.iter().map(|key| &key.public)
    }

    /// Computes what clients share with one of the server's keys, `x25519(s, C)` for each client
    /// key C: for a table of secrets that are computed ahead of time
    /// ([`ClientCheck::look_up`](crate::ClientCheck::look_up)).
    ///
    /// `server_key_index` is the key's place among [`Keyring::server_keys`], as
    /// [`ClientClaim::server_key_index`](crate::ClientClaim::server_key_index) has it. A client key
    /// of low order gives zero. Many clients at once cost less each, best in multiples of
    /// [`BATCH_LEN`](crate::BATCH_LEN).
    ///
    /// **Each of these secrets is as good as the client's secret key towards this server.** Keep
    /// them like the server's own key: in memory that is wiped and not written to a disk.
    ///
    /// ```
    /// use pssst::{Keyring, Product, SecretKey, SysRng};
    ///
    /// let (server, client) = (SecretKey::generate(&mut SysRng)?, SecretKey::generate(&mut SysRng)?);
    /// let keyring = Keyring::new(server.clone());
    /// let mut secrets = [Product::default()];
    /// keyring.shared_secrets(0, &[client.public_key()], &mut secrets)?;
    ///
    /// // The client computes the same.
    /// let mut own = [Product::default()];
    /// Keyring::new(client).shared_secrets(0, &[server.public_key()], &mut own)?;
    /// assert_eq!(secrets[0].as_bytes(), own[0].as_bytes());
    /// # Ok::<(), pssst::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when the keyring has no key at this place, or when there are not as
    /// many secrets as client keys. Nothing is computed then.
    pub fn shared_secrets(
        &self,
        server_key_index: usize,
        client_keys: &[PublicKey],
        secrets: &mut [Product],
    ) -> Result<(), Error> {
        let key = self.key_at(server_key_index).filter(|_| client_keys.len() == secrets.len());
        let scalar = key.ok_or(Error::OutOfRange)?.scalar();
        let x25519 = X25519::new();
        let mut points = [[0; 32]; BATCH_LEN];
        for (client_keys, secrets) in client_keys.chunks(BATCH_LEN).zip(secrets.chunks_mut(BATCH_LEN)) {
            for (point, client_key) in points.iter_mut().zip(client_keys) {
                *point = *client_key.as_bytes();
            }
            let points = points.get(..client_keys.len()).unwrap_or_default();
            x25519.multiply_points(scalar, points, secrets).map_err(|_| Error::OutOfRange)?;
        }
        Ok(())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &X25519Key> {
        self.keys.iter().flatten()
    }

    /// Returns the key that a packet of this suite is tried with after `tried` others, and its
    /// place.
    pub(crate) fn key(&self, suite: Suite, tried: usize) -> Option<(usize, &dyn KeyAgreement)> {
        let (first, end) =
            if suite.has_ciphertext() { (self.iter().count(), Self::MAX_KEYS) } else { (0, self.iter().count()) };
        let place = Some(first + tried).filter(|place| *place < end)?;
        self.key_at(place).map(|key| (place, key))
    }

    /// Returns the key at this place.
    pub(crate) fn key_at(&self, place: usize) -> Option<&dyn KeyAgreement> {
        let keys = self.iter().map(|key| key as &dyn KeyAgreement);
        #[cfg(feature = "pq")]
        let keys = keys.chain(self.xwing_keys.iter().flatten().map(|key| key as &dyn KeyAgreement));
        { keys }.nth(place)
    }
}

impl From<SecretKey> for Keyring {
    fn from(secret: SecretKey) -> Self {
        Self::new(secret)
    }
}

impl core::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.server_keys()).finish()
    }
}
