//! The client's end: it seals requests and opens their replies.

use core::fmt;

use rand_core::TryCryptoRng;
use sha2::{Digest, Sha256};
use x25519_batch::{Product, X25519};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::packet::{self, AUTHENTICATED_OVERHEAD, EXCHANGE_VALUE_LEN, Header, OVERHEAD, PROOF_LEN, Parts};
use crate::suite::{Agreement, Direction, TransactionSecret};
use crate::{Error, PublicKey, Refusal, SecretKey, Suite};

pub use batch::UnsealedRequest;

mod batch;

/// Tells this hash from others of the protocol. [R-36]
const HEDGE_LABEL: [u8; 8] = *b"PSSSTv2\x05";

/// Seals requests for one server, anonymously or as one client.
///
/// Requests do not change it, so any number of threads can share one `Client`. The state of a
/// request is in its [`PendingReply`].
///
/// ```
/// use pssst::{Client, SecretKey, Suite, SysRng};
///
/// # let server_key = SecretKey::generate(&mut SysRng)?.public_key();
/// let identity = SecretKey::generate(&mut SysRng)?;
/// let client = Client::new(server_key)?.with_identity(&identity)?.with_suite(Suite::X25519Aes128GcmSiv);
///
/// let mut buffer = [0; 1232];
/// let (packet, pending) = client.seal_request(&mut SysRng, b"23.5 C", &mut buffer)?;
/// assert_eq!(packet.len(), 6 + pssst::AUTHENTICATED_OVERHEAD);
/// // Send `packet`, and send the same bytes again while no reply comes. Hand what comes to `pending.open`;
/// // or drop `pending` if the server owes no answer.
/// # drop(pending);
/// # Ok::<(), pssst::Error>(())
/// ```
pub struct Client {
    suite: Suite,
    server_key: PublicKey,
    /// P, the SHA-256 of the server key.
    key_hash: [u8; 32],
    identity: Option<Identity>,
    x25519: X25519,
}

/// Keys of an authenticated client: C, c, and the inner value x25519(c, S). [R-08]
struct Identity {
    public_key: PublicKey,
    /// Only for [`Client::draw_ephemeral`].
    secret_key: SecretKey,
    inner_value: Product,
}

impl Client {
    /// Returns an anonymous client of the server with this public key, under suite 1.
    ///
    /// # Errors
    /// [`Refusal::WeakKey`] if the server key has low order, so that anyone could read the
    /// requests. [R-10] [`Error::InvalidKey`] if it is not the canonical encoding of a point of the
    /// prime-order subgroup: under suite 1 the server whose key it is an alias of would accept the
    /// requests. [R-35]
    pub fn new(server_key: PublicKey) -> Result<Self, Error> {
        server_key.validate().map_err(|cause| match cause {
            Refusal::WeakKey => cause.into(),
            _ => Error::InvalidKey,
        })?;
        let key_hash = Sha256::digest(server_key.as_bytes()).into();
        Ok(Self { suite: Suite::default(), server_key, key_hash, identity: None, x25519: X25519::new() })
    }

    /// Returns the client with an identity: every request proves that it holds this secret key.
    ///
    /// # Errors
    /// [`Refusal::WeakKey`] when the server key has low order.
    pub fn with_identity(self, identity: &SecretKey) -> Result<Self, Error> {
        let inner_value = self.x25519.multiply(identity.expose_bytes(), self.server_key.as_bytes());
        if inner_value.is_zero().into() {
            return Err(Refusal::WeakKey.into());
        }
        let identity = Identity { public_key: identity.public_key(), secret_key: identity.clone(), inner_value };
        Ok(Self { identity: Some(identity), ..self })
    }

    /// Returns the client with another suite. Prefer [`Suite::X25519Aes128GcmSiv`] when the server
    /// is known to accept it: see [the crate's documentation](crate#one-request-one-answer).
    #[must_use]
    pub fn with_suite(self, suite: Suite) -> Self {
        Self { suite, ..self }
    }

    /// Returns the client with this X25519 backend instead of the machine's best: for tests,
    /// comparisons, and machines that must not use some instructions. The packets do not depend on
    /// it. See [`Server::with_x25519`](crate::Server::with_x25519) for an example.
    #[must_use]
    pub fn with_x25519(self, x25519: X25519) -> Self {
        Self { x25519, ..self }
    }

