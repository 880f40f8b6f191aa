//! The server's end: open requests, seal at most one reply to each.

pub use recorded::RecordedReply;
pub use request::{ReplySealer, Request};
use stage::Stage;
use x25519_batch::X25519;

use crate::keyring::Keyring;
use crate::{PublicKey, Refusal, SecretKey, SuiteSet};

mod batch;
mod recorded;
mod request;
mod stage;

/// Opens requests.
///
/// Holds its secret keys and nothing about any client, and never changes while it serves: every method takes `&self`.
/// [R-26]
///
/// To change keys, make a new `Server` and swap it for the old one, for instance behind an `Arc`; requests opened by the
/// old one are still answered.
///
/// ```
/// use pssst::{Client, SecretKey, Server, SysRng};
///
/// let secret = SecretKey::generate(&mut SysRng)?;
/// let client = Client::new(secret.public_key())?;
/// let server = Server::new(secret);
///
/// let (mut packet, pending) = client.seal_request_to_vec(&mut SysRng, b"ping")?;
///
/// let request = server.open_request(&mut packet)?;
/// assert_eq!(request.message(), b"ping");
/// assert_eq!(request.client_key(), None);
/// let reply = request.into_reply_sealer().seal_to_vec(b"pong")?;
///
/// assert_eq!(pending.open_to_vec(&reply)?, b"pong");
/// # Ok::<(), pssst::Error>(())
/// ```
#[derive(Debug)]
pub struct Server {
    keyring: Keyring,
    suites: SuiteSet,
    is_authenticated_only: bool,
    x25519: X25519,
}

/// The decision of the caller's client check on a client key that passed its proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyCheck {
    /// Exactly these bytes are enrolled, and passed [`PublicKey::validate`] then: accept them as they are. [R-21]
    Accept,
    /// Not on the list: run [`PublicKey::validate`], at the cost of two thirds of an X25519, and less in a
    /// batch. [R-20]
    Validate,
    /// Not on the list, and only listed keys are served: refuse the request as [`Refusal::UnknownClient`]. [R-21]
    RejectUnknown,
    /// On the list, and not served now: suspended, revoked, expired. Refuse the request as
    /// [`Refusal::ClientRefused`]. [R-21]
    RejectInactive,
}

impl Server {
    /// A server with these keys, which accepts every suite.
    pub fn new(keyring: impl Into<Keyring>) -> Self {
        Self { keyring: keyring.into(), suites: SuiteSet::ALL, is_authenticated_only: false, x25519: X25519::new() }
    }

    /// The same server, which accepts these suites only. [R-04]
    #[must_use]
    pub fn with_suites(self, suites: SuiteSet) -> Self {
        Self { suites, ..self }
    }

    /// The same server, which refuses anonymous requests, by their flags and so before they cost anything. [R-33]
    ///
    /// ```
    /// use pssst::{Client, Refusal, SecretKey, Server, SysRng};
    ///
    /// let secret = SecretKey::generate(&mut SysRng)?;
    /// let client = Client::new(secret.public_key())?;
    /// let server = Server::new(secret).authenticated_only();
    ///
    /// let (mut packet, _) = client.seal_request_to_vec(&mut SysRng, b"ping")?;
    /// assert_eq!(server.open_request(&mut packet).err(), Some(Refusal::AnonymousRefused));
    /// # Ok::<(), pssst::Error>(())
    /// ```
    #[must_use]
    pub fn authenticated_only(self) -> Self {
        Self { is_authenticated_only: true, ..self }
    }

    /// The same server, which multiplies by this backend instead of the best that the machine has: for tests, for
    /// comparisons, and for whoever must do without some instructions. The outcomes do not depend on it.
    ///
    /// ```
    /// use pssst::{SecretKey, Server, SysRng, X25519, X25519Backend};
    ///
    /// let mut server = Server::new(SecretKey::generate(&mut SysRng)?);
    /// if let Some(x25519) = X25519::with_backend(X25519Backend::Avx2) {
    ///     server = server.with_x25519(x25519);
    /// }
    /// # Ok::<(), pssst::Error>(())
    /// ```
    #[must_use]
    pub fn with_x25519(self, x25519: X25519) -> Self {
        Self { x25519, ..self }
    }

