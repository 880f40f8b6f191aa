//! A client for programs without async.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use pssst::{Padding, PreSharedKey, PublicKey, SecretKey, ServerKey, Suite};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::{ClientStats, Credentials, Error, Retry};

/// [`Client`](crate::Client) for programs without async: the same, and its calls wait. Threads can
/// share it.
///
/// A background thread sends and receives its packets.
///
/// ```no_run
/// use pssst_net::blocking::Client;
/// use pssst_net::pssst::ServerKey;
///
/// let server_key = "f99cb5488854fd0e493dc19635171805240dace29212c0e02374eaff3723a97e".parse::<ServerKey>()?;
/// let client = Client::builder(server_key).connect("gauges.example.com:45678")?;
/// let level = client.request("level?")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Client {
    client: crate::Client,
    /// Present until the client is dropped.
    runtime: Option<Runtime>,
}

impl Client {
    /// Returns a client of the server with this public key.
    pub fn builder(server_key: impl Into<ServerKey>) -> ClientBuilder {
        ClientBuilder { builder: crate::Client::builder(server_key) }
    }

    /// Sends a request, waits, and returns the message of its reply.
    ///
    /// # Errors
    /// The errors of [`Client::request`](crate::Client::request); and [`Error::Network`] if called
    /// within an async runtime, which it would block.
    pub fn request(&self, message: impl AsRef<[u8]>) -> Result<Bytes, Error> {
        self.wait(self.client.request(message))
    }

    /// Sends a request with its own deadline, as [`request`](Self::request) does.
    ///
    /// # Errors
    /// The errors of [`Client::request`].
    pub fn request_within(&self, timeout: Duration, message: impl AsRef<[u8]>) -> Result<Bytes, Error> {
        self.wait(self.client.request_within(timeout, message))
    }

    /// Sends a message that wants no reply, once, and keeps nothing.
    ///
    /// # Errors
    /// The errors of [`Client::send`](crate::Client::send); and [`Error::Network`] within an async
    /// runtime.
    pub fn send(&self, message: impl AsRef<[u8]>) -> Result<(), Error> {
        self.wait(self.client.send(message))
    }

    /// Seals requests for another key of the server from here on.
    ///
    /// # Errors
    /// The errors of [`Client::set_server_key`](crate::Client::set_server_key).
    pub fn set_server_key(&self, server_key: impl Into<ServerKey>) -> Result<(), Error> {
        self.client.set_server_key(server_key)
    }

    /// Seals requests for another key of the server under this suite from here on.
    ///
    /// # Errors
    /// The errors of [`Client::set_server`](crate::Client::set_server).
    pub fn set_server(&self, server_key: impl Into<ServerKey>, suite: Suite) -> Result<(), Error> {
        self.client.set_server(server_key, suite)
    }

    /// Authenticates requests with these credentials from here on.
    ///
    /// # Errors
    /// The errors of [`Client::set_credentials`](crate::Client::set_credentials).
    pub fn set_credentials(&self, credentials: impl Into<Credentials>) -> Result<(), Error> {
        self.client.set_credentials(credentials)
    }

    /// Falls back to this key of the server from here on, or to none.
    ///
    /// # Errors
    /// The errors of [`Client::set_fallback`](crate::Client::set_fallback).
    pub fn set_fallback(&self, server_key: Option<PublicKey>) -> Result<(), Error> {
        self.client.set_fallback(server_key)
    }

    /// Returns the suite of the requests.
    pub fn suite(&self) -> Suite {
        self.client.suite()
    }

    /// Returns the server's key that requests are sealed for.
    pub fn server_key(&self) -> ServerKey {
        self.client.server_key()
    }

    /// Returns the length of the longest message, in bytes.
    pub fn max_message_len(&self) -> usize {
        self.client.max_message_len()
    }

    /// Returns the client's counters.
    pub fn stats(&self) -> ClientStats {
        self.client.stats()
    }

    /// Requests that were sent and have not ended.
    pub fn in_flight(&self) -> usize {
        self.client.in_flight()
    }

