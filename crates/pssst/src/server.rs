//! The server's end: open requests, seal at most one reply to each.

use core::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::keyring::Keyring;
use crate::packet::{self, EXCHANGE_VALUE_LEN, Header, OVERHEAD, PROOF_LEN, Parts, TAG_LEN};
use crate::suite::{Agreement, Direction, TransactionSecret};
use crate::{Error, PublicKey, Suite, SuiteSet, x25519};

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
}

/// What the caller's list of clients says of a client key that passed its proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyCheck {
    /// Exactly these bytes are enrolled, and passed [`PublicKey::validate`] then: accept them as they are. [R-21]
    Enrolled,
    /// Not on the list: run [`PublicKey::validate`], at the cost of nearly two X25519. [R-20]
    Validate,
    /// Not on the list, and only listed keys are served: refuse the request as [`Error::ClientKeyAlias`]. [R-21]
    Refuse,
}

impl Server {
    /// A server with these keys, which accepts every suite.
    pub fn new(keyring: impl Into<Keyring>) -> Self {
        Self { keyring: keyring.into(), suites: SuiteSet::ALL }
    }

    /// The same server, which accepts these suites only. [R-04]
    #[must_use]
    pub fn with_suites(self, suites: SuiteSet) -> Self {
        Self { suites, ..self }
    }

    /// The server's keys.
    pub const fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Opens a request in place, with the full check of the client key, if there is one.
    ///
    /// # Errors
    /// In the order of the checks [R-22]: [`Error::Truncated`], [`Error::NotRequest`], [`Error::ReservedFlags`],
    /// [`Error::UnsupportedSuite`], [`Error::WeakKey`], [`Error::DecryptFailed`], [`Error::Truncated`] again,
    /// [`Error::ClientAuthFailed`], [`Error::ClientKeyAlias`]. Drop the packet, count the cause, answer nothing. [R-29]
    pub fn open_request<'p>(&self, packet: &'p mut [u8]) -> Result<Request<'p>, Error> {
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
    ///     if enrolled.contains(key) { KeyCheck::Enrolled } else { KeyCheck::Refuse }
    /// })?;
    /// assert_eq!(request.client_key(), Some(&identity.public_key()));
    /// # Ok::<(), pssst::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Server::open_request`].
    pub fn open_request_with<'p>(
        &self,
        packet: &'p mut [u8],
        check: impl Fn(&PublicKey) -> KeyCheck,
    ) -> Result<Request<'p>, Error> {
        self.decrypt(Screened::screen(packet, self.suites)?)?.authenticate(check)
    }

    /// Opens every packet that is waiting, and hands each outcome to `each` with the packet's place in the batch, in
    /// order. The outcomes are those of [`Server::open_request_with`] for one packet after another.
    ///
    /// ```
    /// # use pssst::{Client, Error, KeyCheck, SecretKey, Server, SysRng};
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
    ///     Err(cause) => assert_eq!((place, cause), (1, Error::Truncated)),
    /// });
    /// # Ok::<(), pssst::Error>(())
    /// ```
    pub fn open_batch<'p>(
        &self,
        packets: impl IntoIterator<Item = &'p mut [u8]>,
        check: impl Fn(&PublicKey) -> KeyCheck,
        mut each: impl FnMut(usize, Result<Request<'p>, Error>),
    ) {
        for (place, packet) in packets.into_iter().enumerate() {
            each(place, self.open_request_with(packet, &check));
        }
    }

    /// Tries the keys in order, each only on what the one before failed to decrypt. [R-27]
    fn decrypt<'p>(&self, packet: Screened<'p>) -> Result<Decrypted<'p>, Error> {
        for (key_index, key) in self.keyring.iter().enumerate() {
            // Z = x25519(s, X) [R-07] [R-08] [R-10] [R-11]
            let shared_value =
                x25519::multiply(key.secret.expose_bytes(), &packet.exchange_value).ok_or(Error::WeakKey)?;
            let secret = packet.suite.derive(&Agreement {
                request_header: packet.header,
                server_key: key.public.as_bytes(),
                exchange_value: &packet.exchange_value,
                shared_value: &shared_value,
            });
            if packet.suite.open(&secret, Direction::Request, packet.header, packet.body, packet.tag).is_ok() {
                let Screened { header, suite, exchange_value, body, .. } = packet;
                let reply_sealer = ReplySealer { suite, request_header: header, exchange_value, secret };
                return Ok(Decrypted { body, key_index, reply_sealer });
            }
        }
        Err(Error::DecryptFailed)
    }
}