    /// Returns the overhead of this client's requests in bytes: 52, or 116 with an identity. [R-01]
    pub const fn overhead(&self) -> usize {
        if self.identity.is_some() { AUTHENTICATED_OVERHEAD } else { OVERHEAD }
    }

    /// Seals a message into the front of `buffer`, which holds at least `message.len()` and
    /// [`Client::overhead`] bytes. Returns the packet and the [`PendingReply`] that opens its
    /// reply.
    ///
    /// To send the request again, send the same bytes again [R-30]: sealing the message anew makes
    /// another request. For a request that wants no reply, drop the [`PendingReply`]. [R-28]
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`], [`Error::RandomnessUnavailable`].
    pub fn seal_request<'b, R: TryCryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        message: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<(&'b mut [u8], PendingReply), Error> {
        let packet = packet::message_slot(buffer, self.overhead(), message.len())?;
        let mut ephemeral = Zeroizing::new([0; 32]);
        self.draw_ephemeral(rng, message, &mut ephemeral)?;
        self.seal_with(&ephemeral, message, packet)
    }

    /// Seals a message with a given ephemeral secret e, to compare with test vectors.
    ///
    /// The caller answers for e: two requests sealed with one e can be read and forged by anyone.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`].
    #[cfg(feature = "hazmat")]
    pub fn seal_request_with_ephemeral<'b>(
        &self,
        ephemeral: &SecretKey,
        message: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<(&'b mut [u8], PendingReply), Error> {
        let packet = packet::message_slot(buffer, self.overhead(), message.len())?;
        self.seal_with(ephemeral.expose_bytes(), message, packet)
    }

    fn seal_with<'b>(
        &self,
        ephemeral: &[u8; 32],
        message: &[u8],
        packet: &'b mut [u8],
    ) -> Result<(&'b mut [u8], PendingReply), Error> {
        // X = x25519(e, 9) [R-07] or x25519(e, C) [R-08]
        let exchange_value = match &self.identity {
            None => self.x25519.multiply_base(ephemeral),
            Some(identity) => *self.x25519.multiply(ephemeral, identity.public_key.as_bytes()).as_bytes(),
        };
        let shared_value = self.x25519.multiply(ephemeral, self.shared_point());
        self.seal_agreed(message, packet, ephemeral, exchange_value, &shared_value)
    }

    /// Draws e: fresh for every request [R-09], and hedged with the client's key, the server's and
    /// the message, so that a poor generator repeats e only with its message. [R-36]
    fn draw_ephemeral<R: TryCryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        message: &[u8],
        ephemeral: &mut [u8; 32],
    ) -> Result<(), Error> {
        let mut random = Zeroizing::new([0; 32]);
        rng.try_fill_bytes(&mut *random).map_err(|_| Error::RandomnessUnavailable)?;
        let client_secret = self.identity.as_ref().map_or(&[0; 32], |identity| identity.secret_key.expose_bytes());
        let hedged = Sha256::new()
            .chain_update(HEDGE_LABEL)
            .chain_update(*random)
            .chain_update(client_secret)
            .chain_update(self.key_hash)
            .chain_update(Sha256::digest(message));
        hedged.finalize_into(ephemeral.into());
        Ok(())
    }

    /// Seals a message into a new packet.
    ///
    /// # Errors
    /// [`Error::RandomnessUnavailable`].
    #[cfg(feature = "alloc")]
    pub fn seal_request_to_vec<R: TryCryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        message: &[u8],
    ) -> Result<(alloc::vec::Vec<u8>, PendingReply), Error> {
        let mut packet = alloc::vec![0; self.overhead() + message.len()];
        let (_, pending) = self.seal_request(rng, message, &mut packet)?;
        Ok((packet, pending))
    }

    /// What e takes to Z: S [R-07], or x25519(c, S) [R-08].
    fn shared_point(&self) -> &[u8; 32] {
        self.identity.as_ref().map_or(self.server_key.as_bytes(), |identity| identity.inner_value.as_bytes())
    }

    /// Seals a message once X and Z are known. `packet` is as long as the packet.
    fn seal_agreed<'b>(
        &self,
        message: &[u8],
        packet: &'b mut [u8],
        ephemeral: &[u8; 32],
        exchange_value: [u8; EXCHANGE_VALUE_LEN],
        shared_value: &Product,
    ) -> Result<(&'b mut [u8], PendingReply), Error> {
        // [R-10]
        if exchange_value == [0; 32] || shared_value.is_zero().into() {
            return Err(Refusal::WeakKey.into());
        }
        let header = Header::request(self.suite.number(), self.identity.is_some());
        let secret = self.suite.derive(&Agreement {
            request_header: header,
            server_key: self.server_key.as_bytes(),
            exchange_value: &exchange_value,
            shared_value: shared_value.as_bytes(),
        });

        let parts = Parts::split(packet)?;
        *parts.header = header.to_bytes();
        *parts.exchange_value = exchange_value;
        let message_part = match &self.identity {
            Some(identity) => {
                let (proof, rest) = parts.body.split_first_chunk_mut().ok_or(Refusal::Truncated)?;
                write_proof(proof, &identity.public_key, ephemeral);
                rest
            }
            None => &mut *parts.body,
        };
        message_part.copy_from_slice(message);
        *parts.tag = self.suite.seal(&secret, Direction::Request, header, parts.body)?;

        Ok((packet, PendingReply { suite: self.suite, request_header: header, exchange_value, secret }))
    }
}