    /// Ends all requests in flight, in any thread, and all later ones with [`Error::Closed`].
    pub fn close(&self) {
        self.client.close();
    }

    fn wait<T>(&self, future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        refuse_async()?;
        match &self.runtime {
            Some(runtime) => runtime.block_on(future),
            None => Err(Error::Closed),
        }
    }
}

/// Leaves what is under way to itself: dropping must not wait, wherever it happens.
impl Drop for Client {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Without secrets.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.client.fmt(f)
    }
}

/// Configures a [`Client`]. [`ClientBuilder::connect`] makes it.
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientBuilder {
    builder: crate::ClientBuilder,
}

impl From<crate::ClientBuilder> for ClientBuilder {
    fn from(builder: crate::ClientBuilder) -> Self {
        Self { builder }
    }
}

impl ClientBuilder {
    /// [`ClientBuilder::identity`](crate::ClientBuilder::identity)
    pub fn identity(self, identity: &SecretKey) -> Self {
        Self { builder: self.builder.identity(identity) }
    }

    /// [`ClientBuilder::credentials`](crate::ClientBuilder::credentials)
    pub fn credentials(self, credentials: impl Into<Credentials>) -> Self {
        Self { builder: self.builder.credentials(credentials) }
    }

    /// [`ClientBuilder::suite`](crate::ClientBuilder::suite)
    pub fn suite(self, suite: Suite) -> Self {
        Self { builder: self.builder.suite(suite) }
    }

    /// [`ClientBuilder::psk`](crate::ClientBuilder::psk)
    pub fn psk(self, psk: PreSharedKey) -> Self {
        Self { builder: self.builder.psk(psk) }
    }

    /// [`ClientBuilder::padding`](crate::ClientBuilder::padding)
    pub fn padding(self, padding: Padding) -> Self {
        Self { builder: self.builder.padding(padding) }
    }

    /// [`ClientBuilder::fresh_replies`](crate::ClientBuilder::fresh_replies)
    pub fn fresh_replies(self) -> Self {
        Self { builder: self.builder.fresh_replies() }
    }

    /// [`ClientBuilder::timeout`](crate::ClientBuilder::timeout)
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { builder: self.builder.timeout(timeout) }
    }

    /// [`ClientBuilder::retry`](crate::ClientBuilder::retry)
    pub fn retry(self, retry: Retry) -> Self {
        Self { builder: self.builder.retry(retry) }
    }

    /// [`ClientBuilder::max_in_flight`](crate::ClientBuilder::max_in_flight)
    pub fn max_in_flight(self, requests: usize) -> Self {
        Self { builder: self.builder.max_in_flight(requests) }
    }

    /// [`ClientBuilder::max_datagram`](crate::ClientBuilder::max_datagram)
    pub fn max_datagram(self, bytes: usize) -> Self {
        Self { builder: self.builder.max_datagram(bytes) }
    }

    /// [`ClientBuilder::replacing`](crate::ClientBuilder::replacing)
    pub fn replacing(self, client: &Client) -> Self {
        Self { builder: self.builder.replacing(&client.client) }
    }

    /// Starts the client's thread, resolves the server's name, which is `host:port`, and opens a
    /// socket. Nothing is sent.
    ///
    /// # Errors
    /// The errors of [`ClientBuilder::connect`](crate::ClientBuilder::connect); and
    /// [`Error::Network`] when the system has no thread left, or if called within an async runtime,
    /// which it would block.
    pub fn connect(self, server: impl AsRef<str>) -> Result<Client, Error> {
        refuse_async()?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("pssst-client")
            .enable_all()
            .build()
            .map_err(Error::Network)?;
        let client = runtime.block_on(self.builder.connect(server))?;
        Ok(Client { client, runtime: Some(runtime) })
    }
}

/// Waiting within an async runtime would hold up its other tasks, and tokio panics over it.
fn refuse_async() -> Result<(), Error> {
    match Handle::try_current() {
        Ok(_) => Err(Error::Network(io::Error::new(
            io::ErrorKind::Unsupported,
            "a blocking client was used within an async runtime: use pssst_net::Client there",
        ))),
        Err(_) => Ok(()),
    }
}
