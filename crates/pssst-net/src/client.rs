//! The client: any number of requests over a network that loses, doubles and reorders them.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use pssst::{PendingReply, PublicKey, SecretKey, Suite, SysRng};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout_at};
use tokio_util::sync::CancellationToken;

pub use backoff::Retry;
pub use stats::ClientStats;

use crate::Error;
use crate::error::copy_of;
use crate::time::after;
use crate::udp::MAX_DATAGRAM;
use network::{Network, Udp};
use path::Path;
use pending::Pending;
use progress::Progress;
use route::Route;
use stats::Counts;

mod backoff;
pub(crate) mod network;
mod path;
mod pending;
mod progress;
mod route;
mod stats;
#[cfg(test)]
mod tests;

/// Sends requests to one server, or to one pool of servers that share a key and a name.
///
/// Cheap to clone, and made to be shared: all clones are one client, with one socket as long as all goes well. Each request
/// is told apart from all others; replies may come in any order, twice, late, or forged, and none of that disturbs another
/// request. Within a tokio runtime only, the one in which it was connected; [`blocking::Client`](crate::blocking::Client)
/// has its own.
///
/// # Repeated requests
///
/// While no reply comes, the same bytes are sent again ([`Retry`]), so a server may handle a request several times, even
/// after the client has given up. **What a request asks for must be safe to repeat**, and under suite 1 a server must give
/// the same answer each time: see [the protocol's documentation](pssst#one-request-one-answer). Prefer
/// [`Suite::X25519Aes128GcmSiv`] when the server is one of ours.
///
/// ```no_run
/// use pssst_net::Client;
/// use pssst_net::pssst::{SecretKey, Suite};
///
/// # async fn example(identity: &SecretKey) -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::builder("f99cb5488854fd0e493dc19635171805240dace29212c0e02374eaff3723a97e".parse()?)
///     .identity(identity)
///     .suite(Suite::X25519Aes128GcmSiv)
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

struct Shared {
    settings: ClientBuilder,
    /// Replaced as a whole with the server's key.
    sealer: ArcSwap<Sealer>,
    pending: Arc<Pending>,
    counts: Arc<Counts>,
    route: Route,
    places: Semaphore,
    closed: CancellationToken,
}

/// Seals requests for one key of the server.
struct Sealer {
    server_key: PublicKey,
    client: pssst::Client,
}

impl Client {
    /// A client of the server with this public key.
    pub fn builder(server_key: PublicKey) -> ClientBuilder {
        ClientBuilder {
            server_key,
            identity: None,
            suite: Suite::default(),
            timeout: Duration::from_secs(10),
            retry: Retry::default(),
            max_in_flight: 1024,
            max_datagram: 1232,
            counts: None,
        }
    }

    /// Sends a request and returns the message of its reply.
    ///
    /// Drop the future to give the request up.
    ///
    /// # Errors
    /// [`Error::Timeout`] once the client's [`timeout`](ClientBuilder::timeout) is over, [`Error::TooLarge`],
    /// [`Error::Closed`], and [`Error::Protocol`] when the system has no randomness.
    pub async fn request(&self, message: impl AsRef<[u8]>) -> Result<Bytes, Error> {
        self.request_within(self.shared.settings.timeout, message).await
    }

