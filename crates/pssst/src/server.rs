//! The server's end: open requests, seal at most one reply to each.

pub use client_check::{ClientCheck, ClientClaim, KeyCheck, SharedSecret};
pub use recorded::{RecordedReply, RecordedRequest};
pub use reply::ReplySealer;
pub use request::Request;
pub use rules::{FreshReplies, ReplyPadding};
use x25519_batch::X25519;

use crate::keyring::Keyring;
use crate::{PskMaster, SecretKey, SuiteSet};

mod batch;
mod client_check;
#[cfg(test)]
mod observer;
mod open;
mod options;
mod recorded;
mod reply;
mod request;
mod rules;
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
/// let reply = request.into_reply_sealer().seal_to_vec(&mut SysRng, b"pong")?;
///
/// assert_eq!(pending.open_to_vec(&reply)?, b"pong");
/// # Ok::<(), pssst::Error>(())
/// ```
#[derive(Debug)]
pub struct Server {
    keyring: Keyring,
    suites: SuiteSet,
    is_authenticated_only: bool,
    fresh_replies: FreshReplies,
    reply_padding: ReplyPadding,
    psk_masters: [Option<PskMaster>; Self::MAX_PSK_MASTERS],
    x25519: X25519,
}

impl Server {
    /// Returns a server with these keys, which accepts every suite of datagrams.
    pub fn new(keyring: impl Into<Keyring>) -> Self {
        Self {
            keyring: keyring.into(),
            suites: SuiteSet::DATAGRAM,
            is_authenticated_only: false,
            fresh_replies: FreshReplies::default(),
            reply_padding: ReplyPadding::default(),
            psk_masters: [const { None }; Self::MAX_PSK_MASTERS],
            x25519: X25519::new(),
        }
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
