//! The client's end: it seals requests and opens their replies.

use core::fmt;

use rand_core::TryCryptoRng;
use subtle::ConstantTimeEq;
use x25519_batch::{Product, X25519};
use zeroize::Zeroizing;

#[cfg(feature = "pq")]
use crate::kem::EncapsulationKey;
use crate::key::fill;
use crate::packet::{self, EXCHANGE_VALUE_LEN, Header, PROOF_LEN, RequestParts};
use crate::suite::aead::Direction;
use crate::suite::{first, second};
#[cfg(feature = "pq")]
use crate::xwing::combine;
use crate::{Error, PreSharedKey, PublicKey, Refusal, SecretKey, ServerKey, Suite};

pub use batch::UnsealedRequest;
pub use pending::PendingReply;

mod batch;
mod pending;

/// Seals requests for one server, anonymously or as one client.
///
/// Requests do not change it, so any number of threads can share one `Client`. The state of a
/// request is in its [`PendingReply`].
///
/// ```
/// use pssst::{Client, SecretKey, SysRng};
///
/// # let server_key = SecretKey::generate(&mut SysRng)?.public_key();
/// let identity = SecretKey::generate(&mut SysRng)?;
/// let client = Client::new(server_key)?.with_identity(&identity)?;
///
/// let mut buffer = [0; 1232];
/// let (packet, pending) = client.seal_request(&mut SysRng, b"23.5 C", &mut buffer)?;
/// assert_eq!(packet.len(), 6 + 92);
/// // Send `packet`, and send the same bytes again while no reply comes. Hand what comes to `pending.open`;
/// // or drop `pending` if the server owes no answer.
/// # drop(pending);
/// # Ok::<(), pssst::Error>(())
/// ```
pub struct Client {
    suite: Suite,
    /// S
    server_key: PublicKey,
    /// P
    key_hash: [u8; 32],
    #[cfg(feature = "pq")]
    encapsulation_key: Option<EncapsulationKey>,
    identity: Option<Identity>,
    psk: Option<PreSharedKey>,
    padding: Padding,
    wants_fresh_replies: bool,
    x25519: X25519,
}

/// Keys of an authenticated client.
struct Identity {
    /// C
    public_key: PublicKey,
    /// c, or Z2 where the device does not hold c: only to hedge e. [R-36]
    hedge: SecretKey,
    /// `Z2 = x25519(c, S)` [R-08] [R-40]
    z2: Zeroizing<[u8; 32]>,
}

/// The length to which requests are padded, so that it does not tell what they say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Padding {
    /// Requests are as long as their messages make them.
    #[default]
    None,
    /// Every request's packet is exactly so many bytes long. [R-42]
    ToLength(usize),
}

/// The secrets that a request draws.
struct RequestSecrets {
    /// e
    ephemeral: SecretKey,
    /// What ML-KEM draws.
    #[cfg(feature = "pq")]
    encapsulation: Option<SecretKey>,
}

impl Client {
    /// Length that requests under suite 0xf003 are padded to by default, in bytes: what passes any
    /// IPv6 network, and holds the longest request.
    #[cfg(feature = "pq")]
    pub const DEFAULT_PADDED_LEN: usize = 1232;

    /// Returns an anonymous client of the server with this public key, under suite 0xf002; or
    /// 0xf003 for an X-Wing key, where requests are padded to [`Client::DEFAULT_PADDED_LEN`].
    ///
    /// # Errors
    /// [`Refusal::WeakKey`] if the server key has low order, so that anyone could read the
    /// requests. [R-10] [`Error::InvalidKey`] if it is not one that a secret key has: under suite 1
    /// the server whose key it is an alias of would accept the requests. [R-35]
    pub fn new(server_key: impl Into<ServerKey>) -> Result<Self, Error> {
        let server_key = server_key.into();
        #[cfg(feature = "pq")]
        let (encapsulation_key, padding) = match &server_key {
            ServerKey::XWing(key) => (Some(key.encapsulation_key()?), Padding::ToLength(Self::DEFAULT_PADDED_LEN)),
            ServerKey::X25519(_) => (None, Padding::None),
        };
        #[cfg(not(feature = "pq"))]
        let padding = Padding::None;
        server_key.validate()?;
        Ok(Self {
            suite: server_key.default_suite(),
            server_key: server_key.x25519_part(),
            key_hash: server_key.hash(),
            #[cfg(feature = "pq")]
            encapsulation_key,
            identity: None,
            psk: None,
            padding,
            wants_fresh_replies: false,
            x25519: X25519::new(),
        })
    }