    /// The same with a time of its own, which counts from the call.
    ///
    /// # Errors
    /// Those of [`Client::request`].
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
                // Whoever translates addresses may hold on to a server that is gone as long as this port is used.
                progress.doubt_path();
                let error = progress.to_timeout();
                tracing::debug!(%error, "a request got no reply");
                Err(error)
            }),
        }
    }

    /// Sends a message that wants no reply, once, and keeps nothing. Nobody learns whether it arrives.
    ///
    /// # Errors
    /// [`Error::Network`] when the system can send to none of the server's addresses, [`Error::TooLarge`],
    /// [`Error::Closed`], [`Error::Timeout`] when the system has no room for it all the while, and [`Error::Protocol`] when
    /// it has no randomness.
    pub async fn send(&self, message: impl AsRef<[u8]>) -> Result<(), Error> {
        let message = message.as_ref();
        let shared = &*self.shared;
        shared.check_size(message)?;
        let (packet, _) = shared.seal(message)?;
        tokio::select! {
            biased;
            () = shared.closed.cancelled() => Err(Error::Closed),
            outcome = timeout_at(after(shared.settings.timeout), shared.send_once(&packet)) => {
                outcome.unwrap_or_else(|_| Err(Progress::default().to_timeout()))
            }
        }
    }

    /// Seals requests for another key of the server from here on. Requests under way finish with the key they were sealed
    /// for.
    ///
    /// # Errors
    /// [`Error::Protocol`] with [`WeakKey`](pssst::Refusal::WeakKey) for a key that nobody must use; the old one stays.
    pub fn set_server_key(&self, server_key: PublicKey) -> Result<(), Error> {
        self.shared.sealer.store(Arc::new(self.shared.settings.sealer(server_key)?));
        Ok(())
    }

    /// The server's key that requests are sealed for.
    pub fn server_key(&self) -> PublicKey {
        self.shared.sealer.load().server_key
    }

    /// Bytes of the longest message: what [`ClientBuilder::max_datagram`] leaves of a datagram.
    pub fn max_message_len(&self) -> usize {
        self.shared.max_message_len()
    }

    /// What the client has done so far.
    pub fn stats(&self) -> ClientStats {
        self.shared.counts.snapshot()
    }

    /// Requests that were sent and have not ended.
    pub fn pending(&self) -> usize {
        self.shared.pending.len()
    }

    /// Ends every request under way, and every later one, with [`Error::Closed`].
    pub fn close(&self) {
        self.shared.closed.cancel();
    }
}

