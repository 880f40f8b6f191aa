//! What opens the reply to a request.

use core::fmt;

use x25519_batch::X25519;
use zeroize::ZeroizeOnDrop;

use crate::packet::{self, EXCHANGE_VALUE_LEN, Header, ReplyParts, TAG_LEN, TRANSACTION_ID_LEN};
use crate::suite::aead::{Direction, TransactionSecret};
use crate::suite::second;
use crate::{Refusal, SecretKey, Suite};

/// A request that was sent, and the only thing that opens its reply. Wiped when dropped.
///
/// [`PendingReply::open`] borrows: whatever is refused leaves it as it was, and the true reply that
/// comes later is taken. Drop it when you stop waiting: until then a fresh reply that was
/// recorded can still be opened.
///
/// # Two different answers
///
/// The server keeps no state, so it answers every copy of a request. Under suite 1 all these
/// answers are sealed with one key and nonce. Equal answers are harmless; with two different
/// replies, anyone who saw both can forge a third, which this type cannot distinguish from a true
/// one. See [the crate's documentation](crate#one-request-one-answer).
pub struct PendingReply {
    pub(crate) suite: Suite,
    pub(crate) request_header: Header,
    pub(crate) request_tag: [u8; TAG_LEN],
    pub(crate) exchange_value: [u8; EXCHANGE_VALUE_LEN],
    pub(crate) secret: TransactionSecret,
    /// e, for a fresh reply.
    pub(crate) ephemeral: Option<SecretKey>,
    pub(crate) x25519: X25519,
}

impl PendingReply {
    /// Returns the exchange value of the request.
    pub const fn exchange_value(&self) -> &[u8; EXCHANGE_VALUE_LEN] {
        &self.exchange_value
    }

    /// Returns the front of the exchange value, which the reply repeats:
    /// [`transaction_id`](crate::transaction_id) reads it from a packet. Two requests may share
    /// one: then try both.
    pub fn transaction_id(&self) -> &[u8; TRANSACTION_ID_LEN] {
        packet::front(&self.exchange_value)
    }

    /// Returns the suite of the request.
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Opens the reply in place and returns its message, without padding.
    ///
    /// # Errors
    /// In the order of the checks: [`Refusal::Truncated`], [`Refusal::NotReply`],
    /// [`Refusal::ReservedFlags`], [`Refusal::UnsupportedSuite`], [`Refusal::ReplyMismatch`],
    /// [`Refusal::WeakKey`], [`Refusal::DecryptFailed`], [`Refusal::BadPadding`]. After any of
    /// them, keep waiting: a forged packet costs nothing.
    pub fn open<'p>(&self, packet: &'p mut [u8]) -> Result<&'p mut [u8], Refusal> {
        let header = Header::parse(packet)?;
        if packet.len() < self.suite.reply_overhead(header.is_fresh()) {
            return Err(Refusal::Truncated);
        }
        if !header.is_reply() {
            return Err(Refusal::NotReply);
        }
        header.refuse_reserved_bits(self.suite.number())?;
        if header.suite_number() != self.suite.number() {
            return Err(Refusal::UnsupportedSuite { suite: header.suite_number() });
        }
        let ReplyParts { exchange_value, fresh_value, body, tag, .. } =
            ReplyParts::split(packet, self.suite, header.is_fresh())?;
        if header.with_padding(false) != self.request_header.into_reply()
            || !self.exchange_value.starts_with(exchange_value)
        {
            return Err(Refusal::ReplyMismatch);
        }
        let fresh_value = fresh_value.map(|value| &*value);
        let direction =
            Direction::Reply { exchange_value: &self.exchange_value, fresh_value, request_tag: &self.request_tag };
        match fresh_value {
            Some(fresh_value) => {
                let secret = self.fresh_secret(fresh_value)?;
                self.suite.open(&secret, direction, header, body, tag)?;
            }
            None => self.suite.open(&self.secret, direction, header, body, tag)?,
        }
        let message_len = if header.is_padded() { packet::unpadded_len(body)? } else { body.len() };
        Ok(body.get_mut(..message_len).unwrap_or_default())
    }

    /// D' from Y.
    fn fresh_secret(&self, fresh_value: &[u8; 32]) -> Result<TransactionSecret, Refusal> {
        let ephemeral = self.ephemeral.as_ref().ok_or(Refusal::DecryptFailed)?;
        let shared = self.x25519.multiply(ephemeral.expose_bytes(), fresh_value);
        //
        if shared.is_zero().into() {
            return Err(Refusal::WeakKey);
        }
        Ok(second::fresh_secret(&self.secret, fresh_value, shared.as_bytes()))
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

/// Its secrets are the transaction's and e, which are wiped.
impl ZeroizeOnDrop for PendingReply {}

impl fmt::Debug for PendingReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingReply")
            .field("suite", &self.suite)
            .field("client_auth", &self.request_header.has_client_auth())
            .finish_non_exhaustive()
    }
}