    /// Returns a client that never holds its secret key c: another device, its owner's, gave it its
    /// public key C and `Z2 = x25519(c, S)`. Anyone who takes them can pose as this client towards
    /// this server, and towards no other. Wipe your own copy of Z2.
    ///
    /// ```
    /// use pssst::{Client, SecretKey, Server, SysRng};
    ///
    /// let secret = SecretKey::generate(&mut SysRng)?;
    /// // Where devices are made.
    /// let identity = SecretKey::generate(&mut SysRng)?;
    /// let z2 = identity.shared_secret(&secret.public_key())?;
    ///
    /// // On the device.
    /// let client = Client::from_precomputed(secret.public_key(), identity.public_key(), z2.as_bytes())?;
    /// let (mut packet, _) = client.seal_request_to_vec(&mut SysRng, b"ping")?;
    /// let server = Server::new(secret);
    /// assert_eq!(server.open_request(&mut packet)?.client_key(), Some(&identity.public_key()));
    /// # Ok::<(), pssst::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`Client::new`], and [`Refusal::WeakKey`] for a Z2 of zeros.
    pub fn from_precomputed(
        server_key: impl Into<ServerKey>,
        client_key: PublicKey,
        z2: &[u8; 32],
    ) -> Result<Self, Error> {
        Self::new(server_key)?.as_precomputed(client_key, z2)
    }

    /// Returns the client with the identity of [`Client::from_precomputed`].
    ///
    /// # Errors
    /// [`Refusal::WeakKey`] for a Z2 of zeros.
    pub fn as_precomputed(self, client_key: PublicKey, z2: &[u8; 32]) -> Result<Self, Error> {
        self.identify(client_key, SecretKey::from_bytes(*z2), z2)
    }

    /// Returns the client with an identity: every request proves that it holds this secret key.
    ///
    /// # Errors
    /// [`Refusal::WeakKey`] when the server key has low order.
    pub fn with_identity(self, identity: &SecretKey) -> Result<Self, Error> {
        let z2 = self.x25519.multiply(identity.expose_bytes(), self.server_key.as_bytes());
        self.identify(identity.public_key(), identity.clone(), z2.as_bytes())
    }

    fn identify(self, public_key: PublicKey, hedge: SecretKey, z2: &[u8; 32]) -> Result<Self, Error> {
        if z2.ct_eq(&[0; 32]).into() {
            return Err(Refusal::WeakKey.into());
        }
        let z2 = Zeroizing::new(*z2);
        Self { identity: Some(Identity { public_key, hedge, z2 }), ..self }.checked()
    }

    /// Returns the client with its pre-shared key Q, which the pool gave it at enrolment and
    /// [`PskMaster::psk`](crate::PskMaster::psk) computes. [R-44]
    ///
    /// # Errors
    /// [`Error::UnsupportedOption`] under suite 1 and that of enrolment, and for a client without
    /// an identity.
    pub fn with_psk(self, psk: PreSharedKey) -> Result<Self, Error> {
        Self { psk: Some(psk), ..self }.checked()
    }

    /// Returns the client with another suite: [`Suite::X25519AesGcm128`] for servers of other
    /// implementations. See [the crate's documentation](crate#one-request-one-answer) first.
    ///
    /// # Errors
    /// [`Error::UnsupportedOption`] when the suite lacks an option of this client, or is not one of
    /// its server key's.
    pub fn with_suite(self, suite: Suite) -> Result<Self, Error> {
        Self { suite, ..self }.checked()
    }

