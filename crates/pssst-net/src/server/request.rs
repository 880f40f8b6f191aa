//! Requests that a handler gets, and replies that it returns.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use pssst::{PublicKey, ServerKey, Suite};

const NO_KEY: PublicKey = PublicKey::from_bytes([0; 32]);

/// A request that was opened: its message, who sent it, and how it came.
///
/// # One request, one answer
///
/// The network, a client without a reply, or an attacker may send a request again at any time.
/// **Under suite 1 a handler must answer the same request with the same bytes**: no clock, no
/// counter, no fresh reading in an answer. With two different answers, anyone who saw both can
/// forge a third that the waiting client accepts. The server's cache of recent replies
/// ([`ServerBuilder::reply_cache`](crate::ServerBuilder::reply_cache)) narrows this and does not
/// remove it. Under the other suites different answers do no harm. See [the protocol's
/// documentation](pssst#one-request-one-answer).
///
/// A [function](crate::Handler::from_fn) gets a `Request<&[u8]>`, whose message is in the buffer
/// that the packet came in; a [service](crate::Handler::from_service), which may wait, a `Request`
/// that has a copy.
#[derive(Clone)]
pub struct Request<M = Bytes> {
    pub(super) message: M,
    /// All zeros if there is none. No `Option`: what is moved with `None` are 32 bytes of the
    /// stack, which may have held a secret. [R-32]
    pub(super) client_key: PublicKey,
    pub(super) is_authenticated: bool,
    pub(super) peer: SocketAddr,
    pub(super) received: Instant,
    pub(super) server_key: Option<Arc<ServerKey>>,
    pub(super) suite: Suite,
    pub(super) has_psk: bool,
    pub(super) exchange_value: [u8; 32],
}

impl<M: AsRef<[u8]>> Request<M> {
    /// Returns a request as a server would hand it out, for tests of handlers: received now, under
    /// suite 0xf002, with an exchange value of zeros.
    pub fn new(message: impl Into<M>, client_key: Option<PublicKey>, peer: SocketAddr) -> Self {
        let (received, suite) = (Instant::now(), Suite::default());
        Self {
            message: message.into(),
            client_key: client_key.unwrap_or(NO_KEY),
            is_authenticated: client_key.is_some(),
            peer,
            received,
            server_key: None,
            suite,
            has_psk: false,
            exchange_value: [0; 32],
        }
    }

    /// Returns the message.
    pub fn message(&self) -> &[u8] {
        self.message.as_ref()
    }

    /// Returns the message as it is held: `Bytes` can be kept, or sent back without a copy.
    pub fn into_message(self) -> M {
        self.message
    }

    /// Returns the request with a copy of its message, to keep.
    pub fn to_owned(&self) -> Request {
        Request {
            message: Bytes::copy_from_slice(self.message()),
            client_key: self.client_key,
            is_authenticated: self.is_authenticated,
            peer: self.peer,
            received: self.received,
            server_key: self.server_key.clone(),
            suite: self.suite,
            has_psk: self.has_psk,
            exchange_value: self.exchange_value,
        }
    }

    /// Returns the client's public key, if the client proved it; an anonymous request has none.
    ///
    /// Any holder of the server's secret key could have made that proof: it is not a signature to
    /// show to others.
    pub fn client_key(&self) -> Option<&PublicKey> {
        self.is_authenticated.then_some(&self.client_key)
    }

    /// Returns the source address of the datagram, which anyone can forge. IPv4 addresses are given
    /// as such, also when they came to an IPv6 socket.
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// When the server took the request from its socket.
    pub const fn received(&self) -> Instant {
        self.received
    }

    /// Which of the server's keys opened the request: whether a client still uses an old one.
    /// `None` if the request was made by [`Request::new`].
    pub fn server_key(&self) -> Option<&ServerKey> {
        self.server_key.as_deref()
    }

    /// Returns the packet's exchange value, 32 bytes: the same when the request is repeated, and
    /// new for every other request, so that it identifies a repetition. It is not secret. Only the
    /// client could have made another message for it.
    pub const fn exchange_value(&self) -> &[u8; 32] {
        &self.exchange_value
    }

    /// Returns whether the client's pre-shared key is part of its proof.
    pub const fn has_psk(&self) -> bool {
        self.has_psk
    }

    /// Returns the suite that the client chose.
    pub const fn suite(&self) -> Suite {
        self.suite
    }
}

/// Without the message.
impl<M: AsRef<[u8]>> fmt::Debug for Request<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("message_len", &self.message().len())
            .field("client_key", &self.client_key())
            .field("peer", &self.peer)
            .field("suite", &self.suite)
            .finish_non_exhaustive()
    }
}

/// The message of a reply.
///
/// ```
/// use pssst_net::Reply;
///
/// assert_eq!(Reply::from("shut").message()[..], *b"shut");
/// assert_eq!(Reply::from(vec![1, 2, 3]).message().len(), 3);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Reply(Bytes);

impl Reply {
    /// Returns a reply with a copy of a message.
    pub fn copy_from(message: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(message))
    }

    /// Returns the message.
    pub const fn message(&self) -> &Bytes {
        &self.0
    }
}

/// Without the message.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("message_len", &self.0.len()).finish()
    }
}

/// From whatever [`Bytes`] are made of: `Vec<u8>`, `String`, `&'static str`, `&'static [u8]`,
/// `Bytes` itself.
impl<B: Into<Bytes>> From<B> for Reply {
    fn from(message: B) -> Self {
        Self(message.into())
    }
}