/// Without secrets.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server_key", &self.server_key())
            .field("settings", &self.shared.settings)
            .field("pending", &self.pending())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Sends a request until its reply is there. Never ends otherwise, unless it cannot begin.
    async fn exchange(&self, message: &[u8], progress: &Progress) -> Result<Bytes, Error> {
        let _place = self.places.acquire().await.map_err(|_| Error::Closed)?;
        let (packet, pending) = self.seal(message)?;
        self.counts.requests.add();
        let mut registered = self.pending.register(pending, progress.refused());
        tokio::select! {
            biased;
            reply = &mut registered.reply => reply.map_err(|_| Error::Closed),
            never = self.drive(&packet, progress) => match never {},
        }
    }

    /// Sends the same bytes again and again, as [`Retry`] says, along one path after another.
    async fn drive(&self, packet: &[u8], progress: &Progress) -> Infallible {
        let mut pauses = self.settings.retry.pauses(self.route.fraction());
        let mut path = self.route.current();
        if path.is_doubtful() {
            path = self.route.renew(path.number, path.address, false).unwrap_or(path);
        }
        let mut trail = Trail::new(path);
        for resend in 1.. {
            self.send_somewhere(packet, &mut trail, progress).await;
            let Some(pause) = pauses.next() else { break };
            let pause_is_over = sleep(pause);
            tokio::pin!(pause_is_over);
            tokio::select! {
                biased;
                () = &mut pause_is_over => {}
                () = self.follow_hints(packet, &mut trail, progress) => pause_is_over.await,
            }
            self.move_on(resend, &mut trail, progress);
        }
        // A reply may still come.
        self.follow_hints(packet, &mut trail, progress).await;
        std::future::pending().await
    }

    /// Chooses the path for a resend: the first goes the same way if that way is known to work, or is the only one. Later ones
    /// leave from a fresh port, since whoever translates or balances may remember the old one for a server that is gone.
    fn move_on(&self, resend: u32, trail: &mut Trail, progress: &Progress) {
        let path = trail.last();
        // A server that answers others is not left; it may just have nothing to say to this request.
        let is_heard = path.answers() > trail.answers_before;
        if !is_heard {
            self.route.resolve_again();
        }
        let stays = resend == 1 && (path.answers() > 0 || self.route.has_one_address());
        tracing::debug!(resend, stays, "no reply yet");
        if !stays {
            match self.route.renew(trail.newest, path.address, is_heard) {
                Ok(path) => trail.push(path),
                Err(error) => progress.set_error(error),
            }
        }
    }

    /// Sends along the last path, or along others if the system refuses.
    async fn send_somewhere(&self, packet: &[u8], trail: &mut Trail, progress: &Progress) {
        let mut tried = Vec::new();
        loop {
            let path = trail.last();
            trail.answers_before = path.answers();
            match path.send(packet, &self.counts).await {
                Ok(()) => {
                    if progress.count_sent(path, trail.answers_before) > 0 {
                        self.counts.resends.add();
                    }
                    return;
                }
                Err(error) => progress.set_error(error),
            }
            tried.push(path.address);
            match self.route.hop(path.address, &tried) {
                Some(path) => trail.push(path),
                None => return,
            }
        }
    }

    /// Sends along further paths as long as the network says that nobody listens on the last one, and addresses are left. It
    /// may err, or lie, so nothing ends by it.
    async fn follow_hints(&self, packet: &[u8], trail: &mut Trail, progress: &Progress) {
        let mut tried = Vec::new();
        loop {
            progress.set_error(trail.trouble().await);
            let path = trail.last();
            tried.push(path.address);
            match self.route.hop(path.address, &tried) {
                Some(path) => trail.push(path),
                None => return,
            }
            self.send_somewhere(packet, trail, progress).await;
        }
    }

    /// Sends to the first address that can be sent to.
    async fn send_once(&self, packet: &[u8]) -> Result<(), Error> {
        let progress = Progress::default();
        self.send_somewhere(packet, &mut Trail::new(self.route.current()), &progress).await;
        progress.into_sent().map_err(Error::Network)?;
        self.counts.one_way.add();
        Ok(())
    }

    fn seal(&self, message: &[u8]) -> Result<(Vec<u8>, PendingReply), Error> {
        Ok(self.sealer.load().client.seal_request_to_vec(&mut SysRng, message)?)
    }

    fn check_size(&self, message: &[u8]) -> Result<(), Error> {
        if self.overhead() + message.len() > self.settings.max_datagram {
            return Err(Error::TooLarge { message_len: message.len(), limit: self.max_message_len() });
        }
        Ok(())
    }

    fn max_message_len(&self) -> usize {
        self.settings.max_datagram.saturating_sub(self.overhead())
    }

    fn overhead(&self) -> usize {
        self.sealer.load().client.overhead()
    }
}

/// The paths that a request was sent on. They stay open as long as it, for replies that come late.
struct Trail {
    last: Arc<Path>,
    /// The highest number of these paths.
    newest: u64,
    /// True replies that had come along the last one when the request was last sent.
    answers_before: u64,
    /// What the network said of the last one since it was chosen.
    trouble: watch::Receiver<Option<io::Error>>,
    earlier: Vec<Arc<Path>>,
}

impl Trail {
    fn new(path: Arc<Path>) -> Self {
        Self {
            newest: path.number,
            answers_before: path.answers(),
            trouble: path.trouble(),
            last: path,
            earlier: Vec::new(),
        }
    }

    fn last(&self) -> Arc<Path> {
        Arc::clone(&self.last)
    }

    fn push(&mut self, path: Arc<Path>) {
        self.newest = self.newest.max(path.number);
        self.trouble = path.trouble();
        self.earlier.push(mem::replace(&mut self.last, path));
    }

    /// Waits for the network to say something of the last path. All requests on it are told.
    async fn trouble(&mut self) -> io::Error {
        loop {
            if self.trouble.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            if let Some(error) = &*self.trouble.borrow_and_update() {
                return copy_of(error);
            }
        }
    }
}

