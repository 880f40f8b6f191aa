//! A request that was opened.

use core::fmt;

use super::ReplySealer;
use crate::packet::EXCHANGE_VALUE_LEN;
use crate::{PublicKey, Suite};

/// A request that was opened: its message, who sent it, and the right to answer it once.
pub struct Request<'p> {
    pub(super) message: &'p mut [u8],
    pub(super) client_key: Option<PublicKey>,
    pub(super) key_index: usize,
    pub(super) reply_sealer: ReplySealer,
}

impl<'p> Request<'p> {
    /// Returns the message, without padding, in the buffer that the packet came in.
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

    /// Returns whether the client's pre-shared key is part of the proof. An owner who wants every
    /// client to use one refuses what is without.
    pub const fn has_psk(&self) -> bool {
        self.reply_sealer.request_header.has_psk()
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

    /// Returns what seals the reply. Drop it if there is none.
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
            .field("has_psk", &self.has_psk())
            .field("suite", &self.suite())
            .field("server_key_index", &self.key_index)
            .finish_non_exhaustive()
    }
}
