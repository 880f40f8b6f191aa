//! Opens recorded replies with the server's secret key: opens replies as well as requests.
//!
//! A server never needs this. It is possible because the exchange value, which a reply repeats, and
//! the server's secret key are all that a transaction's secret is made of: there is no forward
//! secrecy against that key.

use core::fmt;

use super::Server;
use crate::packet::{Header, Parts};
use crate::suite::{Agreement, Direction};
use crate::{Refusal, Suite};

impl Server {
    /// Opens a recorded reply in place: a tool for the key's owner, who debugs or audits. The
    /// request is not needed.
    ///
    /// **What this shows is that the protocol has no forward secrecy against the server's key**:
    /// anyone who takes the key reads recorded replies like this, however old (`docs/security.md`,
    /// "Hold the server's secret key"). It does not show whether a client would accept the reply:
    /// that depends on what the client waits for.
    ///
    /// It only opens. What was derived is wiped before it returns, and nothing can be sealed with
    /// it.
    ///
    /// ```
    /// use pssst::{Client, SecretKey, Server, SysRng};
    ///
    /// let secret = SecretKey::generate(&mut SysRng)?;
    /// let client = Client::new(secret.public_key())?;
    /// let server = Server::new(secret.clone());
    /// let (mut packet, _) = client.seal_request_to_vec(&mut SysRng, b"ping")?;
    /// let mut recorded = server.open_request(&mut packet)?.into_reply_sealer().seal_to_vec(b"pong")?;
    ///
    /// // Later, with the secret key.
    /// let owner = Server::new(secret);
    /// assert_eq!(owner.open_recorded_reply(&mut recorded)?.message(), b"pong");
    /// # Ok::<(), pssst::Error>(())
    /// ```
    ///
    /// # Errors
    /// In the order of the checks, which is a client's [R-23] as far as it goes without the
    /// request: [`Refusal::Truncated`], [`Refusal::NotReply`], [`Refusal::ReservedFlags`],
    /// [`Refusal::UnsupportedSuite`], then [`Refusal::WeakKey`] and [`Refusal::DecryptFailed`]. A
    /// reply that is refused is left as it was.
    pub fn open_recorded_reply<'p>(&self, packet: &'p mut [u8]) -> Result<RecordedReply<'p>, Refusal> {
        let Parts { header, exchange_value, body, tag } = Parts::split(packet)?;
        let header = Header::from_bytes(header);
        if !header.is_reply() {
            return Err(Refusal::NotReply);
        }
        header.refuse_reserved_bits()?;
        let suite = Suite::from_number(header.suite_number())?;
        if !self.suites.contains(suite) {
            return Err(Refusal::UnsupportedSuite { suite: suite.number() });
        }
        // [R-27]
        for (key_index, key) in self.keyring.iter().enumerate() {
            let shared_value = self.x25519.multiply(key.secret.expose_bytes(), exchange_value);
            // [R-10]
            if shared_value.is_zero().into() {
                return Err(Refusal::WeakKey);
            }
            // [R-34]
            let secret = suite.derive(&Agreement {
                request_header: header.into_request(),
                server_key: key.public.as_bytes(),
                exchange_value,
                shared_value: shared_value.as_bytes(),
            });
            if suite.open(&secret, Direction::Reply, header, body, tag).is_ok() {
                return Ok(RecordedReply { message: body, key_index });
            }
        }
        Err(Refusal::DecryptFailed)
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