/// How a client is to be. [`ClientBuilder::connect`] makes it.
#[derive(Clone)]
#[must_use]
pub struct ClientBuilder {
    server_key: PublicKey,
    /// Kept, since it is needed again for another key of the server. Wiped when the client is dropped.
    identity: Option<SecretKey>,
    suite: Suite,
    timeout: Duration,
    retry: Retry,
    max_in_flight: usize,
    max_datagram: usize,
    /// Those to go on with.
    counts: Option<Arc<Counts>>,
}

impl ClientBuilder {
    /// Proves in every request that the client holds this secret key. Without, requests are anonymous.
    pub fn identity(self, identity: &SecretKey) -> Self {
        Self { identity: Some(identity.clone()), ..self }
    }

    /// The suite of the requests; suite 1 by default, which every server speaks. Prefer [`Suite::X25519Aes128GcmSiv`] when
    /// the server is one of ours.
    pub fn suite(self, suite: Suite) -> Self {
        Self { suite, ..self }
    }

    /// How long a request may take, from the call to its reply; 10 seconds by default. Waiting for a place among the
    /// requests in flight counts.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// When requests are sent again.
    pub fn retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// Requests in flight at most, 1,024 by default; at least 1. Others wait for a place, within their time.
    pub fn max_in_flight(self, requests: usize) -> Self {
        Self { max_in_flight: requests.clamp(1, Semaphore::MAX_PERMITS), ..self }
    }

    /// Bytes of the longest datagram that is sent, 1,232 by default: what passes any IPv6 network without being fragmented
    /// (1,280 bytes less the headers of IPv6 and UDP). Raise it only if you know the network. A longer message is an
    /// [`Error::TooLarge`].
    pub fn max_datagram(self, bytes: usize) -> Self {
        Self { max_datagram: bytes.min(MAX_DATAGRAM), ..self }
    }

    /// Goes on counting where `client` is, which the new one is to replace: what either of them does is in the [`Client::stats`] of both.
    pub fn replacing(self, client: &Client) -> Self {
        Self { counts: Some(Arc::clone(&client.shared.counts)), ..self }
    }

    /// Resolves the server's name, which is `host:port`, and opens a socket. Nothing is sent.
    ///
    /// If the name has several addresses, they are tried in turn; and it is resolved again when the server stops answering.
    ///
    /// # Errors
    /// [`Error::Network`] when no address is found, or the system has no route to any; [`Error::Protocol`] with
    /// [`WeakKey`](pssst::Refusal::WeakKey) for a server key that nobody must use.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn connect(self, server: impl AsRef<str>) -> Result<Client, Error> {
        self.connect_on(Arc::new(Udp), server.as_ref()).await
    }

    pub(crate) async fn connect_on(mut self, network: Arc<dyn Network>, server: &str) -> Result<Client, Error> {
        let sealer = self.sealer(self.server_key)?;
        let (pending, counts) = (Arc::<Pending>::default(), self.counts.take().unwrap_or_default());
        let route = Route::open(network, server, self.timeout, Arc::clone(&pending), Arc::clone(&counts));
        let route = route.await.map_err(Error::Network)?;
        let places = Semaphore::new(self.max_in_flight);
        let closed = CancellationToken::new();
        let sealer = ArcSwap::from_pointee(sealer);
        Ok(Client { shared: Arc::new(Shared { settings: self, sealer, pending, counts, route, places, closed }) })
    }

    fn sealer(&self, server_key: PublicKey) -> Result<Sealer, Error> {
        let client = pssst::Client::new(server_key)?.with_suite(self.suite);
        let client = match &self.identity {
            Some(identity) => client.with_identity(identity)?,
            None => client,
        };
        Ok(Sealer { server_key, client })
    }
}

/// Without secrets.
impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("server_key", &self.server_key)
            .field("client_key", &self.identity.as_ref().map(SecretKey::public_key))
            .field("suite", &self.suite)
            .field("timeout", &self.timeout)
            .field("retry", &self.retry)
            .field("max_in_flight", &self.max_in_flight)
            .field("max_datagram", &self.max_datagram)
            .finish_non_exhaustive()
    }
}