    /// Returns the client with this rule for the length of its requests.
    ///
    /// # Errors
    /// [`Error::UnsupportedOption`] under suite 1.
    pub fn with_padding(self, padding: Padding) -> Result<Self, Error> {
        Self { padding, ..self }.checked()
    }

    /// Returns a client that asks for fresh replies: those that stay closed when the server's
    /// secret key falls later. Each takes 32 bytes more and one X25519 more at the client. The
    /// forward secrecy begins when the [`PendingReply`] is dropped. [R-39]
    ///
    /// # Errors
    /// [`Error::UnsupportedOption`] under suite 1.
    pub fn with_fresh_replies(self) -> Result<Self, Error> {
        Self { wants_fresh_replies: true, ..self }.checked()
    }

    /// Returns the client with this X25519 backend instead of the machine's best: for tests,
    /// comparisons, and machines that must not use some instructions. The packets do not depend on
    /// it. See [`Server::with_x25519`](crate::Server::with_x25519) for an example.
    #[must_use]
    pub fn with_x25519(self, x25519: X25519) -> Self {
        Self { x25519, ..self }
    }

    /// Checks that suite, key and options go together.
    fn checked(self) -> Result<Self, Error> {
        let has_options = self.padding != Padding::None || self.wants_fresh_replies;
        let fits = match self.suite {
            Suite::X25519AesGcm128 => !has_options && self.psk.is_none(),
            Suite::X25519Aes256GcmSivEnrollment => self.psk.is_none(),
            Suite::X25519Aes256GcmSiv | Suite::XWingAes256GcmSiv => self.psk.is_none() || self.identity.is_some(),
        };
        if fits && self.has_kem() == self.suite.has_ciphertext() { Ok(self) } else { Err(Error::UnsupportedOption) }
    }

    #[cfg_attr(not(feature = "pq"), expect(clippy::unused_self, reason = "there is one kind of keys"))]
    const fn has_kem(&self) -> bool {
        #[cfg(feature = "pq")]
        let has_kem = self.encapsulation_key.is_some();
        #[cfg(not(feature = "pq"))]
        let has_kem = false;
        has_kem
    }

    /// Returns the rule for the length of its requests.
    pub const fn padding(&self) -> Padding {
        self.padding
    }

    /// Returns the suite of this client's requests.
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Returns the overhead of this client's requests in bytes, without padding. [R-01]
    pub const fn overhead(&self) -> usize {
        self.suite.request_overhead(self.identity.is_some())
    }

    /// Returns the length in bytes of the packet of a request with a message of so many bytes.
    ///
    /// # Errors
    /// [`Error::MessageTooLong`] when it does not fit into the length that requests are padded to.
    pub fn packet_len(&self, message_len: usize) -> Result<usize, Error> {
        match self.padding {
            Padding::None => Ok(self.overhead().saturating_add(message_len)),
            Padding::ToLength(len) => match len.checked_sub(self.overhead() + 1) {
                Some(limit) if message_len <= limit => Ok(len),
                limit => Err(Error::MessageTooLong { limit: limit.unwrap_or(0) }),
            },
        }
    }

    /// Returns the length in bytes of the longest message whose packet has at most so many bytes;
    /// zero also where none fits.
    pub fn max_message_len(&self, max_packet_len: usize) -> usize {
        match self.padding {
            Padding::None => max_packet_len.saturating_sub(self.overhead()),
            Padding::ToLength(len) if len > max_packet_len => 0,
            Padding::ToLength(len) => len.saturating_sub(self.overhead() + 1),
        }
    }