/// A packet that passed every check that costs next to nothing.
struct Screened<'p> {
    header: Header,
    suite: Suite,
    exchange_value: [u8; EXCHANGE_VALUE_LEN],
    body: &'p mut [u8],
    tag: &'p [u8; TAG_LEN],
}

impl<'p> Screened<'p> {
    /// Length, reply flag, reserved flags, suite. [R-22]
    fn screen(packet: &'p mut [u8], suites: SuiteSet) -> Result<Self, Error> {
        let Parts { header, exchange_value, body, tag } = Parts::split(packet)?;
        let header = Header::from_bytes(header);
        if header.is_reply() {
            return Err(Error::NotRequest);
        }
        header.refuse_reserved_bits()?;
        let suite = Suite::from_number(header.suite_number())?;
        if !suites.contains(suite) {
            return Err(Error::UnsupportedSuite { suite: suite.number() });
        }
        Ok(Self { header, suite, exchange_value: *exchange_value, body, tag })
    }
}

/// A packet whose plaintext is the sender's, whoever that is.
struct Decrypted<'p> {
    body: &'p mut [u8],
    key_index: usize,
    reply_sealer: ReplySealer,
}

impl<'p> Decrypted<'p> {
    /// Proof present, proof, alias. [R-22]
    fn authenticate(self, check: impl Fn(&PublicKey) -> KeyCheck) -> Result<Request<'p>, Error> {
        let Self { body, key_index, reply_sealer } = self;
        if !reply_sealer.request_header.has_client_auth() {
            return Ok(Request { message: body, client_key: None, key_index, reply_sealer });
        }
        // [R-17]
        let (proof, message) = body.split_first_chunk_mut().ok_or(Error::Truncated)?;
        let client_key = verify_proof(proof, &reply_sealer.exchange_value)?;
        match check(&client_key) {
            KeyCheck::Enrolled => {}
            // The proof has refused low order already, so an alias is all that is left to refuse.
            KeyCheck::Validate => client_key.validate().map_err(|_| Error::ClientKeyAlias)?,
            KeyCheck::Refuse => return Err(Error::ClientKeyAlias),
        }
        Ok(Request { message, client_key: Some(client_key), key_index, reply_sealer })
    }
}

/// Accepts C when x25519(e, C) equals X, and wipes e. [R-18] [R-19]
fn verify_proof(proof: &mut [u8; PROOF_LEN], exchange_value: &[u8; EXCHANGE_VALUE_LEN]) -> Result<PublicKey, Error> {
    let mut client_key = [0; 32];
    let mut ephemeral = [0; 32];
    client_key.copy_from_slice(&proof[..32]);
    ephemeral.copy_from_slice(&proof[32..]);
    let product = x25519::multiply(&ephemeral, &client_key);
    ephemeral.zeroize();
    proof[32..].zeroize();
    match product {
        Some(product) if bool::from(product.ct_eq(exchange_value)) => Ok(PublicKey::from_bytes(client_key)),
        _ => Err(Error::ClientAuthFailed),
    }
}

/// A request that was opened: its message, who sent it, and the right to answer it once.
pub struct Request<'p> {
    message: &'p mut [u8],
    client_key: Option<PublicKey>,
    key_index: usize,
    reply_sealer: ReplySealer,
}

impl<'p> Request<'p> {
    /// The message, in the buffer that the packet came in.
    pub const fn message(&self) -> &[u8] {
        self.message
    }

    /// The client's public key, if the client proved it; an anonymous request has none.
    ///
    /// The proof is made for this server, which could have made it itself: it is no signature to show to others.
    pub const fn client_key(&self) -> Option<&PublicKey> {
        self.client_key.as_ref()
    }

    /// The place in the server's [`Keyring`] of the key that opened the request: whether an old key is still in use.
    pub const fn server_key_index(&self) -> usize {
        self.key_index
    }

    /// The suite that the client chose.
    pub const fn suite(&self) -> Suite {
        self.reply_sealer.suite
    }

    /// The exchange value, which no two requests share unless one is a copy of the other.
    pub const fn exchange_value(&self) -> &[u8; EXCHANGE_VALUE_LEN] {
        &self.reply_sealer.exchange_value
    }

    /// What seals the reply. Drop it if there is none.
    pub fn into_reply_sealer(self) -> ReplySealer {
        self.reply_sealer
    }

