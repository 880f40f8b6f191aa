//! Builder of a [`Client`].

use std::sync::Arc;
use std::time::Duration;

use pssst::{Padding, PreSharedKey, PublicKey, SecretKey, ServerKey, Suite};
use pssst_link::{Link, LinkKey};
use tokio::sync::Semaphore;

use super::Client;
use super::backoff::Retry;
use super::credentials::Credentials;
use super::network::{Network, Udp};
use super::settings::Settings;
use super::shared::Shared;
use super::stats::Counts;
use crate::Error;
use crate::udp::MAX_DATAGRAM;

impl Client {
    /// Returns a builder of a client of the server in a link, with its key and its preferred suite;
    /// [`connect`](ClientBuilder::connect) to [`Link::server`](pssst_link::Link). `None` for a link
    /// without a fixed key: its directory has the key, which `pssst-directory` asks.
    pub fn from_link(link: &Link) -> Option<ClientBuilder> {
        let (Some(LinkKey::X25519(key)), None) = (link.key, &link.directory) else { return None };
        let builder = Self::builder(key);
        Some(match link.suites.first() {
            Some(&suite) => builder.suite(suite),
            None => builder,
        })
    }

    /// Returns a builder of a client of the server with this public key.
    pub fn builder(server_key: impl Into<ServerKey>) -> ClientBuilder {
        ClientBuilder { settings: Settings::new(server_key.into()), counts: None }
    }
}

/// Configures a [`Client`]. [`ClientBuilder::connect`] makes it.
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientBuilder {
    settings: Settings,
    /// Those of the client that is replaced.
    counts: Option<Arc<Counts>>,
}

impl ClientBuilder {
    /// Authenticates every request with this secret key. Without it, requests are anonymous.
    /// It is a shorthand for [`credentials`](Self::credentials).
    pub fn identity(self, identity: &SecretKey) -> Self {
        self.credentials(Credentials::new(identity.clone()))
    }

    /// Authenticates every request with these credentials. [`Client::set_credentials`] replaces
    /// them later.
    pub fn credentials(mut self, credentials: impl Into<Credentials>) -> Self {
        self.settings.credentials = Some(credentials.into());
        self
    }

    /// Proves the pre-shared key that the pool gave this client at its enrolment, too. A client
    /// that has one must use it. It needs an [`identity`](Self::identity) or
    /// [`credentials`](Self::credentials), whose own it replaces.
    pub fn psk(mut self, psk: PreSharedKey) -> Self {
        self.settings.psk = Some(psk);
        self
    }

    /// Sets the suite of the requests; that of the server's key by default, 0xf002 or 0xf003.
    /// Servers of other implementations take [`Suite::X25519AesGcm128`] only.
    pub fn suite(mut self, suite: Suite) -> Self {
        self.settings.suite = Some(suite);
        self
    }

    /// Sets the length that requests are padded to; by default they are padded under suite 0xf003
    /// only, to 1,232 bytes. Suite 1 has no padding.
    pub fn padding(mut self, padding: Padding) -> Self {
        self.settings.padding = Some(padding);
        self
    }

    /// Asks for fresh replies: those that stay closed when the server's secret key falls later
    /// ([`pssst::Client::with_fresh_replies`]). Suite 1 has none.
    pub fn fresh_replies(mut self) -> Self {
        self.settings.wants_fresh_replies = true;
        self
    }

    /// Falls back to suite 0xf002, with this key of the server and the pre-shared key, where the
    /// network does not carry the long packets of suite 0xf003. Without a fallback such requests
    /// end with [`Error::Timeout`], [`Error::PathTooNarrow`] or [`Error::MaxDatagramTooSmall`].
    ///
    /// A request falls back at once if the network reports that its packet is too long, and else
    /// after the first half of its packets, three at most. Such a request may reach the server
    /// twice. The network counts as narrow if [`max_datagram`](Self::max_datagram) leaves no room,
    /// if the system refuses to send, or if two requests in a row got their replies under 0xf002
    /// only. Then requests begin with 0xf002, and ten minutes later long packets are tried again.
    /// [`ClientStats::fallbacks`](crate::ClientStats::fallbacks) counts the messages.
    ///
    /// Anyone on the path can force the fallback. Then the message is as safe from a quantum
    /// computer as the pre-shared key is, without which the client does not fall back:
    /// [`connect`](Self::connect) refuses that.
    pub fn fallback(mut self, server_key: PublicKey) -> Self {
        self.settings.fallback = Some(server_key);
        self
    }

    /// How long a request may take, from the call to its reply; 10 seconds by default. It includes
    /// the wait for a slot among the requests in flight.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// Sets the retransmissions.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.settings.retry = retry;
        self
    }

    /// Sets the most requests in flight, 1,024 by default and at least 1. Further requests wait for
    /// a slot, within their timeout.
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.settings.max_in_flight = requests.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Sets the length of the longest datagram that is sent, in bytes, 1,232 by default: what
    /// passes any IPv6 network without being fragmented (1,280 bytes less the headers of IPv6 and
    /// UDP). Raise it only if you know the network. A longer message is an [`Error::TooLarge`].
    pub fn max_datagram(mut self, bytes: usize) -> Self {
        self.settings.max_datagram = bytes.min(MAX_DATAGRAM);
        self
    }

    /// Shares the counters of `client`, so that a replacement continues its statistics:
    /// [`Client::stats`] of both have the sum.
    pub fn replacing(self, client: &Client) -> Self {
        Self { counts: Some(Arc::clone(&client.shared.counts)), ..self }
    }

    /// Resolves the server's name, which is `host:port`, and opens a socket. Nothing is sent.
    ///
    /// If the name has several addresses, they are tried in turn; and it is resolved again when the
    /// server stops answering.
    ///
    /// # Errors
    /// [`Error::Network`] when no address is found, or the system has no route to any;
    /// [`Error::Protocol`] with [`WeakKey`](pssst::Refusal::WeakKey) for a server key that must not
    /// be used, and with [`UnsupportedOption`](pssst::Error::UnsupportedOption) for options that do
    /// not go together; [`Error::NoSharedSecret`] for credentials without the secret key that lack
    /// the shared secret for the server's key.
    ///
    /// # Panics
    /// If called outside a tokio runtime with I/O and time enabled.
    pub async fn connect(self, server: impl AsRef<str>) -> Result<Client, Error> {
        self.connect_on(Arc::new(Udp), server.as_ref()).await
    }

    pub(crate) async fn connect_on(self, network: Arc<dyn Network>, server: &str) -> Result<Client, Error> {
        let Self { settings, counts } = self;
        Ok(Client { shared: Arc::new(Shared::connect(settings, counts.unwrap_or_default(), network, server).await?) })
    }
}
