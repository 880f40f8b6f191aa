//! A client: any number of requests over a network that loses, duplicates and reorders packets.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pssst::{PublicKey, ServerKey, Suite};
use pssst_support::sync::lock;
use tokio::time::timeout_at;

pub use backoff::Retry;
pub use builder::ClientBuilder;
pub use credentials::Credentials;
pub use stats::ClientStats;

use crate::Error;
use crate::time::after;
use progress::Progress;
use shared::Shared;

mod attempted_paths;
mod backoff;
mod builder;
mod credentials;
mod long_path;
pub(crate) mod network;
mod path;
mod path_selector;
mod pending;
mod progress;
mod sealed;
mod settings;
mod shared;
mod stats;
#[cfg(test)]
mod tests;
mod transaction;

/// Sends requests to one server, or to one pool of servers that share a key and a name.
///
/// Cheap to clone, and made to be shared: all clones share one client, normally with one socket.
/// Each request has its own keys: replies that are reordered, repeated, late or forged do not
/// affect other requests. Use it only within the tokio runtime in which it was connected;
/// [`blocking::Client`](crate::blocking::Client) has its own.
///
/// # Repeated requests
///
/// Until a reply arrives, the client sends the same bytes again ([`Retry`]), or, once its own IP
/// address has changed, the same message sealed anew [R-37]. So a server may handle
/// a request several times, even after the client has given up. **A request must be safe to
/// repeat**, and under suite 1 a server must give the same answer each time: see [the protocol's
/// documentation](pssst#one-request-one-answer).
///
/// ```no_run
/// use pssst_net::Client;
/// use pssst_net::pssst::{SecretKey, ServerKey};
///
/// # async fn example(identity: &SecretKey) -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::builder("f99cb5488854fd0e493dc19635171805240dace29212c0e02374eaff3723a97e".parse::<ServerKey>()?)
///     .identity(identity)
///     .connect("gauges.example.com:45678")
///     .await?;
///
/// let level = client.request("level?").await?;
/// // At once, each on its own way:
/// let (level, rain) = tokio::join!(client.request("level?"), client.request("rain?"));
/// // No reply is owed to this.
/// client.send("23.5 C").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

impl Client {
    /// Sends a request and returns the message of its reply.
    ///
    /// Drop the future to cancel the request.
    ///
    /// # Errors
    /// [`Error::Timeout`] after the client's [`timeout`](ClientBuilder::timeout),
    /// [`Error::PathTooNarrow`], [`Error::MaxDatagramTooSmall`], [`Error::TooLarge`],
    /// [`Error::Closed`], and [`Error::Protocol`] when the system has no randomness.
    pub async fn request(&self, message: impl AsRef<[u8]>) -> Result<Bytes, Error> {
        self.request_within(self.shared.settings.timeout, message).await
    }

    /// Sends a request with its own timeout, which counts from the call.
    ///
    /// # Errors
    /// The errors of [`Client::request`].
    pub async fn request_within(&self, timeout: Duration, message: impl AsRef<[u8]>) -> Result<Bytes, Error> {
        let message = message.as_ref();
        let shared = &*self.shared;
        shared.check_size(message)?;
        let progress = Progress::default();
        let exchange = shared.exchange(message, &progress);
        tokio::select! {
            biased;
            () = shared.closed.cancelled() => Err(Error::Closed),
            outcome = timeout_at(after(timeout), exchange) => outcome.unwrap_or_else(|_| {
                shared.counts.timeouts.add();
                // A NAT may keep a dead server assigned as long as this port is used.
                progress.mark_suspect();
                let error = progress.to_timeout();
                tracing::debug!(%error, "a request got no reply");
                Err(error)
            }),
        }
    }

    /// Sends a message that wants no reply, once, and keeps nothing. There is no confirmation that
    /// it arrives.
    ///
    /// # Errors
    /// [`Error::Network`] when the system can send to none of the server's addresses,
    /// [`Error::PathTooNarrow`] when that is for the packet's length,
    /// [`Error::MaxDatagramTooSmall`], [`Error::TooLarge`], [`Error::Closed`], [`Error::Timeout`]
    /// when the system's send buffer stays full, and [`Error::Protocol`] when it has no randomness.
    pub async fn send(&self, message: impl AsRef<[u8]>) -> Result<(), Error> {
        let message = message.as_ref();
        let shared = &*self.shared;
        shared.check_size(message)?;
        tokio::select! {
            biased;
            () = shared.closed.cancelled() => Err(Error::Closed),
            outcome = timeout_at(after(shared.settings.timeout), shared.send_once(message)) => {
                outcome.unwrap_or_else(|_| Err(Progress::default().to_timeout()))
            }
        }
    }