    /// The server's keys.
    pub const fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Opens a request in place, with the full check of the client key, if there is one.
    ///
    /// # Errors
    /// In the order of the checks [R-22]: [`Refusal::Truncated`], [`Refusal::NotRequest`], [`Refusal::ReservedFlags`],
    /// [`Refusal::UnsupportedSuite`], [`Refusal::AnonymousRefused`], [`Refusal::WeakKey`], [`Refusal::DecryptFailed`],
    /// [`Refusal::Truncated`] again, [`Refusal::ClientAuthFailed`], [`Refusal::ClientKeyAlias`]. Drop
    /// the packet, count the cause, answer nothing. [R-29]
    pub fn open_request<'p>(&self, packet: &'p mut [u8]) -> Result<Request<'p>, Refusal> {
        self.open_request_with(packet, |_| KeyCheck::Validate)
    }

    /// Opens a request in place. `check` is asked about the client key, if there is one and it passed its proof.
    ///
    /// ```
    /// # use std::collections::HashSet;
    /// # use pssst::{Client, KeyCheck, SecretKey, Server, SysRng};
    /// # let secret = SecretKey::generate(&mut SysRng)?;
    /// # let identity = SecretKey::generate(&mut SysRng)?;
    /// # let client = Client::new(secret.public_key())?.with_identity(&identity)?;
    /// # let server = Server::new(secret);
    /// # let (mut packet, _) = client.seal_request_to_vec(&mut SysRng, b"")?;
    /// // Each key was validated when it was put here.
    /// let enrolled = HashSet::from([identity.public_key()]);
    ///
    /// let request = server.open_request_with(&mut packet, |key| {
    ///     if enrolled.contains(key) { KeyCheck::Accept } else { KeyCheck::RejectUnknown }
    /// })?;
    /// assert_eq!(request.client_key(), Some(&identity.public_key()));
    /// # Ok::<(), pssst::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Server::open_request`], [`Refusal::UnknownClient`] and [`Refusal::ClientRefused`].
    pub fn open_request_with<'p>(
        &self,
        packet: &'p mut [u8],
        check: impl Fn(&PublicKey) -> KeyCheck,
    ) -> Result<Request<'p>, Refusal> {
        let mut stage = Stage::screen(packet, self)?;
        for (key_index, key) in self.keyring.iter().enumerate() {
            let Stage::Screened(packet) = stage else { break };
            let shared_value = self.x25519.multiply(key.secret.expose_bytes(), packet.exchange_value);
            stage = packet.decrypt(key_index, key, &shared_value)?;
        }
        if let Stage::Claimed(packet) = stage {
            let product = self.x25519.multiply(packet.ephemeral, packet.client_key);
            stage = packet.verify(&product, check)?;
        }
        if let Stage::Proven(packet) = stage {
            let class = self.x25519.classify(packet.client_key.as_bytes());
            stage = packet.accept(class)?;
        }
        stage.into_request()
    }

    /// Opens every packet that is waiting, and hands each outcome to `each` with the packet's place in the batch, in
    /// order. The outcomes are those of [`Server::open_request_with`] for one packet after another.
    ///
    /// Up to [`BATCH_LEN`](crate::BATCH_LEN) packets are worked on together, which with AVX-512 IFMA or AVX2 makes their
    /// X25519 much cheaper; longer batches are cut into pieces. `check` is asked about all proven keys of a piece before
    /// `each` is called for its packets. Nothing is allocated: a piece takes some 48 KiB of stack in an optimized build.
    /// One packet alone is opened as by itself, so there is no need to wait for company.
    ///
    /// ```
    /// # use pssst::{Client, KeyCheck, Refusal, SecretKey, Server, SysRng};
    /// # let secret = SecretKey::generate(&mut SysRng)?;
    /// # let client = Client::new(secret.public_key())?;
    /// # let server = Server::new(secret);
    /// # let (packet, _) = client.seal_request_to_vec(&mut SysRng, b"ping")?;
    /// // Two buffers as a socket filled them, and how far.
    /// let mut buffers = [[0; 2048]; 2];
    /// let lengths = [packet.len(), 5];
    /// buffers[0][..packet.len()].copy_from_slice(&packet);
    ///
    /// let packets = buffers.iter_mut().zip(lengths).map(|(buffer, length)| &mut buffer[..length]);
    /// server.open_batch(packets, |_| KeyCheck::Validate, |place, outcome| match outcome {
    ///     Ok(request) => assert_eq!((place, request.message()), (0, &b"ping"[..])),
    ///     Err(cause) => assert_eq!((place, cause), (1, Refusal::Truncated)),
    /// });
    /// # Ok::<(), pssst::Error>(())
    /// ```
    pub fn open_batch<'p>(
        &self,
        packets: impl IntoIterator<Item = &'p mut [u8]>,
        check: impl Fn(&PublicKey) -> KeyCheck,
        each: impl FnMut(usize, Result<Request<'p>, Refusal>),
    ) {
        batch::open(self, packets, check, each);
    }
}

impl From<SecretKey> for Server {
    fn from(secret: SecretKey) -> Self {
        Self::new(secret)
    }
}

impl From<Keyring> for Server {
    fn from(keyring: Keyring) -> Self {
        Self::new(keyring)
    }
}