/// C, then e (specification, section 6).
fn write_proof(proof: &mut [u8; PROOF_LEN], client_key: &PublicKey, ephemeral: &[u8; 32]) {
    proof[..32].copy_from_slice(client_key.as_bytes());
    proof[32..].copy_from_slice(ephemeral);
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("suite", &self.suite)
            .field("server_key", &self.server_key)
            .field("client_key", &self.identity.as_ref().map(|identity| identity.public_key))
            .finish_non_exhaustive()
    }
}

/// A request that was sent, and the only thing that opens its reply. Wiped when dropped.
///
/// [`PendingReply::open`] borrows: whatever is refused leaves it as it was, and the true reply that
/// comes later is taken. [R-24]
///
/// # Two different answers
///
/// The server keeps no state, so it answers every copy of a request. Under suite 1 all these
/// answers are sealed with one key and nonce. Equal answers are harmless; with two different
/// replies, anyone who saw both can forge a third, which this type cannot distinguish from a true
/// one. See [the crate's documentation](crate#one-request-one-answer).
pub struct PendingReply {
    suite: Suite,
    request_header: Header,
    exchange_value: [u8; EXCHANGE_VALUE_LEN],
    secret: TransactionSecret,
}

impl PendingReply {
    /// Returns the exchange value that the reply will carry;
    /// [`exchange_value`](crate::exchange_value) reads it from a packet.
    pub const fn exchange_value(&self) -> &[u8; EXCHANGE_VALUE_LEN] {
        &self.exchange_value
    }

    /// Opens the reply in place and returns its message.
    ///
    /// # Errors
    /// In the order of the checks [R-23]: [`Refusal::Truncated`], [`Refusal::NotReply`],
    /// [`Refusal::ReservedFlags`], [`Refusal::UnsupportedSuite`], [`Refusal::ReplyMismatch`],
    /// [`Refusal::DecryptFailed`]. After any of them, keep waiting: a forged packet costs nothing.
    pub fn open<'p>(&self, packet: &'p mut [u8]) -> Result<&'p mut [u8], Refusal> {
        let Parts { header, exchange_value, body, tag } = Parts::split(packet)?;
        let header = Header::from_bytes(header);
        if !header.is_reply() {
            return Err(Refusal::NotReply);
        }
        header.refuse_reserved_bits()?;
        if header.suite_number() != self.suite.number() {
            return Err(Refusal::UnsupportedSuite { suite: header.suite_number() });
        }
        if header != self.request_header.into_reply() || *exchange_value != self.exchange_value {
            return Err(Refusal::ReplyMismatch);
        }
        self.suite.open(&self.secret, Direction::Reply, header, body, tag)?;
        Ok(body)
    }

    /// Opens a copy of the reply and returns its message.
    ///
    /// # Errors
    /// The errors of [`PendingReply::open`].
    #[cfg(feature = "alloc")]
    pub fn open_to_vec(&self, packet: &[u8]) -> Result<alloc::vec::Vec<u8>, Refusal> {
        Ok(self.open(&mut packet.to_vec())?.to_vec())
    }
}

/// Its only secret is the transaction's, which is wiped. [R-32]
impl ZeroizeOnDrop for PendingReply {}

impl fmt::Debug for PendingReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingReply")
            .field("suite", &self.suite)
            .field("client_auth", &self.request_header.has_client_auth())
            .finish_non_exhaustive()
    }
}