    /// Seals requests for another key of the server from here on. Requests under way finish with
    /// the key they were sealed for.
    ///
    /// # Errors
    /// [`Error::Protocol`] with [`WeakKey`](pssst::Refusal::WeakKey) for a key that must not be
    /// used, and [`Error::NoSharedSecret`] for one that the client's credentials have no shared
    /// secret for; the old one stays.
    pub fn set_server_key(&self, server_key: impl Into<ServerKey>) -> Result<(), Error> {
        let server_key = server_key.into();
        let suite = Some(self.suite()).filter(|suite| server_key.has_suite(*suite));
        self.store(server_key, suite)
    }

    /// Seals requests for this key of the server under this suite from here on, as
    /// [`set_server_key`](Self::set_server_key) does.
    ///
    /// # Errors
    /// Those of [`set_server_key`](Self::set_server_key).
    pub fn set_server(&self, server_key: impl Into<ServerKey>, suite: Suite) -> Result<(), Error> {
        self.store(server_key.into(), Some(suite))
    }

    /// Authenticates requests with these credentials from here on, for the same key of the server
    /// and under the same suite. Requests under way finish as they were sealed.
    ///
    /// # Errors
    /// [`Error::NoSharedSecret`] for credentials that lack the shared secret for the server's key,
    /// and [`Error::Protocol`] with [`UnsupportedOption`](pssst::Error::UnsupportedOption) for a
    /// pre-shared key under suite 1; the old ones stay.
    pub fn set_credentials(&self, credentials: impl Into<Credentials>) -> Result<(), Error> {
        let _replacing = lock(&self.shared.replacing);
        let sealer = self.shared.sealer.load_full();
        let server_key = sealer.server_key.clone();
        self.replace(server_key, Some(sealer.client.suite()), Some(credentials.into()), sealer.fallback_key)
    }

    /// Falls back to this key of the server from here on, as
    /// [`fallback`](ClientBuilder::fallback) describes, or to none.
    ///
    /// # Errors
    /// Those of [`set_server_key`](Self::set_server_key), and [`Error::Protocol`] with
    /// [`UnsupportedOption`](pssst::Error::UnsupportedOption) for a client without a pre-shared
    /// key; the old one stays.
    pub fn set_fallback(&self, server_key: Option<PublicKey>) -> Result<(), Error> {
        let _replacing = lock(&self.shared.replacing);
        let sealer = self.shared.sealer.load_full();
        let suite = Some(sealer.client.suite());
        self.replace(sealer.server_key.clone(), suite, sealer.credentials.clone(), server_key)
    }

    /// Returns the server's key that the client falls back to.
    pub fn fallback(&self) -> Option<PublicKey> {
        self.shared.sealer.load().fallback_key
    }

    fn store(&self, server_key: ServerKey, suite: Option<Suite>) -> Result<(), Error> {
        let _replacing = lock(&self.shared.replacing);
        let sealer = self.shared.sealer.load_full();
        self.replace(server_key, suite, sealer.credentials.clone(), sealer.fallback_key)
    }

    fn replace(
        &self,
        server_key: ServerKey,
        suite: Option<Suite>,
        credentials: Option<Credentials>,
        fallback: Option<PublicKey>,
    ) -> Result<(), Error> {
        let sealer = self.shared.settings.sealer(server_key, suite, credentials, fallback)?;
        self.shared.sealer.store(Arc::new(sealer));
        Ok(())
    }

    /// Returns the public key that requests are authenticated with; `None` for an anonymous client.
    pub fn client_key(&self) -> Option<PublicKey> {
        self.shared.sealer.load().credentials.as_ref().map(Credentials::client_key)
    }

    /// Returns the server's name or address, with its port, as it was connected to.
    pub fn server(&self) -> &str {
        &self.shared.server
    }

    /// Returns the server's key that requests are sealed for.
    pub fn server_key(&self) -> ServerKey {
        self.shared.sealer.load().server_key.clone()
    }

    /// Returns the suite of the requests.
    pub fn suite(&self) -> Suite {
        self.shared.sealer.load().client.suite()
    }

    /// Returns the length of the longest message, in bytes: what [`ClientBuilder::max_datagram`]
    /// leaves of a datagram.
    pub fn max_message_len(&self) -> usize {
        self.shared.max_message_len()
    }

    /// Returns the client's counters.
    pub fn stats(&self) -> ClientStats {
        self.shared.counts.snapshot()
    }

    /// Returns the number of requests that were sent and have not ended.
    pub fn in_flight(&self) -> usize {
        self.shared.pending.len()
    }

    /// Ends all requests in flight and all later ones with [`Error::Closed`].
    pub fn close(&self) {
        self.shared.closed.cancel();
    }
}

/// Without secrets.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server_key", &self.server_key())
            .field("client_key", &self.client_key())
            .field("settings", &self.shared.settings)
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}