    /// The message, the client's key and what seals the reply, each to go its own way.
    pub fn into_parts(self) -> (&'p mut [u8], Option<PublicKey>, ReplySealer) {
        (self.message, self.client_key, self.reply_sealer)
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("message_len", &self.message.len())
            .field("client_key", &self.client_key)
            .field("suite", &self.suite())
            .field("server_key_index", &self.key_index)
            .finish_non_exhaustive()
    }
}

/// Seals the one reply to a request.
///
/// Sealing consumes it: a second use does not compile. [R-25] Wiped when dropped. It borrows nothing and can be sent to another thread or kept while a handler waits.
///
/// # One request, one answer
///
/// The network may deliver a request twice, and then two of these exist, in this server or in another of its pool. Under
/// suite 1 both seal with the same key and nonce: **a handler must answer the same request with the same bytes.** See
/// [the crate's documentation](crate#one-request-one-answer).
///
/// ```compile_fail,E0382
/// # fn answer(sealer: pssst::ReplySealer) -> Result<(), pssst::Error> {
/// let first = sealer.seal_to_vec(b"yes")?;
/// let second = sealer.seal_to_vec(b"no")?; // error[E0382]: use of moved value
/// # Ok(())
/// # }
/// ```
pub struct ReplySealer {
    suite: Suite,
    request_header: Header,
    exchange_value: [u8; EXCHANGE_VALUE_LEN],
    secret: TransactionSecret,
}

impl ReplySealer {
    /// The exchange value that the reply will carry.
    pub const fn exchange_value(&self) -> &[u8; EXCHANGE_VALUE_LEN] {
        &self.exchange_value
    }

    /// Seals a message into the front of `buffer`, which holds at least [`OVERHEAD`] bytes more than the message.
    /// Returns the packet.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; the reply is then forgone.
    pub fn seal<'b>(self, message: &[u8], buffer: &'b mut [u8]) -> Result<&'b mut [u8], Error> {
        let packet = packet::allot(buffer, OVERHEAD, message.len())?;
        Parts::split(packet)?.body.copy_from_slice(message);
        self.seal_in_place(packet)
    }

    /// Seals a message that is already where it belongs: `packet` is the whole reply, and its message stands from
    /// [`REPLY_MESSAGE_OFFSET`](crate::REPLY_MESSAGE_OFFSET) to [`TAG_LEN`](crate::TAG_LEN) bytes before its end.
    ///
    /// ```
    /// # use pssst::{Client, Error, OVERHEAD, REPLY_MESSAGE_OFFSET, SecretKey, Server, SysRng};
    /// # let secret = SecretKey::generate(&mut SysRng)?;
    /// # let client = Client::new(secret.public_key())?;
    /// # let server = Server::new(secret);
    /// # let (mut packet, pending) = client.seal_request_to_vec(&mut SysRng, b"valve?")?;
    /// # let sealer = server.open_request(&mut packet)?.into_reply_sealer();
    /// let mut buffer = [0; 1232];
    /// buffer[REPLY_MESSAGE_OFFSET..][..4].copy_from_slice(b"shut");
    /// let packet = sealer.seal_in_place(&mut buffer[..4 + OVERHEAD])?;
    /// # assert_eq!(pending.open(packet)?, b"shut");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] when `packet` is shorter than [`OVERHEAD`]; the reply is then forgone.
    pub fn seal_in_place(self, packet: &mut [u8]) -> Result<&mut [u8], Error> {
        let Ok(parts) = Parts::split(packet) else {
            return Err(Error::BufferTooSmall { needed: OVERHEAD });
        };
        // [R-02] [R-14]
        let header = self.request_header.into_reply();
        *parts.header = header.to_bytes();
        *parts.exchange_value = self.exchange_value;
        *parts.tag = self.suite.seal(&self.secret, Direction::Reply, header, parts.body)?;
        Ok(packet)
    }

    /// Seals a message into a new packet.
    ///
    /// # Errors
    /// None that a message below 64 GiB could meet.
    #[cfg(feature = "alloc")]
    pub fn seal_to_vec(self, message: &[u8]) -> Result<alloc::vec::Vec<u8>, Error> {
        let mut packet = alloc::vec![0; OVERHEAD + message.len()];
        self.seal(message, &mut packet)?;
        Ok(packet)
    }
}

/// Its only secret is the transaction's, which is wiped. [R-32]
impl ZeroizeOnDrop for ReplySealer {}

impl fmt::Debug for ReplySealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplySealer").field("suite", &self.suite).finish_non_exhaustive()
    }
}
