//! A request that was opened, and the right to answer it once.

use core::fmt;

use zeroize::ZeroizeOnDrop;

use crate::packet::{self, EXCHANGE_VALUE_LEN, Header, OVERHEAD, Parts};
use crate::suite::{Direction, TransactionSecret};
use crate::{Error, PublicKey, Suite};

/// A request that was opened: its message, who sent it, and the right to answer it once.
pub struct Request<'p> {
    pub(super) message: &'p mut [u8],
    pub(super) client_key: Option<PublicKey>,
    pub(super) key_index: usize,
    pub(super) reply_sealer: ReplySealer,
}

impl<'p> Request<'p> {
    /// Returns the message, in the buffer that the packet came in.
    pub const fn message(&self) -> &[u8] {
        self.message
    }

    /// Returns the client's public key, if the client proved it; an anonymous request has none.
    ///
    /// The proof is made for this server, which could have made it itself: it is not a signature
    /// that convinces others.
    pub const fn client_key(&self) -> Option<&PublicKey> {
        self.client_key.as_ref()
    }

    /// Returns the place in the server's [`Keyring`](crate::Keyring) of the key that opened the
    /// request: whether an old key is still in use.
    pub const fn server_key_index(&self) -> usize {
        self.key_index
    }

    /// Returns the suite that the client chose.
    pub const fn suite(&self) -> Suite {
        self.reply_sealer.suite
    }

    /// Returns the exchange value, which no two requests share unless one is a copy of the other.
    pub const fn exchange_value(&self) -> &[u8; EXCHANGE_VALUE_LEN] {
        &self.reply_sealer.exchange_value
    }

    /// What seals the reply. Drop it if there is none.
    pub fn into_reply_sealer(self) -> ReplySealer {
        self.reply_sealer
    }

    /// Splits the request into its message, the client's key and the sealer of the reply.
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
/// Sealing consumes it: a second use does not compile. [R-25] Wiped when dropped. It borrows
/// nothing and can be sent to another thread or kept while a handler waits.
///
/// # One request, one answer
///
/// The network may deliver a request twice, and then two of these exist, in this server or in
/// another of its pool. Under suite 1 both seal with the same key and nonce: **a handler must
/// answer the same request with the same bytes.** See [the crate's
/// documentation](crate#one-request-one-answer).
///
/// ```compile_fail,E0382
/// # fn answer(sealer: pssst::ReplySealer) -> Result<(), pssst::Error> {
/// let first = sealer.seal_to_vec(b"yes")?;
/// let second = sealer.seal_to_vec(b"no")?; // error[E0382]: use of moved value
/// # Ok(())
/// # }
/// ```
pub struct ReplySealer {
    pub(super) suite: Suite,
    pub(super) request_header: Header,
    pub(super) exchange_value: [u8; EXCHANGE_VALUE_LEN],
    pub(super) secret: TransactionSecret,
}

impl ReplySealer {
    /// Returns the exchange value that the reply will carry.
    pub const fn exchange_value(&self) -> &[u8; EXCHANGE_VALUE_LEN] {
        &self.exchange_value
    }

    /// Seals a message into the front of `buffer`, which holds at least [`OVERHEAD`] bytes more
    /// than the message. Returns the packet.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; the reply is then forgone.
    pub fn seal<'b>(self, message: &[u8], buffer: &'b mut [u8]) -> Result<&'b mut [u8], Error> {
        self.seal_once(message, buffer)
    }

    /// Seals as [`seal`](Self::seal) does, without moving the secret: a sealer in a box leaves no
    /// copy of it behind when it is handed from one place to another. [R-32]
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; the reply is then forgone.
    #[cfg(feature = "alloc")]
    #[expect(clippy::boxed_local, reason = "the box is what keeps the secret in its place")]
    pub fn seal_boxed<'b>(
        self: alloc::boxed::Box<Self>,
        message: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<&'b mut [u8], Error> {
        self.seal_once(message, buffer)
    }

    /// Seals a message that is already where it belongs: `packet` is the whole reply, and its
    /// message stands from [`REPLY_MESSAGE_OFFSET`](crate::REPLY_MESSAGE_OFFSET) to
    /// [`TAG_LEN`](crate::TAG_LEN) bytes before its end.
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
    /// [`Error::BufferTooSmall`] when `packet` is shorter than [`OVERHEAD`]; the reply is then
    /// forgone.
    pub fn seal_in_place(self, packet: &mut [u8]) -> Result<&mut [u8], Error> {
        self.seal_in_place_once(packet)
    }

    fn seal_once<'b>(&self, message: &[u8], buffer: &'b mut [u8]) -> Result<&'b mut [u8], Error> {
        let packet = packet::message_slot(buffer, OVERHEAD, message.len())?;
        Parts::split(packet)?.body.copy_from_slice(message);
        self.seal_in_place_once(packet)
    }

    fn seal_in_place_once<'b>(&self, packet: &'b mut [u8]) -> Result<&'b mut [u8], Error> {
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
