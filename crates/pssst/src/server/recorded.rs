//! Opens what was recorded with the server's secret key.
//!
//! A server never needs this. It is possible because requests, and replies that are not fresh, have
//! no forward secrecy against the server's key.

use core::fmt;

use super::{Request, Server};
use crate::client::PendingReply;
use crate::packet::{Header, ReplyParts};
use crate::suite::aead::Direction;
use crate::suite::first;
use crate::{KeyCheck, PublicKey, Refusal, Suite};

impl Server {
    /// Opens a recorded request in place, for its message and for what opens its replies: a tool
    /// for the key's owner, who debugs or audits. Every valid client key is accepted.
    ///
    /// **What this shows is that the protocol has no forward secrecy against the server's key**:
    /// anyone who takes the key reads recorded requests like this, however old, and the replies
    /// that are not fresh (`docs/security.md`, "Hold the server's secret key").
    ///
    /// It only opens: nothing can be sealed with what it returns.
    ///
    /// ```
    /// use pssst::{Client, SecretKey, Server, SysRng};
    ///
    /// let secret = SecretKey::generate(&mut SysRng)?;
    /// let client = Client::new(secret.public_key())?;
    /// let server = Server::new(secret.clone());
    /// let (packet, _) = client.seal_request_to_vec(&mut SysRng, b"ping")?;
    /// let mut recorded = packet.clone();
    /// let reply = server.open_request(&mut packet.clone())?.into_reply_sealer().seal_to_vec(&mut SysRng, b"pong")?;
    ///
    /// // Later, with the secret key.
    /// let owner = Server::new(secret);
    /// let request = owner.open_recorded_request(&mut recorded)?;
    /// assert_eq!(request.message(), b"ping");
    /// assert_eq!(request.into_reply_opener().open_to_vec(&reply)?, b"pong");
    /// # Ok::<(), pssst::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`Server::open_request`].
    pub fn open_recorded_request<'p>(&self, packet: &'p mut [u8]) -> Result<RecordedRequest<'p>, Refusal> {
        self.open_request_with(packet, &|_: &PublicKey| KeyCheck::Validate).map(RecordedRequest)
    }

    /// Opens a recorded reply of suite 1 in place, without its request: X, which it repeats, and
    /// the server's secret key are all that its secret is made of. [R-34]
    ///
    /// It only opens. What was derived is wiped before it returns, and nothing can be sealed with
    /// it. It does not show whether a client would accept the reply: that depends on what the
    /// client waits for.
    ///
    /// # Errors
    /// In the order of the checks, which is a client's [R-23] as far as it goes without the
    /// request: [`Refusal::Truncated`], [`Refusal::NotReply`], [`Refusal::ReservedFlags`],
    /// [`Refusal::UnsupportedSuite`] for every other suite, then [`Refusal::WeakKey`] and
    /// [`Refusal::DecryptFailed`]. A reply that is refused is left as it was.
    pub fn open_recorded_reply<'p>(&self, packet: &'p mut [u8]) -> Result<RecordedReply<'p>, Refusal> {
        const SUITE: Suite = Suite::X25519AesGcm128;
        let header = Header::parse(packet)?;
        if packet.len() < header.with_reply(true).min_packet_len() {
            return Err(Refusal::Truncated);
        }
        if !header.is_reply() {
            return Err(Refusal::NotReply);
        }
        header.refuse_reserved_bits(header.suite_number())?;
        if header.suite_number() != SUITE.number() || !self.accepts(SUITE) {
            return Err(Refusal::UnsupportedSuite { suite: header.suite_number() });
        }
        let ReplyParts { exchange_value, body, tag, .. } = ReplyParts::split(packet, SUITE, false)?;
        let exchange_value = exchange_value.first_chunk().ok_or(Refusal::Truncated)?;
        // [R-27]
        let mut tried = 0;
        while let Some((key_index, key)) = self.keyring.key(SUITE, tried) {
            tried += 1;
            let shared_value = self.x25519.multiply(key.scalar(), exchange_value);
            // [R-10]
            if shared_value.is_zero().into() {
                return Err(Refusal::WeakKey);
            }
            let secret = first::derive(exchange_value, shared_value.as_bytes());
            let direction = Direction::Reply { exchange_value, fresh_value: None, request_tag: &[0; 16] };
            if SUITE.open(&secret, direction, header, body, tag).is_ok() {
                return Ok(RecordedReply { message: body, key_index });
            }
        }
        Err(Refusal::DecryptFailed)
    }
}

/// A recorded request that was opened with the server's secret key.
#[derive(Debug)]
pub struct RecordedRequest<'p>(Request<'p>);

impl RecordedRequest<'_> {
    /// Returns the message, in the buffer that the packet was in.
    pub const fn message(&self) -> &[u8] {
        self.0.message()
    }

    /// Returns the client's public key, if the client proved it.
    pub const fn client_key(&self) -> Option<&PublicKey> {
        self.0.client_key()
    }

    /// Returns the place in the server's [`Keyring`](crate::Keyring) of the key that opened the
    /// request.
    pub const fn server_key_index(&self) -> usize {
        self.0.server_key_index()
    }

    /// Returns what opens the recorded replies to this request: all but fresh ones, which stay
    /// closed to everyone but the client, as [`Refusal::DecryptFailed`]. [R-39]
    pub fn into_reply_opener(self) -> PendingReply {
        let sealer = self.0.reply_sealer;
        PendingReply {
            suite: sealer.suite,
            request_header: sealer.request_header,
            request_tag: sealer.request_tag,
            exchange_value: sealer.exchange_value,
            secret: sealer.secret,
            ephemeral: None,
            x25519: sealer.x25519,
        }
    }
}

/// A recorded reply that was opened with the server's secret key.
pub struct RecordedReply<'p> {
    message: &'p mut [u8],
    key_index: usize,
}

impl RecordedReply<'_> {
    /// Returns the message, in the buffer that the packet was in.
    pub const fn message(&self) -> &[u8] {
        self.message
    }

    /// Returns the place in the server's [`Keyring`](crate::Keyring) of the key that opened the
    /// reply.
    pub const fn server_key_index(&self) -> usize {
        self.key_index
    }
}

impl fmt::Debug for RecordedReply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedReply")
            .field("message_len", &self.message.len())
            .field("server_key_index", &self.key_index)
            .finish()
    }
}
