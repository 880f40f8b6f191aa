//! The server's end: open requests, seal at most one reply to each.

pub use recorded::RecordedReply;
pub use request::{ReplySealer, Request};
use x25519_batch::X25519;

use crate::keyring::Keyring;
use crate::{SecretKey, SuiteSet};

mod batch;
mod open;
mod recorded;
mod request;
mod stage;

/// Opens requests.
///
/// Holds its secret keys and nothing about any client, and never changes while it serves: every
/// method takes `&self`. [R-26]
///
/// To change keys, make a new `Server` and swap it for the old one, for instance behind an `Arc`;
/// requests opened by the old one are still answered.
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
    /// Exactly these bytes are enrolled, and passed
    /// [`PublicKey::validate`](crate::PublicKey::validate) then: accept them as they are. [R-21]
    Accept,
    /// Not on the list: run [`PublicKey::validate`](crate::PublicKey::validate), at the cost of two
    /// thirds of an X25519, and less in a batch. [R-20]
    Validate,
    /// Not on the list, and only listed keys are served: refuse the request as
    /// [`Refusal::UnknownClient`](crate::Refusal::UnknownClient). [R-21]
    RejectUnknown,
    /// On the list, and not served now: suspended, revoked, expired. Refuse the request as
    /// [`Refusal::ClientRefused`](crate::Refusal::ClientRefused). [R-21]
    RejectInactive,
}

impl Server {
    /// Returns a server with these keys, which accepts every suite.
    pub fn new(keyring: impl Into<Keyring>) -> Self {
        Self { keyring: keyring.into(), suites: SuiteSet::ALL, is_authenticated_only: false, x25519: X25519::new() }
    }

    /// Returns the server with these suites: it accepts no others. [R-04]
    #[must_use]
    pub fn with_suites(self, suites: SuiteSet) -> Self {
        Self { suites, ..self }
    }

    /// Returns a server that refuses anonymous requests, by their flags and so before they cost
    /// anything. [R-33]
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

    /// Returns the server with this X25519 backend instead of the machine's best: for tests, for
    /// comparisons, and for machines that must do without some instructions. The outcomes do not
    /// depend on it.
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

    /// Returns the server's keys.
    pub const fn keyring(&self) -> &Keyring {
        &self.keyring
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