    /// Seals a message into the front of `buffer`, which holds at least
    /// [`packet_len`](Self::packet_len) bytes. Returns the packet and the [`PendingReply`] that
    /// opens its reply.
    ///
    /// To send the request again, send the same bytes again [R-30]: sealing the message anew makes
    /// another request. For a request that wants no reply, drop the [`PendingReply`]. [R-28]
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`], [`Error::MessageTooLong`], [`Error::RandomnessUnavailable`].
    pub fn seal_request<'b, R: TryCryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        message: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<(&'b mut [u8], PendingReply), Error> {
        let packet = packet::slot(buffer, self.packet_len(message.len())?)?;
        let secrets = self.draw_secrets(rng, message)?;
        self.seal_with(&secrets, message, packet)
    }

    /// Seals a message with a given ephemeral secret e, to compare with test vectors of suite 1.
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
        let packet = packet::slot(buffer, self.packet_len(message.len())?)?;
        let secrets = RequestSecrets {
            ephemeral: ephemeral.clone(),
            #[cfg(feature = "pq")]
            encapsulation: None,
        };
        self.seal_with(&secrets, message, packet)
    }

    /// Seals a message into a new packet.
    ///
    /// # Errors
    /// [`Error::MessageTooLong`], [`Error::RandomnessUnavailable`].
    #[cfg(feature = "alloc")]
    pub fn seal_request_to_vec<R: TryCryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        message: &[u8],
    ) -> Result<(alloc::vec::Vec<u8>, PendingReply), Error> {
        let mut packet = alloc::vec![0; self.packet_len(message.len())?];
        let (_, pending) = self.seal_request(rng, message, &mut packet)?;
        Ok((packet, pending))
    }

    /// Draws e: fresh for every request [R-09], and hedged with the client's key, the server's and
    /// the message, so that a poor generator repeats e only with its message. [R-36]
    fn draw_secrets<R: TryCryptoRng + ?Sized>(&self, rng: &mut R, message: &[u8]) -> Result<RequestSecrets, Error> {
        let mut random = Zeroizing::new([0; 32]);
        fill(rng, &mut random)?;
        let client_secret = self.identity.as_ref().map_or(&[0; 32], |identity| identity.hedge.expose_bytes());
        let draw = |hedge: second::Hedge| hedge.scalar(&random, client_secret, &self.key_hash, message);
        Ok(RequestSecrets {
            ephemeral: draw(second::Hedge::Ephemeral),
            #[cfg(feature = "pq")]
            encapsulation: self.has_kem().then(|| draw(second::Hedge::Encapsulation)),
        })
    }

    fn seal_with<'b>(
        &self,
        secrets: &RequestSecrets,
        message: &[u8],
        packet: &'b mut [u8],
    ) -> Result<(&'b mut [u8], PendingReply), Error> {
        let ephemeral = secrets.ephemeral.expose_bytes();
        let exchange_value = match self.proof_key() {
            None => self.x25519.multiply_base(ephemeral),
            Some(client_key) => *self.x25519.multiply(ephemeral, client_key.as_bytes()).as_bytes(),
        };
        let shared_value = self.x25519.multiply(ephemeral, self.shared_point());
        self.seal_agreed(message, packet, secrets, exchange_value, &shared_value)
    }

    /// Returns the identity under suite 1, where it takes part in X and Z. [R-08]
    fn proof_identity(&self) -> Option<&Identity> {
        self.identity.as_ref().filter(|_| !self.suite.has_claim())
    }

    /// Returns what e takes to X if not the base point [R-07]: C [R-08].
    fn proof_key(&self) -> Option<&PublicKey> {
        self.proof_identity().map(|identity| &identity.public_key)
    }

    /// Returns what e takes to Zx: S [R-07], or under suite 1 x25519(c, S) [R-08].
    fn shared_point(&self) -> &[u8; 32] {
        self.proof_identity().map_or(self.server_key.as_bytes(), |identity| &identity.z2)
    }

    /// Seals a message once X and Zx are known. `packet` is as long as the packet.
    fn seal_agreed<'b>(
        &self,
        message: &[u8],
        packet: &'b mut [u8],
        secrets: &RequestSecrets,
        exchange_value: [u8; EXCHANGE_VALUE_LEN],
        shared_value: &Product,
    ) -> Result<(&'b mut [u8], PendingReply), Error> {
        // [R-10]
        if exchange_value == [0; 32] || shared_value.is_zero().into() {
            return Err(Refusal::WeakKey.into());
        }
        let header = Header::request(self.suite)
            .with_client_auth(self.identity.is_some())
            .with_psk(self.psk.is_some())
            .with_padding(self.padding != Padding::None)
            .with_fresh_reply(self.wants_fresh_replies);
        let parts = RequestParts::split(packet, self.suite, self.identity.is_some())?;
        *parts.header = header.to_bytes();
        *parts.exchange_value = exchange_value;

        let (secret, message_part) = if self.suite.has_claim() {
            #[cfg(feature = "pq")]
            let encapsulated = self.encapsulate(secrets, &exchange_value, shared_value, parts.ciphertext)?;
            #[cfg(feature = "pq")]
            let agreed = encapsulated.as_deref().unwrap_or(shared_value.as_bytes());
            #[cfg(not(feature = "pq"))]
            let agreed = shared_value.as_bytes();
            let shared = second::SharedKey::derive(header, &self.key_hash, &exchange_value, agreed);
            let secret = match (&self.identity, parts.claim) {
                (Some(identity), Some(claim)) => {
                    shared.write_claim(&identity.public_key, claim);
                    let psk = self.psk.as_ref().map(PreSharedKey::expose_bytes);
                    shared.bind(&identity.public_key, &identity.z2, psk)
                }
                _ => shared.into_anonymous(),
            };
            (secret, &mut *parts.body)
        } else {
            let secret = first::derive(&exchange_value, shared_value.as_bytes());
            (secret, write_proof(self.proof_key(), &secrets.ephemeral, parts.body)?)
        };
        let (text, _) = message_part.split_at_mut_checked(message.len()).ok_or(Refusal::Truncated)?;
        text.copy_from_slice(message);
        if header.is_padded() {
            packet::pad(message_part, message.len());
        }
        let tag = self.suite.seal(&secret, Direction::Request, header, parts.body)?;
        *parts.tag = tag;
        let pending = PendingReply {
            suite: self.suite,
            request_header: header,
            request_tag: tag,
            exchange_value,
            secret,
            ephemeral: self.wants_fresh_replies.then(|| secrets.ephemeral.clone()),
            x25519: self.x25519,
        };
        Ok((packet, pending))
    }
}

#[cfg(feature = "pq")]
impl Client {
    /// Writes ML-KEM's ciphertext and returns k, where the suite has them. [R-45]
    fn encapsulate(
        &self,
        secrets: &RequestSecrets,
        exchange_value: &[u8; EXCHANGE_VALUE_LEN],
        zx: &Product,
        ciphertext: Option<&mut [u8; packet::CIPHERTEXT_LEN]>,
    ) -> Result<Option<Zeroizing<[u8; 32]>>, Error> {
        let (Some(key), Some(ciphertext)) = (&self.encapsulation_key, ciphertext) else { return Ok(None) };
        // Only a caller that gives an e of its own has none.
        let random = secrets.encapsulation.as_ref().ok_or(Error::UnsupportedOption)?;
        let secret = key.encapsulate(random.expose_bytes(), ciphertext);
        Ok(Some(combine(&secret, zx, exchange_value, &self.server_key)))
    }
}

/// Writes the proof of suite 1, C, then e, and returns the rest of the body (specification,
/// section 4).
fn write_proof<'p>(
    client_key: Option<&PublicKey>,
    ephemeral: &SecretKey,
    body: &'p mut [u8],
) -> Result<&'p mut [u8], Refusal> {
    let Some(client_key) = client_key else { return Ok(body) };
    let (proof, rest) = body.split_first_chunk_mut::<PROOF_LEN>().ok_or(Refusal::Truncated)?;
    proof[..32].copy_from_slice(client_key.as_bytes());
    proof[32..].copy_from_slice(ephemeral.expose_bytes());
    Ok(rest)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("suite", &self.suite)
            .field("server_key", &self.server_key)
            .field("client_key", &self.identity.as_ref().map(|identity| identity.public_key))
            .field("has_psk", &self.psk.is_some())
            .field("padding", &self.padding)
            .field("wants_fresh_replies", &self.wants_fresh_replies)
            .finish_non_exhaustive()
    }
}
